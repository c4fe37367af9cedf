#include "base/log.h"

#include <check.h>
#include <signal.h>
#include <string.h>

#include "base/base_test.h"
#include "base/lock.h"

static char g_line[2048];
static enum log_level g_level;
static int g_count;

static void sink(enum log_level level, const char *line)
{
    g_level = level;
    g_count++;
    ck_assert_uint_lt(strlen(line), sizeof g_line);
    memcpy(g_line, line, strlen(line) + 1);
}

START_TEST(nothing_is_said_without_a_sink)
{
    for (int level = LOG_ERROR; level <= LOG_DEBUG; level++)
        ck_assert(!log_enabled((enum log_level)level));
    log_line(LOG_ERROR, "event=nobody hears=%d", 1);
    log_set_sink(sink, LOG_DEBUG);
    ck_assert(log_enabled(LOG_DEBUG));
    log_set_sink(NULL, LOG_DEBUG);
    ck_assert(!log_enabled(LOG_ERROR));
    log_line(LOG_ERROR, "event=nobody");
    ck_assert_int_eq(g_count, 0);
}
END_TEST

START_TEST(lines_up_to_the_level_reach_the_sink)
{
    log_set_sink(sink, LOG_WARN);
    ck_assert(log_enabled(LOG_ERROR));
    ck_assert(log_enabled(LOG_WARN));
    ck_assert(!log_enabled(LOG_INFO));
    log_line(LOG_WARN, "event=%s n=%d", "test.warn", 5);
    ck_assert_str_eq(g_line, "event=test.warn n=5");
    ck_assert_int_eq(g_level, LOG_WARN);
    log_line(LOG_ERROR, "e");
    ck_assert_int_eq(g_level, LOG_ERROR);
    log_line(LOG_INFO, "quiet");
    log_line(LOG_DEBUG, "quiet");
    ck_assert_int_eq(g_count, 2);
    ck_assert_str_eq(log_level_name(LOG_ERROR), "error");
    ck_assert_str_eq(log_level_name(LOG_WARN), "warn");
    ck_assert_str_eq(log_level_name(LOG_INFO), "info");
    ck_assert_str_eq(log_level_name(LOG_DEBUG), "debug");
}
END_TEST

START_TEST(a_line_is_cut_at_one_kib)
{
    log_set_sink(sink, LOG_INFO);
    char text[1500];
    for (size_t len = 1000; len < sizeof text; len += 1) {
        memset(text, 'x', len);
        text[len] = '\0';
        log_line(LOG_INFO, "%s", text);
        ck_assert_uint_eq(strlen(g_line), len < 1023 ? len : 1023);
    }
}
END_TEST

START_TEST(control_characters_do_not_reach_the_sink)
{
    log_set_sink(sink, LOG_INFO);
    for (int c = 1; c < 256; c++) {
        log_line(LOG_INFO, "a%cb", c);
        int want = c < 0x20 || c == 0x7f ? '?' : c;
        ck_assert_int_eq((unsigned char)g_line[1], want);
        ck_assert_str_eq(g_line + 2, "b");
    }
    log_line(LOG_INFO, "user=%s", "x\nevent=forged\r\x1b[31m");
    ck_assert_str_eq(g_line, "user=x?event=forged??[31m");
}
END_TEST

#if VALET_CHECKS
START_TEST(a_line_under_a_lock_aborts)
{
    log_set_sink(sink, LOG_INFO);
    struct base_lock lock;
    lock_init(&lock, LOCK_RANK_POOL);
    lock_take(&lock);
    log_line(LOG_INFO, "event=x");
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tc = tcase_create("log");
    tcase_add_test(tc, nothing_is_said_without_a_sink);
    tcase_add_test(tc, lines_up_to_the_level_reach_the_sink);
    tcase_add_test(tc, a_line_is_cut_at_one_kib);
    tcase_add_test(tc, control_characters_do_not_reach_the_sink);
#if VALET_CHECKS
    tcase_add_test_raise_signal(tc, a_line_under_a_lock_aborts, SIGABRT);
#endif
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
