/* What is decided of a request before its body is read: admission, Host, Origin, CORS. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/rig.h"

static const char *const g_hosts[] = { "valet.example" };
static const char *const g_origins[] = { "https://app.example", "http://other.example:8080" };
static const char *const g_all[] = { "*" };

static struct http_options options(void)
{
    struct http_options o;
    http_options_init(&o);
    o.policy = (struct http_policy){
        .check_host = true,
        .hosts = g_hosts,
        .host_count = 1,
        .check_origin = true,
        .origins = g_origins,
        .origin_count = 2,
        .allow_methods = "GET, POST",
        .allow_headers = "Authorization, Content-Type",
        .expose_headers = "X-Request-Id",
        .max_age_s = 600,
    };
    return o;
}

/* One request on a connection of its own; fields end in CRLF each. */
static struct reply *ask(const char *method, const char *host, const char *fields)
{
    char text[1024];
    snprintf(text, sizeof text, "%s /where HTTP/1.1\r\nHost: %s\r\n%s\r\n", method, host, fields);
    struct client c = client_open();
    client_send_text(&c, text);
    struct reply *r = client_reply(&c, strcmp(method, "HEAD") == 0);
    client_close(&c);
    return r;
}

static void expect_denied(const struct reply *r)
{
    ck_assert_int_eq(r->status, 403);
    ck_assert_str_eq(reply_header(r, "Connection"), "close");
    ck_assert_ptr_nonnull(strstr(r->body, "\"code\":\"host_denied\""));
}

static void expect_header(const struct reply *r, const char *name, const char *value)
{
    const char *got = reply_header(r, name);
    if (!value)
        ck_assert_msg(got == NULL, "%s: %s", name, got ? got : "");
    else
        ck_assert_msg(got && strcmp(got, value) == 0, "%s: %s", name, got ? got : "(none)");
}

/* ---- admission ---- */

START_TEST(request_that_is_not_admitted_is_answered_before_its_body)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "POST /denied HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc");
    struct reply *r = client_reply(&c, false);
    ck_assert_int_eq(r->status, 401);
    ck_assert_str_eq(reply_header(r, "Connection"), "close");
    client_expect_eof(&c);
    client_close(&c);
    /* No 100 goes before it. */
    c = client_open();
    client_send_text(&c, "POST /denied HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                         "Expect: 100-continue\r\n\r\n");
    ck_assert_int_eq(client_reply(&c, false)->status, 401);
    client_close(&c);
    ck_assert_int_eq(rig_counts_now().requests, 0);
    ck_assert_uint_eq(rig_stats().exchanges, 0);
    rig_stop();
}
END_TEST

START_TEST(request_without_a_body_needs_no_admission)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "GET /denied HTTP/1.1\r\nHost: a\r\n\r\n");
    ck_assert_int_eq(client_reply(&c, false)->status, 200);
    client_send_text(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    ck_assert_str_eq(client_reply(&c, false)->body, "abc");
    client_close(&c);
    ck_assert_uint_eq(rig_stats().requests, 2);
    rig_stop();
}
END_TEST

/* ---- Host ---- */

START_TEST(host_is_local_or_listed)
{
    static const char *const good[] = { "127.0.0.1",       "10.1.2.3:2000", "[::1]:2000",
                                        "localhost",       "LOCALHOST:80",  "gpu-box",
                                        "a.b.localhost:1", "valet.example", "VALET.Example:2000",
                                        "[2001:db8::1]",   "x.LocalHost" };
    static const char *const bad[] = { "evil.example",        "127.0.0.1.evil.example",
                                       "localhost.evil.test", "valet.example.evil.test",
                                       "x.valet.example",     "1.2.3",
                                       "1.2.3.4.5",           "256.1.1.1",
                                       "localhost.",          "evil.example:80",
                                       ".localhost.",         "notlocalhost.x" };
    struct http_options o = options();
    rig_start(&o);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(ask("GET", good[i], "")->status == 200, "%s", good[i]);
    int requests = rig_counts_now().requests;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_denied(ask("GET", bad[i], ""));
    ck_assert_int_eq(rig_counts_now().requests, requests);
    rig_stop();
}
END_TEST

