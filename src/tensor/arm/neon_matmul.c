/*
 * Products for NEON with the dot product of ARMv8.2. Weights are packed as packed.h says, 8
 * outputs to a tile: words of 4 outputs are a register, and a dot product by a lane multiplies
 * them with 4 activations of a row, whose register serves 4 such words.
 *
 * Quantised weights meet int8 activations; avx512_matmul.c has the algebra. Both factors are
 * signed bytes here, which codes of up to 6 bits, bytes of q8_0 and values of tables are, so only
 * codes with an offset need off*sum(p).
 *
 * Order of the sums in f32, the same for 1 row and for many: the blocks of 32 from 0 on; in a
 * block the products, then the minimum; where scales are for 16 inputs the products of the first
 * 16, of the second, then their minima; after all blocks the rests (packed.h), from 0 on.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "tensor/arm/neon.h"

enum {
    TILE = NEON_TILE,
    ROWS = 4 /* rows that share a load of weights: integers, sums, activations in 32 registers */
};

/* ---- activations ---- */

/* The block of 32 that begins `left` before the end of a row, zeros behind it. */
TENSOR_INLINE void load_block(float32x4_t v[8], const float *x, int64_t left)
{
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        v[i] = neon_load(x + 4 * i, left - 4 * i);
}

/* Sum of squares, in 16 lanes, then the tree of neon_sum. */
TENSOR_INLINE float energy_of(const float *x, int64_t n)
{
    float32x4_t sum[4] = { vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0) };
    for (int64_t k = 0; k < n; k += PACKED_BLOCK) {
        float32x4_t v[8];
        load_block(v, x + k, n - k);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            sum[i % 4] = vfmaq_f32(sum[i % 4], v[i], v[i]);
    }
    return neon_sum(sum);
}

/* max|x| of 32 values; NaN if one is. */
TENSOR_INLINE float abs_max(const float32x4_t v[8])
{
    float32x4_t max = vabsq_f32(v[0]);
#pragma GCC unroll 7
    for (int i = 1; i < 8; i++)
        max = vmaxq_f32(max, vabsq_f32(v[i]));
    return vmaxvq_f32(max);
}

/* Stores 32 values as bytes; the sums of their halves. */
TENSOR_INLINE void store_bytes(uint8_t *out, int32_t sums[2], const int32x4_t q[8])
{
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        const int32x4_t *at = q + 4 * half;
        int16x8_t low = vqmovn_high_s32(vqmovn_s32(at[0]), at[1]);
        int16x8_t high = vqmovn_high_s32(vqmovn_s32(at[2]), at[3]);
        int8x16_t p = vqmovn_high_s16(vqmovn_s16(low), high);
        vst1q_u8(out + 16 * half, vreinterpretq_u8_s8(p));
        sums[half] = vaddlvq_s8(p);
    }
}

TENSOR_INLINE void store_offsets(uint8_t *row, size_t at, size_t at16, size_t b,
                                 const int32_t sums[2])
{
    int32_t offset = -128 * (sums[0] + sums[1]);
    int32_t offset16[2] = { -128 * sums[0], -128 * sums[1] };
    memcpy(row + at + 4 * b, &offset, sizeof offset);
    memcpy(row + at16 + 8 * b, offset16, sizeof offset16);
}

/* Writes what follows from a block's scale and the sums of p and r in its halves. */
TENSOR_INLINE void store_sums(uint8_t *row, const struct act_layout *a, size_t b, float scale,
                              const int32_t sums[2], const int32_t rest_sums[2])
{
    memcpy(row + a->scale + 4 * b, &scale, sizeof scale);
    store_offsets(row, a->offset, a->offset16, b, sums);
    store_offsets(row, a->rest_offset, a->rest_offset16, b, rest_sums);
    float halves[2];
    float scaled16[2];
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        halves[i] = (float)sums[i] + (float)rest_sums[i] * ACT_REST_SCALE;
        scaled16[i] = halves[i] * scale;
    }
    float scaled = scale * (halves[0] + halves[1]);
    memcpy(row + a->scaled_sum16 + 8 * b, scaled16, sizeof scaled16);
    memcpy(row + a->scaled_sum + 4 * b, &scaled, sizeof scaled);
}

