/* How a server gives clients up: slow readers, crowds from one address, and the drain. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/rig.h"

#define GET_HELLO "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_HOLD "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_STREAM "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"

static struct http_options options(void)
{
    struct http_options o;
    http_options_init(&o);
    return o;
}

static void expect_reply(struct client *c, int status, const char *body)
{
    struct reply *r = client_reply(c, false);
    ck_assert_int_eq(r->status, status);
    if (!strstr(r->body, body))
        ck_abort_msg("expected '%s' in '%s'", body, r->body);
}

/* ---- slow readers ---- */

static char g_piece[1024 * 1024];

/* Writes more to the oldest stream than the kernel's buffers and stream_drop_bytes take. */
static void write_much(void *arg)
{
    (void)arg;
    struct http_exchange *x = rig_take_held();
    for (int i = 0; i < 16; i++)
        http_stream_write(x, g_piece, sizeof g_piece);
    ck_assert_uint_le(http_exchange_pending_bytes(x), 3 * sizeof g_piece);
}

START_TEST(stream_that_piles_up_is_cut)
{
    struct http_options o = options();
    o.stream_drop_bytes = sizeof g_piece * 3 / 2;
    rig_start(&o);
    struct client c = client_open_narrow();
    client_send_text(&c, GET_STREAM);
    rig_wait_for(held, 1);
    rig_call(write_much, NULL);
    struct rig_counts counts = rig_wait_for(gone, 1);
    ck_assert_int_eq(counts.slow, 1);
    ck_assert_uint_eq(rig_stats().slow_readers, 1);
    while (client_receive(&c))
        continue;
    ck_assert(c.is_reset); /* not an orderly end */
    client_close(&c);
    rig_stop();
}
END_TEST

/* Takes a byte now and then, so that it is not silent, but never enough to go on. */
START_TEST(stream_that_stays_paused_is_cut)
{
    struct http_options o = options();
    o.stream_pause_bytes = 128 * 1024;
    o.stream_pause_ms = 400;
    o.write_timeout_ms = 1000000;
    rig_start(&o);
    struct client c = client_open_narrow();
    client_send_text(&c, "GET /flood?1000000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    while (client_receive(&c)) {
        c.len = 0;
        poll(NULL, 0, 100); /* a few KiB each time */
    }
    ck_assert(c.is_reset);
    struct rig_counts counts = rig_wait_for(gone, 1);
    ck_assert_int_eq(counts.slow, 1);
    client_close(&c);
    rig_stop();
}
END_TEST

/* Does not read at all; the pause ends it long before the write timeout would. */
START_TEST(paused_stream_of_a_silent_client_is_cut)
{
    struct http_options o = options();
    o.stream_pause_bytes = 128 * 1024;
    o.stream_pause_ms = 300;
    o.write_timeout_ms = 1000000;
    rig_start(&o);
    struct client c = client_open_narrow();
    client_send_text(&c, "GET /flood?1000000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    ck_assert_int_eq(rig_wait_for(gone, 1).slow, 1);
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(stream_that_is_read_is_not_cut)
{
    struct http_options o = options();
    o.stream_pause_bytes = 128 * 1024;
    o.stream_pause_ms = 1000000;
    o.stream_drop_bytes = 512 * 1024;
    rig_start(&o);
    struct client c = client_open_narrow();
    client_send_text(&c, "GET /flood?5000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    ck_assert_uint_eq(client_reply(&c, false)->body_len, 5000000);
    client_close(&c);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().gone, 0);
}
END_TEST

/* ---- one address ---- */

/* An address of this machine that is not loopback; false if it has none. */
static bool own_address(char out[INET_ADDRSTRLEN])
{
    struct ifaddrs *all;
    bool found = false;
    ck_assert_int_eq(getifaddrs(&all), 0);
    for (struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || i->ifa_flags & IFF_LOOPBACK)
            continue;
        struct sockaddr_in in4;
        memcpy(&in4, i->ifa_addr, sizeof in4);
        found = inet_ntop(AF_INET, &in4.sin_addr, out, INET_ADDRSTRLEN) != NULL;
    }
    freeifaddrs(all);
    return found;
}

struct listening {
    char address[INET_ADDRSTRLEN];
    uint16_t port;
    enum base_err rc;
};

static void listen_there(void *arg)
{
    struct listening *l = arg;
    l->rc = http_server_listen(rig_server(), l->address, 0, &l->port, NULL);
}

static struct client connect_there(const struct listening *l)
{
    struct client c = client_of(socket(AF_INET, SOCK_STREAM, 0));
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(l->port) };
    inet_pton(AF_INET, l->address, &name.sin_addr);
    ck_assert_int_eq(connect(c.fd, (struct sockaddr *)&name, sizeof name), 0);
    return c;
}

START_TEST(one_address_gets_its_share_and_loopback_all)
{
    struct http_options o = options();
    o.connections_per_address_max = 2;
    rig_start(&o);
    struct client local[3];
    for (int i = 0; i < 3; i++) {
        local[i] = client_open();
        client_send_text(&local[i], GET_HELLO);
        expect_reply(&local[i], 200, "hello");
    }
    struct listening l;
    if (own_address(l.address)) {
        rig_call(listen_there, &l);
        ck_assert_int_eq(l.rc, OK);
        struct client a = connect_there(&l);
        struct client b = connect_there(&l);
        client_send_text(&a, GET_HELLO);
        client_send_text(&b, GET_HELLO);
        expect_reply(&a, 200, "hello");
        expect_reply(&b, 200, "hello");
        struct client third = connect_there(&l);
        struct reply *r = client_reply(&third, false);
        ck_assert_int_eq(r->status, 503);
        ck_assert_ptr_nonnull(strstr(r->body, "from this address"));
        client_expect_eof(&third);
        client_close(&third);
        client_close(&a);
        while (rig_stats().connections > 4)
            poll(NULL, 0, 5);
        struct client fourth = connect_there(&l);
        client_send_text(&fourth, GET_HELLO);
        expect_reply(&fourth, 200, "hello");
        client_close(&fourth);
        client_close(&b);
    } else {
        printf("note: no address but loopback; only loopback is tried\n");
    }
    for (int i = 0; i < 3; i++)
        client_close(&local[i]);
    rig_stop();
}
END_TEST