START_TEST(host_rule_is_off_by_default)
{
    rig_start(NULL);
    struct reply *r = ask("POST", "evil.example", "Origin: http://evil.example:99\r\n");
    ck_assert_int_eq(r->status, 200);
    expect_header(r, "Vary", NULL);
    expect_header(r, "Access-Control-Allow-Origin", NULL);
    rig_stop();
}
END_TEST

/* ---- Origin ---- */

START_TEST(foreign_origin_may_only_get)
{
    static const char *const foreign[] = {
        "http://evil.example",
        "null",
        "ftp://localhost",
        "http://localhost:81",
        "https://app.example:1",
        "http://app.example",
        "https://app.example.",
        "",
        "https://app.example, https://app.example",
    };
    struct http_options o = options();
    rig_start(&o);
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        char fields[128];
        snprintf(fields, sizeof fields, "Origin: %s\r\n", foreign[i]);
        struct reply *r = ask("GET", "localhost", fields);
        ck_assert_msg(r->status == 200, "%s", foreign[i]);
        expect_header(r, "Access-Control-Allow-Origin", NULL);
        ck_assert_int_eq(ask("HEAD", "localhost", fields)->status, 200);
        expect_denied(ask("POST", "localhost", fields));
        expect_denied(ask("DELETE", "localhost", fields));
        expect_denied(ask("OPTIONS", "localhost", fields));
    }
    expect_denied(
        ask("POST", "localhost", "Origin: https://app.example\r\nOrigin: https://app.example\r\n"));
    rig_stop();
}
END_TEST

START_TEST(own_origin_may_do_all)
{
    struct http_options o = options();
    rig_start(&o);
    const char *scheme = rig_is_tls() ? "https" : "http";
    const char *port = rig_is_tls() ? "443" : "80";
    char fields[128];
    snprintf(fields, sizeof fields, "Origin: %s://localhost:2000\r\n", scheme);
    struct reply *r = ask("POST", "LocalHost:2000", fields);
    ck_assert_int_eq(r->status, 200);
    expect_header(r, "Access-Control-Allow-Origin", NULL);
    snprintf(fields, sizeof fields, "Origin: %s://localhost\r\n", scheme);
    char host[64];
    snprintf(host, sizeof host, "localhost:%s", port);
    ck_assert_int_eq(ask("POST", host, fields)->status, 200);
    ck_assert_int_eq(ask("POST", "localhost", "")->status, 200);
    /* The same name by the other scheme is another origin. */
    expect_denied(
        ask("POST", "localhost",
            rig_is_tls() ? "Origin: http://localhost\r\n" : "Origin: https://localhost\r\n"));
    rig_stop();
}
END_TEST

/* ---- CORS ---- */

START_TEST(preflight_of_a_listed_origin_is_answered)
{
    struct http_options o = options();
    rig_start(&o);
    struct client c = client_open();
    for (int i = 0; i < 2; i++) { /* the connection lives on */
        client_send_text(&c, "OPTIONS /where HTTP/1.1\r\nHost: localhost\r\n"
                             "Origin: https://app.example\r\n"
                             "Access-Control-Request-Method: POST\r\n\r\n");
        struct reply *r = client_reply(&c, false);
        ck_assert_int_eq(r->status, 204);
        expect_header(r, "Access-Control-Allow-Origin", "https://app.example");
        expect_header(r, "Access-Control-Allow-Methods", "GET, POST");
        expect_header(r, "Access-Control-Allow-Headers", "Authorization, Content-Type");
        expect_header(r, "Access-Control-Max-Age", "600");
        expect_header(r, "Access-Control-Allow-Credentials", NULL);
        expect_header(r, "Access-Control-Expose-Headers", NULL);
        expect_header(r, "X-Own", "preflight");
        expect_header(r, "Vary", "Origin");
        expect_header(r, "Content-Length", NULL);
    }
    client_close(&c);
    ck_assert_int_eq(rig_counts_now().requests, 0);
    rig_stop();
}
END_TEST

