#include "tokenizer/vocab.h"

#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "tokenizer/alphabet.h"

enum {
    TOKEN_COUNT_MAX = 1 << 24
};

/* Seeded: nobody can prepare a vocabulary whose texts all fall into one slot. */
static uint64_t hash_text(uint64_t seed, const char *text, size_t len)
{
    uint64_t h = seed ^ len;
    while (len > 0) {
        uint64_t word = 0;
        size_t n = len < sizeof word ? len : sizeof word;
        memcpy(&word, text, n);
        h = random_mix(h ^ word);
        text += n;
        len -= n;
    }
    return h;
}

/* The slot that holds this text, or the free one where it belongs. */
static int32_t *slot_of(const struct tokenizer_vocab *v, const char *text, size_t len)
{
    for (uint64_t i = hash_text(v->seed, text, len);; i++) {
        int32_t *slot = &v->slots[i & v->slot_mask];
        if (*slot < 0)
            return slot;
        struct tokenizer_text t = tokenizer_vocab_text(v, *slot);
        if (t.len == len && memcmp(t.data, text, len) == 0)
            return slot;
    }
}

/* The same for raw bytes. */
static int32_t *byte_slot_of(const struct tokenizer_vocab *v, const char *bytes, size_t len)
{
    for (uint64_t i = hash_text(v->seed, bytes, len);; i++) {
        int32_t *slot = &v->byte_slots[i & v->slot_mask];
        if (*slot < 0)
            return slot;
        struct tokenizer_text t = tokenizer_vocab_bytes(v, *slot);
        if (t.len == len && memcmp(t.data, bytes, len) == 0)
            return slot;
    }
}

int32_t tokenizer_vocab_find(const struct tokenizer_vocab *v, const char *text, size_t len)
{
    return len ? *slot_of(v, text, len) : -1;
}

int32_t tokenizer_vocab_find_bytes(const struct tokenizer_vocab *v, const char *bytes, size_t len)
{
    return len <= v->bytes_max ? *byte_slot_of(v, bytes, len) : -1;
}

static enum base_err check_source(const struct tokenizer_source *source, uint64_t *text_bytes,
                                  struct base_err_info *info)
{
    if (source->token_count <= 0)
        return base_err_set(info, E_CORRUPT, "vocabulary: no tokens");
    if (source->token_count > TOKEN_COUNT_MAX)
        return base_err_set(info, E_TOO_BIG, "vocabulary: %d tokens, at most %d",
                            (int)source->token_count, TOKEN_COUNT_MAX);
    uint64_t total = 0;
    for (int32_t id = 0; id < source->token_count; id++) {
        int32_t type = source->types ? source->types[id] : TOKENIZER_NORMAL;
        if (type < TOKENIZER_NORMAL || type > TOKENIZER_BYTE)
            return base_err_set(info, E_CORRUPT, "token %d: unknown type %d", (int)id, (int)type);
        if (source->tokens[id].len > UINT32_MAX - total)
            return base_err_set(info, E_TOO_BIG, "vocabulary: more than 4 GiB of text");
        total += source->tokens[id].len;
    }
    *text_bytes = total;
    return OK;
}

static enum base_err allocate(struct tokenizer_vocab *v, uint64_t text_bytes)
{
    size_t count = (size_t)v->count;
    uint64_t slot_count = 16;
    while (slot_count < 2 * (uint64_t)count)
        slot_count *= 2;
    v->slot_mask = slot_count - 1;
    v->types = mem_calloc(MEM_TOKENIZER, count, sizeof *v->types);
    v->text_at = mem_calloc(MEM_TOKENIZER, count + 1, sizeof *v->text_at);
    v->byte_at = mem_calloc(MEM_TOKENIZER, count + 1, sizeof *v->byte_at);
    v->texts = mem_alloc(MEM_TOKENIZER, text_bytes);
    v->bytes = mem_alloc(MEM_TOKENIZER, text_bytes);
    v->slots = mem_alloc(MEM_TOKENIZER, slot_count * sizeof *v->slots);
    if (!v->types || !v->text_at || !v->byte_at || !v->texts || !v->bytes || !v->slots)
        return E_NOMEM;
    memset(v->slots, 0xff, slot_count * sizeof *v->slots);
    return OK;
}

/* The value of a token "<0x0A>", or -1. */
static int byte_value(struct tokenizer_text text)
{
    static const char digits[] = "0123456789ABCDEF0123456789abcdef";
    if (text.len != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>')
        return -1;
    const char *high = memchr(digits, text.data[3], sizeof digits - 1);
    const char *low = memchr(digits, text.data[4], sizeof digits - 1);
    return high && low ? (int)((high - digits) % 16 * 16 + (low - digits) % 16) : -1;
}

/* U+2581 is a space. */
static size_t unescape_spaces(struct tokenizer_text text, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; n++) {
        bool space = text.len - i >= 3 && memcmp(text.data + i, "\xe2\x96\x81", 3) == 0;
        out[n] = space ? ' ' : text.data[i];
        i += space ? 3 : 1;
    }
    return n;
}

