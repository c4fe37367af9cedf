/* Chats with several choices and with logprobs. */
#include <jansson.h>
#include <string.h>

#include "answers.h"
#include "base/mem.h"
#include "client.h"
#include "letters.h"
#include "rig.h"
#include "suite.h"

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static const struct rig_options g_wide = { .slots = 4, .blocks = 512, .queue_count_max = 8 };
static const struct rig_options g_one_slot = { .slots = 1, .blocks = 512, .queue_count_max = 8 };

static json_int_t int_at(const json_t *json, const char *key)
{
    return json_integer_value(json_object_get(json, key));
}

START_TEST(choices_come_by_index_and_usage_is_their_sum)
{
    static const char *const texts[] = { "abcd", "bcde", "cdef" };
    struct rig r;
    struct answer a;
    rig_start(&r, _i ? &g_one_slot : &g_wide, SCRIPT_LETTERS);
    client_once_chat(r.port, "{\"n\":3,\"max_tokens\":4," HI "}", &a);
    ck_assert_int_eq(a.status, 200);
    json_t *json = answer_json(&a);
    const json_t *choices = json_object_get(json, "choices");
    ck_assert_uint_eq(json_array_size(choices), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *choice = json_array_get(choices, i);
        ck_assert_int_eq(int_at(choice, "index"), (json_int_t)i);
        ck_assert_str_eq(json_string_at(json_object_get(choice, "message"), "content"), texts[i]);
        ck_assert_str_eq(json_string_at(choice, "finish_reason"), "length");
        ck_assert(json_is_null(json_object_get(choice, "logprobs")));
    }
    const json_t *usage = json_object_get(json, "usage");
    ck_assert_int_eq(int_at(usage, "prompt_tokens"), LETTERS_PROMPT(2));
    ck_assert_int_eq(int_at(usage, "completion_tokens"), 12);
    ck_assert_int_eq(int_at(json_object_get(usage, "prompt_tokens_details"), "cached_tokens"),
                     RIG_CACHED);
    json_decref(json);
    answer_fini(&a);
    ck_assert_uint_eq(rig_counts(&r).starts, 3);
    rig_stop(&r);
}
END_TEST

