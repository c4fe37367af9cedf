#include "api/limits.h"

#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/mem.h"
#include "suite.h"

#define MS UINT64_C(1000000)

/* All bits zero: nothing is added to a time to come back. */
static void random_zero(void *arg, void *out, size_t len)
{
    (void)arg;
    memset(out, 0, len);
}

static void random_ones(void *arg, void *out, size_t len)
{
    (void)arg;
    memset(out, 0xff, len);
}

static const struct base_random g_zero = { random_zero, NULL };
static const struct base_random g_ones = { random_ones, NULL };

static struct limits_use find(struct limits *l, const char *tenant, int64_t requests,
                              int64_t tokens, int64_t in_flight)
{
    struct limits_use use;
    const struct api_caller caller = { .tenant = tenant,
                                       .requests_per_min = requests,
                                       .tokens_per_min = tokens,
                                       .in_flight_max = in_flight };
    limits_find(l, &caller, &use);
    return use;
}

START_TEST(requests_flow_off_at_the_limits_rate)
{
    struct limits l;
    struct api_error error;
    limits_init(&l, &g_zero);
    struct limits_use use = find(&l, "a", 60, 0, 0);
    uint64_t now = 5 * MS;
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(limits_request(&l, &use, now, &error), OK);
    ck_assert_int_eq(limits_request(&l, &use, now, &error), E_INVALID);
    ck_assert_int_eq(error.code, API_RATE_LIMIT);
    ck_assert_uint_eq(error.retry_after_ms, 1000);
    ck_assert_str_eq(error.message,
                     "the limit of 60 requests a minute is reached; there is room in 1000 ms");
    ck_assert_int_eq(limits_request(&l, &use, now + 999 * MS, &error), E_INVALID);
    ck_assert_int_eq(limits_request(&l, &use, now + 1000 * MS, &error), OK);
    ck_assert_int_eq(limits_request(&l, &use, now + 1000 * MS, &error), E_INVALID);
    /* a minute deep: what was not used earlier is not saved up */
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(limits_request(&l, &use, now + 3600000 * MS, &error), OK);
    ck_assert_int_eq(limits_request(&l, &use, now + 3600000 * MS, &error), E_INVALID);
    limits_fini(&l);
}
END_TEST

START_TEST(what_is_left_is_told)
{
    struct limits l;
    struct api_error error;
    limits_init(&l, &g_zero);
    struct limits_use use = find(&l, "a", 60, 6000, 0);
    struct limits_left left = limits_requests_left(&use, MS);
    ck_assert_int_eq(left.limit, 60);
    ck_assert_int_eq(left.remaining, 60);
    ck_assert_uint_eq(left.reset_ms, 0);
    ck_assert_int_eq(limits_request(&l, &use, MS, &error), OK);
    left = limits_requests_left(&use, MS);
    ck_assert_int_eq(left.remaining, 59);
    ck_assert_uint_eq(left.reset_ms, 1000);
    limits_begin(&l, &use, 9000, MS); /* more than there is */
    left = limits_tokens_left(&use, MS);
    ck_assert_int_eq(left.limit, 6000);
    ck_assert_int_eq(left.remaining, 0);
    ck_assert_uint_eq(left.reset_ms, 90000);
    const struct limits_end end = { .charged = 9000, .tokens = 9000 };
    limits_end(&l, &use, &end, MS);
    use = find(&l, "a", 0, 0, 0);
    ck_assert_int_eq(limits_requests_left(&use, MS).limit, 0);
    ck_assert_int_eq(limits_tokens_left(&use, MS).limit, 0);
    limits_fini(&l);
}
END_TEST

START_TEST(tokens_are_charged_as_expected_and_corrected_at_the_end)
{
    struct limits l;
    struct api_error error;
    limits_init(&l, &g_zero);
    struct limits_use use = find(&l, "a", 0, 600, 0);
    /* more than the whole limit is granted when nothing is used */
    ck_assert_int_eq(limits_ticket(&l, &use, 1000, MS, &error), OK);
    limits_begin(&l, &use, 400, MS);
    ck_assert_int_eq(limits_ticket(&l, &use, 200, MS, &error), OK);
    ck_assert_int_eq(limits_ticket(&l, &use, 201, MS, &error), E_INVALID);
    ck_assert_int_eq(error.code, API_RATE_LIMIT);
    ck_assert_int_eq(limits_ticket(&l, &use, 1000, MS, &error), E_INVALID);
    ck_assert_uint_eq(error.retry_after_ms, 40000); /* 400 tokens at 10 a second */
    const struct limits_end end = { .charged = 400, .tokens = 100 };
    limits_end(&l, &use, &end, MS);
    ck_assert_int_eq(limits_ticket(&l, &use, 500, MS, &error), OK);
    ck_assert_int_eq(limits_ticket(&l, &use, 501, MS, &error), E_INVALID);
    limits_fini(&l);
}
END_TEST

