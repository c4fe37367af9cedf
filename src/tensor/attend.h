#ifndef TENSOR_ATTEND_H
#define TENSOR_ATTEND_H

/*
 * What the vector instruction sets share in attention: the pairs of a call, the keys that each
 * sees, and in which order they are taken. All of it is inlined, so that a kernel's own flags hold.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "tensor/isa.h"
#include "tensor/packed.h"

enum {
    ATTEND_PAIRS_MAX = 8, /* (row, query head) pairs that share a load of keys and values */
    ATTEND_HEAD_DIM_MAX = 256
};

#define LOG2_E 1.44269504f

/* The running softmax of the pairs. */
struct attend {
    const float *q[ATTEND_PAIRS_MAX];
    float *out[ATTEND_PAIRS_MAX];
    int64_t oldest[ATTEND_PAIRS_MAX]; /* this pair sees the keys oldest..keys-1 */
    int64_t keys[ATTEND_PAIRS_MAX];
    int64_t keys_min; /* the first and the last key that any pair sees, and one more */
    int64_t keys_max;
    float max[ATTEND_PAIRS_MAX];
    float sum[ATTEND_PAIRS_MAX][16];
    float p[ATTEND_PAIRS_MAX]
           [TENSOR_KV_BLOCK];     /* of the current tile: scores, then 2^(score - max) */
    float keep[ATTEND_PAIRS_MAX]; /* what the earlier tiles are multiplied with */
    float acc[ATTEND_PAIRS_MAX][ATTEND_HEAD_DIM_MAX];
};

/* What a pair reads, writes and sees. */
TENSOR_INLINE void attend_place(struct attend *s, int i, int64_t pair, float *out, const float *q,
                                int64_t pos, const struct tensor_heads *heads)
{
    int64_t row = pair / heads->group;
    int64_t at = row * heads->stride + pair % heads->group * heads->head_dim;
    s->q[i] = q + at;
    s->out[i] = out + at;
    s->keys[i] = pos + row + 1;
    s->oldest[i] = heads->window > 0 && s->keys[i] > heads->window ? s->keys[i] - heads->window : 0;
    s->keys_max = s->keys[i] > s->keys_max ? s->keys[i] : s->keys_max;
    s->keys_min = s->oldest[i] < s->keys_min ? s->oldest[i] : s->keys_min;
}

/*
 * Places the pairs from `first` on, at most `most`; a free place repeats the first of them. Returns
 * how many there are. n_rows, pos, q, out: as attention in isa.h.
 */
TENSOR_INLINE int64_t attend_take(struct attend *s, int most, int64_t first, float *out,
                                  const float *q, int64_t n_rows, int64_t pos,
                                  const struct tensor_heads *heads)
{
    ASSERT(heads->head_dim <= ATTEND_HEAD_DIM_MAX);
    int64_t left = n_rows * heads->group - first;
    int64_t n = left < most ? left : most;
    s->keys_max = 0;
    s->keys_min = INT64_MAX;
    for (int i = 0; i < most; i++)
        attend_place(s, i, first + (i < n ? i : 0), out, q, pos, heads);
    return n;
}

/* Nothing seen yet; dim: of acc. */
TENSOR_INLINE void attend_start(struct attend *s, int64_t dim, const int n)
{
    for (int i = 0; i < n; i++) {
        s->max[i] = -INFINITY;
        memset(s->sum[i], 0, sizeof s->sum[i]);
        memset(s->acc[i], 0, (size_t)dim * sizeof(float));
    }
}

/* The head's part of the block that key `first` begins. */
TENSOR_INLINE const uint8_t *attend_head(const struct tensor_heads *heads, int64_t first)
{
    return heads->kv_head + heads->blocks[first / TENSOR_KV_BLOCK] * heads->block_bytes;
}

/* Where keys and values come from after those of this tile: the next block, or the next head. */
TENSOR_INLINE const uint8_t *attend_next(const struct tensor_heads *heads, int64_t first,
                                         const struct attend *s)
{
    if (first + TENSOR_KV_BLOCK < s->keys_max)
        return attend_head(heads, first + TENSOR_KV_BLOCK);
    return attend_head(heads, s->keys_min) + heads->head_bytes;
}

/* Where values begin behind f16 keys [head_dim][32]. */
TENSOR_INLINE uint8_t *attend_values(const uint8_t *head, int64_t head_dim)
{
    return (uint8_t *)(uintptr_t)head + (size_t)head_dim * TENSOR_KV_BLOCK * 2;
}

/* The keys of the tile that begins at key `first` which pair i sees, a bit for each. */
TENSOR_INLINE uint32_t attend_seen(const struct attend *s, int i, int64_t first)
{
    int64_t begin = s->oldest[i] - first;
    int64_t end = s->keys[i] - first;
    if (end <= 0 || begin >= TENSOR_KV_BLOCK)
        return 0;
    uint32_t below_end = end >= TENSOR_KV_BLOCK ? UINT32_MAX : (1u << end) - 1;
    return begin <= 0 ? below_end : below_end & (UINT32_MAX << begin);
}

/*
 * The keys of a tile in their order: from begin on some pairs see them (a window begins), from
 * all_begin on all, from all_end to end some (the last rows end).
 */
struct attend_span {
    int64_t begin;
    int64_t all_begin;
    int64_t all_end;
    int64_t end;
};

TENSOR_INLINE struct attend_span attend_span_of(const uint32_t *seen, const int n)
{
    uint32_t by_all = UINT32_MAX;
    uint32_t by_any = 0;
    for (int i = 0; i < n; i++) {
        by_all &= seen[i];
        by_any |= seen[i];
    }
    struct attend_span span;
    span.begin = by_any ? __builtin_ctz(by_any) : 0;
    span.end = by_any ? 32 - __builtin_clz(by_any) : 0;
    span.all_begin = by_all ? __builtin_ctz(by_all) : span.end;
    span.all_end = by_all ? 32 - __builtin_clz(by_all) : span.end;
    return span;
}

#endif
