/* The taker sleeps until there is a reason to look, and no reason is lost. */
#include "helper.h"

#include <pthread.h>

#include "base/clock.h"

/* How long park_take_wait blocked, in ms. */
static uint64_t wait_ms(park_pool *pool, int64_t timeout_ms)
{
    uint64_t start_ns = clock_now_ns(&base_clock_monotonic);
    park_take_wait(pool, timeout_ms);
    return (clock_now_ns(&base_clock_monotonic) - start_ns) / 1000000;
}

START_TEST(without_a_reason_the_wait_takes_its_time)
{
    park_pool *pool = small_pool(1, 1);
    ck_assert_uint_ge(wait_ms(pool, 20), 20);
    park_take_wait(pool, 0);
    park_ticket *runs = submit(pool, 1);
    park_task *task = take_one(pool);
    park_ticket *parked = submit(pool, 1); /* cannot start: no reason */
    ck_assert_uint_ge(wait_ms(pool, 20), 20);
    finish(task, PARK_COMPLETED);
    park_ticket_unref(runs);
    park_ticket_unref(parked);
    end_pool(pool);
}
END_TEST

START_TEST(a_wake_before_the_wait_is_kept_and_used_once)
{
    park_pool *pool = small_pool(1, 1);
    park_wake(pool);
    park_wake(pool);
    park_take_wait(pool, -1);
    ck_assert_uint_ge(wait_ms(pool, 20), 20);
    end_pool(pool);
}
END_TEST

START_TEST(work_that_can_be_taken_is_a_reason_until_it_is)
{
    park_pool *pool = small_pool(1, 1);
    park_ticket *a = submit(pool, 1);
    park_ticket *b = submit(pool, 1);
    park_take_wait(pool, -1);
    park_take_wait(pool, -1);
    park_task *task = take_one(pool);
    ck_assert_uint_ge(wait_ms(pool, 20), 20);
    finish(task, PARK_COMPLETED); /* the units return: the parked one fits */
    park_take_wait(pool, -1);
    ck_assert_ptr_nonnull(take_one(pool));
    park_ticket_unref(a);
    park_ticket_unref(b);
    end_pool(pool);
}
END_TEST

START_TEST(a_cancelled_task_is_a_reason_once)
{
    park_pool *pool = small_pool(1, 1);
    park_ticket *ticket = submit(pool, 1);
    park_task *task = take_one(pool);
    park_cancel(ticket, PARK_REASON_CLIENT);
    park_take_wait(pool, -1);
    ck_assert(park_task_cancelled(task));
    park_cancel(ticket, PARK_REASON_CLIENT); /* nothing new */
    ck_assert_uint_ge(wait_ms(pool, 20), 20);
    finish(task, PARK_CANCELLED);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(draining_and_empty_is_a_reason)
{
    park_pool *pool = small_pool(1, 1);
    park_ticket *ticket = submit(pool, 1);
    park_task *task = take_one(pool);
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_FINISH_ALL, 0), PARK_E_TIMEOUT);
    ck_assert_uint_ge(wait_ms(pool, 20), 20);
    finish(task, PARK_COMPLETED);
    park_take_wait(pool, -1);
    park_take_wait(pool, -1);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(a_wait_longer_than_time_itself_is_no_limit)
{
    park_pool *pool = small_pool(1, 1);
    park_wake(pool);
    park_take_wait(pool, INT64_MAX);
    park_ticket *ticket = submit(pool, 1);
    finish(take_one(pool), PARK_COMPLETED);
    ck_assert_int_eq(park_wait(ticket, INT64_MAX), PARK_OK);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

/* A taker that runs whatever comes until the pool is drained. */
static void *take_until_drained(void *arg)
{
    park_pool *pool = arg;
    park_task *tasks[4];
    while (!park_is_drained(pool)) {
        size_t n = park_take(pool, tasks, 4);
        for (size_t i = 0; i < n; i++)
            finish(tasks[i], PARK_COMPLETED);
        if (n == 0)
            park_take_wait(pool, -1);
    }
    return NULL;
}

START_TEST(a_sleeping_taker_is_woken_by_every_submission)
{
    park_pool *pool = small_pool(1, 1);
    pthread_t thread;
    pthread_create(&thread, NULL, take_until_drained, pool);
    for (int i = 0; i < 2000; i++) {
        park_ticket *ticket = submit(pool, 1);
        ck_assert_int_eq(park_wait(ticket, -1), PARK_OK);
        park_ticket_unref(ticket);
    }
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_FINISH_ALL, -1), PARK_OK);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(stats_of(pool).completed, 2000);
    end_pool(pool);
}
END_TEST

/* A taker that holds its task until it is cancelled. */
static void *run_until_cancelled(void *arg)
{
    park_pool *pool = arg;
    park_task *task;
    while (!park_is_drained(pool)) {
        if (park_take(pool, &task, 1) == 0) {
            park_take_wait(pool, -1);
            continue;
        }
        while (!park_task_cancelled(task))
            park_take_wait(pool, -1);
        finish(task, PARK_CANCELLED);
    }
    return NULL;
}

START_TEST(a_sleeping_taker_is_woken_by_every_cancel)
{
    park_pool *pool = small_pool(1, 1);
    pthread_t thread;
    pthread_create(&thread, NULL, run_until_cancelled, pool);
    for (int i = 0; i < 1000; i++) {
        park_ticket *ticket = submit(pool, 1);
        park_cancel(ticket, PARK_REASON_CLIENT);
        ck_assert_int_eq(park_wait(ticket, -1), PARK_OK);
        ck_assert_int_eq(state_of(ticket), PARK_CANCELLED);
        park_ticket_unref(ticket);
    }
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_NOW, -1), PARK_OK);
    pthread_join(thread, NULL);
    end_pool(pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("taker");
    TCase *tc = add_case(suite, "reasons", 20);
    tcase_add_test(tc, without_a_reason_the_wait_takes_its_time);
    tcase_add_test(tc, a_wake_before_the_wait_is_kept_and_used_once);
    tcase_add_test(tc, work_that_can_be_taken_is_a_reason_until_it_is);
    tcase_add_test(tc, a_cancelled_task_is_a_reason_once);
    tcase_add_test(tc, draining_and_empty_is_a_reason);
    tcase_add_test(tc, a_wait_longer_than_time_itself_is_no_limit);

    tc = add_case(suite, "threads", 60);
    tcase_add_test(tc, a_sleeping_taker_is_woken_by_every_submission);
    tcase_add_test(tc, a_sleeping_taker_is_woken_by_every_cancel);
    return run_suite(suite);
}