/* ---- the drain ---- */

static void drain(void *arg)
{
    (void)arg;
    http_server_drain(rig_server());
}

static void take_is_drained(void *arg)
{
    *(bool *)arg = http_server_is_drained(rig_server());
}

static bool is_drained(void)
{
    bool drained = false;
    rig_call(take_is_drained, &drained);
    return drained;
}

START_TEST(idle_connection_may_ask_once_more_in_a_drain)
{
    struct http_options o = options();
    o.drain_idle_ms = 10000;
    rig_start(&o);
    struct client asks = client_open();
    client_send_text(&asks, GET_HELLO);
    expect_reply(&asks, 200, "hello");
    rig_call(drain, NULL);
    client_send_text(&asks, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    struct reply *r = client_reply(&asks, false);
    ck_assert_int_eq(r->status, 503);
    ck_assert_str_eq(reply_header(r, "Connection"), "close");
    ck_assert_ptr_nonnull(strstr(r->body, "\"code\":\"draining\""));
    client_expect_eof(&asks);
    client_close(&asks);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().requests, 1);
}
END_TEST

START_TEST(idle_connection_ends_when_its_time_in_a_drain_is_over)
{
    struct http_options o = options();
    o.drain_idle_ms = 100;
    rig_start(&o);
    struct client c = client_open();
    client_send_text(&c, GET_HELLO);
    expect_reply(&c, 200, "hello");
    ck_assert(!is_drained());
    rig_call(drain, NULL);
    client_expect_eof(&c);
    client_close(&c);
    while (!is_drained())
        poll(NULL, 0, 5);
    rig_stop();
}
END_TEST

static void end_stream(void *arg)
{
    (void)arg;
    struct http_exchange *x = rig_take_held();
    http_stream_write(x, "rest", 4);
    http_stream_end(x);
}

START_TEST(stream_that_runs_into_a_drain_ends_whole)
{
    struct http_options o = options();
    o.drain_idle_ms = 10000;
    rig_start(&o);
    struct client c = client_open();
    client_send_text(&c, GET_STREAM);
    rig_wait_for(held, 1);
    rig_call(drain, NULL);
    rig_call(end_stream, NULL);
    struct reply *r = client_reply(&c, false);
    ck_assert_str_eq(r->body, "rest");
    ck_assert_str_eq(reply_header(r, "Connection"), "keep-alive"); /* said before the drain */
    client_send_text(&c, GET_HELLO);
    expect_reply(&c, 503, "draining");
    client_expect_eof(&c);
    client_close(&c);
    rig_stop();
}
END_TEST

/* The server is drained only when the last byte is delivered, not when it was made. */
START_TEST(drain_waits_for_answers_to_be_read)
{
    rig_start(NULL);
    struct client c = client_open_narrow();
    client_send_text(&c, "GET /bytes?8000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_wait_for(requests, 1);
    rig_call(drain, NULL);
    ck_assert(!is_drained());
    ck_assert_uint_eq(rig_stats().exchanges, 0);
    ck_assert_uint_eq(client_reply(&c, false)->body_len, 8000000);
    client_expect_eof(&c);
    client_close(&c);
    while (!is_drained())
        poll(NULL, 0, 5);
    rig_stop();
}
END_TEST

/* Held by the drain itself, so that the loop cannot accept them before. */
static void connect_and_drain(void *arg)
{
    struct client *c = arg;
    for (int i = 0; i < 3; i++)
        c[i] = client_open_plain();
    http_server_drain(rig_server());
}

START_TEST(client_that_waits_to_be_accepted_hears_of_the_drain)
{
    rig_start(NULL);
    struct client c[3];
    rig_call(connect_and_drain, c);
    for (int i = 0; i < 3; i++) {
        if (!rig_is_tls()) /* there it would cost a handshake */
            expect_reply(&c[i], 503, "draining");
        client_expect_eof(&c[i]);
        client_close(&c[i]);
    }
    rig_stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http.end");
    TCase *tc = tcase_create("end");
    tcase_set_timeout(tc, 100);
    tcase_add_test(tc, stream_that_piles_up_is_cut);
    tcase_add_test(tc, stream_that_stays_paused_is_cut);
    tcase_add_test(tc, paused_stream_of_a_silent_client_is_cut);
    tcase_add_test(tc, stream_that_is_read_is_not_cut);
    if (!rig_is_tls())
        tcase_add_test(tc, one_address_gets_its_share_and_loopback_all);
    tcase_add_test(tc, idle_connection_may_ask_once_more_in_a_drain);
    tcase_add_test(tc, idle_connection_ends_when_its_time_in_a_drain_is_over);
    tcase_add_test(tc, stream_that_runs_into_a_drain_ends_whole);
    tcase_add_test(tc, drain_waits_for_answers_to_be_read);
    tcase_add_test(tc, client_that_waits_to_be_accepted_hears_of_the_drain);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
