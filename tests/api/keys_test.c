/* Keys, scopes and limits, as a client meets them. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "answers.h"
#include "client.h"
#include "rig.h"
#include "suite.h"

#define JSON_TYPE "Content-Type: application/json\r\n"
#define CHAT_PATH "/v1/chat/completions"
#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define PLAIN "{" HI "}"
#define BEARER(key) "Authorization: Bearer " key "\r\n"

static const char *const g_other_models[] = { "org/other" };
static const char *const g_both_models[] = { "org/other", "org/m" };

static const struct rig_key g_keys[] = {
    { "infer-key", { .tenant = "acme", .scopes = API_SCOPE_INFER } },
    { "second-key", { .tenant = "acme", .scopes = API_SCOPE_INFER } },
    { "rival-key", { .tenant = "zeta", .scopes = API_SCOPE_INFER } },
    { "metrics-key", { .tenant = "ops", .scopes = API_SCOPE_METRICS } },
    { "other-key",
      { .tenant = "o", .scopes = API_SCOPE_INFER, .models = g_other_models, .model_count = 1 } },
    { "both-key",
      { .tenant = "o", .scopes = API_SCOPE_INFER, .models = g_both_models, .model_count = 2 } },
    { "rpm-key", { .tenant = "rpm", .scopes = API_SCOPE_INFER, .requests_per_min = 2 } },
    { "tpm-key", { .tenant = "tpm", .scopes = API_SCOPE_INFER, .tokens_per_min = 600 } },
    { "one-key", { .tenant = "one", .scopes = API_SCOPE_INFER, .in_flight_max = 1 } },
    { "single-key", { .tenant = "single", .scopes = API_SCOPE_INFER, .running_max = 1 } },
};

static const struct rig_options g_options = { .slots = 2,
                                              .blocks = 512,
                                              .queue_count_max = 8,
                                              .keys = g_keys,
                                              .key_count = sizeof g_keys / sizeof g_keys[0] };

struct row {
    const char *method;
    const char *path;
    const char *fields;
    int status;
    const char *code; /* of an error; NULL: none */
};

