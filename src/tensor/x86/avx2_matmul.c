/*
 * Products for AVX2. Weights are packed as packed.h says, 8 outputs to a tile; avx512_matmul.c
 * has the algebra. What differs is the integer product of four bytes in a lane: vpmaddubsw
 * adds two products of an unsigned and a signed byte and saturates at 16 bits, so each type
 * takes a way on which it cannot:
 *
 *     2 to 5 bits   codes unsigned; four pairs are added in 16 bits, 4 * 2*31*127 = 31496
 *     mxfp4         the same with the values + 16, at most 28
 *     6 bits        two pairs at a time, 2 * 2*63*127 = 32004
 *     q8_0, iq4     |w| unsigned and p with the sign of w, a pair at a time, 2*128*127 = 32512;
 *                   |w| because -128 has no positive twin in p's bytes
 *
 * Order of the sums in f32: as in avx512_matmul.c.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "tensor/x86/avx2.h"

enum {
    TILE = AVX2_TILE,
    ROWS = 4 /* rows that share a load of weights: with 16 registers no more than that */
};

/* Plain C shifts of 16-bit and 32-bit lanes: intrinsics want literal counts. */
typedef uint16_t words16 __attribute__((vector_size(32)));
typedef int32_t lanes32 __attribute__((vector_size(32)));

/* ---- activations ---- */

/* max|x| of 32 values. */
TENSOR_INLINE float abs_max(const __m256 x[4])
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 a = _mm256_max_ps(_mm256_andnot_ps(sign, x[0]), _mm256_andnot_ps(sign, x[1]));
    __m256 b = _mm256_max_ps(_mm256_andnot_ps(sign, x[2]), _mm256_andnot_ps(sign, x[3]));
    return avx2_max(_mm256_max_ps(a, b));
}

TENSOR_INLINE bool has_nan(const __m256 x[4])
{
    __m256 nan = _mm256_or_ps(_mm256_cmp_ps(x[0], x[1], _CMP_UNORD_Q),
                              _mm256_cmp_ps(x[2], x[3], _CMP_UNORD_Q));
    return _mm256_movemask_ps(nan) != 0;
}

/* The block of 32 that begins `left` before the end of a row, zeros behind it. */
TENSOR_INLINE void load_block(__m256 v[4], const float *x, int64_t left)
{
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        v[i] = left > 8 * i ? avx2_load(x + 8 * i, left - 8 * i) : _mm256_setzero_ps();
}

/* Sum of squares: see avx512_matmul.c. */
TENSOR_INLINE float energy_of(const float *x, int64_t n)
{
    __m256 low = _mm256_setzero_ps();
    __m256 high = _mm256_setzero_ps();
    for (int64_t k = 0; k < n; k += PACKED_BLOCK) {
        __m256 v[4];
        load_block(v, x + k, n - k);
        low = _mm256_fmadd_ps(v[2], v[2], _mm256_fmadd_ps(v[0], v[0], low));
        high = _mm256_fmadd_ps(v[3], v[3], _mm256_fmadd_ps(v[1], v[1], high));
    }
    return avx2_sum(_mm256_add_ps(low, high));
}

/* Stores 32 values as bytes; the sums of their halves in the first two lanes. */
TENSOR_INLINE __m128i store_bytes(uint8_t *out, const __m256i q[4])
{
    /* The packs work in halves of registers and leave the groups of 4 bytes in disorder. */
    __m256i p = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    p = _mm256_permutevar8x32_epi32(p, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)(void *)out, p);
    /* Four sums of each half, added. */
    __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), p);
    __m256i sums = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    sums = _mm256_hadd_epi32(sums, sums);
    sums = _mm256_hadd_epi32(sums, sums);
    return _mm_unpacklo_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