START_TEST(tickets_in_flight_are_bounded)
{
    struct limits l;
    struct api_error error;
    limits_init(&l, &g_zero);
    struct limits_use use = find(&l, "a", 0, 0, 2);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(limits_ticket(&l, &use, 1, MS, &error), OK);
        limits_begin(&l, &use, 1, MS);
    }
    ck_assert_int_eq(limits_ticket(&l, &use, 1, MS, &error), E_INVALID);
    ck_assert_int_eq(error.code, API_CONCURRENCY);
    ck_assert_uint_eq(error.retry_after_ms, 1000);
    struct limits_use other = find(&l, "b", 0, 0, 2);
    ck_assert_int_eq(limits_ticket(&l, &other, 1, MS, &error), OK);
    /* once it is known how long they take: the mean, shared by two */
    const struct limits_end end = { .ms = 8000 };
    limits_end(&l, &use, &end, MS);
    ck_assert_int_eq(limits_ticket(&l, &use, 1, MS, &error), OK);
    limits_begin(&l, &use, 1, MS);
    ck_assert_int_eq(limits_ticket(&l, &use, 1, MS, &error), E_INVALID);
    ck_assert_uint_eq(error.retry_after_ms, 4000);
    limits_end(&l, &use, &end, MS);
    limits_end(&l, &use, &end, MS);
    limits_fini(&l);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(times_to_come_back_are_spread_and_bounded)
{
    struct limits l;
    struct api_error error;
    limits_init(&l, &g_ones);
    struct limits_use use = find(&l, "a", 6, 0, 0);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(limits_request(&l, &use, MS, &error), OK);
    limits_request(&l, &use, MS, &error);
    ck_assert_uint_ge(error.retry_after_ms, 14990); /* 10 s and a half of it */
    ck_assert_uint_le(error.retry_after_ms, 15000);
    struct limits_use slow = find(&l, "b", 1, 0, 0);
    limits_request(&l, &slow, MS, &error);
    limits_request(&l, &slow, MS, &error);
    ck_assert_uint_eq(error.retry_after_ms, 60000);
    limits_fini(&l);
}
END_TEST

START_TEST(times_to_come_back_have_the_bounds_they_are_given)
{
    struct limits l;
    struct api_error error;
    struct api_settings settings = { .retry_after_min_ms = 3000, .retry_after_max_ms = 20000 };
    limits_init(&l, &g_ones);
    limits_set_retry(&l, &settings); /* and nothing is added */
    struct limits_use use = find(&l, "a", 60, 0, 0);
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(limits_request(&l, &use, MS, &error), OK);
    limits_request(&l, &use, MS, &error);
    ck_assert_uint_eq(error.retry_after_ms, 3000);
    struct limits_use slow = find(&l, "b", 1, 0, 0);
    limits_request(&l, &slow, MS, &error);
    limits_request(&l, &slow, MS, &error);
    ck_assert_uint_eq(error.retry_after_ms, 20000);
    settings = (struct api_settings){ .retry_after_max_ms = 60000, .retry_after_jitter = 1 };
    limits_set_retry(&l, &settings);
    limits_request(&l, &use, MS, &error);
    ck_assert_uint_ge(error.retry_after_ms, 1999); /* 1 s and all of it again */
    ck_assert_uint_le(error.retry_after_ms, 2000);
    limits_fini(&l);
}
END_TEST

START_TEST(answers_are_expected_as_long_as_they_were)
{
    struct limits l;
    limits_init(&l, &g_zero);
    struct limits_use a = find(&l, "a", 0, 0, 0);
    ck_assert_int_eq(limits_output(&l, &a, 10000), 256);
    ck_assert_int_eq(limits_output(&l, &a, 10), 10);
    struct limits_end end = { .output = 200, .output_count = 2 };
    limits_begin(&l, &a, 1, MS);
    limits_end(&l, &a, &end, MS);
    ck_assert_int_eq(limits_output(&l, &a, 10000), 100);
    struct limits_use b = find(&l, "b", 0, 0, 0); /* of the others, while it has none */
    ck_assert_int_eq(limits_output(&l, &b, 10000), 100);
    end = (struct limits_end){ .output = 900, .output_count = 1 };
    limits_begin(&l, &b, 1, MS);
    limits_end(&l, &b, &end, MS);
    ck_assert_int_eq(limits_output(&l, &b, 10000), 900);
    a = find(&l, "a", 0, 0, 0);
    ck_assert_int_eq(limits_output(&l, &a, 10000), 100);
    end = (struct limits_end){ .output = 5000 }; /* cut off: says nothing */
    limits_begin(&l, &a, 1, MS);
    limits_end(&l, &a, &end, MS);
    ck_assert_int_eq(limits_output(&l, &a, 10000), 100);
    limits_fini(&l);
}
END_TEST

