/*
 * The text of an answer beside that of its prompt. SentencePiece puts a space before each
 * text and takes it away again; an answer that goes on in its prompt's text keeps the space
 * that it begins with, so that both texts joined are the text of all tokens.
 */
#include <string.h>

#include "engine/rig.h"
#include "engine/suite.h"
#include "tokenizer/tokenizer.h"

enum {
    JOBS = 64,
    PROMPT_MAX = 12,
    TEXT_MAX = 4096
};

static struct rig g_rig;
static int32_t g_prompts[JOBS][PROMPT_MAX];
static struct script_job g_jobs[JOBS];

struct text {
    size_t len;
    char bytes[TEXT_MAX];
};

static void append(struct text *text, struct tokenizer_decoder *d, const int32_t *ids,
                   int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        ck_assert_uint_lt(text->len, TEXT_MAX / 2);
        text->len += tokenizer_decode(d, ids[i], text->bytes + text->len);
    }
}

/* The text of `count` ids and then of the answer; of control tokens none. */
static struct text text_of(const int32_t *ids, int32_t count, const struct script_job *job)
{
    struct text text = { 0 };
    struct tokenizer_decoder d;
    tokenizer_decoder_init(&d, valet_model_tokenizer(g_rig.model), false);
    append(&text, &d, ids, count);
    append(&text, &d, job->ids, job->count);
    text.len += tokenizer_decode_end(&d, text.bytes + text.len);
    return text;
}

/* Prompts of letters and fillers: each ends with a whole character. */
static void set_jobs(bool continues)
{
    for (int32_t i = 0; i < JOBS; i++) {
        int32_t count = 1 + i % PROMPT_MAX;
        struct tiny_random r = { 900 + (uint64_t)i };
        for (int32_t t = 0; t < count; t++)
            g_prompts[i][t] = tiny_random_below(&r, 2)
                                  ? 'a' + tiny_random_below(&r, 26)
                                  : TINY_MERGE_FIRST + tiny_random_below(&r, 20);
        g_jobs[i] = (struct script_job){
            .request = { .prompt = g_prompts[i],
                         .prompt_count = count,
                         .max_new = 1 + i % 7,
                         .ignore_eos = true,
                         .sampling = { .temperature = 2, .seed = (uint64_t)i },
                         .continues = continues },
        };
    }
}

static void run(void)
{
    struct script s = { .jobs = g_jobs, .job_count = JOBS };
    rig_run(&g_rig, (struct rig_size){ 16, 64, 0, false }, &s, NULL);
}

/* Returns how many answers begin with a space. */
static int32_t check_joined(void)
{
    static const struct script_job none;
    int32_t spaces = 0;
    for (int32_t i = 0; i < JOBS; i++) {
        const struct script_job *job = &g_jobs[i];
        struct text all = text_of(job->request.prompt, job->request.prompt_count, job);
        struct text prompt = text_of(job->request.prompt, job->request.prompt_count, &none);
        ck_assert_int_eq(job->end, VALET_END_DONE);
        ck_assert_uint_eq(prompt.len + job->text_len, all.len);
        ck_assert_mem_eq(prompt.bytes, all.bytes, prompt.len);
        ck_assert_mem_eq(job->text, all.bytes + prompt.len, job->text_len);
        spaces += job->text_len > 0 && job->text[0] == ' ';
    }
    return spaces;
}

static int32_t check_alone(void)
{
    int32_t spaces = 0;
    for (int32_t i = 0; i < JOBS; i++) {
        struct text text = text_of(NULL, 0, &g_jobs[i]);
        ck_assert_uint_eq(g_jobs[i].text_len, text.len);
        ck_assert_mem_eq(g_jobs[i].text, text.bytes, text.len);
        spaces += text.len > 0 && text.bytes[0] == ' ';
    }
    return spaces;
}

START_TEST(a_continuation_joined_to_its_prompt_is_the_text_of_all_tokens)
{
    struct tiny_shape shape = tiny_plain(TENSOR_F32);
    shape.spm = _i;
    rig_open(&g_rig, shape, NULL, 1);
    set_jobs(true);
    run();
    int32_t spaces = check_joined();
    if (shape.spm)
        ck_assert_int_ge(spaces, 4);
    rig_close(&g_rig);
}
END_TEST

START_TEST(an_answer_of_its_own_has_no_space_before_it)
{
    struct tiny_shape shape = tiny_plain(TENSOR_F32);
    shape.spm = _i;
    rig_open(&g_rig, shape, NULL, 1);
    set_jobs(false);
    run();
    int32_t spaces = check_alone();
    if (shape.spm)
        ck_assert_int_le(spaces, 1); /* a token that is a space twice, or a byte */
    rig_close(&g_rig);
}
END_TEST

/* Text is brought back when a request comes back, its first space too. */
START_TEST(a_preempted_continuation_keeps_its_first_space)
{
    struct tiny_shape shape = tiny_plain(TENSOR_F32);
    shape.spm = true;
    rig_open(&g_rig, shape, NULL, 1);
    set_jobs(true);
    for (int32_t i = 0; i < JOBS; i++)
        g_jobs[i].request.max_new = 70;
    struct script s = { .jobs = g_jobs, .job_count = JOBS, .optimistic = true };
    rig_run(&g_rig, (struct rig_size){ 16, 64, 12, false }, &s, NULL);
    ck_assert_int_gt(s.preemptions, 10);
    ck_assert_int_ge(check_joined(), 4);
    rig_close(&g_rig);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("unit");
    tcase_add_loop_test(t, a_continuation_joined_to_its_prompt_is_the_text_of_all_tokens, 0, 2);
    tcase_add_loop_test(t, an_answer_of_its_own_has_no_space_before_it, 0, 2);
    tcase_add_test(t, a_preempted_continuation_keeps_its_first_space);
    return suite_run("text", t);
}
