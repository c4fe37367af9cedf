/*
 * The operations over rows, and what tensor.h knows and refuses, for every instruction set
 * this machine has, against plain formulas in double precision written here.
 *
 * Tolerances: 1e-5 relative. Sums of 576 squares in 16 lanes err by 36 * 2^-24 = 2e-6, e^x by
 * 2e-7. A rotation: 1e-6 of its two absolute products.
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
    N_IN_MAX = 576
};

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

static struct tensor_ctx take_ctx(const struct tensor_isa *isa, struct team *team)
{
    struct tensor_ctx ctx;
    ck_assert_int_eq(tensor_ctx_init(&ctx, isa, team, ROWS_MAX, N_IN_MAX), OK);
    return ctx;
}

/* ---- operations over rows ---- */

static const int64_t g_n[] = { 1, 15, 16, 17, 33, 576 };
static const int64_t g_op_rows[] = { 1, 3, 8, 33 }; /* 33 * 576 floats are split over the team */

enum row_op {
    OP_RMSNORM,
    OP_ADD,
    OP_ADD_BIAS,
    OP_SWIGLU,
    OP_GEGLU,
    OP_COUNT
};

static void run_op(struct tensor_ctx *ctx, enum row_op op, float *y, const float *a, const float *b,
                   int64_t n_rows, int64_t n)
{
    switch (op) {
    case OP_RMSNORM:
        tensor_rmsnorm(ctx, y, a, b, n_rows, n, 1e-5f);
        return;
    case OP_ADD:
        memmove(y, a, (size_t)(n_rows * n) * sizeof *y);
        tensor_add(ctx, y, b, n_rows, n);
        return;
    case OP_ADD_BIAS:
        memmove(y, a, (size_t)(n_rows * n) * sizeof *y);
        tensor_add_bias(ctx, y, b, n_rows, n);
        return;
    case OP_SWIGLU:
        tensor_gated(ctx, TENSOR_GATE_SILU, y, a, b, n_rows, n);
        return;
    case OP_GEGLU:
        tensor_gated(ctx, TENSOR_GATE_GELU, y, a, b, n_rows, n);
        return;
    case OP_COUNT:
        break;
    }
    abort();
}

/* Operations whose second operand is one row for all. */
static bool shares_operand(enum row_op op)
{
    return op == OP_RMSNORM || op == OP_ADD_BIAS;
}

/* Element i of what the operation makes of one row. */
static double op_value(enum row_op op, const float *a, const float *b, int64_t n, int64_t i)
{
    double x = (double)a[i];
    double w = (double)b[i];
    if (op == OP_ADD || op == OP_ADD_BIAS)
        return (double)(float)(x + w);
    if (op == OP_GEGLU)
        return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x))) * w;
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
        double allowed = 1e-5 * fabs(want) + 1e-34;
        if (op == OP_ADD || op == OP_ADD_BIAS)
            allowed = 0;
        if (op == OP_GEGLU) /* 1 + tanh u cancels where e^2u is small; the rest errs with u */
            allowed += 1e-7 * fabs((double)b[i]);
        if (!(fabs((double)y[i] - want) <= allowed))
            ck_abort_msg("%s op %d n %lld: element %lld is %.9g, not %.9g", isa, (int)op,
                         (long long)n, (long long)i, (double)y[i], want);
    }
}

