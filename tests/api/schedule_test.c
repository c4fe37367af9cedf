/* When a request is to run: priority, deadline and times, from headers and body to the lot. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "answers.h"
#include "client.h"
#include "rig.h"
#include "suite.h"

#define JSON_TYPE "Content-Type: application/json\r\n"
#define CHAT_PATH "/v1/chat/completions"
#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define PLAIN "{" HI "}"
#define BEARER(key) "Authorization: Bearer " key "\r\n"

static const struct rig_key g_keys[] = {
    { "critical", { .tenant = "a", .scopes = API_SCOPE_INFER } },
    { "normal", { .tenant = "b", .scopes = API_SCOPE_INFER, .class_max = PARK_CLASS_NORMAL } },
    { "low", { .tenant = "c", .scopes = API_SCOPE_INFER, .class_max = PARK_CLASS_LOW } },
};

static const struct rig_options g_wide = { .slots = 2, .blocks = 512, .queue_count_max = 8 };

static void post(struct rig *r, const char *fields, const char *body, struct answer *out)
{
    char all[512];
    snprintf(all, sizeof all, "%s%s", JSON_TYPE, fields);
    client_once(r->port, "POST", CHAT_PATH, all, body, out);
}

START_TEST(a_class_reaches_the_lot_and_is_answered)
{
    static const struct {
        const char *fields;
        const char *body;
        enum park_class klass;
        const char *tier; /* in the answer */
        bool clamped;
    } rows[] = {
        { BEARER("critical"), PLAIN, PARK_CLASS_NORMAL, "default", false },
        { BEARER("critical") "X-Valet-Priority: critical\r\n", PLAIN, PARK_CLASS_CRITICAL,
          "default", false },
        { BEARER("critical") "x-valet-priority: low\r\n", PLAIN, PARK_CLASS_LOW, "default", false },
        { BEARER("critical"), "{\"priority\":\"high\"," HI "}", PARK_CLASS_HIGH, "default", false },
        { BEARER("critical"), "{\"service_tier\":\"priority\"," HI "}", PARK_CLASS_HIGH, "priority",
          false },
        { BEARER("critical"), "{\"service_tier\":\"flex\"," HI "}", PARK_CLASS_LOW, "flex", false },
        { BEARER("critical"), "{\"service_tier\":\"auto\"," HI "}", PARK_CLASS_NORMAL, "default",
          false },
        /* the header goes before the body */
        { BEARER("critical") "X-Valet-Priority: normal\r\n", "{\"service_tier\":\"flex\"," HI "}",
          PARK_CLASS_NORMAL, "default", false },
        { BEARER("critical") "X-Valet-Priority: low\r\n", "{\"priority\":\"critical\"," HI "}",
          PARK_CLASS_LOW, "default", false },
        /* what the key is not good for is lowered */
        { BEARER("normal") "X-Valet-Priority: critical\r\n", PLAIN, PARK_CLASS_NORMAL, "default",
          true },
        { BEARER("normal"), "{\"service_tier\":\"priority\"," HI "}", PARK_CLASS_NORMAL, "default",
          true },
        { BEARER("normal"), "{\"priority\":\"low\"," HI "}", PARK_CLASS_LOW, "default", false },
        { BEARER("low"), "{\"service_tier\":\"auto\"," HI "}", PARK_CLASS_LOW, "flex", true },
    };
    struct rig r;
    struct api_stats stats;
    uint64_t clamped = 0;
    struct rig_options options = g_wide;
    options.keys = g_keys;
    options.key_count = sizeof g_keys / sizeof g_keys[0];
    rig_start(&r, &options, SCRIPT_ECHO);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer a;
        post(&r, rows[i].fields, rows[i].body, &a);
        ck_assert_msg(a.status == 200, "%zu: %s", i, a.body.data);
        ck_assert_msg(rig_counts(&r).last_class == rows[i].klass, "%zu: %d", i,
                      rig_counts(&r).last_class);
        json_t *json = answer_json(&a);
        ck_assert_msg(strcmp(json_string_at(json, "service_tier"), rows[i].tier) == 0, "%zu: %s", i,
                      a.body.data);
        json_decref(json);
        answer_fini(&a);
        clamped += rows[i].clamped;
    }
    rig_stop_with_stats(&r, &stats);
    ck_assert_uint_eq(stats.clamped, clamped);
}
END_TEST

