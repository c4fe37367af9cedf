/*
 * The KV cache and attention for AVX2, with the order and the bits of avx512_attention.c.
 */
#include <math.h>
#include <string.h>

#include "tensor/attend.h"
#include "tensor/x86/avx2.h"

enum {
    TILE_REGISTERS = TENSOR_KV_BLOCK / 8,
    PAIRS = 6 /* (row, query head) pairs that share a load of keys and values, at most */
};

/*
 * A head's part of a block: keys [head_dim][32] f16, transposed so that lanes are tokens,
 * then values [32][dim8] f16, dim8 = head_dim rounded up to 8 and padded with zeros.
 */
TENSOR_INLINE int64_t dim_8(int64_t head_dim)
{
    return (head_dim + 7) & ~(int64_t)7;
}

size_t kv_head_bytes_avx2(int64_t head_dim)
{
    return (size_t)TENSOR_KV_BLOCK * 2 * (size_t)(head_dim + dim_8(head_dim));
}

TENSOR_INLINE __m128i to_f16(__m256 v)
{
    return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

void kv_write_avx2(void *head, int64_t slot, const float *k, const float *v, int64_t head_dim)
{
    uint8_t *keys = head;
    uint8_t *values = attend_values(head, head_dim) + (size_t)(slot * dim_8(head_dim)) * 2;
    for (int64_t i = 0; i < head_dim; i += 8) {
        uint16_t column[8];
        _mm_storeu_si128((__m128i *)(void *)column, to_f16(avx2_load(k + i, head_dim - i)));
        for (int64_t j = 0; j < 8 && i + j < head_dim; j++)
            memcpy(keys + (size_t)((i + j) * TENSOR_KV_BLOCK + slot) * 2, &column[j], 2);
        _mm_storeu_si128((__m128i *)(void *)(values + i * 2),
                         to_f16(avx2_load(v + i, head_dim - i)));
    }
}

/*
 * s->p = scale q k^T for the 16 keys of a tile from `first` on, times log2 e so that powers are
 * of 2.
 */
TENSOR_INLINE void half_scores(struct attend *s, const uint8_t *keys, int64_t head_dim, float scale,
                               const int first, const int n)
{
    __m256 score[PAIRS][2];
#pragma GCC unroll 6
    for (int i = 0; i < n; i++)
        score[i][0] = score[i][1] = _mm256_setzero_ps();
    for (int64_t d = 0; d < head_dim; d++) {
        const uint8_t *at = keys + (size_t)(d * TENSOR_KV_BLOCK + first) * 2;
        __m256 k0 = avx2_load_f16(at);
        __m256 k1 = avx2_load_f16(at + 16);
#pragma GCC unroll 6
        for (int i = 0; i < n; i++) {
            __m256 q = _mm256_set1_ps(s->q[i][d]);
            score[i][0] = _mm256_fmadd_ps(k0, q, score[i][0]);
            score[i][1] = _mm256_fmadd_ps(k1, q, score[i][1]);
        }
    }
    __m256 scales = _mm256_set1_ps(scale * LOG2_E);
#pragma GCC unroll 6
    for (int i = 0; i < n; i++) {
        _mm256_storeu_ps(s->p[i] + first, _mm256_mul_ps(score[i][0], scales));
        _mm256_storeu_ps(s->p[i] + first + 8, _mm256_mul_ps(score[i][1], scales));
    }
}

/* Ones in the lanes whose bits are set, of 8. */
TENSOR_INLINE __m256 lanes_of(uint32_t bits)
{
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i set = _mm256_and_si256(_mm256_set1_epi32((int)bits), bit);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, bit));
}

/* Raises the maximum of a pair, and says what came before is multiplied with. */
TENSOR_INLINE void raise_max(struct attend *s, int i, float max)
{
    s->keep[i] = 1.0f;
    if (!(max > s->max[i]))
        return;
    s->keep[i] = s->max[i] == -INFINITY
                     ? 0.0f
                     : _mm256_cvtss_f32(avx2_exp2(_mm256_set1_ps(s->max[i] - max)));
    s->max[i] = max;
    __m256 keep = _mm256_set1_ps(s->keep[i]);
#pragma GCC unroll 2
    for (int k = 0; k < 16; k += 8)
        _mm256_storeu_ps(s->sum[i] + k, _mm256_mul_ps(_mm256_loadu_ps(s->sum[i] + k), keep));
}

/* Moves maximum and sum of one pair over a tile of which it sees the keys `seen`. */
TENSOR_INLINE void tile_softmax(struct attend *s, int i, uint32_t seen)
{
    if (seen == 0) {
        s->keep[i] = 1.0f;
        memset(s->p[i], 0, sizeof s->p[i]);
        return;
    }
    const __m256 lowest = _mm256_set1_ps(-INFINITY);
    __m256 mask[TILE_REGISTERS];
    __m256 score[TILE_REGISTERS];
#pragma GCC unroll 4
    for (int k = 0; k < TILE_REGISTERS; k++) {
        mask[k] = lanes_of(seen >> 8 * k);
        score[k] = _mm256_blendv_ps(lowest, _mm256_loadu_ps(s->p[i] + 8 * k), mask[k]);
    }
    raise_max(s, i,
              avx2_max(_mm256_max_ps(_mm256_max_ps(score[0], score[1]),
                                     _mm256_max_ps(score[2], score[3]))));
    __m256 top = _mm256_set1_ps(s->max[i]);
#pragma GCC unroll 4
    for (int k = 0; k < TILE_REGISTERS; k++) {
        score[k] = _mm256_and_ps(avx2_exp2(_mm256_sub_ps(score[k], top)), mask[k]);
        _mm256_storeu_ps(s->p[i] + 8 * k, score[k]);
    }
#pragma GCC unroll 2
    for (int k = 0; k < 2; k++) {
        float *sum = s->sum[i] + 8 * k;
        _mm256_storeu_ps(
            sum, _mm256_add_ps(_mm256_loadu_ps(sum), _mm256_add_ps(score[k], score[k + 2])));
    }
}

