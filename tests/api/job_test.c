#include "api/job.h"

#include <inttypes.h>
#include <string.h>

#include "api/chat_parse.h"
#include "api/render.h"
#include "base/fault.h"
#include "base/mem.h"
#include "bodies.h"
#include "letters.h"
#include "suite.h"

#define USER "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define MESSAGE(text) "{\"messages\":[" text "]}"
#define CONTENT(text) MESSAGE("{\"role\":\"user\",\"content\":" text "}")

static void model_fini(struct api_model *model)
{
    tokenizer_destroy((struct tokenizer *)(uintptr_t)model->tokenizer);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

/* Makes a job of a chat's body; the caller destroys it. */
static enum base_err job_of(const char *text, const struct api_model *model, struct api_job **job,
                            struct api_error *error)
{
    const struct api_render render = { model, NULL };
    struct chat_params params;
    struct template_span *spans;
    struct api_prompt prompt;
    struct arena arena;
    size_t count;
    json_t *body;
    *job = NULL;
    arena_init(&arena, MEM_API, 1 << 20);
    enum base_err rc = api_json_parse(text, strlen(text), &body, error);
    if (!rc)
        rc = chat_parse(body, model, &arena, &params, error);
    if (!rc)
        rc = render_chat(&render, &params.prompt, &arena, &spans, &count, error);
    if (!rc)
        rc = prompt_of_spans(model, "messages", spans, count, &arena, &prompt, error);
    if (!rc)
        rc = api_job_make(model, &params.common, &prompt, 1, job, error);
    json_decref(body);
    arena_fini(&arena);
    return rc;
}

START_TEST(a_job_outlives_the_body_it_came_from)
{
    struct api_model model = body_model(false, 64);
    struct api_job *job;
    struct api_error error;
    ck_assert_int_eq(
        job_of(USER ",\"stop\":[\"x\",\"yz\"],\"max_tokens\":9,\"seed\":-2,"
                    "\"temperature\":0.5,\"top_p\":0.25,\"top_k\":3,\"stop_token_ids\":[7,8],"
                    "\"logit_bias\":{\"9\":-1.5},\"dry_multiplier\":1,\"min_tokens\":2,"
                    "\"ignore_eos\":true,\"include_stop_str_in_output\":true,\"logprobs\":true,"
                    "\"top_logprobs\":4,\"cache_salt\":\"s\"}",
               &model, &job, &error),
        OK);
    const struct valet_request *r = &job->requests[0];
    static const char text[] = "user\nhi";
    ck_assert_int_eq(r->prompt_count, LETTERS_PROMPT(2));
    ck_assert_int_eq(r->prompt[0], LETTERS_START);
    for (size_t i = 0; i < sizeof text - 1; i++)
        ck_assert_int_eq(r->prompt[1 + i], text[i]);
    ck_assert_int_eq(r->prompt[8], LETTERS_END);
    ck_assert_int_eq(r->max_new, 9);
    ck_assert_uint_eq(r->stop_count, 2);
    ck_assert_mem_eq(r->stops[1].text, "yz", 2);
    ck_assert_uint_eq(r->stop_id_count, 2);
    ck_assert_int_eq(r->stop_ids[1], 8);
    ck_assert_uint_eq(r->sampling.seed, (uint64_t)-2);
    ck_assert(r->sampling.temperature == 0.5f && r->sampling.top_p == 0.25f);
    ck_assert_int_eq(r->sampling.top_k, 3);
    ck_assert_uint_eq(r->sampling.bias_count, 1);
    ck_assert_int_eq(r->sampling.bias[0].id, 9);
    ck_assert(r->sampling.bias[0].bias == -1.5f);
    ck_assert_uint_eq(r->sampling.dry_breaker_count, 4);
    ck_assert_int_eq(r->sampling.dry_breakers[3], ':');
    ck_assert_int_eq(r->min_tokens, 2);
    ck_assert(r->ignore_eos && r->include_stop && r->logprobs && !r->prompt_logprobs);
    ck_assert_int_eq(r->top_logprobs, 4);
    ck_assert_uint_ne(r->cache_salt, 0);
    api_job_destroy(job);
    model_fini(&model);
}
END_TEST

START_TEST(control_tokens_in_a_message_are_plain_text)
{
    struct api_model model = body_model(false, 64);
    struct api_job *job;
    struct api_error error;
    ck_assert_int_eq(job_of(CONTENT("\"<|im_end|>\""), &model, &job, &error), OK);
    ck_assert_int_eq(job->requests[0].prompt_count, LETTERS_PROMPT(10));
    api_job_destroy(job);
    model_fini(&model);
}
END_TEST

START_TEST(bos_and_the_default_system_message_come_first)
{
    struct api_model model = body_model(true, 128);
    struct api_job *job;
    struct api_error error;
    model.default_system = "be kind";
    ck_assert_int_eq(job_of(USER "}", &model, &job, &error), OK);
    const struct valet_request *r = &job->requests[0];
    ck_assert_int_eq(r->prompt[0], LETTERS_BOS);
    ck_assert_int_eq(r->prompt[1], LETTERS_START);
    ck_assert_int_eq(r->prompt[2], 's');
    ck_assert_int_eq(r->prompt_count, 1 + 1 + 7 + 7 + 2 + LETTERS_PROMPT(2));
    api_job_destroy(job);
    model_fini(&model);
}
END_TEST

START_TEST(the_answer_is_lowered_to_what_fits)
{
    struct api_model model = body_model(false, LETTERS_PROMPT(2) + 1);
    struct api_job *job;
    struct api_error error;
    ck_assert_int_eq(job_of(USER "}", &model, &job, &error), OK);
    ck_assert_int_eq(job->requests[0].max_new, 1);
    api_job_destroy(job);
    ck_assert_int_eq(job_of(USER ",\"max_tokens\":500}", &model, &job, &error), OK);
    ck_assert_int_eq(job->requests[0].max_new, 1);
    api_job_destroy(job);
    model_fini(&model);
}
END_TEST

START_TEST(a_prompt_as_long_as_the_context_is_refused_with_numbers)
{
    struct api_model model = body_model(false, LETTERS_PROMPT(2));
    struct api_job *job;
    struct api_error error;
    ck_assert_int_eq(job_of(USER "}", &model, &job, &error), E_INVALID);
    ck_assert_ptr_null(job);
    ck_assert_str_eq(api_error_name(error.code), "context_length_exceeded");
    ck_assert_str_eq(error.param, "messages");
    ck_assert_str_eq(error.message, "messages: the prompt has 21 tokens; the context of model m "
                                    "is 21 tokens for prompt and answer");
    model.context = 5;
    ck_assert_int_eq(job_of(USER "}", &model, &job, &error), E_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "has more than 20 tokens"));
    model_fini(&model);
}
END_TEST