static const struct row g_rows[] = {
    /* open to all */
    { "GET", "/health", "", 200, NULL },
    { "GET", "/v1/health", "", 200, NULL },
    { "GET", "/ready", "", 200, NULL },
    { "GET", "/version", "", 200, NULL },
    { "GET", "/version", BEARER("wrong"), 200, NULL },
    /* no key */
    { "GET", "/v1/models", "", 401, "missing_api_key" },
    { "HEAD", "/v1/models", "", 401, NULL },
    { "GET", "/v1/models/org/m", "", 401, "missing_api_key" },
    { "GET", "/metrics", "", 401, "missing_api_key" },
    { "GET", "/pools", "", 401, "missing_api_key" },
    { "GET", "/pools/chat", "", 401, "missing_api_key" },
    { "GET", "/nowhere", "", 401, "missing_api_key" },
    { "PUT", "/v1/models", "", 401, "missing_api_key" },
    { "OPTIONS", "/v1/models", "", 405, "method_not_allowed" },
    { "POST", CHAT_PATH, JSON_TYPE, 401, "missing_api_key" },
    { "POST", "/chat/completions", JSON_TYPE, 401, "missing_api_key" },
    { "POST", "/v1/completions", JSON_TYPE, 401, "missing_api_key" },
    { "POST", "/tokenize", JSON_TYPE, 401, "missing_api_key" },
    { "POST", "/detokenize", JSON_TYPE, 401, "missing_api_key" },
    { "POST", "/apply-template", JSON_TYPE, 401, "missing_api_key" },
    { "GET", "/v1/models", "Authorization: \r\n", 401, "missing_api_key" },
    { "GET", "/v1/models", "X-Api-Key: \r\n", 401, "missing_api_key" },
    /* not one */
    { "GET", "/v1/models", BEARER("wrong"), 401, "invalid_api_key" },
    { "GET", "/v1/models", BEARER("infer-keyx"), 401, "invalid_api_key" },
    { "GET", "/v1/models", BEARER("infer-ke"), 401, "invalid_api_key" },
    { "GET", "/v1/models", "X-Api-Key: wrong\r\n", 401, "invalid_api_key" },
    { "GET", "/v1/models", "Authorization: Basic infer-key\r\n", 401, "invalid_api_key" },
    { "GET", "/v1/models", "Authorization: infer-key\r\n", 401, "invalid_api_key" },
    { "GET", "/v1/models", "Authorization: Bearer\r\n", 401, "invalid_api_key" },
    { "GET", "/v1/models", BEARER("infer-key") "X-Api-Key: second-key\r\n", 401,
      "invalid_api_key" },
    { "GET", "/v1/models", BEARER("infer-key") BEARER("second-key"), 401, "invalid_api_key" },
    { "GET", "/v1/models", "X-Api-Key: infer-key\r\n" BEARER("other-key"), 401, "invalid_api_key" },
    /* good */
    { "GET", "/v1/models", BEARER("infer-key"), 200, NULL },
    { "GET", "/v1/models", "authorization: bearer infer-key\r\n", 200, NULL },
    { "GET", "/v1/models", "AUTHORIZATION: BEARER   infer-key\r\n", 200, NULL },
    { "GET", "/v1/models", "x-api-key: infer-key\r\n", 200, NULL },
    { "GET", "/v1/models", BEARER("infer-key") "X-API-KEY: infer-key\r\n", 200, NULL },
    { "GET", "/metrics", BEARER("metrics-key"), 200, NULL },
    { "GET", "/nowhere", BEARER("infer-key"), 404, "not_found" },
    { "PUT", "/v1/models", BEARER("infer-key"), 405, "method_not_allowed" },
    { "POST", CHAT_PATH, BEARER("infer-key"), 415, "unsupported_media_type" },
    /* good for something else */
    { "GET", "/metrics", BEARER("infer-key"), 403, "scope_denied" },
    { "GET", "/v1/models", BEARER("metrics-key"), 403, "scope_denied" },
    { "GET", "/pools", BEARER("metrics-key"), 403, "scope_denied" },
    { "POST", CHAT_PATH, BEARER("metrics-key") JSON_TYPE, 403, "scope_denied" },
    { "GET", "/v1/models/org/m", BEARER("other-key"), 403, "model_denied" },
    { "GET", "/v1/models/org/x", BEARER("other-key"), 404, "model_not_found" },
    { "GET", "/v1/models/org/m", BEARER("both-key"), 200, NULL },
};

START_TEST(each_route_asks_for_the_key_it_needs)
{
    struct rig r;
    struct api_stats stats;
    uint64_t refused = 0;
    rig_start(&r, &g_options, SCRIPT_ECHO);
    for (size_t i = 0; i < sizeof g_rows / sizeof g_rows[0]; i++) {
        const struct row *row = &g_rows[i];
        struct answer a;
        char value[64];
        client_once(r.port, row->method, row->path, row->fields,
                    strcmp(row->method, "POST") == 0 ? PLAIN : NULL, &a);
        ck_assert_msg(a.status == row->status, "%s %s %s: %d %s", row->method, row->path,
                      row->fields, a.status, a.body.data);
        bool asks = answer_field(&a, "WWW-Authenticate", value, sizeof value);
        ck_assert_int_eq(asks, row->status == 401);
        if (asks)
            ck_assert_str_eq(value, "Bearer");
        ck_assert(answer_field(&a, "X-Request-Id", value, sizeof value));
        ck_assert_ptr_null(strstr(a.body.data, "infer-key"));
        refused += row->status == 401 || row->status == 403;
        if (row->code)
            answer_error(&a, row->status, row->code);
        else
            answer_fini(&a);
    }
    rig_stop_with_stats(&r, &stats);
    ck_assert_uint_eq(stats.refused_keys, refused);
    ck_assert_uint_eq(stats.requests, sizeof g_rows / sizeof g_rows[0]);
}
END_TEST

