/*
 * Every operation but attention, for every instruction set this machine has, against plain
 * formulas in double precision written here.
 *
 * Tolerances
 *  - f32 and f16 weights: 1e-5 * sum|w x| + 1e-6. f32 sums of up to 100 products in order
 *    err by at most 100 * 2^-24 = 6e-6 of sum|w x|.
 *  - quantised weights against int8 arithmetic in double: 1e-5 * (the sum of absolute
 *    products). The integers are exact; what is left are two roundings for each of up to 18
 *    blocks.
 *  - quantised weights against unquantised activations: normalised mean square error 5e-4.
 *    Rounding to 1/127 of the block's maximum gives 1e-5 to 1e-4 on uniform values.
 *  - row operations: 1e-5 relative. Sums of 576 squares in 16 lanes err by 36 * 2^-24 = 2e-6,
 *    e^x by 2e-7.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/mem.h"
#include "tensor/dequant.h"
#include "tensor/support.h"
#include "tensor/tensor.h"

enum {
    TEAMS = 3, /* of 1, 2 and 3 members */
    ROWS_MAX = 33,
    N_IN_MAX = 576,
    N_OUT_MAX = 100
};

static const enum tensor_type g_types[] = { TENSOR_F32, TENSOR_F16, TENSOR_Q4_1, TENSOR_Q8_0 };
static const int64_t g_n_out[] = { 1, 15, 16, 17, 31, 33, 100 };
static const int64_t g_rows[] = { 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33 };
static const int64_t g_n_in_plain[] = { 1, 7, 31, 32, 33, 100 };
static const int64_t g_n_in_blocks[] = { 32, 64, 96, 576 };

#define COUNT(a) ((int)(sizeof(a) / sizeof(a)[0]))

static const struct tensor_isa *g_isas[ISAS_MAX];
static int g_isa_count;
static struct team *g_teams[TEAMS];

static void set_up(void)
{
    g_isa_count = isas_find(g_isas);
    for (int i = 0; i < TEAMS; i++)
        ck_assert_int_eq(team_create(i + 1, &g_teams[i]), OK);
}

