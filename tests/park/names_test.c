/* The words of libpark: texts of errors, names of states and reasons. */
#include "helper.h"

#include <string.h>

START_TEST(every_error_has_its_own_text)
{
    static const enum park_err errors[] = {
        PARK_OK,           PARK_E_NOMEM,      PARK_E_INVALID,   PARK_E_TIMEOUT,
        PARK_E_CLOSED,     PARK_E_NOT_FOUND,  PARK_E_AGAIN,     PARK_E_OVERSIZE,
        PARK_E_QUEUE_FULL, PARK_E_DRAINING,   PARK_E_GAP,       PARK_E_LIMIT,
        PARK_E_DEADLINE,   PARK_E_CLASS_FULL, PARK_E_NOT_READY, PARK_E_GONE,
    };
    size_t n = sizeof errors / sizeof errors[0];
    for (size_t i = 0; i < n; i++) {
        const char *text = park_strerror(errors[i]);
        ck_assert_ptr_nonnull(text);
        ck_assert_str_ne(text, "");
        ck_assert_str_ne(text, park_strerror((enum park_err) - 9999));
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(text, park_strerror(errors[k]));
    }
    ck_assert_ptr_nonnull(strstr(park_strerror(PARK_E_QUEUE_FULL), "queue full"));
}
END_TEST

START_TEST(an_unknown_number_has_a_text)
{
    ck_assert_str_eq(park_strerror((enum park_err)1), "unknown error");
    ck_assert_str_eq(park_state_name((enum park_state)99), "unknown");
    ck_assert_str_eq(park_reason_name((enum park_reason)99), "unknown");
    ck_assert_str_eq(park_class_name((enum park_class)99), "unknown");
}
END_TEST

START_TEST(states_and_reasons_have_the_documented_names)
{
    static const char *const states[PARK_STATE_COUNT] = {
        "queued", "running", "completed", "failed", "cancelled", "dropped", "expired",
    };
    static const char *const reasons[PARK_REASON_COUNT] = {
        "none",     "error",         "client",   "disconnect",  "slow_reader",    "shutdown",
        "draining", "queue_timeout", "deadline", "run_timeout", "no_longer_fits", "worker_died",
    };
    static const char *const classes[PARK_CLASS_COUNT] = { "critical", "high", "normal", "low" };
    for (int i = 0; i < PARK_STATE_COUNT; i++)
        ck_assert_str_eq(park_state_name((enum park_state)i), states[i]);
    for (int i = 0; i < PARK_REASON_COUNT; i++)
        ck_assert_str_eq(park_reason_name((enum park_reason)i), reasons[i]);
    for (int i = 0; i < PARK_CLASS_COUNT; i++)
        ck_assert_str_eq(park_class_name((enum park_class)i), classes[i]);
}
END_TEST

START_TEST(queued_and_running_are_not_terminal)
{
    for (int i = 0; i < PARK_STATE_COUNT; i++) {
        bool expected = i != PARK_QUEUED && i != PARK_RUNNING;
        ck_assert_int_eq(park_state_is_terminal((enum park_state)i), expected);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("names");
    TCase *tc = add_case(suite, "names", 10);
    tcase_add_test(tc, every_error_has_its_own_text);
    tcase_add_test(tc, an_unknown_number_has_a_text);
    tcase_add_test(tc, states_and_reasons_have_the_documented_names);
    tcase_add_test(tc, queued_and_running_are_not_terminal);
    return run_suite(suite);
}