TENSOR_INLINE void store_offsets(uint8_t *row, size_t at, size_t at16, size_t b, __m128i sums)
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
TENSOR_INLINE void store_sums(uint8_t *row, const struct act_layout *a, size_t b, float scale,
                              __m128i sums, __m128i rest_sums)
{
    __builtin_memcpy(row + a->scale + 4 * b, &scale, 4);
    store_offsets(row, a->offset, a->offset16, b, sums);
    store_offsets(row, a->rest_offset, a->rest_offset16, b, rest_sums);
    __m128 rest = _mm_mul_ps(_mm_cvtepi32_ps(rest_sums), _mm_set1_ps(ACT_REST_SCALE));
    __m128 halves = _mm_add_ps(_mm_cvtepi32_ps(sums), rest);
    _mm_storel_pi((__m64 *)(void *)(row + a->scaled_sum16 + 8 * b),
                  _mm_mul_ps(halves, _mm_set1_ps(scale)));
    float scaled = scale * _mm_cvtss_f32(_mm_add_ss(halves, _mm_shuffle_ps(halves, halves, 1)));
    __builtin_memcpy(row + a->scaled_sum + 4 * b, &scaled, 4);
}

/* As act_prepare_avx512, to the bit. */
void act_prepare_avx2(void *act, const float *x, int64_t n)
{
    size_t blocks = (size_t)((n + PACKED_BLOCK - 1) / PACKED_BLOCK);
    const struct act_layout a = act_layout_of(n);
    uint8_t *row = act;
    float energy = energy_of(x, n);
    memset(row + a.has_rest, 0, a.row_bytes - a.has_rest);
    for (size_t b = 0; b < blocks; b++) {
        __m256 v[4];
        load_block(v, x + b * PACKED_BLOCK, n - (int64_t)b * PACKED_BLOCK);
        float max = abs_max(v);
        bool finite = !has_nan(v) && max <= FLT_MAX;
        float inverse = 127.0f / max;
        bool zeros = !finite || inverse > FLT_MAX;
        __m256i q[4];
        __m256i r[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            __m256 t = zeros ? _mm256_setzero_ps() : _mm256_mul_ps(v[i], _mm256_set1_ps(inverse));
            q[i] = _mm256_cvtps_epi32(t);
            __m256 rest = _mm256_sub_ps(t, _mm256_cvtepi32_ps(q[i]));
            r[i] = _mm256_cvtps_epi32(_mm256_mul_ps(rest, _mm256_set1_ps(254.0f)));
        }
        __m128i sums = store_bytes(row + b * PACKED_BLOCK, q);
        __m128i rest_sums = _mm_setzero_si128();
        uint8_t *rest = row + a.rest + b * PACKED_BLOCK;
        if (act_has_rest(max, energy)) {
            rest_sums = store_bytes(rest, r);
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

/* Four int8 in every lane. */
TENSOR_INLINE __m256i broadcast4(const uint8_t *p)
{
    int v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

TENSOR_INLINE __m256i load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* Bits of each byte: v shifted right by `by`, or left by -by; the mask drops what crossed. */
TENSOR_INLINE __m256i bits_of(__m256i v, const int by, const int mask)
{
    words16 shifted = by >= 0 ? (words16)v >> by : (words16)v << -by;
    return _mm256_and_si256((__m256i)shifted, _mm256_set1_epi8((char)mask));
}

/* Codes of inputs 4j..4j+3 of a block for 8 outputs. */
TENSOR_INLINE __m256i codes(const int bits, const uint8_t *w, const int j)
{
    const int half = j / 4;
    const int at = j % 4;
    switch (bits) {
    case 2:
        return bits_of(load(w + 32 * half), 2 * at, 3);
    case 3:
        return _mm256_or_si256(bits_of(load(w + 32 * half), 2 * at, 3),
                               bits_of(load(w + 64), j - 2, 4));
    case 4:
        return bits_of(load(w + 32 * at), 4 * half, 15);
    case 5:
        return _mm256_or_si256(bits_of(load(w + 32 * at), 4 * half, 15),
                               bits_of(load(w + 128), j - 4, 16));
    case 6:
        return _mm256_or_si256(bits_of(load(w + 32 * at), 4 * half, 15),
                               bits_of(load(w + 128 + 32 * half), 2 * at - 4, 48));
    default:
        return load(w + 32 * j);
    }
}

/* Whether the bytes that are multiplied are signed, and if not, what was added to them. */
TENSOR_INLINE bool is_signed(const enum tensor_type type)
{
    return type == TENSOR_Q8_0 || type == TENSOR_IQ4_NL || type == TENSOR_IQ4_XS;
}

TENSOR_INLINE int offset_of(const enum tensor_type type)
{
    if (is_signed(type))
        return 0;
    return type == TENSOR_MXFP4 ? 16 : tensor_form(type).offset;
}

/* The pairs whose sum of products fits 16 bits. */
TENSOR_INLINE int pairs_of(const enum tensor_type type)
{
    if (is_signed(type))
        return 1;
    return tensor_form(type).bits == 6 ? 2 : 4;
}

TENSOR_INLINE __m256i table_of(const enum tensor_type type)
{
    const struct tensor_form form = tensor_form(type);
    if (!form.table)
        return _mm256_setzero_si256();
    __m128i table = _mm_loadu_si128((const __m128i *)(const void *)form.table);
    table = _mm_add_epi8(table, _mm_set1_epi8((char)offset_of(type)));
    return _mm256_broadcastsi128_si256(table);
}

/* -off * sum(p) in every lane, from -128 * sum(p); off is 0 or a power of two. */
TENSOR_INLINE __m256i dot_start(const enum tensor_type type, int32_t offset128)
{
    const unsigned offset = (unsigned)offset_of(type);
    if (offset == 0)
        return _mm256_setzero_si256();
    return (__m256i)((lanes32)_mm256_set1_epi32(offset128) >> __builtin_ctz(128u / offset));
}

TENSOR_INLINE __m128i load_8(const uint8_t *p)
{
    return _mm_loadl_epi64((const __m128i *)(const void *)p);
}

/* Integers of 8 outputs, one byte each. */
TENSOR_INLINE __m256 load_u8(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(load_8(p)));
}

TENSOR_INLINE __m256 load_i8(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_8(p)));
}

/* 2^(e - 128) of 8 exponents: see tensor_e8m0_half. */
TENSOR_INLINE __m256 load_e8m0(const uint8_t *p)
{
    __m256i e = _mm256_cvtepu8_epi32(load_8(p));
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    __m256i small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, subnormal, small));
}

