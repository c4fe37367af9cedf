/*
 * Operations over rows for NEON. The sum of an RMS norm has 16 parts, lane i of four registers
 * taking inputs i, i+16, ...; those 8 apart are added, then 4, 2, 1.
 */
#include <math.h>

#include "tensor/arm/neon.h"

void rmsnorm_neon(float *y, const float *x, const float *w, int64_t n, float eps)
{
    float32x4_t sum[4] = { vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0) };
    for (int64_t i = 0; i < n; i += 16) {
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) {
            float32x4_t v = neon_load(x + i + 4 * k, n - i - 4 * k);
            sum[k] = vfmaq_f32(sum[k], v, v);
        }
    }
    float scale = 1.0f / sqrtf(neon_sum(sum) / (float)n + eps);
    for (int64_t i = 0; i < n; i += 4) {
        float32x4_t v = vmulq_n_f32(neon_load(x + i, n - i), scale);
        neon_store(y + i, n - i, vmulq_f32(v, neon_load(w + i, n - i)));
    }
}

void add_neon(float *x, const float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i += 4)
        neon_store(x + i, n - i, vaddq_f32(neon_load(x + i, n - i), neon_load(y + i, n - i)));
}

/* g / (1 + e^-g) */
TENSOR_INLINE float32x4_t silu(float32x4_t g)
{
    float32x4_t e = neon_exp(vsubq_f32(vdupq_n_f32(0), g));
    return vdivq_f32(g, vaddq_f32(e, vdupq_n_f32(1.0f)));
}

/* g/2 (1 + tanh u) = g / (1 + e^-2u) with u = sqrt(2/pi) (g + 0.044715 g^3). */
TENSOR_INLINE float32x4_t gelu(float32x4_t g)
{
    float32x4_t cube = vmulq_f32(vmulq_f32(g, g), g);
    float32x4_t u = vfmaq_f32(g, cube, vdupq_n_f32(0.044715f));
    float32x4_t e = neon_exp(vmulq_f32(u, vdupq_n_f32(-1.5957691216057308f)));
    return vdivq_f32(g, vaddq_f32(e, vdupq_n_f32(1.0f)));
}

void gated_neon(enum tensor_gate kind, float *y, const float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i += 4) {
        float32x4_t g = neon_load(gate + i, n - i);
        g = kind == TENSOR_GATE_SILU ? silu(g) : gelu(g);
        neon_store(y + i, n - i, vmulq_f32(g, neon_load(up + i, n - i)));
    }
}

/* Neighbours, 2 pairs at a time: (a, b) -> (a c - b s, b c + a s). */
TENSOR_INLINE void rope_norm(float *head, const float *rot, int64_t n_pairs)
{
    const float32x4_t signs = { -1.0f, 1.0f, -1.0f, 1.0f };
    for (int64_t i = 0; i < 2 * n_pairs; i += 4) {
        int64_t left = 2 * n_pairs - i;
        float32x4_t v = neon_load(head + i, left);
        float32x4_t cs = neon_load(rot + i, left);
        float32x4_t other = vmulq_f32(vrev64q_f32(v), vtrn2q_f32(cs, cs));
        neon_store(head + i, left, vfmaq_f32(vmulq_f32(other, signs), v, vtrn1q_f32(cs, cs)));
    }
}

/* Halves, 4 pairs at a time; `rot` alternates cosine and sine. */
TENSOR_INLINE void rope_neox(float *head, const float *rot, int64_t n_pairs)
{
    for (int64_t i = 0; i < n_pairs; i += 4) {
        int64_t left = n_pairs - i;
        float32x4_t r0 = neon_load(rot + 2 * i, 2 * left);
        float32x4_t r1 = neon_load(rot + 2 * i + 4, 2 * left - 4);
        float32x4_t c = vuzp1q_f32(r0, r1);
        float32x4_t s = vuzp2q_f32(r0, r1);
        float32x4_t a = neon_load(head + i, left);
        float32x4_t b = neon_load(head + n_pairs + i, left);
        neon_store(head + i, left, vfmaq_f32(vnegq_f32(vmulq_f32(b, s)), a, c));
        neon_store(head + n_pairs + i, left, vfmaq_f32(vmulq_f32(b, c), a, s));
    }
}

void rope_neon(enum tensor_rope_kind kind, float *x, const float *rot, int64_t n_heads,
               int64_t head_dim, int64_t n_pairs)
{
    for (int64_t h = 0; h < n_heads; h++) {
        if (kind == TENSOR_ROPE_NORM)
            rope_norm(x + h * head_dim, rot, n_pairs);
        else
            rope_neox(x + h * head_dim, rot, n_pairs);
    }
}
