#include "api/pulse.h"

#include "suite.h"

#define MS UINT64_C(1000000)

START_TEST(pulses_are_due_in_the_order_they_were_set)
{
    struct pulse_list list;
    struct pulse p[3] = { 0 };
    pulse_list_init(&list, 10);
    ck_assert_uint_eq(pulse_next_ns(&list), UINT64_MAX);
    for (int i = 0; i < 3; i++)
        pulse_set(&list, &p[i], (uint64_t)i * MS);
    ck_assert_uint_eq(pulse_next_ns(&list), 10 * MS);
    ck_assert_ptr_null(pulse_due(&list, 10 * MS - 1));
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_eq(pulse_due(&list, 12 * MS), &p[i]);
        pulse_clear(&p[i]);
    }
    ck_assert_ptr_null(pulse_due(&list, UINT64_MAX));
    ck_assert_uint_eq(pulse_next_ns(&list), UINT64_MAX);
}
END_TEST

START_TEST(a_pulse_that_is_set_anew_is_due_later)
{
    struct pulse_list list;
    struct pulse p[2] = { 0 };
    pulse_list_init(&list, 10);
    pulse_set(&list, &p[0], 0);
    pulse_set(&list, &p[1], MS);
    pulse_set(&list, &p[0], 5 * MS);
    ck_assert_ptr_eq(pulse_due(&list, 11 * MS), &p[1]);
    pulse_clear(&p[1]);
    pulse_clear(&p[1]); /* once more does nothing */
    ck_assert_ptr_null(pulse_due(&list, 15 * MS - 1));
    ck_assert_ptr_eq(pulse_due(&list, 15 * MS), &p[0]);
}
END_TEST

START_TEST(a_pulse_is_in_one_list_at_most)
{
    struct pulse_list early;
    struct pulse_list beats;
    struct pulse_list never;
    struct pulse p = { 0 };
    pulse_list_init(&early, 10);
    pulse_list_init(&beats, 20);
    pulse_list_init(&never, 0);
    pulse_set(&early, &p, 0);
    pulse_set(&beats, &p, 0);
    ck_assert_ptr_null(pulse_due(&early, UINT64_MAX));
    ck_assert_ptr_eq(pulse_due(&beats, 20 * MS), &p);
    pulse_set(&never, &p, 0);
    ck_assert_ptr_null(pulse_due(&beats, UINT64_MAX));
    ck_assert_uint_eq(pulse_next_ns(&never), UINT64_MAX);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("pulse");
    tcase_add_test(tcase, pulses_are_due_in_the_order_they_were_set);
    tcase_add_test(tcase, a_pulse_that_is_set_anew_is_due_later);
    tcase_add_test(tcase, a_pulse_is_in_one_list_at_most);
    return suite_run("pulse", tcase);
}