/* As act_prepare_avx512, to the bit. */
void act_prepare_neon(void *act, const float *x, int64_t n)
{
    size_t blocks = (size_t)((n + PACKED_BLOCK - 1) / PACKED_BLOCK);
    const struct act_layout a = act_layout_of(n);
    uint8_t *row = act;
    float energy = energy_of(x, n);
    memset(row + a.has_rest, 0, a.row_bytes - a.has_rest);
    for (size_t b = 0; b < blocks; b++) {
        float32x4_t v[8];
        load_block(v, x + b * PACKED_BLOCK, n - (int64_t)b * PACKED_BLOCK);
        float max = abs_max(v);
        bool finite = max <= FLT_MAX;
        float inverse = 127.0f / max;
        bool zeros = !finite || inverse > FLT_MAX;
        int32x4_t q[8];
        int32x4_t r[8];
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            float32x4_t t = zeros ? vdupq_n_f32(0) : vmulq_n_f32(v[i], inverse);
            q[i] = vcvtnq_s32_f32(t);
            float32x4_t rest = vsubq_f32(t, vcvtq_f32_s32(q[i]));
            r[i] = vcvtnq_s32_f32(vmulq_n_f32(rest, 254.0f));
        }
        int32_t sums[2];
        int32_t rest_sums[2] = { 0, 0 };
        uint8_t *rest = row + a.rest + b * PACKED_BLOCK;
        store_bytes(row + b * PACKED_BLOCK, sums, q);
        if (act_has_rest(max, energy)) {
            store_bytes(rest, rest_sums, r);
            row[a.has_rest + b / 8] |= (uint8_t)(1u << b % 8);
        } else {
            memset(rest, 0, PACKED_BLOCK);
        }
        store_sums(row, &a, b, finite ? max / 127.0f : NAN, sums, rest_sums);
    }
}

/* ---- quantised weights ---- */

/* The rows of a call and where their arrays lie. */
struct rows {
    const uint8_t *row[ROWS];
    struct act_layout at;
};

/* dot[lane] += four bytes of q in this lane times the bytes 4j.. of p. */
TENSOR_INLINE int32x4_t add_dot4(int32x4_t dot, int8x16_t q, int8x16_t p, const int j)
{
    switch (j) { /* the instruction holds j */
    case 0:
        return vdotq_laneq_s32(dot, q, p, 0);
    case 1:
        return vdotq_laneq_s32(dot, q, p, 1);
    case 2:
        return vdotq_laneq_s32(dot, q, p, 2);
    default:
        return vdotq_laneq_s32(dot, q, p, 3);
    }
}

/* Bits of each byte: v shifted right by `by`, or left by -by, without what the mask drops. */
TENSOR_INLINE uint8x16_t bits_of(uint8x16_t v, const int by, const int mask)
{
    uint8x16_t shifted = by >= 0 ? v >> by : v << -by;
    if (by >= 0 && mask == 0xff >> by)
        return shifted;
    return vandq_u8(shifted, vdupq_n_u8((uint8_t)mask));
}

/* Codes of inputs 4j..4j+3 of a block for 4 outputs, whose words begin at w. */
TENSOR_INLINE uint8x16_t codes(const int bits, const uint8_t *w, const int j)
{
    const int half = j / 4;
    const int at = j % 4;
    switch (bits) {
    case 2:
        return bits_of(vld1q_u8(w + 32 * half), 2 * at, 3);
    case 3:
        return vorrq_u8(bits_of(vld1q_u8(w + 32 * half), 2 * at, 3),
                        bits_of(vld1q_u8(w + 64), j - 2, 4));
    case 4:
        return bits_of(vld1q_u8(w + 32 * at), 4 * half, 15);
    case 5:
        return vorrq_u8(bits_of(vld1q_u8(w + 32 * at), 4 * half, 15),
                        bits_of(vld1q_u8(w + 128), j - 4, 16));
    case 6:
        return vorrq_u8(bits_of(vld1q_u8(w + 32 * at), 4 * half, 15),
                        bits_of(vld1q_u8(w + 128 + 32 * half), 2 * at - 4, 48));
    default:
        return vld1q_u8(w + 32 * j);
    }
}

