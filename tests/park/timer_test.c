/* Times: in the queue, of a run, in all, of grace; who drives them and who is told. */
#include "helper.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

static struct world g_world;
static int g_moves;

static void count_move(void *arg)
{
    ++*(int *)arg;
}

static struct park_options world_options(uint64_t capacity)
{
    struct park_options options = options_of(capacity, 10);
    g_world = (struct world){ .now_ns = 1000 * SECOND_NS, .seed = 1 };
    g_moves = 0;
    options.env = world_env(&g_world);
    options.timer_moved = count_move;
    options.timer_arg = &g_moves;
    return options;
}

static void pass_ms(uint64_t ms)
{
    g_world.now_ns += ms * MS_NS;
}

static void check_end(const park_ticket *ticket, enum park_state state, enum park_reason reason)
{
    ck_assert_int_eq(state_of(ticket), state);
    ck_assert_int_eq(reason_of(ticket), reason);
}

START_TEST(a_parked_ticket_expires_at_its_time_and_never_runs)
{
    struct park_options options = world_options(1);
    options.classes[PARK_CLASS_NORMAL].queue_timeout_ms = 500;
    park_pool *pool = pool_of(&options);
    park_inbox *inbox;
    ck_assert_int_eq(park_inbox_create(&inbox), PARK_OK);
    park_ticket *runs = submit(pool, 1);
    struct payload payload = { 0 };
    struct park_work work = work_of(1);
    work.inbox = inbox;
    work.payload = &payload;
    work.payload_destroy = payload_destroy;
    park_ticket *ticket = submit_work(pool, &work);
    ck_assert_uint_eq(park_tick(pool), g_world.now_ns + 500 * MS_NS);
    pass_ms(500);
    g_world.now_ns--;
    park_tick(pool);
    ck_assert_int_eq(state_of(ticket), PARK_QUEUED);
    ck_assert(!fd_is_readable(park_inbox_fd(inbox)));
    g_world.now_ns++;
    ck_assert_uint_eq(park_tick(pool), UINT64_MAX);
    check_end(ticket, PARK_EXPIRED, PARK_REASON_QUEUE_TIMEOUT);
    ck_assert(fd_is_readable(park_inbox_fd(inbox)));
    park_ticket *told = park_inbox_next(inbox);
    ck_assert_ptr_eq(told, ticket);
    ck_assert_int_eq(payload.destroyed, 1);
    struct park_status status;
    park_status(ticket, &status);
    ck_assert_uint_eq(status.queued_ns, 500 * MS_NS);
    ck_assert_uint_ge(status.retry_after_ms, 1000);
    run_of(pool, runs);
    ck_assert_ptr_null(take_one(pool));
    ck_assert_uint_eq(stats_of(pool).expired, 1);
    park_ticket_unref(told);
    park_ticket_unref(ticket);
    park_ticket_unref(runs);
    park_inbox_destroy(inbox);
    end_pool(pool);
}
END_TEST

/* Nobody looks in time: what is over is over all the same, before anything starts. */
START_TEST(a_take_that_comes_late_starts_nothing_that_expired)
{
    struct park_options options = world_options(1);
    options.classes[PARK_CLASS_NORMAL].queue_timeout_ms = 500;
    park_pool *pool = pool_of(&options);
    park_ticket *runs = submit(pool, 1);
    park_ticket *ticket = submit(pool, 1);
    finish(take_of(pool, runs), PARK_COMPLETED);
    pass_ms(500);
    ck_assert_ptr_null(take_one(pool));
    check_end(ticket, PARK_EXPIRED, PARK_REASON_QUEUE_TIMEOUT);
    park_ticket_unref(ticket);
    park_ticket_unref(runs);
    end_pool(pool);
}
END_TEST