START_TEST(answer_to_a_listed_origin_says_so)
{
    struct http_options o = options();
    o.policy.allow_credentials = true;
    rig_start(&o);
    struct reply *r = ask("POST", "localhost", "Origin: http://other.example:8080\r\n");
    ck_assert_int_eq(r->status, 200);
    expect_header(r, "Access-Control-Allow-Origin", "http://other.example:8080");
    expect_header(r, "Access-Control-Allow-Credentials", "true");
    expect_header(r, "Access-Control-Expose-Headers", "X-Request-Id");
    expect_header(r, "Access-Control-Allow-Methods", NULL);
    expect_header(r, "Vary", "Origin");
    r = ask("GET", "localhost", "");
    expect_header(r, "Access-Control-Allow-Origin", NULL);
    expect_header(r, "Vary", "Origin"); /* a cache must not mix the two */
    /* OPTIONS that is no preflight is the handler's. */
    r = ask("OPTIONS", "localhost", "Origin: https://app.example\r\n");
    ck_assert_int_eq(r->status, 200);
    rig_stop();
}
END_TEST

START_TEST(stream_and_refusal_tell_a_listed_origin_too)
{
    struct http_options o = options();
    o.body_bytes_max = 10;
    rig_start(&o);
    struct client c = client_open();
    client_send_text(&c, "GET /burst HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n\r\n");
    struct reply *r = client_reply(&c, false);
    ck_assert_str_eq(r->body, "onetwo");
    expect_header(r, "Access-Control-Allow-Origin", "https://app.example");
    client_send_text(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n"
                         "Transfer-Encoding: chunked\r\n\r\nff\r\n");
    r = client_reply(&c, false);
    ck_assert_int_eq(r->status, 413);
    expect_header(r, "Access-Control-Allow-Origin", "https://app.example");
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(refusals_have_the_headers_of_the_handler)
{
    static const struct {
        const char *text;
        int status;
        const char *own;
        const char *echo; /* the fields are known */
    } rows[] = {
        { "GET / HTTP/1.1\r\nHost: a\r\nX-Echo: one\r\nBad Name: x\r\n\r\n", 400, "invalid_request",
          NULL },
        { "GET / HTTP/1.1\r\nX-Echo: one\r\n\r\n", 400, "invalid_request", "one" },
        { "GET  / HTTP/1.1\r\nHost: a\r\nX-Echo: one\r\n\r\n", 400, "invalid_request", NULL },
        { "GET / HTTP/9.1\r\nHost: a\r\nX-Echo: one\r\n\r\n", 505, "version_not_supported", NULL },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nX-Echo: two\r\nContent-Length: 11\r\n\r\n", 413,
          "body_too_large", "two" },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nX-Echo: two\r\nTransfer-Encoding: chunked\r\n\r\n"
          "ff\r\n",
          413, "body_too_large", "two" },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nX-Echo: x\r\nTransfer-Encoding: chunked\r\n\r\n"
          "g\r\n",
          400, "invalid_request", "x" },
        { "GET /where HTTP/1.1\r\nHost: evil.example\r\nX-Echo: three\r\n\r\n", 403, "host_denied",
          "three" },
        { "GET /where HTTP/1.1\r\nHost: a\r\nX-Echo: y\r\nExpect: tea\r\n\r\n", 417,
          "expectation_failed", "y" },
    };
    struct http_options o = options();
    o.body_bytes_max = 10;
    rig_start(&o);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client c = client_open();
        client_send_text(&c, rows[i].text);
        struct reply *r = client_reply(&c, false);
        ck_assert_msg(r->status == rows[i].status, "%s: %d", rows[i].text, r->status);
        expect_header(r, "X-Own", rows[i].own);
        expect_header(r, "X-Echo", rows[i].echo);
        client_close(&c);
    }
    rig_stop();
}
END_TEST

