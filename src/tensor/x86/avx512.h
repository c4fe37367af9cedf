#ifndef TENSOR_AVX512_H
#define TENSOR_AVX512_H

/*
 * For the avx512*.c files only, which are compiled for AVX-512 with VNNI (F, BW, DQ, VL, VNNI;
 * FMA and F16C): the pieces they share.
 */
#include <immintrin.h>

#include "tensor/packed.h"
#include "tensor/x86/kernels.h"

/* The lanes of a tail: the first `left` of 16. */
TENSOR_INLINE __mmask16 avx512_tail(int64_t left)
{
    return (__mmask16)(left >= 16 ? 0xffffu : (1u << left) - 1);
}

TENSOR_INLINE __m512 avx512_load_f16(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

/* A line that will be written and lies in no near cache yet. */
TENSOR_INLINE void avx512_fetch_to_write(const float *p)
{
    __asm__ volatile("prefetchw %0" : : "m"(*p));
}

/* Sum of the lanes: those 8 apart, then 4, 2, 1. */
TENSOR_INLINE float avx512_sum(__m512 v)
{
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/*
 * e^x, relative error below 2e-7; infinite above 88.7; below -87 it stays at the smallest
 * normal numbers. 2^(x log2 e) with the fraction by a polynomial (Cephes expf). min and max
 * return their second operand if one is NaN, so a NaN comes through.
 */
TENSOR_INLINE __m512 avx512_exp(__m512 x)
{
    x = _mm512_max_ps(_mm512_set1_ps(-87.0f), _mm512_min_ps(_mm512_set1_ps(100.0f), x));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 f = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    f = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), f);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(f, f), _mm512_add_ps(f, _mm512_set1_ps(1.0f)));
    return _mm512_scalef_ps(p, n);
}

/*
 * 2^x for x <= 0, relative error below 2e-7; below -126 it stays at the smallest normal number.
 * Exact for whole x; a NaN comes through. The polynomial is a minimax fit to (2^f - 1) / f.
 */
TENSOR_INLINE __m512 avx512_exp2(__m512 x)
{
    x = _mm512_max_ps(_mm512_set1_ps(-126.0f), x);
    __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 f = _mm512_sub_ps(x, n);
    __m512 p = _mm512_set1_ps(1.326472708e-3f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.671512862e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.550733746e-2f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.402224208e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.931469776e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

#endif
