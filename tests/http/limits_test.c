/* A real server: every limit of time, size and number. */
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/rig.h"
#include "http/sanitized.h"

#define GET_HELLO "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

static struct http_options options(void)
{
    struct http_options o;
    http_options_init(&o);
    return o;
}

static uint64_t now_ms(void)
{
    return clock_now_ns(&base_clock_monotonic) / 1000000;
}

static void expect_body(struct client *c, int status, const char *body)
{
    struct reply *r = client_reply(c, false);
    ck_assert_int_eq(r->status, status);
    ck_assert_str_eq(r->body, body);
}

static void expect_refusal(struct client *c, int status, const char *code)
{
    struct reply *r = client_reply(c, false);
    char expected[64];
    snprintf(expected, sizeof expected, "\"code\":\"%s\"", code);
    ck_assert_int_eq(r->status, status);
    ck_assert_str_eq(reply_header(r, "Connection"), "close");
    if (!strstr(r->body, expected))
        ck_abort_msg("expected %s in %s", expected, r->body);
    client_expect_eof(c);
}

/* Sends single bytes of `text`, over and over, until an answer comes. */
static void drip(struct client *c, const char *text)
{
    for (size_t i = 0; !client_is_readable(c, 10); i++)
        if (!client_try_send(c, &text[i % strlen(text)], 1))
            return;
}

/* ---- time ---- */

