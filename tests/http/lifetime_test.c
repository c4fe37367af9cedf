/* A real server: when the handler hears of a client's end, and the server's own end. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/rig.h"

#define GET_HELLO "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

static void expect_body(struct client *c, int status, const char *body)
{
    struct reply *r = client_reply(c, false);
    ck_assert_int_eq(r->status, status);
    ck_assert_str_eq(r->body, body);
}

/* ---- the client's end ---- */

START_TEST(client_that_leaves_a_silent_answer_is_gone)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_wait_for(held, 1);
    client_close(&c);
    ck_assert_int_eq(rig_wait_for(gone, 1).held, 0);
    ck_assert_uint_eq(rig_stats().exchanges, 0);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().gone, 1);
}
END_TEST

START_TEST(client_that_resets_is_gone)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO);
    rig_wait_for(held, 1);
    client_reset(&c);
    rig_wait_for(gone, 1);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().gone, 1);
    ck_assert_int_eq(rig_counts_now().requests, 1);
}
END_TEST

START_TEST(half_close_counts_as_gone)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_wait_for(held, 1);
    shutdown(c.fd, SHUT_WR);
    rig_wait_for(gone, 1);
    client_expect_end(&c);
    client_close(&c);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().gone, 1);
}
END_TEST

START_TEST(client_that_leaves_a_stream_is_gone_once)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "GET /flood?1000000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    ck_assert_int_eq(client_reply(&c, true)->status, 200);
    client_receive(&c);
    client_close(&c); /* with bytes unread, so the server sees a reset */
    rig_wait_for(gone, 1);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().gone, 1);
}
END_TEST

START_TEST(gone_is_not_called_after_the_end)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "GET /bytes?1000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_wait_for(requests, 1);
    client_close(&c);
    c = client_open();
    client_send_text(&c, GET_HELLO);
    expect_body(&c, 200, "hello\n");
    shutdown(c.fd, SHUT_WR);
    client_expect_eof(&c);
    client_close(&c);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().gone, 0);
}
END_TEST

START_TEST(request_with_half_close_behind_it_gets_its_answer)
{
    rig_start(NULL);
    struct client c = client_open_narrow();
    client_send_text(&c, "GET /bytes?8000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_wait_for(requests, 1);
    shutdown(c.fd, SHUT_WR); /* most of the answer still waits */
    ck_assert_uint_eq(client_reply(&c, false)->body_len, 8000000);
    client_expect_eof(&c);
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(client_that_leaves_within_a_request_is_forgotten)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "GET /hello HTT");
    client_close(&c);
    c = client_open();
    client_send_text(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    shutdown(c.fd, SHUT_WR);
    client_expect_end(&c);
    client_close(&c);
    c = client_open();
    client_close(&c);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().requests, 0);
    ck_assert_int_eq(rig_counts_now().gone, 0);
}
END_TEST

START_TEST(many_clients_that_leave_at_once_are_all_gone)
{
    enum {
        COUNT = 200
    };
    rig_start(NULL);
    struct client c[COUNT];
    for (int i = 0; i < COUNT; i++) {
        c[i] = client_open();
        client_send_text(&c[i], i % 2 ? "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
                                      : "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    rig_wait_for(held, COUNT);
    for (int i = 0; i < COUNT; i++)
        client_close(&c[i]);
    ck_assert_int_eq(rig_wait_for(gone, COUNT).held, 0);
    struct client fresh = client_open();
    client_send_text(&fresh, GET_HELLO);
    expect_body(&fresh, 200, "hello\n");
    client_close(&fresh);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().gone, COUNT);
}
END_TEST

static void abort_held(void *arg)
{
    (void)arg;
    http_exchange_abort(rig_take_held());
}

START_TEST(aborted_exchange_is_cut)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "GET /abort HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO);
    client_expect_end(&c);
    client_close(&c);
    c = client_open();
    client_send_text(&c, "GET /stream HTTP/1.0\r\n\r\n");
    rig_wait_for(held, 1);
    rig_call(abort_held, NULL);
    while (client_receive(&c))
        continue;
    ck_assert(c.is_reset); /* an orderly end would look like a whole answer */
    client_close(&c);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().gone, 0);
    ck_assert_int_eq(rig_counts_now().requests, 2);
}
END_TEST

