/*
 * The logprob of every token of fixed texts (prose, code, JSON, maths, many scripts, emoji,
 * white space, control characters) against golden values of the dequantised weights, on every
 * instruction set of this machine (tests/golden/README.md).
 *
 * Mean absolute difference: 0.001 on the reference kernels, 0.04 where activations are rounded to
 * int8 in blocks of 32, some of them with a rest; mean negative log-likelihood within 0.005.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "tensor/tensor.h"
#include "valet/engine.h"

#define MODEL "models/smollm2-135m-instruct-q4_1.gguf"
#define GOLDEN "tests/golden/logprobs_smollm2.txt"

enum {
    TEXTS_MAX = 32,
    IDS_MAX = 128
};

struct text {
    char name[32];
    int count;
    int32_t ids[IDS_MAX];
    double expected[IDS_MAX]; /* [1..count-1] */
    double got[IDS_MAX];
    int got_count;
    struct valet_request request;
    bool ended;
};

static struct text g_texts[TEXTS_MAX];
static int g_text_count;
static int g_next;

static void read_golden(void)
{
    FILE *f = fopen(GOLDEN, "r");
    ck_assert_ptr_nonnull(f);
    char line[256];
    g_text_count = 0;
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        struct text *t = &g_texts[g_text_count++];
        *t = (struct text){ 0 };
        ck_assert_int_eq(sscanf(line, "text %31s %d", t->name, &t->count), 2);
        ck_assert_int_le(t->count, IDS_MAX);
        for (int i = 0; i < t->count; i++)
            ck_assert_int_eq(fscanf(f, "%d", &t->ids[i]), 1);
        for (int i = 1; i < t->count; i++)
            ck_assert_int_eq(fscanf(f, "%lf ", &t->expected[i]), 1);
    }
    fclose(f);
    ck_assert_int_gt(g_text_count, 10);
}

static size_t take(void *arg, struct valet_start *starts, size_t room)
{
    (void)arg;
    size_t n = 0;
    while (n < room && g_next < g_text_count) {
        struct text *t = &g_texts[g_next++];
        t->request = (struct valet_request){ .prompt = t->ids,
                                             .prompt_count = t->count,
                                             .prompt_logprobs = true };
        starts[n++] = (struct valet_start){ .work = t,
                                            .request = &t->request,
                                            .blocks = valet_engine_blocks(t->count, 0) };
    }
    return n;
}

static bool wait_for_more(void *arg)
{
    (void)arg;
    return false;
}

static bool cancelled(void *arg, void *work)
{
    (void)arg;
    (void)work;
    return false;
}

static bool emit(void *arg, void *work, const struct valet_event *event)
{
    (void)arg;
    struct text *t = work;
    if (event->type != VALET_EVENT_PROMPT)
        return true;
    ck_assert_int_lt(t->got_count, t->count);
    ck_assert_int_eq(event->id, t->ids[t->got_count]);
    ck_assert_int_eq(isnan(event->logprob) != 0, t->got_count == 0);
    t->got[t->got_count++] = (double)event->logprob;
    return true;
}

static void end(void *arg, void *work, enum valet_end how, const char *error)
{
    (void)arg;
    struct text *t = work;
    ck_assert_msg(how == VALET_END_DONE, "%s: %s", t->name, error ? error : "not done");
    ck_assert_int_eq(t->got_count, t->count);
    t->ended = true;
}

/* One pass over all texts; the mean absolute difference. */
static void measure(const char *isa, double tolerance)
{
    struct valet_error error = { 0 };
    struct valet_model_options model_options;
    valet_model_options_init(&model_options);
    model_options.isa = isa;
    valet_model *model;
    ck_assert_msg(valet_model_load(MODEL, &model_options, &model, &error) == VALET_OK, "%s",
                  error.message);
    struct valet_engine_options options;
    valet_engine_options_init(&options);
    options.rows_max = 4;
    options.context = IDS_MAX + 1;
    valet_engine *engine;
    ck_assert_msg(valet_engine_create(model, &options, &engine, &error) == VALET_OK, "%s",
                  error.message);
    read_golden();
    g_next = 0;
    const struct valet_engine_source source = {
        .take = take, .wait = wait_for_more, .cancelled = cancelled, .emit = emit, .end = end
    };
    valet_engine_run(engine, &source);
    valet_engine_destroy(engine);
    valet_model_free(model);

    double difference = 0;
    double nll = 0;
    double nll_expected = 0;
    int tokens = 0;
    for (int t = 0; t < g_text_count; t++) {
        ck_assert(g_texts[t].ended);
        for (int i = 1; i < g_texts[t].count; i++) {
            difference += fabs(g_texts[t].got[i] - g_texts[t].expected[i]);
            nll -= g_texts[t].got[i];
            nll_expected -= g_texts[t].expected[i];
            tokens++;
        }
    }
    printf("%s: %d tokens, mean |difference| %.7f, mean nll %.5f (oracle %.5f)\n", isa, tokens,
           difference / tokens, nll / tokens, nll_expected / tokens);
    ck_assert_double_le(difference / tokens, tolerance);
    ck_assert_double_le(fabs(nll - nll_expected) / tokens, 0.005);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

START_TEST(reference_logprobs_are_the_oracles)
{
    measure("ref", 0.001);
}
END_TEST

START_TEST(fast_logprobs_are_near_the_oracles)
{
    static const char *const isas[] = { "avx2", "avx512vnni", "amx", "neon" };
    for (size_t i = 0; i < sizeof isas / sizeof isas[0]; i++) {
        const struct tensor_isa *found;
        if (tensor_isa_find(isas[i], &found, NULL) == OK)
            measure(isas[i], 0.04);
    }
}
END_TEST

int main(void)
{
    if (access(MODEL, R_OK) != 0) {
        printf("skipped: no %s; get it with 'make model'\n", MODEL);
        return 77;
    }
    Suite *s = suite_create("oracle");
    TCase *t = tcase_create("golden");
    tcase_set_timeout(t, 600);
    if (!getenv("VALET_TEST_SLOW"))
        tcase_add_test(t, reference_logprobs_are_the_oracles);
    tcase_add_test(t, fast_logprobs_are_near_the_oracles);
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