START_TEST(slow_header_is_408)
{
    struct http_options o = options();
    o.header_timeout_ms = 200;
    rig_start(&o);
    struct client c = client_open();
    client_send_text(&c, "GET /hello HTTP/1.1\r\nHo");
    expect_refusal(&c, 408, "request_timeout");
    client_close(&c);
    /* The time runs from the first byte, however many follow. */
    c = client_open();
    client_send_text(&c, "GET /hello HTTP/1.1\r\nHost: a\r\nA: ");
    uint64_t start_ms = now_ms();
    drip(&c, "x");
    ck_assert_uint_ge(now_ms() - start_ms, 150);
    expect_refusal(&c, 408, "request_timeout");
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(slow_body_is_408)
{
    struct http_options o = options();
    o.body_timeout_ms = 200;
    rig_start(&o);
    struct client c = client_open();
    client_send_text(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    expect_refusal(&c, 408, "request_timeout");
    client_close(&c);
    /* Never silent, but far below the rate. */
    c = client_open();
    client_send_text(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    drip(&c, "x");
    expect_refusal(&c, 408, "request_timeout");
    client_close(&c);
    c = client_open();
    client_send_text(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    drip(&c, "1\r\nx\r\n");
    expect_refusal(&c, 408, "request_timeout");
    client_close(&c);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().requests, 0);
}
END_TEST

START_TEST(steady_body_may_take_longer_than_the_timeout)
{
    struct http_options o = options();
    o.body_timeout_ms = 1000;
    rig_start(&o);
    struct client c = client_open();
    client_send_text(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 15000\r\n\r\n");
    static char piece[1000];
    memset(piece, 'y', sizeof piece);
    for (int i = 0; i < 15; i++) {
        ck_assert(!client_is_readable(&c, 100)); /* 1.5 s, and no answer before the end */
        client_send(&c, piece, sizeof piece);
    }
    ck_assert_uint_eq(client_reply(&c, false)->body_len, 15000);
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(idle_connection_is_closed)
{
    struct http_options o = options();
    o.idle_timeout_ms = 200;
    rig_start(&o);
    struct client fresh = client_open();
    struct client used = client_open();
    client_send_text(&used, GET_HELLO);
    expect_body(&used, 200, "hello\n");
    client_expect_eof(&fresh);
    client_expect_eof(&used);
    client_close(&fresh);
    client_close(&used);
    rig_stop();
}
END_TEST

START_TEST(answer_may_take_longer_than_every_timeout)
{
    struct http_options o = options();
    o.header_timeout_ms = 100;
    o.idle_timeout_ms = 100;
    o.body_timeout_ms = 100;
    o.write_timeout_ms = 100;
    rig_start(&o);
    struct client c = client_open();
    client_send_text(&c, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_wait_for(held, 1);
    ck_assert(!client_is_readable(&c, 500));
    rig_respond_held("late");
    expect_body(&c, 200, "late");
    client_close(&c);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().gone, 0);
}
END_TEST

START_TEST(client_that_does_not_read_is_gone)
{
    struct http_options o = options();
    o.write_timeout_ms = 200;
    rig_start(&o);
    struct client c = client_open_narrow();
    client_send_text(&c, "GET /flood?1000000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    struct rig_counts counts = rig_wait_for(gone, 1);
    ck_assert_uint_le(counts.pending_max, 256 * 1024 + 33 * 1024);
    while (client_receive(&c))
        continue;
    ck_assert(c.is_reset);
    client_close(&c);
    /* An answer that has ended is nobody's any more; its connection closes all the same. */
    c = client_open_narrow();
    for (int i = 0; i < 20; i++)
        client_send_text(&c, "GET /bytes?1000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    while (rig_stats().connections > 0)
        poll(NULL, 0, 5);
    client_close(&c);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().gone, 1);
}
END_TEST

START_TEST(client_that_reads_slowly_is_not_gone)
{
    struct http_options o = options();
    o.write_timeout_ms = IS_SANITIZED ? 4000 : 1000; /* a client may starve for a second there */
    rig_start(&o);
    struct client c = client_open_narrow();
    client_send_text(&c, "GET /flood?8000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    uint64_t start_ms = now_ms();
    while (now_ms() - start_ms <
           3 * o.write_timeout_ms) { /* three times as long, a little now and then */
        ck_assert(client_receive(&c));
        poll(NULL, 0, IS_SANITIZED ? 80 : 20); /* so that the flood outlasts the loop */
    }
    ck_assert_int_eq(rig_counts_now().gone, 0);
    ck_assert_uint_eq(client_reply(&c, false)->body_len, 8000000);
    client_close(&c);
    rig_stop();
}
END_TEST

/* ---- size ---- */

START_TEST(limits_of_the_head_have_their_statuses)
{
    static char text[40000];
    rig_start(NULL);
    memset(text, 'a', sizeof text);
    memcpy(text, "GET /", 5);
    struct client c = client_open();
    client_send(&c, text, 9000);
    expect_refusal(&c, 414, "uri_too_long");
    client_close(&c);

    size_t head = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\nA: ");
    memset(text + head, 'a', sizeof text - head);
    c = client_open();
    client_send(&c, text, 20000);
    expect_refusal(&c, 431, "headers_too_large");
    client_close(&c);

    size_t len = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 100; i++)
        len += (size_t)sprintf(text + len, "A: b\r\n");
    c = client_open();
    client_send(&c, text, len);
    expect_refusal(&c, 431, "headers_too_large");
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(body_over_the_limit_is_413)
{
    struct http_options o = options();
    o.body_bytes_max = 1000;
    rig_start(&o);
    struct client c = client_open();
    client_send_text(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");
    expect_refusal(&c, 413, "body_too_large"); /* before a byte of it came */
    client_close(&c);
    c = client_open();
    client_send_text(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n"
                         "Expect: 100-continue\r\n\r\n");
    expect_refusal(&c, 413, "body_too_large"); /* and no 100 */
    client_close(&c);
    c = client_open();
    client_send_text(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "1\r\na\r\n3E8\r\n");
    expect_refusal(&c, 413, "body_too_large");
    client_close(&c);
    c = client_open();
    client_send_text(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
    expect_body(&c, 200, "ab");
    client_close(&c);
    rig_stop();
}
END_TEST

/* A client that reads only when it has sent everything gets the answer, and no reset. */
START_TEST(refused_upload_is_read_to_its_end)
{
    enum {
        SIZE = 4000000
    };
    struct http_options o = options();
    o.body_bytes_max = 1000;
    rig_start(&o);
    char *body = calloc(1, SIZE);
    ck_assert_ptr_nonnull(body);
    struct client c = client_open();
    client_send_text(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n");
    client_send(&c, body, SIZE);
    free(body);
    expect_refusal(&c, 413, "body_too_large");
    client_close(&c);
    rig_stop();
}
END_TEST

/* ---- number ---- */

START_TEST(connection_over_the_limit_is_503)
{
    struct http_options o = options();
    o.connections_max = 2;
    rig_start(&o);
    struct client a = client_open();
    struct client b = client_open();
    client_send_text(&b, GET_HELLO);
    expect_body(&b, 200, "hello\n");
    for (int i = 0; i < 10; i++) {
        struct client c = client_open();
        expect_refusal(&c, 503, "overloaded");
        client_close(&c);
    }
    client_send_text(&b, GET_HELLO);
    expect_body(&b, 200, "hello\n");
    client_close(&a);
    while (rig_stats().connections > 1)
        poll(NULL, 0, 5);
    struct client c = client_open();
    client_send_text(&c, GET_HELLO);
    expect_body(&c, 200, "hello\n");
    client_close(&b);
    client_close(&c);
    rig_stop();
}
END_TEST

/* More than are told so are just closed. */
START_TEST(crowd_over_the_limit_is_bounded)
{
    enum {
        COUNT = 150
    };
    struct http_options o = options();
    o.connections_max = 1;
    rig_start(&o);
    struct client c[COUNT];
    for (int i = 0; i < COUNT; i++)
        c[i] = client_open();
    client_send_text(&c[0], GET_HELLO);
    expect_body(&c[0], 200, "hello\n");
    int told = 0;
    for (int i = 1; i < COUNT; i++) {
        while (client_receive(&c[i]))
            continue;
        told += c[i].len > 0;
    }
    ck_assert_int_eq(told, 64);
    for (int i = 0; i < COUNT; i++)
        client_close(&c[i]);
    rig_stop();
}
END_TEST

START_TEST(read_ahead_is_bounded)
{
    enum {
        SIZE = 200000
    };
    static const char get[] = GET_HELLO;
    const size_t one = sizeof get - 1;
    struct http_options o = options();
    o.pipeline_bytes_max = 1000;
    rig_start(&o);
    struct client c = client_open();
    client_send_text(&c, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_wait_for(held, 1);
    uint64_t before = mem_live_bytes(MEM_HTTP);
    size_t sent = 0;
    while (sent < SIZE) { /* much more than that; the kernel keeps what is not read */
        size_t n = client_send_some(&c, &get[sent % one], one - sent % one, 200);
        if (n == 0)
            break;
        sent += n;
    }
    client_send_text(&c, &get[sent % one]);
    rig_stats();
    ck_assert_uint_le(mem_live_bytes(MEM_HTTP), before + 4096);
    rig_respond_held("x");
    expect_body(&c, 200, "x");
    for (size_t i = 0; i < sent / one + 1; i++)
        expect_body(&c, 200, "hello\n");
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(answers_to_pipelined_requests_are_bounded)
{
    enum {
        COUNT = 200,
        SIZE = 100000
    };
    rig_start(NULL);
    struct client c = client_open_narrow();
    uint64_t before = mem_live_bytes(MEM_HTTP);
    for (int i = 0; i < COUNT; i++)
        client_send_text(&c, "GET /bytes?100000 HTTP/1.1\r\nHost: a\r\n\r\n");
    uint64_t most = before; /* may have had a part of a handshake */
    uint64_t requests = 0;
    for (int quiet = 0; quiet < 20; quiet++) { /* until no more of them are answered */
        struct http_stats s = rig_stats();
        if (s.requests != requests)
            quiet = 0;
        requests = s.requests;
        uint64_t bytes = mem_live_bytes(MEM_HTTP);
        most = bytes > most ? bytes : most;
        poll(NULL, 0, 5);
    }
    ck_assert_uint_lt(requests, COUNT);
    ck_assert_uint_le(most, before + 1000000);
    for (int i = 0; i < COUNT; i++)
        ck_assert_uint_eq(client_reply(&c, false)->body_len, SIZE);
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(idle_connection_costs_at_most_2_kb)
{
    enum {
        COUNT = 1000
    };
    rig_allow_files(4096);
    rig_start(NULL);
    static struct client c[COUNT];
    uint64_t before = mem_live_bytes(MEM_HTTP);
    uint64_t blocks_before = mem_live_blocks();
    for (int i = 0; i < COUNT; i++) {
        c[i] = client_open();
        client_send_text(&c[i], "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO);
        rig_wait_for(held, 1);
        rig_respond_held("x");
        expect_body(&c[i], 200, "x");
        expect_body(&c[i], 200, "hello\n");
    }
    ck_assert_uint_eq(rig_stats().connections, COUNT);
    uint64_t each = (mem_live_bytes(MEM_HTTP) - before) / COUNT;
    ck_assert_uint_le(each, 2048);
    ck_assert_uint_eq(mem_live_blocks() - blocks_before, COUNT); /* no buffer at rest */
    for (int i = 0; i < COUNT; i++)
        client_close(&c[i]);
    rig_stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http.limits");
    TCase *tc = tcase_create("limits");
    tcase_set_timeout(tc, 100);
    tcase_add_test(tc, slow_header_is_408);
    tcase_add_test(tc, slow_body_is_408);
    tcase_add_test(tc, steady_body_may_take_longer_than_the_timeout);
    tcase_add_test(tc, idle_connection_is_closed);
    tcase_add_test(tc, answer_may_take_longer_than_every_timeout);
    tcase_add_test(tc, client_that_does_not_read_is_gone);
    tcase_add_test(tc, client_that_reads_slowly_is_not_gone);
    tcase_add_test(tc, limits_of_the_head_have_their_statuses);
    tcase_add_test(tc, body_over_the_limit_is_413);
    tcase_add_test(tc, refused_upload_is_read_to_its_end);
    tcase_add_test(tc, read_ahead_is_bounded);
    tcase_add_test(tc, answers_to_pipelined_requests_are_bounded);
    if (!rig_is_tls()) { /* tls_test.c has their like */
        tcase_add_test(tc, connection_over_the_limit_is_503);
        tcase_add_test(tc, crowd_over_the_limit_is_bounded);
        tcase_add_test(tc, idle_connection_costs_at_most_2_kb);
    }
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
