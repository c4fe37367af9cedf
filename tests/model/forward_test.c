/*
 * The forward pass of the default model against golden vectors of the dequantised weights
 * (tests/golden/README.md): the oracle's tokens are fed, every position's logits compared.
 *
 * Tolerances. Reference kernels: 1e-3 of the row's range (max - min); measured 6e-7.
 * Fast kernels round activations to int8: 4 % of the range; measured 2.7 % at worst. The
 * most likely token must be the oracle's, unless the oracle's two best lie closer together
 * than twice the tolerance.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "model/model.h"

#define MODEL "models/smollm2-135m-instruct-q4_1.gguf"
#define GOLDEN "tests/golden/forward_smollm2.txt"

enum {
    IDS_MAX = 512,
    TOP = 5,
    CHUNK = 48
};

struct golden_case {
    char name[64];
    int prompt_count;
    int count;
    int32_t ids[IDS_MAX];
    int32_t top_ids[IDS_MAX][TOP];
    float top[IDS_MAX][TOP];
    float min[IDS_MAX];
};

static bool read_case(FILE *f, struct golden_case *c)
{
    char line[256];
    do {
        if (!fgets(line, sizeof line, f))
            return false;
    } while (line[0] == '#');
    ck_assert_int_eq(sscanf(line, "case %63s %d %d", c->name, &c->prompt_count, &c->count), 3);
    ck_assert_int_le(c->count, IDS_MAX);
    for (int i = 0; i < c->count; i++)
        ck_assert_int_eq(fscanf(f, "%d", &c->ids[i]), 1);
    for (int i = 0; i < c->count; i++) {
        for (int j = 0; j < TOP; j++)
            ck_assert_int_eq(fscanf(f, "%d %f", &c->top_ids[i][j], &c->top[i][j]), 2);
        ck_assert_int_eq(fscanf(f, "%f ", &c->min[i]), 1);
    }
    return true;
}

struct run {
    const struct tensor_isa *isa;
    struct team *team;
    struct model *model;
    struct model_state state;
    struct tensor_kv kv;
    float *logits; /* [CHUNK][vocab] */
};

static void run_open(struct run *r, const char *isa)
{
    struct base_err_info info = { 0 };
    ck_assert_int_eq(tensor_isa_find(isa, &r->isa, &info), OK);
    ck_assert_int_eq(team_create(2, &r->team), OK);
    ck_assert_msg(model_open(MODEL, r->isa, r->team, &r->model, &info) == OK, "%s", info.message);
    const struct model_params *p = &r->model->params;
    ck_assert_int_eq(model_state_init(&r->state, r->model, CHUNK, CHUNK), OK);
    ck_assert_int_eq(tensor_kv_init(&r->kv, r->isa, p->layers, p->kv_heads, p->head_dim,
                                    IDS_MAX / TENSOR_KV_BLOCK),
                     OK);
    r->logits = mem_alloc(MEM_MODEL, (size_t)CHUNK * (size_t)p->vocab * sizeof(float));
    ck_assert_ptr_nonnull(r->logits);
}

