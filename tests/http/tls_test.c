/* TLS at a real socket: what is agreed on, what is refused, what it costs. */
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/mem.h"
#include "http/rig.h"
#include "http/sanitized.h"

#define GET_HELLO "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

static void expect_hello(struct client *c)
{
    client_send_text(c, GET_HELLO);
    struct reply *r = client_reply(c, false);
    ck_assert_int_eq(r->status, 200);
    ck_assert_str_eq(r->body, "hello\n");
}

struct change {
    const char *certificate;
    const char *key;
    enum base_err rc;
    struct base_err_info info;
};

static void change_certificate(void *arg)
{
    struct change *change = arg;
    change->rc = http_server_set_tls(rig_server(), change->certificate, change->key, &change->info);
}

static struct change load(const char *certificate, const char *key)
{
    struct change change = { .certificate = certificate, .key = key };
    rig_call(change_certificate, &change);
    return change;
}

/* ---- what is agreed on ---- */

START_TEST(versions_1_2_and_1_3_are_spoken_and_none_older)
{
    rig_start(NULL);
    const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    for (size_t i = 0; i < 2; i++) {
        struct client c = client_open_plain();
        c.ssl = tls_connect(c.fd, versions[i]);
        ck_assert_int_eq(SSL_version(c.ssl), versions[i]);
        expect_hello(&c);
        client_close(&c);
    }
    const int old[] = { TLS1_VERSION, TLS1_1_VERSION };
    for (size_t i = 0; i < 2; i++) {
        struct client c = client_open_plain();
        ck_assert_ptr_null(tls_try_connect(c.fd, old[i], NULL));
        client_close(&c);
    }
    rig_stop();
}
END_TEST

START_TEST(alpn_is_http_1_1_or_a_refusal)
{
    rig_start(NULL);
    struct client c = client_open_plain();
    c.ssl = tls_try_connect(c.fd, 0, "\x02h2\x08http/1.1");
    ck_assert_ptr_nonnull(c.ssl);
    const unsigned char *chosen;
    unsigned len;
    SSL_get0_alpn_selected(c.ssl, &chosen, &len);
    ck_assert_uint_eq(len, 8);
    ck_assert_mem_eq(chosen, "http/1.1", 8);
    expect_hello(&c);
    client_close(&c);
    c = client_open_plain();
    ck_assert_ptr_null(tls_try_connect(c.fd, 0, "\x02h2"));
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(renegotiation_is_refused)
{
    rig_start(NULL);
    struct client c = client_open_plain();
    c.ssl = tls_connect(c.fd, TLS1_2_VERSION);
    expect_hello(&c);
    SSL_renegotiate(c.ssl);
    ck_assert_int_ne(SSL_do_handshake(c.ssl), 1);
    ERR_clear_error();
    client_close(&c);
    rig_stop();
}
END_TEST

/* Each asks for an answer, and none is read: they must not pile up. */
START_TEST(flood_of_key_updates_is_cut)
{
    enum {
        COUNT = 2000000
    };
    rig_start(NULL);
    struct client c = client_open_narrow();
    expect_hello(&c);
    uint64_t before = mem_live_bytes(MEM_HTTP);
    int sent = 0;
    while (sent < COUNT && SSL_key_update(c.ssl, SSL_KEY_UPDATE_REQUESTED) == 1 &&
           SSL_do_handshake(c.ssl) == 1) {
        if (++sent % 1000 == 0)
            ck_assert_uint_le(mem_live_bytes(MEM_HTTP), before + 1024 * 1024);
    }
    ck_assert_int_lt(sent, COUNT);
    ERR_clear_error();
    client_close(&c);
    rig_stop();
}
END_TEST

/* ---- what is no TLS ---- */

START_TEST(plain_http_is_told_so_in_plain)
{
    rig_start(NULL);
    struct client c = client_open_plain();
    client_send_text(&c, GET_HELLO GET_HELLO);
    struct reply *r = client_reply(&c, false);
    ck_assert_int_eq(r->status, 400);
    ck_assert_str_eq(reply_header(r, "Connection"), "close");
    ck_assert_ptr_nonnull(strstr(r->body, "TLS"));
    client_expect_eof(&c);
    client_close(&c);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().requests, 0);
}
END_TEST

/* Ends with an alert (21) or nothing, and with no byte of HTTP. */
static void expect_alert_and_end(struct client *c)
{
    while (client_receive(c))
        continue;
    ck_assert(!c->is_reset);
    ck_assert(c->len == 0 || c->buf[0] == 21);
}