/* SentencePiece: control and unknown tokens stand for themselves. */
static size_t raw_bytes_spm(enum tokenizer_type type, struct tokenizer_text text, char *out)
{
    int byte = type == TOKENIZER_BYTE ? byte_value(text) : -1;
    if (byte >= 0) {
        out[0] = (char)byte;
        return 1;
    }
    if (type == TOKENIZER_NORMAL || type == TOKENIZER_USER_DEFINED)
        return unescape_spaces(text, out);
    if (text.len)
        memcpy(out, text.data, text.len);
    return text.len;
}

/*
 * The raw bytes of a token. Normal tokens are written in the byte alphabet; a text that is
 * not, and every added token, stands for itself.
 */
static size_t raw_bytes_bpe(enum tokenizer_type type, struct tokenizer_text text, char *out)
{
    if (type == TOKENIZER_NORMAL || type == TOKENIZER_BYTE) {
        int64_t n = tokenizer_alphabet_decode(text.data, text.len, out);
        if (n >= 0)
            return (size_t)n;
    }
    if (text.len)
        memcpy(out, text.data, text.len);
    return text.len;
}

static enum base_err add(struct tokenizer_vocab *v, const struct tokenizer_source *source,
                         int32_t id, struct base_err_info *info)
{
    enum tokenizer_type type =
        source->types ? (enum tokenizer_type)source->types[id] : TOKENIZER_NORMAL;
    struct tokenizer_text text = source->tokens[id];
    char *bytes = v->bytes + v->byte_at[id];
    v->types[id] = (uint8_t)type;
    if (text.len)
        memcpy(v->texts + v->text_at[id], text.data, text.len);
    v->text_at[id + 1] = v->text_at[id] + (uint32_t)text.len;
    size_t n = source->kind == TOKENIZER_SPM ? raw_bytes_spm(type, text, bytes)
                                             : raw_bytes_bpe(type, text, bytes);
    v->byte_at[id + 1] = v->byte_at[id] + (uint32_t)n;
    if (n > v->bytes_max)
        v->bytes_max = n;
    if (text.len > v->text_max)
        v->text_max = text.len;
    if (text.len == 0)
        return OK; /* a hole: it can be neither found nor encoded */
    int32_t *slot = slot_of(v, text.data, text.len);
    if (*slot >= 0)
        return base_err_set(info, E_CORRUPT, "tokens %d and %d have the same text", (int)*slot,
                            (int)id);
    *slot = id;
    return OK;
}

enum base_err tokenizer_vocab_init(struct tokenizer_vocab *v, const struct tokenizer_source *source,
                                   uint64_t seed, struct base_err_info *info)
{
    *v = (struct tokenizer_vocab){ .seed = seed };
    uint64_t text_bytes = 0;
    enum base_err rc = check_source(source, &text_bytes, info);
    if (rc)
        return rc;
    v->count = source->token_count;
    rc = allocate(v, text_bytes);
    if (rc)
        return base_err_set(info, rc, "vocabulary: out of memory");
    for (int32_t id = 0; id < v->count && !rc; id++)
        rc = add(v, source, id, info);
    return rc;
}

enum base_err tokenizer_vocab_index_bytes(struct tokenizer_vocab *v)
{
    size_t slot_bytes = (size_t)(v->slot_mask + 1) * sizeof *v->byte_slots;
    char *scratch = mem_alloc(MEM_TOKENIZER, v->text_max);
    v->byte_slots = mem_alloc(MEM_TOKENIZER, slot_bytes);
    if (!scratch || !v->byte_slots) {
        mem_free(scratch);
        return E_NOMEM;
    }
    memset(v->byte_slots, 0xff, slot_bytes);
    for (int32_t id = 0; id < v->count; id++) {
        struct tokenizer_text text = tokenizer_vocab_text(v, id);
        struct tokenizer_text raw = tokenizer_vocab_bytes(v, id);
        if (v->types[id] == TOKENIZER_NORMAL && text.len > 0 &&
            tokenizer_alphabet_decode(text.data, text.len, scratch) >= 0)
            *byte_slot_of(v, raw.data, raw.len) = id; /* the alphabet is one to one: free */
    }
    mem_free(scratch);
    return OK;
}

void tokenizer_vocab_fini(struct tokenizer_vocab *v)
{
    mem_free(v->types);
    mem_free(v->text_at);
    mem_free(v->byte_at);
    mem_free(v->texts);
    mem_free(v->bytes);
    mem_free(v->slots);
    mem_free(v->byte_slots);
    *v = (struct tokenizer_vocab){ 0 };
}
