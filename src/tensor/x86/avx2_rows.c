/*
 * Operations over rows for AVX2. The sum of an RMS norm has 16 parts as with AVX-512: lane i of
 * two registers takes inputs i, i+16, ...; those 8 apart are added, then 4, 2, 1.
 */
#include <math.h>

#include "tensor/x86/avx2.h"

void rmsnorm_avx2(float *y, const float *x, const float *w, int64_t n, float eps)
{
    __m256 sum0 = _mm256_setzero_ps();
    __m256 sum1 = _mm256_setzero_ps();
    for (int64_t i = 0; i < n; i += 16) {
        __m256 v0 = avx2_load(x + i, n - i);
        sum0 = _mm256_fmadd_ps(v0, v0, sum0);
        if (n - i > 8) {
            __m256 v1 = avx2_load(x + i + 8, n - i - 8);
            sum1 = _mm256_fmadd_ps(v1, v1, sum1);
        }
    }
    float scale = 1.0f / sqrtf(avx2_sum(_mm256_add_ps(sum0, sum1)) / (float)n + eps);
    for (int64_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_mul_ps(avx2_load(x + i, n - i), _mm256_set1_ps(scale));
        avx2_store(y + i, n - i, _mm256_mul_ps(v, avx2_load(w + i, n - i)));
    }
}

void add_avx2(float *x, const float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i += 8)
        avx2_store(x + i, n - i, _mm256_add_ps(avx2_load(x + i, n - i), avx2_load(y + i, n - i)));
}

/* g / (1 + e^-g) */
TENSOR_INLINE __m256 silu(__m256 g)
{
    __m256 e = avx2_exp(_mm256_sub_ps(_mm256_setzero_ps(), g));
    return _mm256_div_ps(g, _mm256_add_ps(e, _mm256_set1_ps(1.0f)));
}

/* g/2 (1 + tanh u) = g / (1 + e^-2u) with u = sqrt(2/pi) (g + 0.044715 g^3). */
TENSOR_INLINE __m256 gelu(__m256 g)
{
    __m256 cube = _mm256_mul_ps(_mm256_mul_ps(g, g), g);
    __m256 u = _mm256_fmadd_ps(cube, _mm256_set1_ps(0.044715f), g);
    __m256 e = avx2_exp(_mm256_mul_ps(u, _mm256_set1_ps(-1.5957691216057308f)));
    return _mm256_div_ps(g, _mm256_add_ps(e, _mm256_set1_ps(1.0f)));
}

void gated_avx2(enum tensor_gate kind, float *y, const float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i += 8) {
        __m256 g = avx2_load(gate + i, n - i);
        g = kind == TENSOR_GATE_SILU ? silu(g) : gelu(g);
        avx2_store(y + i, n - i, _mm256_mul_ps(g, avx2_load(up + i, n - i)));
    }
}

/* Neighbours, 4 pairs at a time: (a, b) -> (a c - b s, b c + a s). */
TENSOR_INLINE void rope_norm(float *head, const float *rot, int64_t n_pairs)
{
    for (int64_t i = 0; i < 2 * n_pairs; i += 8) {
        int64_t left = 2 * n_pairs - i;
        __m256 v = avx2_load(head + i, left);
        __m256 cs = avx2_load(rot + i, left);
        __m256 swapped = _mm256_permute_ps(v, 0xb1);
        __m256 other = _mm256_mul_ps(swapped, _mm256_movehdup_ps(cs));
        avx2_store(head + i, left, _mm256_fmaddsub_ps(v, _mm256_moveldup_ps(cs), other));
    }
}

/* Halves, 8 pairs at a time; `rot` alternates cosine and sine. */
TENSOR_INLINE void rope_neox(float *head, const float *rot, int64_t n_pairs)
{
    for (int64_t i = 0; i < n_pairs; i += 8) {
        int64_t left = n_pairs - i;
        __m256 r0 = avx2_load(rot + 2 * i, 2 * left);
        __m256 r1 = left > 4 ? avx2_load(rot + 2 * i + 8, 2 * left - 8) : _mm256_setzero_ps();
        /* The shuffle works in halves of registers; the permutation puts pairs in order. */
        __m256d c4 = _mm256_castps_pd(_mm256_shuffle_ps(r0, r1, 0x88));
        __m256d s4 = _mm256_castps_pd(_mm256_shuffle_ps(r0, r1, 0xdd));
        __m256 c = _mm256_castpd_ps(_mm256_permute4x64_pd(c4, 0xd8));
        __m256 s = _mm256_castpd_ps(_mm256_permute4x64_pd(s4, 0xd8));
        __m256 a = avx2_load(head + i, left);
        __m256 b = avx2_load(head + n_pairs + i, left);
        avx2_store(head + i, left, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
        avx2_store(head + n_pairs + i, left, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)));
    }
}

void rope_avx2(enum tensor_rope_kind kind, float *x, const float *rot, int64_t n_heads,
               int64_t head_dim, int64_t n_pairs)
{
    for (int64_t h = 0; h < n_heads; h++) {
        if (kind == TENSOR_ROPE_NORM)
            rope_norm(x + h * head_dim, rot, n_pairs);
        else
            rope_neox(x + h * head_dim, rot, n_pairs);
    }
}
