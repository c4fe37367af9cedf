/*
 * The bits that sets promise on any processor, as digests of results: two machines cannot be
 * compared in one test. Digests change when an order of sums does (src/tensor/README.md, rule 2),
 * and then on all sets alike; a failure prints the new one.
 *
 * The numbers do not depend on VALET_TEST_SEED.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/weights.h"

#define COUNT(a) ((int)(sizeof(a) / sizeof(a)[0]))

static const struct tensor_isa *g_isas[ISAS_MAX];
static int g_isa_count;

static void set_up(void)
{
    g_isa_count = isas_find(g_isas);
}

/* FNV-1a. */
static uint64_t digest(const float *x, int64_t count)
{
    const uint8_t *bytes = (const uint8_t *)x;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < (size_t)count * sizeof *x; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

static void check_digest(const struct tensor_isa *isa, const char *what, const float *x,
                         int64_t count, uint64_t want)
{
    uint64_t got = digest(x, count);
    if (got != want)
        ck_abort_msg("%s: %s gave the digest 0x%016llx, not 0x%016llx", isa->name, what,
                     (unsigned long long)got, (unsigned long long)want);
}

static struct tensor_ctx take_ctx(const struct tensor_isa *isa)
{
    struct tensor_ctx ctx;
    ck_assert_int_eq(tensor_ctx_init(&ctx, isa, NULL, 8, 768), OK);
    return ctx;
}

START_TEST(products)
{
    enum {
        N_OUT = 33,
        N_IN = 768,
        N_ROWS = 7
    };
    static const uint64_t want[TYPES] = {
        0xab1ffd46b6396785, 0x7bf438619c3a45c4, 0x376d35a1909125b6, 0x5bdebf7f891c54f8,
        0x29088a1f54df5af5, 0x4787b2de8aa77e3d, 0x5f0e69a08a2b5130, 0x0abe692213883074,
        0x84ee0b4a330c4db7, 0x9cc268658b7b1812, 0x396c83ec69070067, 0x63895058c082d416,
        0x8cecd4e70f0dad7c, 0xbc172f887a7b7950, 0xf5a66a4afb091108, 0xbcd0fd52e201de61,
    };
    enum tensor_type type = g_types[_i];
    static float x[N_ROWS * N_IN];
    struct numbers rnd = { 100 + (uint64_t)_i };
    numbers_fill(&rnd, x, N_ROWS * N_IN, 2.0f);
    for (int r = 1; r < N_ROWS; r += 2) /* an outlier, and its block has a rest */
        x[r * N_IN + numbers_below(&rnd, N_IN)] *= 40.0f;
    for (int i = 0; i < N_IN; i++)
        x[2 * N_IN + i] *= 1e-38f;
    for (int s = 0; s < g_isa_count; s++) {
        if (!isas_share_bits(g_isas[s], g_isas[s]))
            continue;
        float y[N_ROWS * N_OUT];
        struct numbers same = rnd;
        struct weights w = take_weights(&same, g_isas[s], NULL, type, N_OUT, N_IN, GUARD_AFTER);
        struct tensor_ctx ctx = take_ctx(g_isas[s]);
        tensor_act_set(&ctx, x, N_ROWS, N_IN);
        tensor_matmul(&ctx, y, &w.m);
        check_digest(g_isas[s], tensor_type_info(type)->name, y, N_ROWS * N_OUT, want[_i]);
        tensor_ctx_fini(&ctx);
        give_weights(&w);
    }
}
END_TEST

START_TEST(operations_over_rows)
{
    enum {
        N = 576 + 13,
        HEAD = 64,
        HEADS = N / HEAD,
        PAIRS = 25
    };
    static const struct {
        const char *name;
        uint64_t digest;
    } want[] = { { "rmsnorm", 0xc331ea9691399faa },
                 { "silu", 0x3dfba5adace7ffb2 },
                 { "gelu", 0x9ce72aff718050d6 },
                 { "rope norm", 0xcf64c6fb1d9a9a69 },
                 { "rope neox", 0x1128e1bf03aa87f2 } };
    float a[N];
    float b[N];
    struct numbers rnd = { 200 };
    numbers_fill(&rnd, a, N, 9.0f);
    numbers_fill(&rnd, b, N, 2.0f);
    for (int s = 0; s < g_isa_count; s++) {
        if (!isas_share_bits(g_isas[s], g_isas[s]))
            continue;
        struct tensor_ctx ctx = take_ctx(g_isas[s]);
        float y[COUNT(want)][N];
        tensor_rmsnorm(&ctx, y[0], a, b, 1, N, 1e-5f);
        tensor_gated(&ctx, TENSOR_GATE_SILU, y[1], a, b, 1, N);
        tensor_gated(&ctx, TENSOR_GATE_GELU, y[2], a, b, 1, N);
        memcpy(y[3], a, sizeof a);
        memcpy(y[4], a, sizeof a);
        tensor_rope(&ctx, TENSOR_ROPE_NORM, y[3], b, 1, HEADS, HEAD, PAIRS);
        tensor_rope(&ctx, TENSOR_ROPE_NEOX, y[4], b, 1, HEADS, HEAD, PAIRS);
        for (int i = 0; i < COUNT(want); i++)
            check_digest(g_isas[s], want[i].name, y[i], N, want[i].digest);
        tensor_ctx_fini(&ctx);
    }
}
END_TEST

static const struct {
    int64_t head_dim;
    int64_t window;
    uint64_t digest;
} g_attention[] = {
    { 4, 0, 0x249871d2a12aebae },
    { 20, 40, 0xd94447c56931cca9 },
    { 64, 0, 0x08d49cfa1ec43afd },
    { 128, 40, 0xf51b1cffdbcb3be3 },
};

START_TEST(attention)
{
    enum {
        ROWS = 100,
        KV_HEADS = 2,
        GROUP = 3,
        DIM_MAX = 128
    };
    static float q[ROWS * KV_HEADS * GROUP * DIM_MAX];
    static float out[ROWS * KV_HEADS * GROUP * DIM_MAX];
    static float k[ROWS * KV_HEADS * DIM_MAX];
    static float v[ROWS * KV_HEADS * DIM_MAX];
    static const uint32_t table[] = { 2, 0, 3, 1 };
    int64_t head_dim = g_attention[_i].head_dim;
    int32_t pos[ROWS];
    const uint32_t *blocks[ROWS];
    for (int i = 0; i < ROWS; i++) {
        pos[i] = i;
        blocks[i] = table;
    }
    struct numbers rnd = { 300 + (uint64_t)_i };
    numbers_fill(&rnd, q, COUNT(q), 3.0f);
    numbers_fill(&rnd, k, COUNT(k), 3.0f);
    numbers_fill(&rnd, v, COUNT(v), 2.0f);
    const struct tensor_rows rows = { ROWS, pos, blocks };
    const struct tensor_attention_args args = { .n_heads = KV_HEADS * GROUP,
                                                .scale = 1.0f / sqrtf((float)head_dim),
                                                .window = g_attention[_i].window };
    for (int s = 0; s < g_isa_count; s++) {
        if (!isas_share_bits(g_isas[s], g_isas[s]))
            continue;
        struct tensor_ctx ctx = take_ctx(g_isas[s]);
        struct tensor_kv kv;
        ck_assert_int_eq(tensor_kv_init(&kv, g_isas[s], 1, KV_HEADS, head_dim, COUNT(table)), OK);
        tensor_kv_write(&ctx, &kv, 0, k, v, &rows, 0, ROWS);
        tensor_attention(&ctx, out, q, &kv, &args, &rows);
        check_digest(g_isas[s], "attention", out, ROWS * args.n_heads * head_dim,
                     g_attention[_i].digest);
        tensor_kv_fini(&kv);
        tensor_ctx_fini(&ctx);
    }
}
END_TEST

int main(void)
{
    numbers_announce();
    Suite *s = suite_create("bits");
    TCase *tc = tcase_create("bits");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_loop_test(tc, products, 0, TYPES);
    tcase_add_test(tc, operations_over_rows);
    tcase_add_loop_test(tc, attention, 0, COUNT(g_attention));
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
