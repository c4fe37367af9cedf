#ifndef TENSOR_AVX512_WEIGHTS_H
#define TENSOR_AVX512_WEIGHTS_H

/*
 * Packed weights (packed.h) as the products for AVX-512 take them apart: codes to bytes, scales
 * to f32, and what a block's exact integers add to sums.
 */
#include "tensor/x86/avx512.h"

/* Plain C shifts of 16-bit lanes: intrinsics want literal counts. */
typedef uint16_t avx512_words16 __attribute__((vector_size(64)));

TENSOR_INLINE __m512i avx512_load(const uint8_t *p)
{
    return _mm512_loadu_si512((const void *)p);
}

/* Bits of each byte: v shifted right by `by`, or left by -by; the mask drops what crossed. */
TENSOR_INLINE __m512i avx512_bits(__m512i v, const int by, const int mask)
{
    avx512_words16 shifted = by >= 0 ? (avx512_words16)v >> by : (avx512_words16)v << -by;
    return _mm512_and_si512((__m512i)shifted, _mm512_set1_epi8((char)mask));
}

/* Codes of inputs 4j..4j+3 of a block for 16 outputs. */
TENSOR_INLINE __m512i avx512_codes(const int bits, const uint8_t *w, const int j)
{
    const int half = j / 4;
    const int at = j % 4;
    switch (bits) {
    case 2:
        return avx512_bits(avx512_load(w + 64 * half), 2 * at, 3);
    case 3:
        return _mm512_or_si512(avx512_bits(avx512_load(w + 64 * half), 2 * at, 3),
                               avx512_bits(avx512_load(w + 128), j - 2, 4));
    case 4:
        return avx512_bits(avx512_load(w + 64 * at), 4 * half, 15);
    case 5:
        return _mm512_or_si512(avx512_bits(avx512_load(w + 64 * at), 4 * half, 15),
                               avx512_bits(avx512_load(w + 256), j - 4, 16));
    case 6:
        return _mm512_or_si512(avx512_bits(avx512_load(w + 64 * at), 4 * half, 15),
                               avx512_bits(avx512_load(w + 256 + 64 * half), 2 * at - 4, 48));
    default:
        return avx512_load(w + 64 * j);
    }
}

/* What a code stands for, as an unsigned byte, plus this offset. */
TENSOR_INLINE int avx512_offset(const struct tensor_form form)
{
    return form.table ? 128 : form.offset;
}

TENSOR_INLINE __m512i avx512_table(const struct tensor_form form)
{
    if (!form.table)
        return _mm512_setzero_si512();
    __m128i table = _mm_loadu_si128((const __m128i *)(const void *)form.table);
    return _mm512_broadcast_i32x4(_mm_xor_si128(table, _mm_set1_epi8((char)0x80)));
}

/* The same as bytes: unsigned, plus avx512_offset. */
TENSOR_INLINE __m512i avx512_bytes(const struct tensor_form form, __m512i table, const uint8_t *w,
                                   const int j)
{
    __m512i q = avx512_codes(form.bits, w, j);
    return form.table ? _mm512_shuffle_epi8(table, q) : q;
}

typedef int32_t avx512_lanes32 __attribute__((vector_size(64)));

/* -off * sum(p) in every lane, from -128 * sum(p); off is 0 or a power of two. */
TENSOR_INLINE __m512i avx512_dot_start(const struct tensor_form form, int32_t offset128)
{
    const unsigned offset = (unsigned)avx512_offset(form);
    if (offset == 0)
        return _mm512_setzero_si512();
    return (__m512i)((avx512_lanes32)_mm512_set1_epi32(offset128) >> __builtin_ctz(128u / offset));
}

/*
 * sum += q * p over four inputs, p the same four int8 for every lane. Compilers load p into a
 * register of its own first, which makes it two instructions and copies of sums.
 */
TENSOR_INLINE __m512i avx512_add_dot4(__m512i sum, __m512i q, const uint8_t *p)
{
    __asm__ volatile("vpdpbusd %2%{1to16%}, %1, %0"
                     : "+v"(sum)
                     : "v"(q), "m"(*(const uint32_t *)(const void *)p));
    return sum;
}

/* Integers of 16 outputs, one byte each. */
TENSOR_INLINE __m512 avx512_load_u8(const uint8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(v));
}

TENSOR_INLINE __m512 avx512_load_i8(const uint8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(v));
}

/* 2^(e - 128) of 16 exponents: see tensor_e8m0_half. */
TENSOR_INLINE __m512 avx512_load_e8m0(const uint8_t *p)
{
    __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    __m512i subnormal = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    __mmask16 small = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, small, subnormal));
}

/* d and m of a group. */
struct avx512_group {
    __m512 d;
    __m512 m;
};

