#include <jansson.h>
#include <string.h>

#include "answers.h"
#include "base/fault.h"
#include "base/mem.h"
#include "client.h"
#include "letters.h"
#include "rig.h"
#include "suite.h"

#define PATH "/v1/completions"
#define TYPE "Content-Type: application/json\r\n"

static const struct rig_options g_wide = { .slots = 8, .blocks = 512, .queue_count_max = 64 };

static void complete(struct rig *r, const char *body, struct answer *a)
{
    client_once(r->port, "POST", PATH, TYPE, body, a);
}

static json_int_t int_at(const json_t *json, const char *key)
{
    return json_integer_value(json_object_get(json, key));
}

START_TEST(a_text_is_continued)
{
    struct rig r;
    struct answer a;
    char ticket[64];
    rig_start(&r, &g_wide, SCRIPT_LETTERS);
    complete(&r, "{\"model\":\"org/m\",\"prompt\":\"hello\",\"seed\":3}", &a);
    ck_assert_int_eq(a.status, 200);
    ck_assert(answer_field(&a, "X-Valet-Ticket", ticket, sizeof ticket));
    json_t *json = answer_json(&a);
    ck_assert_int_eq(strncmp(json_string_at(json, "id"), "cmpl-", 5), 0);
    ck_assert_uint_eq(strlen(json_string_at(json, "id")), 5 + 26);
    ck_assert_str_eq(json_string_at(json, "object"), "text_completion");
    ck_assert_str_eq(json_string_at(json_choice(json), "text"), "abcd");
    ck_assert_str_eq(json_string_at(json_choice(json), "finish_reason"), "stop");
    const json_t *usage = json_object_get(json, "usage");
    ck_assert_int_eq(int_at(usage, "prompt_tokens"), 5);
    ck_assert_int_eq(int_at(usage, "completion_tokens"), 5);
    ck_assert_int_eq(int_at(json_object_get(usage, "prompt_tokens_details"), "cached_tokens"),
                     RIG_CACHED);
    json_decref(json);
    answer_fini(&a);
    ck_assert_int_eq(rig_counts(&r).last_max_new, 16);
    ck_assert_uint_eq(rig_counts(&r).last_seed, 3);
    rig_stop(&r);
}
END_TEST

START_TEST(control_tokens_in_a_prompt_are_parsed_unless_told_otherwise)
{
    static const struct {
        const char *body;
        json_int_t tokens;
    } rows[] = {
        { "{\"prompt\":\"a<|im_end|>\"}", 2 },
        { "{\"prompt\":\"a<|im_end|>\",\"parse_special\":false}", 11 },
        { "{\"prompt\":\"\"}", 1 },
        { "{\"prompt\":[97,98,99]}", 3 },
    };
    struct rig r;
    rig_start(&r, &g_wide, SCRIPT_LETTERS);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer a;
        complete(&r, rows[i].body, &a);
        json_t *json = answer_json(&a);
        ck_assert_int_eq(int_at(json_object_get(json, "usage"), "prompt_tokens"), rows[i].tokens);
        json_decref(json);
        answer_fini(&a);
    }
    rig_stop(&r);
}
END_TEST