/* The answer comes although the body never does. */
START_TEST(the_head_alone_is_refused)
{
    static const struct row rows[] = {
        { "POST", CHAT_PATH, JSON_TYPE, 401, "missing_api_key" },
        { "POST", CHAT_PATH, JSON_TYPE BEARER("wrong"), 401, "invalid_api_key" },
        { "POST", CHAT_PATH, JSON_TYPE BEARER("metrics-key"), 403, "scope_denied" },
        { "POST", "/nowhere", JSON_TYPE BEARER("infer-key"), 404, "not_found" },
        { "PUT", CHAT_PATH, JSON_TYPE BEARER("infer-key"), 405, "method_not_allowed" },
        { "POST", CHAT_PATH, BEARER("infer-key"), 415, "unsupported_media_type" },
    };
    struct rig r;
    struct api_stats stats;
    rig_start(&r, &g_options, SCRIPT_ECHO);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client c;
        struct answer a;
        char fields[256];
        snprintf(fields, sizeof fields, "%sContent-Length: 1000\r\n", rows[i].fields);
        client_open(&c, r.port, 0);
        client_send(&c, rows[i].method, rows[i].path, fields, NULL);
        client_read(&c, false, &a);
        answer_error(&a, rows[i].status, rows[i].code);
        client_close(&c);
    }
    rig_stop_with_stats(&r, &stats);
    ck_assert_uint_eq(stats.requests, sizeof rows / sizeof rows[0]);
    ck_assert_uint_eq(stats.status[4], sizeof rows / sizeof rows[0]);
}
END_TEST

