/*
 * The KV cache and attention for NEON, with the order of avx512_attention.c: keys in tiles of 32
 * from position 0; in a tile the dimensions of a score from 0 on, then the values in the order of
 * keys. What came before a tile is rescaled once, if the maximum rose. The sum has 16 lanes, lane
 * i taking keys i and i + 16 of each tile; at the end the tree of neon_sum.
 */
#include <math.h>
#include <string.h>

#include "tensor/arm/neon.h"
#include "tensor/attend.h"

enum {
    TILE_REGISTERS = TENSOR_KV_BLOCK / 4,
    PAIRS = 6 /* (row, query head) pairs that share a load of keys and values, at most */
};

/*
 * A head's part of a block: keys [head_dim][32] f16, transposed so that lanes are tokens,
 * then values [32][dim16] f16, dim16 = head_dim rounded up to 16 and padded with zeros.
 */
TENSOR_INLINE int64_t dim_16(int64_t head_dim)
{
    return (head_dim + 15) & ~(int64_t)15;
}

size_t kv_head_bytes_neon(int64_t head_dim)
{
    return (size_t)TENSOR_KV_BLOCK * 2 * (size_t)(head_dim + dim_16(head_dim));
}

/* 8 halves from the first `left` floats at p, zeros behind them. */
TENSOR_INLINE void store_f16(uint8_t *out, const float *p, int64_t left)
{
    float16x4_t low = vcvt_f16_f32(neon_load(p, left));
    float16x8_t h = vcvt_high_f16_f32(low, neon_load(p + 4, left - 4));
    vst1q_u8(out, vreinterpretq_u8_f16(h));
}

void kv_write_neon(void *head, int64_t slot, const float *k, const float *v, int64_t head_dim)
{
    uint8_t *keys = head;
    uint8_t *values = attend_values(head, head_dim) + (size_t)(slot * dim_16(head_dim)) * 2;
    for (int64_t i = 0; i < dim_16(head_dim); i += 8) {
        uint8_t column[8][2];
        store_f16(column[0], k + i, head_dim - i);
        for (int64_t j = 0; j < 8 && i + j < head_dim; j++)
            memcpy(keys + (size_t)((i + j) * TENSOR_KV_BLOCK + slot) * 2, column[j], 2);
        store_f16(values + i * 2, v + i, head_dim - i);
    }
}

/*
 * s->p = scale q k^T for the 16 keys of a tile from `first` on, times log2 e so that powers are
 * of 2.
 */
TENSOR_INLINE void half_scores(struct attend *s, const uint8_t *keys, int64_t head_dim, float scale,
                               const int first, const int n)
{
    float32x4_t score[PAIRS][4];
#pragma GCC unroll 6
    for (int i = 0; i < n; i++)
        score[i][0] = score[i][1] = score[i][2] = score[i][3] = vdupq_n_f32(0);
    for (int64_t d = 0; d < head_dim; d++) {
        const uint8_t *at = keys + (size_t)(d * TENSOR_KV_BLOCK + first) * 2;
        float32x4_t k[4];
        neon_load_f16(k, at);
        neon_load_f16(k + 2, at + 16);
#pragma GCC unroll 6
        for (int i = 0; i < n; i++) {
            float32x4_t q = vld1q_dup_f32(s->q[i] + d);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                score[i][j] = vfmaq_f32(score[i][j], k[j], q);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < n; i++) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            vst1q_f32(s->p[i] + first + 4 * j, vmulq_n_f32(score[i][j], scale * LOG2_E));
    }
}

/* Ones in the lanes whose bits are set, of 4. */
TENSOR_INLINE uint32x4_t lanes_of(uint32_t bits)
{
    const uint32x4_t bit = { 1, 2, 4, 8 };
    return vtstq_u32(vdupq_n_u32(bits), bit);
}

/* Raises the maximum of a pair, and says what came before is multiplied with. */
TENSOR_INLINE void raise_max(struct attend *s, int i, float max)
{
    s->keep[i] = 1.0f;
    if (!(max > s->max[i]))
        return;
    s->keep[i] =
        s->max[i] == -INFINITY ? 0.0f : vgetq_lane_f32(neon_exp2(vdupq_n_f32(s->max[i] - max)), 0);
    s->max[i] = max;
#pragma GCC unroll 4
    for (int k = 0; k < 16; k += 4)
        vst1q_f32(s->sum[i] + k, vmulq_n_f32(vld1q_f32(s->sum[i] + k), s->keep[i]));
}

