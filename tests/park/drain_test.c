/* The end of a pool: what each mode of a drain does to parked and running work. */
#include "helper.h"

#include <pthread.h>

/* One runs, two are parked. */
struct lot {
    park_pool *pool;
    struct payload payloads[3];
    park_ticket *tickets[3];
    park_task *task;
};

static void fill(struct lot *lot)
{
    *lot = (struct lot){ .pool = small_pool(1, 4) };
    for (int i = 0; i < 3; i++)
        lot->tickets[i] = submit_payload(lot->pool, 1, &lot->payloads[i]);
    lot->task = take_one(lot->pool);
}

static void end_lot(struct lot *lot)
{
    for (int i = 0; i < 3; i++)
        park_ticket_unref(lot->tickets[i]);
    end_pool(lot->pool);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(lot->payloads[i].destroyed, 1);
}

START_TEST(an_empty_pool_is_drained_at_once_and_takes_no_new_work)
{
    park_pool *pool = small_pool(1, 4);
    ck_assert(!park_is_drained(pool));
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_FINISH_ALL, 0), PARK_OK);
    ck_assert(park_is_drained(pool));
    struct park_refusal refusal = refused(pool, 1, PARK_E_DRAINING);
    ck_assert_uint_ge(refusal.retry_after_ms, 1000);
    ck_assert_uint_le(refusal.retry_after_ms, 60000);
    refused(pool, 2, PARK_E_DRAINING); /* also where it would be oversize */
    struct park_stats stats = stats_of(pool);
    ck_assert(stats.draining);
    ck_assert_uint_eq(stats.rejected_draining, 2);
    end_pool(pool);
}
END_TEST

START_TEST(finish_all_lets_parked_and_running_work_end)
{
    struct lot lot;
    fill(&lot);
    ck_assert_int_eq(park_drain(lot.pool, PARK_DRAIN_FINISH_ALL, 0), PARK_E_TIMEOUT);
    refused(lot.pool, 1, PARK_E_DRAINING);
    ck_assert(!park_task_cancelled(lot.task));
    for (int i = 0; i < 3; i++) {
        ck_assert(!park_is_drained(lot.pool));
        ck_assert_int_eq(park_drain(lot.pool, PARK_DRAIN_FINISH_ALL, 1), PARK_E_TIMEOUT);
        finish(lot.task, PARK_COMPLETED);
        lot.task = take_one(lot.pool);
    }
    ck_assert_int_eq(park_drain(lot.pool, PARK_DRAIN_FINISH_ALL, -1), PARK_OK);
    ck_assert_uint_eq(stats_of(lot.pool).completed, 3);
    end_lot(&lot);
}
END_TEST

START_TEST(finish_running_drops_what_is_parked)
{
    struct lot lot;
    fill(&lot);
    ck_assert_int_eq(park_drain(lot.pool, PARK_DRAIN_FINISH_RUNNING, 0), PARK_E_TIMEOUT);
    for (int i = 1; i < 3; i++) {
        ck_assert_int_eq(state_of(lot.tickets[i]), PARK_DROPPED);
        ck_assert_int_eq(reason_of(lot.tickets[i]), PARK_REASON_DRAINING);
        ck_assert_int_eq(lot.payloads[i].destroyed, 1);
        ck_assert_int_eq(park_wait(lot.tickets[i], 0), PARK_OK);
    }
    ck_assert(!park_task_cancelled(lot.task));
    finish(lot.task, PARK_COMPLETED);
    ck_assert_int_eq(park_drain(lot.pool, PARK_DRAIN_FINISH_RUNNING, 0), PARK_OK);
    struct park_stats stats = stats_of(lot.pool);
    ck_assert_uint_eq(stats.dropped, 2);
    ck_assert_uint_eq(stats.completed, 1);
    end_lot(&lot);
}
END_TEST

START_TEST(now_also_cancels_what_runs)
{
    struct lot lot;
    fill(&lot);
    ck_assert_int_eq(park_drain(lot.pool, PARK_DRAIN_NOW, 0), PARK_E_TIMEOUT);
    ck_assert_int_eq(state_of(lot.tickets[1]), PARK_DROPPED);
    ck_assert_int_eq(park_task_reason(lot.task), PARK_REASON_SHUTDOWN);
    park_take_wait(lot.pool, -1); /* the taker is told */
    ck_assert_int_eq(state_of(lot.tickets[0]), PARK_RUNNING);
    finish(lot.task, PARK_CANCELLED);
    ck_assert_int_eq(reason_of(lot.tickets[0]), PARK_REASON_SHUTDOWN);
    ck_assert_int_eq(park_drain(lot.pool, PARK_DRAIN_NOW, 0), PARK_OK);
    end_lot(&lot);
}
END_TEST

