/*
 * Products for AVX-512 with VNNI. Weights are packed as packed.h says, 16 outputs to a tile, so a
 * product over the inputs needs no sum across lanes, and one piece of an activation row,
 * broadcast to all lanes, feeds 16 outputs.
 *
 * Quantised weights meet int8 activations. With a weight d*(q - off) - m, q an unsigned byte,
 * and an activation a = s*p, p a signed byte, a block contributes
 *      sum x*a = d*s * (sum(q*p) - off*sum(p)) - m * s*sum(p);
 * the integers are exact (vpdpbusd), s, off*sum(p) and s*sum(p) are made once for each row. A
 * type with a table has off = 128 and q = table[code] + 128 by a byte shuffle.
 *
 * Order of the sums in f32: the blocks of 32 from 0 on; in a block the products, then the
 * minimum; where scales are for 16 inputs the products of the first 16, of the second, then
 * their minima; after all blocks the rests (packed.h) of those that have one, from 0 on, whose
 * share in the minima is in s*sum(p) already. The same instructions for 1 row and for many: hence
 * an output's bits do not depend on the batch.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "tensor/x86/avx512.h"

enum {
    TILE = AVX512_TILE,
    /* Rows that share a load of weights. 8 sums and 16 integer sums stay in registers; with more
       rows a row's integers go into one register, whose additions other rows hide. */
    ROWS = 12,
    ROWS_SPLIT = 8
};

/* Plain C shifts of 16-bit lanes: intrinsics want literal counts. */
typedef uint16_t words16 __attribute__((vector_size(64)));
typedef int32_t lanes32 __attribute__((vector_size(64)));

/* ---- activations ---- */

/* The block of 32 that begins `left` before the end of a row, zeros behind it. */
TENSOR_INLINE void load_block(__m512 v[2], const float *x, int64_t left)
{
    v[0] = _mm512_maskz_loadu_ps(avx512_tail(left), x);
    v[1] = _mm512_maskz_loadu_ps(avx512_tail(left > 16 ? left - 16 : 0), x + 16);
}

/* Sum of squares, in 16 lanes, then the tree of avx512_sum. */
TENSOR_INLINE float energy_of(const float *x, int64_t n)
{
    __m512 sum = _mm512_setzero_ps();
    for (int64_t k = 0; k < n; k += PACKED_BLOCK) {
        __m512 v[2];
        load_block(v, x + k, n - k);
        sum = _mm512_fmadd_ps(v[0], v[0], sum);
        sum = _mm512_fmadd_ps(v[1], v[1], sum);
    }
    return avx512_sum(sum);
}

/* Stores 32 values as bytes; the sums of their halves in the first two lanes. */
TENSOR_INLINE __m128i store_bytes(uint8_t *out, __m512i q0, __m512i q1)
{
    __m256i p = _mm256_setr_m128i(_mm512_cvtsepi32_epi8(q0), _mm512_cvtsepi32_epi8(q1));
    _mm256_storeu_si256((__m256i *)(void *)out, p);
    /* Four sums of each half, added. */
    __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), p);
    sums = _mm256_hadd_epi32(sums, sums);
    sums = _mm256_hadd_epi32(sums, sums);
    return _mm_unpacklo_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

/* (t - q) * 254 to nearest: what rounding t to q left. */
TENSOR_INLINE __m512i rest_of(__m512 t, __m512i q)
{
    __m512 rest = _mm512_sub_ps(t, _mm512_cvtepi32_ps(q));
    return _mm512_cvtps_epi32(_mm512_mul_ps(rest, _mm512_set1_ps(254.0f)));
}

/*
 * Scale max|x|/127, p = x * (127 / max|x|) rounded to nearest even. A block so small that
 * 127 / max overflows counts as zeros. One with a NaN or an infinity gets the scale NaN,
 * which reaches every output of the row.
 */
