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
#include "tensor/x86/avx512_weights.h"

enum {
    TILE = AVX512_TILE,
    /* Rows that share a load of weights. 8 sums and 16 integer sums stay in registers; with more
       rows a row's integers go into one register, whose additions other rows hide. */
    ROWS = 12,
    ROWS_SPLIT = 8
};

/* ---- quantised weights ---- */

/* The rows of a call and where their arrays lie. */
struct rows {
    const uint8_t *row[ROWS];
    struct act_layout at;
};

/* Whether the integers of inputs 0..15 and 16..31 are summed apart. */
TENSOR_INLINE bool is_split(const struct tensor_form form, const int n)
{
    return form.scale_len == 16 || n <= ROWS_SPLIT;
}

/* The integers of block `b`: the dots of inputs 0..15 and 16..31, or of all in dot0. */
TENSOR_INLINE void block_dots(__m512i dot0[ROWS], __m512i dot1[ROWS], const struct tensor_form form,
                              __m512i table, const uint8_t *w, int64_t b, const struct rows *a,
                              const uint8_t *const p[ROWS], const int n)
{
#pragma GCC unroll 12
    for (int r = 0; r < n; r++) {
        const bool halves = form.scale_len == 16;
        const uint8_t *row = a->row[r];
        dot0[r] = avx512_dot_start(form, halves ? act_i32(row, a->at.offset16, 2 * b)
                                                : act_i32(row, a->at.offset, b));
        dot1[r] = halves ? avx512_dot_start(form, act_i32(row, a->at.offset16, 2 * b + 1))
                         : _mm512_setzero_si512();
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const int j0 = form.bits == 8 ? 2 * j : j; /* bytes are read in their own order */
        const int j1 = form.bits == 8 ? 2 * j + 1 : j + 4;
        __m512i q0 = avx512_bytes(form, table, w, j0);
        __m512i q1 = avx512_bytes(form, table, w, j1);
#pragma GCC unroll 12
        for (int r = 0; r < n; r++)
            dot0[r] = avx512_add_dot4(dot0[r], q0, p[r] + 4 * j0);
        __m512i *dots = is_split(form, n) ? dot1 : dot0;
#pragma GCC unroll 12
        for (int r = 0; r < n; r++)
            dots[r] = avx512_add_dot4(dots[r], q1, p[r] + 4 * j1);
    }
}

/* sum += what the block's integers stand for. */
TENSOR_INLINE void block_add(__m512 *sum, const struct tensor_form form,
                             const struct avx512_scales *s, const __m512i dot0[ROWS],
                             const __m512i dot1[ROWS], int64_t b, const struct rows *a, const int n)
{
#pragma GCC unroll 12
    for (int r = 0; r < n; r++) {
        const uint8_t *row = a->row[r];
        float scale = act_f32(row, a->at.scale, b);
        if (form.scale_len == 32) {
            __m512i dot = is_split(form, n) ? _mm512_add_epi32(dot0[r], dot1[r]) : dot0[r];
            sum[r] = avx512_add_scaled(sum[r], dot, s->d[0], scale);
            if (form.has_min)
                sum[r] = avx512_add_min(sum[r], s->m[0], act_f32(row, a->at.scaled_sum, b));
            continue;
        }
        sum[r] = avx512_add_scaled(sum[r], dot0[r], s->d[0], scale);
        sum[r] = avx512_add_scaled(sum[r], dot1[r], s->d[1], scale);
        if (form.has_min) {
            size_t at = a->at.scaled_sum16;
            sum[r] = avx512_add_min(sum[r], s->m[0], act_f32(row, at, 2 * b));
            sum[r] = avx512_add_min(sum[r], s->m[1], act_f32(row, at, 2 * b + 1));
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
    const __m512i table = avx512_table(form);
    const int count = packed_group_blocks(type);
    const uint8_t *p[ROWS];
#pragma GCC unroll 12
    for (int r = 0; r < n; r++)
        p[r] = a->row[r];
    for (int64_t first = 0; first < n_blocks; first += count, w += packed_group_bytes(type, TILE)) {
        const uint8_t *codes_at = w + packed_codes_at(type, TILE);
        const uint8_t *sc = w + packed_sc_at(type, TILE);
        struct avx512_group g = { 0 };
        if (form.has_scales)
            g = avx512_load_group(type, w);
        for (int line = 0; line < ahead_lines; line++)
            _mm_prefetch((const char *)ahead.at + 64 * line, _MM_HINT_T0);
        ahead.at += ahead.step;
        for (int64_t b = first; b < first + count; b++) {
            __m512i dot0[ROWS];
            __m512i dot1[ROWS];
            block_dots(dot0, dot1, form, table, codes_at, b, a, p, n);
#pragma GCC unroll 12
            for (int r = 0; r < n; r++) {
                p[r] += PACKED_BLOCK;
                if (form.bits < 8 && form.scale_len == 32) /* base and index make two of one */
                    __asm__("" : "+r"(p[r]));
            }
            __asm__ volatile("" ::: "memory"); /* not earlier: registers, and a step back */
            if (!form.has_scales)
                g = avx512_load_group(type, w);
            const struct avx512_scales s = avx512_load_scales(form, &g, sc);
            block_add(sum, form, &s, dot0, dot1, b, a, n);
            codes_at += packed_codes_bytes(type, TILE);
            sc += packed_sc_bytes(type, TILE);
        }
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
    struct rows a = { .at = act_layout_of(W->n_in) };
    __m512 sum[ROWS];
#pragma GCC unroll 12
    for (int r = 0; r < n; r++)
        sum[r] = _mm512_setzero_ps();
    if (tensor_form(type).bits == 0) {
        tile_plain(sum, type, w, W->n_in, job->x + row * W->n_in, n);
    } else {
#pragma GCC unroll 12
        for (int r = 0; r < n; r++)
            a.row[r] = (const uint8_t *)job->act + (size_t)(row + r) * a.at.row_bytes;
        tile_blocks(sum, type, w, W->n_in / PACKED_BLOCK, &a, next_tile(job, type, w, row, n), n);
    }
    __mmask16 mask = avx512_tail(W->n_out - tile * TILE);
    float *y = job->y + row * W->n_out + tile * TILE;
#pragma GCC unroll 12
    for (int r = 0; r < n; r++)
        _mm512_mask_storeu_ps(y + r * W->n_out, mask, sum[r]);
    if (tensor_form(type).bits == 0)
        return;
    for (int r = 0; r < n; r++)
        avx512_add_rests(y + r * W->n_out, mask, type, w, W->n_in / PACKED_BLOCK, a.row[r], &a.at);
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