/* What is added to the bytes that are multiplied: those of q8_0 and of tables are signed. */
TENSOR_INLINE int offset_of(const struct tensor_form form)
{
    return form.bits == 8 ? 0 : form.offset;
}

/* -off * sum(p) in every lane, from -128 * sum(p); off is 0 or a power of two. */
TENSOR_INLINE int32x4_t dot_start(const struct tensor_form form, int32_t offset128)
{
    const unsigned offset = (unsigned)offset_of(form);
    return vdupq_n_s32(offset == 0 ? 0 : offset128 >> __builtin_ctz(128u / offset));
}

TENSOR_INLINE int8x16_t table_of(const struct tensor_form form)
{
    return form.table ? vld1q_s8(form.table) : vdupq_n_s8(0);
}

/* Integers of 8 outputs, one byte each. */
TENSOR_INLINE void widen_u8(float32x4_t v[2], uint8x8_t bytes)
{
    uint16x8_t wide = vmovl_u8(bytes);
    v[0] = vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)));
    v[1] = vcvtq_f32_u32(vmovl_high_u16(wide));
}

TENSOR_INLINE void widen_s8(float32x4_t v[2], uint8x8_t bytes)
{
    int16x8_t wide = vmovl_s8(vreinterpret_s8_u8(bytes));
    v[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
    v[1] = vcvtq_f32_s32(vmovl_high_s16(wide));
}

/* 2^(e - 128) of 4 exponents: see tensor_e8m0_half. */
TENSOR_INLINE float32x4_t e8m0(uint32x4_t e)
{
    uint32x4_t normal = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
    uint32x4_t subnormal = vshlq_u32(vdupq_n_u32(0x00200000), vreinterpretq_s32_u32(e));
    return vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), subnormal, normal));
}

TENSOR_INLINE void load_e8m0(float32x4_t v[2], const uint8_t *p)
{
    uint16x8_t wide = vmovl_u8(vld1_u8(p));
    v[0] = e8m0(vmovl_u16(vget_low_u16(wide)));
    v[1] = e8m0(vmovl_high_u16(wide));
}

/* d and m of a group, or of the inputs that share a scale, for 8 outputs. */
struct group {
    float32x4_t d[2];
    float32x4_t m[2];
};

TENSOR_INLINE struct group load_group(const enum tensor_type type, const uint8_t *w)
{
    const uint8_t *at = w + packed_d_at(type, TILE);
    struct group g = { .m = { vdupq_n_f32(0), vdupq_n_f32(0) } };
    if (type == TENSOR_MXFP4) {
        load_e8m0(g.d, at);
        return g;
    }
    neon_load_f16(g.d, at);
    if (tensor_form(type).has_min)
        neon_load_f16(g.m, at + 2 * TILE);
    return g;
}

/* Scale and minimum of the inputs 16*half.. of a block, from the block's integers at `sc`. */
TENSOR_INLINE struct group load_scales(const struct tensor_form form, const struct group *g,
                                       const uint8_t *sc, const int half)
{
    struct group s = *g;
    if (!form.has_scales)
        return s;
    if (form.scale_len == 16)
        sc += TILE * half;
    float32x4_t d[2];
    float32x4_t m[2] = { vdupq_n_f32(0), vdupq_n_f32(0) };
    uint8x8_t bytes = vld1_u8(sc);
    if (form.scale_len == 16 && form.has_min) {
        widen_u8(d, vand_u8(bytes, vdup_n_u8(15)));
        widen_u8(m, vshr_n_u8(bytes, 4));
    } else if (form.has_min) {
        widen_u8(d, bytes);
        widen_u8(m, vld1_u8(sc + TILE));
    } else {
        widen_s8(d, bytes);
    }
#pragma GCC unroll 2
    for (int k = 0; k < 2; k++) {
        s.d[k] = vmulq_f32(s.d[k], d[k]);
        s.m[k] = vmulq_f32(s.m[k], m[k]);
    }
    return s;
}