START_TEST(a_deadline_expires_parked_work_and_lets_running_work_go_on)
{
    struct park_options options = world_options(1);
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(1);
    work.deadline_ns = g_world.now_ns + SECOND_NS;
    park_ticket *runs = submit_work(pool, &work);
    park_ticket *parked = submit_work(pool, &work);
    park_task *task = take_of(pool, runs);
    pass_ms(1000);
    park_tick(pool);
    check_end(parked, PARK_EXPIRED, PARK_REASON_DEADLINE);
    ck_assert(!park_task_cancelled(task));
    finish(task, PARK_COMPLETED);
    ck_assert_int_eq(state_of(runs), PARK_COMPLETED);
    park_ticket_unref(runs);
    park_ticket_unref(parked);
    end_pool(pool);
}
END_TEST

START_TEST(a_ticket_may_only_shorten_its_times)
{
    struct park_options options = world_options(1);
    options.classes[PARK_CLASS_NORMAL].queue_timeout_ms = 500;
    options.run_timeout_ms = 400;
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(1);
    work.queue_timeout_ms = 900;
    work.run_timeout_ms = 900;
    park_ticket *runs = submit_work(pool, &work);
    park_ticket *longer = submit_work(pool, &work);
    work.queue_timeout_ms = 100;
    park_ticket *shorter = submit_work(pool, &work);
    work.queue_timeout_ms = 0;
    work.total_timeout_ms = 200;
    park_ticket *total = submit_work(pool, &work);
    park_task *task = take_of(pool, runs);
    pass_ms(100);
    park_tick(pool);
    check_end(shorter, PARK_EXPIRED, PARK_REASON_QUEUE_TIMEOUT);
    pass_ms(100);
    park_tick(pool);
    check_end(total, PARK_EXPIRED, PARK_REASON_QUEUE_TIMEOUT);
    pass_ms(200);
    park_tick(pool);
    ck_assert_int_eq(park_task_reason(task), PARK_REASON_RUN_TIMEOUT);
    ck_assert_int_eq(state_of(longer), PARK_QUEUED);
    pass_ms(100);
    park_tick(pool);
    check_end(longer, PARK_EXPIRED, PARK_REASON_QUEUE_TIMEOUT);
    finish(task, PARK_CANCELLED);
    check_end(runs, PARK_EXPIRED, PARK_REASON_RUN_TIMEOUT);
    park_ticket *all[] = { runs, longer, shorter, total };
    for (int i = 0; i < 4; i++)
        park_ticket_unref(all[i]);
    end_pool(pool);
}
END_TEST

START_TEST(a_run_that_is_over_keeps_its_units_until_its_taker_is_done)
{
    struct park_options options = world_options(1);
    options.run_timeout_ms = 400;
    park_pool *pool = pool_of(&options);
    park_ticket *runs = submit(pool, 1);
    park_ticket *next = submit(pool, 1);
    park_task *task = take_of(pool, runs);
    pass_ms(400);
    ck_assert_ptr_null(take_one(pool));
    park_take_wait(pool, -1); /* the taker is told */
    ck_assert_int_eq(park_task_reason(task), PARK_REASON_RUN_TIMEOUT);
    ck_assert_int_eq(state_of(runs), PARK_RUNNING);
    ck_assert_uint_eq(stats_of(pool).used.n[0], 1);
    finish(task, PARK_FAILED); /* an error after the end was asked for */
    check_end(runs, PARK_EXPIRED, PARK_REASON_RUN_TIMEOUT);
    run_of(pool, next);
    park_ticket_unref(runs);
    park_ticket_unref(next);
    end_pool(pool);
}
END_TEST

