/*
 * Each allocation and each write refused in turn, over a connection that is used several times:
 * what comes is what would have come, whole or cut off, and never anything else. Over TLS with
 * RIG_TLS=1.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "http/rig.h"

#if VALET_CHECKS

enum {
    REQUEST_BYTES_MAX = 16 * 1024,
    REPLY_BYTES_MAX = 1024 * 1024,
    BODY_BYTES = 6000, /* more than is read at once from a slow client */
    FAULTS_MAX = 500
};

struct received {
    char data[REPLY_BYTES_MAX];
    size_t len;
};

static struct received g_whole; /* without a fault */
static struct received g_now;

/* The time of day is not what this is about. */
static void mask_dates(struct received *r)
{
    static const char name[] = "\r\nDate: ";
    for (char *at = r->data;
         (at = memmem(at, r->len - (size_t)(at - r->data), name, sizeof name - 1)) != NULL;) {
        at += sizeof name - 1;
        for (; at < r->data + r->len && *at != '\r'; at++)
            *at = '-';
    }
}

static size_t make_requests(char *out)
{
    int n = snprintf(out, REQUEST_BYTES_MAX,
                     "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%*s"
                     "GET /bytes?70000 HTTP/1.1\r\nHost: a\r\n\r\n"
                     "GET /burst HTTP/1.1\r\nHost: a\r\n\r\n"
                     "GET /flood?300000 HTTP/1.1\r\nHost: a\r\n\r\n"
                     "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "3\r\nabc\r\n0\r\n\r\n"
                     "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                     BODY_BYTES, BODY_BYTES, "end");
    ck_assert_int_lt(n, REQUEST_BYTES_MAX);
    return (size_t)n;
}

/* All requests on one connection, and all that comes back. */
static void use_connection(struct received *out)
{
    char requests[REQUEST_BYTES_MAX];
    size_t len = make_requests(requests);
    struct client c;
    bool goes_on = client_try_open_narrow(&c);
    for (size_t at = 0; at < len && goes_on; at += 1000)
        goes_on = client_try_send(&c, requests + at, len - at < 1000 ? len - at : 1000);
    while (client_receive(&c))
        continue;
    ck_assert_uint_lt(c.len, REPLY_BYTES_MAX);
    out->len = c.len;
    if (c.len)
        memcpy(out->data, c.buf, c.len);
    client_close(&c);
    mask_dates(out);
}

static void survive_each(enum fault_kind kind, unsigned cuts_min)
{
    rig_start(NULL);
    use_connection(&g_whole);
    ck_assert_ptr_nonnull(memmem(g_whole.data, g_whole.len, "hello\n", 6));
    unsigned cuts = 0;
    bool fired = true;
    for (unsigned n = 1; fired; n++) {
        ck_assert_uint_lt(n, FAULTS_MAX);
        fault_arm(kind, n);
        use_connection(&g_now);
        fired = fault_disarm();
        ck_assert_uint_le(g_now.len, g_whole.len);
        ck_assert_msg(memcmp(g_now.data, g_whole.data, g_now.len) == 0,
                      "fault %u: something else came", n);
        ck_assert(fired || g_now.len == g_whole.len);
        cuts += g_now.len < g_whole.len;
    }
    ck_assert_uint_ge(cuts, cuts_min);
    rig_stop();
}

START_TEST(what_comes_without_memory_is_right_or_cut)
{
    survive_each(FAULT_ALLOC, 3);
}
END_TEST

START_TEST(what_comes_with_failing_writes_is_right_or_cut)
{
    survive_each(FAULT_WRITE, 2);
}
END_TEST

/* ---- certificates ---- */

struct change {
    struct tls_pair pair;
    struct base_err_info info;
    enum base_err rc;
    unsigned refused; /* the number of the allocation that is */
    bool fired;
};

/* Armed on the loop thread, which has other things to allocate before and afterwards. */
static void change_pair(void *arg)
{
    struct change *change = arg;
    fault_arm(FAULT_ALLOC, change->refused);
    change->rc = http_server_set_tls(rig_server(), change->pair.certificate, change->pair.key,
                                     &change->info);
    change->fired = fault_disarm();
}

static void expect_name(const char *name)
{
    struct client c = client_open();
    ck_assert_str_eq(tls_server_name(c.ssl), name);
    client_close(&c);
}

START_TEST(a_certificate_without_memory_leaves_the_old_one)
{
    struct change change = { .pair = tls_pair_create("second") };
    rig_start(NULL);
    change.fired = true;
    while (change.fired) {
        change.info = (struct base_err_info){ 0 };
        change.refused++;
        rig_call(change_pair, &change);
        ck_assert_int_eq(change.rc, change.fired ? E_NOMEM : OK);
        ck_assert_int_eq(change.info.message[0] != '\0', change.fired);
        expect_name(change.fired ? "localhost" : "second");
        ck_assert(!change.fired || change.refused < 10);
    }
    tls_pair_remove(&change.pair);
    rig_stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http.fault");
    TCase *tc = tcase_create("fault");
    tcase_set_timeout(tc, 100);
    tcase_add_test(tc, what_comes_without_memory_is_right_or_cut);
    tcase_add_test(tc, what_comes_with_failing_writes_is_right_or_cut);
    if (rig_is_tls())
        tcase_add_test(tc, a_certificate_without_memory_leaves_the_old_one);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#else

int main(void)
{
    puts("skipped: fault points exist only in builds with VALET_CHECKS");
    return 77;
}

#endif
