#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/mem.h"
#include "answers.h"
#include "client.h"
#include "letters.h"
#include "rig.h"
#include "suite.h"

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define PLAIN "{" HI "}"
#define STREAM "{" HI ",\"stream\":true}"

static const struct rig_options g_wide = { .slots = 2, .blocks = 512, .queue_count_max = 8 };
static const struct rig_options g_narrow = {
    .slots = 1, .blocks = 128, .queue_count_max = 1, .held = true
};

/* ---- helpers ---- */

/* Queued and running as the server says; everything asked for before has been done. */
static void expect_pool(const struct rig *r, json_int_t queued, json_int_t running)
{
    struct answer a;
    client_once(r->port, "GET", "/pools/chat", "", NULL, &a);
    json_t *json = answer_json(&a);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "queued")), queued);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "running")), running);
    json_decref(json);
    answer_fini(&a);
}

/* Sends a chat and comes back once it has been submitted (`nth` of this rig) or refused. */
static void submit(struct rig *r, struct client *c, const char *body, unsigned nth)
{
    client_open(c, r->port, 0);
    client_chat(c, body);
    rig_wait(r, &r->counts.arrivals, nth);
}

/* ---- answers ---- */

START_TEST(a_plain_answer_is_one_completion)
{
    struct rig r;
    struct answer a;
    char ticket[64];
    rig_start(&r, &g_wide, SCRIPT_ECHO);
    client_once_chat(r.port, "{\"model\":\"org/m\",\"seed\":-5,\"max_tokens\":7," HI "}", &a);
    ck_assert_int_eq(a.status, 200);
    ck_assert(answer_field(&a, "X-Valet-Ticket", ticket, sizeof ticket));
    ck_assert_int_eq(strncmp(ticket, "tkt_", 4), 0);
    json_t *json = answer_json(&a);
    ck_assert_int_eq(strncmp(json_string_at(json, "id"), "chatcmpl-", 9), 0);
    ck_assert_uint_eq(strlen(json_string_at(json, "id")), 9 + 26);
    ck_assert_str_eq(json_string_at(json, "object"), "chat.completion");
    ck_assert_str_eq(json_string_at(json, "model"), "org/m");
    ck_assert_str_eq(json_string_at(json, "system_fingerprint"), "b0");
    ck_assert_str_eq(json_string_at(json_choice(json), "finish_reason"), "stop");
    const json_t *message = json_object_get(json_choice(json), "message");
    ck_assert_str_eq(json_string_at(message, "content"), "n=21 \xc3\xa9\xf0\x9f\x98\x80");
    const json_t *usage = json_object_get(json, "usage");
    ck_assert_int_eq(json_integer_value(json_object_get(usage, "prompt_tokens")),
                     LETTERS_PROMPT(2));
    ck_assert_int_eq(json_integer_value(json_object_get(usage, "total_tokens")),
                     LETTERS_PROMPT(2) + 4);
    json_decref(json);
    answer_fini(&a);
    ck_assert_uint_eq(rig_counts(&r).last_seed, (uint64_t)-5);
    ck_assert_int_eq(rig_counts(&r).last_max_new, 7);
    rig_stop(&r);
}
END_TEST

