/*
 * Many hostile clients at once: another client is served all the same, and memory stays
 * bounded. The attackers live in a process of their own, so that only the server's memory is
 * seen. They are told to stop by its end.
 */
#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/rig.h"
#include "http/sanitized.h"

enum {
    IDLE_COUNT = 10000,
    SLOW_COUNT = 1000,
    READER_COUNT = 50,
    SERVED_COUNT = 20,
    SERVED_MS_MAX = IS_SANITIZED ? 100000 : 10000, /* served at all, no more is promised */
    SPARE_FILES = 100,
    SLACK_BYTES = 16 * 1024 * 1024
};

#define GET_HELLO "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

struct attack {
    const char *text; /* sent by each at once */
    bool drips;       /* then a byte from each now and then */
    int count;
    long bytes_each_max; /* of the server's memory */
};

static void drip_for_ever(struct client *clients, int count)
{
    for (;;) {
        for (int i = 0; i < count; i++)
            client_try_send(&clients[i], "x", 1);
        poll(NULL, 0, 20);
    }
}

static void run_attackers(const struct attack *attack, int out)
{
    static struct client clients[IDLE_COUNT];
    for (int i = 0; i < attack->count; i++) {
        clients[i] = client_open();
        if (attack->text)
            client_send_text(&clients[i], attack->text);
    }
    (void)!write(out, "x", 1);
    if (attack->drips)
        drip_for_ever(clients, attack->count);
    for (;;)
        pause();
}

static uint64_t now_ms(void)
{
    return clock_now_ns(&base_clock_monotonic) / 1000000;
}

/* A client that was there before, and one that comes now. */
static void expect_served(struct client *before)
{
    uint64_t start_ms = now_ms();
    for (int i = 0; i < SERVED_COUNT; i++) {
        struct client c = client_open();
        client_send_text(&c, GET_HELLO);
        ck_assert_str_eq(client_reply(&c, false)->body, "hello\n");
        client_close(&c);
        client_send_text(before, GET_HELLO);
        ck_assert_str_eq(client_reply(before, false)->body, "hello\n");
    }
    ck_assert_uint_le(now_ms() - start_ms, SERVED_MS_MAX);
}

static void expect_bounded(const struct attack *attack, long before)
{
    long grown = rig_resident_bytes() - before;
    printf("%d attackers: %ld bytes each\n", attack->count, grown / attack->count);
    if (!IS_SANITIZED)
        ck_assert_int_le(grown, attack->count * attack->bytes_each_max + SLACK_BYTES);
}

static void withstand(const struct attack *attack)
{
    struct http_options o;
    http_options_init(&o);
    o.connections_max = IDLE_COUNT + SPARE_FILES;
    rig_start(&o);
    struct client before = client_open();
    client_send_text(&before, GET_HELLO);
    ck_assert_str_eq(client_reply(&before, false)->body, "hello\n");
    long resident = rig_resident_bytes();

    int ready[2];
    char byte;
    ck_assert_int_eq(pipe(ready), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        run_attackers(attack, ready[1]);
    close(ready[1]);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    while (rig_stats().connections < (uint64_t)attack->count + 1)
        poll(NULL, 0, 5);
    expect_served(&before);
    expect_bounded(attack, resident);

    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    while (rig_stats().connections > 1)
        poll(NULL, 0, 5);
    expect_served(&before);
    client_close(&before);
    rig_stop();
}

START_TEST(idle_connections_keep_nobody_from_being_served)
{
    struct attack attack = { .count = IDLE_COUNT, .bytes_each_max = 2048 };
    size_t files = rig_allow_files(IDLE_COUNT + SPARE_FILES);
    if (files < IDLE_COUNT + SPARE_FILES) {
        attack.count = (int)files - SPARE_FILES;
        printf("note: %d connections for %d; more files may not be opened here\n", attack.count,
               IDLE_COUNT);
    }
    withstand(&attack);
}
END_TEST

START_TEST(slow_headers_keep_nobody_from_being_served)
{
    const struct attack attack = { "GET /hello HTTP/1.1\r\nHost: a\r\nA: ", true, SLOW_COUNT,
                                   8192 };
    rig_allow_files(SLOW_COUNT + SPARE_FILES);
    withstand(&attack);
}
END_TEST

START_TEST(slow_bodies_keep_nobody_from_being_served)
{
    const struct attack attack = {
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n", true, SLOW_COUNT, 8192
    };
    rig_allow_files(SLOW_COUNT + SPARE_FILES);
    withstand(&attack);
}
END_TEST

START_TEST(silent_readers_keep_nobody_from_being_served)
{
    const struct attack attack = { "GET /flood?1000000000 HTTP/1.1\r\nHost: a\r\n\r\n", false,
                                   READER_COUNT, 512 * 1024 };
    rig_allow_files(READER_COUNT + SPARE_FILES);
    withstand(&attack);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http.attack");
    TCase *tc = tcase_create("attack");
    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, idle_connections_keep_nobody_from_being_served);
    tcase_add_test(tc, slow_headers_keep_nobody_from_being_served);
    tcase_add_test(tc, slow_bodies_keep_nobody_from_being_served);
    tcase_add_test(tc, silent_readers_keep_nobody_from_being_served);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