START_TEST(without_keys_the_ceiling_is_high)
{
    struct rig r;
    struct answer a;
    rig_start(&r, &g_wide, SCRIPT_ECHO);
    post(&r, "X-Valet-Priority: critical\r\n", PLAIN, &a);
    ck_assert_int_eq(a.status, 200);
    ck_assert_int_eq(rig_counts(&r).last_class, PARK_CLASS_HIGH);
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

START_TEST(a_tier_that_was_asked_for_is_in_each_chunk)
{
    struct rig r;
    struct answer a;
    rig_start(&r, &g_wide, SCRIPT_ECHO);
    post(&r, "", "{\"stream\":true,\"service_tier\":\"flex\"," HI "}", &a);
    char *at = a.body.data;
    while (strncmp(at, "data: [DONE]", 12) != 0) {
        json_t *chunk = stream_chunk(&at);
        ck_assert_str_eq(json_string_at(chunk, "service_tier"), "flex");
        json_decref(chunk);
    }
    answer_fini(&a);
    post(&r, "", "{\"stream\":true," HI "}", &a);
    ck_assert_ptr_null(strstr(a.body.data, "service_tier"));
    answer_fini(&a);
    client_once(r.port, "POST", "/v1/completions", JSON_TYPE,
                "{\"prompt\":\"x\",\"service_tier\":\"default\"}", &a);
    ck_assert_ptr_nonnull(strstr(a.body.data, "\"service_tier\":\"default\""));
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

START_TEST(a_wrong_header_is_400_with_its_name)
{
    static const struct {
        const char *fields;
        const char *code;
        const char *param;
        const char *has;
    } rows[] = {
        { "X-Valet-Priority: urgent\r\n", "invalid_value", "X-Valet-Priority",
          "expected critical, high, normal or low, got urgent" },
        { "X-Valet-Priority: 0\r\n", "invalid_value", "X-Valet-Priority", "got 0" },
        { "X-Valet-Priority: High\r\n", "invalid_value", "X-Valet-Priority", "got High" },
        { "X-Valet-Priority: \r\n", "invalid_value", "X-Valet-Priority", "got " },
        { "X-Valet-Deadline-Ms: -1\r\n", "invalid_value", "X-Valet-Deadline-Ms", "got -1" },
        { "X-Valet-Deadline-Ms: 1.5\r\n", "invalid_value", "X-Valet-Deadline-Ms", "got 1.5" },
        { "X-Valet-Deadline-Ms: soon\r\n", "invalid_value", "X-Valet-Deadline-Ms", "got soon" },
        { "X-Valet-Deadline-Ms: \r\n", "invalid_value", "X-Valet-Deadline-Ms", "from 0" },
        { "X-Valet-Deadline-Ms: 31536000001\r\n", "invalid_value", "X-Valet-Deadline-Ms",
          "from 0 to 31536000000" },
        { "X-Valet-Deadline-Ms: 99999999999999999999999999\r\n", "invalid_value",
          "X-Valet-Deadline-Ms", "got 99999999999999999999999999" },
        { "X-Valet-Deadline-Ms: 18446744073709551621\r\n", "invalid_value", "X-Valet-Deadline-Ms",
          "got 18446744073709551621" }, /* 2^64 + 5 */
        { "X-Valet-Deadline-Ms: 0\r\n", "deadline_past", "X-Valet-Deadline-Ms",
          "it has passed already" },
        { "X-Valet-Queue-Timeout-Ms: 0\r\n", "invalid_value", "X-Valet-Queue-Timeout-Ms",
          "from 1 to 31536000000, got 0" },
        { "X-Valet-Queue-Timeout-Ms: 1s\r\n", "invalid_value", "X-Valet-Queue-Timeout-Ms",
          "got 1s" },
        { "X-Valet-On-Disconnect: keep\r\n", "unsupported_parameter", "X-Valet-On-Disconnect",
          "expected cancel, got keep" },
        { "X-Valet-On-Disconnect: stay\r\n", "invalid_value", "X-Valet-On-Disconnect",
          "expected cancel or keep, got stay" },
    };
    struct rig r;
    rig_start(&r, &g_wide, SCRIPT_ECHO);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer a;
        char param[64];
        post(&r, rows[i].fields, PLAIN, &a);
        snprintf(param, sizeof param, "\"param\":\"%s\"", rows[i].param);
        ck_assert_msg(strstr(a.body.data, param) != NULL, "%s: %s", rows[i].fields, a.body.data);
        ck_assert_msg(strstr(a.body.data, rows[i].has) != NULL, "%s: %s", rows[i].fields,
                      a.body.data);
        answer_error(&a, 400, rows[i].code);
    }
    struct answer a;
    post(&r,
         "X-Valet-Deadline-Ms: 31536000000\r\nX-Valet-Queue-Timeout-Ms: 31536000000\r\n"
         "X-Valet-On-Disconnect: cancel\r\n",
         PLAIN, &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

/* ---- what waits too long ---- */

/* The loop has done all that came before, and has looked at the time. */
static void look(struct rig *r)
{
    struct answer a;
    client_once(r->port, "GET", "/health", "", NULL, &a);
    answer_fini(&a);
}

/* One runs and holds the only slot; what comes then waits. */
static void start_full(struct rig *r, struct client *running, const struct rig_options *base)
{
    struct rig_options options = *base;
    options.slots = 1;
    options.blocks = 128;
    options.queue_count_max = 4;
    options.fake_clock = true;
    rig_start(r, &options, SCRIPT_HANG);
    client_open(running, r->port, 0);
    client_chat(running, "{\"stream\":true," HI "}");
    client_wait_for(running, "\"a\"");
}

static void send_waiting(struct rig *r, struct client *c, const char *fields, const char *body,
                         unsigned nth)
{
    char all[512];
    snprintf(all, sizeof all, "%s%s", JSON_TYPE, fields);
    client_open(c, r->port, 0);
    client_send(c, "POST", CHAT_PATH, all, body);
    rig_wait(r, &r->counts.arrivals, nth);
    look(r); /* it has been submitted: the loop does one thing after the other */
}

START_TEST(what_waits_too_long_is_a_clean_503)
{
    static const struct {
        const char *fields;
        const char *code;
        uint64_t class_timeout_ms;
        uint64_t in_time_ms;
        uint64_t late_ms; /* further */
    } rows[] = {
        { "X-Valet-Deadline-Ms: 500\r\n", "deadline_expired", 0, 499, 1 },
        { "X-Valet-Queue-Timeout-Ms: 300\r\n", "queue_timeout", 0, 299, 1 },
        { "X-Valet-Queue-Timeout-Ms: 300\r\n", "queue_timeout", 400, 299, 1 },
        { "X-Valet-Queue-Timeout-Ms: 500\r\n", "queue_timeout", 400, 399, 1 }, /* only shortens */
        { "", "queue_timeout", 400, 399, 1 },
    };
    struct rig r;
    struct client running;
    struct client c;
    struct answer a;
    struct api_stats stats;
    struct rig_options options = { .queue_timeout_ms = rows[_i / 2].class_timeout_ms };
    start_full(&r, &running, &options);
    send_waiting(&r, &c, rows[_i / 2].fields, _i % 2 ? "{\"stream\":true," HI "}" : PLAIN, 2);
    rig_pass(&r, rows[_i / 2].in_time_ms);
    client_once(r.port, "GET", "/pools/chat", "", NULL, &a);
    ck_assert_ptr_nonnull(strstr(a.body.data, "\"queued\":1,"));
    answer_fini(&a);
    rig_pass(&r, rows[_i / 2].late_ms);
    client_read(&c, false, &a);
    char value[64];
    ck_assert(answer_field(&a, "Retry-After", value, sizeof value));
    ck_assert(answer_field(&a, "X-Valet-Ticket", value, sizeof value));
    ck_assert(!answer_field(&a, "x-should-retry", value, sizeof value));
    answer_error(&a, 503, rows[_i / 2].code);
    client_close(&c);
    client_close(&running);
    rig_stop_with_stats(&r, &stats);
    ck_assert_uint_eq(stats.expired, 1);
}
END_TEST

START_TEST(what_runs_too_long_is_504_and_not_tried_again)
{
    struct rig r;
    struct client c;
    struct answer a;
    char value[64];
    const struct rig_options options = {
        .slots = 1, .blocks = 128, .queue_count_max = 4, .fake_clock = true, .run_timeout_ms = 700
    };
    rig_start(&r, &options, SCRIPT_HANG);
    client_open(&c, r.port, 0);
    client_chat(&c, _i ? "{\"stream\":true," HI "}" : PLAIN);
    rig_wait(&r, &r.counts.starts, 1);
    if (_i)
        client_wait_for(&c, "\"a\"");
    rig_pass(&r, 700);
    client_read(&c, false, &a);
    if (_i) {
        char *at = a.body.data;
        stream_role(&at);
        stream_content(&at, "a");
        stream_error(&at, "run_timeout");
        answer_fini(&a);
    } else {
        ck_assert(answer_field(&a, "x-should-retry", value, sizeof value));
        ck_assert_str_eq(value, "false");
        ck_assert(!answer_field(&a, "Retry-After", value, sizeof value));
        answer_error(&a, 504, "run_timeout");
    }
    client_close(&c);
    rig_stop(&r);
}
END_TEST

START_TEST(a_full_class_is_429_of_its_own)
{
    struct rig r;
    struct client running;
    struct client low;
    struct answer a;
    const struct rig_options options = { .low_count_max = 1 };
    start_full(&r, &running, &options);
    send_waiting(&r, &low, "X-Valet-Priority: low\r\n", PLAIN, 2);
    post(&r, "X-Valet-Priority: low\r\n", PLAIN, &a);
    ck_assert_ptr_nonnull(strstr(a.body.data, "\"queue_depth\":1"));
    ck_assert_ptr_nonnull(strstr(a.body.data, "\"position\":2"));
    answer_error(&a, 429, "class_queue_full");
    client_close(&low);
    client_close(&running);
    rig_stop(&r);
}
END_TEST

/* Refused by its place in the queue: neither rendered, nor tokenised, nor sized. */
START_TEST(a_burst_is_refused_before_it_is_prepared)
{
    struct rig r;
    struct client running;
    struct client waiting[4];
    struct answer a;
    struct park_stats stats;
    const struct rig_options options = { .held = false };
    start_full(&r, &running, &options);
    for (unsigned i = 0; i < 4; i++)
        send_waiting(&r, &waiting[i], "", PLAIN, 2 + i);
    for (int i = 0; i < 3; i++) {
        post(&r, "", PLAIN, &a);
        answer_error(&a, 429, "queue_full");
    }
    ck_assert_uint_eq(rig_counts(&r).arrivals, 5); /* those that were sized */
    park_stats(r.pool, &stats);
    ck_assert_uint_eq(stats.reserved, 0);
    for (int i = 0; i < 4; i++)
        client_close(&waiting[i]);
    client_close(&running);
    rig_stop(&r);
}
END_TEST

START_TEST(a_place_is_given_back_when_the_preparation_fails)
{
    struct rig r;
    struct answer a;
    struct park_stats stats;
    const struct rig_options options = { .slots = 1,
                                         .blocks = 128,
                                         .queue_count_max = 1,
                                         .chat_template = "{{ raise_exception('no') }}" };
    rig_start(&r, &options, SCRIPT_ECHO);
    for (int i = 0; i < 3; i++) {
        post(&r, "", PLAIN, &a);
        answer_error(&a, 400, "invalid_value");
    }
    park_stats(r.pool, &stats);
    ck_assert_uint_eq(stats.reserved, 0);
    rig_stop(&r);
}
END_TEST

/* ---- streams that wait ---- */

START_TEST(a_stream_that_waits_long_gets_headers_and_heartbeats)
{
    struct rig r;
    struct client running;
    struct client c;
    struct answer a;
    const struct rig_options options = { .early_headers_ms = 10000, .heartbeat_ms = 15000 };
    start_full(&r, &running, &options);
    send_waiting(&r, &c, "X-Valet-Deadline-Ms: 60000\r\n", "{\"stream\":true," HI "}", 2);
    rig_pass(&r, 10000);
    client_wait_for(&c, "\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(c.in.data, "HTTP/1.1 200 "));
    ck_assert_ptr_nonnull(strstr(c.in.data, "text/event-stream"));
    ck_assert_ptr_null(strstr(c.in.data, ": ping"));
    rig_pass(&r, 15000);
    client_wait_for(&c, ": ping\n\n");
    rig_pass(&r, 35000);
    client_read(&c, false, &a);
    char *at = a.body.data;
    ck_assert_int_eq(strncmp(at, ": ping\n\n", 8), 0);
    while (strncmp(at, ": ping\n\n", 8) == 0) /* the last wait may have brought another */
        at += 8;
    stream_error(&at, "deadline_expired");
    answer_fini(&a);
    client_close(&c);
    client_close(&running);
    rig_stop(&r);
}
END_TEST

START_TEST(a_stream_that_waited_goes_on_as_any_other)
{
    struct rig r;
    struct client c;
    struct answer a;
    const struct rig_options options = { .slots = 1,
                                         .blocks = 128,
                                         .queue_count_max = 4,
                                         .held = true,
                                         .fake_clock = true,
                                         .early_headers_ms = 10000,
                                         .heartbeat_ms = 15000 };
    rig_start(&r, &options, SCRIPT_ECHO);
    send_waiting(&r, &c, "", "{\"stream\":true," HI "}", 1);
    rig_pass(&r, 10000);
    client_wait_for(&c, "\r\n\r\n");
    rig_release(&r);
    client_read(&c, false, &a);
    char *at = a.body.data;
    stream_role(&at);
    stream_content(&at, "n=21 ");
    ck_assert_ptr_nonnull(strstr(at, "data: [DONE]"));
    answer_fini(&a);
    client_close(&c);
    rig_stop(&r);
}
END_TEST

START_TEST(a_stream_that_falls_silent_is_kept_alive)
{
    struct rig r;
    struct client running;
    const struct rig_options options = { .early_headers_ms = 10000, .heartbeat_ms = 15000 };
    start_full(&r, &running, &options);
    rig_pass(&r, 14999);
    look(&r);
    ck_assert_ptr_null(strstr(running.in.data, ": ping"));
    rig_pass(&r, 1);
    client_wait_for(&running, ": ping\n\n");
    const char *first = strstr(running.in.data, ": ping");
    ck_assert_ptr_null(strstr(first + 1, ": ping"));
    rig_pass(&r, 15000);
    while (!strstr(strstr(running.in.data, ": ping") + 1, ": ping"))
        client_wait_more(&running);
    client_close(&running);
    rig_stop(&r);
}
END_TEST

START_TEST(a_plain_answer_never_gets_early_headers)
{
    struct rig r;
    struct client running;
    struct client c;
    struct answer a;
    const struct rig_options options = { .early_headers_ms = 10000, .heartbeat_ms = 15000 };
    start_full(&r, &running, &options);
    send_waiting(&r, &c, "X-Valet-Queue-Timeout-Ms: 50000\r\n", PLAIN, 2);
    rig_pass(&r, 20000);
    rig_pass(&r, 20000);
    rig_pass(&r, 10000);
    client_read(&c, false, &a);
    answer_error(&a, 503, "queue_timeout");
    client_close(&c);
    client_close(&running);
    rig_stop(&r);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("schedule");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_class_reaches_the_lot_and_is_answered);
    tcase_add_test(tcase, without_keys_the_ceiling_is_high);
    tcase_add_test(tcase, a_tier_that_was_asked_for_is_in_each_chunk);
    tcase_add_test(tcase, a_wrong_header_is_400_with_its_name);
    tcase_add_loop_test(tcase, what_waits_too_long_is_a_clean_503, 0, 10);
    tcase_add_loop_test(tcase, what_runs_too_long_is_504_and_not_tried_again, 0, 2);
    tcase_add_test(tcase, a_full_class_is_429_of_its_own);
    tcase_add_test(tcase, a_burst_is_refused_before_it_is_prepared);
    tcase_add_test(tcase, a_place_is_given_back_when_the_preparation_fails);
    tcase_add_test(tcase, a_stream_that_waits_long_gets_headers_and_heartbeats);
    tcase_add_test(tcase, a_stream_that_waited_goes_on_as_any_other);
    tcase_add_test(tcase, a_stream_that_falls_silent_is_kept_alive);
    tcase_add_test(tcase, a_plain_answer_never_gets_early_headers);
    return suite_run("schedule", tcase);
}