/* d and m of a group. */
struct group {
    __m256 d;
    __m256 m;
};

TENSOR_INLINE struct group load_group(const enum tensor_type type, const uint8_t *w)
{
    const uint8_t *at = w + packed_d_at(type, TILE);
    if (type == TENSOR_MXFP4)
        return (struct group){ load_e8m0(at), _mm256_setzero_ps() };
    bool min = tensor_form(type).has_min;
    return (struct group){ avx2_load_f16(at),
                           min ? avx2_load_f16(at + 2 * TILE) : _mm256_setzero_ps() };
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
    if (form.scale_len == 16 && form.has_min) {
        __m256i both = _mm256_cvtepu8_epi32(load_8(sc));
        __m256i low = _mm256_and_si256(both, _mm256_set1_epi32(15));
        s.d = _mm256_mul_ps(g->d, _mm256_cvtepi32_ps(low));
        s.m = _mm256_mul_ps(g->m, _mm256_cvtepi32_ps(_mm256_srli_epi32(both, 4)));
        return s;
    }
    s.d = _mm256_mul_ps(g->d, form.has_min ? load_u8(sc) : load_i8(sc));
    if (form.has_min)
        s.m = _mm256_mul_ps(g->m, load_u8(sc + TILE));
    return s;
}

/* dot += the integers of 16 inputs: those of the block's half, of rows at p. */
TENSOR_INLINE void half_dots(__m256i dot[ROWS], const enum tensor_type type, __m256i table,
                             const uint8_t *w, const int half, const uint8_t *const p[ROWS],
                             const int n)
{
    const int bits = tensor_form(type).bits;
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i pairs[ROWS];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        __m256i q = codes(bits, w, 4 * half + j);
        if (tensor_form(type).table)
            q = _mm256_shuffle_epi8(table, q);
        __m256i magnitude = is_signed(type) ? _mm256_abs_epi8(q) : q;
#pragma GCC unroll 4
        for (int r = 0; r < n; r++) {
            __m256i a = broadcast4(p[r] + 16 * half + 4 * j);
            if (is_signed(type))
                a = _mm256_sign_epi8(a, q);
            __m256i products = _mm256_maddubs_epi16(magnitude, a);
            pairs[r] = j % pairs_of(type) == 0 ? products : _mm256_add_epi16(pairs[r], products);
            if (j % pairs_of(type) == pairs_of(type) - 1)
                dot[r] = _mm256_add_epi32(dot[r], _mm256_madd_epi16(pairs[r], ones));
        }
    }
}