void act_prepare_avx512(void *act, const float *x, int64_t n)
{
    size_t blocks = (size_t)((n + PACKED_BLOCK - 1) / PACKED_BLOCK);
    const struct act_layout a = act_layout_of(n);
    uint8_t *row = act;
    float energy = energy_of(x, n);
    memset(row + a.has_rest, 0, a.row_bytes - a.has_rest);
    for (size_t b = 0; b < blocks; b++) {
        __m512 v[2];
        load_block(v, x + b * PACKED_BLOCK, n - (int64_t)b * PACKED_BLOCK);
        float max = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(v[0]), _mm512_abs_ps(v[1])));
        bool finite = _mm512_cmp_ps_mask(v[0], v[1], _CMP_UNORD_Q) == 0 && max <= FLT_MAX;
        float inverse = 127.0f / max;
        if (!finite || inverse > FLT_MAX) {
            v[0] = v[1] = _mm512_setzero_ps();
            inverse = 0;
        }
        __m512 t0 = _mm512_mul_ps(v[0], _mm512_set1_ps(inverse));
        __m512 t1 = _mm512_mul_ps(v[1], _mm512_set1_ps(inverse));
        __m512i q0 = _mm512_cvtps_epi32(t0);
        __m512i q1 = _mm512_cvtps_epi32(t1);
        __m128i sums = store_bytes(row + b * PACKED_BLOCK, q0, q1);
        __m128i rest_sums = _mm_setzero_si128();
        uint8_t *rest = row + a.rest + b * PACKED_BLOCK;
        if (act_has_rest(max, energy)) {
            rest_sums = store_bytes(rest, rest_of(t0, q0), rest_of(t1, q1));
            row[a.has_rest + b / 8] |= (uint8_t)(1u << b % 8);
        } else {
            memset(rest, 0, PACKED_BLOCK);
        }
        x86_act_sums(row, &a, b, finite ? max / 127.0f : NAN, sums, rest_sums);
    }
}

/* ---- quantised weights ---- */

/* The rows of a call and where their arrays lie. */
struct rows {
    const uint8_t *row[ROWS];
    struct act_layout at;
};

/*
 * sum += q * p over four inputs, p the same four int8 for every lane. Compilers load p into a
 * register of its own first, which makes it two instructions and copies of sums.
 */
TENSOR_INLINE __m512i add_dot4(__m512i sum, __m512i q, const uint8_t *p)
{
    __asm__ volatile("vpdpbusd %2%{1to16%}, %1, %0"
                     : "+v"(sum)
                     : "v"(q), "m"(*(const uint32_t *)(const void *)p));
    return sum;
}

TENSOR_INLINE __m512i load(const uint8_t *p)
{
    return _mm512_loadu_si512((const void *)p);
}

/* Bits of each byte: v shifted right by `by`, or left by -by; the mask drops what crossed. */
TENSOR_INLINE __m512i bits_of(__m512i v, const int by, const int mask)
{
    words16 shifted = by >= 0 ? (words16)v >> by : (words16)v << -by;
    return _mm512_and_si512((__m512i)shifted, _mm512_set1_epi8((char)mask));
}

/* Codes of inputs 4j..4j+3 of a block for 16 outputs. */
TENSOR_INLINE __m512i codes(const int bits, const uint8_t *w, const int j)
{
    const int half = j / 4;
    const int at = j % 4;
    switch (bits) {
    case 2:
        return bits_of(load(w + 64 * half), 2 * at, 3);
    case 3:
        return _mm512_or_si512(bits_of(load(w + 64 * half), 2 * at, 3),
                               bits_of(load(w + 128), j - 2, 4));
    case 4:
        return bits_of(load(w + 64 * at), 4 * half, 15);
    case 5:
        return _mm512_or_si512(bits_of(load(w + 64 * at), 4 * half, 15),
                               bits_of(load(w + 256), j - 4, 16));
    case 6:
        return _mm512_or_si512(bits_of(load(w + 64 * at), 4 * half, 15),
                               bits_of(load(w + 256 + 64 * half), 2 * at - 4, 48));
    default:
        return load(w + 64 * j);
    }
}

/* What a code stands for, as an unsigned byte, plus this offset. */
TENSOR_INLINE int offset_of(const struct tensor_form form)
{
    return form.table ? 128 : form.offset;
}