START_TEST(success_after_the_time_is_a_success)
{
    struct park_options options = world_options(1);
    options.total_timeout_ms = 400;
    park_pool *pool = pool_of(&options);
    park_ticket *ticket = submit(pool, 1);
    park_task *task = take_of(pool, ticket);
    pass_ms(401);
    park_tick(pool);
    ck_assert(park_task_cancelled(task));
    finish(task, PARK_COMPLETED);
    check_end(ticket, PARK_COMPLETED, PARK_REASON_NONE);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(no_limit_of_the_queue_counts_for_work_that_was_given_back)
{
    struct park_options options = world_options(1);
    options.classes[PARK_CLASS_NORMAL].queue_timeout_ms = 100;
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(1);
    work.deadline_ns = g_world.now_ns + SECOND_NS;
    park_ticket *ticket = submit_work(pool, &work);
    park_requeue(take_of(pool, ticket));
    pass_ms(5000);
    run_of(pool, ticket);
    ck_assert_int_eq(state_of(ticket), PARK_COMPLETED);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

/* ---- grace ---- */

START_TEST(a_cancelled_ticket_ends_after_its_grace_and_its_units_when_its_task_does)
{
    struct park_options options = world_options(1);
    options.cancel_grace_ms = 5000;
    park_pool *pool = pool_of(&options);
    park_inbox *inbox;
    ck_assert_int_eq(park_inbox_create(&inbox), PARK_OK);
    struct payload payload = { 0 };
    struct park_work work = work_of(1);
    work.inbox = inbox;
    work.payload = &payload;
    work.payload_destroy = payload_destroy;
    park_ticket *ticket = submit_work(pool, &work);
    park_task *task = take_of(pool, ticket);
    park_ticket *next = submit(pool, 1);
    park_cancel(ticket, PARK_REASON_CLIENT);
    pass_ms(4999);
    park_tick(pool);
    ck_assert_int_eq(state_of(ticket), PARK_RUNNING);
    pass_ms(1);
    park_tick(pool);
    check_end(ticket, PARK_CANCELLED, PARK_REASON_CLIENT);
    ck_assert_int_eq(park_wait(ticket, 0), PARK_OK);
    ck_assert(fd_is_readable(park_inbox_fd(inbox)));
    ck_assert_int_eq(payload.destroyed, 0); /* the task still works on it */
    park_check(pool);
    struct park_stats stats = stats_of(pool);
    check_identity(&stats);
    ck_assert_uint_eq(stats.zombies, 1);
    ck_assert_uint_eq(stats.cancelled, 1);
    ck_assert_uint_eq(stats.used.n[0], 1);
    ck_assert_ptr_null(take_one(pool));
    ck_assert_int_eq(park_emit(task, 1, "x", 1), PARK_OK); /* nobody hears it */
    struct park_status status;
    park_status(ticket, &status);
    ck_assert_uint_eq(status.event_last, 0);
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_FINISH_RUNNING, 0), PARK_E_TIMEOUT);
    ck_assert_int_eq(state_of(next), PARK_DROPPED);
    finish(task, PARK_COMPLETED); /* too late */
    check_end(ticket, PARK_CANCELLED, PARK_REASON_CLIENT);
    stats = stats_of(pool);
    ck_assert_uint_eq(stats.zombies, 0);
    ck_assert_uint_eq(stats.late_finishes, 1);
    ck_assert_uint_eq(stats.completed, 0);
    ck_assert_uint_eq(stats.used.n[0], 0);
    ck_assert_int_eq(payload.destroyed, 1);
    ck_assert(park_is_drained(pool));
    park_ticket_unref(ticket);
    park_ticket_unref(next);
    park_inbox_destroy(inbox);
    end_pool(pool);
}
END_TEST

START_TEST(a_zombie_ends_with_its_pool)
{
    struct park_options options = world_options(1);
    options.cancel_grace_ms = 1;
    park_pool *pool = pool_of(&options);
    struct payload payload = { 0 };
    park_ticket *ticket = submit_payload(pool, 1, &payload);
    take_of(pool, ticket);
    park_cancel(ticket, PARK_REASON_CLIENT);
    pass_ms(1);
    park_tick(pool);
    check_end(ticket, PARK_CANCELLED, PARK_REASON_CLIENT);
    park_ticket_unref(ticket);
    end_pool(pool);
    ck_assert_int_eq(payload.destroyed, 1);
}
END_TEST

