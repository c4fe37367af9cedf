/*
 * Operations over rows for AVX-512. The sum of an RMS norm has 16 parts, lane i taking inputs
 * i, i+16, ...; those 8 apart are added, then 4, 2, 1.
 */
#include <math.h>

#include "tensor/x86/avx512.h"

void rmsnorm_avx512(float *y, const float *x, const float *w, int64_t n, float eps)
{
    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_maskz_loadu_ps(avx512_tail(n - i), x + i);
        sum = _mm512_fmadd_ps(v, v, sum);
    }
    float scale = 1.0f / sqrtf(avx512_sum(sum) / (float)n + eps);
    for (int64_t i = 0; i < n; i += 16) {
        __mmask16 m = avx512_tail(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), _mm512_set1_ps(scale));
        _mm512_mask_storeu_ps(y + i, m, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, w + i)));
    }
}

void add_avx512(float *x, const float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i += 16) {
        __mmask16 m = avx512_tail(n - i);
        __m512 v = _mm512_add_ps(_mm512_maskz_loadu_ps(m, x + i), _mm512_maskz_loadu_ps(m, y + i));
        _mm512_mask_storeu_ps(x + i, m, v);
    }
}

/* g / (1 + e^-g) */
TENSOR_INLINE __m512 silu_ps(__m512 g)
{
    __m512 e = avx512_exp(_mm512_sub_ps(_mm512_setzero_ps(), g));
    return _mm512_div_ps(g, _mm512_add_ps(e, _mm512_set1_ps(1.0f)));
}

/* g/2 (1 + tanh u) = g / (1 + e^-2u) with u = sqrt(2/pi) (g + 0.044715 g^3). */
TENSOR_INLINE __m512 gelu_ps(__m512 g)
{
    __m512 cube = _mm512_mul_ps(_mm512_mul_ps(g, g), g);
    __m512 u = _mm512_fmadd_ps(cube, _mm512_set1_ps(0.044715f), g);
    __m512 e = avx512_exp(_mm512_mul_ps(u, _mm512_set1_ps(-1.5957691216057308f)));
    return _mm512_div_ps(g, _mm512_add_ps(e, _mm512_set1_ps(1.0f)));
}

void gated_avx512(enum tensor_gate kind, float *y, const float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i += 16) {
        __mmask16 m = avx512_tail(n - i);
        __m512 g = _mm512_maskz_loadu_ps(m, gate + i);
        g = kind == TENSOR_GATE_SILU ? silu_ps(g) : gelu_ps(g);
        _mm512_mask_storeu_ps(y + i, m, _mm512_mul_ps(g, _mm512_maskz_loadu_ps(m, up + i)));
    }
}

/* Neighbours, 8 pairs at a time: (a, b) -> (a c - b s, b c + a s). */
TENSOR_INLINE void rope_norm(float *head, const float *rot, int64_t n_pairs)
{
    for (int64_t i = 0; i < 2 * n_pairs; i += 16) {
        __mmask16 m = avx512_tail(2 * n_pairs - i);
        __m512 v = _mm512_maskz_loadu_ps(m, head + i);
        __m512 cs = _mm512_maskz_loadu_ps(m, rot + i);
        __m512 c = _mm512_moveldup_ps(cs);
        __m512 s = _mm512_movehdup_ps(cs);
        __m512 swapped = _mm512_permute_ps(v, 0xb1);
        _mm512_mask_storeu_ps(head + i, m, _mm512_fmaddsub_ps(v, c, _mm512_mul_ps(swapped, s)));
    }
}

/* Halves, 16 pairs at a time; `rot` alternates cosine and sine. */
TENSOR_INLINE void rope_neox(float *head, const float *rot, int64_t n_pairs)
{
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    for (int64_t i = 0; i < n_pairs; i += 16) {
        __mmask16 m = avx512_tail(n_pairs - i);
        int64_t floats = 2 * (n_pairs - i);
        __m512 r0 = _mm512_maskz_loadu_ps(avx512_tail(floats), rot + 2 * i);
        __m512 r1 = floats > 16 ? _mm512_maskz_loadu_ps(avx512_tail(floats - 16), rot + 2 * i + 16)
                                : _mm512_setzero_ps();
        __m512 c = _mm512_permutex2var_ps(r0, even, r1);
        __m512 s = _mm512_permutex2var_ps(r0, odd, r1);
        __m512 a = _mm512_maskz_loadu_ps(m, head + i);
        __m512 b = _mm512_maskz_loadu_ps(m, head + n_pairs + i);
        _mm512_mask_storeu_ps(head + i, m, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(head + n_pairs + i, m, _mm512_fmadd_ps(a, s, _mm512_mul_ps(b, c)));
    }
}

void rope_avx512(enum tensor_rope_kind kind, float *x, const float *rot, int64_t n_heads,
                 int64_t head_dim, int64_t n_pairs)
{
    for (int64_t h = 0; h < n_heads; h++) {
        if (kind == TENSOR_ROPE_NORM)
            rope_norm(x + h * head_dim, rot, n_pairs);
        else
            rope_neox(x + h * head_dim, rot, n_pairs);
    }
}