/* ---- the server's end ---- */

static void drain(void *arg)
{
    (void)arg;
    http_server_drain(rig_server());
}

START_TEST(drain_answers_what_has_begun_and_takes_nothing_new)
{
    static const char begun[] = "GET /hello HT";
    static const char hold[] = "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO;
    static const char stream_get[] = "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n";
    rig_start(NULL);
    struct client idle = client_open();
    client_send_text(&idle, GET_HELLO);
    expect_body(&idle, 200, "hello\n");
    struct client half = client_open();
    client_send_text(&half, begun);
    struct client busy = client_open();
    client_send_text(&busy, hold);
    struct client stream = client_open();
    client_send_text(&stream, stream_get);
    rig_wait_for(held, 2);
    size_t all = strlen(GET_HELLO) + strlen(begun) + strlen(hold) + strlen(stream_get);
    while (rig_stats().bytes_in < all)
        poll(NULL, 0, 5);
    rig_call(drain, NULL);

    client_expect_eof(&idle);
    struct reply *r = client_reply(&half, false);
    ck_assert_int_eq(r->status, 503);
    ck_assert_ptr_nonnull(strstr(r->body, "\"code\":\"draining\""));
    client_expect_eof(&half);

    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(rig_port()) };
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    rig_stats(); /* the listener's handle is closed in the turn of the drain */
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&name, sizeof name), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);
    close(fd);

    rig_call(abort_held, NULL);
    rig_call(abort_held, NULL);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().requests, 3);
    ck_assert_int_eq(rig_counts_now().gone, 0);
    client_close(&idle);
    client_close(&half);
    client_close(&busy);
    client_close(&stream);
}
END_TEST

START_TEST(answer_during_drain_closes_the_connection)
{
    rig_start(NULL);
    struct client c = client_open();
    client_send_text(&c, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO);
    rig_wait_for(held, 1);
    rig_call(drain, NULL);
    rig_respond_held("last");
    struct reply *r = client_reply(&c, false);
    ck_assert_str_eq(r->body, "last");
    ck_assert_str_eq(reply_header(r, "Connection"), "close");
    client_expect_eof(&c);
    client_close(&c);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().requests, 1);
}
END_TEST

START_TEST(close_makes_running_exchanges_gone)
{
    rig_start(NULL);
    struct client hold = client_open();
    client_send_text(&hold, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    struct client stream = client_open();
    client_send_text(&stream, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    struct client idle = client_open();
    client_send_text(&idle, GET_HELLO);
    expect_body(&idle, 200, "hello\n");
    rig_wait_for(held, 2);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().gone, 2);
    client_expect_end(&hold);
    client_expect_end(&idle);
    client_close(&hold);
    client_close(&stream);
    client_close(&idle);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http.lifetime");
    TCase *tc = tcase_create("lifetime");
    tcase_set_timeout(tc, 100);
    tcase_add_test(tc, client_that_leaves_a_silent_answer_is_gone);
    tcase_add_test(tc, client_that_resets_is_gone);
    tcase_add_test(tc, half_close_counts_as_gone);
    tcase_add_test(tc, client_that_leaves_a_stream_is_gone_once);
    tcase_add_test(tc, gone_is_not_called_after_the_end);
    tcase_add_test(tc, request_with_half_close_behind_it_gets_its_answer);
    tcase_add_test(tc, client_that_leaves_within_a_request_is_forgotten);
    tcase_add_test(tc, many_clients_that_leave_at_once_are_all_gone);
    tcase_add_test(tc, aborted_exchange_is_cut);
    if (!rig_is_tls()) /* its bytes cannot be counted exactly; tls_test.c drains as well */
        tcase_add_test(tc, drain_answers_what_has_begun_and_takes_nothing_new);
    tcase_add_test(tc, answer_during_drain_closes_the_connection);
    tcase_add_test(tc, close_makes_running_exchanges_gone);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
