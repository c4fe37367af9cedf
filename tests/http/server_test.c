/* A real server: what it answers and in which order, what it refuses, where it listens. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fault.h"
#include "base/mem.h"
#include "http/hostile.h"
#include "http/rig.h"

#define GET_HELLO "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

static void expect_body(struct client *c, int status, const char *body)
{
    struct reply *r = client_reply(c, false);
    ck_assert_int_eq(r->status, status);
    ck_assert_str_eq(r->body, body);
}

/* ---- answers ---- */

START_TEST(answer_has_its_headers)
{
    struct http_options o;
    http_options_init(&o);
    o.server_name = "valet/1";
    rig_start(&o);
    struct client c = client_open();
    client_send_text(&c, GET_HELLO);
    struct reply *r = client_reply(&c, false);
    ck_assert_int_eq(strncmp(r->head, "HTTP/1.1 200 OK\r\n", 17), 0);
    ck_assert_str_eq(r->body, "hello\n");
    ck_assert_str_eq(reply_header(r, "Content-Length"), "6");
    ck_assert_str_eq(reply_header(r, "Content-Type"), "text/plain");
    ck_assert_str_eq(reply_header(r, "Server"), "valet/1");
    ck_assert_str_eq(reply_header(r, "Connection"), "keep-alive");
    const char *date = reply_header(r, "Date");
    char day[4];
    char month[4];
    int n[5];
    char rest;
    ck_assert_int_eq(sscanf(date, "%3[A-Z-a-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%c", day, &n[0],
                            month, &n[1], &n[2], &n[3], &n[4], &rest),
                     7);
    ck_assert_uint_eq(strlen(date), 29);
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(connection_is_kept_alive)
{
    static const char post[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    rig_start(NULL);
    struct client c = client_open();
    for (int i = 0; i < 50; i++) {
        client_send_text(&c, GET_HELLO);
        expect_body(&c, 200, "hello\n");
        client_send_text(&c, post);
        expect_body(&c, 200, "abc");
    }
    struct http_stats s = rig_stats();
    ck_assert_uint_eq(s.connections, 1);
    ck_assert_uint_eq(s.exchanges, 0);
    ck_assert_uint_eq(s.requests, 100);
    ck_assert_uint_eq(s.parse_errors, 0);
    ck_assert_uint_gt(s.bytes_out, 50 * 9);
    size_t bytes = 50 * (strlen(GET_HELLO) + strlen(post));
    ck_assert(rig_is_tls() ? s.bytes_in > bytes : s.bytes_in == bytes);
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(request_in_single_bytes_is_answered)
{
    static const char text[] = "POST /echo?x HTTP/1.1\r\nHost: a\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n"
                               "3\r\nabc\r\n1\r\nd\r\n0\r\nT: x\r\n\r\n" GET_HELLO;
    rig_start(NULL);
    struct client c = client_open();
    int on = 1;
    setsockopt(c.fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
    for (size_t i = 0; i < sizeof text - 1; i++)
        client_send(&c, &text[i], 1);
    expect_body(&c, 200, "abcd");
    expect_body(&c, 200, "hello\n");
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(request_parts_reach_the_handler)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "DELETE /a/b%20c?d=e&f HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_body(&c, 200, "DELETE /a/b%20c|d=e&f");
    client_send_text(&c, "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_body(&c, 200, "GET /x|");
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(hundred_requests_in_one_write_are_answered_in_order)
{
    rig_start(NULL);
    struct client c = client_open();
    char text[16384];
    size_t len = 0;
    for (int i = 0; i < 100; i++)
        len += (size_t)sprintf(text + len, "GET /n%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
    client_send(&c, text, len);
    for (int i = 0; i < 100; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "GET /n%d|", i);
        expect_body(&c, 200, expected);
    }
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(many_pipelined_requests_do_not_recurse)
{
    enum {
        COUNT = 20000
    };
    rig_start(NULL);
    struct client c = client_open();
    size_t one = strlen(GET_HELLO);
    char *text = malloc(COUNT * one);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < COUNT; i++)
        memcpy(text + i * one, GET_HELLO, one);
    client_exchange(&c, text, COUNT * one);
    free(text);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(client_reply(&c, false)->status, 200);
    client_close(&c);
    rig_stop();
}
END_TEST

enum {
    MANY = 1000
};

/* Sent while the loop is held, so that it finds all of it at once. */
static void send_many_and_one(void *arg)
{
    struct client *c = arg;
    static char text[MANY * sizeof GET_HELLO];
    for (size_t i = 0; i < MANY; i++)
        memcpy(text + i * (sizeof GET_HELLO - 1), GET_HELLO, sizeof GET_HELLO);
    client_send_text(&c[0], text); /* at once: small sends would wait for each other */
    client_send_text(&c[1], "GET /count HTTP/1.1\r\nHost: a\r\n\r\n");
}

START_TEST(many_pipelined_requests_do_not_keep_others_waiting)
{
    rig_start(NULL);
    struct client c[2] = { client_open(), client_open() };
    rig_call(send_many_and_one, c);
    int before = atoi(client_reply(&c[1], false)->body);
    ck_assert_int_le(before, 100); /* a few turns, not the whole thousand */
    for (int i = 0; i < MANY; i++)
        expect_body(&c[0], 200, "hello\n");
    client_close(&c[0]);
    client_close(&c[1]);
    rig_stop();
}
END_TEST

START_TEST(pipelined_request_waits_for_the_answer_before_it)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO
                         "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO);
    rig_wait_for(held, 1);
    ck_assert(!client_is_readable(&c, 50));
    ck_assert_int_eq(rig_counts_now().requests, 1);
    rig_respond_held("first");
    expect_body(&c, 200, "first");
    expect_body(&c, 200, "hello\n");
    rig_wait_for(held, 1);
    rig_respond_held("second");
    expect_body(&c, 200, "second");
    expect_body(&c, 200, "hello\n");
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(stream_bytes_are_chunked_exactly)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "GET /burst HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO);
    struct reply *r = client_reply(&c, true); /* its head */
    ck_assert_str_eq(reply_header(r, "Transfer-Encoding"), "chunked");
    ck_assert_str_eq(reply_header(r, "Connection"), "keep-alive");
    ck_assert_ptr_null(reply_header(r, "Content-Length"));
    client_expect(&c, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
    expect_body(&c, 200, "hello\n");
    client_close(&c);
    rig_stop();
}
END_TEST

static void write_held(void *arg)
{
    struct http_exchange *x = rig_take_held();
    http_stream_write(x, arg, strlen(arg));
    http_stream_end(x);
}

START_TEST(stream_head_is_sent_before_the_first_chunk)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    ck_assert_int_eq(client_reply(&c, true)->status, 200);
    char text[] = "data: 1\n\n";
    rig_call(write_held, text);
    client_expect(&c, "9\r\ndata: 1\n\n\r\n0\r\n\r\n");
    client_send_text(&c, GET_HELLO);
    expect_body(&c, 200, "hello\n");
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(head_is_answered_without_a_body)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n"
                         "HEAD /burst HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO);
    struct reply *r = client_reply(&c, true);
    ck_assert_int_eq(r->status, 200);
    ck_assert_str_eq(reply_header(r, "Content-Length"), "6");
    r = client_reply(&c, true);
    ck_assert_int_eq(r->status, 200);
    ck_assert_str_eq(reply_header(r, "Transfer-Encoding"), "chunked");
    expect_body(&c, 200, "hello\n");
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(no_content_has_no_length)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO);
    struct reply *r = client_reply(&c, true);
    ck_assert_int_eq(r->status, 204);
    ck_assert_ptr_null(reply_header(r, "Content-Length"));
    expect_body(&c, 200, "hello\n");
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(http_1_0_streams_until_the_end)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    struct reply *r = client_reply(&c, false);
    ck_assert_str_eq(r->body, "hello\n");
    ck_assert_str_eq(reply_header(r, "Connection"), "keep-alive");
    client_send_text(&c, "GET /burst HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    r = client_reply(&c, true);
    ck_assert_ptr_null(reply_header(r, "Transfer-Encoding"));
    ck_assert_ptr_null(reply_header(r, "Content-Length"));
    ck_assert_str_eq(reply_header(r, "Connection"), "close");
    client_expect(&c, "onetwo");
    client_expect_eof(&c);
    client_close(&c);
    c = client_open();
    client_send_text(&c, "GET /hello HTTP/1.0\r\n\r\n");
    expect_body(&c, 200, "hello\n");
    client_expect_eof(&c);
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(close_is_honoured_and_nothing_behind_it_is_answered)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET_HELLO);
    struct reply *r = client_reply(&c, false);
    ck_assert_str_eq(reply_header(r, "Connection"), "close");
    client_expect_eof(&c);
    client_close(&c);
    ck_assert_int_eq(rig_counts_now().requests, 1);
    rig_stop();
}
END_TEST

START_TEST(chunked_upload_arrives_whole)
{
    enum {
        SIZE = 300000
    };
    static char body[SIZE];
    static char text[SIZE * 2];
    for (size_t i = 0; i < SIZE; i++)
        body[i] = (char)(i * 7 + i / 251);
    size_t len = (size_t)sprintf(text, "POST /echo HTTP/1.1\r\nHost: a\r\n"
                                       "Transfer-Encoding: chunked\r\n\r\n");
    size_t piece = 1;
    for (size_t at = 0; at < SIZE; at += piece) {
        piece = piece * 3 % 9973 + 1;
        if (piece > SIZE - at)
            piece = SIZE - at;
        len += (size_t)sprintf(text + len, "%zX\r\n", piece);
        memcpy(text + len, body + at, piece);
        len += piece;
        len += (size_t)sprintf(text + len, "\r\n");
    }
    len += (size_t)sprintf(text + len, "0\r\n\r\n");
    rig_start(NULL);
    struct client c = client_open();
    client_exchange(&c, text, len);
    struct reply *r = client_reply(&c, false);
    ck_assert_uint_eq(r->body_len, SIZE);
    ck_assert_mem_eq(r->body, body, SIZE);
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(large_answer_arrives_whole)
{
    rig_start(NULL);
    struct client c = client_open_narrow();
    client_send_text(&c, "GET /bytes?8000000 HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO);
    struct reply *r = client_reply(&c, false);
    ck_assert_uint_eq(r->body_len, 8000000);
    ck_assert_uint_eq(strspn(r->body, "x"), r->body_len);
    expect_body(&c, 200, "hello\n");
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(flood_is_held_back_by_its_reader)
{
    enum {
        SIZE = 20000000
    };
    rig_start(NULL);
    struct client c = client_open_narrow();
    client_send_text(&c, "GET /flood?20000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    struct reply *r = client_reply(&c, false);
    ck_assert_uint_eq(r->body_len, SIZE);
    struct rig_counts counts = rig_counts_now();
    ck_assert_int_ge(counts.drained, 1);
    ck_assert_uint_le(counts.pending_max, 256 * 1024 + 33 * 1024);
    client_send_text(&c, GET_HELLO);
    expect_body(&c, 200, "hello\n");
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(expect_continue_is_answered_before_the_body)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                         "Expect: 100-continue\r\n\r\n");
    client_expect(&c, "HTTP/1.1 100 Continue\r\n\r\n");
    ck_assert_int_eq(rig_counts_now().requests, 0);
    client_send_text(&c, "abc");
    expect_body(&c, 200, "abc");
    /* With the body here already, nobody waits for a 100. */
    client_send_text(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                         "Expect: 100-continue\r\n\r\nabc");
    expect_body(&c, 200, "abc");
    client_send_text(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                         "Expect: more\r\n\r\n");
    struct reply *r = client_reply(&c, false);
    ck_assert_int_eq(r->status, 417);
    client_expect_eof(&c);
    client_close(&c);
    rig_stop();
}
END_TEST

/* ---- refusals ---- */

static void expect_refused(const struct probe *probe)
{
    struct client c = client_open();
    client_send(&c, probe->text, probe_len(probe));
    client_send_text(&c, GET_HELLO);
    struct reply *r = client_reply(&c, strncmp(probe->text, "HEAD", 4) == 0);
    char expected[64];
    snprintf(expected, sizeof expected, "{\"status\":%d,", probe->status);
    ck_assert_int_eq(r->status, probe->status);
    ck_assert_str_eq(reply_header(r, "Connection"), "close");
    ck_assert_str_eq(reply_header(r, "Content-Type"), "application/json");
    ck_assert_int_eq(strncmp(r->body, expected, strlen(expected)), 0);
    client_expect_eof(&c);
    client_close(&c);
}

/* Refused, and the request behind it on the same connection is not answered. */
static void expect_row_refused(enum hostile_row row)
{
    struct http_options o;
    http_options_init(&o);
    o.body_bytes_max = HOSTILE_BODY_MAX;
    rig_start(&o);
    size_t count = 0;
    for (size_t i = 0; i < PROBE_COUNT; i++) {
        if (g_probes[i].row != row)
            continue;
        expect_refused(&g_probes[i]);
        count++;
    }
    ck_assert_uint_gt(count, 0);
    ck_assert_int_eq(rig_counts_now().requests, 0);
    ck_assert_uint_eq(rig_stats().parse_errors, count);
    rig_stop();
}

#define X(row, name)                                                                               \
    START_TEST(name)                                                                               \
    {                                                                                              \
        expect_row_refused(HOSTILE_##row);                                                         \
    }                                                                                              \
    END_TEST
HOSTILE_ROW_LIST(X)
#undef X

START_TEST(requests_before_a_refused_one_are_answered)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, GET_HELLO "GET /burst HTTP/1.1\r\nHost: a\r\n\r\n"
                                   "GET / HTTP/1.1\r\n\r\n" GET_HELLO);
    expect_body(&c, 200, "hello\n");
    expect_body(&c, 200, "onetwo");
    struct reply *r = client_reply(&c, false);
    ck_assert_int_eq(r->status, 400);
    ck_assert_ptr_nonnull(strstr(r->body, "\"code\":\"invalid_request\""));
    client_expect_eof(&c);
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(refusal_of_head_has_no_body)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "HEAD / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n");
    struct reply *r = client_reply(&c, true);
    ck_assert_int_eq(r->status, 417);
    client_expect_eof(&c);
    client_close(&c);
    rig_stop();
}
END_TEST

/* ---- listening ---- */

static void listen_again(void *arg)
{
    struct base_err_info *info = arg;
    uint16_t port = 1;
    enum base_err rc = http_server_listen(rig_server(), "127.0.0.1", rig_port(), &port, info);
    if (rc != E_IO || port != 0)
        abort();
}

static void listen_nowhere(void *arg)
{
    enum base_err rc = http_server_listen(rig_server(), "localhost", 0, NULL, arg);
    if (rc != E_INVALID)
        abort();
}

static void listen_elsewhere(void *arg)
{
    /* A network for documentation: no machine has this address. */
    enum base_err rc = http_server_listen(rig_server(), "203.0.113.1", 2000, NULL, arg);
    if (rc != E_IO)
        abort();
}

static void listen_after_drain(void *arg)
{
    http_server_drain(rig_server());
    enum base_err rc = http_server_listen(rig_server(), "127.0.0.1", 0, NULL, arg);
    if (rc != E_CLOSED)
        abort();
}

static void listen_v6(void *arg)
{
    uint16_t *port = arg;
    struct base_err_info info;
    enum base_err rc = http_server_listen(rig_server(), "::1", rig_port(), port, &info);
    if (rc != OK && rc != E_IO)
        abort();
}

START_TEST(listening_fails_with_advice)
{
    rig_start(NULL);
    struct base_err_info info = { .code = OK };
    rig_call(listen_again, &info);
    char expected[128];
    snprintf(expected, sizeof expected,
             "cannot listen on 127.0.0.1:%d: address already in use; choose another --port",
             rig_port());
    ck_assert_str_eq(info.message, expected);
    ck_assert_int_eq(info.sys_errno, EADDRINUSE);
    rig_call(listen_nowhere, &info);
    ck_assert_ptr_nonnull(strstr(info.message, "\"localhost\" is not a numeric address"));
    rig_call(listen_elsewhere, &info);
    ck_assert_ptr_nonnull(strstr(info.message, "203.0.113.1:2000: "));
    ck_assert_ptr_nonnull(strstr(info.message, "choose another --host"));
    /* What failed has left no trace. */
    struct client c = client_open();
    client_send_text(&c, GET_HELLO);
    expect_body(&c, 200, "hello\n");
    client_close(&c);
    rig_call(listen_after_drain, &info);
    rig_stop();
}
END_TEST

START_TEST(both_families_listen_on_the_same_port)
{
    rig_start(NULL);
    uint16_t port = 0;
    rig_call(listen_v6, &port);
    if (port) { /* a machine without IPv6 says E_IO */
        ck_assert_int_eq(port, rig_port());
        struct client c = client_of(socket(AF_INET6, SOCK_STREAM, 0));
        struct sockaddr_in6 name = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
        name.sin6_addr = in6addr_loopback;
        ck_assert_int_eq(connect(c.fd, (struct sockaddr *)&name, sizeof name), 0);
        if (rig_is_tls())
            c.ssl = tls_connect(c.fd, 0);
        client_send_text(&c, GET_HELLO);
        expect_body(&c, 200, "hello\n");
        client_close(&c);
    }
    rig_stop();
}
END_TEST

START_TEST(create_has_sigpipe_ignored)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    sigaction(SIGPIPE, &action, NULL);
    rig_start(NULL);
    sigaction(SIGPIPE, NULL, &action);
    ck_assert(action.sa_handler == SIG_IGN);
    rig_stop();
}
END_TEST

/* ---- refused memory and writes ---- */

#if VALET_CHECKS
static void use_server(void)
{
    static const char text[] = "POST /echo HTTP/1.1\r\nHost: a\r\n"
                               "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
                               "3\r\nabc\r\n0\r\n\r\nGET /burst HTTP/1.1\r\nHost: a\r\n\r\n"
                               "GET /flood?600000 HTTP/1.1\r\nHost: a\r\n\r\n"
                               "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    struct client c;
    bool goes_on = client_try_open_narrow(&c);
    for (size_t i = 0; i < sizeof text - 1 && goes_on; i += 50) {
        size_t n = sizeof text - 1 - i < 50 ? sizeof text - 1 - i : 50;
        goes_on = client_try_send(&c, text + i, n);
    }
    while (client_receive(&c))
        continue;
    client_close(&c);
}

static void survive_each(enum fault_kind kind)
{
    rig_start(NULL);
    bool fired = true;
    for (unsigned n = 1; fired; n++) {
        fault_arm(kind, n);
        use_server();
        fired = fault_disarm();
        struct client c = client_open();
        client_send_text(&c, GET_HELLO);
        expect_body(&c, 200, "hello\n");
        client_close(&c);
        ck_assert_uint_lt(n, 500);
    }
    rig_stop();
}

START_TEST(refused_memory_costs_one_connection)
{
    survive_each(FAULT_ALLOC);
}
END_TEST

START_TEST(failed_write_costs_one_connection)
{
    survive_each(FAULT_WRITE);
}
END_TEST

#endif

static void no_request(void *arg, struct http_exchange *x, const struct http_request *request)
{
    (void)arg;
    (void)request;
    http_exchange_abort(x);
}

static void no_gone(void *arg, struct http_exchange *x)
{
    (void)arg;
    (void)x;
}

START_TEST(limit_of_zero_is_no_limit_but_an_error)
{
    const struct http_handler handler = { .request = no_request, .gone = no_gone };
    struct http_options o[5];
    for (size_t i = 0; i < 5; i++)
        http_options_init(&o[i]);
    o[0].header_bytes_max = 0;
    o[1].write_timeout_ms = 0;
    o[2].connections_max = 0;
    o[3].pipeline_bytes_max = SIZE_MAX;
    o[4].server_name = "a\r\nSet-Cookie: b";
    uv_loop_t loop;
    uv_loop_init(&loop);
    for (size_t i = 0; i < 5; i++) {
        struct http_server *server;
        ck_assert_int_eq(http_server_create(&loop, &o[i], &handler, &server), E_INVALID);
        ck_assert_ptr_null(server);
    }
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

#if VALET_CHECKS
START_TEST(refused_memory_at_the_start_is_an_error)
{
    const struct http_handler handler = { .request = no_request, .gone = no_gone };
    struct http_options o;
    http_options_init(&o);
    o.server_name = "valet";
    uv_loop_t loop;
    uv_loop_init(&loop);
    for (unsigned n = 1;; n++) {
        struct http_server *server = NULL;
        fault_arm(FAULT_ALLOC, n);
        enum base_err rc = http_server_create(&loop, &o, &handler, &server);
        if (!rc)
            rc = http_server_listen(server, "127.0.0.1", 0, NULL, NULL);
        bool fired = fault_disarm();
        ck_assert_int_eq(rc, fired ? E_NOMEM : OK);
        if (server)
            http_server_close(server, NULL, NULL);
        uv_run(&loop, UV_RUN_DEFAULT);
        ck_assert_uint_eq(mem_live_blocks(), 0);
        if (!fired)
            break;
    }
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("http.server");
    TCase *tc = tcase_create("server");
    tcase_set_timeout(tc, 100);
    tcase_add_test(tc, answer_has_its_headers);
    tcase_add_test(tc, connection_is_kept_alive);
    tcase_add_test(tc, request_in_single_bytes_is_answered);
    tcase_add_test(tc, request_parts_reach_the_handler);
    tcase_add_test(tc, hundred_requests_in_one_write_are_answered_in_order);
    tcase_add_test(tc, many_pipelined_requests_do_not_recurse);
    tcase_add_test(tc, many_pipelined_requests_do_not_keep_others_waiting);
    tcase_add_test(tc, pipelined_request_waits_for_the_answer_before_it);
    tcase_add_test(tc, stream_bytes_are_chunked_exactly);
    tcase_add_test(tc, stream_head_is_sent_before_the_first_chunk);
    tcase_add_test(tc, head_is_answered_without_a_body);
    tcase_add_test(tc, no_content_has_no_length);
    tcase_add_test(tc, http_1_0_streams_until_the_end);
    tcase_add_test(tc, close_is_honoured_and_nothing_behind_it_is_answered);
    tcase_add_test(tc, chunked_upload_arrives_whole);
    tcase_add_test(tc, large_answer_arrives_whole);
    tcase_add_test(tc, flood_is_held_back_by_its_reader);
    tcase_add_test(tc, expect_continue_is_answered_before_the_body);
#define X(row, name) tcase_add_test(tc, name);
    HOSTILE_ROW_LIST(X)
#undef X
    tcase_add_test(tc, requests_before_a_refused_one_are_answered);
    tcase_add_test(tc, refusal_of_head_has_no_body);
    tcase_add_test(tc, listening_fails_with_advice);
    tcase_add_test(tc, both_families_listen_on_the_same_port);
    tcase_add_test(tc, create_has_sigpipe_ignored);
    tcase_add_test(tc, limit_of_zero_is_no_limit_but_an_error);
#if VALET_CHECKS
    tcase_add_test(tc, refused_memory_costs_one_connection);
    tcase_add_test(tc, failed_write_costs_one_connection);
    tcase_add_test(tc, refused_memory_at_the_start_is_an_error);
#endif
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