static void tear_down(void)
{
    for (int i = 0; i < TEAMS; i++)
        team_destroy(g_teams[i]);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

static bool is_quantised(enum tensor_type type)
{
    return type == TENSOR_Q4_1 || type == TENSOR_Q8_0;
}

/* The reference multiplies f32 activations; the others quantise them for such weights. */
static bool quantises_activations(const struct tensor_isa *isa, enum tensor_type type)
{
    return isa != g_isas[0] && is_quantised(type);
}

static struct tensor_ctx take_ctx(const struct tensor_isa *isa, struct team *team)
{
    struct tensor_ctx ctx;
    ck_assert_int_eq(tensor_ctx_init(&ctx, isa, team, ROWS_MAX, N_IN_MAX), OK);
    return ctx;
}

/* ---- weights ---- */

static void put_half(uint8_t *p, uint16_t h)
{
    memcpy(p, &h, sizeof h);
}

static uint16_t get_half(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return h;
}

static void random_block(struct numbers *rnd, enum tensor_type type, uint8_t *block)
{
    int quants_at = type == TENSOR_Q4_1 ? 4 : 2;
    put_half(block, half_random(rnd, 6, 12));
    if (type == TENSOR_Q4_1)
        put_half(block + 2, half_random(rnd, 8, 15));
    for (int i = quants_at; i < tensor_type_info(type)->block_bytes; i++)
        block[i] = (uint8_t)numbers_next(rnd);
    if (type == TENSOR_Q8_0 && numbers_below(rnd, 4) == 0)
        block[2 + numbers_below(rnd, 32)] = 0x80; /* -128, which has no positive twin */
}

static void random_weights(struct numbers *rnd, enum tensor_type type, uint8_t *rows, int64_t n)
{
    const struct tensor_type_info *info = tensor_type_info(type);
    for (int64_t i = 0; i < n / info->block_len; i++) {
        uint8_t *at = rows + i * info->block_bytes;
        float x = numbers_unit(rnd);
        if (type == TENSOR_F32)
            memcpy(at, &x, sizeof x);
        else if (type == TENSOR_F16)
            put_half(at, half_random(rnd, i % 50 ? 8 : 0, 15)); /* some of them subnormal */
        else
            random_block(rnd, type, at);
    }
}

/* Element i of a row of weights. */
static double weight(enum tensor_type type, const uint8_t *row, int64_t i)
{
    const uint8_t *block = row + i / 32 * tensor_type_info(type)->block_bytes;
    int at = (int)(i % 32);
    float x;
    switch (type) {
    case TENSOR_F32:
        memcpy(&x, row + 4 * i, sizeof x);
        return (double)x;
    case TENSOR_F16:
        return half_value(get_half(row + 2 * i));
    case TENSOR_Q4_1: {
        uint8_t pair = block[4 + at % 16];
        int q = at < 16 ? pair & 15 : pair >> 4;
        return half_value(get_half(block)) * q + half_value(get_half(block + 2));
    }
    case TENSOR_Q8_0:
        return half_value(get_half(block)) * (int8_t)block[2 + at];
    }
    abort();
}

/* A matrix whose rows touch a forbidden page, packed for `isa`. */
struct weights {
    struct guarded rows;
    struct tensor_matrix m;
};

static struct weights take_weights(struct numbers *rnd, const struct tensor_isa *isa,
                                   enum tensor_type type, int64_t n_out, int64_t n_in,
                                   enum guard_side side)
{
    struct weights w = { .rows = guarded_take((size_t)n_out * tensor_row_bytes(type, n_in), side) };
    random_weights(rnd, type, w.rows.p, n_out * n_in);
    w.m = (struct tensor_matrix){ .type = type, .n_out = n_out, .n_in = n_in, .rows = w.rows.p };
    ck_assert_int_eq(tensor_matrix_pack(&w.m, isa, g_teams[1]), OK);
    return w;
}

static void give_weights(struct weights *w)
{
    tensor_matrix_unpack(&w->m);
    guarded_give(&w->rows);
}

static const uint8_t *weight_row(const struct tensor_matrix *m, int64_t o)
{
    return (const uint8_t *)m->rows + (size_t)o * tensor_row_bytes(m->type, m->n_in);
}

/* ---- what a product should be ---- */

/* Activations as the kernels see them: p * scale, the same for f32 with scale 1. */
struct quantised {
    double p[N_IN_MAX];
    double scale[N_IN_MAX / 32];
};

/* Blocks of 32: scale max|x| / 127, p = x * (127 / max|x|) to nearest, ties to even. */
static void quantise(struct quantised *q, const float *x, int64_t n)
{
    for (int64_t b = 0; b < n / 32; b++) {
        float max = 0;
        for (int i = 0; i < 32; i++)
            max = fmaxf(max, fabsf(x[32 * b + i]));
        float inverse = max > 0 ? 127.0f / max : 0.0f;
        if (!isfinite(inverse))
            inverse = 0; /* max is below 127 / FLT_MAX: the block counts as zeros */
        q->scale[b] = (double)(max / 127.0f);
        for (int i = 0; i < 32; i++)
            q->p[32 * b + i] = (double)nearbyintf(x[32 * b + i] * inverse);
    }
}

/* The product and the sum of absolute products, each with its blocks' minimum apart. */
static double int8_product(const struct tensor_matrix *m, int64_t o, const struct quantised *q,
                           double *absolute)
{
    double sum = 0;
    *absolute = 0;
    for (int64_t b = 0; b < m->n_in / 32; b++) {
        const uint8_t *block = weight_row(m, o) + b * tensor_type_info(m->type)->block_bytes;
        double d = half_value(get_half(block));
        double min = m->type == TENSOR_Q4_1 ? half_value(get_half(block + 2)) : 0;
        for (int i = 0; i < 32; i++) {
            double x = q->p[32 * b + i] * q->scale[b];
            double quant = (weight(m->type, weight_row(m, o), 32 * b + i) - min) / d;
            sum += d * quant * x + min * x;
            *absolute += fabs(d * quant * x) + fabs(min * x);
        }
    }
    return sum;
}

static double plain_product(const struct tensor_matrix *m, int64_t o, const float *x,
                            double *absolute)
{
    double sum = 0;
    *absolute = 0;
    for (int64_t i = 0; i < m->n_in; i++) {
        double product = weight(m->type, weight_row(m, o), i) * (double)x[i];
        sum += product;
        *absolute += fabs(product);
    }
    return sum;
}

static void check_products(const struct tensor_isa *isa, const struct tensor_matrix *m,
                           const float *x, const float *y, int64_t n_rows)
{
    static struct quantised q;
    double noise = 0;
    double power = 0;
    bool int8 = quantises_activations(isa, m->type);
    for (int64_t r = 0; r < n_rows; r++) {
        if (int8)
            quantise(&q, x + r * m->n_in, m->n_in);
        for (int64_t o = 0; o < m->n_out; o++) {
            double absolute;
            double got = (double)y[r * m->n_out + o];
            double plain = plain_product(m, o, x + r * m->n_in, &absolute);
            noise += (got - plain) * (got - plain);
            power += plain * plain;
            double want = int8 ? int8_product(m, o, &q, &absolute) : plain;
            double allowed = 1e-5 * absolute + (int8 ? 1e-39 : 1e-6);
            if (!(fabs(got - want) <= allowed))
                ck_abort_msg("%s %s [%lld][%lld] row %lld output %lld: %.9g, not %.9g +- %.3g",
                             isa->name, tensor_type_info(m->type)->name, (long long)m->n_out,
                             (long long)m->n_in, (long long)r, (long long)o, got, want, allowed);
        }
    }
    if (int8 && !(noise <= 5e-4 * power))
        ck_abort_msg("%s %s [%lld][%lld]: normalised mean square error %.3g", isa->name,
                     tensor_type_info(m->type)->name, (long long)m->n_out, (long long)m->n_in,
                     noise / power);
}

/* ---- multiplication ---- */

/* The batch x [n_rows] through a context of each team; every result must have y's bits. */
static void check_batch(struct tensor_ctx ctxs[TEAMS], const struct tensor_matrix *m,
                        const float *x, const float *y, int64_t n_rows, enum guard_side side)
{
    size_t in_bytes = (size_t)(n_rows * m->n_in) * sizeof(float);
    struct guarded in = guarded_take(in_bytes, side);
    memcpy(in.p, x, in_bytes);
    for (int t = 0; t < TEAMS; t++) {
        struct guarded out = guarded_take((size_t)(n_rows * m->n_out) * sizeof(float), side);
        tensor_act_set(&ctxs[t], in.p, n_rows, m->n_in);
        tensor_matmul(&ctxs[t], out.p, m);
        int64_t at = bits_differ(out.p, y, n_rows * m->n_out);
        if (at >= 0)
            ck_abort_msg("%s %s [%lld][%lld]: row %lld of %lld in a team of %d has other bits",
                         tensor_isa_name(ctxs[t].isa), tensor_type_info(m->type)->name,
                         (long long)m->n_out, (long long)m->n_in, (long long)(at / m->n_out),
                         (long long)n_rows, t + 1);
        guarded_give(&out);
    }
    guarded_give(&in);
}

static void check_shape(struct tensor_ctx ctxs[TEAMS], struct numbers *rnd, enum tensor_type type,
                        int64_t n_out, int64_t n_in)
{
    static float x[ROWS_MAX * N_IN_MAX];
    static float y[ROWS_MAX * N_OUT_MAX];
    enum guard_side side = (n_out + n_in) % 3 ? GUARD_AFTER : GUARD_BEFORE;
    struct weights w = take_weights(rnd, ctxs[0].isa, type, n_out, n_in, side);
    numbers_fill(rnd, x, ROWS_MAX * n_in, 2.0f);
    tensor_act_set(&ctxs[0], x, ROWS_MAX, n_in);
    tensor_matmul(&ctxs[0], y, &w.m);
    check_products(ctxs[0].isa, &w.m, x, y, ROWS_MAX);
    for (int i = 0; i < COUNT(g_rows); i++) {
        int64_t first = numbers_below(rnd, ROWS_MAX - g_rows[i] + 1);
        check_batch(ctxs, &w.m, x + first * n_in, y + first * n_out, g_rows[i], side);
    }
    give_weights(&w);
}

START_TEST(matmul_is_near_its_formula_and_a_row_has_the_same_bits_in_any_batch)
{
    enum tensor_type type = g_types[_i];
    struct numbers rnd = numbers_start(100 + (uint64_t)_i);
    const int64_t *n_in = is_quantised(type) ? g_n_in_blocks : g_n_in_plain;
    int n_in_count = is_quantised(type) ? COUNT(g_n_in_blocks) : COUNT(g_n_in_plain);
    for (int s = 0; s < g_isa_count; s++) {
        struct tensor_ctx ctxs[TEAMS];
        for (int t = 0; t < TEAMS; t++)
            ctxs[t] = take_ctx(g_isas[s], g_teams[t]);
        for (int o = 0; o < COUNT(g_n_out); o++)
            for (int k = 0; k < n_in_count; k++)
                check_shape(ctxs, &rnd, type, g_n_out[o], n_in[k]);
        for (int t = 0; t < TEAMS; t++)
            tensor_ctx_fini(&ctxs[t]);
    }
}
END_TEST

START_TEST(matmul_many_equals_single_ones)
{
    static const int64_t n_out[] = { 17, 100, 1, 33 };
    enum { N_IN = 96, N_ROWS = 5 };
    struct numbers rnd = numbers_start(200);
    float x[N_ROWS * N_IN];
    numbers_fill(&rnd, x, N_ROWS * N_IN, 1.0f);
    for (int s = 0; s < g_isa_count; s++) {
        struct weights w[4];
        const struct tensor_matrix *W[4];
        for (int i = 0; i < 4; i++) {
            w[i] = take_weights(&rnd, g_isas[s], g_types[i], n_out[i], N_IN, GUARD_AFTER);
            W[i] = &w[i].m;
        }
        for (int t = 0; t < TEAMS; t++) {
            struct tensor_ctx ctx = take_ctx(g_isas[s], g_teams[t]);
            tensor_act_set(&ctx, x, N_ROWS, N_IN);
            for (int count = 1; count <= 4; count++) {
                struct guarded many[4];
                float *y[4];
                for (int i = 0; i < count; i++) {
                    many[i] = guarded_take((size_t)(N_ROWS * n_out[i]) * 4, GUARD_AFTER);
                    y[i] = many[i].p;
                }
                tensor_matmul_many(&ctx, y, W, count);
                for (int i = 0; i < count; i++) {
                    float one[N_ROWS * N_OUT_MAX];
                    tensor_matmul(&ctx, one, W[i]);
                    ck_assert_int_eq(bits_differ(one, y[i], N_ROWS * n_out[i]), -1);
                    guarded_give(&many[i]);
                }
            }
            tensor_ctx_fini(&ctx);
        }
        for (int i = 0; i < 4; i++)
            give_weights(&w[i]);
    }
}
END_TEST

/*
 * The buffers that tensor.c keeps, here each at a forbidden page: prepared rows, packed
 * weights. The sets' functions are called as tensor.c calls them.
 */
START_TEST(kernels_stay_inside_prepared_rows_and_packed_weights)
{
    enum tensor_type type = g_types[_i];
    struct numbers rnd = numbers_start(300 + (uint64_t)_i);
    enum { N_ROWS = 11 };
    for (int s = 0; s < g_isa_count; s++) {
        const struct tensor_isa *isa = g_isas[s];
        for (int shape = 0; shape < 24; shape++) {
            enum guard_side side = shape % 2 ? GUARD_AFTER : GUARD_BEFORE;
            int64_t n_out = g_n_out[shape % COUNT(g_n_out)];
            int64_t n_in = is_quantised(type) ? g_n_in_blocks[shape % 4] : g_n_in_plain[shape % 6];
            struct weights w = take_weights(&rnd, isa, type, n_out, n_in, side);
            struct tensor_matrix m = w.m;
            struct guarded packed = guarded_take(w.m.packed_bytes, side);
            m.packed = packed.bytes ? packed.p : NULL;
            int64_t tiles = (n_out + isa->tile_len - 1) / isa->tile_len;
            for (int64_t i = 0; i < tiles; i++)
                isa->pack_tile(&m, i);

            size_t row_bytes = isa->act_row_bytes(n_in);
            ck_assert_uint_eq(row_bytes % 64, 0);
            struct guarded x = guarded_take((size_t)(N_ROWS * n_in) * 4, side);
            numbers_fill(&rnd, x.p, N_ROWS * n_in, 1.0f);
            struct guarded act = guarded_take(N_ROWS * row_bytes, side);
            for (int64_t r = 0; r < N_ROWS && row_bytes; r++)
                isa->act_prepare((char *)act.p + (size_t)r * row_bytes,
                                 (const float *)x.p + r * n_in, n_in);
            struct guarded y = guarded_take((size_t)(N_ROWS * n_out) * 4, side);
            isa->matmul(y.p, &m, 0, tiles, act.p, x.p, N_ROWS);
            check_products(isa, &m, x.p, y.p, N_ROWS);

            guarded_give(&y);
            guarded_give(&act);
            guarded_give(&x);
            guarded_give(&packed);
            give_weights(&w);
        }
    }
}
END_TEST

START_TEST(a_batch_of_no_rows_writes_nothing)
{
    struct numbers rnd = numbers_start(400);
    for (int s = 0; s < g_isa_count; s++) {
        for (int t = 0; t < TEAMS; t++) {
            struct tensor_ctx ctx = take_ctx(g_isas[s], g_teams[t]);
            struct weights w = take_weights(&rnd, g_isas[s], g_types[2], 33, 64, GUARD_AFTER);
            struct guarded none = guarded_take(0, GUARD_AFTER);
            tensor_act_set(&ctx, none.p, 0, 64);
            tensor_matmul(&ctx, none.p, &w.m);
            tensor_rmsnorm(&ctx, none.p, none.p, none.p, 0, 64, 1e-5f);
            tensor_add(&ctx, none.p, none.p, 0, 64);
            tensor_gated(&ctx, TENSOR_GATE_SILU, none.p, none.p, none.p, 0, 64);
            tensor_rope(&ctx, TENSOR_ROPE_NORM, none.p, none.p, 0, 2, 32, 16);
            guarded_give(&none);
            give_weights(&w);
            tensor_ctx_fini(&ctx);
        }
    }
}
END_TEST

/* One matrix of each type over the rows x; returns in y [type][n_rows][n_out]. */
enum {
    SPECIAL_IN = 96,
    SPECIAL_OUT = 33,
    SPECIAL_ROWS = 9
};

struct special {
    struct tensor_ctx ctx;
    struct weights w;
    float x[SPECIAL_ROWS * SPECIAL_IN];
    float y[SPECIAL_ROWS * SPECIAL_OUT];
};

static void special_start(struct special *s, const struct tensor_isa *isa, enum tensor_type type,
                          uint64_t stream)
{
    struct numbers rnd = numbers_start(stream);
    s->ctx = take_ctx(isa, g_teams[1]);
    s->w = take_weights(&rnd, isa, type, SPECIAL_OUT, SPECIAL_IN, GUARD_AFTER);
    numbers_fill(&rnd, s->x, SPECIAL_ROWS * SPECIAL_IN, 1.0f);
}

static void special_multiply(struct special *s)
{
    tensor_act_set(&s->ctx, s->x, SPECIAL_ROWS, SPECIAL_IN);
    tensor_matmul(&s->ctx, s->y, &s->w.m);
}

static void special_end(struct special *s)
{
    give_weights(&s->w);
    tensor_ctx_fini(&s->ctx);
}

START_TEST(rows_of_zeros_give_zeros)
{
    static struct special s;
    for (int i = 0; i < g_isa_count; i++) {
        special_start(&s, g_isas[i], g_types[_i], 500);
        memset(s.x + 2 * SPECIAL_IN, 0, 3 * SPECIAL_IN * sizeof *s.x);
        for (int k = 0; k < SPECIAL_IN; k += 2)
            s.x[3 * SPECIAL_IN + k] = -0.0f;
        special_multiply(&s);
        check_products(g_isas[i], &s.w.m, s.x, s.y, SPECIAL_ROWS);
        for (int o = 0; o < 3 * SPECIAL_OUT; o++)
            if (s.y[2 * SPECIAL_OUT + o] != 0)
                ck_abort_msg("%s: a zero row gave %g", g_isas[i]->name,
                             (double)s.y[2 * SPECIAL_OUT + o]);
        special_end(&s);
    }
}
END_TEST

/* Rows of about 1e30, 1e-30, 1e-37 and of subnormal numbers, and rows that mix them. */
START_TEST(huge_and_tiny_values_keep_their_precision)
{
    static const float scales[] = { 1e30f, 1e-30f, 1e-36f, 3e-37f, 1e-38f, 1e-41f, 1e-45f };
    static struct special s;
    for (int i = 0; i < g_isa_count; i++) {
        special_start(&s, g_isas[i], g_types[_i], 600);
        for (int r = 0; r < 7; r++)
            for (int k = 0; k < SPECIAL_IN; k++)
                s.x[r * SPECIAL_IN + k] *= scales[r];
        for (int k = 0; k < SPECIAL_IN; k++)
            s.x[7 * SPECIAL_IN + k] *= scales[k / 32 * 2];
        for (int k = 0; k < SPECIAL_IN; k++)
            s.x[8 * SPECIAL_IN + k] *= scales[k % 7];
        special_multiply(&s);
        check_products(g_isas[i], &s.w.m, s.x, s.y, SPECIAL_ROWS);
        special_end(&s);
    }
}
END_TEST

/* A damaged row must not look like a sound one, and the others must not notice. */
START_TEST(nan_and_infinity_stay_in_their_row_and_show_there)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    static const int places[] = { 0, 5, 16, 31, 32, 63, 95 };
    static struct special s;
    static float clean[SPECIAL_ROWS * SPECIAL_OUT];
    for (int i = 0; i < g_isa_count; i++) {
        special_start(&s, g_isas[i], g_types[_i], 700);
        special_multiply(&s);
        memcpy(clean, s.y, sizeof clean);
        for (int c = 0; c < 3 * COUNT(places); c++) {
            int row = c % SPECIAL_ROWS;
            float *x = s.x + row * SPECIAL_IN + places[c / 3];
            float before = *x;
            *x = bad[c % 3];
            if (c % 2)
                x[places[c / 3] < 64 ? 32 : -32] = -bad[c % 3]; /* two blocks of the row */
            special_multiply(&s);
            for (int r = 0; r < SPECIAL_ROWS; r++)
                if (r != row && bits_differ(s.y + r * SPECIAL_OUT, clean + r * SPECIAL_OUT,
                                            SPECIAL_OUT) >= 0)
                    ck_abort_msg("%s: %g in row %d changed row %d", g_isas[i]->name,
                                 (double)bad[c % 3], row, r);
            for (int o = 0; o < SPECIAL_OUT; o++)
                if (isfinite(s.y[row * SPECIAL_OUT + o]))
                    ck_abort_msg("%s: %g at %d gave the finite output %g", g_isas[i]->name,
                                 (double)bad[c % 3], places[c / 3],
                                 (double)s.y[row * SPECIAL_OUT + o]);
            *x = before;
            if (c % 2)
                x[places[c / 3] < 64 ? 32 : -32] = before;
            special_multiply(&s);
            memcpy(clean, s.y, sizeof clean);
        }
        special_end(&s);
    }
}
END_TEST

