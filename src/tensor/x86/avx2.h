#ifndef TENSOR_AVX2_H
#define TENSOR_AVX2_H

/* For the avx2_*.c files only, which are compiled for AVX2, FMA and F16C: what they share. */
#include <immintrin.h>

#include "tensor/packed.h"
#include "tensor/x86/kernels.h"

/* The lanes of a tail: all ones in the first `left` of 8. */
TENSOR_INLINE __m256i avx2_tail(int64_t left)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(left >= 8 ? 8 : left > 0 ? (int)left : 0), lane);
}

/* The first `left` of 8 floats, zeros behind them. */
TENSOR_INLINE __m256 avx2_load(const float *p, int64_t left)
{
    return left >= 8 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, avx2_tail(left));
}

TENSOR_INLINE void avx2_store(float *p, int64_t left, __m256 v)
{
    if (left >= 8)
        _mm256_storeu_ps(p, v);
    else
        _mm256_maskstore_ps(p, avx2_tail(left), v);
}

TENSOR_INLINE __m256 avx2_load_f16(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* Sum and maximum of the lanes: those 4 apart, then 2, 1. */
TENSOR_INLINE float avx2_sum(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

TENSOR_INLINE float avx2_max(__m256 v)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

/* p * 2^n for whole n in -126..200, in two steps as neither half overflows. */
TENSOR_INLINE __m256 avx2_scale(__m256 p, __m256 n)
{
    const __m256i bias = _mm256_set1_epi32(127);
    __m256i whole = _mm256_cvtps_epi32(n);
    __m256i half = _mm256_srai_epi32(whole, 1);
    __m256i rest = _mm256_sub_epi32(whole, half);
    __m256i a = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i b = _mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(a)), _mm256_castsi256_ps(b));
}

/*
 * e^x, relative error below 2e-7; infinite above 88.7; below -87 it stays at the smallest
 * normal numbers. 2^(x log2 e) with the fraction by a polynomial (Cephes expf). min and max
 * return their second operand if one is NaN, so a NaN comes through.
 */
TENSOR_INLINE __m256 avx2_exp(__m256 x)
{
    x = _mm256_max_ps(_mm256_set1_ps(-87.0f), _mm256_min_ps(_mm256_set1_ps(100.0f), x));
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 f = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
    f = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), f);
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(5.0000001201e-1f));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(f, f), _mm256_add_ps(f, _mm256_set1_ps(1.0f)));
    return avx2_scale(p, n);
}

/* 2^x for x <= 0: see avx512_exp2, whose bits it has. */
TENSOR_INLINE __m256 avx2_exp2(__m256 x)
{
    x = _mm256_max_ps(_mm256_set1_ps(-126.0f), x);
    __m256 n = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 f = _mm256_sub_ps(x, n);
    __m256 p = _mm256_set1_ps(1.326472708e-3f);
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(9.671512862e-3f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(5.550733746e-2f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(2.402224208e-1f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(6.931469776e-1f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.0f));
    __m256i power = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(power, 23)));
}

#endif