START_TEST(a_stream_comes_in_order)
{
    struct rig r;
    struct answer a;
    char value[64];
    rig_start(&r, &g_wide, SCRIPT_ECHO);
    client_once_chat(r.port, "{" HI ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
                     &a);
    ck_assert_int_eq(a.status, 200);
    ck_assert(answer_field(&a, "Content-Type", value, sizeof value));
    ck_assert_str_eq(value, "text/event-stream; charset=utf-8");
    ck_assert(answer_field(&a, "Cache-Control", value, sizeof value));
    ck_assert_str_eq(value, "no-cache, no-transform");
    ck_assert(answer_field(&a, "X-Accel-Buffering", value, sizeof value));
    ck_assert_str_eq(value, "no");
    ck_assert(answer_field(&a, "X-Valet-Ticket", value, sizeof value));
    char *at = a.body.data;
    stream_role(&at);
    stream_content(&at, "n=21 ");
    stream_content(&at, "\xc3\xa9");
    stream_content(&at, "\xf0\x9f\x98\x80");
    json_t *finish = stream_chunk(&at);
    ck_assert_str_eq(json_string_at(json_choice(finish), "finish_reason"), "stop");
    ck_assert_uint_eq(json_object_size(json_object_get(json_choice(finish), "delta")), 0);
    json_decref(finish);
    json_t *usage = stream_chunk(&at);
    ck_assert_uint_eq(json_array_size(json_object_get(usage, "choices")), 0);
    ck_assert_int_eq(
        json_integer_value(json_object_get(json_object_get(usage, "usage"), "completion_tokens")),
        4);
    json_decref(usage);
    ck_assert_str_eq(stream_data(&at), "[DONE]");
    ck_assert_str_eq(at, "");
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

START_TEST(an_answer_cut_by_length_says_so)
{
    struct rig r;
    struct answer a;
    rig_start(&r, &g_wide, SCRIPT_LENGTH);
    client_once_chat(r.port, PLAIN, &a);
    json_t *json = answer_json(&a);
    ck_assert_str_eq(json_string_at(json_choice(json), "finish_reason"), "length");
    json_decref(json);
    answer_fini(&a);
    ck_assert_int_eq(rig_counts(&r).last_max_new, RIG_CONTEXT - LETTERS_PROMPT(2));
    rig_stop(&r);
}
END_TEST

START_TEST(a_connection_serves_one_chat_after_the_other)
{
    struct rig r;
    struct client c;
    rig_start(&r, &g_wide, SCRIPT_ECHO);
    client_open(&c, r.port, 0);
    client_chat(&c, STREAM);
    client_chat(&c, PLAIN); /* pipelined */
    for (int i = 0; i < 2; i++) {
        struct answer a;
        client_read(&c, false, &a);
        ck_assert_int_eq(a.status, 200);
        ck_assert_ptr_nonnull(strstr(a.body.data, "n=21 "));
        answer_fini(&a);
    }
    client_close(&c);
    rig_stop(&r);
}
END_TEST

START_TEST(a_seed_is_drawn_when_none_is_given)
{
    struct rig r;
    uint64_t seeds[2];
    rig_start(&r, &g_wide, SCRIPT_ECHO);
    for (int i = 0; i < 2; i++) {
        struct answer a;
        client_once_chat(r.port, PLAIN, &a);
        answer_fini(&a);
        seeds[i] = rig_counts(&r).last_seed;
    }
    ck_assert_uint_ne(seeds[0], seeds[1]);
    rig_stop(&r);
}
END_TEST

START_TEST(wrong_requests_never_reach_the_lot)
{
    struct rig r;
    struct answer a;
    struct park_stats stats;
    rig_start(&r, &g_wide, SCRIPT_ECHO);
    client_once_chat(r.port, "{\"temperature\":3," HI "}", &a);
    answer_error(&a, 400, "invalid_value");
    client_once_chat(r.port, "{\"model\":\"gpt\"," HI "}", &a);
    ck_assert_ptr_nonnull(strstr(a.body.data, "\"param\":\"model\""));
    answer_error(&a, 404, "model_not_found");
    rig_wait_empty(&r, &stats);
    ck_assert_uint_eq(stats.submitted, 0);
    rig_stop(&r);
}
END_TEST

START_TEST(what_never_fits_the_pool_is_oversize)
{
    struct rig r;
    struct answer a;
    const struct rig_options small = { .slots = 1, .blocks = 4, .queue_count_max = 1 };
    rig_start(&r, &small, SCRIPT_ECHO);
    client_once_chat(r.port, PLAIN, &a);
    ck_assert_ptr_nonnull(
        strstr(a.body.data,
               "the prompt with max_completion_tokens needs 128 kv_blocks, the server has 4"));
    answer_error(&a, 400, "oversize");
    rig_stop(&r);
}
END_TEST

/* ---- overload ---- */

START_TEST(a_full_queue_is_429_with_a_time_to_come_back)
{
    struct rig r;
    struct client running;
    struct client queued;
    struct answer a;
    struct api_stats stats;
    rig_start(&r, &g_narrow, SCRIPT_ECHO);
    submit(&r, &running, PLAIN, 1);
    submit(&r, &queued, STREAM, 2);
    expect_pool(&r, 1, 1);
    client_once_chat(r.port, STREAM, &a);
    json_t *json = answer_json(&a);
    json_t *error = json_object_get(json, "error");
    ck_assert_str_eq(json_string_at(error, "type"), "rate_limit_error");
    ck_assert_int_ge(json_integer_value(json_object_get(error, "retry_after_ms")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(error, "queue_depth")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(error, "position")), 2);
    json_decref(json);
    answer_error(&a, 429, "queue_full");
    rig_release(&r);
    client_read(&running, false, &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    client_read(&queued, false, &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    client_close(&running);
    client_close(&queued);
    rig_stop_with_stats(&r, &stats);
    ck_assert_uint_eq(stats.refused_queue_full, 1);
    ck_assert_uint_eq(stats.status[2], 3); /* and one look at the pool */
    ck_assert_uint_eq(stats.status[4], 1);
}
END_TEST

START_TEST(nothing_is_taken_before_the_server_is_ready)
{
    struct rig r;
    struct answer a;
    rig_start(&r, &g_wide, SCRIPT_ECHO);
    rig_not_ready(&r, "loading");
    client_once_chat(r.port, PLAIN, &a);
    answer_error(&a, 503, "not_ready");
    rig_not_ready(&r, "draining");
    client_once_chat(r.port, STREAM, &a);
    answer_error(&a, 503, "draining");
    rig_not_ready(&r, NULL);
    client_once_chat(r.port, PLAIN, &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

START_TEST(a_drain_drops_what_waits_and_ends_what_runs)
{
    struct rig r;
    struct client running;
    struct client queued;
    struct answer a;
    rig_start(&r, &g_narrow, SCRIPT_HANG);
    submit(&r, &running, STREAM, 1);
    submit(&r, &queued, PLAIN, 2);
    expect_pool(&r, 1, 1);
    rig_release(&r);
    client_wait_for(&running, "\"a\"");
    park_drain(r.pool, PARK_DRAIN_FINISH_RUNNING, 0);
    client_read(&queued, false, &a);
    answer_error(&a, 503, "draining");
    client_once_chat(r.port, PLAIN, &a);
    answer_error(&a, 503, "draining");
    ck_assert_int_eq(park_drain(r.pool, PARK_DRAIN_NOW, 20000), PARK_OK);
    client_read(&running, false, &a);
    ck_assert_int_eq(a.status, 200);
    char *at = a.body.data;
    stream_role(&at);
    stream_content(&at, "a");
    stream_error(&at, "draining");
    answer_fini(&a);
    client_close(&running);
    client_close(&queued);
    rig_stop(&r);
}
END_TEST

START_TEST(a_plain_answer_cancelled_by_shutdown_is_503)
{
    struct rig r;
    struct client c;
    struct answer a;
    rig_start(&r, &g_wide, SCRIPT_HANG);
    submit(&r, &c, PLAIN, 1);
    rig_wait(&r, &r.counts.starts, 1);
    park_drain(r.pool, PARK_DRAIN_NOW, 20000);
    client_read(&c, false, &a);
    answer_error(&a, 503, "draining");
    client_close(&c);
    rig_stop(&r);
}
END_TEST

/* ---- failures ---- */

START_TEST(a_failed_task_is_500)
{
    static const struct {
        enum script script;
        const char *body;
    } rows[] = {
        { SCRIPT_FAIL_EARLY, PLAIN }, { SCRIPT_FAIL_EARLY, STREAM }, { SCRIPT_FAIL_LATE, PLAIN },
        { SCRIPT_NO_FINISH, PLAIN },  { SCRIPT_BAD_EVENT, PLAIN },
    };
    struct rig r;
    rig_start(&r, &g_wide, SCRIPT_ECHO);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer a;
        rig_script(&r, rows[i].script);
        client_once_chat(r.port, rows[i].body, &a);
        if (rows[i].script != SCRIPT_NO_FINISH && rows[i].script != SCRIPT_BAD_EVENT)
            ck_assert_ptr_nonnull(strstr(a.body.data, "the kv cache broke"));
        char ticket[64];
        ck_assert(answer_field(&a, "X-Valet-Ticket", ticket, sizeof ticket));
        answer_error(&a, 500, "internal_error");
        rig_wait(&r, &r.counts.ends, (unsigned)i + 1);
    }
    rig_stop(&r);
}
END_TEST

START_TEST(a_stream_that_fails_ends_with_an_error_event)
{
    static const enum script scripts[] = { SCRIPT_FAIL_LATE, SCRIPT_NO_FINISH, SCRIPT_BAD_EVENT };
    struct rig r;
    rig_start(&r, &g_wide, SCRIPT_ECHO);
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        struct answer a;
        rig_script(&r, scripts[i]);
        client_once_chat(r.port, STREAM, &a);
        ck_assert_int_eq(a.status, 200);
        char *at = a.body.data;
        stream_role(&at);
        if (scripts[i] == SCRIPT_FAIL_LATE)
            stream_content(&at, "a");
        stream_error(&at, "internal_error");
        answer_fini(&a);
        rig_wait(&r, &r.counts.ends, (unsigned)i + 1);
    }
    rig_stop(&r);
}
END_TEST

/* ---- clients that leave ---- */

START_TEST(a_client_that_leaves_the_queue_never_runs)
{
    struct rig r;
    struct client running;
    struct client queued;
    struct park_stats stats;
    struct answer a;
    rig_start(&r, &g_narrow, SCRIPT_ECHO);
    submit(&r, &running, PLAIN, 1);
    submit(&r, &queued, _i ? STREAM : PLAIN, 2);
    expect_pool(&r, 1, 1);
    client_close(&queued);
    /* the place is free again: a third finds room once the second has left */
    do {
        client_once(r.port, "GET", "/pools/chat", "", NULL, &a);
        json_t *json = answer_json(&a);
        json_int_t waiting = json_integer_value(json_object_get(json, "queued"));
        json_decref(json);
        answer_fini(&a);
        if (!waiting)
            break;
    } while (true);
    rig_release(&r);
    client_read(&running, false, &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    client_close(&running);
    rig_wait_empty(&r, &stats);
    ck_assert_uint_eq(stats.cancelled, 1);
    ck_assert_uint_eq(stats.completed, 1);
    ck_assert_uint_eq(rig_counts(&r).starts, 1);
    rig_stop(&r);
}
END_TEST

START_TEST(a_client_that_leaves_frees_the_engine)
{
    static const struct {
        enum script script;
        const char *body;
        const char *seen; /* before it leaves */
    } rows[] = {
        { SCRIPT_HANG, STREAM, "\"a\"" },
        { SCRIPT_HANG, PLAIN, NULL },
        { SCRIPT_SILENT, STREAM, NULL },
        { SCRIPT_FLOOD, STREAM, "xxx" },
    };
    struct rig r;
    struct client c;
    struct park_stats stats;
    struct api_stats api;
    rig_start(&r, &g_wide, rows[_i].script);
    submit(&r, &c, rows[_i].body, 1);
    rig_wait(&r, &r.counts.starts, 1);
    if (rows[_i].seen)
        client_wait_for(&c, rows[_i].seen);
    client_close(&c);
    rig_wait(&r, &r.counts.ends, 1);
    ck_assert_int_eq(rig_counts(&r).last_reason, PARK_REASON_DISCONNECT);
    struct answer a;
    rig_script(&r, SCRIPT_ECHO);
    client_once_chat(r.port, PLAIN, &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    rig_wait_empty(&r, &stats);
    ck_assert_uint_eq(stats.cancelled, 1);
    rig_stop_with_stats(&r, &api);
    ck_assert_uint_eq(api.disconnects, 1);
    ck_assert_uint_eq(api.streams, 0);
    ck_assert_uint_eq(api.requests, 2);
    ck_assert_uint_eq(api.status[2], 1);
}
END_TEST

START_TEST(a_crowd_that_leaves_at_once_leaves_nothing)
{
    enum {
        CROWD = 100
    };
    struct rig r;
    struct client crowd[CROWD];
    struct park_stats stats;
    struct answer a;
    const struct rig_options wide = { .slots = 1, .blocks = 512, .queue_count_max = 200 };
    rig_start(&r, &wide, SCRIPT_HANG);
    for (int i = 0; i < CROWD; i++)
        submit(&r, &crowd[i], i % 2 ? PLAIN : STREAM, (unsigned)i + 1);
    for (int i = 0; i < CROWD; i++)
        client_close(&crowd[i]);
    rig_script(&r, SCRIPT_ECHO);
    client_once_chat(r.port, STREAM, &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    rig_wait_empty(&r, &stats);
    ck_assert_uint_eq(stats.submitted, CROWD + 1);
    ck_assert_uint_eq(stats.cancelled + stats.completed, CROWD + 1);
    rig_stop(&r);
}
END_TEST

START_TEST(closing_the_server_ends_everything)
{
    struct rig r;
    struct client running;
    struct client queued;
    rig_start(&r, &g_narrow, SCRIPT_HANG);
    submit(&r, &running, STREAM, 1);
    submit(&r, &queued, STREAM, 2);
    expect_pool(&r, 1, 1);
    rig_release(&r);
    client_wait_for(&running, "\"a\"");
    buf_fini(&running.in); /* rig_stop looks for memory that is left */
    rig_stop(&r);
    client_close(&running);
    client_close(&queued);
}
END_TEST

/* ---- slow readers ---- */

START_TEST(a_slow_reader_pauses_its_task_and_gets_everything)
{
    struct rig r;
    struct client c;
    struct answer a;
    rig_start(&r, &g_wide, SCRIPT_FLOOD);
    client_open(&c, r.port, 4096);
    client_chat(&c, STREAM);
    rig_wait(&r, &r.counts.fulls, RIG_STUCK); /* output buffer and ring stay full */
    ck_assert_uint_eq(rig_counts(&r).ends, 0);
    client_read(&c, false, &a);
    size_t count = 0;
    char *at = a.body.data;
    stream_role(&at);
    for (; strncmp(at, "data: [DONE]", 12) != 0; count++)
        stream_data(&at);
    ck_assert_uint_eq(count, RIG_FLOOD_COUNT + 1);
    answer_fini(&a);
    client_close(&c);
    rig_stop(&r);
}
END_TEST

START_TEST(a_slow_reader_that_leaves_frees_the_engine)
{
    struct rig r;
    struct client c;
    struct park_stats stats;
    rig_start(&r, &g_wide, SCRIPT_FLOOD);
    client_open(&c, r.port, 4096);
    client_chat(&c, STREAM);
    rig_wait(&r, &r.counts.fulls, RIG_STUCK);
    client_close(&c);
    rig_wait(&r, &r.counts.ends, 1);
    rig_wait_empty(&r, &stats);
    ck_assert_uint_eq(stats.cancelled, 1);
    rig_stop(&r);
}
END_TEST

/* ---- no memory ---- */

#if VALET_CHECKS
/* Each allocation on the way fails once: an answer or a cut connection, and nothing left. */
START_TEST(refused_allocations_end_one_request)
{
    struct rig r;
    const char *body = _i ? STREAM : PLAIN;
    rig_start(&r, &g_wide, SCRIPT_ECHO);
    unsigned refused = 0;
    bool fired = true;
    for (unsigned n = 1; fired; n++) {
        char answer[8192];
        struct client c;
        client_open(&c, r.port, 0);
        fault_arm(FAULT_ALLOC, n);
        client_raw(&c, "/v1/chat/completions", body, answer, sizeof answer);
        fired = fault_disarm();
        client_close(&c);
        refused += strstr(answer, "server_full") != NULL;
        if (!fired)
            ck_assert_ptr_nonnull(strstr(answer, "n=21 "));
    }
    ck_assert_uint_gt(refused, 3);
    rig_stop(&r);
}
END_TEST
#endif

int main(void)
{
    TCase *tcase = tcase_create("chat");
    tcase_set_timeout(tcase, 100);
    tcase_add_test(tcase, a_plain_answer_is_one_completion);
    tcase_add_test(tcase, a_stream_comes_in_order);
    tcase_add_test(tcase, an_answer_cut_by_length_says_so);
    tcase_add_test(tcase, a_connection_serves_one_chat_after_the_other);
    tcase_add_test(tcase, a_seed_is_drawn_when_none_is_given);
    tcase_add_test(tcase, wrong_requests_never_reach_the_lot);
    tcase_add_test(tcase, what_never_fits_the_pool_is_oversize);
    tcase_add_test(tcase, a_full_queue_is_429_with_a_time_to_come_back);
    tcase_add_test(tcase, nothing_is_taken_before_the_server_is_ready);
    tcase_add_test(tcase, a_drain_drops_what_waits_and_ends_what_runs);
    tcase_add_test(tcase, a_plain_answer_cancelled_by_shutdown_is_503);
    tcase_add_test(tcase, a_failed_task_is_500);
    tcase_add_test(tcase, a_stream_that_fails_ends_with_an_error_event);
    tcase_add_loop_test(tcase, a_client_that_leaves_the_queue_never_runs, 0, 2);
    tcase_add_loop_test(tcase, a_client_that_leaves_frees_the_engine, 0, 4);
    tcase_add_test(tcase, a_crowd_that_leaves_at_once_leaves_nothing);
    tcase_add_test(tcase, closing_the_server_ends_everything);
    tcase_add_test(tcase, a_slow_reader_pauses_its_task_and_gets_everything);
    tcase_add_test(tcase, a_slow_reader_that_leaves_frees_the_engine);
#if VALET_CHECKS
    tcase_add_loop_test(tcase, refused_allocations_end_one_request, 0, 2);
#endif
    return suite_run("chat", tcase);
}