/* acc += p v for the keys t_begin..t_end-1, each for the pairs that see it, or for all. */
TENSOR_INLINE void values_of_keys(const struct attend *s, __m256 acc[PAIRS][2],
                                  const uint8_t *values, int64_t dim8, bool second, int64_t t_begin,
                                  int64_t t_end, const uint32_t seen[PAIRS], const bool by_all,
                                  const int n)
{
    for (int64_t t = t_begin; t < t_end; t++) {
        const uint8_t *v = values + (size_t)(t * dim8) * 2;
        __m256 v0 = avx2_load_f16(v);
        __m256 v1 = second ? avx2_load_f16(v + 16) : _mm256_setzero_ps();
#pragma GCC unroll 6
        for (int i = 0; i < n; i++) {
            __m256 p = _mm256_set1_ps(s->p[i][t]);
            __m256 sum0 = _mm256_fmadd_ps(p, v0, acc[i][0]);
            __m256 sum1 = _mm256_fmadd_ps(p, v1, acc[i][1]);
            if (by_all || seen[i] >> t & 1) {
                acc[i][0] = sum0;
                acc[i][1] = sum1;
            }
        }
    }
}

/*
 * acc = acc * keep + p v, 16 dimensions at a time, the keys in order. A pair does not touch
 * the value of a key it does not see: 0 times infinity is not 0.
 */
TENSOR_INLINE void tile_values(struct attend *s, const uint8_t *values, int64_t dim8,
                               const uint32_t seen[PAIRS], const int n)
{
    const struct attend_span span = attend_span_of(seen, n);
    for (int64_t d = 0; d < dim8; d += 16) {
        bool second = d + 8 < dim8;
        __m256 acc[PAIRS][2];
#pragma GCC unroll 6
        for (int i = 0; i < n; i++) {
            __m256 keep = _mm256_set1_ps(s->keep[i]);
            acc[i][0] = _mm256_mul_ps(_mm256_loadu_ps(s->acc[i] + d), keep);
            acc[i][1] = second ? _mm256_mul_ps(_mm256_loadu_ps(s->acc[i] + d + 8), keep)
                               : _mm256_setzero_ps();
        }
        const uint8_t *v = values + d * 2;
        values_of_keys(s, acc, v, dim8, second, span.begin, span.all_begin, seen, false, n);
        values_of_keys(s, acc, v, dim8, second, span.all_begin, span.all_end, seen, true, n);
        values_of_keys(s, acc, v, dim8, second, span.all_end, span.end, seen, false, n);
#pragma GCC unroll 6
        for (int i = 0; i < n; i++) {
            _mm256_storeu_ps(s->acc[i] + d, acc[i][0]);
            if (second)
                _mm256_storeu_ps(s->acc[i] + d + 8, acc[i][1]);
        }
    }
}

/* All tiles for `n` pairs, n a constant so that what they share stays in registers. */
TENSOR_INLINE void attend_pairs(struct attend *s, const struct tensor_heads *heads, const int n)
{
    int64_t head_dim = heads->head_dim;
    int64_t dim8 = dim_8(head_dim);
    attend_start(s, dim8, n);
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
        tile_values(s, attend_values(head, head_dim), dim8, seen, n);
    }
}

static void attend_6(struct attend *s, const struct tensor_heads *heads)
{
    attend_pairs(s, heads, 6);
}

static void attend_4(struct attend *s, const struct tensor_heads *heads)
{
    attend_pairs(s, heads, 4);
}

static void store_pair(const struct attend *s, int i, int64_t head_dim)
{
    __m256 lanes = _mm256_add_ps(_mm256_loadu_ps(s->sum[i]), _mm256_loadu_ps(s->sum[i] + 8));
    __m256 inverse = _mm256_set1_ps(1.0f / avx2_sum(lanes));
    for (int64_t d = 0; d < head_dim; d += 8)
        avx2_store(s->out[i] + d, head_dim - d,
                   _mm256_mul_ps(_mm256_loadu_ps(s->acc[i] + d), inverse));
}

void attention_avx2(float *out, const float *q, int64_t n_rows, int64_t pos,
                    const struct tensor_heads *heads)
{
    struct attend s;
    for (int64_t first = 0; first < n_rows * heads->group;) {
        int64_t n = attend_take(&s, PAIRS, first, out, q, n_rows, pos, heads);
        if (n > 4)
            attend_6(&s, heads);
        else
            attend_4(&s, heads);
        for (int i = 0; i < n; i++)
            store_pair(&s, i, heads->head_dim);
        first += n;
    }
}