/* dot += the integers of 16 inputs: those of the block's half, of rows at p. */
TENSOR_INLINE void half_dots(int32x4_t dot[ROWS][2], const enum tensor_type type, int8x16_t table,
                             const uint8_t *w, const int half, const uint8_t *const p[ROWS],
                             const int n)
{
    const struct tensor_form form = tensor_form(type);
    int8x16_t a[ROWS];
#pragma GCC unroll 4
    for (int r = 0; r < n; r++)
        a[r] = vreinterpretq_s8_u8(vld1q_u8(p[r] + 16 * half));
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
#pragma GCC unroll 2
        for (int k = 0; k < 2; k++) {
            uint8x16_t code = codes(form.bits, w + 16 * k, 4 * half + j);
            int8x16_t q = form.table ? vqtbl1q_s8(table, code) : vreinterpretq_s8_u8(code);
#pragma GCC unroll 4
            for (int r = 0; r < n; r++)
                dot[r][k] = add_dot4(dot[r][k], q, a[r], j);
        }
    }
}

TENSOR_INLINE void start_dots(int32x4_t dot[2], const struct tensor_form form, int32_t offset128)
{
    dot[0] = dot[1] = dot_start(form, offset128);
}

/* sum += the integer product, scaled; `scale` is the activations'. */
TENSOR_INLINE void add_scaled(float32x4_t sum[2], const int32x4_t dot[2], const float32x4_t d[2],
                              float scale)
{
#pragma GCC unroll 2
    for (int k = 0; k < 2; k++)
        sum[k] = vfmaq_f32(sum[k], vmulq_n_f32(d[k], scale), vcvtq_f32_s32(dot[k]));
}

TENSOR_INLINE void add_min(float32x4_t sum[2], const float32x4_t m[2], float scaled_sum)
{
    sum[0] = vfmsq_n_f32(sum[0], m[0], scaled_sum);
    sum[1] = vfmsq_n_f32(sum[1], m[1], scaled_sum);
}

/* sum += block b of a type with one scale for 32 inputs. */
TENSOR_INLINE void block_of_32(float32x4_t sum[ROWS][2], const enum tensor_type type,
                               int8x16_t table, const uint8_t *w, const uint8_t *codes_at,
                               const uint8_t *sc, struct group *g, int64_t b, const struct rows *a,
                               const int n)
{
    const struct tensor_form form = tensor_form(type);
    const uint8_t *p[ROWS];
    int32x4_t dot[ROWS][2];
#pragma GCC unroll 4
    for (int r = 0; r < n; r++) {
        p[r] = a->row[r] + b * PACKED_BLOCK;
        start_dots(dot[r], form, act_i32(a->row[r], a->at.offset, b));
    }
    half_dots(dot, type, table, codes_at, 0, p, n);
    half_dots(dot, type, table, codes_at, 1, p, n);
    if (!form.has_scales)
        *g = load_group(type, w);
    const struct group s = load_scales(form, g, sc, 0);
#pragma GCC unroll 4
    for (int r = 0; r < n; r++) {
        add_scaled(sum[r], dot[r], s.d, act_f32(a->row[r], a->at.scale, b));
        if (form.has_min)
            add_min(sum[r], s.m, act_f32(a->row[r], a->at.scaled_sum, b));
    }
}

/* sum += block b of a type with two scales for 32 inputs. */
TENSOR_INLINE void block_of_16s(float32x4_t sum[ROWS][2], const enum tensor_type type,
                                const uint8_t *codes_at, const uint8_t *sc, const struct group *g,
                                int64_t b, const struct rows *a, const int n)
{
    const struct tensor_form form = tensor_form(type);
    const uint8_t *p[ROWS];
#pragma GCC unroll 4
    for (int r = 0; r < n; r++)
        p[r] = a->row[r] + b * PACKED_BLOCK;
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        int32x4_t dot[ROWS][2];
#pragma GCC unroll 4
        for (int r = 0; r < n; r++)
            start_dots(dot[r], form, act_i32(a->row[r], a->at.offset16, 2 * b + half));
        half_dots(dot, type, vdupq_n_s8(0), codes_at, half, p, n);
        const struct group s = load_scales(form, g, sc, half);
#pragma GCC unroll 4
        for (int r = 0; r < n; r++)
            add_scaled(sum[r], dot[r], s.d, act_f32(a->row[r], a->at.scale, b));
    }
    if (!form.has_min)
        return;
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        const struct group s = load_scales(form, g, sc, half);
#pragma GCC unroll 4
        for (int r = 0; r < n; r++)
            add_min(sum[r], s.m, act_f32(a->row[r], a->at.scaled_sum16, 2 * b + half));
    }
}

