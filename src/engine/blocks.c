#include "engine/blocks.h"

#include <stddef.h>

#include "base/assert.h"
#include "base/mem.h"

enum base_err engine_blocks_init(struct engine_blocks *b, uint64_t count)
{
    ASSERT(count <= UINT32_MAX);
    *b = (struct engine_blocks){ .count = count, .free_count = count };
    b->free_ids = mem_alloc(MEM_ENGINE, (size_t)count * sizeof *b->free_ids);
    if (!b->free_ids)
        return E_NOMEM;
    for (uint64_t i = 0; i < count; i++)
        b->free_ids[i] = (uint32_t)(count - 1 - i); /* the first one taken is block 0 */
    return OK;
}

void engine_blocks_fini(struct engine_blocks *b)
{
    ASSERT(!b->free_ids || b->free_count == b->count);
    mem_free(b->free_ids);
    *b = (struct engine_blocks){ 0 };
}

bool engine_block_take(struct engine_blocks *b, uint32_t *id)
{
    if (b->free_count == 0)
        return false;
    *id = b->free_ids[--b->free_count];
    return true;
}

void engine_block_give(struct engine_blocks *b, uint32_t id)
{
    ASSERT(b->free_count < b->count && id < b->count);
    b->free_ids[b->free_count++] = id;
}
