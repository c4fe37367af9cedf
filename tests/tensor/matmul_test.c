/*
 * Products with weights of every type, for every instruction set this machine has, against
 * plain sums in double precision written here.
 *
 * Tolerances
 *  - plain weights (f32, f16, bf16): 1e-5 * sum|w x| + 1e-6. f32 sums of up to 100 products in
 *    order err by at most 100 * 2^-24 = 6e-6 of sum|w x|.
 *  - quantised weights against int8 arithmetic in double: 1e-5 * (the sum of absolute products,
 *    the minimum's apart). The integers are exact; what is left are a few roundings for each of
 *    up to 136 blocks and the one of a dequantised weight.
 *  - quantised weights against unquantised activations: normalised mean square error 5e-4.
 *    Rounding to 1/127 of the block's maximum gives 1e-5 to 1e-4 on uniform values, and it is
 *    the activations that are rounded: types of 2 and 3 bits need no other bound. Their own
 *    distance to unquantised weights is the file's, not the kernels'.
 */
#include <check.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/dequant.h"
#include "tensor/weights.h"

enum {
    TEAMS = 3, /* of 1, 2 and 3 members */
    ROWS_MAX = 33,
    N_IN_MAX = 4352,
    N_OUT_MAX = 100
};

#define COUNT(a) ((int)(sizeof(a) / sizeof(a)[0]))

static const int64_t g_n_out[] = { 1, 7, 8, 9, 15, 16, 17, 31, 33, 100 };
static const int64_t g_rows[] = { 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 28, 33 };

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

