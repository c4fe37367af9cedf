/* What AVX2 can do at most: the instructions of the kernels, on registers. */
#include "tensor/x86/avx2.h"

enum {
    CHAINS = 12, /* independent sums: more than latency times instructions in a cycle */
    REPEATS = 64
};

/* Keeps a value in a register without a word to the compiler about what it is. */
#define OPAQUE(v) __asm__ volatile("" : "+x"(v))

uint64_t limit_int8_avx2(uint64_t rounds)
{
    __m256i sum[CHAINS];
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
        sum[i] = _mm256_set1_epi32(i);
    __m256i a = _mm256_set1_epi8(1);
    __m256i ones = _mm256_set1_epi16(1);
    for (uint64_t n = 0; n < rounds * REPEATS; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            OPAQUE(a);
            __m256i pairs = _mm256_madd_epi16(_mm256_maddubs_epi16(a, a), ones);
            sum[i] = _mm256_add_epi32(sum[i], pairs);
            OPAQUE(sum[i]);
        }
    }
    return rounds * REPEATS * CHAINS * 32 * 2;
}

uint64_t limit_f32_avx2(uint64_t rounds)
{
    __m256 sum[CHAINS];
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
        sum[i] = _mm256_set1_ps((float)i);
    __m256 a = _mm256_set1_ps(0.5f);
    __m256 b = _mm256_set1_ps(0.25f);
    for (uint64_t n = 0; n < rounds * REPEATS; n++) {
        OPAQUE(a);
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = _mm256_fmadd_ps(a, b, sum[i]);
            OPAQUE(sum[i]);
        }
    }
    return rounds * REPEATS * CHAINS * 8 * 2;
}

void limit_read_avx2(const void *data, size_t bytes)
{
    const uint8_t *p = data;
    __m256i sum[8] = { 0 };
    for (size_t at = 0; at < bytes; at += 256) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(p + at + 32 * i));
            sum[i] = _mm256_xor_si256(sum[i], v);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        OPAQUE(sum[i]);
}