/* Moves maximum and sum of one pair over a tile of which it sees the keys `seen`. */
TENSOR_INLINE void tile_softmax(struct attend *s, int i, uint32_t seen)
{
    if (seen == 0) {
        s->keep[i] = 1.0f;
        memset(s->p[i], 0, sizeof s->p[i]);
        return;
    }
    const float32x4_t lowest = vdupq_n_f32(-INFINITY);
    float32x4_t score[TILE_REGISTERS];
    float32x4_t max = lowest;
#pragma GCC unroll 8
    for (int k = 0; k < TILE_REGISTERS; k++) {
        score[k] = vbslq_f32(lanes_of(seen >> 4 * k), vld1q_f32(s->p[i] + 4 * k), lowest);
        max = vmaxq_f32(max, score[k]);
    }
    raise_max(s, i, vmaxvq_f32(max));
    float32x4_t top = vdupq_n_f32(s->max[i]);
#pragma GCC unroll 8
    for (int k = 0; k < TILE_REGISTERS; k++) {
        uint32x4_t p = vreinterpretq_u32_f32(neon_exp2(vsubq_f32(score[k], top)));
        score[k] = vreinterpretq_f32_u32(vandq_u32(p, lanes_of(seen >> 4 * k)));
        vst1q_f32(s->p[i] + 4 * k, score[k]);
    }
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        float *sum = s->sum[i] + 4 * k;
        vst1q_f32(sum, vaddq_f32(vld1q_f32(sum), vaddq_f32(score[k], score[k + 4])));
    }
}

/* acc += p v for the keys t_begin..t_end-1, each for the pairs that see it, or for all. */
TENSOR_INLINE void values_of_keys(const struct attend *s, float32x4_t acc[PAIRS][4],
                                  const uint8_t *values, int64_t dim16, int64_t t_begin,
                                  int64_t t_end, const uint32_t seen[PAIRS], const bool by_all,
                                  const int n)
{
    for (int64_t t = t_begin; t < t_end; t++) {
        const uint8_t *at = values + (size_t)(t * dim16) * 2;
        float32x4_t v[4];
        neon_load_f16(v, at);
        neon_load_f16(v + 2, at + 16);
#pragma GCC unroll 6
        for (int i = 0; i < n; i++) {
            if (!by_all && !(seen[i] >> t & 1))
                continue;
            float32x4_t p = vld1q_dup_f32(s->p[i] + t);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                acc[i][j] = vfmaq_f32(acc[i][j], v[j], p);
        }
    }
}

/*
 * acc = acc * keep + p v, 16 dimensions at a time, the keys in order. A pair does not touch
 * the value of a key it does not see: 0 times infinity is not 0.
 */
TENSOR_INLINE void tile_values(struct attend *s, const uint8_t *values, int64_t dim16,
                               const uint32_t seen[PAIRS], const int n)
{
    const struct attend_span span = attend_span_of(seen, n);
    for (int64_t d = 0; d < dim16; d += 16) {
        float32x4_t acc[PAIRS][4];
#pragma GCC unroll 6
        for (int i = 0; i < n; i++) {
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                acc[i][j] = vmulq_n_f32(vld1q_f32(s->acc[i] + d + 4 * j), s->keep[i]);
        }
        const uint8_t *v = values + d * 2;
        values_of_keys(s, acc, v, dim16, span.begin, span.all_begin, seen, false, n);
        values_of_keys(s, acc, v, dim16, span.all_begin, span.all_end, seen, true, n);
        values_of_keys(s, acc, v, dim16, span.all_end, span.end, seen, false, n);
#pragma GCC unroll 6
        for (int i = 0; i < n; i++) {
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                vst1q_f32(s->acc[i] + d + 4 * j, acc[i][j]);
        }
    }
}

/* All tiles for `n` pairs, n a constant so that what they share stays in registers. */
TENSOR_INLINE void attend_pairs(struct attend *s, const struct tensor_heads *heads, const int n)
{
    int64_t head_dim = heads->head_dim;
    int64_t dim16 = dim_16(head_dim);
    attend_start(s, dim16, n);
    int64_t first = s->keys_min / TENSOR_KV_BLOCK * TENSOR_KV_BLOCK;
    for (; first < s->keys_max; first += TENSOR_KV_BLOCK) {
        const uint8_t *head = attend_head(heads, first);
        uint32_t seen[PAIRS];
        half_scores(s, head, head_dim, heads->scale, 0, n);
        half_scores(s, head, head_dim, heads->scale, 16, n);
        for (int i = 0; i < n; i++) {
            seen[i] = attend_seen(s, i, first);
            tile_softmax(s, i, seen[i]);
        }
        tile_values(s, attend_values(head, head_dim), dim16, seen, n);
    }
}

static void attend_6(struct attend *s, const struct tensor_heads *heads)
{
    attend_pairs(s, heads, 6);
}

static void attend_3(struct attend *s, const struct tensor_heads *heads)
{
    attend_pairs(s, heads, 3);
}

static void store_pair(const struct attend *s, int i, int64_t head_dim)
{
    float32x4_t sum[4];
    for (int k = 0; k < 4; k++)
        sum[k] = vld1q_f32(s->sum[i] + 4 * k);
    float inverse = 1.0f / neon_sum(sum);
    for (int64_t d = 0; d < head_dim; d += 4)
        neon_store(s->out[i] + d, head_dim - d, vmulq_n_f32(vld1q_f32(s->acc[i] + d), inverse));
}

void attention_neon(float *out, const float *q, int64_t n_rows, int64_t pos,
                    const struct tensor_heads *heads)
{
    struct attend s;
    for (int64_t first = 0; first < n_rows * heads->group;) {
        int64_t n = attend_take(&s, PAIRS, first, out, q, n_rows, pos, heads);
        if (n > 3)
            attend_6(&s, heads);
        else
            attend_3(&s, heads);
        for (int i = 0; i < n; i++)
            store_pair(&s, i, heads->head_dim);
        first += n;
    }
}
