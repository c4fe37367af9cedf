/* What a task holds changes while it runs: growth, victims, giving back and coming back. */
#include "helper.h"

#include "base/clock.h"

/* ---- park_adjust ---- */

START_TEST(growth_is_booked_within_the_limit_and_the_pool)
{
    park_pool *pool = small_pool(10, 4);
    park_ticket *a = submit_tasks(pool, 1, 2, 9, NULL);
    park_ticket *b = submit_tasks(pool, 1, 2, 2, NULL);
    park_task *tasks[2];
    ck_assert_uint_eq(park_take(pool, tasks, 2), 2);
    ck_assert_int_eq(adjust(tasks[0], 6), PARK_OK);
    ck_assert_uint_eq(stats_of(pool).used.n[0], 8);
    ck_assert_int_eq(adjust(tasks[0], 8), PARK_OK); /* exactly all */
    ck_assert_int_eq(adjust(tasks[0], 9), PARK_E_AGAIN);
    ck_assert_int_eq(adjust(tasks[0], 10), PARK_E_LIMIT);
    ck_assert_int_eq(adjust(tasks[1], 3), PARK_E_LIMIT);
    ck_assert_uint_eq(stats_of(pool).used.n[0], 10); /* nothing changed */
    park_check(pool);
    ck_assert_int_eq(adjust(tasks[0], 1), PARK_OK);
    struct park_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.used.n[0], 3);
    ck_assert_uint_eq(stats.high_water.n[0], 10);
    finish(tasks[0], PARK_COMPLETED); /* what it holds now returns */
    ck_assert_uint_eq(stats_of(pool).used.n[0], 2);
    finish(tasks[1], PARK_COMPLETED);
    ck_assert_uint_eq(stats_of(pool).used.n[0], 0);
    park_ticket_unref(a);
    park_ticket_unref(b);
    end_pool(pool);
}
END_TEST