/* ---- operations over rows ---- */

static const int64_t g_n[] = { 1, 15, 16, 17, 33, 576 };
static const int64_t g_op_rows[] = { 1, 3, 8, 33 }; /* 33 * 576 floats are split over the team */

enum row_op {
    OP_RMSNORM,
    OP_ADD,
    OP_SWIGLU,
    OP_COUNT
};

static void run_op(struct tensor_ctx *ctx, enum row_op op, float *y, const float *a,
                   const float *b, int64_t n_rows, int64_t n)
{
    switch (op) {
    case OP_RMSNORM:
        tensor_rmsnorm(ctx, y, a, b, n_rows, n, 1e-5f);
        return;
    case OP_ADD:
        memmove(y, a, (size_t)(n_rows * n) * sizeof *y);
        tensor_add(ctx, y, b, n_rows, n);
        return;
    case OP_SWIGLU:
        tensor_gated(ctx, TENSOR_GATE_SILU, y, a, b, n_rows, n);
        return;
    case OP_COUNT:
        break;
    }
    abort();
}

/* Element i of what the operation makes of one row. */
static double op_value(enum row_op op, const float *a, const float *b, int64_t n, int64_t i)
{
    double x = (double)a[i];
    double w = (double)b[i];
    if (op == OP_ADD)
        return (double)(float)(x + w);
    if (op == OP_SWIGLU)
        return x / (1.0 + exp(-x)) * w;
    double sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += (double)a[k] * (double)a[k];
    return x / sqrt(sum / (double)n + (double)1e-5f) * w;
}

