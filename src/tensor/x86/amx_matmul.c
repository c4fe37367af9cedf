/*
 * Products of many rows for AMX. One instruction multiplies 16 rows of activations with 16
 * outputs: of a block of 32 inputs the exact integers that eight vpdpbusd give for each row.
 * What becomes of these integers is what avx512_matmul.c does with them, in the same order, so
 * a row's bits are the same; a few rows, and weights that are not quantised, are left to it.
 *
 * Rows are first laid together in panels: for each block the bytes of 16 rows, their scales and
 * sums. A tile of outputs is taken apart once for all panels: signed bytes, and scales in f32.
 * The words of packed codes, four inputs of an output side by side, are the layout that the
 * second operand wants. Blocks come in chunks, so that panels have a size; sums wait in y.
 *
 * While tile instructions are in flight, vectors are multiplied at half the speed: the tiles' work
 * is hidden behind that of the scales, finer or coarser mixtures are no faster, and rests come after
 * all tiles of a job.
 */
#include <string.h>

#include "tensor/x86/amx.h"
#include "tensor/x86/avx512_weights.h"

enum {
    TILE = AVX512_TILE,
    GROUP = 16,  /* rows of a panel */
    GROUPS = 4,  /* panels at a time */
    CHUNK = 64,  /* blocks at a time */
    AT_ONCE = 2, /* blocks whose integers wait to be added */
    FEW = 12     /* of the last panel: fewer rows are faster without */
};

/* Tile registers. */
#define DOT 0
#define ACT 4
#define WEIGHT 6

/* A block of 16 rows. */
struct panel_block {
    _Alignas(64) int8_t p[GROUP][PACKED_BLOCK];
    float scale[GROUP];
    float sum[2][GROUP]; /* times the scale; of halves where these have a scale each */
};

/* A block of a tile of weights: word j of 16 outputs, scales and minima. */
struct tile_block {
    _Alignas(64) int8_t q[8][64];
    float d[2][TILE];
    float m[2][TILE];
};

typedef int32_t dots[GROUP][TILE];

struct work {
    struct panel_block panel[GROUPS][CHUNK];
    struct tile_block tile[CHUNK];
    _Alignas(64) dots dot[AT_ONCE][2];
};

/* Some rows of a job, some blocks of these. */
struct part {
    const struct packed_job *job;
    struct act_layout at;
    int64_t row; /* the first */
    int64_t n_rows;
    int64_t block; /* the first: a multiple of CHUNK, so that no group of blocks is cut */
    int64_t n_blocks;
};

TENSOR_INLINE int parts_of(const struct tensor_form form)
{
    return form.scale_len == 16 ? 2 : 1;
}

TENSOR_INLINE const uint8_t *act_row(const struct part *p, int64_t r)
{
    return (const uint8_t *)p->job->act + (size_t)(p->row + r) * p->at.row_bytes;
}

TENSOR_INLINE int64_t panels_of(const struct part *p)
{
    return (p->n_rows + GROUP - 1) / GROUP;
}

/* ---- panels ---- */

/* Whole panels: past the last row the last one again. */
static void fill_panels(struct work *work, const struct part *p, int parts)
{
    const size_t sums = parts == 2 ? p->at.scaled_sum16 : p->at.scaled_sum;
    for (int64_t r = 0; r < panels_of(p) * GROUP; r++) {
        const uint8_t *row = act_row(p, r < p->n_rows ? r : p->n_rows - 1);
        struct panel_block *out = work->panel[r / GROUP];
        for (int64_t i = 0; i < p->n_blocks; i++, out++) {
            int64_t b = p->block + i;
            memcpy(out->p[r % GROUP], row + b * PACKED_BLOCK, PACKED_BLOCK);
            out->scale[r % GROUP] = act_f32(row, p->at.scale, b);
            for (int half = 0; half < parts; half++)
                out->sum[half][r % GROUP] = act_f32(row, sums, parts * b + half);
        }
    }
}

/* ---- weights ---- */

