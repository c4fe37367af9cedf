/*
 * The default model through the engine. Free-running greedy answers against the golden
 * continuations (tests/golden/README.md), and many requests together against each alone.
 *
 * Tolerance. Where the oracle's two best logits lie closer together than twice the error of the
 * kernels, another token may win, and from there on the texts have nothing in common. So an
 * answer equals the golden one up to the first such place: 2 * 4 % of the row's range for fast
 * kernels, 2e-3 for the reference ones (tests/model/forward_test.c).
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "engine/script.h"
#include "engine/suite.h"
#include "tokenizer/tokenizer.h"

#define MODEL "models/smollm2-135m-instruct-q4_1.gguf"
#define GOLDEN "tests/golden/forward_smollm2.txt"

enum {
    CASES_MAX = 16,
    IDS_MAX = 256,
    ANSWER_MAX = 24, /* the longest continuation in the file */
    SEEDED = 16
};

struct golden_case {
    char name[64];
    int prompt_count;
    int count;
    int32_t ids[IDS_MAX];
    float gap[IDS_MAX]; /* of the two best logits, as a fraction of the row's range */
    int32_t best[IDS_MAX];
};

static struct golden_case g_cases[CASES_MAX];
static int g_case_count;
static struct script_job g_jobs[SEEDED];
static struct script_job g_alone[SEEDED];

static void read_rows(FILE *f, struct golden_case *c)
{
    for (int i = 0; i < c->count; i++) {
        float top[5];
        float min;
        int32_t id;
        for (int j = 0; j < 5; j++) {
            ck_assert_int_eq(fscanf(f, "%d %f", &id, &top[j]), 2);
            c->best[i] = j == 0 ? id : c->best[i];
        }
        ck_assert_int_eq(fscanf(f, "%f ", &min), 1);
        c->gap[i] = (top[0] - top[1]) / (top[0] - min);
    }
}

static void read_cases(void)
{
    FILE *f = fopen(GOLDEN, "r");
    ck_assert_ptr_nonnull(f);
    char line[512];
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#')
            continue;
        ck_assert_int_lt(g_case_count, CASES_MAX);
        struct golden_case *c = &g_cases[g_case_count++];
        ck_assert_int_eq(sscanf(line, "case %63s %d %d", c->name, &c->prompt_count, &c->count), 3);
        ck_assert_int_le(c->count, IDS_MAX);
        for (int i = 0; i < c->count; i++)
            ck_assert_int_eq(fscanf(f, "%d", &c->ids[i]), 1);
        read_rows(f, c);
    }
    fclose(f);
    ck_assert_int_ge(g_case_count, 8);
}

static void set_golden_job(struct script_job *job, const struct golden_case *c)
{
    *job = (struct script_job){ .request = { .prompt = c->ids,
                                             .prompt_count = c->prompt_count,
                                             .max_new = ANSWER_MAX,
                                             .sampling = { .temperature = 0, .top_p = 1 } } };
}

/* Compares up to the first near tie; returns how many tokens are equal. */
static int compare_golden(const struct golden_case *c, const struct script_job *job,
                          float tolerance)
{
    int golden_count = c->count - c->prompt_count;
    for (int i = 0; i < job->count; i++) {
        int row = c->prompt_count - 1 + i; /* what this row's logits choose */
        if (row >= c->count)
            return i;
        if (job->ids[i] == c->best[row])
            continue;
        ck_assert_msg(c->gap[row] <= tolerance,
                      "%s, token %d: %d, expected %d, whose lead is %.3f of the range", c->name, i,
                      job->ids[i], c->best[row], (double)c->gap[row]);
        return i;
    }
    /* equal to the end, so it must end in the same way */
    if (golden_count < ANSWER_MAX)
        ck_assert_int_eq(job->finish, VALET_FINISH_STOP);
    else
        ck_assert_int_eq(job->finish, VALET_FINISH_LENGTH);
    return job->count;
}

static void check_text(const struct script_job *job, const struct tokenizer *t)
{
    struct tokenizer_decoder d;
    char text[SCRIPT_TEXT_MAX];
    size_t len = 0;
    tokenizer_decoder_init(&d, t, false);
    for (int i = 0; i < job->count - (job->finish == VALET_FINISH_STOP); i++)
        len += tokenizer_decode(&d, job->ids[i], text + len);
    len += tokenizer_decode_end(&d, text + len);
    ck_assert_uint_eq(job->text_len, len);
    ck_assert_mem_eq(job->text, text, len);
}