static void check_op(enum row_op op, const char *isa, const float *y, const float *a,
                     const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double want = op_value(op, a, b, n, i);
        double allowed = op == OP_ADD ? 0 : 1e-5 * fabs(want) + 1e-34;
        if (!(fabs((double)y[i] - want) <= allowed))
            ck_abort_msg("%s op %d n %lld: element %lld is %.9g, not %.9g", isa, (int)op,
                         (long long)n, (long long)i, (double)y[i], want);
    }
}

/* a [n_rows][n] and b [n_rows][n], of which the norm's weights are the first row. */
static void check_op_shape(enum row_op op, const struct tensor_isa *isa, struct numbers *rnd,
                           int64_t n_rows, int64_t n, enum guard_side side)
{
    int64_t count = n_rows * n;
    size_t bytes = (size_t)count * sizeof(float);
    int64_t b_rows = op == OP_RMSNORM ? 1 : n_rows;
    struct guarded a = guarded_take(bytes, side);
    struct guarded b = guarded_take((size_t)(b_rows * n) * sizeof(float), side);
    float *fa = a.p;
    float *fb = b.p;
    numbers_fill(rnd, fa, count, 6.0f);
    numbers_fill(rnd, fb, b_rows * n, 2.0f);
    float rows[ROWS_MAX * N_IN_MAX];
    struct tensor_ctx ctx = take_ctx(isa, g_teams[0]);
    for (int64_t r = 0; r < n_rows; r++) {
        const float *row_b = b_rows == 1 ? fb : fb + r * n;
        run_op(&ctx, op, rows + r * n, fa + r * n, row_b, 1, n);
        check_op(op, isa->name, rows + r * n, fa + r * n, row_b, n);
    }
    tensor_ctx_fini(&ctx);
    for (int t = 0; t < TEAMS; t++) {
        ctx = take_ctx(isa, g_teams[t]);
        struct guarded y = guarded_take(bytes, side);
        run_op(&ctx, op, y.p, fa, fb, n_rows, n);
        ck_assert_int_eq(bits_differ(y.p, rows, count), -1);
        memcpy(y.p, fa, bytes);
        run_op(&ctx, op, y.p, y.p, fb, n_rows, n);
        ck_assert_int_eq(bits_differ(y.p, rows, count), -1);
        guarded_give(&y);
        tensor_ctx_fini(&ctx);
    }
    guarded_give(&b);
    guarded_give(&a);
}

