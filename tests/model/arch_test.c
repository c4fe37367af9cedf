/*
 * Each architecture against transformers: tiny random models of tests/golden/arch_*.txt, the
 * oracle's tokens fed, all logits of all positions compared.
 *
 * Tolerances, as shares of the row's range (max - min). Reference kernels: 1e-4, and 1e-3 as a
 * difference of logits; measured 1.6e-5 after 62 layers, 8e-6 else, of which the golden file's
 * own rounding is half. Fast kernels, f32 weights: 2e-2; measured 1.1e-2 after 62 layers, 2e-3
 * else: keys and values are kept in half precision. Fast kernels, other types: 8e-2; measured
 * 4.2e-2: they round activations to int8, and a tiny model has few to average over. The most
 * likely token must be the oracle's, unless its two best lie closer than twice the tolerance.
 *
 * Each instruction set of this machine, and each type of weights in some case.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/arch_run.h"

#define REF_TOLERANCE 1e-4f
#define REF_DIFFERENCE 1e-3f
#define FAST_F32_TOLERANCE 2e-2f
#define FAST_BLOCKS_TOLERANCE 8e-2f

enum {
    TYPES_END = TENSOR_MXFP4 + 1 /* behind the last type's number */
};

static const char *const g_archs[] = { "llama", "qwen2", "qwen3", "gemma3" };

static bool is_ref(const char *isa)
{
    return strcmp(isa, "ref") == 0;
}

static float tolerance_for(const struct arch_case *c, const char *isa)
{
    if (is_ref(isa))
        return REF_TOLERANCE;
    for (int i = 0; i < c->tensor_count; i++) {
        if (c->tensors[i].type != TENSOR_F32)
            return FAST_BLOCKS_TOLERANCE;
    }
    return FAST_F32_TOLERANCE;
}

struct worst {
    float error;      /* share of the range */
    float difference; /* of logits */
    int near_ties;
    int rows;
};

static int32_t best_of(const float *row, int n)
{
    int32_t best = 0;
    for (int i = 1; i < n; i++)
        best = row[i] > row[best] ? i : best;
    return best;
}

static void compare_row(const struct arch_case *c, int pos, const float *logits, float tolerance,
                        struct worst *worst)
{
    const float *want = c->logits + pos * c->vocab;
    float min = want[0];
    int32_t best = best_of(want, c->vocab);
    for (int i = 0; i < c->vocab; i++)
        min = fminf(min, want[i]);
    float range = want[best] - min;
    for (int i = 0; i < c->vocab; i++) {
        float difference = fabsf(logits[i] - want[i]);
        float error = difference / range;
        worst->error = fmaxf(worst->error, error);
        worst->difference = fmaxf(worst->difference, difference);
        ck_assert_msg(error <= tolerance, "%s, position %d, token %d: %g, expected %g (range %g)",
                      c->name, pos, i, (double)logits[i], (double)want[i], (double)range);
    }
    worst->rows++;
    int32_t got = best_of(logits, c->vocab);
    if (got == best)
        return;
    worst->near_ties++;
    ck_assert_msg(want[best] - want[got] <= 2 * tolerance * range,
                  "%s, position %d: token %d, expected %d", c->name, pos, got, best);
}

static void compare_case(const char *arch, const struct arch_case *c, const char *isa)
{
    float tolerance = tolerance_for(c, isa);
    struct arch_run r;
    struct base_err_info info = { 0 };
    ck_assert_msg(arch_run_open(&r, c, isa, &info) == OK, "%s: %s", c->name, info.message);
    ck_assert_int_eq(r.model->params.vocab, c->vocab);
    size_t bytes = (size_t)c->count * (size_t)c->vocab * sizeof(float);
    float *whole = malloc(bytes);
    float *chunked = malloc(bytes);
    ck_assert(whole && chunked);
    arch_run_logits(&r, c, c->count, whole);
    struct worst worst = { 0 };
    for (int i = 0; i < c->count; i++)
        compare_row(c, i, whole + i * c->vocab, tolerance, &worst);
    printf("%s %s %s: %d rows, worst %.2g, %.2g of the range, %d near ties\n", isa, arch, c->name,
           worst.rows, (double)worst.difference, (double)worst.error, worst.near_ties);
    ck_assert(!is_ref(isa) || worst.difference <= REF_DIFFERENCE);
    static const int chunks[] = { 1, 7, 32 };
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        memset(chunked, 0, bytes);
        arch_run_logits(&r, c, chunks[i], chunked);
        ck_assert_msg(memcmp(whole, chunked, bytes) == 0, "%s, chunks of %d", c->name, chunks[i]);
    }
    free(whole);
    free(chunked);
    arch_run_close(&r);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

static void compare_arch(const char *arch, const char *isa)
{
    const struct tensor_isa *found;
    if (tensor_isa_find(isa, &found, NULL) != OK)
        return;
    FILE *f = arch_cases_open(arch);
    static struct arch_case c;
    int done = 0;
    while (arch_case_read(f, &c)) {
        compare_case(arch, &c, isa);
        done++;
        arch_case_fini(&c);
    }
    fclose(f);
    ck_assert_int_gt(done, 0);
}

START_TEST(reference_logits_equal_the_oracle)
{
    compare_arch(g_archs[_i], "ref");
}
END_TEST

START_TEST(fast_logits_are_near_the_oracle)
{
    static const char *const isas[] = { "avx2", "avx512vnni", "amx", "neon" };
    for (size_t i = 0; i < sizeof isas / sizeof isas[0]; i++)
        compare_arch(g_archs[_i], isas[i]);
}
END_TEST

START_TEST(every_type_of_weights_is_in_a_case)
{
    bool seen[TYPES_END] = { false };
    for (size_t i = 0; i < sizeof g_archs / sizeof g_archs[0]; i++) {
        FILE *f = arch_cases_open(g_archs[i]);
        static struct arch_case c;
        while (arch_case_read(f, &c)) {
            for (int k = 0; k < c.tensor_count; k++) {
                ck_assert_uint_lt(c.tensors[k].type, TYPES_END);
                seen[c.tensors[k].type] = true;
            }
            arch_case_fini(&c);
        }
        fclose(f);
    }
    for (uint32_t type = 0; type < TYPES_END; type++)
        ck_assert_msg(seen[type] == (tensor_type_info(type) != NULL), "type %u", type);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("arch");
    TCase *t = tcase_create("golden");
    tcase_set_timeout(t, 300);
    int archs = sizeof g_archs / sizeof g_archs[0];
    tcase_add_loop_test(t, reference_logits_equal_the_oracle, 0, archs);
    tcase_add_loop_test(t, fast_logits_are_near_the_oracle, 0, archs);
    tcase_add_test(t, every_type_of_weights_is_in_a_case);
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