/* sum += the integer product, scaled; `scale` is the activations'. */
TENSOR_INLINE __m256 add_scaled(__m256 sum, __m256i dot, __m256 d, float scale)
{
    __m256 ds = _mm256_mul_ps(d, _mm256_set1_ps(scale));
    return _mm256_fmadd_ps(ds, _mm256_cvtepi32_ps(dot), sum);
}

TENSOR_INLINE __m256 add_min(__m256 sum, __m256 m, float scaled_sum)
{
    return _mm256_fnmadd_ps(m, _mm256_set1_ps(scaled_sum), sum);
}

/* sum += block b of a type with one scale for 32 inputs. */
TENSOR_INLINE void block_of_32(__m256 *sum, const enum tensor_type type, __m256i table,
                               const uint8_t *w, const uint8_t *codes_at, const uint8_t *sc,
                               struct group *g, int64_t b, const struct rows *a, const int n)
{
    const struct tensor_form form = tensor_form(type);
    const uint8_t *p[ROWS];
    __m256i dot[ROWS];
#pragma GCC unroll 4
    for (int r = 0; r < n; r++) {
        p[r] = a->row[r] + b * PACKED_BLOCK;
        dot[r] = dot_start(type, act_i32(a->row[r], a->at.offset, b));
    }
    half_dots(dot, type, table, codes_at, 0, p, n);
    half_dots(dot, type, table, codes_at, 1, p, n);
    __asm__ volatile("" ::: "memory"); /* not earlier: registers, and a step back */
    if (!form.has_scales)
        *g = load_group(type, w);
    const struct group s = load_scales(form, g, sc, 0);
#pragma GCC unroll 4
    for (int r = 0; r < n; r++) {
        sum[r] = add_scaled(sum[r], dot[r], s.d, act_f32(a->row[r], a->at.scale, b));
        if (form.has_min)
            sum[r] = add_min(sum[r], s.m, act_f32(a->row[r], a->at.scaled_sum, b));
    }
}

/* sum += block b of a type with two scales for 32 inputs. */
TENSOR_INLINE void block_of_16s(__m256 *sum, const enum tensor_type type, const uint8_t *codes_at,
                                const uint8_t *sc, const struct group *g, int64_t b,
                                const struct rows *a, const int n)
{
    const struct tensor_form form = tensor_form(type);
    const uint8_t *p[ROWS];
#pragma GCC unroll 4
    for (int r = 0; r < n; r++)
        p[r] = a->row[r] + b * PACKED_BLOCK;
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        __m256i dot[ROWS];
#pragma GCC unroll 4
        for (int r = 0; r < n; r++)
            dot[r] = dot_start(type, act_i32(a->row[r], a->at.offset16, 2 * b + half));
        half_dots(dot, type, _mm256_setzero_si256(), codes_at, half, p, n);
        const struct group s = load_scales(form, g, sc, half);
#pragma GCC unroll 4
        for (int r = 0; r < n; r++)
            sum[r] = add_scaled(sum[r], dot[r], s.d, act_f32(a->row[r], a->at.scale, b));
    }
    if (!form.has_min)
        return;
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        const struct group s = load_scales(form, g, sc, half);
#pragma GCC unroll 4
        for (int r = 0; r < n; r++)
            sum[r] = add_min(sum[r], s.m, act_f32(a->row[r], a->at.scaled_sum16, 2 * b + half));
    }
}