/* A tile of a quantised type, which is a constant: all that follows from it folds away. */
TENSOR_INLINE void tile_blocks(float32x4_t sum[ROWS][2], const enum tensor_type type,
                               const uint8_t *w, int64_t n_blocks, const struct rows *a,
                               const int n)
{
    const struct tensor_form form = tensor_form(type);
    const int8x16_t table = table_of(form);
    const int count = packed_group_blocks(type);
    for (int64_t first = 0; first < n_blocks; first += count, w += packed_group_bytes(type, TILE)) {
        const uint8_t *codes_at = w + packed_codes_at(type, TILE);
        const uint8_t *sc = w + packed_sc_at(type, TILE);
        struct group g = { 0 };
        if (form.has_scales)
            g = load_group(type, w);
        for (int64_t b = first; b < first + count; b++) {
            if (form.scale_len == 32)
                block_of_32(sum, type, table, w, codes_at, sc, &g, b, a, n);
            else
                block_of_16s(sum, type, codes_at, sc, &g, b, a, n);
            codes_at += packed_codes_bytes(type, TILE);
            sc += packed_sc_bytes(type, TILE);
        }
    }
}

/*
 * sum += what the rests of rows stand for (packed.h), block by block, each for the rows that have
 * one: what is beside a row changes none of its bits.
 */
TENSOR_INLINE void tile_rests(float32x4_t sum[ROWS][2], const enum tensor_type type,
                              const uint8_t *w, int64_t n_blocks, const struct rows *a, const int n)
{
    const struct tensor_form form = tensor_form(type);
    const int8x16_t table = table_of(form);
    const int count = packed_group_blocks(type);
    const bool halves = form.scale_len == 16;
    for (int64_t word = 0; word * 64 < n_blocks; word++) {
        for (uint64_t any = act_rests(a->row, &a->at, word, n); any; any &= any - 1) {
            int64_t b = word * 64 + __builtin_ctzll(any);
            const uint8_t *at = w + (size_t)(b / count) * packed_group_bytes(type, TILE);
            const size_t nth = (size_t)(b % count);
            const struct group g = load_group(type, at);
            const uint8_t *sc = at + packed_sc_at(type, TILE) + nth * packed_sc_bytes(type, TILE);
            at += packed_codes_at(type, TILE) + nth * packed_codes_bytes(type, TILE);
            const uint8_t *p[ROWS];
            int32x4_t dot[2][ROWS][2];
#pragma GCC unroll 4
            for (int r = 0; r < n; r++) {
                const uint8_t *row = a->row[r];
                p[r] = row + a->at.rest + b * PACKED_BLOCK;
                start_dots(dot[0][r], form,
                           halves ? act_i32(row, a->at.rest_offset16, 2 * b)
                                  : act_i32(row, a->at.rest_offset, b));
                if (halves)
                    start_dots(dot[1][r], form, act_i32(row, a->at.rest_offset16, 2 * b + 1));
            }
            half_dots(dot[0], type, table, at, 0, p, n);
            half_dots(dot[halves], type, table, at, 1, p, n);
#pragma GCC unroll 4
            for (int r = 0; r < n; r++) {
                if (!act_has(a->row[r], &a->at, b))
                    continue;
                float scale = act_f32(a->row[r], a->at.scale, b) * ACT_REST_SCALE;
                add_scaled(sum[r], dot[0][r], load_scales(form, &g, sc, 0).d, scale);
                if (halves)
                    add_scaled(sum[r], dot[1][r], load_scales(form, &g, sc, 1).d, scale);
            }
        }
    }
}

/* ---- plain weights ---- */