START_TEST(streamed_choices_interleave)
{
    static const char *const texts[] = { "abcd", "bcde", "cdef" };
    struct rig r;
    struct answer a;
    char got[3][16] = { "" };
    int roles[3] = { 0 };
    int finishes[3] = { 0 };
    int switches = 0;
    json_int_t last = -1;
    rig_start(&r, &g_wide, SCRIPT_LETTERS);
    client_once_chat(r.port, "{\"n\":3,\"stream\":true," HI "}", &a);
    char *at = a.body.data;
    while (strncmp(at, "data: [DONE]", 12) != 0) {
        json_t *chunk = stream_chunk(&at);
        const json_t *choice = json_choice(chunk);
        const json_t *delta = json_object_get(choice, "delta");
        json_int_t index = int_at(choice, "index");
        const char *content = json_string_at(delta, "content");
        ck_assert(index >= 0 && index < 3);
        roles[index] += json_object_get(delta, "role") != NULL;
        finishes[index] += json_is_string(json_object_get(choice, "finish_reason"));
        if (content)
            strcat(got[index], content);
        ck_assert(roles[index] == 1);
        switches += index != last;
        last = index;
        json_decref(chunk);
    }
    for (int i = 0; i < 3; i++) {
        ck_assert_str_eq(got[i], texts[i]);
        ck_assert_int_eq(finishes[i], 1);
    }
    ck_assert_int_ge(switches, 6); /* at least once each, and the finish chunks */
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

START_TEST(logprobs_are_in_the_answer)
{
    struct rig r;
    struct answer a;
    rig_start(&r, &g_wide, SCRIPT_LETTERS);
    client_once_chat(r.port,
                     "{\"max_tokens\":2,\"logprobs\":true,\"top_logprobs\":2,"
                     "\"return_token_ids\":true," HI "}",
                     &a);
    ck_assert_ptr_nonnull(strstr(
        a.body.data, "\"logprobs\":{\"content\":[{\"token\":\"a\",\"logprob\":-0.5,\"bytes\":[97],"
                     "\"top_logprobs\":[{\"token\":\"z\",\"logprob\":-0.125,\"bytes\":[122]},"
                     "{\"token\":\"y\",\"logprob\":-0.25,\"bytes\":[121]}]},"
                     "{\"token\":\"b\",\"logprob\":-0.75,\"bytes\":[98],"
                     "\"top_logprobs\":[{\"token\":\"z\",\"logprob\":-0.125,\"bytes\":[122]},"
                     "{\"token\":\"y\",\"logprob\":-0.25,\"bytes\":[121]}]}],\"refusal\":null},"
                     "\"finish_reason\":\"length\",\"stop_reason\":null,\"token_ids\":[97,98]}"));
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

START_TEST(a_task_books_its_start_and_may_grow)
{
    struct rig r;
    struct answer a;
    rig_start(&r, &g_one_slot, SCRIPT_LETTERS);
    client_once_chat(r.port, "{\"n\":2,\"max_tokens\":100," HI "}", &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    ck_assert_uint_eq(rig_counts(&r).last_units.n[0], 1); /* 21 tokens; 4 blocks at the end */
    ck_assert_uint_eq(rig_counts(&r).last_units.n[1], 1);
    rig_stop(&r);
}
END_TEST

START_TEST(a_failed_choice_fails_the_request)
{
    struct rig r;
    struct answer a;
    struct park_stats stats;
    rig_start(&r, &g_wide, SCRIPT_FAIL_ONE);
    client_once_chat(r.port, "{\"n\":3," HI "}", &a);
    ck_assert_ptr_nonnull(strstr(a.body.data, "the kv cache broke"));
    answer_error(&a, 500, "internal_error");
    client_once_chat(r.port, "{\"n\":3,\"stream\":true," HI "}", &a);
    ck_assert_int_eq(a.status, 200);
    char *at = a.body.data;
    stream_role(&at);
    stream_content(&at, "a");
    while (strncmp(at, "data: {\"error\"", 14) != 0) {
        json_t *chunk = stream_chunk(&at);
        ck_assert(json_is_null(json_object_get(json_choice(chunk), "finish_reason")));
        json_decref(chunk);
    }
    stream_error(&at, "internal_error");
    answer_fini(&a);
    rig_wait_empty(&r, &stats);
    ck_assert_uint_eq(stats.failed, 2);
    rig_stop(&r);
}
END_TEST

START_TEST(a_client_that_leaves_ends_all_choices)
{
    struct rig r;
    struct client c;
    struct park_stats stats;
    struct answer a;
    rig_start(&r, &g_one_slot, SCRIPT_HANG);
    client_open(&c, r.port, 0);
    client_chat(&c, "{\"n\":3,\"stream\":true," HI "}");
    client_wait_for(&c, "\"a\"");
    client_close(&c);
    rig_wait(&r, &r.counts.ends, 1);
    rig_script(&r, SCRIPT_ECHO);
    client_once_chat(r.port, "{" HI "}", &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    rig_wait_empty(&r, &stats);
    ck_assert_uint_eq(stats.cancelled, 1);
    ck_assert_uint_eq(stats.completed, 1);
    ck_assert_uint_eq(rig_counts(&r).starts, 2); /* the other choices never ran */
    rig_stop(&r);
}
END_TEST

START_TEST(choices_count_in_the_queue)
{
    struct rig r;
    struct answer a;
    const struct rig_options small = {
        .slots = 1, .blocks = 512, .queue_count_max = 4, .held = true
    };
    rig_start(&r, &small, SCRIPT_LETTERS);
    client_once_chat(r.port, "{\"n\":6," HI "}", &a);
    answer_error(&a, 429, "queue_full");
    rig_release(&r);
    client_once_chat(r.port, "{\"n\":5," HI "}", &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("choices");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, choices_come_by_index_and_usage_is_their_sum, 0, 2);
    tcase_add_test(tcase, streamed_choices_interleave);
    tcase_add_test(tcase, logprobs_are_in_the_answer);
    tcase_add_test(tcase, a_task_books_its_start_and_may_grow);
    tcase_add_test(tcase, a_failed_choice_fails_the_request);
    tcase_add_test(tcase, a_client_that_leaves_ends_all_choices);
    tcase_add_test(tcase, choices_count_in_the_queue);
    return suite_run("choices", tcase);
}