/* Takes a part's blocks of a tile apart. */
TENSOR_INLINE void unpack(struct tile_block *out, const enum tensor_type type, const uint8_t *tile,
                          const struct part *p)
{
    const struct tensor_form form = tensor_form(type);
    const __m512i table = avx512_table(form);
    const __m512i offset = _mm512_set1_epi8((char)avx512_offset(form));
    const int blocks = packed_group_blocks(type);
    const uint8_t *w = tile + (size_t)(p->block / blocks) * packed_group_bytes(type, TILE);
    for (int64_t i = 0; i < p->n_blocks; w += packed_group_bytes(type, TILE)) {
        const struct avx512_group g = avx512_load_group(type, w);
        for (size_t nth = 0; nth < (size_t)blocks; nth++, i++) {
            const struct avx512_scales s = avx512_load_scales(
                form, &g, w + packed_sc_at(type, TILE) + nth * packed_sc_bytes(type, TILE));
            const uint8_t *codes =
                w + packed_codes_at(type, TILE) + nth * packed_codes_bytes(type, TILE);
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++) {
                __m512i q = avx512_bytes(form, table, codes, j);
                _mm512_store_si512(out[i].q[j], _mm512_sub_epi8(q, offset));
            }
#pragma GCC unroll 2
            for (int half = 0; half < parts_of(form); half++) {
                _mm512_store_ps(out[i].d[half], s.d[half]);
                if (form.has_min)
                    _mm512_store_ps(out[i].m[half], s.m[half]);
            }
        }
    }
}

/* ---- products ---- */

/* The integers of a block: of inputs 0..15 and 16..31, or of all in the first. */
TENSOR_INLINE void block_dots(dots out[2], const struct tensor_form form,
                              const struct panel_block *a, const struct tile_block *w)
{
#pragma GCC unroll 2
    for (int half = 0; half < parts_of(form); half++) {
        AMX_LOAD(WEIGHT, w->q[4 * half], 64);
        AMX_LOAD(ACT, &a->p[0][16 * half], PACKED_BLOCK);
        AMX_ZERO(DOT);
        AMX_DOT(DOT, ACT, WEIGHT);
        AMX_STORE(DOT, out[half], 64);
    }
}

/* sum += what these stand for. */
TENSOR_INLINE void block_add(__m512 *sum, const struct tensor_form form, dots dot[2],
                             const struct panel_block *a, const struct tile_block *w)
{
#pragma GCC unroll 16
    for (int r = 0; r < GROUP; r++) {
#pragma GCC unroll 2
        for (int half = 0; half < parts_of(form); half++)
            sum[r] = avx512_add_scaled(sum[r], _mm512_load_si512(dot[half][r]),
                                       _mm512_load_ps(w->d[half]), a->scale[r]);
#pragma GCC unroll 2
        for (int half = 0; half < parts_of(form); half++) {
            if (form.has_min)
                sum[r] = avx512_add_min(sum[r], _mm512_load_ps(w->m[half]), a->sum[half][r]);
        }
    }
}

/* What is fetched of the next tile while blocks of this one are added: `step` bytes a block. */
struct ahead {
    const uint8_t *at;
    size_t step;
};

TENSOR_INLINE struct ahead ahead_of(const enum tensor_type type, const struct part *p, int64_t tile,
                                    int64_t g)
{
    const size_t chunk = packed_tile_bytes(type, p->n_blocks * PACKED_BLOCK, TILE);
    const size_t before = packed_tile_bytes(type, p->block * PACKED_BLOCK, TILE);
    const size_t share = chunk / (size_t)panels_of(p);
    return (struct ahead){ packed_tile(p->job, type, tile + 1, TILE) + before + (size_t)g * share,
                           share / (size_t)p->n_blocks + 1 };
}

/* Fetches the share of blocks i.. in the next tile, and their successors in a panel. */
TENSOR_INLINE void fetch(const struct ahead *ahead, int64_t i, const struct panel_block *next)
{
    const uint8_t *from = ahead->at + (size_t)i * ahead->step;
    for (size_t at = 0; at < AT_ONCE * ahead->step; at += 64)
        _mm_prefetch((const char *)from + at, _MM_HINT_T1);
#pragma GCC unroll 32
    for (size_t at = 0; at < AT_ONCE * sizeof *next; at += 64)
        _mm_prefetch((const char *)next + at, _MM_HINT_T0);
}

/* y += the blocks of a part for `n_rows` rows, those of panel `g`. */
TENSOR_INLINE void group_add(float *y, struct work *work, const enum tensor_type type,
                             const struct part *p, int64_t tile, int64_t g)
{
    const struct tensor_form form = tensor_form(type);
    const int64_t n_out = p->job->W->n_out;
    const int64_t n_rows = p->n_rows - g * GROUP;
    const __mmask16 mask = avx512_tail(n_out - tile * TILE);
    const struct panel_block *a = work->panel[g];
    const struct ahead ahead = ahead_of(type, p, tile, g);
    __m512 sum[GROUP];
    for (int64_t r = 0; r < GROUP && r < n_rows; r++)
        avx512_fetch_to_write(y + r * n_out);
#pragma GCC unroll 16
    for (int r = 0; r < GROUP; r++)
        sum[r] = p->block == 0 || r >= n_rows ? _mm512_setzero_ps()
                                              : _mm512_maskz_loadu_ps(mask, y + r * n_out);
    for (int64_t i = 0; i < p->n_blocks; i += AT_ONCE) {
        const int64_t count = p->n_blocks - i < AT_ONCE ? p->n_blocks - i : AT_ONCE;
        fetch(&ahead, i, a + i + AT_ONCE);
        for (int64_t k = 0; k < count; k++)
            block_dots(work->dot[k], form, a + i + k, work->tile + i + k);
        for (int64_t k = 0; k < count; k++)
            block_add(sum, form, work->dot[k], a + i + k, work->tile + i + k);
    }
#pragma GCC unroll 16
    for (int r = 0; r < GROUP; r++)
        if (r < n_rows)
            _mm512_mask_storeu_ps(y + r * n_out, mask, sum[r]);
}