/* A tile of a quantised type, which is a constant: all that follows from it folds away. */
TENSOR_INLINE void tile_blocks(__m256 *sum, const enum tensor_type type, const uint8_t *w,
                               int64_t n_blocks, const struct rows *a, size_t ahead, const int n)
{
    const struct tensor_form form = tensor_form(type);
    const __m256i table = table_of(type);
    const int group_lines = (int)((packed_group_bytes(type, TILE) + 63) / 64);
    const int count = packed_group_blocks(type);
    for (int64_t first = 0; first < n_blocks; first += count, w += packed_group_bytes(type, TILE)) {
        const uint8_t *codes_at = w + packed_codes_at(type, TILE);
        const uint8_t *sc = w + packed_sc_at(type, TILE);
        struct group g = { 0 };
        if (form.has_scales)
            g = load_group(type, w);
        for (int line = 0; ahead > 0 && line < group_lines; line++)
            _mm_prefetch((const char *)w + ahead + 64 * line, _MM_HINT_T0);
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
TENSOR_INLINE void tile_rests(__m256 *sum, const enum tensor_type type, const uint8_t *w,
                              int64_t n_blocks, const struct rows *a, const int n)
{
    const struct tensor_form form = tensor_form(type);
    const __m256i table = table_of(type);
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
            __m256i dot[2][ROWS];
#pragma GCC unroll 4
            for (int r = 0; r < n; r++) {
                const uint8_t *row = a->row[r];
                p[r] = row + a->at.rest + b * PACKED_BLOCK;
                dot[0][r] = dot_start(type, halves ? act_i32(row, a->at.rest_offset16, 2 * b)
                                                   : act_i32(row, a->at.rest_offset, b));
                if (halves)
                    dot[1][r] = dot_start(type, act_i32(row, a->at.rest_offset16, 2 * b + 1));
            }
            half_dots(dot[0], type, table, at, 0, p, n);
            half_dots(dot[halves], type, table, at, 1, p, n);
#pragma GCC unroll 4
            for (int r = 0; r < n; r++) {
                if (!act_has(a->row[r], &a->at, b))
                    continue;
                float scale = act_f32(a->row[r], a->at.scale, b) * ACT_REST_SCALE;
                sum[r] = add_scaled(sum[r], dot[0][r], load_scales(form, &g, sc, 0).d, scale);
                if (halves)
                    sum[r] = add_scaled(sum[r], dot[1][r], load_scales(form, &g, sc, 1).d, scale);
            }
        }
    }
}

/* ---- plain weights ---- */

TENSOR_INLINE __m256 load_bf16(const uint8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
}

/* A tile of f32, f16 or bf16: inputs from 0 on, one fused multiply-add each. */
TENSOR_INLINE void tile_plain(__m256 *sum, const enum tensor_type type, const uint8_t *w,
                              int64_t n_in, const float *x, const int n)
{
    const int64_t step = TILE * (type == TENSOR_F32 ? 4 : 2);
    for (int64_t k = 0; k < n_in; k++, w += step) {
        __m256 v = type == TENSOR_F32   ? _mm256_castsi256_ps(load(w))
                   : type == TENSOR_F16 ? avx2_load_f16(w)
                                        : load_bf16(w);
#pragma GCC unroll 4
        for (int r = 0; r < n; r++)
            sum[r] = _mm256_fmadd_ps(v, _mm256_set1_ps(x[r * n_in + k]), sum[r]);
    }
}

/* ---- tiles ---- */

/* One tile of outputs for `n` rows, n a constant so that the sums live in registers. */
TENSOR_INLINE void tile_rows(const struct packed_job *job, const enum tensor_type type,
                             int64_t tile, int64_t row, const int n)
{
    const struct tensor_matrix *W = job->W;
    const uint8_t *w = packed_tile(job, type, tile, TILE);
    __m256 sum[ROWS];
#pragma GCC unroll 4
    for (int r = 0; r < n; r++)
        sum[r] = _mm256_setzero_ps();
    if (tensor_form(type).bits == 0) {
        tile_plain(sum, type, w, W->n_in, job->x + row * W->n_in, n);
    } else {
        struct rows a = { .at = act_layout_of(W->n_in) };
#pragma GCC unroll 4
        for (int r = 0; r < n; r++)
            a.row[r] = (const uint8_t *)job->act + (size_t)(row + r) * a.at.row_bytes;
        tile_blocks(sum, type, w, W->n_in / PACKED_BLOCK, &a,
                    row == 0 ? packed_tile_bytes(type, W->n_in, TILE) : 0, n);
        tile_rests(sum, type, w, W->n_in / PACKED_BLOCK, &a, n);
    }
    int64_t left = W->n_out - tile * TILE;
#pragma GCC unroll 4
    for (int r = 0; r < n; r++)
        avx2_store(job->y + (row + r) * W->n_out + tile * TILE, left, sum[r]);
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

void matmul_avx2(float *y, const struct tensor_matrix *W, int64_t tile_first, int64_t tile_end,
                 const void *act, const float *x, int64_t n_rows)
{
#define BY_TYPE(type, name) [type] = name,
    static void (*const by_type[])(const struct packed_job *) = { PACKED_TYPES(BY_TYPE) };
    const struct packed_job job = { y, W, tile_first, tile_end, act, x, n_rows };
    by_type[W->type](&job);
}
