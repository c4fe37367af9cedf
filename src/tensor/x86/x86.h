#ifndef TENSOR_X86_H
#define TENSOR_X86_H

/*
 * What the instruction sets for x86-64 share beside packed.h. Everything here is compiled with
 * baseline flags or always inlined, so that no wide instruction ends up in code that runs
 * everywhere.
 */
#include <immintrin.h> /* SSE2 here, which every x86-64 has */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/packed.h"

/* By CPUID and by what the system saves. */
bool tensor_x86_has_avx2(void); /* with FMA and F16C */
bool tensor_x86_has_avx512vnni(void);
/* Asks the system for the state of the tiles, for all threads of the process. */
bool tensor_x86_has_amx(void);

/* ---- prepared activations ---- */

TENSOR_INLINE void x86_act_offsets(uint8_t *row, size_t at, size_t at16, size_t b, __m128i sums)
{
    int sum = _mm_cvtsi128_si32(_mm_add_epi32(sums, _mm_shuffle_epi32(sums, 1)));
    int offset = -128 * sum;
    __builtin_memcpy(row + at + 4 * b, &offset, 4);
    __m128i offset16 = _mm_slli_epi32(_mm_sub_epi32(_mm_setzero_si128(), sums), 7);
    _mm_storel_epi64((__m128i *)(void *)(row + at16 + 8 * b), offset16);
}

/*
 * Writes what follows from a block's scale and the sums of p and r in its halves, the first two
 * lanes of each.
 */
TENSOR_INLINE void x86_act_sums(uint8_t *row, const struct act_layout *a, size_t b, float scale,
                                __m128i sums, __m128i rest_sums)
{
    __builtin_memcpy(row + a->scale + 4 * b, &scale, 4);
    x86_act_offsets(row, a->offset, a->offset16, b, sums);
    x86_act_offsets(row, a->rest_offset, a->rest_offset16, b, rest_sums);
    __m128 rest = _mm_mul_ps(_mm_cvtepi32_ps(rest_sums), _mm_set1_ps(ACT_REST_SCALE));
    __m128 halves = _mm_add_ps(_mm_cvtepi32_ps(sums), rest);
    _mm_storel_pi((__m64 *)(void *)(row + a->scaled_sum16 + 8 * b),
                  _mm_mul_ps(halves, _mm_set1_ps(scale)));
    float scaled = scale * _mm_cvtss_f32(_mm_add_ss(halves, _mm_shuffle_ps(halves, halves, 1)));
    __builtin_memcpy(row + a->scaled_sum + 4 * b, &scaled, 4);
}

#endif