/* ---- jobs ---- */

TENSOR_INLINE void tile_rests(float *y, const struct part *p, const enum tensor_type type,
                              int64_t tile)
{
    const struct tensor_matrix *W = p->job->W;
    const uint8_t *w = packed_tile(p->job, type, tile, TILE);
    __mmask16 mask = avx512_tail(W->n_out - tile * TILE);
    for (int64_t r = 0; r < p->n_rows; r++)
        avx512_add_rests(y + r * W->n_out, mask, type, w, W->n_in / PACKED_BLOCK, act_row(p, r),
                         &p->at);
}

/* Rows that fit into the panels. */
TENSOR_INLINE void some_rows(struct work *work, const enum tensor_type type, struct part *p)
{
    const struct packed_job *job = p->job;
    const struct tensor_form form = tensor_form(type);
    const int64_t n_blocks = job->W->n_in / PACKED_BLOCK;
    for (p->block = 0; p->block < n_blocks; p->block += CHUNK) {
        p->n_blocks = n_blocks - p->block < CHUNK ? n_blocks - p->block : CHUNK;
        fill_panels(work, p, parts_of(form));
        for (int64_t t = job->tile_first; t < job->tile_end; t++) {
            unpack(work->tile, type, packed_tile(job, type, t, TILE), p);
            float *y = job->y + p->row * job->W->n_out + t * TILE;
            for (int64_t g = 0; g < panels_of(p); g++)
                group_add(y + g * GROUP * job->W->n_out, work, type, p, t, g);
        }
    }
    for (int64_t t = job->tile_first; t < job->tile_end; t++)
        tile_rests(job->y + p->row * job->W->n_out + t * TILE, p, type, t);
}

TENSOR_INLINE void all_rows(const struct packed_job *job, const enum tensor_type type)
{
    struct work work;
    struct part p = { .job = job, .at = act_layout_of(job->W->n_in) };
    for (p.row = 0; p.row < job->n_rows; p.row += p.n_rows) {
        p.n_rows = job->n_rows - p.row < GROUP * GROUPS ? job->n_rows - p.row : GROUP * GROUPS;
        some_rows(&work, type, &p);
    }
}

#define MATMUL(type, name)                                                                         \
    static void name(const struct packed_job *job)                                                 \
    {                                                                                              \
        all_rows(job, type);                                                                       \
    }
PACKED_QUANTISED(MATMUL)

void matmul_amx(float *y, const struct tensor_matrix *W, int64_t tile_first, int64_t tile_end,
                const void *act, const float *x, int64_t n_rows)
{
    /* Up to 27 rows are faster without, too: taking a tile apart pays from two panels on. */
    int64_t many = n_rows % GROUP < FEW ? n_rows / GROUP * GROUP : n_rows;
    if (many <= GROUP || tensor_form(W->type).bits == 0)
        many = 0;
    if (many > 0) {
#define BY_TYPE(type, name) [type] = name,
        static void (*const by_type[])(const struct packed_job *) = { PACKED_QUANTISED(BY_TYPE) };
        const struct packed_job job = { y, W, tile_first, tile_end, act, x, many };
        const int parts = parts_of(tensor_form(W->type));
        struct amx_config config = { .palette = 1 };
        config.rows[DOT] = config.rows[ACT] = GROUP;
        config.row_bytes[DOT] = config.row_bytes[WEIGHT] = 4 * TILE;
        config.row_bytes[ACT] = (uint16_t)(PACKED_BLOCK / parts);
        config.rows[WEIGHT] = (uint8_t)(PACKED_BLOCK / 4 / parts);
        AMX_START(config);
        by_type[W->type](&job);
        AMX_END();
    }
    if (many < n_rows)
        matmul_avx512(y + many * W->n_out, W, tile_first, tile_end,
                      (const uint8_t *)act + (size_t)many * tensor_act_row_bytes(W->n_in),
                      x + many * W->n_in, n_rows - many);
}