START_TEST(row_operations_are_near_their_formulas_and_may_run_in_place)
{
    struct numbers rnd = numbers_start(800 + (uint64_t)_i);
    for (int s = 0; s < g_isa_count; s++)
        for (int i = 0; i < COUNT(g_n); i++)
            for (int r = 0; r < COUNT(g_op_rows); r++)
                check_op_shape((enum row_op)_i, g_isas[s], &rnd, g_op_rows[r], g_n[i],
                               r % 2 ? GUARD_AFTER : GUARD_BEFORE);
}
END_TEST

START_TEST(row_operations_take_huge_and_tiny_values)
{
    enum { N = 40 };
    static const float gates[] = { 0,    -0.0f,  1e-30f, -1e-30f, 50,    -50,   87,   -87,
                                   88.5f, -88.5f, 200,    -200,    1e30f, -1e30f, 1e-44f };
    float a[N];
    float b[N];
    float y[N];
    for (int s = 0; s < g_isa_count; s++) {
        struct tensor_ctx ctx = take_ctx(g_isas[s], g_teams[0]);
        for (int i = 0; i < N; i++) {
            a[i] = gates[i % COUNT(gates)];
            b[i] = 0.5f;
        }
        tensor_gated(&ctx, TENSOR_GATE_SILU, y, a, b, 1, N);
        check_op(OP_SWIGLU, g_isas[s]->name, y, a, b, N);
        tensor_rmsnorm(&ctx, y, a, b, 1, 12, 1e-5f);
        check_op(OP_RMSNORM, g_isas[s]->name, y, a, b, 12);
        memset(a, 0, sizeof a);
        tensor_rmsnorm(&ctx, y, a, b, 1, N, 1e-5f);
        check_op(OP_RMSNORM, g_isas[s]->name, y, a, b, N);
        tensor_ctx_fini(&ctx);
    }
}
END_TEST

