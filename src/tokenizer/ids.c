#include "base/mem.h"
#include "tokenizer/tokenizer_int.h"

void tokenizer_ids_init(struct tokenizer_ids *ids, size_t count_max)
{
    *ids = (struct tokenizer_ids){ .count_max = count_max };
}

void tokenizer_ids_fini(struct tokenizer_ids *ids)
{
    mem_free(ids->ids);
    tokenizer_ids_init(ids, ids->count_max);
}

enum base_err tokenizer_ids_push(struct tokenizer_ids *ids, int32_t id)
{
    if (ids->count >= ids->count_max)
        return E_TOO_BIG;
    if (ids->count == ids->cap) {
        size_t cap = ids->cap ? 2 * ids->cap : 64;
        size_t bytes;
        if (cap > ids->count_max)
            cap = ids->count_max;
        if (__builtin_mul_overflow(cap, sizeof *ids->ids, &bytes))
            return E_NOMEM;
        int32_t *grown = mem_realloc(MEM_TOKENIZER, ids->ids, bytes);
        if (!grown)
            return E_NOMEM;
        ids->ids = grown;
        ids->cap = cap;
    }
    ids->ids[ids->count++] = id;
    return OK;
}