TENSOR_INLINE __m512i table_of(const struct tensor_form form)
{
    if (!form.table)
        return _mm512_setzero_si512();
    __m128i table = _mm_loadu_si128((const __m128i *)(const void *)form.table);
    return _mm512_broadcast_i32x4(_mm_xor_si128(table, _mm_set1_epi8((char)0x80)));
}

/* -off * sum(p) in every lane, from -128 * sum(p); off is 0 or a power of two. */
TENSOR_INLINE __m512i dot_start(const struct tensor_form form, int32_t offset128)
{
    const unsigned offset = (unsigned)offset_of(form);
    if (offset == 0)
        return _mm512_setzero_si512();
    return (__m512i)((lanes32)_mm512_set1_epi32(offset128) >> __builtin_ctz(128u / offset));
}

/* Integers of 16 outputs, one byte each. */
TENSOR_INLINE __m512 load_u8(const uint8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(v));
}

TENSOR_INLINE __m512 load_i8(const uint8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(v));
}

/* 2^(e - 128) of 16 exponents: see tensor_e8m0_half. */
TENSOR_INLINE __m512 load_e8m0(const uint8_t *p)
{
    __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    __m512i subnormal = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    __mmask16 small = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, small, subnormal));
}

/* d and m of a group. */
struct group {
    __m512 d;
    __m512 m;
};

TENSOR_INLINE struct group load_group(const enum tensor_type type, const uint8_t *w)
{
    const uint8_t *at = w + packed_d_at(type, TILE);
    if (type == TENSOR_MXFP4)
        return (struct group){ load_e8m0(at), _mm512_setzero_ps() };
    bool min = tensor_form(type).has_min;
    return (struct group){ avx512_load_f16(at),
                           min ? avx512_load_f16(at + 2 * TILE) : _mm512_setzero_ps() };
}

/* Scales and minima of a block: for 32 inputs in [0], or for each 16. */
struct scales {
    __m512 d[2];
    __m512 m[2];
};

/* From those of the group and the block's integers at `sc`. */
TENSOR_INLINE struct scales load_scales(const struct tensor_form form, const struct group *g,
                                        const uint8_t *sc)
{
    struct scales s = { { g->d, g->d }, { g->m, g->m } };
    if (!form.has_scales)
        return s;
    if (form.scale_len == 32) {
        s.d[0] = _mm512_mul_ps(g->d, form.has_min ? load_u8(sc) : load_i8(sc));
        if (form.has_min)
            s.m[0] = _mm512_mul_ps(g->m, load_u8(sc + TILE));
        return s;
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        if (!form.has_min) {
            s.d[i] = _mm512_mul_ps(g->d, load_i8(sc + TILE * i));
            continue;
        }
        __m512i both =
            _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(sc + TILE * i)));
        __m512i low = _mm512_and_si512(both, _mm512_set1_epi32(15));
        s.d[i] = _mm512_mul_ps(g->d, _mm512_cvtepi32_ps(low));
        s.m[i] = _mm512_mul_ps(g->m, _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 4)));
    }
    return s;
}

/* sum += the integer product, scaled; `scale` is the activations'. */
TENSOR_INLINE __m512 add_scaled(__m512 sum, __m512i dot, __m512 d, float scale)
{
    __m512 ds = _mm512_mul_ps(d, _mm512_set1_ps(scale));
    return _mm512_fmadd_ps(ds, _mm512_cvtepi32_ps(dot), sum);
}

TENSOR_INLINE __m512 add_min(__m512 sum, __m512 m, float scaled_sum)
{
    return _mm512_fnmadd_ps(m, _mm512_set1_ps(scaled_sum), sum);
}

/* Where the bytes of rows are that meet the weights, and -128 * their sums. */
struct bytes {
    size_t at;
    size_t offset;
    size_t offset16;
};

/* Whether the integers of inputs 0..15 and 16..31 are summed apart. */
TENSOR_INLINE bool is_split(const struct tensor_form form, const int n)
{
    return form.scale_len == 16 || n <= ROWS_SPLIT;
}