START_TEST(row_operations_keep_nan_in_its_row)
{
    enum { N = 33, N_ROWS = 5, BAD = 2, AT = 20 };
    struct numbers rnd = numbers_start(900);
    float a[N_ROWS * N];
    float b[N_ROWS * N];
    float clean[N_ROWS * N];
    float y[N_ROWS * N];
    numbers_fill(&rnd, a, N_ROWS * N, 1.0f);
    numbers_fill(&rnd, b, N_ROWS * N, 1.0f);
    for (int s = 0; s < g_isa_count; s++) {
        struct tensor_ctx ctx = take_ctx(g_isas[s], g_teams[2]);
        float before = a[BAD * N + AT];
        run_op(&ctx, (enum row_op)_i, clean, a, b, N_ROWS, N);
        a[BAD * N + AT] = NAN;
        run_op(&ctx, (enum row_op)_i, y, a, b, N_ROWS, N);
        a[BAD * N + AT] = before;
        ck_assert_int_eq(bits_differ(y, clean, BAD * N), -1);
        ck_assert_int_eq(bits_differ(y + (BAD + 1) * N, clean + (BAD + 1) * N, 2 * N), -1);
        ck_assert(isnan(y[BAD * N + AT]));
        tensor_ctx_fini(&ctx);
    }
}
END_TEST

struct rope_shape {
    int64_t n_heads;
    int64_t head_dim;
    int64_t n_pairs;
};

static void check_rope(const struct tensor_isa *isa, struct numbers *rnd, struct rope_shape s,
                       int64_t n_rows, enum guard_side side)
{
    int64_t n = s.n_heads * s.head_dim;
    int64_t count = n_rows * n;
    size_t bytes = (size_t)count * sizeof(float);
    struct guarded before = guarded_take(bytes, side);
    struct guarded rot = guarded_take((size_t)(n_rows * s.n_pairs) * 8, side);
    const float *x = before.p;
    float *cs = rot.p;
    numbers_fill(rnd, before.p, count, 4.0f);
    for (int64_t i = 0; i < n_rows * s.n_pairs; i++) {
        double angle = (double)numbers_unit(rnd) * 100;
        cs[2 * i] = (float)cos(angle);
        cs[2 * i + 1] = (float)sin(angle);
    }
    float *first = NULL;
    struct guarded y[TEAMS];
    for (int t = 0; t < TEAMS; t++) {
        struct tensor_ctx ctx = take_ctx(isa, g_teams[t]);
        y[t] = guarded_take(bytes, side);
        memcpy(y[t].p, x, bytes);
        tensor_rope(&ctx, TENSOR_ROPE_NORM, y[t].p, cs, n_rows, s.n_heads, s.head_dim, s.n_pairs);
        first = y[0].p;
        ck_assert_int_eq(bits_differ(y[t].p, first, count), -1);
        tensor_ctx_fini(&ctx);
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t r = i / n;
        int64_t d = i % s.head_dim;
        if (d >= 2 * s.n_pairs) {
            if (bits_differ(first + i, x + i, 1) >= 0)
                ck_abort_msg("%s: dimension %lld was rotated", isa->name, (long long)d);
            continue;
        }
        double c = (double)cs[2 * (r * s.n_pairs + d / 2)];
        double sn = (double)cs[2 * (r * s.n_pairs + d / 2) + 1];
        double other = d % 2 ? (double)x[i - 1] * sn : -(double)x[i + 1] * sn;
        double want = (double)x[i] * c + other;
        if (!(fabs((double)first[i] - want) <= 1e-6 * (fabs((double)x[i] * c) + fabs(other))))
            ck_abort_msg("%s: rope gave %.9g, not %.9g", isa->name, (double)first[i], want);
    }
    for (int t = 0; t < TEAMS; t++)
        guarded_give(&y[t]);
    guarded_give(&rot);
    guarded_give(&before);
}

START_TEST(rope_rotates_the_first_pairs_of_each_head)
{
    static const struct rope_shape shapes[] = {
        { 1, 2, 1 },   { 3, 2, 1 },   { 2, 14, 7 },  { 1, 16, 8 },   { 3, 18, 9 },  { 9, 64, 32 },
        { 2, 64, 16 }, { 3, 64, 31 }, { 2, 20, 4 },  { 3, 80, 40 },  { 1, 80, 33 }, { 2, 128, 64 },
        { 1, 17, 8 },  { 2, 16, 0 },  { 1, 576, 288 }
    };
    struct numbers rnd = numbers_start(1000);
    for (int s = 0; s < g_isa_count; s++)
        for (int i = 0; i < COUNT(shapes); i++)
            for (int r = 0; r < COUNT(g_op_rows); r++)
                check_rope(g_isas[s], &rnd, shapes[i], g_op_rows[r],
                           r % 2 ? GUARD_AFTER : GUARD_BEFORE);
}
END_TEST

