#include "tokenizer/specials.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    SPECIAL_BYTES_MAX = 1024 /* at each position of a text so many bytes may be looked at */
};

static bool is_special(const struct tokenizer_vocab *v, int32_t id)
{
    bool added = tokenizer_vocab_is_reserved(v, id) || v->types[id] == TOKENIZER_USER_DEFINED;
    return added && tokenizer_vocab_bytes(v, id).len > 0;
}

/* By bytes; a text comes before the longer ones that begin with it. SPM files may have two
 * texts for the same bytes: the lower id comes first and counts. */
static int compare(const void *a, const void *b)
{
    const struct tokenizer_special *x = a;
    const struct tokenizer_special *y = b;
    int order = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);
    if (!order)
        order = (x->len > y->len) - (x->len < y->len);
    return order ? order : (x->id > y->id) - (x->id < y->id);
}

enum base_err tokenizer_specials_init(struct tokenizer_specials *s, const struct tokenizer_vocab *v,
                                      struct base_err_info *info)
{
    *s = (struct tokenizer_specials){ 0 };
    size_t count = 0;
    for (int32_t id = 0; id < v->count; id++) {
        size_t len = tokenizer_vocab_bytes(v, id).len;
        if (!is_special(v, id))
            continue;
        if (len > SPECIAL_BYTES_MAX)
            return base_err_set(info, E_TOO_BIG, "special token %d: %zu bytes, at most %d", (int)id,
                                len, SPECIAL_BYTES_MAX);
        count++;
    }
    s->all = mem_calloc(MEM_TOKENIZER, count, sizeof *s->all);
    if (!s->all)
        return base_err_set(info, E_NOMEM, "special tokens: out of memory");
    for (int32_t id = 0; id < v->count; id++) {
        if (!is_special(v, id))
            continue;
        struct tokenizer_text bytes = tokenizer_vocab_bytes(v, id);
        bool control = tokenizer_vocab_is_reserved(v, id);
        s->all[s->count++] = (struct tokenizer_special){ bytes.data, bytes.len, id, control };
    }
    qsort(s->all, count, sizeof *s->all, compare);
    int32_t at = 0;
    for (int byte = 0; byte < 256; byte++) {
        s->first[byte] = at;
        while (at < s->count && (unsigned char)s->all[at].data[0] == byte)
            at++;
    }
    s->first[256] = at;
    return OK;
}

void tokenizer_specials_fini(struct tokenizer_specials *s)
{
    mem_free(s->all);
    *s = (struct tokenizer_specials){ 0 };
}

/*
 * In all[lo, hi), whose texts agree before `depth`: the first one whose byte at `depth` is
 * at least `byte`. A text that ends there counts as less than every byte.
 */
static int32_t lower_bound(const struct tokenizer_specials *s, int32_t lo, int32_t hi, size_t depth,
                           int byte)
{
    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        const struct tokenizer_special *m = &s->all[mid];
        int at = m->len > depth ? (unsigned char)m->data[depth] : -1;
        if (at < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct tokenizer_special *tokenizer_specials_match(const struct tokenizer_specials *s,
                                                         const char *data, size_t len,
                                                         size_t control_len)
{
    const struct tokenizer_special *best = NULL;
    unsigned char byte = (unsigned char)data[0];
    int32_t lo = s->first[byte];
    int32_t hi = s->first[byte + 1];
    for (size_t depth = 1; lo < hi; depth++) {
        const struct tokenizer_special *shortest = &s->all[lo];
        if (shortest->len == depth && (!shortest->control || depth <= control_len))
            best = shortest;
        if (depth == len)
            break;
        byte = (unsigned char)data[depth];
        lo = lower_bound(s, lo, hi, depth, byte);
        hi = lower_bound(s, lo, hi, depth, byte + 1);
    }
    return best;
}