START_TEST(a_given_bos_is_not_doubled)
{
    struct api_model model = body_model(true, 64);
    struct arena arena;
    struct api_prompt prompt;
    struct api_error error;
    const struct template_span given = { "<s>ab", 5, true };
    const struct template_span typed = { "<s>ab", 5, false };
    arena_init(&arena, MEM_API, 1 << 16);
    ck_assert_int_eq(prompt_of_spans(&model, "prompt", &given, 1, &arena, &prompt, &error), OK);
    ck_assert_uint_eq(prompt.count, 3);
    ck_assert_int_eq(prompt.ids[0], LETTERS_BOS);
    ck_assert(!prompt.bos_added);
    ck_assert_int_eq(prompt_of_spans(&model, "prompt", &typed, 1, &arena, &prompt, &error), OK);
    ck_assert_uint_eq(prompt.count, 6);
    ck_assert_int_eq(prompt.ids[0], LETTERS_BOS);
    ck_assert(prompt.bos_added);
    arena_fini(&arena);
    model_fini(&model);
}
END_TEST

START_TEST(an_empty_prompt_is_bos_or_a_newline)
{
    struct arena arena;
    struct api_prompt prompt;
    struct api_error error;
    for (int i = 0; i < 4; i++) {
        struct api_model model = { .id = "m", .context = 64 };
        struct tokenizer *t = i < 2 ? letters_create(false) : letters_create_without_bos();
        model.tokenizer = t;
        arena_init(&arena, MEM_API, 1 << 16);
        ck_assert_int_eq(i % 2
                             ? prompt_of_ids(&model, "prompt", NULL, 0, &arena, &prompt, &error)
                             : prompt_of_spans(&model, "prompt", NULL, 0, &arena, &prompt, &error),
                         OK);
        ck_assert_uint_eq(prompt.count, 1);
        ck_assert_int_eq(prompt.ids[0], i < 2 ? LETTERS_BOS : '\n');
        ck_assert(prompt.bos_added);
        arena_fini(&arena);
        tokenizer_destroy(t);
    }
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(tasks_are_choices_prompt_by_prompt)
{
    static const int32_t ids[] = { 1, 2, 3 };
    const struct api_prompt prompts[] = { { ids, 1, false }, { ids, 3, false } };
    struct api_model model = body_model(false, 8);
    struct api_params params = { .max_new = 6, .n = 1, .best_of = 3, .seeded = true };
    struct api_job *job;
    struct api_error error;
    params.sampling.seed = 11;
    ck_assert_int_eq(api_job_make(&model, &params, prompts, 2, &job, &error), OK);
    for (uint32_t i = 0; i < 6; i++) {
        uint32_t choice;
        const struct valet_request *r = api_task_request(job, i, &choice);
        ck_assert_uint_eq(choice, i % 3);
        ck_assert_int_eq(r->prompt_count, i < 3 ? 1 : 3);
        ck_assert_int_eq(r->max_new, i < 3 ? 6 : 5);
        ck_assert_uint_eq(r->sampling.seed, 11);
        ck_assert(r->logprobs); /* to find the best */
    }
    api_job_destroy(job);
    params.seeded = false;
    params.best_of = 1;
    ck_assert_int_eq(api_job_make(&model, &params, prompts, 2, &job, &error), OK);
    ck_assert_uint_ne(job->requests[0].sampling.seed, job->requests[1].sampling.seed);
    ck_assert(!job->requests[0].logprobs);
    api_job_destroy(job);
    model_fini(&model);
}
END_TEST

START_TEST(prompt_logprobs_are_asked_for_by_an_echo)
{
    static const int32_t id = 1;
    static const struct {
        bool echo;
        bool logprobs;
        int32_t max_new;
        bool asked;
    } rows[] = {
        { false, true, 1, false }, { true, false, 1, false }, { true, true, 1, true },
        { true, true, 0, true },   { true, false, 0, true },
    };
    const struct api_prompt prompt = { &id, 1, false };
    struct api_model model = body_model(false, 8);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct api_params params = { .max_new = rows[i].max_new, .n = 1, .best_of = 1 };
        struct api_job *job;
        struct api_error error;
        params.echo = rows[i].echo;
        params.logprobs = rows[i].logprobs;
        ck_assert_int_eq(api_job_make(&model, &params, &prompt, 1, &job, &error), OK);
        ck_assert_int_eq(job->requests[0].prompt_logprobs, rows[i].asked);
        ck_assert_int_eq(job->requests[0].max_new, rows[i].max_new);
        api_job_destroy(job);
    }
    model_fini(&model);
}
END_TEST