/* ---- dequantisation ---- */

START_TEST(every_half_has_its_value)
{
    for (uint32_t h = 0; h < 65536; h++) {
        double want = half_value((uint16_t)h);
        float got = tensor_f16_to_f32((uint16_t)h);
        float same;
        uint16_t bits = (uint16_t)h;
        tensor_dequant(TENSOR_F16, &bits, 1, &same);
        if (isnan(want) ? !isnan(got) : (double)got != want || !signbit(got) != !signbit(want))
            ck_abort_msg("half %04x became %.9g, not %.9g", h, (double)got, want);
        if (bits_differ(&got, &same, 1) >= 0)
            ck_abort_msg("half %04x: tensor_dequant differs", h);
    }
}
END_TEST

/* d*q, rounded to f32, then + m, rounded; a double holds d*q exactly. */
static float dequantised(enum tensor_type type, const uint8_t *row, int64_t i)
{
    if (type != TENSOR_Q4_1)
        return (float)weight(type, row, i);
    const uint8_t *block = row + i / 32 * 20;
    double m = half_value(get_half(block + 2));
    return (float)((double)(float)(weight(type, row, i) - m) + m);
}

START_TEST(dequant_has_the_bits_of_the_formula_at_any_address)
{
    enum { N_OUT = 3, N_IN = 96 };
    enum tensor_type type = g_types[_i];
    struct numbers rnd = numbers_start(1100 + (uint64_t)_i);
    size_t bytes = tensor_row_bytes(type, N_OUT * N_IN);
    for (size_t shift = 0; shift < 4; shift++) {
        struct guarded room = guarded_take(bytes + shift, shift % 2 ? GUARD_BEFORE : GUARD_AFTER);
        uint8_t *rows = room.p; /* the shift is before the rows, or after them */
        if (shift % 2)
            rows += shift;
        random_weights(&rnd, type, rows, N_OUT * N_IN);
        struct guarded y = guarded_take(N_OUT * N_IN * sizeof(float), GUARD_AFTER);
        tensor_dequant(type, rows, N_OUT * N_IN, y.p);
        struct tensor_matrix m = { .type = type, .n_out = N_OUT, .n_in = N_IN, .rows = rows };
        for (int64_t o = 0; o < N_OUT; o++) {
            struct guarded row = guarded_take(N_IN * sizeof(float), GUARD_AFTER);
            tensor_matrix_row(&m, o, row.p);
            ck_assert_int_eq(bits_differ(row.p, (float *)y.p + o * N_IN, N_IN), -1);
            for (int64_t i = 0; i < N_IN; i++) {
                float want = dequantised(type, weight_row(&m, o), i);
                if (bits_differ(&want, (float *)row.p + i, 1) >= 0)
                    ck_abort_msg("%s: element %lld is %.9g, not %.9g", tensor_type_info(type)->name,
                                 (long long)i, (double)((float *)row.p)[i], (double)want);
            }
            guarded_give(&row);
        }
        guarded_give(&y);
        guarded_give(&room);
    }
}
END_TEST

/* Weights one byte past any alignment, as files may have them. */
START_TEST(weights_may_lie_at_any_address)
{
    enum { N_OUT = 17, N_IN = 64, N_ROWS = 3 };
    enum tensor_type type = g_types[_i];
    struct numbers rnd = numbers_start(1200 + (uint64_t)_i);
    float x[N_ROWS * N_IN];
    numbers_fill(&rnd, x, N_ROWS * N_IN, 1.0f);
    size_t bytes = tensor_row_bytes(type, N_OUT * N_IN);
    for (int s = 0; s < g_isa_count; s++) {
        struct guarded room = guarded_take(bytes + 1, GUARD_BEFORE);
        uint8_t *rows = (uint8_t *)room.p + 1;
        random_weights(&rnd, type, rows, N_OUT * N_IN);
        struct tensor_matrix m = { .type = type, .n_out = N_OUT, .n_in = N_IN, .rows = rows };
        ck_assert_int_eq(tensor_matrix_pack(&m, g_isas[s], g_teams[2]), OK);
        struct tensor_ctx ctx = take_ctx(g_isas[s], g_teams[2]);
        float y[N_ROWS * N_OUT];
        tensor_act_set(&ctx, x, N_ROWS, N_IN);
        tensor_matmul(&ctx, y, &m);
        check_products(g_isas[s], &m, x, y, N_ROWS);
        tensor_ctx_fini(&ctx);
        tensor_matrix_unpack(&m);
        guarded_give(&room);
    }
}
END_TEST

/* ---- what is known and what is refused ---- */

START_TEST(types_are_known_by_their_numbers)
{
    static const uint32_t known[] = { 0, 1, 3, 8 };
    int count = 0;
    for (uint32_t type = 0; type < 300; type++)
        count += tensor_type_info(type) != NULL;
    ck_assert_int_eq(count, COUNT(known));
    for (int i = 0; i < COUNT(known); i++)
        ck_assert_ptr_nonnull(tensor_type_info(known[i]));
    ck_assert_ptr_null(tensor_type_info(UINT32_MAX));
    ck_assert_uint_eq(tensor_row_bytes(TENSOR_F32, 5), 20);
    ck_assert_uint_eq(tensor_row_bytes(TENSOR_F16, 5), 10);
    ck_assert_uint_eq(tensor_row_bytes(TENSOR_Q4_1, 64), 40);
    ck_assert_uint_eq(tensor_row_bytes(TENSOR_Q8_0, 64), 68);
    for (int s = 0; s < g_isa_count; s++) {
        ck_assert(tensor_matrix_is_supported(g_isas[s], TENSOR_F16, 33));
        ck_assert(tensor_matrix_is_supported(g_isas[s], TENSOR_Q4_1, 64));
        ck_assert(!tensor_matrix_is_supported(g_isas[s], TENSOR_Q4_1, 33));
        ck_assert(!tensor_matrix_is_supported(g_isas[s], TENSOR_Q8_0, 16));
        ck_assert(!tensor_matrix_is_supported(g_isas[s], (enum tensor_type)2, 64));
    }
}
END_TEST

