/*
 * The least time of a forward pass, against figures worked out by hand for the default model:
 * 134.5 million weights, 106.2 million of them in layers, 96.4 MB, 30 layers, 9 query and 3 KV
 * heads of 64.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "model/cost.h"

#define MODEL "models/smollm2-135m-instruct-q4_1.gguf"

static const struct tensor_limits g_limits = { 27e9, 880e9, 220e9, 0 };
static struct model *g_model;

static void setup(void)
{
    const struct tensor_isa *isa;
    struct base_err_info info = { 0 };
    ck_assert_int_eq(tensor_isa_find(NULL, &isa, &info), OK);
    ck_assert_msg(model_open(MODEL, isa, NULL, &g_model, &info) == OK, "%s", info.message);
}

static void teardown(void)
{
    model_close(g_model);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

static void near(double got, double expected)
{
    ck_assert_msg(fabs(got - expected) <= 0.005 * expected, "%g, expected %g", got, expected);
}

START_TEST(one_stream_is_bound_by_memory)
{
    near(1 / model_cost_decode(g_model, &g_limits, 1, 0), 27e9 / 96.46e6);
}
END_TEST

START_TEST(keys_and_values_are_read_too)
{
    struct model_cost cost;
    model_cost_of(g_model, &cost);
    near(1 / model_cost_decode(g_model, &g_limits, 1, 8191),
         27e9 / (96.44e6 + 8192 * cost.kv_bytes));
}
END_TEST

START_TEST(many_streams_are_bound_by_arithmetic)
{
    double int8 = 2 * 134.48e6 / 880e9;
    double f32 = 4 * 30 * 9 * 64 * 129 / 220e9;
    near(model_cost_decode(g_model, &g_limits, 32, 128), 32 * (int8 + f32));
}
END_TEST

START_TEST(a_prompt_is_bound_by_arithmetic)
{
    double int8 = (512 * 2 * 106.17e6 + 2 * 28.31e6) / 880e9;
    double f32 = 4.0 * 30 * 9 * 64 * (512.0 * 513 / 2) / 220e9;
    near(model_cost_prefill(g_model, &g_limits, 512, 0, 256), int8 + f32);
    double deep = 4.0 * 30 * 9 * 64 * (512.0 * 513 / 2 + 512 * 4096.0) / 220e9;
    near(model_cost_prefill(g_model, &g_limits, 512, 4096, 256), int8 + deep);
}
END_TEST

START_TEST(small_chunks_read_the_weights_again)
{
    const struct tensor_limits slow_memory = { 1e6, 880e9, 220e9, 0 };
    double once = model_cost_prefill(g_model, &slow_memory, 256, 0, 256);
    near(model_cost_prefill(g_model, &slow_memory, 256, 0, 64), 4 * once);
}
END_TEST

int main(void)
{
    if (access(MODEL, R_OK) != 0) {
        printf("skipped: no %s; get it with 'make model'\n", MODEL);
        return 77;
    }
    Suite *s = suite_create("cost");
    TCase *t = tcase_create("roofline");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, one_stream_is_bound_by_memory);
    tcase_add_test(t, keys_and_values_are_read_too);
    tcase_add_test(t, many_streams_are_bound_by_arithmetic);
    tcase_add_test(t, a_prompt_is_bound_by_arithmetic);
    tcase_add_test(t, small_chunks_read_the_weights_again);
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