START_TEST(star_lists_every_origin)
{
    struct http_options o = options();
    o.policy.origins = g_all;
    o.policy.origin_count = 1;
    rig_start(&o);
    struct reply *r = ask("POST", "localhost", "Origin: https://any.example\r\n");
    ck_assert_int_eq(r->status, 200);
    expect_header(r, "Access-Control-Allow-Origin", "https://any.example");
    expect_header(r, "Access-Control-Allow-Credentials", NULL);
    expect_header(r, "Vary", "Origin");
    rig_stop();
}
END_TEST

/* ---- options at run time ---- */

static void set_options(void *arg)
{
    const struct http_options *o = arg;
    ck_assert_int_eq(http_server_set_options(rig_server(), o), OK);
}

static void set_bad_options(void *arg)
{
    (void)arg;
    struct http_options o = options();
    o.policy.origins = g_all;
    o.policy.origin_count = 1;
    o.policy.allow_credentials = true;
    ck_assert_int_eq(http_server_set_options(rig_server(), &o), E_INVALID);
}

START_TEST(options_are_changed_at_run_time)
{
    char name[] = "valet.example"; /* copied, so its end does no harm */
    const char *hosts[] = { name };
    struct http_options o = options();
    o.policy.hosts = hosts;
    rig_start(&o);
    memset(name, 'x', sizeof name - 1);
    ck_assert_int_eq(ask("GET", "valet.example", "")->status, 200);
    hosts[0] = "new.example";
    o.body_bytes_max = 2;
    rig_call(set_options, &o);
    expect_denied(ask("GET", "valet.example", ""));
    ck_assert_int_eq(ask("GET", "new.example", "")->status, 200);
    ck_assert_int_eq(ask("POST", "new.example", "Content-Length: 3\r\n")->status, 413);
    rig_call(set_bad_options, NULL);
    ck_assert_int_eq(ask("GET", "new.example", "")->status, 200);
    rig_stop();
}
END_TEST

START_TEST(policy_that_is_none_is_refused_with_a_message)
{
    static const char *const bad[] = { "app.example",
                                       "https://",
                                       "https://a.example/",
                                       "https://u@a.example",
                                       "https://*.a.example",
                                       "https://a.example\r\nX: y",
                                       "://a",
                                       "" };
    struct base_err_info info;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct http_policy policy = { .origins = &bad[i], .origin_count = 1 };
        ck_assert_msg(http_policy_validate(&policy, &info) == E_INVALID, "%s", bad[i]);
        ck_assert_ptr_nonnull(strstr(info.message, "is not an origin"));
    }
    struct http_policy policy = { .expose_headers = "A\r\nB: c" };
    ck_assert_int_eq(http_policy_validate(&policy, &info), E_INVALID);
    policy = options().policy;
    ck_assert_int_eq(http_policy_validate(&policy, &info), OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http.gate");
    TCase *tc = tcase_create("gate");
    tcase_set_timeout(tc, 100);
    tcase_add_test(tc, request_that_is_not_admitted_is_answered_before_its_body);
    tcase_add_test(tc, request_without_a_body_needs_no_admission);
    tcase_add_test(tc, host_is_local_or_listed);
    tcase_add_test(tc, host_rule_is_off_by_default);
    tcase_add_test(tc, foreign_origin_may_only_get);
    tcase_add_test(tc, own_origin_may_do_all);
    tcase_add_test(tc, refusals_have_the_headers_of_the_handler);
    tcase_add_test(tc, preflight_of_a_listed_origin_is_answered);
    tcase_add_test(tc, answer_to_a_listed_origin_says_so);
    tcase_add_test(tc, stream_and_refusal_tell_a_listed_origin_too);
    tcase_add_test(tc, star_lists_every_origin);
    tcase_add_test(tc, options_are_changed_at_run_time);
    tcase_add_test(tc, policy_that_is_none_is_refused_with_a_message);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