/* The input lengths to try with a type, by number. */
static int64_t n_in_of(enum tensor_type type, int i)
{
    static const int64_t plain[] = { 1, 7, 31, 32, 33, 100 };
    static const int64_t blocks[] = { 32, 64, 96, 576, 288, 32 };
    static const int64_t k_blocks[] = { 256, 512, 768, 256, 768, 512 };
    const int64_t *n_in = !is_quantised(type)                       ? plain
                          : tensor_type_info(type)->block_len == 32 ? blocks
                                                                    : k_blocks;
    return n_in[i % COUNT(plain)];
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

/* ---- what a product should be ---- */

/* In f32 as the kernels do, because it may overflow or vanish: then there is no rest. */
static float sum_of_squares(const float *x, int64_t n)
{
    float lane[16] = { 0 };
    for (int64_t i = 0; i < n; i++)
        lane[i % 16] = fmaf(x[i], x[i], lane[i % 16]);
    for (int apart = 8; apart > 0; apart /= 2)
        for (int i = 0; i < apart; i++)
            lane[i] += lane[i + apart];
    return lane[0];
}

/*
 * A row as the kernels see it: blocks of 32 with scale s = max|x| / 127 and p = x * (127 / max|x|)
 * to nearest, ties to even. Where max^2 is more than a sixteenth of the sum of squares of the
 * row, what that rounding left is rounded to s / 254 and added.
 */
static void quantise(double *q, const float *x, int64_t n)
{
    float energy = sum_of_squares(x, n);
    for (int64_t b = 0; b < n / 32; b++) {
        float max = 0;
        for (int i = 0; i < 32; i++)
            max = fmaxf(max, fabsf(x[32 * b + i]));
        float inverse = max > 0 ? 127.0f / max : 0.0f;
        if (!isfinite(inverse))
            inverse = 0; /* max is below 127 / FLT_MAX: the block counts as zeros */
        bool has_rest = 16.0f * max * max > energy;
        for (int i = 0; i < 32; i++) {
            float t = x[32 * b + i] * inverse;
            double rest = (double)nearbyintf((t - nearbyintf(t)) * 254.0f) / 254.0;
            q[32 * b + i] =
                ((double)nearbyintf(t) + (has_rest ? rest : 0)) * (double)(max / 127.0f);
        }
    }
}

static void check_products(const struct tensor_isa *isa, const struct tensor_matrix *m,
                           const float *x, const float *y, int64_t n_rows)
{
    double noise = 0;
    double power = 0;
    bool int8 = quantises_activations(isa, m->type);
    struct values v = take_values(m);
    for (int64_t r = 0; r < n_rows; r++) {
        double exact[N_IN_MAX];
        double seen[N_IN_MAX]; /* by the kernel */
        for (int64_t i = 0; i < m->n_in; i++)
            exact[i] = seen[i] = (double)x[r * m->n_in + i];
        if (int8)
            quantise(seen, x + r * m->n_in, m->n_in);
        for (int64_t o = 0; o < m->n_out; o++) {
            double got = (double)y[r * m->n_out + o];
            double want = 0;
            double plain = 0;
            double absolute = 0;
            for (int64_t i = 0; i < m->n_in; i++) {
                want += v.value[o * m->n_in + i] * seen[i];
                plain += v.value[o * m->n_in + i] * exact[i];
                absolute += v.absolute[o * m->n_in + i] * fabs(seen[i]);
            }
            noise += (got - plain) * (got - plain);
            power += plain * plain;
            double allowed = 1e-5 * absolute + (int8 ? 1e-39 : 1e-6);
            if (!(fabs(got - want) <= allowed))
                ck_abort_msg("%s %s [%lld][%lld] row %lld output %lld: %.9g, not %.9g +- %.3g",
                             isa->name, tensor_type_info(m->type)->name, (long long)m->n_out,
                             (long long)m->n_in, (long long)r, (long long)o, got, want, allowed);
        }
    }
    if (int8 && m->n_out * n_rows >= 8 && !(noise <= 5e-4 * power))
        ck_abort_msg("%s %s [%lld][%lld]: normalised mean square error %.3g", isa->name,
                     tensor_type_info(m->type)->name, (long long)m->n_out, (long long)m->n_in,
                     noise / power);
    give_values(&v);
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

/* In two of three rows one value far above the others, which gives its block a rest. */
static void add_outliers(struct numbers *rnd, float *x, int64_t n_rows, int64_t n_in)
{
    for (int64_t r = 0; r < n_rows; r++) {
        if (r % 3 != 0)
            x[r * n_in + numbers_below(rnd, n_in)] *= 40.0f;
    }
}

static void check_shape(struct tensor_ctx ctxs[TEAMS], struct numbers *rnd, enum tensor_type type,
                        int64_t n_out, int64_t n_in)
{
    static float x[ROWS_MAX * N_IN_MAX];
    static float y[ROWS_MAX * N_OUT_MAX];
    enum guard_side side = (n_out + n_in) % 3 ? GUARD_AFTER : GUARD_BEFORE;
    struct weights w = take_weights(rnd, ctxs[0].isa, g_teams[1], type, n_out, n_in, side);
    numbers_fill(rnd, x, ROWS_MAX * n_in, 2.0f);
    add_outliers(rnd, x, ROWS_MAX, n_in);
    tensor_act_set(&ctxs[0], x, ROWS_MAX, n_in);
    tensor_matmul(&ctxs[0], y, &w.m);
    check_products(ctxs[0].isa, &w.m, x, y, ROWS_MAX);
    for (int i = 0; i < COUNT(g_rows); i++) {
        int64_t first = numbers_below(rnd, ROWS_MAX - g_rows[i] + 1);
        check_batch(ctxs, &w.m, x + first * n_in, y + first * n_out, g_rows[i], side);
    }
    give_weights(&w);
}

/* Every tail of outputs and rows with every type; all combinations of lengths with three. */
START_TEST(matmul_is_near_its_formula_and_a_row_has_the_same_bits_in_any_batch)
{
    enum tensor_type type = g_types[_i];
    struct numbers rnd = numbers_start(100 + (uint64_t)_i);
    bool all = type == TENSOR_F32 || type == TENSOR_Q4_1 || type == TENSOR_Q4_K;
    for (int s = 0; s < g_isa_count; s++) {
        struct tensor_ctx ctxs[TEAMS];
        for (int t = 0; t < TEAMS; t++)
            ctxs[t] = take_ctx(g_isas[s], g_teams[t]);
        for (int o = 0; o < COUNT(g_n_out); o++)
            for (int k = 0; k < (all ? 4 : 1); k++)
                check_shape(ctxs, &rnd, type, g_n_out[o], n_in_of(type, all ? k : o));
        check_shape(ctxs, &rnd, type, 17, N_IN_MAX);
        for (int t = 0; t < TEAMS; t++)
            tensor_ctx_fini(&ctxs[t]);
    }
}
END_TEST

START_TEST(sets_that_share_bits_multiply_alike)
{
    enum {
        N_OUT = 33,
        N_IN = 768,
        N_ROWS = 79 /* several panels, the last not full */
    };
    enum tensor_type type = g_types[_i];
    static float x[N_ROWS * N_IN];
    static float first[N_ROWS * N_OUT];
    struct numbers rnd = numbers_start(150 + (uint64_t)_i);
    numbers_fill(&rnd, x, N_ROWS * N_IN, 2.0f);
    add_outliers(&rnd, x, N_ROWS, N_IN);
    for (int s = 1; s < g_isa_count; s++) {
        static float y[N_ROWS * N_OUT];
        struct numbers same = rnd;
        struct weights w =
            take_weights(&same, g_isas[s], g_teams[0], type, N_OUT, N_IN, GUARD_AFTER);
        struct tensor_ctx ctx = take_ctx(g_isas[s], g_teams[0]);
        tensor_act_set(&ctx, x, N_ROWS, N_IN);
        tensor_matmul(&ctx, y, &w.m);
        if (s == 1)
            memcpy(first, y, sizeof first);
        if (isas_share_bits(g_isas[1], g_isas[s]) && bits_differ(y, first, N_ROWS * N_OUT) >= 0)
            ck_abort_msg("%s: %s and %s give other bits", tensor_type_info(type)->name,
                         g_isas[1]->name, g_isas[s]->name);
        tensor_ctx_fini(&ctx);
        give_weights(&w);
    }
}
END_TEST

START_TEST(matmul_many_equals_single_ones)
{
    static const int64_t n_out[] = { 17, 100, 1, 33 };
    enum {
        N_IN = 256,
        N_ROWS = 5
    };
    struct numbers rnd = numbers_start(200);
    float x[N_ROWS * N_IN];
    numbers_fill(&rnd, x, N_ROWS * N_IN, 1.0f);
    for (int s = 0; s < g_isa_count; s++) {
        struct weights w[4];
        const struct tensor_matrix *W[4];
        for (int i = 0; i < 4; i++) {
            w[i] = take_weights(&rnd, g_isas[s], g_teams[1], g_types[3 * i + 1], n_out[i], N_IN,
                                GUARD_AFTER);
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

/* Two products one behind the other, of different lengths: x [][N_IN] -> mid [][MID] -> y [][OUT]. */
enum {
    CHAIN_IN = 256,
    CHAIN_MID = 64,
    CHAIN_OUT = 33
};

struct chain {
    const struct tensor_matrix *W[2];
    const float *x;
    float *mid; /* of pieces */
    int64_t mid_rows;
    float *y;
    _Atomic bool mid_outside;
    _Atomic int rows_seen[ROWS_MAX];
};

static void run_chain(struct tensor_ctx *ctx, void *arg, int64_t first, int64_t n)
{
    struct chain *c = arg;
    for (int64_t r = first; r < first + n; r++)
        c->rows_seen[r]++;
    tensor_act_set(ctx, c->x + first * CHAIN_IN, n, CHAIN_IN);
    float *mid = c->mid + ctx->piece_row * CHAIN_MID;
    c->mid_outside |= ctx->piece_row + n > c->mid_rows;
    tensor_matmul(ctx, mid, c->W[0]);
    tensor_act_set(ctx, mid, n, CHAIN_MID);
    tensor_matmul(ctx, c->y + first * CHAIN_OUT, c->W[1]);
}

START_TEST(pieces_give_the_bits_of_the_whole_and_take_every_row_once)
{
    struct numbers rnd = numbers_start(220);
    static float x[ROWS_MAX * CHAIN_IN];
    static float mid[(ROWS_MAX + TEAMS) * CHAIN_MID];
    float whole[ROWS_MAX * CHAIN_OUT];
    float y[ROWS_MAX * CHAIN_OUT];
    numbers_fill(&rnd, x, ROWS_MAX * CHAIN_IN, 1.0f);
    for (int s = 0; s < g_isa_count; s++) {
        struct weights w[2] = {
            take_weights(&rnd, g_isas[s], g_teams[1], TENSOR_Q4_1, CHAIN_MID, CHAIN_IN,
                         GUARD_AFTER),
            take_weights(&rnd, g_isas[s], g_teams[1], TENSOR_Q8_0, CHAIN_OUT, CHAIN_MID,
                         GUARD_AFTER),
        };
        struct chain c = {
            .W = { &w[0].m, &w[1].m }, .x = x, .mid = mid, .mid_rows = ROWS_MAX, .y = whole
        };
        struct tensor_ctx alone = take_ctx(g_isas[s], NULL);
        run_chain(&alone, &c, 0, ROWS_MAX);
        tensor_ctx_fini(&alone);
        c.y = y;
        for (int t = 0; t < TEAMS; t++) {
            struct tensor_ctx ctx = take_ctx(g_isas[s], g_teams[t]);
            for (int64_t n = 1; n <= ROWS_MAX; n++) {
                memset(y, 0x55, sizeof y);
                memset(mid, 0x55, sizeof mid);
                for (int64_t r = 0; r < ROWS_MAX; r++)
                    c.rows_seen[r] = 0;
                c.mid_rows = tensor_piece_rows(t + 1, n);
                tensor_each_piece(&ctx, n, run_chain, &c);
                ck_assert(!c.mid_outside);
                ck_assert_int_eq(bits_differ(whole, y, n * CHAIN_OUT), -1);
                for (int64_t r = 0; r < ROWS_MAX; r++)
                    ck_assert_int_eq(c.rows_seen[r], r < n);
            }
            tensor_ctx_fini(&ctx);
        }
        for (int i = 0; i < 2; i++)
            give_weights(&w[i]);
    }
}
END_TEST

/* Pieces that wait for each other, so that all run at the same time. */
struct meeting {
    int pieces;
    _Atomic int started;
    int64_t row[TEAMS]; /* the first in buffers of pieces */
    int64_t n[TEAMS];
};

static void meet(struct tensor_ctx *ctx, void *arg, int64_t first, int64_t n)
{
    struct meeting *m = arg;
    (void)first;
    int me = m->started++;
    m->row[me] = ctx->piece_row;
    m->n[me] = n;
    while (m->started < m->pieces)
        sched_yield();
}

START_TEST(pieces_at_the_same_time_have_rows_of_their_own)
{
    for (int t = 0; t < TEAMS; t++) {
        struct tensor_ctx ctx = take_ctx(g_isas[0], g_teams[t]);
        struct meeting m = { .pieces = t + 1 };
        tensor_each_piece(&ctx, 8 * (t + 1), meet, &m);
        ck_assert_int_eq(m.started, t + 1);
        for (int i = 0; i <= t; i++) {
            ck_assert_int_le(m.row[i] + m.n[i], tensor_piece_rows(t + 1, 8 * (t + 1)));
            for (int k = 0; k < i; k++)
                ck_assert(m.row[i] + m.n[i] <= m.row[k] || m.row[k] + m.n[k] <= m.row[i]);
        }
        tensor_ctx_fini(&ctx);
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
    enum {
        N_ROWS = 29
    };
    for (int s = 0; s < g_isa_count; s++) {
        const struct tensor_isa *isa = g_isas[s];
        for (int shape = 0; shape < 12; shape++) {
            enum guard_side side = shape % 2 ? GUARD_AFTER : GUARD_BEFORE;
            int64_t n_out = g_n_out[shape % COUNT(g_n_out)];
            int64_t n_in = n_in_of(type, shape);
            struct weights w = take_weights(&rnd, isa, g_teams[1], type, n_out, n_in, side);
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

/*
 * The largest integers: activations of +-127 in every place against blocks of equal bytes,
 * among them the largest and smallest codes and scales of every type.
 */
START_TEST(integer_products_do_not_saturate)
{
    static const uint8_t bytes[] = { 0xff, 0x00, 0x80, 0x7f, 0x0f, 0xf0, 0x88, 0x77 };
    enum {
        N_IN = 256,
        N_OUT = 9,
        N_ROWS = 32
    };
    enum tensor_type type = g_types[_i];
    const struct tensor_type_info *info = tensor_type_info(type);
    float x[N_ROWS * N_IN];
    for (int i = 0; i < N_ROWS * N_IN; i++)
        x[i] = i / N_IN % 4 == 0   ? 1.0f
               : i / N_IN % 4 == 1 ? -1.0f
               : i / N_IN % 4 == 2 ? (i % 2 ? 1.0f : -1.0f)
                                   : (i % 4 < 2 ? 1.0f : -1.0f);
    for (int s = 0; s < g_isa_count; s++) {
        for (int k = 0; k < COUNT(bytes); k++) {
            struct numbers rnd = numbers_start(350);
            struct weights w =
                take_weights(&rnd, g_isas[s], g_teams[0], type, N_OUT, N_IN, GUARD_AFTER);
            tensor_matrix_unpack(&w.m);
            for (size_t at = 0; at < w.rows.bytes && is_quantised(type);
                 at += (size_t)info->block_bytes) {
                uint8_t *block = (uint8_t *)w.rows.p + at;
                memset(block, bytes[k], (size_t)info->block_bytes);
                set_scales(type, block, 0x3555, 0x3aaa);
                if (type == TENSOR_MXFP4)
                    block[0] = 120;
            }
            ck_assert_int_eq(tensor_matrix_pack(&w.m, g_isas[s], g_teams[0]), OK);
            struct tensor_ctx ctx = take_ctx(g_isas[s], g_teams[0]);
            float y[N_ROWS * N_OUT];
            tensor_act_set(&ctx, x, N_ROWS, N_IN);
            tensor_matmul(&ctx, y, &w.m);
            check_products(g_isas[s], &w.m, x, y, N_ROWS);
            tensor_ctx_fini(&ctx);
            give_weights(&w);
        }
    }
}
END_TEST

/* Output o has the exponent o: from subnormal scales to those near the largest float. */
START_TEST(mxfp4_takes_every_exponent)
{
    enum {
        N_IN = 32,
        N_OUT = 240,
        N_ROWS = 2
    };
    struct numbers rnd = numbers_start(360);
    static float y[N_ROWS * N_OUT];
    float x[N_ROWS * N_IN];
    numbers_fill(&rnd, x, N_ROWS * N_IN, 1.0f);
    for (int i = 0; i < N_IN; i++)
        x[i] *= 1e20f;
    for (int s = 0; s < g_isa_count; s++) {
        struct weights w =
            take_weights(&rnd, g_isas[s], g_teams[1], TENSOR_MXFP4, N_OUT, N_IN, GUARD_AFTER);
        tensor_matrix_unpack(&w.m);
        for (int first = 0; first <= 15; first += 15) { /* 0..159 with 1e20, 15..244 with 1 */
            for (int o = 0; o < N_OUT; o++)
                ((uint8_t *)w.rows.p)[17 * o] = (uint8_t)(first + o);
            ck_assert_int_eq(tensor_matrix_pack(&w.m, g_isas[s], g_teams[1]), OK);
            struct tensor_matrix m = w.m;
            m.n_out = first == 0 ? 160 : N_OUT - 10; /* and nothing overflows */
            struct tensor_ctx ctx = take_ctx(g_isas[s], g_teams[0]);
            const float *row = first == 0 ? x : x + N_IN;
            tensor_act_set(&ctx, row, 1, N_IN);
            tensor_matmul(&ctx, y, &m);
            check_products(g_isas[s], &m, row, y, 1);
            tensor_ctx_fini(&ctx);
            tensor_matrix_unpack(&w.m);
        }
        give_weights(&w);
    }
}
END_TEST

START_TEST(a_batch_of_no_rows_writes_nothing)
{
    struct numbers rnd = numbers_start(400);
    for (int s = 0; s < g_isa_count; s++) {
        for (int t = 0; t < TEAMS; t++) {
            struct tensor_ctx ctx = take_ctx(g_isas[s], g_teams[t]);
            struct weights w =
                take_weights(&rnd, g_isas[s], g_teams[t], TENSOR_Q4_1, 33, 64, GUARD_AFTER);
            struct guarded none = guarded_take(0, GUARD_AFTER);
            tensor_act_set(&ctx, none.p, 0, 64);
            tensor_matmul(&ctx, none.p, &w.m);
            guarded_give(&none);
            give_weights(&w);
            tensor_ctx_fini(&ctx);
        }
    }
}
END_TEST

/* ---- special values ---- */

/* One matrix over rows x, its results in y [rows][outputs]. */
enum {
    SPECIAL_IN = 256,
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
    s->w = take_weights(&rnd, isa, g_teams[1], type, SPECIAL_OUT, SPECIAL_IN, GUARD_AFTER);
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
            s.x[7 * SPECIAL_IN + k] *= scales[k / 32 * 2 % 7];
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
    static const int places[] = { 0, 5, 12, 16, 24, 31, 32, 63, 95, 255 };
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
                if (r != row &&
                    bits_differ(s.y + r * SPECIAL_OUT, clean + r * SPECIAL_OUT, SPECIAL_OUT) >= 0)
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

/* ---- addresses ---- */

START_TEST(dequant_gives_the_same_bits_at_any_address)
{
    enum {
        N_OUT = 3,
        N_IN = 256
    };
    enum tensor_type type = g_types[_i];
    struct numbers rnd = numbers_start(1100 + (uint64_t)_i);
    size_t bytes = tensor_row_bytes(type, N_OUT * N_IN);
    struct guarded first = guarded_take(bytes, GUARD_AFTER);
    struct guarded want = guarded_take(N_OUT * N_IN * sizeof(float), GUARD_BEFORE);
    random_weights(&rnd, type, first.p, N_OUT * N_IN);
    tensor_dequant(type, first.p, N_OUT * N_IN, want.p);
    for (size_t shift = 0; shift < 4; shift++) {
        struct guarded room = guarded_take(bytes + shift, shift % 2 ? GUARD_BEFORE : GUARD_AFTER);
        uint8_t *rows = room.p; /* the shift is before the rows, or after them */
        if (shift % 2)
            rows += shift;
        memcpy(rows, first.p, bytes);
        struct tensor_matrix m = { .type = type, .n_out = N_OUT, .n_in = N_IN, .rows = rows };
        for (int64_t o = 0; o < N_OUT; o++) {
            struct guarded row = guarded_take(N_IN * sizeof(float), GUARD_AFTER);
            tensor_matrix_row(&m, o, row.p);
            ck_assert_int_eq(bits_differ(row.p, (float *)want.p + o * N_IN, N_IN), -1);
            guarded_give(&row);
        }
        guarded_give(&room);
    }
    guarded_give(&want);
    guarded_give(&first);
}
END_TEST

/* Weights one byte past any alignment, as files may have them. */
START_TEST(weights_may_lie_at_any_address)
{
    enum {
        N_OUT = 17,
        N_IN = 256,
        N_ROWS = 3
    };
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

int main(void)
{
    numbers_announce();
    Suite *s = suite_create("matmul");
    TCase *tc = tcase_create("matmul");
    tcase_set_timeout(tc, 90);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, matmul_is_near_its_formula_and_a_row_has_the_same_bits_in_any_batch, 0,
                        TYPES);
    tcase_add_loop_test(tc, sets_that_share_bits_multiply_alike, 0, TYPES);
    tcase_add_test(tc, matmul_many_equals_single_ones);
    tcase_add_test(tc, pieces_give_the_bits_of_the_whole_and_take_every_row_once);
    tcase_add_test(tc, pieces_at_the_same_time_have_rows_of_their_own);
    tcase_add_loop_test(tc, kernels_stay_inside_prepared_rows_and_packed_weights, 0, TYPES);
    tcase_add_loop_test(tc, integer_products_do_not_saturate, 0, TYPES);
    tcase_add_test(tc, mxfp4_takes_every_exponent);
    tcase_add_test(tc, a_batch_of_no_rows_writes_nothing);
    tcase_add_loop_test(tc, rows_of_zeros_give_zeros, 0, TYPES);
    tcase_add_loop_test(tc, huge_and_tiny_values_keep_their_precision, 0, TYPES);
    tcase_add_loop_test(tc, nan_and_infinity_stay_in_their_row_and_show_there, 0, TYPES);
    tcase_add_loop_test(tc, dequant_gives_the_same_bits_at_any_address, 0, TYPES);
    tcase_add_loop_test(tc, weights_may_lie_at_any_address, 0, TYPES);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
