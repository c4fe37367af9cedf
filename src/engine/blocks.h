#ifndef ENGINE_BLOCKS_H
#define ENGINE_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Which KV blocks are free: a stack of ids, so that a block used a moment ago, and still in
 * the CPU's cache, is used next. Engine thread only.
 */
struct engine_blocks {
    uint32_t *free_ids; /* [count]; the first free_count are free */
    uint64_t count;
    uint64_t free_count;
};

/* Gives: engine_blocks_fini. E_NOMEM. */
enum base_err engine_blocks_init(struct engine_blocks *b, uint64_t count);
void engine_blocks_fini(struct engine_blocks *b);

/* False: none is free. */
bool engine_block_take(struct engine_blocks *b, uint32_t *id);
void engine_block_give(struct engine_blocks *b, uint32_t id);

#endif