START_TEST(garbage_is_closed_cleanly)
{
    static const struct {
        const char *bytes;
        size_t len;
    } garbage[] = {
        { "\0\0\0\0\0\0\0\0", 8 },
        { "get / http/1.1\r\n\r\n", 18 },
        { "\x16\x03\x01\x00\x05hello", 10 },
        { "\x16\x03\x01\xff\xff----------", 15 },
        { "\x15\x03\x03\x00\x02\x02\x28", 7 },
        { "\x80\x0d\x01\x00\x02----------", 15 }, /* SSL 2 */
    };
    rig_start(NULL);
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        struct client c = client_open_plain();
        client_send(&c, garbage[i].bytes, garbage[i].len);
        expect_alert_and_end(&c);
        client_close(&c);
    }
    struct client c = client_open();
    expect_hello(&c);
    client_close(&c);
    ck_assert_uint_ge(rig_stats().parse_errors, sizeof garbage / sizeof garbage[0]);
    rig_stop();
}
END_TEST

START_TEST(plain_bytes_within_tls_end_the_connection)
{
    rig_start(NULL);
    struct client c = client_open();
    expect_hello(&c);
    SSL_free(c.ssl);
    c.ssl = NULL;
    client_send_text(&c, GET_HELLO);
    while (client_receive(&c))
        continue;
    ck_assert(c.len == 0 || !memmem(c.buf, c.len, "HTTP", 4));
    client_close(&c);
    rig_stop();
    ck_assert_int_eq(rig_counts_now().requests, 1);
}
END_TEST

START_TEST(slow_handshake_is_closed)
{
    struct http_options o;
    http_options_init(&o);
    o.header_timeout_ms = 200;
    rig_start(&o);
    struct client silent = client_open_plain();
    struct client slow = client_open_plain();
    client_send(&slow, "\x16\x03\x01\x02", 4);
    client_expect_end(&silent);
    client_expect_end(&slow);
    client_close(&silent);
    client_close(&slow);
    rig_stop();
}
END_TEST

START_TEST(connection_over_the_limit_costs_no_handshake)
{
    struct http_options o;
    http_options_init(&o);
    o.connections_max = 1;
    rig_start(&o);
    struct client first = client_open();
    expect_hello(&first);
    struct client second = client_open_plain();
    client_expect_eof(&second);
    expect_hello(&first);
    client_close(&first);
    client_close(&second);
    rig_stop();
}
END_TEST

/* ---- the certificate ---- */

START_TEST(certificate_is_changed_at_run_time)
{
    rig_start(NULL);
    struct tls_pair pair = tls_pair_create("second.example");
    struct client before = client_open();
    expect_hello(&before);
    ck_assert_int_eq(load(pair.certificate, pair.key).rc, OK);
    struct client after = client_open();
    ck_assert_str_eq(tls_server_name(after.ssl), "second.example");
    ck_assert_str_eq(tls_server_name(before.ssl), "localhost");
    expect_hello(&before);
    expect_hello(&after);
    client_close(&before);
    client_close(&after);
    tls_pair_remove(&pair);
    rig_stop();
}
END_TEST

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