START_TEST(now_cancels_work_that_is_booked_but_not_taken)
{
    park_pool *pool = small_pool(1, 4);
    park_ticket *ticket = submit(pool, 1);
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_NOW, 0), PARK_E_TIMEOUT);
    park_task *task = take_one(pool);
    ck_assert_int_eq(park_task_reason(task), PARK_REASON_SHUTDOWN);
    finish(task, PARK_CANCELLED);
    ck_assert(park_is_drained(pool));
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(a_drain_may_only_become_stricter)
{
    struct lot lot;
    fill(&lot);
    ck_assert_int_eq(park_drain(lot.pool, PARK_DRAIN_FINISH_ALL, 0), PARK_E_TIMEOUT);
    ck_assert_int_eq(state_of(lot.tickets[1]), PARK_QUEUED);
    ck_assert_int_eq(park_drain(lot.pool, PARK_DRAIN_FINISH_RUNNING, 0), PARK_E_TIMEOUT);
    ck_assert_int_eq(state_of(lot.tickets[1]), PARK_DROPPED);
    ck_assert_int_eq(park_drain(lot.pool, PARK_DRAIN_FINISH_ALL, 0), PARK_E_TIMEOUT);
    ck_assert(!park_task_cancelled(lot.task));
    ck_assert_int_eq(park_drain(lot.pool, PARK_DRAIN_NOW, 0), PARK_E_TIMEOUT);
    ck_assert_int_eq(park_drain(lot.pool, PARK_DRAIN_FINISH_ALL, 0), PARK_E_TIMEOUT);
    ck_assert(park_task_cancelled(lot.task));
    refused(lot.pool, 1, PARK_E_DRAINING);
    finish(lot.task, PARK_CANCELLED);
    end_lot(&lot);
}
END_TEST

static void *drain_and_wait(void *arg)
{
    park_pool *pool = arg;
    return park_drain(pool, PARK_DRAIN_FINISH_ALL, -1) == PARK_OK ? pool : NULL;
}

START_TEST(every_drain_returns_when_the_last_work_ends)
{
    enum {
        N = 3
    };
    struct lot lot;
    fill(&lot);
    pthread_t threads[N];
    for (int i = 0; i < N; i++)
        pthread_create(&threads[i], NULL, drain_and_wait, lot.pool);
    while (lot.task) {
        finish(lot.task, PARK_COMPLETED);
        lot.task = take_one(lot.pool);
    }
    for (int i = 0; i < N; i++) {
        void *result;
        pthread_join(threads[i], &result);
        ck_assert_ptr_eq(result, lot.pool);
    }
    end_lot(&lot);
}
END_TEST

START_TEST(cancelling_the_last_parked_ticket_ends_a_drain)
{
    struct lot lot;
    fill(&lot);
    pthread_t thread;
    pthread_create(&thread, NULL, drain_and_wait, lot.pool);
    finish(lot.task, PARK_COMPLETED);
    park_cancel(lot.tickets[1], PARK_REASON_CLIENT);
    park_cancel(lot.tickets[2], PARK_REASON_CLIENT);
    void *result;
    pthread_join(thread, &result);
    ck_assert_ptr_eq(result, lot.pool);
    end_lot(&lot);
}
END_TEST

START_TEST(destroying_ends_what_is_parked_booked_and_taken)
{
    struct payload payloads[4] = { { 0 } };
    park_pool *pool = small_pool(2, 4);
    for (int i = 0; i < 2; i++)
        park_ticket_unref(submit_payload(pool, 1, &payloads[i]));
    ck_assert_ptr_nonnull(take_one(pool));
    for (int i = 2; i < 4; i++)
        park_ticket_unref(submit_payload(pool, 1, &payloads[i]));
    end_pool(pool);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(payloads[i].destroyed, 1);
    park_pool_destroy(NULL);
    park_inbox_destroy(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("drain");
    TCase *tc = add_case(suite, "modes", 20);
    tcase_add_test(tc, an_empty_pool_is_drained_at_once_and_takes_no_new_work);
    tcase_add_test(tc, finish_all_lets_parked_and_running_work_end);
    tcase_add_test(tc, finish_running_drops_what_is_parked);
    tcase_add_test(tc, now_also_cancels_what_runs);
    tcase_add_test(tc, now_cancels_work_that_is_booked_but_not_taken);
    tcase_add_test(tc, a_drain_may_only_become_stricter);

    tc = add_case(suite, "end", 20);
    tcase_add_test(tc, every_drain_returns_when_the_last_work_ends);
    tcase_add_test(tc, cancelling_the_last_parked_ticket_ends_a_drain);
    tcase_add_test(tc, destroying_ends_what_is_parked_booked_and_taken);
    return run_suite(suite);
}