/* What the server put there is no text that a space could follow. */
START_TEST(an_answer_goes_on_only_behind_a_text)
{
    static const int32_t ids[] = { LETTERS_BOS, 'a' };
    const struct api_prompt prompts[] = {
        { ids, 1, true }, { ids, 2, true }, { ids, 1, false }, { ids + 1, 1, false }
    };
    struct api_model model = body_model(false, 8);
    for (int i = 0; i < 2; i++) {
        struct api_params params = { .max_new = 1, .n = 1, .best_of = 1, .continues = i };
        struct api_job *job;
        struct api_error error;
        ck_assert_int_eq(api_job_make(&model, &params, prompts, 4, &job, &error), OK);
        for (int k = 0; k < 4; k++)
            ck_assert_int_eq(job->requests[k].continues, i == 1 && k > 0);
        api_job_destroy(job);
    }
    model_fini(&model);
}
END_TEST

START_TEST(different_salts_are_different)
{
    static const char *const fields[] = { "",
                                          ",\"cache_salt\":\"a\"",
                                          ",\"cache_salt\":\"b\"",
                                          ",\"cache_salt\":\"a\\u0000\"",
                                          ",\"cache_salt\":\"ab\"",
                                          ",\"cache_salt\":\"ba\"" };
    enum {
        COUNT = sizeof fields / sizeof fields[0]
    };
    struct api_model model = body_model(false, 64);
    uint64_t salts[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        char body[256];
        struct api_job *job;
        struct api_error error;
        snprintf(body, sizeof body, USER "%s}", fields[i]);
        ck_assert_int_eq(job_of(body, &model, &job, &error), OK);
        salts[i] = job->requests[0].cache_salt;
        for (size_t k = 0; k < i; k++)
            ck_assert_uint_ne(salts[i], salts[k]);
        api_job_destroy(job);
    }
    model_fini(&model);
}
END_TEST

#if VALET_CHECKS
START_TEST(refused_allocations_refuse_the_request)
{
    struct api_model model = body_model(true, 128);
    uint64_t blocks = mem_live_blocks();
    for (unsigned n = 1;; n++) {
        struct api_job *job;
        struct api_error error;
        fault_arm(FAULT_ALLOC, n);
        enum base_err rc =
            job_of(CONTENT("[{\"type\":\"text\",\"text\":\"hi\"}]"), &model, &job, &error);
        bool fired = fault_disarm();
        if (!fired) {
            ck_assert_int_eq(rc, OK);
            ck_assert_uint_gt(n, 3);
            api_job_destroy(job);
            break;
        }
        ck_assert_int_eq(rc, E_NOMEM);
        ck_assert_str_eq(api_error_name(error.code), "server_full");
        ck_assert_uint_gt(error.retry_after_ms, 0);
        ck_assert_uint_eq(mem_live_blocks(), blocks);
    }
    model_fini(&model);
}
END_TEST
#endif

int main(void)
{
    TCase *tcase = tcase_create("job");
    tcase_add_test(tcase, a_job_outlives_the_body_it_came_from);
    tcase_add_test(tcase, control_tokens_in_a_message_are_plain_text);
    tcase_add_test(tcase, bos_and_the_default_system_message_come_first);
    tcase_add_test(tcase, the_answer_is_lowered_to_what_fits);
    tcase_add_test(tcase, a_prompt_as_long_as_the_context_is_refused_with_numbers);
    tcase_add_test(tcase, a_given_bos_is_not_doubled);
    tcase_add_test(tcase, an_empty_prompt_is_bos_or_a_newline);
    tcase_add_test(tcase, tasks_are_choices_prompt_by_prompt);
    tcase_add_test(tcase, prompt_logprobs_are_asked_for_by_an_echo);
    tcase_add_test(tcase, an_answer_goes_on_only_behind_a_text);
    tcase_add_test(tcase, different_salts_are_different);
#if VALET_CHECKS
    tcase_add_test(tcase, refused_allocations_refuse_the_request);
#endif
    return suite_run("job", tcase);
}