START_TEST(a_run_timeout_ends_the_ticket_after_its_grace_too)
{
    struct park_options options = world_options(2);
    options.cancel_grace_ms = 100;
    options.run_timeout_ms = 1000;
    park_pool *pool = pool_of(&options);
    park_ticket *ticket = submit_tasks(pool, 2, 1, 0, NULL);
    park_task *one = take_one(pool);
    park_task *two = take_one(pool);
    pass_ms(1000);
    park_tick(pool);
    finish(one, PARK_CANCELLED);
    pass_ms(100);
    park_tick(pool);
    check_end(ticket, PARK_EXPIRED, PARK_REASON_RUN_TIMEOUT);
    ck_assert_uint_eq(stats_of(pool).zombies, 1);
    finish(two, PARK_FAILED);
    check_end(ticket, PARK_EXPIRED, PARK_REASON_RUN_TIMEOUT);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(a_failed_ticket_whose_siblings_hang_is_failed_after_its_grace)
{
    struct park_options options = world_options(2);
    options.cancel_grace_ms = 100;
    park_pool *pool = pool_of(&options);
    park_ticket *ticket = submit_tasks(pool, 2, 1, 0, NULL);
    park_task *one = take_one(pool);
    park_task *two = take_one(pool);
    finish(one, PARK_FAILED);
    pass_ms(100);
    park_tick(pool);
    check_end(ticket, PARK_FAILED, PARK_REASON_ERROR);
    finish(two, PARK_COMPLETED);
    check_end(ticket, PARK_FAILED, PARK_REASON_ERROR);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

/* ---- who drives them ---- */

START_TEST(a_loop_is_told_when_the_next_timer_comes_earlier)
{
    struct park_options options = world_options(1);
    options.classes[PARK_CLASS_LOW].queue_timeout_ms = 900;
    options.classes[PARK_CLASS_NORMAL].queue_timeout_ms = 500;
    options.run_timeout_ms = 100;
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(1);
    work.run_timeout_ms = 50;
    park_ticket *runs = submit_work(pool, &work);
    ck_assert_int_eq(g_moves, 1);
    ck_assert_uint_eq(park_tick(pool), g_world.now_ns + 50 * MS_NS);
    park_ticket *low = submit_class(pool, PARK_CLASS_LOW, 1);
    ck_assert_int_eq(g_moves, 1); /* a later one concerns nobody */
    run_of(pool, runs);
    ck_assert_uint_eq(park_tick(pool), g_world.now_ns + 900 * MS_NS);
    park_task *task = take_of(pool, low); /* its run ends before that */
    ck_assert_int_eq(g_moves, 2);
    park_ticket *normal = submit(pool, 1);
    ck_assert_int_eq(g_moves, 2);
    ck_assert_uint_eq(park_tick(pool), g_world.now_ns + 100 * MS_NS);
    finish(task, PARK_COMPLETED);
    run_of(pool, normal);
    park_ticket *all[] = { runs, low, normal };
    for (int i = 0; i < 3; i++)
        park_ticket_unref(all[i]);
    end_pool(pool);
}
END_TEST

/* On the system's clock: whoever blocks drives the timers, too. */
START_TEST(a_waiter_sees_its_ticket_expire_while_no_taker_looks)
{
    struct park_options options = options_of(1, 10);
    options.classes[PARK_CLASS_NORMAL].queue_timeout_ms = 20;
    park_pool *pool = pool_of(&options);
    park_ticket *runs = submit(pool, 1);
    park_ticket *ticket = submit(pool, 1);
    ck_assert_int_eq(park_wait(ticket, -1), PARK_OK);
    check_end(ticket, PARK_EXPIRED, PARK_REASON_QUEUE_TIMEOUT);
    park_ticket_unref(runs);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(a_taker_that_waits_is_woken_by_a_run_that_is_over)
{
    struct park_options options = options_of(1, 10);
    options.run_timeout_ms = 20;
    park_pool *pool = pool_of(&options);
    park_ticket *ticket = submit(pool, 1);
    park_task *task = take_of(pool, ticket);
    park_take_wait(pool, -1);
    ck_assert_int_eq(park_task_reason(task), PARK_REASON_RUN_TIMEOUT);
    finish(task, PARK_CANCELLED);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

static void *wait_for(void *ticket)
{
    return park_wait(ticket, -1) == PARK_OK ? ticket : NULL;
}

/* The waiter fell asleep when no timer was set at all. */
START_TEST(a_sleeping_waiter_looks_at_a_timer_that_came_later)
{
    struct park_options options = options_of(1, 10);
    options.cancel_grace_ms = 20;
    park_pool *pool = pool_of(&options);
    park_ticket *ticket = submit(pool, 1);
    park_task *task = take_of(pool, ticket);
    pthread_t waiter;
    pthread_create(&waiter, NULL, wait_for, ticket);
    park_cancel(ticket, PARK_REASON_CLIENT);
    void *result;
    pthread_join(waiter, &result); /* though the task has not ended */
    ck_assert_ptr_eq(result, ticket);
    finish(task, PARK_CANCELLED);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

static atomic_int g_rounds;
static atomic_bool g_stop;

static void *wait_in_rounds(void *pool)
{
    while (!atomic_load(&g_stop)) {
        atomic_fetch_add(&g_rounds, 1);
        park_take_wait(pool, -1);
    }
    return NULL;
}

/* The taker fell asleep when no timer was set; nobody else looks. */
START_TEST(a_sleeping_taker_drives_a_timer_that_came_later)
{
    struct park_options options = options_of(1, 10);
    options.classes[PARK_CLASS_NORMAL].queue_timeout_ms = 20;
    park_pool *pool = pool_of(&options);
    park_inbox *inbox;
    ck_assert_int_eq(park_inbox_create(&inbox), PARK_OK);
    park_ticket *runs = submit(pool, 1);
    park_task *task = take_of(pool, runs);
    pthread_t taker;
    pthread_create(&taker, NULL, wait_in_rounds, pool);
    park_wake(pool);
    while (atomic_load(&g_rounds) < 2)
        sched_yield();
    for (int i = 0; i < 1000; i++) /* most likely it sleeps by now; if not, it will see the timer */
        sched_yield();
    struct park_work work = work_of(1);
    work.inbox = inbox;
    park_ticket *ticket = submit_work(pool, &work);
    struct pollfd fd = { .fd = park_inbox_fd(inbox), .events = POLLIN };
    ck_assert_int_eq(poll(&fd, 1, -1), 1);
    check_end(ticket, PARK_EXPIRED, PARK_REASON_QUEUE_TIMEOUT);
    atomic_store(&g_stop, true);
    park_wake(pool);
    pthread_join(taker, NULL);
    finish(task, PARK_COMPLETED);
    park_ticket_unref(runs);
    park_ticket_unref(ticket);
    park_inbox_destroy(inbox);
    end_pool(pool);
}
END_TEST

/* The taker works; a loop thread with nothing but the inbox and the timers serves the client. */
START_TEST(a_loop_expires_parked_work_while_the_taker_is_in_a_long_step)
{
    struct park_options options = options_of(1, 10);
    options.classes[PARK_CLASS_NORMAL].queue_timeout_ms = 20;
    park_pool *pool = pool_of(&options);
    park_inbox *inbox;
    ck_assert_int_eq(park_inbox_create(&inbox), PARK_OK);
    park_ticket *runs = submit(pool, 1);
    struct park_work work = work_of(1);
    work.inbox = inbox;
    park_ticket *ticket = submit_work(pool, &work);
    uint64_t next_ns;
    while ((next_ns = park_tick(pool)) != UINT64_MAX) {
        uint64_t now_ns = park_now_ns(pool);
        struct pollfd fd = { .fd = park_inbox_fd(inbox), .events = POLLIN };
        poll(&fd, 1, next_ns > now_ns ? (int)((next_ns - now_ns) / MS_NS) + 1 : 0);
    }
    park_ticket *told = park_inbox_next(inbox);
    ck_assert_ptr_eq(told, ticket);
    check_end(ticket, PARK_EXPIRED, PARK_REASON_QUEUE_TIMEOUT);
    park_ticket_unref(told);
    park_ticket_unref(ticket);
    park_ticket_unref(runs);
    park_inbox_destroy(inbox);
    end_pool(pool);
}
END_TEST

START_TEST(times_near_the_end_of_the_clock_do_not_wrap)
{
    struct park_options options = world_options(1);
    options.run_timeout_ms = UINT64_MAX;
    options.total_timeout_ms = UINT64_MAX / 1000000;
    options.classes[PARK_CLASS_NORMAL].queue_timeout_ms = UINT64_MAX - 1;
    options.classes[PARK_CLASS_NORMAL].budget_ms = UINT64_MAX;
    options.classes[PARK_CLASS_NORMAL].aging_ms = UINT64_MAX;
    options.cancel_grace_ms = UINT64_MAX;
    park_pool *pool = pool_of(&options);
    park_ticket *runs = submit(pool, 1);
    park_ticket *parked = submit(pool, 1);
    pass_ms(1000000);
    park_tick(pool);
    ck_assert_int_eq(state_of(runs), PARK_RUNNING);
    ck_assert_int_eq(state_of(parked), PARK_QUEUED);
    park_cancel(runs, PARK_REASON_CLIENT);
    pass_ms(1000000);
    park_tick(pool);
    ck_assert_int_eq(state_of(runs), PARK_RUNNING);
    run_of(pool, runs);
    run_of(pool, parked);
    park_ticket_unref(runs);
    park_ticket_unref(parked);
    end_pool(pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("timer");
    TCase *tc = add_case(suite, "limits", 10);
    tcase_add_test(tc, a_parked_ticket_expires_at_its_time_and_never_runs);
    tcase_add_test(tc, a_take_that_comes_late_starts_nothing_that_expired);
    tcase_add_test(tc, a_deadline_expires_parked_work_and_lets_running_work_go_on);
    tcase_add_test(tc, a_ticket_may_only_shorten_its_times);
    tcase_add_test(tc, a_run_that_is_over_keeps_its_units_until_its_taker_is_done);
    tcase_add_test(tc, success_after_the_time_is_a_success);
    tcase_add_test(tc, no_limit_of_the_queue_counts_for_work_that_was_given_back);
    tcase_add_test(tc, times_near_the_end_of_the_clock_do_not_wrap);
    tc = add_case(suite, "grace", 10);
    tcase_add_test(tc, a_cancelled_ticket_ends_after_its_grace_and_its_units_when_its_task_does);
    tcase_add_test(tc, a_zombie_ends_with_its_pool);
    tcase_add_test(tc, a_run_timeout_ends_the_ticket_after_its_grace_too);
    tcase_add_test(tc, a_failed_ticket_whose_siblings_hang_is_failed_after_its_grace);
    tc = add_case(suite, "drivers", 20);
    tcase_add_test(tc, a_loop_is_told_when_the_next_timer_comes_earlier);
    tcase_add_test(tc, a_waiter_sees_its_ticket_expire_while_no_taker_looks);
    tcase_add_test(tc, a_taker_that_waits_is_woken_by_a_run_that_is_over);
    tcase_add_test(tc, a_sleeping_waiter_looks_at_a_timer_that_came_later);
    tcase_add_test(tc, a_sleeping_taker_drives_a_timer_that_came_later);
    tcase_add_test(tc, a_loop_expires_parked_work_while_the_taker_is_in_a_long_step);
    return run_suite(suite);
}
