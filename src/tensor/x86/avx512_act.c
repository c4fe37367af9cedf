/*
 * Activations prepared for AVX-512 as packed.h says: 16 blocks at a time, of which a lane has what
 * there is one of for each, so that a block costs little beside its bytes.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "tensor/x86/avx512_weights.h"

/* The block of 32 that begins `left` before the end of a row, zeros behind it. */
TENSOR_INLINE void load_block(__m512 v[2], const float *x, int64_t left)
{
    v[0] = _mm512_maskz_loadu_ps(avx512_tail(left), x);
    v[1] = _mm512_maskz_loadu_ps(avx512_tail(left > 16 ? left - 16 : 0), x + 16);
}

/* Sum of squares, in 16 lanes, then the tree of avx512_sum. */
TENSOR_INLINE float energy_of(const float *x, int64_t n)
{
    __m512 sum = _mm512_setzero_ps();
    for (int64_t k = 0; k < n; k += PACKED_BLOCK) {
        __m512 v[2];
        load_block(v, x + k, n - k);
        sum = _mm512_fmadd_ps(v[0], v[0], sum);
        sum = _mm512_fmadd_ps(v[1], v[1], sum);
    }
    return avx512_sum(sum);
}

/* Blocks of a row that are prepared together, one in each lane. */
enum {
    ACT_BLOCKS = 16
};

/* Lane i: the largest lane of v[i]. */
TENSOR_INLINE __m512 max_of_each(__m512 v[ACT_BLOCKS])
{
    for (int i = 0; i < 8; i++)
        v[i] = _mm512_max_ps(_mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]),
                             _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]));
    for (int i = 0; i < 4; i++) {
        __m512d a = _mm512_castps_pd(v[2 * i]);
        __m512d b = _mm512_castps_pd(v[2 * i + 1]);
        v[i] = _mm512_max_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                             _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    for (int n = 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++)
            v[i] = _mm512_max_ps(_mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0x88),
                                 _mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0xdd));
    return v[0];
}

/* Sums of the signed bytes of half blocks: half h of block b in lane 2b + h. */
struct half_sums {
    __m512i of[2];
};

TENSOR_INLINE struct half_sums sum_halves(const uint8_t *bytes, int64_t blocks)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    struct half_sums sums;
    for (int i = 0; i < 2; i++) {
        __m512i v[4]; /* of two blocks each: four sums of each half */
        for (int k = 0; k < 4; k++) {
            int64_t b = 8 * i + 2 * k;
            v[k] = _mm512_setzero_si512();
            if (b < blocks)
                v[k] = _mm512_dpbusd_epi32(v[k], _mm512_set1_epi8(1),
                                           avx512_load(bytes + b * PACKED_BLOCK));
        }
        __m512i a =
            _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
        __m512i b =
            _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
        __m512i sum = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
        sums.of[i] = _mm512_permutexvar_epi32(order, sum);
    }
    return sums;
}

/* Lane b: lane 2b of the two, and lane 2b + 1. */
TENSOR_INLINE void even_and_odd(__m512 out[2], __m512 low, __m512 high)
{
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    out[0] = _mm512_permutex2var_ps(low, even, high);
    out[1] = _mm512_permutex2var_ps(low, _mm512_add_epi32(even, _mm512_set1_epi32(1)), high);
}

/* -128 times the sums, of halves and of blocks. */
TENSOR_INLINE void store_offsets(uint8_t *at, uint8_t *at16, const struct half_sums *sums,
                                 int64_t blocks)
{
    __m512i offset[2];
    __m512 halves[2];
    for (int i = 0; i < 2; i++) {
        offset[i] = _mm512_slli_epi32(_mm512_sub_epi32(_mm512_setzero_si512(), sums->of[i]), 7);
        if (8 * i < blocks)
            _mm512_storeu_si512(at16 + 64 * i, offset[i]);
    }
    even_and_odd(halves, _mm512_castsi512_ps(offset[0]), _mm512_castsi512_ps(offset[1]));
    _mm512_storeu_si512(
        at, _mm512_add_epi32(_mm512_castps_si512(halves[0]), _mm512_castps_si512(halves[1])));
}

/* What minima are multiplied with: s * sum(p + r/254). */
TENSOR_INLINE void store_scaled_sums(uint8_t *at, uint8_t *at16, __m512 scale,
                                     const struct half_sums *sums, const struct half_sums *rests,
                                     int64_t blocks)
{
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    __m512 sum[2];
    __m512 halves[2];
    for (int i = 0; i < 2; i++) {
        __m512 rest =
            _mm512_mul_ps(_mm512_cvtepi32_ps(rests->of[i]), _mm512_set1_ps(ACT_REST_SCALE));
        sum[i] = _mm512_add_ps(_mm512_cvtepi32_ps(sums->of[i]), rest);
        __m512i lanes = _mm512_add_epi32(twice, _mm512_set1_epi32(8 * i));
        if (8 * i < blocks)
            _mm512_storeu_ps(at16 + 64 * i,
                             _mm512_mul_ps(sum[i], _mm512_permutexvar_ps(lanes, scale)));
    }
    even_and_odd(halves, sum[0], sum[1]);
    _mm512_storeu_ps(at, _mm512_mul_ps(scale, _mm512_add_ps(halves[0], halves[1])));
}