TENSOR_INLINE void load_plain(float32x4_t v[2], const enum tensor_type type, const uint8_t *w)
{
    if (type == TENSOR_F16) {
        neon_load_f16(v, w);
    } else if (type == TENSOR_BF16) {
        uint16x8_t h = vreinterpretq_u16_u8(vld1q_u8(w));
        v[0] = vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(h), 16));
        v[1] = vreinterpretq_f32_u32(vshll_high_n_u16(h, 16));
    } else {
        v[0] = vreinterpretq_f32_u8(vld1q_u8(w));
        v[1] = vreinterpretq_f32_u8(vld1q_u8(w + 16));
    }
}

/* A tile of f32, f16 or bf16: inputs from 0 on, one fused multiply-add each. */
TENSOR_INLINE void tile_plain(float32x4_t sum[ROWS][2], const enum tensor_type type,
                              const uint8_t *w, int64_t n_in, const float *x, const int n)
{
    const int64_t step = TILE * (type == TENSOR_F32 ? 4 : 2);
    for (int64_t k = 0; k < n_in; k++, w += step) {
        float32x4_t v[2];
        load_plain(v, type, w);
#pragma GCC unroll 4
        for (int r = 0; r < n; r++) {
            float32x4_t a = vld1q_dup_f32(x + r * n_in + k);
            sum[r][0] = vfmaq_f32(sum[r][0], v[0], a);
            sum[r][1] = vfmaq_f32(sum[r][1], v[1], a);
        }
    }
}

/* ---- tiles ---- */

/* One tile of outputs for `n` rows, n a constant so that the sums live in registers. */
TENSOR_INLINE void tile_rows(const struct packed_job *job, const enum tensor_type type,
                             int64_t tile, int64_t row, const int n)
{
    const struct tensor_matrix *W = job->W;
    const uint8_t *w = packed_tile(job, type, tile, TILE);
    float32x4_t sum[ROWS][2];
#pragma GCC unroll 4
    for (int r = 0; r < n; r++)
        sum[r][0] = sum[r][1] = vdupq_n_f32(0);
    if (tensor_form(type).bits == 0) {
        tile_plain(sum, type, w, W->n_in, job->x + row * W->n_in, n);
    } else {
        struct rows a = { .at = act_layout_of(W->n_in) };
#pragma GCC unroll 4
        for (int r = 0; r < n; r++)
            a.row[r] = (const uint8_t *)job->act + (size_t)(row + r) * a.at.row_bytes;
        tile_blocks(sum, type, w, W->n_in / PACKED_BLOCK, &a, n);
        tile_rests(sum, type, w, W->n_in / PACKED_BLOCK, &a, n);
    }
    int64_t left = W->n_out - tile * TILE;
#pragma GCC unroll 4
    for (int r = 0; r < n; r++) {
        float *y = job->y + (row + r) * W->n_out + tile * TILE;
        neon_store(y, left, sum[r][0]);
        neon_store(y + 4, left - 4, sum[r][1]);
    }
}

/* All rows of each tile, 4, 2 or 1 at a time. */
TENSOR_INLINE void tiles(const struct packed_job *job, const enum tensor_type type)
{
    for (int64_t tile = job->tile_first; tile < job->tile_end; tile++) {
        int64_t r = 0;
        for (; r + 4 <= job->n_rows; r += 4)
            tile_rows(job, type, tile, r, 4);
        if (r + 2 <= job->n_rows) {
            tile_rows(job, type, tile, r, 2);
            r += 2;
        }
        if (r < job->n_rows)
            tile_rows(job, type, tile, r, 1);
    }
}

/* A function for each type: the compiler gives each its own registers. */
#define MATMUL(type, name)                                                                         \
    static void name(const struct packed_job *job)                                                 \
    {                                                                                              \
        tiles(job, type);                                                                          \
    }
PACKED_TYPES(MATMUL)

void matmul_neon(float *y, const struct tensor_matrix *W, int64_t tile_first, int64_t tile_end,
                 const void *act, const float *x, int64_t n_rows)
{
#define BY_TYPE(type, name) [type] = name,
    static void (*const by_type[])(const struct packed_job *) = { PACKED_TYPES(BY_TYPE) };
    const struct packed_job job = { y, W, tile_first, tile_end, act, x, n_rows };
    by_type[W->type](&job);
}