/* a [n_rows][n] and b [n_rows][n], or [n] where all rows share it. */
static void check_op_shape(enum row_op op, const struct tensor_isa *isa, struct numbers *rnd,
                           int64_t n_rows, int64_t n, enum guard_side side)
{
    int64_t count = n_rows * n;
    size_t bytes = (size_t)count * sizeof(float);
    int64_t b_rows = shares_operand(op) ? 1 : n_rows;
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

START_TEST(sets_that_share_bits_agree_on_rows)
{
    enum {
        N = 576 + 13,
        HEAD = 64
    };
    static float a[N];
    static float b[N];
    static float first[N];
    struct numbers rnd = numbers_start(850 + (uint64_t)_i);
    numbers_fill(&rnd, a, N, 9.0f);
    numbers_fill(&rnd, b, N, 2.0f);
    for (int s = 1; s < g_isa_count; s++) {
        float y[N];
        struct tensor_ctx ctx = take_ctx(g_isas[s], g_teams[0]);
        if (_i < OP_COUNT) {
            run_op(&ctx, (enum row_op)_i, y, a, b, 1, N);
        } else {
            memcpy(y, a, sizeof y);
            tensor_rope(&ctx, _i > OP_COUNT ? TENSOR_ROPE_NEOX : TENSOR_ROPE_NORM, y, b, 1,
                        N / HEAD, HEAD, 25);
        }
        if (s == 1)
            memcpy(first, y, sizeof first);
        if (isas_share_bits(g_isas[1], g_isas[s]))
            ck_assert_int_eq(bits_differ(y, first, N), -1);
        tensor_ctx_fini(&ctx);
    }
}
END_TEST

START_TEST(row_operations_take_huge_and_tiny_values)
{
    enum {
        N = 40
    };
    static const float gates[] = { 0,     -0.0f,  1e-30f, -1e-30f, 50,    -50,    87,    -87,
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
        for (int i = 0; i < N; i++)
            a[i] = fabsf(a[i]) < 1e12f ? a[i] : copysignf(1e12f, a[i]); /* its cube is finite */
        tensor_gated(&ctx, TENSOR_GATE_GELU, y, a, b, 1, N);
        check_op(OP_GEGLU, g_isas[s]->name, y, a, b, N);
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
    enum {
        N = 33,
        N_ROWS = 5,
        BAD = 2,
        AT = 20
    };
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

static void check_rope(const struct tensor_isa *isa, enum tensor_rope_kind kind,
                       struct numbers *rnd, struct rope_shape s, int64_t n_rows,
                       enum guard_side side)
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
        tensor_rope(&ctx, kind, y[t].p, cs, n_rows, s.n_heads, s.head_dim, s.n_pairs);
        first = y[0].p;
        ck_assert_int_eq(bits_differ(y[t].p, first, count), -1);
        tensor_ctx_fini(&ctx);
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t d = i % s.head_dim;
        if (d >= 2 * s.n_pairs) {
            if (bits_differ(first + i, x + i, 1) >= 0)
                ck_abort_msg("%s: dimension %lld was rotated", isa->name, (long long)d);
            continue;
        }
        bool norm = kind == TENSOR_ROPE_NORM;
        int64_t pair = norm ? d / 2 : d % s.n_pairs;
        bool second = norm ? d % 2 : d >= s.n_pairs;
        int64_t apart = norm ? 1 : s.n_pairs;
        double c = (double)cs[2 * (i / n * s.n_pairs + pair)];
        double sn = (double)cs[2 * (i / n * s.n_pairs + pair) + 1];
        double other = second ? (double)x[i - apart] * sn : -(double)x[i + apart] * sn;
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
    static const struct rope_shape shapes[] = { { 1, 2, 1 },   { 3, 2, 1 },   { 2, 14, 7 },
                                                { 1, 16, 8 },  { 3, 18, 9 },  { 9, 64, 32 },
                                                { 2, 64, 16 }, { 3, 64, 31 }, { 2, 20, 4 },
                                                { 3, 80, 40 }, { 1, 80, 33 }, { 2, 128, 64 },
                                                { 1, 17, 8 },  { 2, 16, 0 },  { 1, 576, 288 } };
    struct numbers rnd = numbers_start(1000 + (uint64_t)_i);
    for (int s = 0; s < g_isa_count; s++)
        for (int i = 0; i < COUNT(shapes); i++)
            for (int r = 0; r < COUNT(g_op_rows); r++)
                check_rope(g_isas[s], _i ? TENSOR_ROPE_NEOX : TENSOR_ROPE_NORM, &rnd, shapes[i],
                           g_op_rows[r], r % 2 ? GUARD_AFTER : GUARD_BEFORE);
}
END_TEST

START_TEST(a_batch_of_no_rows_writes_nothing)
{
    for (int s = 0; s < g_isa_count; s++) {
        for (int t = 0; t < TEAMS; t++) {
            struct tensor_ctx ctx = take_ctx(g_isas[s], g_teams[t]);
            struct guarded none = guarded_take(0, GUARD_AFTER);
            tensor_rmsnorm(&ctx, none.p, none.p, none.p, 0, 64, 1e-5f);
            tensor_add(&ctx, none.p, none.p, 0, 64);
            tensor_add_bias(&ctx, none.p, none.p, 0, 64);
            tensor_gated(&ctx, TENSOR_GATE_SILU, none.p, none.p, none.p, 0, 64);
            tensor_gated(&ctx, TENSOR_GATE_GELU, none.p, none.p, none.p, 0, 64);
            tensor_rope(&ctx, TENSOR_ROPE_NORM, none.p, none.p, 0, 2, 32, 16);
            tensor_rope(&ctx, TENSOR_ROPE_NEOX, none.p, none.p, 0, 2, 32, 16);
            guarded_give(&none);
            tensor_ctx_fini(&ctx);
        }
    }
}
END_TEST

/* ---- half precision ---- */

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

/* ---- what is known and what is refused ---- */

START_TEST(types_are_known_by_their_numbers)
{
    static const uint32_t known[] = { 0, 1, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20, 23, 30, 39 };
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
        ck_assert(tensor_matrix_is_supported(g_isas[s], TENSOR_Q4_K, 512));
        ck_assert(!tensor_matrix_is_supported(g_isas[s], TENSOR_Q4_K, 128));
        ck_assert(!tensor_matrix_is_supported(g_isas[s], (enum tensor_type)4, 64));
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
    static uint8_t rows[33 * 68]; /* q8_0 */
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
    tcase_add_test(tc, a_batch_of_no_rows_writes_nothing);
    tcase_add_loop_test(tc, row_operations_are_near_their_formulas_and_may_run_in_place, 0,
                        OP_COUNT);
    tcase_add_loop_test(tc, sets_that_share_bits_agree_on_rows, 0, OP_COUNT + 2);
    tcase_add_test(tc, row_operations_take_huge_and_tiny_values);
    tcase_add_loop_test(tc, row_operations_keep_nan_in_its_row, 0, OP_COUNT);
    tcase_add_loop_test(tc, rope_rotates_the_first_pairs_of_each_head, 0, 2);
    tcase_add_test(tc, every_half_has_its_value);
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
