/* What NEON can do at most: the instructions of the kernels, on registers. */
#include "tensor/arm/neon.h"

enum {
    CHAINS = 16, /* independent sums: as many as latency times instructions in a cycle */
    REPEATS = 64
};

/* Keeps a value in a register without a word to the compiler about what it is. */
#define OPAQUE(v) __asm__ volatile("" : "+w"(v))

uint64_t limit_int8_neon(uint64_t rounds)
{
    int32x4_t sum[CHAINS];
#pragma GCC unroll 16
    for (int i = 0; i < CHAINS; i++)
        sum[i] = vdupq_n_s32(i);
    int8x16_t a = vdupq_n_s8(1);
    for (uint64_t n = 0; n < rounds * REPEATS; n++) {
        OPAQUE(a);
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = vdotq_laneq_s32(sum[i], a, a, 0);
            OPAQUE(sum[i]);
        }
    }
    return rounds * REPEATS * CHAINS * 16 * 2;
}

uint64_t limit_f32_neon(uint64_t rounds)
{
    float32x4_t sum[CHAINS];
#pragma GCC unroll 16
    for (int i = 0; i < CHAINS; i++)
        sum[i] = vdupq_n_f32((float)i);
    float32x4_t a = vdupq_n_f32(0.5f);
    float32x4_t b = vdupq_n_f32(0.25f);
    for (uint64_t n = 0; n < rounds * REPEATS; n++) {
        OPAQUE(a);
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = vfmaq_f32(sum[i], a, b);
            OPAQUE(sum[i]);
        }
    }
    return rounds * REPEATS * CHAINS * 4 * 2;
}

void limit_read_neon(const void *data, size_t bytes)
{
    const uint8_t *p = data;
    uint8x16_t sum[16] = { 0 };
    for (size_t at = 0; at < bytes; at += 256) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            sum[i] = veorq_u8(sum[i], vld1q_u8(p + at + 16 * i));
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        OPAQUE(sum[i]);
}
