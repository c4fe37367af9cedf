/* What AVX-512 with VNNI can do at most: the instructions of the kernels, on registers. */
#include "tensor/x86/avx512.h"

enum {
    CHAINS = 12, /* independent sums: more than latency times instructions in a cycle */
    REPEATS = 64
};

/* Keeps a value in a register without a word to the compiler about what it is. */
#define OPAQUE(v) __asm__ volatile("" : "+v"(v))

uint64_t limit_int8_avx512(uint64_t rounds)
{
    __m512i sum[CHAINS];
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
        sum[i] = _mm512_set1_epi32(i);
    __m512i a = _mm512_set1_epi8(1);
    __m512i b = _mm512_set1_epi8(1);
    for (uint64_t n = 0; n < rounds * REPEATS; n++) {
        OPAQUE(a);
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = _mm512_dpbusd_epi32(sum[i], a, b);
            OPAQUE(sum[i]);
        }
    }
    return rounds * REPEATS * CHAINS * 64 * 2;
}

uint64_t limit_f32_avx512(uint64_t rounds)
{
    __m512 sum[CHAINS];
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
        sum[i] = _mm512_set1_ps((float)i);
    __m512 a = _mm512_set1_ps(0.5f);
    __m512 b = _mm512_set1_ps(0.25f);
    for (uint64_t n = 0; n < rounds * REPEATS; n++) {
        OPAQUE(a);
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = _mm512_fmadd_ps(a, b, sum[i]);
            OPAQUE(sum[i]);
        }
    }
    return rounds * REPEATS * CHAINS * 16 * 2;
}

void limit_read_avx512(const void *data, size_t bytes)
{
    const uint8_t *p = data;
    __m512i sum[4] = { 0 };
    for (size_t at = 0; at < bytes; at += 256) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            sum[i] = _mm512_xor_si512(sum[i], _mm512_loadu_si512(p + at + 64 * i));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        OPAQUE(sum[i]);
}