START_TEST(the_table_is_bounded_and_forgets_the_longest_idle)
{
    struct limits l;
    struct api_error error;
    char name[16];
    limits_init(&l, &g_zero);
    struct limits_use busy = find(&l, "busy", 0, 0, 0);
    limits_begin(&l, &busy, 1, MS);
    struct limits_use kept = find(&l, "kept", 1, 0, 0);
    ck_assert_int_eq(limits_request(&l, &kept, MS, &error), OK);
    struct limits_use lost = find(&l, "lost", 1, 0, 0);
    ck_assert_int_eq(limits_request(&l, &lost, MS, &error), OK);
    find(&l, "kept", 1, 0, 0); /* "lost" is now the longest idle */
    for (int i = 0; i < LIMITS_TENANTS_MAX - 2; i++) {
        snprintf(name, sizeof name, "t%d", i);
        find(&l, name, 0, 0, 0);
        ck_assert_uint_le(l.count, LIMITS_TENANTS_MAX);
    }
    ck_assert_uint_eq(l.count, LIMITS_TENANTS_MAX);
    kept = find(&l, "kept", 1, 0, 0);
    ck_assert_int_eq(limits_request(&l, &kept, MS, &error), E_INVALID);
    lost = find(&l, "lost", 1, 0, 0);
    ck_assert_int_eq(limits_request(&l, &lost, MS, &error), OK);
    ck_assert_ptr_eq(find(&l, "busy", 0, 0, 0).tenant, busy.tenant);
    const struct limits_end end = { 0 };
    limits_end(&l, &busy, &end, MS);
    limits_fini(&l);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(tenants_that_find_no_entry_share_one)
{
    struct limits l;
    char name[16];
    static struct limits_use uses[LIMITS_TENANTS_MAX];
    const struct limits_end end = { 0 };
    limits_init(&l, &g_zero);
    for (int i = 0; i < LIMITS_TENANTS_MAX; i++) {
        snprintf(name, sizeof name, "t%d", i);
        uses[i] = find(&l, name, 0, 0, 0);
        limits_begin(&l, &uses[i], 1, MS);
    }
    struct limits_use a = find(&l, "a", 0, 0, 0);
    ck_assert_ptr_eq(a.tenant, &l.other);
    ck_assert_ptr_eq(find(&l, "b", 0, 0, 0).tenant, a.tenant);
    limits_begin(&l, &a, 1, MS);
    limits_end(&l, &a, &end, MS);
    for (int i = 0; i < LIMITS_TENANTS_MAX; i++)
        limits_end(&l, &uses[i], &end, MS);
    ck_assert_ptr_ne(find(&l, "a", 0, 0, 0).tenant, &l.other);
    limits_fini(&l);
#if VALET_CHECKS
    limits_init(&l, &g_zero);
    fault_arm(FAULT_ALLOC, 1);
    ck_assert_ptr_eq(find(&l, "a", 0, 0, 0).tenant, &l.other);
    ck_assert(fault_disarm());
    limits_fini(&l);
#endif
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("limits");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, requests_flow_off_at_the_limits_rate);
    tcase_add_test(tcase, what_is_left_is_told);
    tcase_add_test(tcase, tokens_are_charged_as_expected_and_corrected_at_the_end);
    tcase_add_test(tcase, tickets_in_flight_are_bounded);
    tcase_add_test(tcase, times_to_come_back_are_spread_and_bounded);
    tcase_add_test(tcase, times_to_come_back_have_the_bounds_they_are_given);
    tcase_add_test(tcase, answers_are_expected_as_long_as_they_were);
    tcase_add_test(tcase, the_table_is_bounded_and_forgets_the_longest_idle);
    tcase_add_test(tcase, tenants_that_find_no_entry_share_one);
    return suite_run("limits", tcase);
}