START_TEST(a_model_that_a_key_is_not_good_for_is_not_there)
{
    struct rig r;
    struct answer a;
    rig_start(&r, &g_options, SCRIPT_ECHO);
    client_once(r.port, "POST", CHAT_PATH, JSON_TYPE BEARER("other-key"), PLAIN, &a);
    ck_assert_ptr_nonnull(strstr(a.body.data, "\"param\":\"model\""));
    answer_error(&a, 403, "model_denied");
    client_once(r.port, "POST", "/tokenize", JSON_TYPE BEARER("other-key"), "{\"prompt\":\"x\"}",
                &a);
    answer_error(&a, 403, "model_denied");
    client_once(r.port, "GET", "/v1/models", BEARER("other-key"), NULL, &a);
    ck_assert_str_eq(a.body.data, "{\"object\":\"list\",\"data\":[]}");
    answer_fini(&a);
    client_once(r.port, "POST", CHAT_PATH, JSON_TYPE BEARER("both-key"), PLAIN, &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

START_TEST(metrics_may_be_open)
{
    struct rig r;
    struct answer a;
    struct rig_options options = g_options;
    options.metrics_public = true;
    rig_start(&r, &options, SCRIPT_ECHO);
    client_once(r.port, "GET", "/metrics", "", NULL, &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    client_once(r.port, "GET", "/pools", "", NULL, &a);
    answer_error(&a, 401, "missing_api_key");
    rig_stop(&r);
}
END_TEST

/* Whoever sends no key may be somebody, too, if the server says so. */
START_TEST(a_server_may_know_those_without_a_key)
{
    static const struct rig_key keys[] = {
        { NULL, { .tenant = "guest", .scopes = API_SCOPE_METRICS } },
        { "infer-key", { .tenant = "acme", .scopes = API_SCOPE_INFER } },
    };
    struct rig r;
    struct answer a;
    struct rig_options options = g_options;
    options.keys = keys;
    options.key_count = 2;
    rig_start(&r, &options, SCRIPT_ECHO);
    client_once(r.port, "GET", "/metrics", "", NULL, &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    client_once(r.port, "GET", "/v1/models", "", NULL, &a);
    answer_error(&a, 403, "scope_denied");
    client_once(r.port, "GET", "/v1/models", BEARER("wrong"), NULL, &a);
    answer_error(&a, 401, "invalid_api_key");
    rig_stop(&r);
}
END_TEST

START_TEST(without_keys_any_key_will_do)
{
    struct rig r;
    struct answer a;
    struct rig_options options = g_options;
    options.keys = NULL;
    rig_start(&r, &options, SCRIPT_ECHO);
    client_once(r.port, "GET", "/metrics", BEARER("a") BEARER("b"), NULL, &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

/* Who may open the socket's file needs no key, but one that is sent counts. */
START_TEST(a_unix_socket_needs_no_key)
{
    static const struct {
        const char *fields;
        int status;
    } rows[] = { { "", 200 },
                 { BEARER("wrong"), 401 },
                 { BEARER("infer-key"), 200 },
                 { BEARER("metrics-key"), 403 } };
    char folder[] = "/tmp/valet-keys-XXXXXX";
    char path[64];
    struct rig r;
    struct rig_options options = g_options;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
    options.unix_path = path;
    rig_start(&r, &options, SCRIPT_ECHO);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client c;
        struct answer a;
        client_open_unix(&c, path);
        client_send(&c, "GET", "/v1/models", rows[i].fields, NULL);
        client_read(&c, false, &a);
        ck_assert_msg(a.status == rows[i].status, "%s: %d", rows[i].fields, a.status);
        answer_fini(&a);
        client_close(&c);
    }
    rig_stop(&r);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

static uint64_t salt_of(struct rig *r, const char *fields, const char *body)
{
    struct answer a;
    client_once(r->port, "POST", CHAT_PATH, fields, body, &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    return rig_counts(r).last_salt;
}

START_TEST(tenants_never_share_prefixes)
{
    static const char salted[] = "{\"cache_salt\":\"acme\"," HI "}";
    struct rig r;
    struct park_tenant_stats tenants[4];
    rig_start(&r, &g_options, SCRIPT_ECHO);
    uint64_t acme = salt_of(&r, JSON_TYPE BEARER("infer-key"), PLAIN);
    uint64_t rival = salt_of(&r, JSON_TYPE BEARER("rival-key"), PLAIN);
    uint64_t acme_salted = salt_of(&r, JSON_TYPE BEARER("infer-key"), salted);
    uint64_t rival_salted = salt_of(&r, JSON_TYPE BEARER("rival-key"), salted);
    ck_assert_uint_eq(acme, salt_of(&r, JSON_TYPE BEARER("second-key"), PLAIN));
    ck_assert_uint_eq(acme_salted, salt_of(&r, JSON_TYPE BEARER("second-key"), salted));
    const uint64_t all[] = { acme, rival, acme_salted, rival_salted };
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < i; k++)
            ck_assert_uint_ne(all[i], all[k]);
    }
    ck_assert_uint_eq(park_tenants(r.pool, tenants, 4), 3); /* and one of all others */
    ck_assert_str_eq(tenants[1].name, "acme");
    ck_assert_uint_eq(tenants[1].counts.submitted, 4);
    ck_assert_str_eq(tenants[2].name, "zeta");
    rig_stop(&r);
}
END_TEST

/* ---- limits ---- */

static void expect_field(const struct answer *a, const char *name, const char *expected)
{
    char value[64];
    bool found = answer_field(a, name, value, sizeof value);
    ck_assert_msg(found == (expected != NULL), "%s", name);
    if (expected)
        ck_assert_str_eq(value, expected);
}

START_TEST(requests_a_minute_are_limited_and_told)
{
    struct rig r;
    struct answer a;
    struct api_stats stats;
    struct rig_options options = g_options;
    options.fake_clock = true;
    rig_start(&r, &options, SCRIPT_ECHO);
    client_once(r.port, "POST", CHAT_PATH, JSON_TYPE BEARER("rpm-key"), PLAIN, &a);
    ck_assert_int_eq(a.status, 200);
    expect_field(&a, "x-ratelimit-limit-requests", "2");
    expect_field(&a, "x-ratelimit-remaining-requests", "1");
    expect_field(&a, "x-ratelimit-reset-requests", "30.000s");
    expect_field(&a, "x-ratelimit-limit-tokens", NULL);
    answer_fini(&a);
    client_once(r.port, "POST", "/tokenize", JSON_TYPE BEARER("rpm-key"), "{\"prompt\":\"x\"}", &a);
    ck_assert_int_eq(a.status, 200);
    expect_field(&a, "x-ratelimit-remaining-requests", "0");
    answer_fini(&a);
    client_once(r.port, "POST", CHAT_PATH, JSON_TYPE BEARER("rpm-key"), PLAIN, &a);
    char value[32];
    ck_assert(answer_field(&a, "Retry-After", value, sizeof value));
    ck_assert_int_ge(atoi(value), 30);
    ck_assert_int_le(atoi(value), 45);
    expect_field(&a, "x-ratelimit-remaining-requests", "0");
    ck_assert_ptr_nonnull(strstr(a.body.data, "\"queue_depth\":0"));
    answer_error(&a, 429, "rate_limit_exceeded");
    /* looking is free */
    client_once(r.port, "GET", "/v1/models", BEARER("rpm-key"), NULL, &a);
    ck_assert_int_eq(a.status, 200);
    expect_field(&a, "x-ratelimit-limit-requests", NULL);
    answer_fini(&a);
    rig_pass(&r, 30000);
    client_once(r.port, "POST", CHAT_PATH, JSON_TYPE BEARER("rpm-key"), PLAIN, &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    rig_stop_with_stats(&r, &stats);
    ck_assert_uint_eq(stats.refused_limits, 1);
}
END_TEST

START_TEST(requests_beyond_the_rate_are_refused_before_their_body)
{
    struct rig r;
    struct client c;
    struct answer a;
    struct api_stats stats;
    struct rig_options options = g_options;
    static const char head[] =
        "POST " CHAT_PATH " HTTP/1.1\r\nHost: localhost\r\n" JSON_TYPE BEARER(
            "rpm-key") "Content-Length: 1000000\r\n\r\n";
    options.fake_clock = true;
    rig_start(&r, &options, SCRIPT_ECHO);
    client_once(r.port, "POST", CHAT_PATH, JSON_TYPE BEARER("rpm-key"), PLAIN, &a);
    ck_assert_int_eq(a.status, 200);
    expect_field(&a, "x-ratelimit-remaining-requests", "1"); /* counted once */
    answer_fini(&a);
    rig_pass(&r, 60000); /* one without a body is counted, too */
    client_once(r.port, "POST", CHAT_PATH, JSON_TYPE BEARER("rpm-key"), NULL, &a);
    expect_field(&a, "x-ratelimit-remaining-requests", "1");
    answer_error(&a, 400, "invalid_json");
    client_open(&c, r.port, 0); /* who leaves with half a body has had a request */
    client_send_text(&c, head);
    client_send_text(&c, "{");
    client_send_text(&c, "\"");
    client_close(&c);
    client_once(r.port, "GET", "/health", "", NULL, &a);
    answer_fini(&a);
    client_open(&c, r.port, 0);
    client_send_text(&c, head);
    client_read(&c, false, &a); /* and no byte of the body was sent */
    expect_field(&a, "x-ratelimit-remaining-requests", "0");
    expect_field(&a, "Connection", "close");
    answer_error(&a, 429, "rate_limit_exceeded");
    client_close(&c);
    rig_stop_with_stats(&r, &stats);
    ck_assert_uint_eq(stats.refused_limits, 1);
    ck_assert_uint_eq(stats.disconnects, 0);
}
END_TEST

START_TEST(tokens_a_minute_are_charged_by_what_was_used)
{
    struct rig r;
    struct answer a;
    struct rig_options options = g_options;
    options.fake_clock = true;
    rig_start(&r, &options, SCRIPT_ECHO);
    /* 21 of the prompt and 4 of the answer: what was expected of it is given back */
    client_once(r.port, "POST", CHAT_PATH, JSON_TYPE BEARER("tpm-key"), PLAIN, &a);
    ck_assert_int_eq(a.status, 200);
    expect_field(&a, "x-ratelimit-limit-tokens", "600");
    expect_field(&a, "x-ratelimit-remaining-tokens", "575");
    expect_field(&a, "x-ratelimit-reset-tokens", "2.500s");
    expect_field(&a, "x-ratelimit-limit-requests", NULL);
    answer_fini(&a);
    char body[2048];
    snprintf(body, sizeof body,
             "{\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"%0600d\"}]}", 0);
    client_once(r.port, "POST", CHAT_PATH, JSON_TYPE BEARER("tpm-key"), body, &a);
    expect_field(&a, "x-ratelimit-remaining-tokens", "575");
    answer_error(&a, 429, "rate_limit_exceeded");
    rig_pass(&r, 2500);
    client_once(r.port, "POST", CHAT_PATH, JSON_TYPE BEARER("tpm-key"), body, &a);
    ck_assert_int_eq(a.status, 200); /* more than the limit, but nothing else is used */
    expect_field(&a, "x-ratelimit-remaining-tokens", "0");
    answer_fini(&a);
    client_once(r.port, "POST", CHAT_PATH, JSON_TYPE BEARER("tpm-key"), "{", &a);
    answer_error(&a, 400, "invalid_json");
    client_once(r.port, "POST", CHAT_PATH, JSON_TYPE BEARER("tpm-key"), PLAIN, &a);
    answer_error(&a, 429, "rate_limit_exceeded");
    rig_stop(&r);
}
END_TEST

START_TEST(tickets_in_flight_are_limited)
{
    struct rig r;
    struct client c;
    struct answer a;
    struct park_stats stats;
    rig_start(&r, &g_options, SCRIPT_HANG);
    client_open(&c, r.port, 0);
    client_send(&c, "POST", CHAT_PATH, JSON_TYPE BEARER("one-key"), "{\"stream\":true," HI "}");
    client_wait_for(&c, "\"a\"");
    client_once(r.port, "POST", CHAT_PATH, JSON_TYPE BEARER("one-key"), PLAIN, &a);
    answer_error(&a, 429, "concurrency_limit");
    rig_script(&r, SCRIPT_ECHO);
    client_close(&c);
    rig_wait(&r, &r.counts.ends, 1);
    client_once(r.port, "POST", CHAT_PATH, JSON_TYPE BEARER("one-key"), PLAIN, &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    rig_wait_empty(&r, &stats);
    ck_assert_uint_eq(stats.submitted, 2); /* the refused one never reached the lot */
    rig_stop(&r);
}
END_TEST

START_TEST(requests_beyond_those_that_may_run_wait)
{
    static const char *const fields[] = { JSON_TYPE BEARER("single-key"),
                                          JSON_TYPE BEARER("single-key"),
                                          JSON_TYPE BEARER("rival-key") };
    struct rig r;
    struct client clients[3];
    struct answer a;
    struct park_stats stats;
    struct rig_options options = g_options;
    options.slots = 4;
    options.held = true;
    rig_start(&r, &options, SCRIPT_ECHO);
    for (unsigned i = 0; i < 3; i++) {
        client_open(&clients[i], r.port, 0);
        client_send(&clients[i], "POST", CHAT_PATH, fields[i], PLAIN);
        rig_wait(&r, &r.counts.arrivals, i + 1);
    }
    client_once(r.port, "GET", "/health", "", NULL, &a); /* behind the last submission */
    answer_fini(&a);
    park_stats(r.pool, &stats);
    ck_assert_uint_eq(stats.running, 2); /* booked: one of each tenant */
    ck_assert_uint_eq(stats.queued, 1);
    rig_release(&r);
    for (unsigned i = 0; i < 3; i++) {
        client_read(&clients[i], false, &a);
        ck_assert_int_eq(a.status, 200);
        answer_fini(&a);
        client_close(&clients[i]);
    }
    rig_stop(&r);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("keys");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, each_route_asks_for_the_key_it_needs);
    tcase_add_test(tcase, the_head_alone_is_refused);
    tcase_add_test(tcase, a_model_that_a_key_is_not_good_for_is_not_there);
    tcase_add_test(tcase, metrics_may_be_open);
    tcase_add_test(tcase, a_server_may_know_those_without_a_key);
    tcase_add_test(tcase, without_keys_any_key_will_do);
    tcase_add_test(tcase, a_unix_socket_needs_no_key);
    tcase_add_test(tcase, tenants_never_share_prefixes);
    tcase_add_test(tcase, requests_a_minute_are_limited_and_told);
    tcase_add_test(tcase, requests_beyond_the_rate_are_refused_before_their_body);
    tcase_add_test(tcase, tokens_a_minute_are_charged_by_what_was_used);
    tcase_add_test(tcase, tickets_in_flight_are_limited);
    tcase_add_test(tcase, requests_beyond_those_that_may_run_wait);
    return suite_run("keys", tcase);
}