static void run_golden(const char *isa, int case_count, float tolerance, bool alone_too)
{
    valet_model *model = script_load(MODEL, isa, 2);
    valet_engine *engine = script_engine(model, 8, 100);
    for (int i = 0; i < case_count; i++) {
        set_golden_job(&g_jobs[i], &g_cases[i]);
        set_golden_job(&g_alone[i], &g_cases[i]);
        if (alone_too)
            script_run_jobs(engine, &g_alone[i], 1);
    }
    script_run_jobs(engine, g_jobs, case_count);
    int equal = 0;
    int total = 0;
    for (int i = 0; i < case_count; i++) {
        if (alone_too)
            script_expect_same(&g_jobs[i], &g_alone[i], g_cases[i].name);
        check_text(&g_jobs[i], valet_model_tokenizer(model));
        equal += compare_golden(&g_cases[i], &g_jobs[i], tolerance);
        total += g_jobs[i].count;
    }
    printf("%s: %d of %d tokens before the first near tie\n", isa, equal, total);
    ck_assert_int_gt(4 * equal, total);
    valet_engine_destroy(engine);
    valet_model_free(model);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

START_TEST(greedy_answers_equal_the_golden_ones)
{
    read_cases();
    const char *isas[SCRIPT_ISAS_MAX];
    int count = script_isas(isas);
    for (int i = 1; i < count; i++)
        run_golden(isas[i], suite_is_slow() ? 2 : g_case_count, 2 * 0.04f, true);
}
END_TEST

START_TEST(reference_kernels_give_the_golden_answers)
{
    read_cases();
    if (!suite_is_slow())
        run_golden("ref", 2, 2e-3f, false); /* the two quick ones, together */
}
END_TEST

static void run_seeded(const char *isa)
{
    valet_model *model = script_load(MODEL, isa, 2);
    int count = suite_is_slow() ? 3 : SEEDED;
    valet_engine *single = script_engine(model, 1, 256);
    valet_engine *many = script_engine(model, 16, 64);
    for (int i = 0; i < count; i++) {
        set_golden_job(&g_alone[i], &g_cases[i % g_case_count]);
        g_alone[i].request.max_new = 16;
        g_alone[i].request.sampling = (struct valet_sampling){
            .temperature = 0.8f, .top_p = 0.9f, .top_k = i % 3 ? 40 : 0, .seed = 7 + (uint64_t)i
        };
        g_jobs[i] = g_alone[i];
        script_run_jobs(single, &g_alone[i], 1);
    }
    struct script s = { .jobs = g_jobs, .job_count = count, .take_max = 1 };
    script_run(many, &s);
    int differ = 0;
    for (int i = 0; i < count; i++) {
        script_expect_same(&g_jobs[i], &g_alone[i], "together");
        check_text(&g_jobs[i], valet_model_tokenizer(model));
        if (i >= g_case_count) /* the same prompt with another seed */
            differ +=
                memcmp(g_jobs[i].ids, g_jobs[i - g_case_count].ids, sizeof g_jobs[i].ids) != 0;
    }
    if (count > g_case_count)
        ck_assert_int_gt(2 * differ, count - g_case_count);
    valet_engine_destroy(single);
    valet_engine_destroy(many);
    valet_model_free(model);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

/* Too slow on the reference kernels; tests with tiny models do the same. */
START_TEST(seeded_requests_together_equal_alone)
{
    const char *isas[SCRIPT_ISAS_MAX];
    int count = script_isas(isas);
    read_cases();
    for (int i = 1; i < count; i++)
        run_seeded(isas[i]);
}
END_TEST

int main(void)
{
    if (access(MODEL, R_OK) != 0) {
        printf("skipped: no %s; get it with 'make model'\n", MODEL);
        return 77;
    }
    TCase *t = tcase_create("golden");
    tcase_add_test(t, greedy_answers_equal_the_golden_ones);
    tcase_add_test(t, reference_kernels_give_the_golden_answers);
    tcase_add_test(t, seeded_requests_together_equal_alone);
    return suite_run("golden", t);
}