START_TEST(bad_pair_is_refused_and_the_old_one_kept)
{
    rig_start(NULL);
    struct tls_pair a = tls_pair_create("a.example");
    struct tls_pair b = tls_pair_create("b.example");
    struct change change = load(a.certificate, b.key);
    ck_assert_int_eq(change.rc, E_INVALID);
    ck_assert_ptr_nonnull(strstr(change.info.message, b.key));
    change = load("/nowhere/certificate.pem", a.key);
    ck_assert_int_eq(change.rc, E_IO);
    ck_assert_ptr_nonnull(strstr(change.info.message, "No such file"));
    ck_assert_int_eq(load(a.certificate, "/nowhere/key.pem").rc, E_IO);
    ck_assert_int_eq(load(a.key, a.key).rc, E_IO);
    write_file(b.certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    ck_assert_int_eq(load(b.certificate, b.key).rc, E_IO);
    write_file(b.certificate, "");
    ck_assert_int_eq(load(b.certificate, b.key).rc, E_IO);
    struct client c = client_open();
    ck_assert_str_eq(tls_server_name(c.ssl), "localhost");
    expect_hello(&c);
    client_close(&c);
    tls_pair_remove(&a);
    tls_pair_remove(&b);
    rig_stop();
}
END_TEST

/* ---- the end ---- */

static void drain(void *arg)
{
    (void)arg;
    http_server_drain(rig_server());
}

START_TEST(drain_ends_idle_connections_in_order)
{
    rig_start(NULL);
    struct client idle = client_open();
    expect_hello(&idle);
    struct client busy = client_open();
    client_send_text(&busy, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    struct client shaking = client_open_plain();
    rig_wait_for(held, 1);
    rig_call(drain, NULL);
    client_expect_eof(&idle); /* close_notify, then the end */
    client_expect_eof(&shaking);
    rig_respond_held("last");
    struct reply *r = client_reply(&busy, false);
    ck_assert_str_eq(r->body, "last");
    ck_assert_str_eq(reply_header(r, "Connection"), "close");
    client_expect_eof(&busy);
    client_close(&idle);
    client_close(&busy);
    client_close(&shaking);
    rig_stop();
}
END_TEST

/* ---- memory ---- */

enum {
    IDLE_COUNT = 1000
};

/* Leaves `count` idle clients behind, each after one request. */
static void open_idle(struct client *clients, int count)
{
    for (int i = 0; i < count; i++) {
        clients[i] = client_open();
        expect_hello(&clients[i]);
    }
}

/*
 * The clients live in a process of their own, so that only the server's memory is seen. It
 * waits for a byte before each step and answers with one.
 */
static void run_clients(int in, int out)
{
    static struct client clients[IDLE_COUNT];
    char byte = 0;
    if (read(in, &byte, 1) == 1)
        open_idle(clients, 1);
    (void)!write(out, &byte, 1);
    if (read(in, &byte, 1) == 1)
        open_idle(clients + 1, IDLE_COUNT - 1);
    (void)!write(out, &byte, 1);
    (void)!read(in, &byte, 1);
    _exit(0);
}

static void step_clients(const int to[2], const int from[2])
{
    char byte = 'x';
    ck_assert_int_eq(write(to[1], &byte, 1), 1);
    ck_assert_int_eq(read(from[0], &byte, 1), 1);
}

static void expect_idle_cost(long bytes_max)
{
    int to[2];
    int from[2];
    rig_allow_files(4096);
    rig_start(NULL);
    ck_assert_int_eq(pipe(to) | pipe(from), 0);
    pid_t clients = fork();
    ck_assert_int_ge(clients, 0);
    if (clients == 0)
        run_clients(to[0], from[1]);
    step_clients(to, from); /* the first one pays for tables of OpenSSL */
    long before = rig_resident_bytes();
    step_clients(to, from);
    ck_assert_uint_eq(rig_stats().connections, IDLE_COUNT);
    long each = (rig_resident_bytes() - before) / (IDLE_COUNT - 1);
    printf("an idle %s connection: %ld bytes\n", rig_is_tls() ? "TLS" : "plain", each);
    ck_assert_int_le(each, bytes_max);
    ck_assert_int_eq(write(to[1], "x", 1), 1);
    waitpid(clients, NULL, 0);
    rig_stop();
}

START_TEST(idle_connection_costs_at_most_16_kb)
{
    expect_idle_cost(16 * 1024);
}
END_TEST

START_TEST(idle_plain_connection_costs_at_most_2_kb)
{
    setenv("RIG_TLS", "0", 1);
    expect_idle_cost(2 * 1024);
}
END_TEST

int main(void)
{
    setenv("RIG_TLS", "1", 1);
    Suite *suite = suite_create("http.tls");
    TCase *tc = tcase_create("tls");
    tcase_set_timeout(tc, 100);
    tcase_add_test(tc, versions_1_2_and_1_3_are_spoken_and_none_older);
    tcase_add_test(tc, alpn_is_http_1_1_or_a_refusal);
    tcase_add_test(tc, renegotiation_is_refused);
    tcase_add_test(tc, plain_http_is_told_so_in_plain);
    tcase_add_test(tc, garbage_is_closed_cleanly);
    tcase_add_test(tc, plain_bytes_within_tls_end_the_connection);
    tcase_add_test(tc, slow_handshake_is_closed);
    tcase_add_test(tc, connection_over_the_limit_costs_no_handshake);
    tcase_add_test(tc, certificate_is_changed_at_run_time);
    tcase_add_test(tc, bad_pair_is_refused_and_the_old_one_kept);
    tcase_add_test(tc, drain_ends_idle_connections_in_order);
    if (!IS_SANITIZED) { /* memory would mean nothing, and the flood take minutes */
        tcase_add_test(tc, flood_of_key_updates_is_cut);
        tcase_add_test(tc, idle_connection_costs_at_most_16_kb);
        tcase_add_test(tc, idle_plain_connection_costs_at_most_2_kb);
    }
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