/* The integers of block `b`: the dots of inputs 0..15 and 16..31, or of all in dot0. */
TENSOR_INLINE void block_dots(__m512i dot0[ROWS], __m512i dot1[ROWS], const struct tensor_form form,
                              __m512i table, const uint8_t *w, int64_t b, const struct rows *a,
                              const struct bytes bytes, const int n)
{
#pragma GCC unroll 12
    for (int r = 0; r < n; r++) {
        const bool halves = form.scale_len == 16;
        const uint8_t *row = a->row[r];
        dot0[r] = dot_start(form, halves ? act_i32(row, bytes.offset16, 2 * b)
                                         : act_i32(row, bytes.offset, b));
        dot1[r] = halves ? dot_start(form, act_i32(row, bytes.offset16, 2 * b + 1))
                         : _mm512_setzero_si512();
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const int j0 = form.bits == 8 ? 2 * j : j; /* bytes are read in their own order */
        const int j1 = form.bits == 8 ? 2 * j + 1 : j + 4;
        __m512i q0 = codes(form.bits, w, j0);
        __m512i q1 = codes(form.bits, w, j1);
        if (form.table) {
            q0 = _mm512_shuffle_epi8(table, q0);
            q1 = _mm512_shuffle_epi8(table, q1);
        }
#pragma GCC unroll 12
        for (int r = 0; r < n; r++)
            dot0[r] = add_dot4(dot0[r], q0, a->row[r] + bytes.at + b * PACKED_BLOCK + 4 * j0);
        __m512i *dots = is_split(form, n) ? dot1 : dot0;
#pragma GCC unroll 12
        for (int r = 0; r < n; r++)
            dots[r] = add_dot4(dots[r], q1, a->row[r] + bytes.at + b * PACKED_BLOCK + 4 * j1);
    }
}

/* sum += what the block's integers stand for. */
TENSOR_INLINE void block_add(__m512 *sum, const struct tensor_form form, const struct scales *s,
                             const __m512i dot0[ROWS], const __m512i dot1[ROWS], int64_t b,
                             const struct rows *a, const int n)
{
#pragma GCC unroll 12
    for (int r = 0; r < n; r++) {
        const uint8_t *row = a->row[r];
        float scale = act_f32(row, a->at.scale, b);
        if (form.scale_len == 32) {
            __m512i dot = is_split(form, n) ? _mm512_add_epi32(dot0[r], dot1[r]) : dot0[r];
            sum[r] = add_scaled(sum[r], dot, s->d[0], scale);
            if (form.has_min)
                sum[r] = add_min(sum[r], s->m[0], act_f32(row, a->at.scaled_sum, b));
            continue;
        }
        sum[r] = add_scaled(sum[r], dot0[r], s->d[0], scale);
        sum[r] = add_scaled(sum[r], dot1[r], s->d[1], scale);
        if (form.has_min) {
            size_t at = a->at.scaled_sum16;
            sum[r] = add_min(sum[r], s->m[0], act_f32(row, at, 2 * b));
            sum[r] = add_min(sum[r], s->m[1], act_f32(row, at, 2 * b + 1));
        }
    }
}

/* Memory that is fetched meanwhile: `step` bytes with each group of the tile. */
struct ahead {
    const uint8_t *at;
    size_t step;
};

/*
 * A tile of a quantised type, which is a constant: all that follows from it folds away.
 */
TENSOR_INLINE void tile_blocks(__m512 *sum, const enum tensor_type type, const uint8_t *w,
                               int64_t n_blocks, const struct rows *a, struct ahead ahead,
                               const int n)
{
    const int ahead_lines = (int)((ahead.step + 63) / 64);
    const struct tensor_form form = tensor_form(type);
    const __m512i table = table_of(form);
    const int count = packed_group_blocks(type);
    const struct bytes p = { 0, a->at.offset, a->at.offset16 };
    for (int64_t first = 0; first < n_blocks; first += count, w += packed_group_bytes(type, TILE)) {
        const uint8_t *codes_at = w + packed_codes_at(type, TILE);
        const uint8_t *sc = w + packed_sc_at(type, TILE);
        struct group g = { 0 };
        if (form.has_scales)
            g = load_group(type, w);
        for (int line = 0; line < ahead_lines; line++)
            _mm_prefetch((const char *)ahead.at + 64 * line, _MM_HINT_T0);
        ahead.at += ahead.step;
        for (int64_t b = first; b < first + count; b++) {
            __m512i dot0[ROWS];
            __m512i dot1[ROWS];
            block_dots(dot0, dot1, form, table, codes_at, b, a, p, n);
            __asm__ volatile("" ::: "memory"); /* not earlier: registers, and a step back */
            if (!form.has_scales)
                g = load_group(type, w);
            const struct scales s = load_scales(form, &g, sc);
            block_add(sum, form, &s, dot0, dot1, b, a, n);
            codes_at += packed_codes_bytes(type, TILE);
            sc += packed_sc_bytes(type, TILE);
        }
    }
}