TENSOR_INLINE struct avx512_group avx512_load_group(const enum tensor_type type, const uint8_t *w)
{
    const uint8_t *at = w + packed_d_at(type, AVX512_TILE);
    if (type == TENSOR_MXFP4)
        return (struct avx512_group){ avx512_load_e8m0(at), _mm512_setzero_ps() };
    bool min = tensor_form(type).has_min;
    return (struct avx512_group){ avx512_load_f16(at), min ? avx512_load_f16(at + 2 * AVX512_TILE)
                                                           : _mm512_setzero_ps() };
}

/* Scales and minima of a block: for 32 inputs in [0], or for each 16. */
struct avx512_scales {
    __m512 d[2];
    __m512 m[2];
};

/* From those of the group and the block's integers at `sc`. */
TENSOR_INLINE struct avx512_scales
avx512_load_scales(const struct tensor_form form, const struct avx512_group *g, const uint8_t *sc)
{
    struct avx512_scales s = { { g->d, g->d }, { g->m, g->m } };
    if (!form.has_scales)
        return s;
    if (form.scale_len == 32) {
        s.d[0] = _mm512_mul_ps(g->d, form.has_min ? avx512_load_u8(sc) : avx512_load_i8(sc));
        if (form.has_min)
            s.m[0] = _mm512_mul_ps(g->m, avx512_load_u8(sc + AVX512_TILE));
        return s;
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        if (!form.has_min) {
            s.d[i] = _mm512_mul_ps(g->d, avx512_load_i8(sc + AVX512_TILE * i));
            continue;
        }
        __m512i both = _mm512_cvtepu8_epi32(
            _mm_loadu_si128((const __m128i *)(const void *)(sc + AVX512_TILE * i)));
        __m512i low = _mm512_and_si512(both, _mm512_set1_epi32(15));
        s.d[i] = _mm512_mul_ps(g->d, _mm512_cvtepi32_ps(low));
        s.m[i] = _mm512_mul_ps(g->m, _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 4)));
    }
    return s;
}

/* sum += the integer product, scaled; `scale` is the activations'. */
TENSOR_INLINE __m512 avx512_add_scaled(__m512 sum, __m512i dot, __m512 d, float scale)
{
    __m512 ds = _mm512_mul_ps(d, _mm512_set1_ps(scale));
    return _mm512_fmadd_ps(ds, _mm512_cvtepi32_ps(dot), sum);
}

TENSOR_INLINE __m512 avx512_add_min(__m512 sum, __m512 m, float scaled_sum)
{
    return _mm512_fnmadd_ps(m, _mm512_set1_ps(scaled_sum), sum);
}

/*
 * y += what the rests of a row stand for (packed.h), block by block, 16 outputs of the tile at w.
 * Row by row, as most rows have one or two and seldom in the same block as their neighbours.
 */
TENSOR_INLINE void avx512_add_rests(float *y, __mmask16 mask, const enum tensor_type type,
                                    const uint8_t *w, int64_t n_blocks, const uint8_t *row,
                                    const struct act_layout *at)
{
    const struct tensor_form form = tensor_form(type);
    const __m512i table = avx512_table(form);
    const int count = packed_group_blocks(type);
    for (int64_t word = 0; word * 64 < n_blocks; word++) {
        uint64_t bits = act_rests(&row, at, word, 1);
        if (bits == 0)
            continue;
        __m512 sum = _mm512_maskz_loadu_ps(mask, y);
        for (; bits; bits &= bits - 1) {
            int64_t b = word * 64 + __builtin_ctzll(bits);
            const uint8_t *group = w + (size_t)(b / count) * packed_group_bytes(type, AVX512_TILE);
            const size_t nth = (size_t)(b % count);
            const struct avx512_group g = avx512_load_group(type, group);
            const struct avx512_scales s = avx512_load_scales(
                form, &g,
                group + packed_sc_at(type, AVX512_TILE) + nth * packed_sc_bytes(type, AVX512_TILE));
            const uint8_t *codes = group + packed_codes_at(type, AVX512_TILE) +
                                   nth * packed_codes_bytes(type, AVX512_TILE);
            const uint8_t *rest = row + at->rest + b * PACKED_BLOCK;
            __m512i dot[2] = { avx512_dot_start(form, act_i32(row, at->rest_offset16, 2 * b)),
                               avx512_dot_start(form, act_i32(row, at->rest_offset16, 2 * b + 1)) };
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++) {
                __m512i q = avx512_bytes(form, table, codes, j);
                dot[j / 4] = avx512_add_dot4(dot[j / 4], q, rest + 4 * j);
            }
            float scale = act_f32(row, at->scale, b) * ACT_REST_SCALE;
            if (form.scale_len == 32) {
                sum = avx512_add_scaled(sum, _mm512_add_epi32(dot[0], dot[1]), s.d[0], scale);
            } else {
                sum = avx512_add_scaled(sum, dot[0], s.d[0], scale);
                sum = avx512_add_scaled(sum, dot[1], s.d[1], scale);
            }
        }
        _mm512_mask_storeu_ps(y, mask, sum);
    }
}

#endif