START_TEST(without_a_limit_a_task_cannot_grow)
{
    park_pool *pool = small_pool(10, 4);
    park_ticket *ticket = submit(pool, 2);
    park_task *task = take_one(pool);
    ck_assert_int_eq(adjust(task, 2), PARK_OK);
    ck_assert_int_eq(adjust(task, 3), PARK_E_LIMIT);
    ck_assert_int_eq(park_adjust(task, &(struct park_units){ { 2, 1 } }), PARK_E_LIMIT);
    finish(task, PARK_COMPLETED);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(growth_is_all_or_nothing_over_the_dimensions)
{
    struct park_options options = options_of(10, 4);
    options.dim_count = 2;
    options.dim_names[1] = "slots";
    options.capacity.n[1] = 3;
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(2);
    work.need.n[1] = 1;
    work.limit = (struct park_units){ { 10, 3 } };
    work.task_count = 2;
    park_ticket *ticket;
    park_task *tasks[2];
    ck_assert_int_eq(park_submit(pool, &work, &ticket, NULL), PARK_OK);
    ck_assert_uint_eq(park_take(pool, tasks, 2), 2);
    ck_assert_int_eq(park_adjust(tasks[0], &(struct park_units){ { 3, 3 } }), PARK_E_AGAIN);
    ck_assert_uint_eq(stats_of(pool).used.n[0], 4);
    ck_assert_uint_eq(stats_of(pool).used.n[1], 2);
    ck_assert_int_eq(park_adjust(tasks[0], &(struct park_units){ { 1, 2 } }), PARK_OK);
    ck_assert_uint_eq(stats_of(pool).used.n[0], 3);
    ck_assert_uint_eq(stats_of(pool).used.n[1], 3);
    park_check(pool);
    finish(tasks[0], PARK_COMPLETED);
    finish(tasks[1], PARK_COMPLETED);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(growth_near_the_end_of_64_bits_does_not_wrap)
{
    park_pool *pool = small_pool(UINT64_MAX, 4);
    park_ticket *a = submit_tasks(pool, 1, 2, UINT64_MAX, NULL);
    park_ticket *b = submit_tasks(pool, 1, 1, UINT64_MAX, NULL);
    park_task *tasks[2];
    ck_assert_uint_eq(park_take(pool, tasks, 2), 2);
    ck_assert_int_eq(adjust(tasks[0], UINT64_MAX), PARK_E_AGAIN);
    ck_assert_int_eq(adjust(tasks[0], UINT64_MAX - 1), PARK_OK);
    ck_assert_int_eq(adjust(tasks[1], 2), PARK_E_AGAIN);
    park_requeue(tasks[1]);
    ck_assert_int_eq(adjust(tasks[0], UINT64_MAX), PARK_OK);
    park_requeue(tasks[0]);
    park_check(pool);
    ck_assert_uint_eq(park_take(pool, tasks, 2), 1); /* all the rest is kept for it */
    park_check(pool);
    ck_assert_int_eq(adjust(tasks[0], UINT64_MAX), PARK_OK);
    finish(tasks[0], PARK_COMPLETED);
    finish(take_one(pool), PARK_COMPLETED);
    park_ticket_unref(a);
    park_ticket_unref(b);
    end_pool(pool);
}
END_TEST

START_TEST(what_is_shrunk_lets_the_next_start)
{
    park_pool *pool = small_pool(10, 4);
    park_ticket *a = submit(pool, 8);
    park_ticket *b = submit(pool, 5);
    park_task *task = take_one(pool);
    ck_assert_int_eq(adjust(task, 6), PARK_OK);
    ck_assert_ptr_null(take_one(pool));
    ck_assert_int_eq(adjust(task, 5), PARK_OK);
    park_take_wait(pool, -1); /* there is a reason to look */
    park_task *next = take_one(pool);
    ck_assert_ptr_eq(park_task_ticket(next), b);
    finish(task, PARK_COMPLETED);
    finish(next, PARK_COMPLETED);
    park_ticket_unref(a);
    park_ticket_unref(b);
    end_pool(pool);
}
END_TEST

/* ---- growth goes before new starts ---- */

/* How long park_take_wait blocked, in ms. */
static uint64_t wait_ms(park_pool *pool, int64_t timeout_ms)
{
    uint64_t start_ns = clock_now_ns(&base_clock_monotonic);
    park_take_wait(pool, timeout_ms);
    return (clock_now_ns(&base_clock_monotonic) - start_ns) / 1000000;
}

/* Three tasks hold 3, 3 and 2 of 10; each may grow to 10. */
struct lot {
    park_pool *pool;
    park_ticket *tickets[3];
    park_task *tasks[3];
};

static void fill(struct lot *lot)
{
    static const uint64_t needs[3] = { 3, 3, 2 };
    *lot = (struct lot){ .pool = small_pool(10, 10) };
    for (int i = 0; i < 3; i++)
        lot->tickets[i] = submit_tasks(lot->pool, 1, needs[i], 10, NULL);
    ck_assert_uint_eq(park_take(lot->pool, lot->tasks, 3), 3);
}

static void end_lot(struct lot *lot)
{
    for (int i = 0; i < 3; i++)
        park_ticket_unref(lot->tickets[i]);
    end_pool(lot->pool);
}

/* Whether a newcomer of one unit is booked at once. */
static bool newcomer_starts(park_pool *pool)
{
    park_ticket *ticket = submit(pool, 1);
    bool starts = state_of(ticket) == PARK_RUNNING;
    if (starts)
        finish(take_one(pool), PARK_COMPLETED);
    else
        park_cancel(ticket, PARK_REASON_CLIENT);
    park_ticket_unref(ticket);
    return starts;
}

START_TEST(refused_growth_holds_back_what_is_new)
{
    struct lot lot;
    fill(&lot);
    ck_assert(newcomer_starts(lot.pool)); /* 2 are free */
    ck_assert_int_eq(adjust(lot.tasks[0], 6), PARK_E_AGAIN);
    park_ticket *ticket = submit(lot.pool, 1);
    ck_assert_int_eq(state_of(ticket), PARK_QUEUED); /* submit books nothing */
    ck_assert_ptr_null(take_one(lot.pool));          /* and take starts nothing */
    ck_assert_uint_ge(wait_ms(lot.pool, 20), 20);    /* nor is it a reason to look */
    ck_assert_int_eq(adjust(lot.tasks[0], 11), PARK_E_LIMIT);
    ck_assert_ptr_null(take_one(lot.pool));
    ck_assert_int_eq(adjust(lot.tasks[1], 4), PARK_OK); /* others may grow */
    ck_assert_ptr_null(take_one(lot.pool));
    ck_assert_int_eq(adjust(lot.tasks[0], 4), PARK_OK); /* it grew: less than it wanted will do */
    ck_assert_ptr_null(take_one(lot.pool));             /* nothing is free now */
    ck_assert_int_eq(adjust(lot.tasks[1], 3), PARK_OK);
    park_task *task = take_one(lot.pool);
    ck_assert_ptr_eq(park_task_ticket(task), ticket);
    park_ticket_unref(ticket);
    end_lot(&lot);
}
END_TEST

START_TEST(depth_zero_refuses_while_growth_is_waited_for)
{
    park_pool *pool = small_pool(10, 0);
    park_ticket *a = submit_tasks(pool, 1, 4, 10, NULL);
    park_ticket *b = submit(pool, 4);
    park_task *tasks[2];
    ck_assert_uint_eq(park_take(pool, tasks, 2), 2);
    ck_assert_int_eq(adjust(tasks[0], 7), PARK_E_AGAIN);
    struct park_refusal refusal = refused(pool, 1, PARK_E_QUEUE_FULL);
    ck_assert_uint_ge(refusal.retry_after_ms, 1000);
    finish(tasks[1], PARK_COMPLETED);
    refused(pool, 1, PARK_E_QUEUE_FULL); /* it has not asked again yet */
    ck_assert_int_eq(adjust(tasks[0], 7), PARK_OK);
    ck_assert(newcomer_starts(pool));
    park_ticket_unref(a);
    park_ticket_unref(b);
    end_pool(pool);
}
END_TEST

START_TEST(the_hold_ends_when_the_refused_task_ends)
{
    struct lot lot;
    fill(&lot);
    ck_assert_int_eq(adjust(lot.tasks[0], 6), PARK_E_AGAIN);
    ck_assert_int_eq(adjust(lot.tasks[0], 7), PARK_E_AGAIN); /* twice is once */
    ck_assert(!newcomer_starts(lot.pool));
    finish(lot.tasks[0], PARK_COMPLETED);
    ck_assert(newcomer_starts(lot.pool));
    end_lot(&lot);
}
END_TEST

START_TEST(the_hold_ends_when_the_refused_task_is_requeued)
{
    struct lot lot;
    fill(&lot);
    ck_assert_int_eq(adjust(lot.tasks[0], 5), PARK_OK);
    ck_assert_int_eq(adjust(lot.tasks[2], 3), PARK_E_AGAIN);
    park_requeue(lot.tasks[2]);
    ck_assert(!newcomer_starts(lot.pool)); /* now the requeued one is ahead */
    finish(lot.tasks[1], PARK_COMPLETED);
    ck_assert_ptr_eq(take_one(lot.pool), lot.tasks[2]);
    ck_assert(newcomer_starts(lot.pool));
    end_lot(&lot);
}
END_TEST

START_TEST(the_hold_ends_when_the_refused_task_stays_as_it_is)
{
    struct lot lot;
    fill(&lot);
    ck_assert_int_eq(adjust(lot.tasks[0], 6), PARK_E_AGAIN);
    ck_assert_int_eq(adjust(lot.tasks[0], 3), PARK_OK); /* it goes on with what it has */
    ck_assert(newcomer_starts(lot.pool));
    end_lot(&lot);
}
END_TEST

START_TEST(the_hold_lasts_until_the_last_refused_task_has_what_it_wants)
{
    struct lot lot;
    fill(&lot);
    ck_assert_int_eq(adjust(lot.tasks[0], 6), PARK_E_AGAIN);
    ck_assert_int_eq(adjust(lot.tasks[1], 6), PARK_E_AGAIN);
    finish(lot.tasks[2], PARK_COMPLETED);
    ck_assert_int_eq(adjust(lot.tasks[0], 6), PARK_OK);
    ck_assert(!newcomer_starts(lot.pool));
    finish(lot.tasks[1], PARK_COMPLETED);
    ck_assert(newcomer_starts(lot.pool));
    finish(lot.tasks[0], PARK_COMPLETED);
    end_lot(&lot);
}
END_TEST

START_TEST(units_that_return_are_a_reason_for_who_was_refused)
{
    struct lot lot;
    fill(&lot);
    ck_assert_int_eq(adjust(lot.tasks[0], 6), PARK_E_AGAIN);
    ck_assert_uint_ge(wait_ms(lot.pool, 20), 20);
    ck_assert_int_eq(adjust(lot.tasks[1], 2), PARK_OK);
    park_take_wait(lot.pool, -1);
    ck_assert_uint_ge(wait_ms(lot.pool, 20), 20);
    park_requeue(lot.tasks[1]);
    park_take_wait(lot.pool, -1);
    ck_assert_uint_ge(wait_ms(lot.pool, 20), 20);
    finish(lot.tasks[2], PARK_COMPLETED);
    park_take_wait(lot.pool, -1);
    ck_assert_int_eq(adjust(lot.tasks[0], 6), PARK_OK);
    end_lot(&lot);
}
END_TEST

START_TEST(what_is_booked_is_handed_over_whoever_waits_for_growth)
{
    park_pool *pool = small_pool(10, 4);
    park_ticket *a = submit_tasks(pool, 1, 4, 10, NULL);
    park_task *task = take_one(pool);
    park_ticket *b = submit(pool, 4); /* booked, and not yet in the taker's hands */
    ck_assert_int_eq(adjust(task, 7), PARK_E_AGAIN);
    ck_assert_ptr_null(park_victim(pool));
    park_take_wait(pool, -1);
    park_task *booked = take_one(pool);
    ck_assert_ptr_eq(park_task_ticket(booked), b);
    ck_assert_ptr_eq(park_victim(pool), booked); /* so the room can be made */
    park_requeue(booked);
    ck_assert_int_eq(adjust(task, 7), PARK_OK);
    finish(task, PARK_COMPLETED);
    finish(take_one(pool), PARK_COMPLETED);
    park_ticket_unref(a);
    park_ticket_unref(b);
    end_pool(pool);
}
END_TEST

/* ---- park_victim ---- */

START_TEST(the_victim_is_the_latest_start_and_never_the_oldest)
{
    struct lot lot;
    park_pool *empty = small_pool(1, 1);
    ck_assert_ptr_null(park_victim(empty));
    park_pool_destroy(empty);
    fill(&lot);
    ck_assert_ptr_eq(park_victim(lot.pool), lot.tasks[2]);
    ck_assert_ptr_eq(park_victim(lot.pool), lot.tasks[2]); /* asking changes nothing */
    finish(lot.tasks[2], PARK_COMPLETED);
    ck_assert_ptr_eq(park_victim(lot.pool), lot.tasks[1]);
    park_requeue(lot.tasks[0]);
    ck_assert_ptr_null(park_victim(lot.pool)); /* one is left */
    ck_assert_ptr_eq(take_one(lot.pool), lot.tasks[0]);
    ck_assert_ptr_eq(park_victim(lot.pool), lot.tasks[0]); /* its start is the latest now */
    end_lot(&lot);
}
END_TEST

START_TEST(a_task_that_gave_way_too_often_is_spared_while_another_is_there)
{
    struct lot lot;
    fill(&lot);
    for (int i = 0; i < PARK_PREEMPTS_MAX; i++) {
        ck_assert_ptr_eq(park_victim(lot.pool), lot.tasks[2]);
        park_requeue(lot.tasks[2]);
        ck_assert_ptr_eq(take_one(lot.pool), lot.tasks[2]);
    }
    ck_assert_ptr_eq(park_victim(lot.pool), lot.tasks[1]);
    finish(lot.tasks[1], PARK_COMPLETED);
    ck_assert_ptr_eq(park_victim(lot.pool), lot.tasks[2]); /* there is no other */
    end_lot(&lot);
}
END_TEST

/* ---- park_requeue ---- */

START_TEST(a_requeued_task_keeps_its_place_its_events_and_its_pointer)
{
    struct lot lot;
    fill(&lot);
    park_ticket *waits = submit(lot.pool, 4);
    int saved = 0;
    park_task_set_user(lot.tasks[1], &saved);
    ck_assert_int_eq(park_emit(lot.tasks[1], 1, "a", 1), PARK_OK);
    ck_assert_int_eq(adjust(lot.tasks[1], 4), PARK_OK);
    park_requeue(lot.tasks[1]);
    park_check(lot.pool);
    ck_assert_int_eq(state_of(lot.tickets[1]), PARK_RUNNING); /* nobody outside sees it */
    struct park_status status;
    park_status(lot.tickets[1], &status);
    ck_assert_uint_eq(status.position, 0);
    struct park_stats stats = stats_of(lot.pool);
    ck_assert_uint_eq(stats.used.n[0], 5);
    ck_assert_uint_eq(stats.requeues, 1);
    ck_assert_uint_eq(stats.tasks_queued, 2);
    ck_assert_uint_eq(stats.tasks_running, 2);
    ck_assert_uint_eq(stats.queued, 1);
    ck_assert_uint_eq(stats.running, 3);
    park_task *task = take_one(lot.pool); /* before the one that never ran */
    ck_assert_ptr_eq(task, lot.tasks[1]);
    ck_assert_ptr_eq(park_task_user(task), &saved);
    ck_assert_uint_eq(stats_of(lot.pool).used.n[0], 8); /* with what it needs at the start */
    ck_assert_int_eq(park_emit(task, 2, "b", 1), PARK_OK);
    char buffer[64];
    struct park_event events[2];
    size_t count;
    ck_assert_int_eq(
        park_events_read(lot.tickets[1], 0, buffer, sizeof buffer, events, 2, &count, NULL),
        PARK_OK);
    ck_assert_uint_eq(count, 2);
    finish(task, PARK_COMPLETED);
    ck_assert_int_eq(state_of(lot.tickets[1]), PARK_COMPLETED);
    park_ticket_unref(waits);
    end_lot(&lot);
}
END_TEST

START_TEST(requeued_tasks_come_back_in_the_order_of_submission)
{
    park_pool *pool = small_pool(6, 10);
    park_ticket *a = submit_tasks(pool, 2, 1, 0, NULL);
    park_ticket *b = submit_tasks(pool, 4, 1, 0, NULL);
    park_ticket *waits = submit(pool, 1);
    park_task *tasks[7];
    ck_assert_uint_eq(park_take(pool, tasks, 7), 6);
    static const int order[6] = { 4, 0, 5, 2, 1, 3 };
    for (int i = 0; i < 6; i++) {
        park_requeue(tasks[order[i]]);
        park_check(pool);
    }
    park_task *again[7];
    ck_assert_uint_eq(park_take(pool, again, 7), 6);
    for (int i = 0; i < 6; i++)
        ck_assert_ptr_eq(again[i], tasks[i]);
    finish(again[0], PARK_COMPLETED);
    ck_assert_ptr_eq(park_task_ticket(take_one(pool)), waits);
    park_ticket_unref(a);
    park_ticket_unref(b);
    park_ticket_unref(waits);
    end_pool(pool);
}
END_TEST

START_TEST(a_requeue_uses_no_place_of_the_queue)
{
    park_pool *pool = small_pool(2, 1);
    park_ticket *a = submit(pool, 1);
    park_ticket *b = submit(pool, 1);
    park_ticket *waits = submit(pool, 1);
    park_task *tasks[2];
    ck_assert_uint_eq(park_take(pool, tasks, 2), 2);
    park_requeue(tasks[0]); /* the queue is full */
    park_requeue(tasks[1]);
    park_check(pool);
    ck_assert_uint_eq(stats_of(pool).tasks_queued, 3);
    ck_assert_uint_eq(stats_of(pool).queue_high_water, 1);
    refused(pool, 1, PARK_E_QUEUE_FULL);
    park_cancel(waits, PARK_REASON_CLIENT);
    park_ticket *next = submit(pool, 1); /* its place is free, but requeued ones are ahead */
    ck_assert_int_eq(state_of(next), PARK_QUEUED);
    park_ticket_unref(a);
    park_ticket_unref(b);
    park_ticket_unref(waits);
    park_ticket_unref(next);
    end_pool(pool);
}
END_TEST

START_TEST(a_requeued_task_waits_until_all_that_it_held_is_free)
{
    struct lot lot;
    fill(&lot);
    park_ticket *waits = submit(lot.pool, 3); /* 2 are free */
    ck_assert_int_eq(adjust(lot.tasks[2], 4), PARK_OK);
    park_requeue(lot.tasks[2]);
    ck_assert_int_eq(adjust(lot.tasks[0], 4), PARK_OK);
    ck_assert_ptr_null(take_one(lot.pool)); /* 3 are free, it needs 2, it held 4 */
    ck_assert_int_eq(adjust(lot.tasks[0], 3), PARK_OK);
    ck_assert_ptr_eq(take_one(lot.pool), lot.tasks[2]);
    finish(lot.tasks[0], PARK_COMPLETED);
    /* 5 are free, 2 of them are kept for it. */
    ck_assert_uint_eq(stats_of(lot.pool).used.n[0], 5);
    park_task *task = take_one(lot.pool);
    ck_assert_ptr_eq(park_task_ticket(task), waits);
    ck_assert(!newcomer_starts(lot.pool));
    ck_assert_int_eq(adjust(lot.tasks[2], 3), PARK_OK);
    ck_assert(!newcomer_starts(lot.pool));
    ck_assert_int_eq(adjust(lot.tasks[2], 4), PARK_OK);
    ck_assert(!newcomer_starts(lot.pool));
    finish(task, PARK_COMPLETED);
    ck_assert(newcomer_starts(lot.pool));
    park_ticket_unref(waits);
    end_lot(&lot);
}
END_TEST

START_TEST(a_requeued_task_waits_for_what_it_was_refused)
{
    struct lot lot;
    fill(&lot);
    ck_assert_int_eq(adjust(lot.tasks[2], 5), PARK_E_AGAIN);
    park_requeue(lot.tasks[2]);
    ck_assert_ptr_null(take_one(lot.pool)); /* else it would be refused again */
    ck_assert_int_eq(adjust(lot.tasks[1], 2), PARK_OK);
    ck_assert_ptr_eq(take_one(lot.pool), lot.tasks[2]);
    ck_assert_int_eq(adjust(lot.tasks[2], 5), PARK_OK);
    end_lot(&lot);
}
END_TEST

START_TEST(what_is_kept_is_let_go_by_a_shrink_a_requeue_and_the_end)
{
    struct lot lot;
    fill(&lot);
    ck_assert_int_eq(adjust(lot.tasks[2], 4), PARK_OK);
    park_requeue(lot.tasks[2]);
    ck_assert_ptr_eq(take_one(lot.pool), lot.tasks[2]); /* 2 are free, and kept */
    ck_assert(!newcomer_starts(lot.pool));
    ck_assert_int_eq(adjust(lot.tasks[0], 4), PARK_OK); /* growth may use them */
    ck_assert(!newcomer_starts(lot.pool));
    ck_assert_int_eq(adjust(lot.tasks[2], 1), PARK_OK); /* it needs less than was thought */
    ck_assert(newcomer_starts(lot.pool));
    park_requeue(lot.tasks[2]);
    ck_assert_ptr_eq(take_one(lot.pool), lot.tasks[2]);
    ck_assert(newcomer_starts(lot.pool));

    ck_assert_int_eq(adjust(lot.tasks[2], 3), PARK_OK);
    park_requeue(lot.tasks[2]);
    ck_assert_ptr_eq(take_one(lot.pool), lot.tasks[2]);
    ck_assert(!newcomer_starts(lot.pool));
    finish(lot.tasks[2], PARK_COMPLETED);
    ck_assert(newcomer_starts(lot.pool));
    end_lot(&lot);
}
END_TEST

START_TEST(a_requeued_task_that_is_cancelled_comes_back_at_once)
{
    struct lot lot;
    fill(&lot);
    int saved = 0;
    park_task_set_user(lot.tasks[1], &saved);
    park_requeue(lot.tasks[1]);
    ck_assert_int_eq(adjust(lot.tasks[0], 8), PARK_OK);      /* there is no room for it */
    ck_assert_int_eq(adjust(lot.tasks[2], 3), PARK_E_AGAIN); /* and nothing may start */
    ck_assert_ptr_null(take_one(lot.pool));
    park_cancel(lot.tickets[1], PARK_REASON_CLIENT);
    ck_assert_int_eq(state_of(lot.tickets[1]), PARK_RUNNING);
    park_check(lot.pool);
    park_take_wait(lot.pool, -1);
    ck_assert_ptr_eq(take_one(lot.pool), lot.tasks[1]);
    ck_assert_int_eq(park_task_reason(lot.tasks[1]), PARK_REASON_CLIENT);
    ck_assert_ptr_eq(park_task_user(lot.tasks[1]), &saved);
    ck_assert_uint_eq(stats_of(lot.pool).used.n[0], 10); /* it holds nothing */
    finish(lot.tasks[1], PARK_CANCELLED);
    ck_assert_int_eq(reason_of(lot.tickets[1]), PARK_REASON_CLIENT);
    end_lot(&lot);
}
END_TEST

START_TEST(a_cancelled_task_that_is_requeued_comes_back_at_once)
{
    struct lot lot;
    fill(&lot);
    ck_assert_int_eq(adjust(lot.tasks[0], 5), PARK_OK);
    park_cancel(lot.tickets[2], PARK_REASON_CLIENT);
    park_requeue(lot.tasks[2]);
    ck_assert_int_eq(adjust(lot.tasks[0], 7), PARK_OK);
    park_check(lot.pool);
    ck_assert_uint_eq(stats_of(lot.pool).tasks_queued, 0);
    ck_assert_ptr_eq(take_one(lot.pool), lot.tasks[2]);
    finish(lot.tasks[2], PARK_CANCELLED);
    end_lot(&lot);
}
END_TEST

START_TEST(a_failure_brings_requeued_siblings_back)
{
    park_pool *pool = small_pool(3, 4);
    struct payload payload = { 0 };
    park_ticket *ticket = submit_tasks(pool, 4, 1, 0, &payload);
    park_task *tasks[3];
    ck_assert_uint_eq(park_take(pool, tasks, 3), 3);
    park_requeue(tasks[1]);
    finish(tasks[0], PARK_FAILED);
    ck_assert_ptr_eq(take_one(pool), tasks[1]);
    ck_assert_int_eq(park_task_reason(tasks[1]), PARK_REASON_ERROR);
    finish(tasks[1], PARK_CANCELLED);
    ck_assert_int_eq(payload.destroyed, 0);
    finish(tasks[2], PARK_CANCELLED);
    ck_assert_int_eq(state_of(ticket), PARK_FAILED);
    ck_assert_int_eq(payload.destroyed, 1);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(the_place_of_a_requeued_task_stays_free_for_it)
{
    struct park_options options = options_of(100, 10);
    options.running_max = 2;
    park_pool *pool = pool_of(&options);
    park_ticket *tickets[3];
    for (int i = 0; i < 3; i++)
        tickets[i] = submit_tasks(pool, 1, 1, 100, NULL);
    park_task *tasks[2];
    ck_assert_uint_eq(park_take(pool, tasks, 2), 2);
    ck_assert_int_eq(adjust(tasks[0], 99), PARK_OK);
    ck_assert_int_eq(adjust(tasks[1], 2), PARK_E_AGAIN);
    park_requeue(tasks[1]);
    ck_assert_ptr_null(take_one(pool));
    park_check(pool); /* running and requeued together stay within running_max */
    park_cancel(tickets[1], PARK_REASON_CLIENT);
    ck_assert_ptr_eq(take_one(pool), tasks[1]);
    ck_assert_uint_eq(stats_of(pool).tasks_running, 2);
    for (int i = 0; i < 3; i++)
        park_ticket_unref(tickets[i]);
    end_pool(pool);
}
END_TEST

/* ---- a budget that is too small for all ---- */

enum {
    ROWS_MAX = 8,
    JOBS = 60
};

/* What an engine knows of a task; kept over requeues as its user pointer. */
struct job {
    uint64_t length; /* steps until its end */
    uint64_t done;   /* steps, kept over requeues */
    int requeues;
    bool in_batch;
};

struct engine {
    struct world world;
    park_pool *pool;
    struct job jobs[JOBS];
    int job_count;
    park_task *rows[ROWS_MAX];
    size_t count;
    uint64_t steps;
    uint64_t block; /* steps that one unit is good for */
};

/* Units that a job holds when it has done that much. */
static uint64_t units_at(const struct engine *e, uint64_t done)
{
    return 1 + done / e->block;
}

static void leave(struct engine *e, size_t row)
{
    struct job *job = park_task_user(e->rows[row]);
    job->in_batch = false;
    for (size_t i = row + 1; i < e->count; i++)
        e->rows[i - 1] = e->rows[i];
    e->count--;
}

static size_t row_of(const struct engine *e, const park_task *task)
{
    size_t row = 0;
    while (row < e->count && e->rows[row] != task)
        row++;
    ck_assert_uint_lt(row, e->count); /* a victim is always in the batch */
    return row;
}

/* Every row gets the units for its next step, or gives way, or waits. */
static void grow_rows(struct engine *e, bool *waits)
{
    for (size_t i = 0; i < e->count; i++) {
        park_task *task = e->rows[i];
        struct job *job = park_task_user(task);
        waits[i] = false;
        while (adjust(task, units_at(e, job->done)) == PARK_E_AGAIN) {
            park_task *victim = park_victim(e->pool);
            if (!victim) {
                waits[i] = true;
                break;
            }
            size_t row = row_of(e, victim);
            struct job *given = park_task_user(victim);
            given->requeues++;
            leave(e, row);
            park_requeue(victim);
            for (size_t k = row; k < e->count; k++)
                waits[k] = waits[k + 1];
            if (row <= i)
                i--; /* the rows have moved up */
            if (victim == task)
                break;
        }
    }
}

static void take_rows(struct engine *e)
{
    size_t n = park_take(e->pool, e->rows + e->count, ROWS_MAX - e->count);
    for (size_t i = 0; i < n; i++) {
        park_task *task = e->rows[e->count + i];
        struct job *job = park_task_user(task);
        if (!job) {
            job = park_task_payload(task);
            job += park_task_index(task);
            park_task_set_user(task, job);
        }
        ck_assert(!job->in_batch);
        job->in_batch = true;
    }
    e->count += n;
}

static void step_rows(struct engine *e, const bool *waits, size_t grown)
{
    e->steps++;
    for (size_t i = grown; i-- > 0;) {
        park_task *task = e->rows[i];
        struct job *job = park_task_user(task);
        if (waits[i] || ++job->done < job->length)
            continue;
        leave(e, i);
        finish(task, PARK_COMPLETED);
    }
}

/* As an engine's loop: grow, take, step; rows that were just taken grow in the next turn. */
static void run_engine(struct engine *e)
{
    bool waits[ROWS_MAX + 1] = { false };
    while (!park_is_drained(e->pool)) {
        grow_rows(e, waits);
        size_t grown = e->count;
        take_rows(e);
        ck_assert_uint_gt(e->count, 0); /* never is there nothing to do while something waits */
        step_rows(e, waits, grown);
        park_check(e->pool);
        ck_assert_uint_lt(e->steps, 100000);
    }
}

/*
 * Jobs of random length, one to four tasks a ticket, of which each alone may need the whole
 * pool. Every job ends, and how often work is given back is bounded by the number of jobs.
 */
static void run_scenario(uint64_t seed, uint64_t capacity, uint64_t length_min)
{
    struct engine e = { .world = { .seed = seed }, .block = 1 + seed % 3 };
    struct park_options options = options_of(capacity, JOBS);
    options.running_max = ROWS_MAX;
    e.pool = pool_of(&options);
    uint64_t length_max = capacity * e.block;
    while (e.job_count < JOBS) {
        uint32_t count = 1 + (uint32_t)world_below(&e.world, 4);
        if (e.job_count + (int)count > JOBS)
            count = (uint32_t)(JOBS - e.job_count);
        struct park_work work = work_of(1);
        work.limit.n[0] = capacity;
        work.task_count = count;
        work.payload = &e.jobs[e.job_count];
        for (uint32_t i = 0; i < count; i++) {
            uint64_t spread = length_max - length_min;
            e.jobs[e.job_count++].length = length_min + world_below(&e.world, spread);
        }
        park_ticket *ticket;
        ck_assert_int_eq(park_submit(e.pool, &work, &ticket, NULL), PARK_OK);
        park_ticket_unref(ticket);
    }
    park_drain(e.pool, PARK_DRAIN_FINISH_ALL, 0);
    run_engine(&e);
    struct park_stats stats = stats_of(e.pool);
    ck_assert_uint_eq(stats.high_water.n[0], capacity);
    ck_assert_uint_eq(stats.used.n[0], 0);
    uint64_t ideal = 0;
    for (int i = 0; i < JOBS; i++) {
        ck_assert_uint_eq(e.jobs[i].done, e.jobs[i].length);
        ck_assert_int_le(e.jobs[i].requeues, 2 * PARK_PREEMPTS_MAX);
        ideal += e.jobs[i].length;
    }
    ck_assert_uint_gt(stats.requeues, 0);
    ck_assert_uint_le(stats.requeues, ROWS_MAX * JOBS);
    ck_assert_uint_le(e.steps, ideal + 3 * JOBS); /* never slower than one after the other */
    end_pool(e.pool);
}

START_TEST(a_budget_too_small_for_all_serves_all)
{
    uint64_t seed = (uint64_t)_i;
    run_scenario(seed, 10 + seed % 40, 1);
}
END_TEST

START_TEST(jobs_that_need_nearly_all_are_served_one_by_one)
{
    uint64_t seed = (uint64_t)_i;
    uint64_t capacity = 10 + seed % 40;
    run_scenario(seed, capacity, capacity * (1 + seed % 3) - 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grow");
    TCase *tc = add_case(suite, "adjust", 20);
    tcase_add_test(tc, growth_is_booked_within_the_limit_and_the_pool);
    tcase_add_test(tc, without_a_limit_a_task_cannot_grow);
    tcase_add_test(tc, growth_is_all_or_nothing_over_the_dimensions);
    tcase_add_test(tc, growth_near_the_end_of_64_bits_does_not_wrap);
    tcase_add_test(tc, what_is_shrunk_lets_the_next_start);

    tc = add_case(suite, "hold", 20);
    tcase_add_test(tc, refused_growth_holds_back_what_is_new);
    tcase_add_test(tc, depth_zero_refuses_while_growth_is_waited_for);
    tcase_add_test(tc, the_hold_ends_when_the_refused_task_ends);
    tcase_add_test(tc, the_hold_ends_when_the_refused_task_is_requeued);
    tcase_add_test(tc, the_hold_ends_when_the_refused_task_stays_as_it_is);
    tcase_add_test(tc, the_hold_lasts_until_the_last_refused_task_has_what_it_wants);
    tcase_add_test(tc, units_that_return_are_a_reason_for_who_was_refused);
    tcase_add_test(tc, what_is_booked_is_handed_over_whoever_waits_for_growth);

    tc = add_case(suite, "victim", 20);
    tcase_add_test(tc, the_victim_is_the_latest_start_and_never_the_oldest);
    tcase_add_test(tc, a_task_that_gave_way_too_often_is_spared_while_another_is_there);

    tc = add_case(suite, "requeue", 20);
    tcase_add_test(tc, a_requeued_task_keeps_its_place_its_events_and_its_pointer);
    tcase_add_test(tc, requeued_tasks_come_back_in_the_order_of_submission);
    tcase_add_test(tc, a_requeue_uses_no_place_of_the_queue);
    tcase_add_test(tc, a_requeued_task_waits_until_all_that_it_held_is_free);
    tcase_add_test(tc, a_requeued_task_waits_for_what_it_was_refused);
    tcase_add_test(tc, what_is_kept_is_let_go_by_a_shrink_a_requeue_and_the_end);
    tcase_add_test(tc, a_requeued_task_that_is_cancelled_comes_back_at_once);
    tcase_add_test(tc, a_cancelled_task_that_is_requeued_comes_back_at_once);
    tcase_add_test(tc, a_failure_brings_requeued_siblings_back);
    tcase_add_test(tc, the_place_of_a_requeued_task_stays_free_for_it);

    tc = add_case(suite, "scenario", 60);
    tcase_add_loop_test(tc, a_budget_too_small_for_all_serves_all, 1, 41);
    tcase_add_loop_test(tc, jobs_that_need_nearly_all_are_served_one_by_one, 1, 21);
    return run_suite(suite);
}