START_TEST(kernels_are_found_by_name_and_the_best_without_one)
{
    const struct tensor_isa *best;
    const struct tensor_isa *isa;
    ck_assert_int_eq(tensor_isa_find(NULL, &best, NULL), OK);
    ck_assert_int_eq(tensor_isa_find("", &isa, NULL), OK);
    ck_assert_ptr_eq(isa, best);
    if (g_isa_count > 1)
        ck_assert_str_ne(tensor_isa_name(best), "ref");
    struct base_err_info info = { 0 };
    isa = best;
    ck_assert_int_eq(tensor_isa_find("sse1", &isa, &info), E_UNSUPPORTED);
    ck_assert_ptr_null(isa);
    ck_assert_ptr_nonnull(strstr(info.message, "sse1"));
    ck_assert_ptr_nonnull(strstr(info.message, "ref"));
    ck_assert_int_eq(tensor_isa_find("re", &isa, NULL), E_UNSUPPORTED);
}
END_TEST

#if VALET_CHECKS
static enum base_err make_everything(const struct tensor_isa *isa, const uint8_t *rows)
{
    struct tensor_matrix m = { .type = TENSOR_Q8_0, .n_out = 33, .n_in = 64, .rows = rows };
    struct tensor_ctx ctx = { 0 };
    struct tensor_kv kv = { 0 };
    enum base_err rc = tensor_matrix_pack(&m, isa, g_teams[1]);
    if (!rc)
        rc = tensor_ctx_init(&ctx, isa, g_teams[1], 8, 64);
    if (!rc)
        rc = tensor_kv_init(&kv, isa, 2, 3, 64, 5);
    tensor_kv_fini(&kv);
    tensor_ctx_fini(&ctx);
    tensor_matrix_unpack(&m);
    return rc;
}

START_TEST(refused_memory_is_an_ordinary_error)
{
    static uint8_t rows[33 * 68];
    uint64_t live = mem_live_blocks();
    for (int s = 0; s < g_isa_count; s++) {
        for (unsigned n = 1;; n++) {
            fault_arm(FAULT_ALLOC, n);
            enum base_err rc = make_everything(g_isas[s], rows);
            bool fired = fault_disarm();
            ck_assert_uint_eq(mem_live_blocks(), live);
            ck_assert_int_eq(rc, fired ? E_NOMEM : OK);
            if (!fired)
                break;
        }
    }
}
END_TEST
#endif

START_TEST(sizes_beyond_memory_are_refused)
{
    for (int s = 0; s < g_isa_count; s++) {
        struct tensor_kv kv;
        uint64_t live = mem_live_blocks();
        ck_assert_int_eq(tensor_kv_init(&kv, g_isas[s], 2, 3, 64, (uint64_t)1 << 33), E_TOO_BIG);
        tensor_kv_fini(&kv);
        ck_assert_int_eq(tensor_kv_init(&kv, g_isas[s], 2, 3, 64, UINT64_MAX / 8), E_TOO_BIG);
        tensor_kv_fini(&kv);
        struct tensor_ctx ctx;
        enum base_err rc = tensor_ctx_init(&ctx, g_isas[s], g_teams[0], INT64_MAX, 64);
        ck_assert(rc == (g_isas[s]->act_row_bytes(64) ? E_TOO_BIG : OK));
        tensor_ctx_fini(&ctx);
        ck_assert_uint_eq(mem_live_blocks(), live);
    }
}
END_TEST

int main(void)
{
    numbers_announce();
    Suite *s = suite_create("kernels");
    TCase *tc = tcase_create("kernels");
    tcase_set_timeout(tc, 90);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, matmul_is_near_its_formula_and_a_row_has_the_same_bits_in_any_batch, 0,
                        COUNT(g_types));
    tcase_add_test(tc, matmul_many_equals_single_ones);
    tcase_add_loop_test(tc, kernels_stay_inside_prepared_rows_and_packed_weights, 0,
                        COUNT(g_types));
    tcase_add_test(tc, a_batch_of_no_rows_writes_nothing);
    tcase_add_loop_test(tc, rows_of_zeros_give_zeros, 0, COUNT(g_types));
    tcase_add_loop_test(tc, huge_and_tiny_values_keep_their_precision, 0, COUNT(g_types));
    tcase_add_loop_test(tc, nan_and_infinity_stay_in_their_row_and_show_there, 0, COUNT(g_types));
    tcase_add_loop_test(tc, row_operations_are_near_their_formulas_and_may_run_in_place, 0,
                        OP_COUNT);
    tcase_add_test(tc, row_operations_take_huge_and_tiny_values);
    tcase_add_loop_test(tc, row_operations_keep_nan_in_its_row, 0, OP_COUNT);
    tcase_add_test(tc, rope_rotates_the_first_pairs_of_each_head);
    tcase_add_test(tc, every_half_has_its_value);
    tcase_add_loop_test(tc, dequant_has_the_bits_of_the_formula_at_any_address, 0, COUNT(g_types));
    tcase_add_loop_test(tc, weights_may_lie_at_any_address, 0, COUNT(g_types));
    tcase_add_test(tc, types_are_known_by_their_numbers);
    tcase_add_test(tc, kernels_are_found_by_name_and_the_best_without_one);
#if VALET_CHECKS
    tcase_add_test(tc, refused_memory_is_an_ordinary_error);
#endif
    tcase_add_test(tc, sizes_beyond_memory_are_refused);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
