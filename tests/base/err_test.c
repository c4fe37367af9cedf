#include "base/err.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/assert.h"
#include "base/base_test.h"
#include "base/clock.h"

START_TEST(numbers_never_change)
{
    static const struct {
        enum base_err code;
        int number;
        const char *text;
    } table[] = {
        { OK, 0, "ok" },
        { E_NOMEM, -1, "out of memory" },
        { E_INVALID, -2, "invalid argument" },
        { E_FULL, -3, "full" },
        { E_TIMEOUT, -4, "timed out" },
        { E_CANCELLED, -5, "cancelled" },
        { E_CLOSED, -6, "closed" },
        { E_NOT_FOUND, -7, "not found" },
        { E_EXISTS, -8, "exists already" },
        { E_IO, -9, "input or output failed" },
        { E_CORRUPT, -10, "corrupt data" },
        { E_UNSUPPORTED, -11, "not supported" },
        { E_TOO_BIG, -12, "too big" },
        { E_AGAIN, -13, "try again later" },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        ck_assert_int_eq(table[i].code, table[i].number);
        ck_assert_str_eq(base_strerror(table[i].code), table[i].text);
    }
    ck_assert_str_eq(base_strerror((enum base_err)1), "unknown error");
    ck_assert_str_eq(base_strerror((enum base_err) - 99), "unknown error");
}
END_TEST

START_TEST(info_says_what_went_wrong)
{
    struct base_err_info info;
    memset(&info, 0x55, sizeof info);
    ck_assert_int_eq(base_err_set(&info, E_FULL, "queue %d", 7), E_FULL);
    ck_assert_int_eq(info.code, E_FULL);
    ck_assert_int_eq(info.sys_errno, 0);
    ck_assert_int_eq(info.byte, -1);
    ck_assert_str_eq(info.message, "queue 7");

    ck_assert_int_eq(base_err_set_at(&info, E_CORRUPT, 1ll << 40, "bad"), E_CORRUPT);
    ck_assert_int_eq(info.byte, 1ll << 40);
    ck_assert_str_eq(info.message, "bad");

    ck_assert_int_eq(base_err_set_errno(&info, E_IO, ENOENT, "open %s", "x"), E_IO);
    ck_assert_int_eq(info.sys_errno, ENOENT);
    ck_assert_int_eq(info.byte, -1);
    ck_assert_str_eq(info.message, "open x: No such file or directory");

    ck_assert_int_eq(base_err_set(NULL, E_FULL, "%d", 1), E_FULL);
    ck_assert_int_eq(base_err_set_at(NULL, E_FULL, 1, "%d", 1), E_FULL);
    ck_assert_int_eq(base_err_set_errno(NULL, E_FULL, 1, "%d", 1), E_FULL);
}
END_TEST

START_TEST(long_messages_are_cut)
{
    struct base_err_info info;
    char text[400];
    for (size_t len = 240; len < sizeof text; len++) {
        memset(text, 'x', len);
        text[len] = '\0';
        base_err_set_errno(&info, E_IO, ENOENT, "%s", text);
        ck_assert_uint_le(strlen(info.message), sizeof info.message - 1);
        ck_assert_uint_ge(strlen(info.message), 240);
    }
}
END_TEST

START_TEST(a_message_is_one_line_whatever_came)
{
    struct base_err_info info;
    base_err_set_at(&info, E_CORRUPT, 3, "no key '%s'", "a\nb\x1b[2J\x7f\tc \xc3\xa9");
    ck_assert_str_eq(info.message, "no key 'a?b?[2J??c \xc3\xa9'");
    base_err_set_errno(&info, E_IO, ENOENT, "open %s", "x\r");
    ck_assert_str_eq(info.message, "open x?: No such file or directory");
    base_err_set(&info, E_CORRUPT, "[%s]", "\xff \xc3 \xe4\xb8 \xed\xa0\x80");
    ck_assert_str_eq(info.message, "[? ? ?? ???]");

    char text[2 * 200 + 1] = "";
    for (int i = 0; i < 200; i++)
        strcat(text, "\xc3\xa9");
    base_err_set(&info, E_CORRUPT, "%s", text); /* 255 bytes: cut within a character */
    ck_assert_uint_eq(strlen(info.message), sizeof info.message - 1);
    ck_assert_str_eq(info.message + 252, "\xc3\xa9?");
}
END_TEST

START_TEST(an_assertion_that_fails_aborts)
{
    volatile int two = 2;
    ASSERT(two == 2);
    ASSERT(two == 3);
}
END_TEST

#if VALET_CHECKS
START_TEST(a_checked_build_checks)
{
    volatile int two = 2;
    DCHECK(two == 2);
    DCHECK(two == 3);
}
END_TEST
#endif

static uint64_t fixed_ns(void *arg)
{
    return *(uint64_t *)arg;
}

START_TEST(time_is_a_parameter_and_goes_forward)
{
    uint64_t now = 12345;
    const struct base_clock fixed = { fixed_ns, &now };
    ck_assert_uint_eq(clock_now_ns(&fixed), 12345);
    uint64_t before = clock_now_ns(&base_clock_monotonic);
    for (int i = 0; i < 1000; i++) {
        uint64_t after = clock_now_ns(&base_clock_monotonic);
        ck_assert_uint_ge(after, before);
        before = after;
    }
    ck_assert_int_gt(clock_wall_seconds(), 1577836800); /* 2020 */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("err");
    TCase *tc = tcase_create("err");
    tcase_add_test(tc, numbers_never_change);
    tcase_add_test(tc, info_says_what_went_wrong);
    tcase_add_test(tc, long_messages_are_cut);
    tcase_add_test(tc, a_message_is_one_line_whatever_came);
    tcase_add_test_raise_signal(tc, an_assertion_that_fails_aborts, SIGABRT);
#if VALET_CHECKS
    tcase_add_test_raise_signal(tc, a_checked_build_checks, SIGABRT);
#endif
    tcase_add_test(tc, time_is_a_parameter_and_goes_forward);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
