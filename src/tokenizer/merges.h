#ifndef TOKENIZER_MERGES_H
#define TOKENIZER_MERGES_H

#include <stdint.h>

#include "base/random.h"
#include "tokenizer/vocab.h"

/* Two neighbouring tokens that become one. */
struct tokenizer_merge {
    uint64_t pair; /* left id in the upper half, right id in the lower; UINT64_MAX: free */
    uint32_t rank; /* lower is better; BPE: its place in the file, SPM: made of the score */
    int32_t id;    /* what they become */
};

/* From a pair to its merge: open addressing, at most half full. Immutable after init. */
struct tokenizer_merges {
    struct tokenizer_merge *slots; /* [slot_mask + 1] */
    uint64_t slot_mask;
    uint64_t seed;
};

enum {
    TOKENIZER_MERGE_COUNT_MAX = 1 << 24
};

/* Makes room for that many merges. E_NOMEM. */
enum base_err tokenizer_merges_reserve(struct tokenizer_merges *m, int32_t count, uint64_t seed);

/* Adds one; the first of two merges of a pair counts. */
void tokenizer_merges_add(struct tokenizer_merges *m, uint64_t pair, uint32_t rank, int32_t id);

/*
 * The merges of a BPE file.
 * E_CORRUPT: a merge that is not "left right" or names a text that is no token. E_TOO_BIG,
 * E_NOMEM. Of two merges of one pair the better counts. Merges with a control token are
 * left out (README, rule 2). On an error tokenizer_merges_fini is still to be called.
 */
enum base_err tokenizer_merges_init(struct tokenizer_merges *m, const struct tokenizer_vocab *v,
                                    const struct tokenizer_source *source, uint64_t seed,
                                    struct base_err_info *info);
void tokenizer_merges_fini(struct tokenizer_merges *m);

static inline uint64_t tokenizer_pair(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* The merge of two neighbours, or NULL. Borrowed from `m`. */
static inline const struct tokenizer_merge *tokenizer_merges_find(const struct tokenizer_merges *m,
                                                                  int32_t left, int32_t right)
{
    uint64_t pair = tokenizer_pair(left, right);
    for (uint64_t i = random_mix(pair ^ m->seed);; i++) {
        const struct tokenizer_merge *slot = &m->slots[i & m->slot_mask];
        if (slot->pair == pair)
            return slot;
        if (slot->pair == UINT64_MAX)
            return NULL;
    }
}

#endif
