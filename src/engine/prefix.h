#ifndef ENGINE_PREFIX_H
#define ENGINE_PREFIX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * KV blocks: who holds them, and which tokens the finished ones stand for, so that requests
 * with a common beginning share the work. prefix.c has the invariants. Engine thread only.
 */
enum {
    PREFIX_TOKENS = 32 /* tokens in a block */
};

#define PREFIX_NONE UINT32_MAX

struct prefix_block;

struct engine_prefix {
    bool enabled;
    uint64_t count;
    struct prefix_block *blocks; /* [count] */
    uint32_t *table;             /* [table_size] heads of hash chains */
    uint64_t table_size;         /* a power of two */
    uint64_t seed;               /* random: nobody can choose collisions */
    uint32_t free_first;         /* chain of blocks that hold nothing */
    uint32_t root_first;         /* nodes that begin a prefix, newest first */
    uint32_t lru_first;          /* cached and held by nobody; the first is evicted first */
    uint32_t lru_last;
    uint64_t free_count;
    uint64_t cached_count; /* in the lru list */
};

/* Gives: engine_prefix_fini. E_NOMEM. */
enum base_err engine_prefix_init(struct engine_prefix *p, uint64_t count, bool enabled);
void engine_prefix_fini(struct engine_prefix *p);

/* Blocks that somebody holds. */
uint64_t engine_prefix_held(const struct engine_prefix *p);

/* A block with one reference that stands for nothing yet; evicts if it must. False: all are held. */
bool engine_prefix_take(struct engine_prefix *p, uint32_t *id);
void engine_prefix_ref(struct engine_prefix *p, uint32_t id);

/* The last reference: a cached block stays until it is evicted, any other is free. */
void engine_prefix_unref(struct engine_prefix *p, uint32_t id);

/*
 * The block that stands for ids [32] behind the prefix that ends with block `parent`
 * (PREFIX_NONE: at the beginning, for this salt), or PREFIX_NONE. Tokens are compared.
 */
uint32_t engine_prefix_find(const struct engine_prefix *p, uint32_t parent, uint64_t salt,
                            const int32_t *ids);

/*
 * Of the blocks behind `parent`, the one with the longest common beginning with ids [n];
 * its length goes to *common (0 and PREFIX_NONE: none). Looks at a few only.
 */
uint32_t engine_prefix_find_part(const struct engine_prefix *p, uint32_t parent, uint64_t salt,
                                 const int32_t *ids, int32_t n, int32_t *common);

/*
 * Says that block `id`, which the caller holds and will not write to any more, stands for
 * ids [n] behind `parent`, which the caller holds too. If there is such a block already, the
 * caller's reference moves to it. Returns the block that the caller holds now.
 */
uint32_t engine_prefix_insert(struct engine_prefix *p, uint32_t parent, uint64_t salt, uint32_t id,
                              const int32_t *ids, int32_t n);

/* Forgets all that is cached and held by nobody. */
void engine_prefix_clear(struct engine_prefix *p);

/* Aborts if an invariant does not hold. For tests. */
void engine_prefix_check(const struct engine_prefix *p);

#endif