/* A harness adds up what stands between the context and the last entry, which it drops. */
START_TEST(an_evaluation_gets_the_logprobs_of_its_prompt)
{
    struct rig r;
    struct answer a;
    rig_start(&r, &g_wide, SCRIPT_LETTERS);
    complete(&r,
             "{\"model\":\"org/m\",\"prompt\":[[104,105,122],[97,98]],\"temperature\":0,"
             "\"max_tokens\":1,\"logprobs\":1,\"echo\":true,\"seed\":1234}",
             &a);
    ck_assert_int_eq(a.status, 200);
    ck_assert_ptr_nonnull(strstr(
        a.body.data,
        "\"choices\":[{\"text\":\"hiza\",\"index\":0,\"logprobs\":{\"tokens\":[\"h\",\"i\",\"z\","
        "\"a\"],\"token_logprobs\":[null,-1,-2,-0.5],\"top_logprobs\":[null,"
        "{\"z\":-0.125,\"i\":-1},{\"z\":-0.125},{\"z\":-0.125,\"a\":-0.5}],"
        "\"text_offset\":[0,1,2,3]},\"finish_reason\":\"length\",\"stop_reason\":null},"
        "{\"text\":\"abb\",\"index\":1,\"logprobs\":{\"tokens\":[\"a\",\"b\",\"b\"],"
        "\"token_logprobs\":[null,-1,-1],"));
    ck_assert_ptr_nonnull(strstr(a.body.data, "{\"prompt_tokens\":5,\"completion_tokens\":2,"));
    answer_fini(&a);
    complete(&r, "{\"prompt\":[104,105],\"max_tokens\":0,\"logprobs\":0,\"echo\":true}", &a);
    ck_assert_ptr_nonnull(strstr(a.body.data,
                                 "[{\"text\":\"hi\",\"index\":0,\"logprobs\":{\"tokens\":[\"h\","
                                 "\"i\"],\"token_logprobs\":[null,-1],\"top_logprobs\":[null,"
                                 "{\"i\":-1}],\"text_offset\":[0,1]},\"finish_reason\":"
                                 "\"length\",\"stop_reason\":null}]"));
    ck_assert_ptr_nonnull(strstr(a.body.data, "\"completion_tokens\":0,"));
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

START_TEST(prompts_and_choices_are_numbered_prompt_by_prompt)
{
    static const char *const texts[] = { "xab", "xbc", "yzcd", "yzde", "ef", "fg" };
    struct rig r;
    struct answer a;
    rig_start(&r, &g_wide, SCRIPT_LETTERS);
    complete(&r, "{\"prompt\":[\"x\",\"yz\",\"\"],\"n\":2,\"echo\":true,\"max_tokens\":2}", &a);
    ck_assert_int_eq(a.status, 200);
    json_t *json = answer_json(&a);
    const json_t *choices = json_object_get(json, "choices");
    ck_assert_uint_eq(json_array_size(choices), 6);
    for (size_t i = 0; i < 6; i++) {
        const json_t *choice = json_array_get(choices, i);
        ck_assert_int_eq(int_at(choice, "index"), (json_int_t)i);
        ck_assert_str_eq(json_string_at(choice, "text"), texts[i]);
    }
    const json_t *usage = json_object_get(json, "usage");
    ck_assert_int_eq(int_at(usage, "prompt_tokens"), 4);
    ck_assert_int_eq(int_at(usage, "completion_tokens"), 12);
    /* the first choices are tasks 0, 2 and 4 */
    ck_assert_int_eq(int_at(json_object_get(usage, "prompt_tokens_details"), "cached_tokens"),
                     3 * RIG_CACHED + 6);
    json_decref(json);
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

START_TEST(a_stream_echoes_first_and_finishes_every_choice)
{
    struct rig r;
    struct answer a;
    char got[2][16] = { "" };
    int finishes = 0;
    rig_start(&r, &g_wide, SCRIPT_LETTERS);
    complete(&r,
             "{\"prompt\":[\"x\",\"y\"],\"echo\":true,\"stream\":true,"
             "\"stream_options\":{\"include_usage\":true}}",
             &a);
    ck_assert_int_eq(a.status, 200);
    char *at = a.body.data;
    for (;;) {
        json_t *chunk = stream_chunk(&at);
        ck_assert_str_eq(json_string_at(chunk, "object"), "text_completion");
        if (json_array_size(json_object_get(chunk, "choices")) == 0) {
            ck_assert_int_eq(int_at(json_object_get(chunk, "usage"), "total_tokens"), 12);
            json_decref(chunk);
            break;
        }
        const json_t *choice = json_choice(chunk);
        strcat(got[int_at(choice, "index")], json_string_at(choice, "text"));
        finishes += json_is_string(json_object_get(choice, "finish_reason"));
        json_decref(chunk);
    }
    ck_assert_str_eq(stream_data(&at), "[DONE]");
    ck_assert_str_eq(at, "");
    ck_assert_str_eq(got[0], "xabcd");
    ck_assert_str_eq(got[1], "ybcde");
    ck_assert_int_eq(finishes, 2);
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

START_TEST(the_best_of_several_is_shown)
{
    struct rig r;
    struct answer a;
    rig_start(&r, &g_wide, SCRIPT_LETTERS);
    complete(&r, "{\"prompt\":\"x\",\"n\":1,\"best_of\":3,\"max_tokens\":2}", &a);
    json_t *json = answer_json(&a);
    ck_assert_str_eq(json_string_at(json_choice(json), "text"), "ab");
    ck_assert(json_is_null(json_object_get(json_choice(json), "logprobs")));
    ck_assert_int_eq(int_at(json_object_get(json, "usage"), "completion_tokens"), 6);
    json_decref(json);
    answer_fini(&a);
    ck_assert_uint_eq(rig_counts(&r).starts, 3);
    rig_stop(&r);
}
END_TEST

START_TEST(wrong_requests_name_their_field)
{
    static const struct {
        const char *body;
        int status;
        const char *code;
        const char *has;
    } rows[] = {
        { "{\"prompt\":[\"a\",1]}", 400, "invalid_value", "\"param\":\"prompt[1]\"" },
        { "{\"prompt\":\"a\",\"model\":\"x\"}", 404, "model_not_found", "\"param\":\"model\"" },
        { "{\"prompt\":\"a\",\"suffix\":\"b\"}", 400, "unsupported_parameter", "suffix" },
    };
    struct rig r;
    struct answer a;
    struct base_buf body;
    rig_start(&r, &g_wide, SCRIPT_LETTERS);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        complete(&r, rows[i].body, &a);
        ck_assert_ptr_nonnull(strstr(a.body.data, rows[i].has));
        answer_error(&a, rows[i].status, rows[i].code);
    }
    buf_init(&body, MEM_API, 1 << 16);
    buf_printf(&body, "{\"prompt\":[\"a\",\"%0*d\"]}", RIG_CONTEXT, 0);
    complete(&r, body.data, &a);
    ck_assert_ptr_nonnull(strstr(a.body.data, "\"param\":\"prompt[1]\""));
    answer_error(&a, 400, "context_length_exceeded");
    buf_fini(&body);
    rig_not_ready(&r, "draining");
    complete(&r, "{\"prompt\":\"a\"}", &a);
    answer_error(&a, 503, "draining");
    rig_stop(&r);
}
END_TEST

START_TEST(a_failed_task_fails_the_request)
{
    struct rig r;
    struct answer a;
    rig_start(&r, &g_wide, SCRIPT_FAIL_ONE);
    complete(&r, "{\"prompt\":[\"a\",\"b\",\"c\"]}", &a);
    answer_error(&a, 500, "internal_error");
    rig_stop(&r);
}
END_TEST

START_TEST(a_client_that_leaves_ends_all_tasks)
{
    struct rig r;
    struct client c;
    struct park_stats stats;
    rig_start(&r, &g_wide, SCRIPT_HANG);
    client_open(&c, r.port, 0);
    client_send(&c, "POST", PATH, TYPE, "{\"prompt\":[\"a\",\"b\"],\"stream\":true}");
    client_wait_for(&c, "\"a\"");
    client_close(&c);
    rig_wait_empty(&r, &stats);
    ck_assert_uint_eq(stats.cancelled, 1);
    rig_stop(&r);
}
END_TEST

/* A long prompt with everything asked for comes through a ring that is far smaller. */
START_TEST(a_long_echo_comes_through)
{
    struct rig r;
    struct answer a;
    struct base_buf body;
    rig_start(&r, &g_wide, SCRIPT_LETTERS);
    buf_init(&body, MEM_API, 1 << 20);
    buf_printf(&body, "{\"prompt\":\"%0*d\",\"echo\":true,\"logprobs\":20,\"max_tokens\":1%s}",
               RIG_CONTEXT - 2, 0, _i ? ",\"stream\":true" : "");
    complete(&r, body.data, &a);
    ck_assert_int_eq(a.status, 200);
    if (_i) {
        size_t count = 0;
        for (char *at = a.body.data; strncmp(at, "data: [DONE]", 12) != 0; count++)
            stream_data(&at);
        ck_assert_uint_eq(count, RIG_CONTEXT);
    } else {
        json_t *json = answer_json(&a);
        const json_t *logprobs = json_object_get(json_choice(json), "logprobs");
        ck_assert_uint_eq(json_array_size(json_object_get(logprobs, "tokens")), RIG_CONTEXT - 1);
        ck_assert_uint_eq(json_array_size(json_object_get(logprobs, "top_logprobs")),
                          RIG_CONTEXT - 1);
        json_decref(json);
    }
    answer_fini(&a);
    buf_fini(&body);
    rig_stop(&r);
}
END_TEST

#if VALET_CHECKS
/* Each allocation on the way fails once: an answer or a cut connection, and nothing left. */
START_TEST(refused_allocations_end_one_request)
{
    static const char *const bodies[] = {
        "{\"prompt\":[\"x\",\"y\"],\"n\":2,\"echo\":true,\"logprobs\":2,\"stop\":\"q\"}",
        "{\"prompt\":[\"x\",\"y\"],\"n\":2,\"echo\":true,\"logprobs\":2,\"stream\":true}",
    };
    struct rig r;
    rig_start(&r, &g_wide, SCRIPT_LETTERS);
    unsigned refused = 0;
    bool fired = true;
    for (unsigned n = 1; fired; n++) {
        char answer[16384];
        struct client c;
        client_open(&c, r.port, 0);
        fault_arm(FAULT_ALLOC, n);
        client_raw(&c, PATH, bodies[_i], answer, sizeof answer);
        fired = fault_disarm();
        client_close(&c);
        refused += strstr(answer, "server_full") != NULL;
        if (!fired)
            ck_assert_ptr_nonnull(strstr(answer, "text_completion"));
    }
    ck_assert_uint_gt(refused, 3);
    rig_stop(&r);
}
END_TEST
#endif

int main(void)
{
    TCase *tcase = tcase_create("completion");
    tcase_set_timeout(tcase, 100);
    tcase_add_test(tcase, a_text_is_continued);
    tcase_add_test(tcase, control_tokens_in_a_prompt_are_parsed_unless_told_otherwise);
    tcase_add_test(tcase, an_evaluation_gets_the_logprobs_of_its_prompt);
    tcase_add_test(tcase, prompts_and_choices_are_numbered_prompt_by_prompt);
    tcase_add_test(tcase, a_stream_echoes_first_and_finishes_every_choice);
    tcase_add_test(tcase, the_best_of_several_is_shown);
    tcase_add_test(tcase, wrong_requests_name_their_field);
    tcase_add_test(tcase, a_failed_task_fails_the_request);
    tcase_add_test(tcase, a_client_that_leaves_ends_all_tasks);
    tcase_add_loop_test(tcase, a_long_echo_comes_through, 0, 2);
#if VALET_CHECKS
    tcase_add_loop_test(tcase, refused_allocations_end_one_request, 0, 2);
#endif
    return suite_run("completion", tcase);
}
