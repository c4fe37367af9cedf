#ifndef TENSOR_NEON_H
#define TENSOR_NEON_H

/* For the neon_*.c files only, compiled for ARMv8.2 with the dot product: what they share. */
#include <arm_neon.h>

#include "tensor/arm/kernels.h"
#include "tensor/packed.h"

/* The first `left` of 4 floats, zeros behind them. */
TENSOR_INLINE float32x4_t neon_load(const float *p, int64_t left)
{
    if (left >= 4)
        return vld1q_f32(p);
    float32x4_t v = vdupq_n_f32(0);
    if (left > 0)
        v = vld1q_lane_f32(p, v, 0);
    if (left > 1)
        v = vld1q_lane_f32(p + 1, v, 1);
    if (left > 2)
        v = vld1q_lane_f32(p + 2, v, 2);
    return v;
}

TENSOR_INLINE void neon_store(float *p, int64_t left, float32x4_t v)
{
    if (left >= 4) {
        vst1q_f32(p, v);
        return;
    }
    if (left > 0)
        vst1q_lane_f32(p, v, 0);
    if (left > 1)
        vst1q_lane_f32(p + 1, v, 1);
    if (left > 2)
        vst1q_lane_f32(p + 2, v, 2);
}

/* 8 halves at any address. */
TENSOR_INLINE void neon_load_f16(float32x4_t v[2], const uint8_t *p)
{
    float16x8_t h = vreinterpretq_f16_u8(vld1q_u8(p));
    v[0] = vcvt_f32_f16(vget_low_f16(h));
    v[1] = vcvt_high_f32_f16(h);
}

/* Sum of 16 lanes: those 8 apart, then 4, 2, 1. */
TENSOR_INLINE float neon_sum(const float32x4_t v[4])
{
    float32x4_t s = vaddq_f32(vaddq_f32(v[0], v[2]), vaddq_f32(v[1], v[3]));
    float32x2_t pair = vadd_f32(vget_low_f32(s), vget_high_f32(s));
    return vget_lane_f32(pair, 0) + vget_lane_f32(pair, 1);
}

/* p * 2^n for whole n in -126..200, in two steps as neither half overflows. */
TENSOR_INLINE float32x4_t neon_scale(float32x4_t p, float32x4_t n)
{
    const int32x4_t bias = vdupq_n_s32(127);
    int32x4_t whole = vcvtq_s32_f32(n);
    int32x4_t half = vshrq_n_s32(whole, 1);
    int32x4_t rest = vsubq_s32(whole, half);
    int32x4_t a = vshlq_n_s32(vaddq_s32(half, bias), 23);
    int32x4_t b = vshlq_n_s32(vaddq_s32(rest, bias), 23);
    return vmulq_f32(vmulq_f32(p, vreinterpretq_f32_s32(a)), vreinterpretq_f32_s32(b));
}

/* a * b + c, rounded once. */
TENSOR_INLINE float32x4_t neon_fma(float32x4_t a, float32x4_t b, float c)
{
    return vfmaq_f32(vdupq_n_f32(c), a, b);
}

/*
 * e^x, relative error below 2e-7; infinite above 88.7; below -87 it stays at the smallest
 * normal numbers. 2^(x log2 e) with the fraction by a polynomial (Cephes expf). min and max
 * return NaN if an operand is one, so a NaN comes through.
 */
TENSOR_INLINE float32x4_t neon_exp(float32x4_t x)
{
    x = vmaxq_f32(vdupq_n_f32(-87.0f), vminq_f32(vdupq_n_f32(100.0f), x));
    float32x4_t n = vrndnq_f32(vmulq_f32(x, vdupq_n_f32(1.44269504f)));
    float32x4_t f = vfmsq_f32(x, n, vdupq_n_f32(0.693359375f));
    f = vfmsq_f32(f, n, vdupq_n_f32(-2.12194440e-4f));
    float32x4_t p = vdupq_n_f32(1.9875691500e-4f);
    p = neon_fma(p, f, 1.3981999507e-3f);
    p = neon_fma(p, f, 8.3334519073e-3f);
    p = neon_fma(p, f, 4.1665795894e-2f);
    p = neon_fma(p, f, 1.6666665459e-1f);
    p = neon_fma(p, f, 5.0000001201e-1f);
    p = vfmaq_f32(vaddq_f32(f, vdupq_n_f32(1.0f)), p, vmulq_f32(f, f));
    return neon_scale(p, n);
}

/*
 * 2^x for x <= 0, relative error below 2e-7; below -126 it stays at the smallest normal number.
 * Exact for whole x; a NaN comes through. The polynomial is a minimax fit to (2^f - 1) / f.
 */
TENSOR_INLINE float32x4_t neon_exp2(float32x4_t x)
{
    x = vmaxq_f32(vdupq_n_f32(-126.0f), x);
    float32x4_t n = vrndnq_f32(x);
    float32x4_t f = vsubq_f32(x, n);
    float32x4_t p = vdupq_n_f32(1.326472708e-3f);
    p = neon_fma(p, f, 9.671512862e-3f);
    p = neon_fma(p, f, 5.550733746e-2f);
    p = neon_fma(p, f, 2.402224208e-1f);
    p = neon_fma(p, f, 6.931469776e-1f);
    p = neon_fma(p, f, 1.0f);
    int32x4_t power = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
    return vmulq_f32(p, vreinterpretq_f32_s32(power));
}

#endif