/*
 * sum += what the rests of rows stand for (packed.h), block by block, each for the rows that have
 * one: what is beside a row changes none of its bits.
 */
TENSOR_INLINE void tile_rests(__m512 *sum, const enum tensor_type type, const uint8_t *w,
                              int64_t n_blocks, const struct rows *a, const int n)
{
    const struct tensor_form form = tensor_form(type);
    const __m512i table = table_of(form);
    const int count = packed_group_blocks(type);
    const struct bytes rest = { a->at.rest, a->at.rest_offset, a->at.rest_offset16 };
    for (int64_t word = 0; word * 64 < n_blocks; word++) {
        for (uint64_t any = act_rests(a->row, &a->at, word, n); any; any &= any - 1) {
            int64_t b = word * 64 + __builtin_ctzll(any);
            const uint8_t *at = w + (size_t)(b / count) * packed_group_bytes(type, TILE);
            const size_t nth = (size_t)(b % count);
            const struct group g = load_group(type, at);
            const struct scales s = load_scales(
                form, &g, at + packed_sc_at(type, TILE) + nth * packed_sc_bytes(type, TILE));
            __m512i dot0[ROWS];
            __m512i dot1[ROWS];
            block_dots(dot0, dot1, form, table,
                       at + packed_codes_at(type, TILE) + nth * packed_codes_bytes(type, TILE), b,
                       a, rest, n);
#pragma GCC unroll 12
            for (int r = 0; r < n; r++) {
                __mmask16 m = act_has(a->row[r], &a->at, b) ? 0xffff : 0;
                __m512 scale = _mm512_set1_ps(act_f32(a->row[r], a->at.scale, b) * ACT_REST_SCALE);
                if (form.scale_len == 32)
                    dot0[r] = _mm512_add_epi32(dot0[r], dot1[r]);
                sum[r] = _mm512_mask3_fmadd_ps(_mm512_mul_ps(s.d[0], scale),
                                               _mm512_cvtepi32_ps(dot0[r]), sum[r], m);
                if (form.scale_len == 16)
                    sum[r] = _mm512_mask3_fmadd_ps(_mm512_mul_ps(s.d[1], scale),
                                                   _mm512_cvtepi32_ps(dot1[r]), sum[r], m);
            }
        }
    }
}

/* The same for more rows, a few at a time: it is seldom much. */
TENSOR_INLINE void tile_rests_many(__m512 *sum, const enum tensor_type type, const uint8_t *w,
                                   int64_t n_blocks, const struct rows *a, const int n)
{
    const int some = n < 4 ? n : 4;
#pragma GCC unroll 3
    for (int first = 0; first < n; first += some) {
        struct rows part = { .at = a->at };
#pragma GCC unroll 4
        for (int r = 0; r < some; r++)
            part.row[r] = a->row[first + r];
        tile_rests(sum + first, type, w, n_blocks, &part, some);
    }
}

/* ---- plain weights ---- */

TENSOR_INLINE __m512 load_bf16(const uint8_t *p)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
}

/* A tile of f32, f16 or bf16: inputs from 0 on, one fused multiply-add each. */
TENSOR_INLINE void tile_plain(__m512 *sum, const enum tensor_type type, const uint8_t *w,
                              int64_t n_in, const float *x, const int n)
{
    const int64_t step = TILE * (type == TENSOR_F32 ? 4 : 2);
    for (int64_t k = 0; k < n_in; k++, w += step) {
        __m512 v = type == TENSOR_F32   ? _mm512_loadu_ps(w)
                   : type == TENSOR_F16 ? avx512_load_f16(w)
                                        : load_bf16(w);
#pragma GCC unroll 12
        for (int r = 0; r < n; r++)
            sum[r] = _mm512_fmadd_ps(v, _mm512_set1_ps(x[r * n_in + k]), sum[r]);
    }
}

