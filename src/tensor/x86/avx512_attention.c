/*
 * The KV cache and attention for AVX-512. Keys in tiles of 32 from position 0; in a tile the
 * dimensions of a score from 0 on, then the values in the order of keys. What came before a
 * tile is rescaled once, if the maximum rose. The sum has 16 lanes, lane i taking keys i and
 * i + 16 of each tile; at the end the tree of avx512_sum.
 */
#include <math.h>
#include <string.h>

#include "tensor/attend.h"
#include "tensor/x86/avx512.h"

/*
 * A head's part of a block: keys [head_dim][32] f16, transposed so that lanes are tokens,
 * then values [32][dim16] f16, dim16 = head_dim rounded up to 16 and padded with zeros.
 */
TENSOR_INLINE int64_t dim_16(int64_t head_dim)
{
    return (head_dim + 15) & ~(int64_t)15;
}

size_t kv_head_bytes_avx512(int64_t head_dim)
{
    return (size_t)TENSOR_KV_BLOCK * 2 * (size_t)(head_dim + dim_16(head_dim));
}

void kv_write_avx512(void *head, int64_t slot, const float *k, const float *v, int64_t head_dim)
{
    uint8_t *keys = head;
    uint8_t *values = attend_values(head, head_dim) + (size_t)slot * (size_t)dim_16(head_dim) * 2;
    for (int64_t i = 0; i < head_dim; i += 16) {
        __mmask16 m = avx512_tail(head_dim - i);
        uint16_t column[16];
        _mm256_storeu_si256((__m256i *)(void *)column,
                            _mm512_cvtps_ph(_mm512_maskz_loadu_ps(m, k + i),
                                            _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
        for (int64_t j = 0; j < 16 && i + j < head_dim; j++)
            memcpy(keys + (size_t)((i + j) * TENSOR_KV_BLOCK + slot) * 2, &column[j], 2);
        _mm256_storeu_si256((__m256i *)(void *)(values + i * 2),
                            _mm512_cvtps_ph(_mm512_maskz_loadu_ps(m, v + i),
                                            _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
}

enum {
    PAIRS = 8 /* (row, query head) pairs that share a load of keys and values, at most */
};

/*
 * score [n][32] = scale q k^T for one tile, times log2 e so that powers are of 2. Few pairs are
 * decoding, whose keys and values nobody has read before: those at `next` are fetched meanwhile.
 */
TENSOR_INLINE void tile_scores(const struct attend *s, const uint8_t *keys, const uint8_t *next,
                               int64_t head_dim, float scale, __m512 score[PAIRS][2], const int n)
{
#pragma GCC unroll 8
    for (int i = 0; i < n; i++)
        score[i][0] = score[i][1] = _mm512_setzero_ps();
    for (int64_t d = 0; d < head_dim; d++) {
        if (n <= 4) {
            _mm_prefetch((const char *)next + 128 * d, _MM_HINT_T0);
            _mm_prefetch((const char *)next + 128 * d + 64, _MM_HINT_T0);
        }
        __m512 k0 = avx512_load_f16(keys + (size_t)d * 64);
        __m512 k1 = avx512_load_f16(keys + (size_t)d * 64 + 32);
#pragma GCC unroll 8
        for (int i = 0; i < n; i++) {
            __m512 q = _mm512_set1_ps(s->q[i][d]);
            score[i][0] = _mm512_fmadd_ps(k0, q, score[i][0]);
            score[i][1] = _mm512_fmadd_ps(k1, q, score[i][1]);
        }
    }
    __m512 scales = _mm512_set1_ps(scale * LOG2_E);
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) {
        score[i][0] = _mm512_mul_ps(score[i][0], scales);
        score[i][1] = _mm512_mul_ps(score[i][1], scales);
    }
}

/* Raises the maximum of a pair, and says what came before is multiplied with. */
TENSOR_INLINE void raise_max(struct attend *s, int i, float max)
{
    s->keep[i] = 1.0f;
    if (!(max > s->max[i]))
        return;
    s->keep[i] = s->max[i] == -INFINITY
                     ? 0.0f
                     : _mm512_cvtss_f32(avx512_exp2(_mm512_set1_ps(s->max[i] - max)));
    s->max[i] = max;
    _mm512_storeu_ps(s->sum[i],
                     _mm512_mul_ps(_mm512_loadu_ps(s->sum[i]), _mm512_set1_ps(s->keep[i])));
}

/* Moves maximum and sum of one pair over a tile of which it sees the keys `seen`. */
TENSOR_INLINE void tile_softmax(struct attend *s, int i, const __m512 score[2], uint32_t seen)
{
    if (seen == 0) {
        s->keep[i] = 1.0f;
        memset(s->p[i], 0, sizeof s->p[i]);
        return;
    }
    __mmask16 m0 = (__mmask16)seen;
    __mmask16 m1 = (__mmask16)(seen >> 16);
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 s0 = _mm512_mask_mov_ps(lowest, m0, score[0]);
    __m512 s1 = _mm512_mask_mov_ps(lowest, m1, score[1]);
    raise_max(s, i, _mm512_reduce_max_ps(_mm512_max_ps(s0, s1)));
    __m512 top = _mm512_set1_ps(s->max[i]);
    __m512 p0 = _mm512_maskz_mov_ps(m0, avx512_exp2(_mm512_sub_ps(s0, top)));
    __m512 p1 = _mm512_maskz_mov_ps(m1, avx512_exp2(_mm512_sub_ps(s1, top)));
    _mm512_storeu_ps(s->sum[i], _mm512_add_ps(_mm512_loadu_ps(s->sum[i]), _mm512_add_ps(p0, p1)));
    _mm512_storeu_ps(s->p[i], p0);
    _mm512_storeu_ps(s->p[i] + 16, p1);
}

/* acc += p v for the keys t_begin..t_end-1, each for the pairs that see it, or for all. */
TENSOR_INLINE void values_of_keys(const struct attend *s, __m512 acc[PAIRS][2],
                                  const uint8_t *values, int64_t dim16, bool second,
                                  int64_t t_begin, int64_t t_end, const uint32_t seen[PAIRS],
                                  const bool by_all, const int n)
{
    for (int64_t t = t_begin; t < t_end; t++) {
        const uint8_t *v = values + (size_t)(t * dim16) * 2;
        __m512 v0 = avx512_load_f16(v);
        __m512 v1 = second ? avx512_load_f16(v + 32) : _mm512_setzero_ps();
#pragma GCC unroll 8
        for (int i = 0; i < n; i++) {
            __mmask16 m = by_all || seen[i] >> t & 1 ? 0xffff : 0;
            __m512 p = _mm512_set1_ps(s->p[i][t]);
            acc[i][0] = _mm512_mask3_fmadd_ps(p, v0, acc[i][0], m);
            acc[i][1] = _mm512_mask3_fmadd_ps(p, v1, acc[i][1], m);
        }
    }
}

/*
 * acc = acc * keep + p v, 32 dimensions at a time, the keys in order. A pair does not touch
 * the value of a key it does not see: 0 times infinity is not 0.
 */
TENSOR_INLINE void tile_values(struct attend *s, const uint8_t *values, int64_t dim16,
                               const uint32_t seen[PAIRS], const int n)
{
    const struct attend_span span = attend_span_of(seen, n);
    for (int64_t d = 0; d < dim16; d += 32) {
        bool second = d + 16 < dim16;
        __m512 acc[PAIRS][2];
#pragma GCC unroll 8
        for (int i = 0; i < n; i++) {
            __m512 keep = _mm512_set1_ps(s->keep[i]);
            acc[i][0] = _mm512_mul_ps(_mm512_loadu_ps(s->acc[i] + d), keep);
            acc[i][1] = second ? _mm512_mul_ps(_mm512_loadu_ps(s->acc[i] + d + 16), keep)
                               : _mm512_setzero_ps();
        }
        const uint8_t *v = values + d * 2;
        values_of_keys(s, acc, v, dim16, second, span.begin, span.all_begin, seen, false, n);
        values_of_keys(s, acc, v, dim16, second, span.all_begin, span.all_end, seen, true, n);
        values_of_keys(s, acc, v, dim16, second, span.all_end, span.end, seen, false, n);
#pragma GCC unroll 8
        for (int i = 0; i < n; i++) {
            _mm512_storeu_ps(s->acc[i] + d, acc[i][0]);
            if (second)
                _mm512_storeu_ps(s->acc[i] + d + 16, acc[i][1]);
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
        __m512 score[PAIRS][2];
        uint32_t seen[PAIRS];
        tile_scores(s, head, attend_next(heads, first, s), head_dim, heads->scale, score, n);
#pragma GCC unroll 8
        for (int i = 0; i < n; i++) {
            seen[i] = attend_seen(s, i, first);
            tile_softmax(s, i, score[i], seen[i]);
        }
        tile_values(s, attend_values(head, head_dim), dim16, seen, n);
    }
}

#define ATTEND(n)                                                                                  \
    static void attend_##n(struct attend *s, const struct tensor_heads *heads)                     \
    {                                                                                              \
        attend_pairs(s, heads, n);                                                                 \
    }
ATTEND(1)
ATTEND(2)
ATTEND(3)
ATTEND(4)
ATTEND(6)
ATTEND(8)

static void store_pair(const struct attend *s, int i, int64_t head_dim)
{
    __m512 inverse = _mm512_set1_ps(1.0f / avx512_sum(_mm512_loadu_ps(s->sum[i])));
    for (int64_t d = 0; d < head_dim; d += 16)
        _mm512_mask_storeu_ps(s->out[i] + d, avx512_tail(head_dim - d),
                              _mm512_mul_ps(_mm512_loadu_ps(s->acc[i] + d), inverse));
}

void attention_avx512(float *out, const float *q, int64_t n_rows, int64_t pos,
                      const struct tensor_heads *heads)
{
    static void (*const by_pairs[PAIRS])(struct attend *, const struct tensor_heads *) = {
        attend_1, attend_2, attend_3, attend_4, attend_6, attend_6, attend_8, attend_8
    };
    struct attend s;
    for (int64_t first = 0; first < n_rows * heads->group;) {
        int64_t n = attend_take(&s, PAIRS, first, out, q, n_rows, pos, heads);
        by_pairs[n - 1](&s, heads);
        for (int i = 0; i < n; i++)
            store_pair(&s, i, heads->head_dim);
        first += n;
    }
}