static void run_close(struct run *r)
{
    mem_free(r->logits);
    tensor_kv_fini(&r->kv);
    model_state_fini(&r->state);
    model_close(r->model);
    team_destroy(r->team);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

/* Logits of the positions first .. first+n-1. */
static void forward(struct run *r, const struct golden_case *c, int first, int n)
{
    int32_t pos[CHUNK];
    int32_t out[CHUNK];
    const uint32_t *blocks[CHUNK];
    uint32_t table[IDS_MAX / TENSOR_KV_BLOCK];
    for (uint32_t i = 0; i < IDS_MAX / TENSOR_KV_BLOCK; i++)
        table[i] = IDS_MAX / TENSOR_KV_BLOCK - 1 - i; /* not in order */
    for (int i = 0; i < n; i++) {
        pos[i] = first + i;
        out[i] = i;
        blocks[i] = table;
    }
    struct model_batch batch = { .rows = { .n_rows = n, .pos = pos, .blocks = blocks },
                                 .ids = c->ids + first,
                                 .out_count = n,
                                 .out_rows = out };
    model_forward(r->model, &r->state, &r->kv, &batch, r->logits);
}

struct worst {
    float relative;
    int ties;
    int positions;
};

static void compare_row(const struct golden_case *c, int pos, const float *logits, int32_t vocab,
                        float tolerance, struct worst *worst)
{
    float range = c->top[pos][0] - c->min[pos];
    int32_t best = 0;
    for (int32_t i = 1; i < vocab; i++)
        best = logits[i] > logits[best] ? i : best;
    for (int j = 0; j < TOP; j++) {
        float diff = fabsf(logits[c->top_ids[pos][j]] - c->top[pos][j]) / range;
        worst->relative = diff > worst->relative ? diff : worst->relative;
        ck_assert_msg(diff <= tolerance, "%s, position %d, token %d: %g, expected %g (range %g)",
                      c->name, pos, c->top_ids[pos][j], (double)logits[c->top_ids[pos][j]],
                      (double)c->top[pos][j], (double)range);
    }
    worst->positions++;
    if (best == c->top_ids[pos][0])
        return;
    worst->ties++;
    float gap = c->top[pos][0] - c->top[pos][1];
    ck_assert_msg(gap <= 2 * tolerance * range, "%s, position %d: token %d, expected %d (gap %g)",
                  c->name, pos, best, c->top_ids[pos][0], (double)gap);
}

static void compare_all(const char *isa, float tolerance, bool quick_only)
{
    struct run r;
    run_open(&r, isa);
    FILE *f = fopen(GOLDEN, "r");
    ck_assert_ptr_nonnull(f);
    static struct golden_case c;
    struct worst worst = { 0 };
    while (read_case(f, &c)) {
        if (quick_only && strncmp(c.name, "quick_", 6) != 0)
            continue;
        for (int first = 0; first < c.count; first += CHUNK) {
            int n = c.count - first < CHUNK ? c.count - first : CHUNK;
            forward(&r, &c, first, n);
            for (int i = 0; i < n; i++)
                compare_row(&c, first + i, r.logits + (int64_t)i * r.model->params.vocab,
                            r.model->params.vocab, tolerance, &worst);
        }
    }
    fclose(f);
    printf("%s: %d positions, worst %g of the range, %d near ties\n", isa, worst.positions,
           (double)worst.relative, worst.ties);
    ck_assert_int_gt(worst.positions, 0);
    run_close(&r);
}

static bool has_isa(const char *isa)
{
    const struct tensor_isa *found;
    return tensor_isa_find(isa, &found, NULL) == OK;
}

/* All cases on the reference kernels, too; else its two shortest. */
static bool g_all;

START_TEST(reference_logits_equal_the_oracle)
{
    compare_all("ref", 1e-3f, !g_all);
}
END_TEST

START_TEST(fast_logits_are_near_the_oracle)
{
    static const char *const isas[] = { "avx2", "avx512vnni", "amx", "neon" };
    if (has_isa(isas[_i]))
        compare_all(isas[_i], 2.5e-2f, false);
}
END_TEST

START_TEST(a_look_tells_the_memory_of_the_model)
{
    struct run r;
    run_open(&r, NULL);
    struct model *look;
    struct base_err_info info = { 0 };
    ck_assert_msg(model_open(MODEL, r.isa, NULL, &look, &info) == OK, "%s", info.message);
    ck_assert_uint_eq(look->weight_bytes, r.model->weight_bytes);
    ck_assert_uint_eq(look->packed_bytes, r.model->packed_bytes);
    ck_assert_ptr_null(look->head.packed);
    ck_assert_uint_eq(model_state_bytes(look, team_size(r.team), CHUNK),
                      r.state.buffer_bytes + r.state.ctx.act_bytes);
    model_close(look);
    run_close(&r);
}
END_TEST

/* forward_test [all] */
int main(int argc, char **argv)
{
    g_all = argc == 2 && strcmp(argv[1], "all") == 0;
    if (access(MODEL, R_OK) != 0) {
        printf("skipped: no %s; get it with 'make model'\n", MODEL);
        return 77;
    }
    Suite *s = suite_create("forward");
    TCase *t = tcase_create("golden");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, reference_logits_equal_the_oracle);
    tcase_add_loop_test(t, fast_logits_are_near_the_oracle, 0, 4);
    tcase_add_test(t, a_look_tells_the_memory_of_the_model);
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