TENSOR_INLINE void store_bytes(uint8_t *out, __m512i q0, __m512i q1)
{
    _mm_storeu_si128((__m128i *)(void *)out, _mm512_cvtsepi32_epi8(q0));
    _mm_storeu_si128((__m128i *)(void *)(out + 16), _mm512_cvtsepi32_epi8(q1));
}

/* (t - q) * 254 to nearest: what rounding t to q left. */
TENSOR_INLINE __m512i rest_of(__m512 t, __m512i q)
{
    __m512 rest = _mm512_sub_ps(t, _mm512_cvtepi32_ps(q));
    return _mm512_cvtps_epi32(_mm512_mul_ps(rest, _mm512_set1_ps(254.0f)));
}

/* The bytes of a block, and of its rest or zeros; one that is not `is_used` counts as zeros. */
TENSOR_INLINE void store_block(uint8_t *p, uint8_t *rest, const float *x, int64_t left,
                               float inverse, bool is_used, bool has_rest)
{
    __m512 v[2];
    load_block(v, x, left);
    __mmask16 m = is_used ? 0xffff : 0;
    __m512 t0 = _mm512_maskz_mul_ps(m, v[0], _mm512_set1_ps(inverse));
    __m512 t1 = _mm512_maskz_mul_ps(m, v[1], _mm512_set1_ps(inverse));
    __m512i q0 = _mm512_cvtps_epi32(t0);
    __m512i q1 = _mm512_cvtps_epi32(t1);
    store_bytes(p, q0, q1);
    if (has_rest)
        store_bytes(rest, rest_of(t0, q0), rest_of(t1, q1));
    else
        memset(rest, 0, PACKED_BLOCK);
}

/*
 * Up to 16 blocks from block `b` on. Scale max|x|/127, p = x * (127 / max|x|) rounded to nearest
 * even. A block so small that 127 / max overflows counts as zeros. One with a NaN or an infinity
 * gets the scale NaN, which reaches every output of the row.
 */
TENSOR_INLINE void prepare_blocks(uint8_t *row, const struct act_layout *a, const float *x,
                                  int64_t left, int64_t b, int64_t blocks, float energy)
{
    __m512 most[ACT_BLOCKS];
    uint32_t with_nan = 0;
    for (int i = 0; i < ACT_BLOCKS; i++) {
        most[i] = _mm512_setzero_ps();
        if (i >= blocks)
            continue;
        __m512 v[2];
        load_block(v, x + i * PACKED_BLOCK, left - i * PACKED_BLOCK);
        most[i] = _mm512_max_ps(_mm512_abs_ps(v[0]), _mm512_abs_ps(v[1]));
        with_nan |= (uint32_t)(_mm512_cmp_ps_mask(v[0], v[1], _CMP_UNORD_Q) != 0) << i;
    }
    const __m512 largest = _mm512_set1_ps(FLT_MAX);
    __m512 max = max_of_each(most);
    __mmask16 finite = _mm512_cmp_ps_mask(max, largest, _CMP_LE_OQ) & (__mmask16)~with_nan;
    __m512 inverse = _mm512_div_ps(_mm512_set1_ps(127.0f), max);
    __mmask16 used = _mm512_mask_cmp_ps_mask(finite, inverse, largest, _CMP_LE_OQ);
    __m512 scale = _mm512_mask_div_ps(_mm512_set1_ps(NAN), finite, max, _mm512_set1_ps(127.0f));
    __m512 square = _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(16.0f), max), max);
    __mmask16 rests = _mm512_cmp_ps_mask(square, _mm512_set1_ps(energy), _CMP_GT_OQ);
    float inverses[ACT_BLOCKS];
    _mm512_storeu_ps(inverses, inverse);
    uint8_t *p = row + b * PACKED_BLOCK;
    uint8_t *rest = row + a->rest + b * PACKED_BLOCK;
    for (int64_t i = 0; i < blocks; i++)
        store_block(p + i * PACKED_BLOCK, rest + i * PACKED_BLOCK, x + i * PACKED_BLOCK,
                    left - i * PACKED_BLOCK, inverses[i], used >> i & 1, rests >> i & 1);
    memcpy(row + a->has_rest + b / 8, &rests, sizeof rests);
    _mm512_storeu_ps(row + a->scale + 4 * b, scale);
    const struct half_sums sums = sum_halves(p, blocks);
    const struct half_sums rest_sums = sum_halves(rest, blocks);
    store_offsets(row + a->offset + 4 * b, row + a->offset16 + 8 * b, &sums, blocks);
    store_offsets(row + a->rest_offset + 4 * b, row + a->rest_offset16 + 8 * b, &rest_sums, blocks);
    store_scaled_sums(row + a->scaled_sum + 4 * b, row + a->scaled_sum16 + 8 * b, scale, &sums,
                      &rest_sums, blocks);
}

/* Arrays of a row are padded to 64 bytes: what lanes past the last block hold goes there. */
void act_prepare_avx512(void *act, const float *x, int64_t n)
{
    const int64_t blocks = (n + PACKED_BLOCK - 1) / PACKED_BLOCK;
    const struct act_layout a = act_layout_of(n);
    uint8_t *row = act;
    const float energy = energy_of(x, n);
    memset(row + a.has_rest, 0, a.row_bytes - a.has_rest);
    for (int64_t b = 0; b < blocks; b += ACT_BLOCKS) {
        int64_t some = blocks - b < ACT_BLOCKS ? blocks - b : ACT_BLOCKS;
        prepare_blocks(row, &a, x + b * PACKED_BLOCK, n - b * PACKED_BLOCK, b, some, energy);
    }
}