/* ---- tiles ---- */

/*
 * The share of the rows row..row+n-1 in fetching the tile behind the one at w: it is fetched while
 * all rows are computed, not in the first rows alone.
 */
TENSOR_INLINE struct ahead next_tile(const struct packed_job *job, const enum tensor_type type,
                                     const uint8_t *w, int64_t row, const int n)
{
    size_t tile_bytes = packed_tile_bytes(type, job->W->n_in, TILE);
    size_t first = tile_bytes * (size_t)row / (size_t)job->n_rows;
    size_t step = packed_group_bytes(type, TILE) * (size_t)n / (size_t)job->n_rows;
    return (struct ahead){ w + tile_bytes + first, step };
}

/* One tile of outputs for `n` rows, n a constant so that the sums live in registers. */
TENSOR_INLINE void tile_rows(const struct packed_job *job, const enum tensor_type type,
                             int64_t tile, int64_t row, const int n)
{
    const struct tensor_matrix *W = job->W;
    const uint8_t *w = packed_tile(job, type, tile, TILE);
    __m512 sum[ROWS];
#pragma GCC unroll 12
    for (int r = 0; r < n; r++)
        sum[r] = _mm512_setzero_ps();
    if (tensor_form(type).bits == 0) {
        tile_plain(sum, type, w, W->n_in, job->x + row * W->n_in, n);
    } else {
        struct rows a = { .at = act_layout_of(W->n_in) };
#pragma GCC unroll 12
        for (int r = 0; r < n; r++)
            a.row[r] = (const uint8_t *)job->act + (size_t)(row + r) * a.at.row_bytes;
        tile_blocks(sum, type, w, W->n_in / PACKED_BLOCK, &a, next_tile(job, type, w, row, n), n);
        tile_rests_many(sum, type, w, W->n_in / PACKED_BLOCK, &a, n);
    }
    __mmask16 mask = avx512_tail(W->n_out - tile * TILE);
#pragma GCC unroll 12
    for (int r = 0; r < n; r++)
        _mm512_mask_storeu_ps(job->y + (row + r) * W->n_out + tile * TILE, mask, sum[r]);
}

/* Rows at a time of `left`, of which at most `most`: 12 and 4 take longer than 8 and 8. */
TENSOR_INLINE int rows_of(int64_t left, const int most)
{
    if (left >= most && left - most != 4)
        return most;
    return left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

/* All rows of each tile. */
TENSOR_INLINE void tiles(const struct packed_job *job, const enum tensor_type type)
{
    const int most = tensor_form(type).scale_len == 16 ? ROWS_SPLIT : ROWS;
    for (int64_t tile = job->tile_first; tile < job->tile_end; tile++) {
        for (int64_t r = 0; r < job->n_rows;) {
            int n = rows_of(job->n_rows - r, most);
            if (n == most)
                tile_rows(job, type, tile, r, most);
            else if (n == 8)
                tile_rows(job, type, tile, r, 8);
            else if (n == 4)
                tile_rows(job, type, tile, r, 4);
            else if (n == 2)
                tile_rows(job, type, tile, r, 2);
            else
                tile_rows(job, type, tile, r, 1);
            r += n;
        }
    }
}

/* A function for each type: the compiler gives each its own registers. */
#define MATMUL(type, name)                                                                         \
    static void name(const struct packed_job *job)                                                 \
    {                                                                                              \
        tiles(job, type);                                                                          \
    }
PACKED_TYPES(MATMUL)

void matmul_avx512(float *y, const struct tensor_matrix *W, int64_t tile_first, int64_t tile_end,
                   const void *act, const float *x, int64_t n_rows)
{
#define BY_TYPE(type, name) [type] = name,
    static void (*const by_type[])(const struct packed_job *) = { PACKED_TYPES(BY_TYPE) };
    const struct packed_job job = { y, W, tile_first, tile_end, act, x, n_rows };
    by_type[W->type](&job);
}
