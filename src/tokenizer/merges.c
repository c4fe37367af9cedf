#include "tokenizer/merges.h"

#include <string.h>

#include "base/mem.h"

void tokenizer_merges_add(struct tokenizer_merges *m, uint64_t pair, uint32_t rank, int32_t id)
{
    uint64_t i = random_mix(pair ^ m->seed);
    while (m->slots[i & m->slot_mask].pair != UINT64_MAX) {
        if (m->slots[i & m->slot_mask].pair == pair)
            return;
        i++;
    }
    m->slots[i & m->slot_mask] = (struct tokenizer_merge){ pair, rank, id };
}

static enum base_err add(struct tokenizer_merges *m, const struct tokenizer_vocab *v,
                         struct tokenizer_text text, int32_t rank, char *joined,
                         struct base_err_info *info)
{
    /* From the second byte on: a left half is never empty. */
    const char *space = text.len > 2 ? memchr(text.data + 1, ' ', text.len - 2) : NULL;
    if (!space)
        return base_err_set(info, E_CORRUPT, "merge %d: expected \"left right\"", (int)rank);
    size_t left_len = (size_t)(space - text.data);
    size_t right_len = text.len - left_len - 1;
    memcpy(joined, text.data, left_len);
    memcpy(joined + left_len, space + 1, right_len);
    int32_t left = tokenizer_vocab_find(v, joined, left_len);
    int32_t right = tokenizer_vocab_find(v, joined + left_len, right_len);
    int32_t id = tokenizer_vocab_find(v, joined, left_len + right_len);
    if (left < 0 || right < 0 || id < 0)
        return base_err_set(info, E_CORRUPT, "merge %d: %s is no token", (int)rank,
                            left < 0    ? "the left half"
                            : right < 0 ? "the right half"
                                        : "the result");
    if (!tokenizer_vocab_is_reserved(v, left) && !tokenizer_vocab_is_reserved(v, right) &&
        !tokenizer_vocab_is_reserved(v, id))
        tokenizer_merges_add(m, tokenizer_pair(left, right), (uint32_t)rank, id);
    return OK;
}

static size_t longest(const struct tokenizer_source *source)
{
    size_t max = 0;
    for (int32_t i = 0; i < source->merge_count; i++)
        max = source->merges[i].len > max ? source->merges[i].len : max;
    return max;
}

enum base_err tokenizer_merges_reserve(struct tokenizer_merges *m, int32_t count, uint64_t seed)
{
    *m = (struct tokenizer_merges){ .seed = seed };
    uint64_t slot_count = 16;
    while (slot_count < 2 * (uint64_t)count)
        slot_count *= 2;
    m->slot_mask = slot_count - 1;
    m->slots = mem_alloc(MEM_TOKENIZER, slot_count * sizeof *m->slots);
    if (!m->slots)
        return E_NOMEM;
    memset(m->slots, 0xff, slot_count * sizeof *m->slots);
    return OK;
}

enum base_err tokenizer_merges_init(struct tokenizer_merges *m, const struct tokenizer_vocab *v,
                                    const struct tokenizer_source *source, uint64_t seed,
                                    struct base_err_info *info)
{
    *m = (struct tokenizer_merges){ .slots = NULL };
    if (source->merge_count < 0)
        return base_err_set(info, E_CORRUPT, "merges: negative count");
    if (source->merge_count > TOKENIZER_MERGE_COUNT_MAX)
        return base_err_set(info, E_TOO_BIG, "merges: %d, at most %d", (int)source->merge_count,
                            TOKENIZER_MERGE_COUNT_MAX);
    enum base_err rc = tokenizer_merges_reserve(m, source->merge_count, seed);
    char *joined = rc ? NULL : mem_alloc(MEM_TOKENIZER, longest(source));
    if (!joined)
        return base_err_set(info, E_NOMEM, "merges: out of memory");
    for (int32_t rank = 0; rank < source->merge_count && !rc; rank++)
        rc = add(m, v, source->merges[rank], rank, joined, info);
    mem_free(joined);
    return rc;
}

void tokenizer_merges_fini(struct tokenizer_merges *m)
{
    mem_free(m->slots);
    *m = (struct tokenizer_merges){ 0 };
}
