/* Tickets of several tasks: accepted as a whole, started one by one, ended with the last. */
#include "helper.h"

#include "base/mem.h"

/* Tries to submit; an accepted ticket is let go of, and its payload outlives the pool. */
static enum park_err try_tasks(park_pool *pool, uint32_t count, struct park_refusal *refusal)
{
    static struct payload payload;
    int destroyed = payload.destroyed;
    struct park_work work = work_of(1);
    work.task_count = count;
    work.payload = &payload;
    work.payload_destroy = payload_destroy;
    park_ticket *ticket;
    enum park_err rc = park_submit(pool, &work, &ticket, refusal);
    ck_assert_int_eq(payload.destroyed, destroyed);
    ck_assert_int_eq(rc == PARK_OK, ticket != NULL);
    if (ticket)
        park_ticket_unref(ticket);
    return rc;
}

/* ---- admission ---- */

START_TEST(the_tasks_of_a_ticket_start_one_by_one_in_order)
{
    park_pool *pool = small_pool(2, 10);
    struct payload payload = { 0 };
    park_ticket *ticket = submit_tasks(pool, 5, 1, 0, &payload);
    ck_assert_int_eq(state_of(ticket), PARK_RUNNING);
    struct park_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.running, 1);
    ck_assert_uint_eq(stats.queued, 0);
    ck_assert_uint_eq(stats.tasks_running, 2);
    ck_assert_uint_eq(stats.tasks_queued, 3);
    for (uint32_t i = 0; i < 5; i++) {
        park_task *task = take_one(pool);
        ck_assert_ptr_eq(park_task_ticket(task), ticket);
        ck_assert_ptr_eq(park_task_payload(task), &payload);
        ck_assert_uint_eq(park_task_index(task), i);
        ck_assert_ptr_null(park_task_user(task));
        ck_assert_int_eq(state_of(ticket), PARK_RUNNING);
        ck_assert_int_eq(payload.destroyed, 0);
        park_check(pool);
        finish(task, PARK_COMPLETED);
    }
    ck_assert_int_eq(state_of(ticket), PARK_COMPLETED);
    ck_assert_int_eq(payload.destroyed, 1);
    ck_assert_uint_eq(stats_of(pool).completed, 1);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(tasks_are_counted_from_1_to_128)
{
    park_pool *pool = small_pool(1000, 0);
    struct park_refusal refusal;
    ck_assert_int_eq(try_tasks(pool, PARK_TASKS_MAX + 1, &refusal), PARK_E_INVALID);
    ck_assert_uint_eq(refusal.retry_after_ms, 0);
    ck_assert_int_eq(try_tasks(pool, PARK_TASKS_MAX, NULL), PARK_OK);
    ck_assert_uint_eq(stats_of(pool).tasks_running, PARK_TASKS_MAX);
    ck_assert_int_eq(try_tasks(pool, 0, NULL), PARK_OK); /* is one */
    ck_assert_uint_eq(stats_of(pool).tasks_running, PARK_TASKS_MAX + 1);
    ck_assert_uint_eq(stats_of(pool).used.n[0], PARK_TASKS_MAX + 1);
    end_pool(pool);
}
END_TEST

START_TEST(a_ticket_is_accepted_or_refused_as_a_whole)
{
    park_pool *pool = small_pool(2, 3);
    struct park_refusal refusal;
    park_ticket *one = submit(pool, 1);
    ck_assert_int_eq(try_tasks(pool, 5, &refusal), PARK_E_QUEUE_FULL); /* 1 starts, 4 do not */
    ck_assert_uint_ge(refusal.retry_after_ms, 1000);
    ck_assert_uint_eq(refusal.queue_count, 0);
    struct park_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.tasks_queued, 0);
    ck_assert_uint_eq(stats.tasks_running, 1);
    ck_assert_uint_eq(stats.used.n[0], 1);
    ck_assert_int_eq(try_tasks(pool, 4, NULL), PARK_OK); /* 1 starts, 3 are parked */
    ck_assert_int_eq(try_tasks(pool, 1, &refusal), PARK_E_QUEUE_FULL);
    ck_assert_uint_eq(refusal.queue_count, 3);
    stats = stats_of(pool);
    ck_assert_uint_eq(stats.tasks_queued, 3);
    ck_assert_uint_eq(stats.queue_high_water, 3);
    ck_assert_uint_eq(stats.rejected_queue_full, 2);
    park_ticket_unref(one);
    end_pool(pool);
}
END_TEST

START_TEST(each_task_gives_its_place_back_when_it_starts)
{
    park_pool *pool = small_pool(1, 2);
    park_ticket *ticket = submit_tasks(pool, 3, 1, 0, NULL);
    ck_assert_int_eq(try_tasks(pool, 1, NULL), PARK_E_QUEUE_FULL);
    finish(take_one(pool), PARK_COMPLETED);
    ck_assert_int_eq(try_tasks(pool, 1, NULL), PARK_E_QUEUE_FULL); /* parked until taken */
    park_task *task = take_one(pool);
    ck_assert_int_eq(try_tasks(pool, 2, NULL), PARK_E_QUEUE_FULL);
    ck_assert_int_eq(try_tasks(pool, 1, NULL), PARK_OK);
    finish(task, PARK_COMPLETED);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(payload_bytes_count_once_while_a_task_is_parked)
{
    struct park_options options = options_of(1, 10);
    options.queue_bytes_max = 100;
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(1);
    work.task_count = 3;
    work.payload_bytes = 60;
    park_ticket *ticket;
    park_ticket *none;
    ck_assert_int_eq(park_submit(pool, &work, &ticket, NULL), PARK_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(stats_of(pool).queued_bytes, 60);
        ck_assert_int_eq(park_submit(pool, &work, &none, NULL), PARK_E_QUEUE_FULL);
        finish(take_one(pool), PARK_COMPLETED);
    }
    park_task *last = take_one(pool);
    ck_assert_uint_eq(stats_of(pool).queued_bytes, 0);
    /* A requeued task uses no place, neither by count nor by bytes. */
    park_requeue(last);
    ck_assert_uint_eq(stats_of(pool).queued_bytes, 0);
    finish(take_one(pool), PARK_COMPLETED);
    ck_assert_int_eq(state_of(ticket), PARK_COMPLETED);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(work_that_never_finds_room_is_not_told_to_come_back)
{
    struct park_options options = options_of(2, 3);
    options.queue_bytes_max = 100;
    park_pool *pool = pool_of(&options);
    struct park_refusal refusal;
    ck_assert_int_eq(try_tasks(pool, 6, &refusal), PARK_E_QUEUE_FULL);
    ck_assert_uint_eq(refusal.retry_after_ms, 0);
    struct park_work work = work_of(1);
    work.task_count = 3;
    work.payload_bytes = 101;
    park_ticket *ticket;
    ck_assert_int_eq(park_submit(pool, &work, &ticket, &refusal), PARK_E_QUEUE_FULL);
    ck_assert_uint_eq(refusal.retry_after_ms, 0);
    ck_assert_int_eq(try_tasks(pool, 5, NULL), PARK_OK);
    ck_assert_int_eq(try_tasks(pool, 5, &refusal), PARK_E_QUEUE_FULL);
    ck_assert_uint_ge(refusal.retry_after_ms, 1000);
    end_pool(pool);
}
END_TEST

START_TEST(a_limit_below_the_need_is_invalid_and_above_the_pool_oversize)
{
    park_pool *pool = small_pool(10, 4);
    struct park_work work = work_of(4);
    struct park_refusal refusal;
    park_ticket *ticket;
    work.limit.n[0] = 3;
    ck_assert_int_eq(park_submit(pool, &work, &ticket, NULL), PARK_E_INVALID);
    work.limit.n[0] = 11;
    ck_assert_int_eq(park_submit(pool, &work, &ticket, &refusal), PARK_E_OVERSIZE);
    ck_assert_uint_eq(refusal.dim, 0);
    ck_assert_uint_eq(refusal.requested, 11);
    ck_assert_uint_eq(refusal.available, 10);
    work.limit.n[0] = 10;
    work.limit.n[2] = 1; /* of a dimension that is not used */
    ck_assert_int_eq(park_submit(pool, &work, &ticket, NULL), PARK_E_INVALID);
    work.limit.n[2] = 0;
    ck_assert_int_eq(park_submit(pool, &work, &ticket, NULL), PARK_OK);
    ck_assert_uint_eq(stats_of(pool).used.n[0], 4); /* only the need is booked */
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

/* ---- order and position ---- */

START_TEST(tasks_start_by_ticket_and_then_by_index)
{
    park_pool *pool = small_pool(1, 10);
    park_ticket *tickets[3];
    for (int i = 0; i < 3; i++)
        tickets[i] = submit_tasks(pool, 3, 1, 0, NULL);
    for (uint32_t i = 0; i < 9; i++) {
        park_task *task = take_one(pool);
        ck_assert_ptr_eq(park_task_ticket(task), tickets[i / 3]);
        ck_assert_uint_eq(park_task_index(task), i % 3);
        ck_assert_ptr_null(take_one(pool));
        finish(task, PARK_COMPLETED);
        ck_assert_int_eq(state_of(tickets[i / 3]), i % 3 == 2 ? PARK_COMPLETED : PARK_RUNNING);
    }
    for (int i = 0; i < 3; i++)
        park_ticket_unref(tickets[i]);
    end_pool(pool);
}
END_TEST

START_TEST(position_counts_the_tasks_ahead_of_the_first_parked_one)
{
    park_pool *pool = small_pool(2, 10);
    struct park_status status;
    park_ticket *a = submit_tasks(pool, 3, 1, 0, NULL); /* one of it is parked */
    park_ticket *b = submit_tasks(pool, 2, 1, 0, NULL);
    park_ticket *c = submit_tasks(pool, 2, 1, 0, NULL);
    park_status(a, &status);
    ck_assert_uint_eq(status.position, 0);
    park_status(b, &status);
    ck_assert_uint_eq(status.position, 2);
    park_status(c, &status);
    ck_assert_uint_eq(status.position, 4);
    park_task *tasks[2];
    ck_assert_uint_eq(park_take(pool, tasks, 2), 2);
    park_requeue(tasks[1]);
    park_status(c, &status);
    ck_assert_uint_eq(status.position, 5);
    park_ticket_unref(a);
    park_ticket_unref(b);
    park_ticket_unref(c);
    end_pool(pool);
}
END_TEST

START_TEST(waiting_time_ends_with_the_first_start)
{
    struct world world = { .now_ns = 1000 };
    struct park_options options = options_of(1, 4);
    options.env = world_env(&world);
    park_pool *pool = pool_of(&options);
    park_ticket *runs = submit(pool, 1);
    park_ticket *ticket = submit_tasks(pool, 2, 1, 0, NULL);
    world.now_ns += 30;
    finish(take_one(pool), PARK_COMPLETED);
    park_task *task = take_one(pool);
    world.now_ns += 40;
    struct park_status status;
    park_status(ticket, &status);
    ck_assert_uint_eq(status.queued_ns, 30);
    ck_assert_uint_eq(stats_of(pool).oldest_queued_ns, 70); /* its other task still waits */
    finish(task, PARK_COMPLETED);
    finish(take_one(pool), PARK_COMPLETED);
    park_status(ticket, &status);
    ck_assert_uint_eq(status.queued_ns, 30);
    park_ticket_unref(runs);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

/* ---- ends ---- */

/* A ticket of four tasks, three of them taken. */
struct lot {
    park_pool *pool;
    struct payload payload;
    park_ticket *ticket;
    park_task *tasks[3];
};

static void fill(struct lot *lot)
{
    *lot = (struct lot){ .pool = small_pool(3, 4) };
    lot->ticket = submit_tasks(lot->pool, 4, 1, 0, &lot->payload);
    ck_assert_uint_eq(park_take(lot->pool, lot->tasks, 3), 3);
}

/* The ticket has ended, and its payload with it. */
static void end_lot(struct lot *lot, enum park_state state, enum park_reason reason)
{
    ck_assert_int_eq(state_of(lot->ticket), state);
    ck_assert_int_eq(reason_of(lot->ticket), reason);
    ck_assert_int_eq(lot->payload.destroyed, 1);
    struct park_stats stats = stats_of(lot->pool);
    ck_assert_uint_eq(stats.tasks_queued + stats.tasks_running + stats.used.n[0], 0);
    park_ticket_unref(lot->ticket);
    end_pool(lot->pool);
    ck_assert_int_eq(lot->payload.destroyed, 1);
}

/* As long as a task is left nothing of the ticket's end is to be seen. */
static void still_runs(const struct lot *lot)
{
    ck_assert_int_eq(state_of(lot->ticket), PARK_RUNNING);
    ck_assert_int_eq(reason_of(lot->ticket), PARK_REASON_NONE);
    ck_assert_int_eq(lot->payload.destroyed, 0);
    ck_assert_int_eq(park_wait(lot->ticket, 0), PARK_E_TIMEOUT);
    park_check(lot->pool);
}

START_TEST(a_failed_task_cancels_its_siblings)
{
    struct lot lot;
    fill(&lot);
    park_ticket *other = submit(lot.pool, 1);
    struct park_outcome outcome = { .state = PARK_FAILED, .error_code = 7, .error_text = "first" };
    park_finish(lot.tasks[1], &outcome);
    still_runs(&lot);
    ck_assert_uint_eq(stats_of(lot.pool).tasks_queued, 1); /* the fourth task never runs */
    park_take_wait(lot.pool, -1);                          /* the taker is told */
    ck_assert_int_eq(park_task_reason(lot.tasks[0]), PARK_REASON_ERROR);
    ck_assert_int_eq(park_task_reason(lot.tasks[2]), PARK_REASON_ERROR);
    park_task *task = take_one(lot.pool);
    ck_assert_ptr_eq(park_task_ticket(task), other);
    ck_assert(!park_task_cancelled(task));
    finish(task, PARK_COMPLETED);
    park_ticket_unref(other);
    outcome =
        (struct park_outcome){ .state = PARK_FAILED, .error_code = 8, .error_text = "second" };
    park_finish(lot.tasks[0], &outcome);
    still_runs(&lot);
    finish(lot.tasks[2], PARK_CANCELLED);
    struct park_status status;
    park_status(lot.ticket, &status);
    ck_assert_int_eq(status.error_code, 7); /* the first failure is the ticket's */
    ck_assert_str_eq(status.error_text, "first");
    end_lot(&lot, PARK_FAILED, PARK_REASON_ERROR);
}
END_TEST

START_TEST(a_failure_with_only_parked_siblings_ends_the_ticket)
{
    park_pool *pool = small_pool(1, 4);
    struct payload payload = { 0 };
    park_ticket *ticket = submit_tasks(pool, 4, 1, 0, &payload);
    finish(take_one(pool), PARK_FAILED);
    ck_assert_int_eq(state_of(ticket), PARK_FAILED);
    ck_assert_int_eq(payload.destroyed, 1);
    ck_assert_uint_eq(stats_of(pool).failed, 1);
    ck_assert_uint_eq(stats_of(pool).cancelled, 0);
    ck_assert_ptr_null(take_one(pool));
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(a_cancelled_task_leaves_its_siblings_alone)
{
    struct lot lot;
    fill(&lot);
    finish(lot.tasks[0], PARK_CANCELLED); /* nobody asked */
    ck_assert(!park_task_cancelled(lot.tasks[1]));
    finish(lot.tasks[1], PARK_COMPLETED);
    finish(lot.tasks[2], PARK_COMPLETED);
    still_runs(&lot);
    finish(take_one(lot.pool), PARK_COMPLETED);
    end_lot(&lot, PARK_CANCELLED, PARK_REASON_NONE);
}
END_TEST

START_TEST(a_cancel_ends_parked_tasks_and_tells_the_others)
{
    struct lot lot;
    fill(&lot);
    park_cancel(lot.ticket, PARK_REASON_DISCONNECT);
    park_cancel(lot.ticket, PARK_REASON_CLIENT);
    still_runs(&lot);
    ck_assert_uint_eq(stats_of(lot.pool).tasks_queued, 0);
    park_take_wait(lot.pool, -1);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(park_task_reason(lot.tasks[i]), PARK_REASON_DISCONNECT);
        still_runs(&lot);
        finish(lot.tasks[i], i == 1 ? PARK_COMPLETED : PARK_CANCELLED);
    }
    end_lot(&lot, PARK_CANCELLED, PARK_REASON_DISCONNECT);
}
END_TEST

START_TEST(a_cancel_of_parked_tasks_is_seen_in_the_end)
{
    struct lot lot;
    fill(&lot);
    park_cancel(lot.ticket, PARK_REASON_CLIENT);
    for (int i = 0; i < 3; i++) /* all that ran came to their end; the fourth never ran */
        finish(lot.tasks[i], PARK_COMPLETED);
    end_lot(&lot, PARK_CANCELLED, PARK_REASON_CLIENT);
}
END_TEST

START_TEST(a_cancel_of_a_parked_ticket_ends_all_its_tasks)
{
    park_pool *pool = small_pool(1, 3);
    struct payload payload = { 0 };
    park_ticket *runs = submit(pool, 1);
    park_ticket *parked = submit_tasks(pool, 3, 1, 0, &payload);
    ck_assert_int_eq(state_of(parked), PARK_QUEUED);
    park_cancel(parked, PARK_REASON_CLIENT);
    ck_assert_int_eq(state_of(parked), PARK_CANCELLED);
    ck_assert_int_eq(payload.destroyed, 1);
    ck_assert_uint_eq(stats_of(pool).cancelled, 1);
    ck_assert_int_eq(try_tasks(pool, 3, NULL), PARK_OK); /* the places are free */
    park_ticket_unref(runs);
    park_ticket_unref(parked);
    end_pool(pool);
}
END_TEST

START_TEST(the_tasks_of_a_ticket_share_its_events)
{
    struct lot lot;
    fill(&lot);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_int_eq(park_emit(lot.tasks[i], i, "x", 1), PARK_OK);
    char buffer[64];
    struct park_event events[4];
    size_t count;
    ck_assert_int_eq(
        park_events_read(lot.ticket, 0, buffer, sizeof buffer, events, 4, &count, NULL), PARK_OK);
    ck_assert_uint_eq(count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(events[i].seq, i + 1);
        ck_assert_uint_eq(events[i].type, i);
        finish(lot.tasks[i], PARK_COMPLETED);
    }
    finish(take_one(lot.pool), PARK_COMPLETED);
    end_lot(&lot, PARK_COMPLETED, PARK_REASON_NONE);
}
END_TEST

/* ---- drain ---- */

/* `lot`, with one of its tasks requeued, and a ticket behind it that waits. */
static park_ticket *fill_for_drain(struct lot *lot)
{
    fill(lot);
    park_requeue(lot->tasks[2]);
    return submit_tasks(lot->pool, 2, 1, 0, NULL);
}

START_TEST(finish_running_lets_a_ticket_that_started_go_on)
{
    struct lot lot;
    park_ticket *waits = fill_for_drain(&lot);
    ck_assert_int_eq(park_drain(lot.pool, PARK_DRAIN_FINISH_RUNNING, 0), PARK_E_TIMEOUT);
    ck_assert_int_eq(state_of(waits), PARK_DROPPED);
    ck_assert_int_eq(reason_of(waits), PARK_REASON_DRAINING);
    park_ticket_unref(waits);
    still_runs(&lot);
    ck_assert_uint_eq(stats_of(lot.pool).tasks_queued, 2); /* of the ticket that runs */
    lot.tasks[2] = take_one(lot.pool);
    for (int i = 0; i < 3; i++)
        finish(lot.tasks[i], PARK_COMPLETED);
    ck_assert(!park_is_drained(lot.pool));
    finish(take_one(lot.pool), PARK_COMPLETED);
    ck_assert(park_is_drained(lot.pool));
    end_lot(&lot, PARK_COMPLETED, PARK_REASON_NONE);
}
END_TEST

START_TEST(now_ends_parked_tasks_and_sends_requeued_ones_back)
{
    struct lot lot;
    park_ticket *waits = fill_for_drain(&lot);
    ck_assert_int_eq(park_drain(lot.pool, PARK_DRAIN_NOW, 0), PARK_E_TIMEOUT);
    ck_assert_int_eq(state_of(waits), PARK_DROPPED);
    park_ticket_unref(waits);
    still_runs(&lot);
    ck_assert_uint_eq(stats_of(lot.pool).tasks_queued, 0);
    ck_assert_ptr_eq(take_one(lot.pool), lot.tasks[2]);
    ck_assert_ptr_null(take_one(lot.pool));
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(park_task_reason(lot.tasks[i]), PARK_REASON_SHUTDOWN);
        finish(lot.tasks[i], PARK_CANCELLED);
    }
    ck_assert(park_is_drained(lot.pool));
    end_lot(&lot, PARK_CANCELLED, PARK_REASON_SHUTDOWN);
}
END_TEST

START_TEST(now_ends_a_ticket_with_only_parked_tasks_left)
{
    park_pool *pool = small_pool(1, 4);
    struct payload payload = { 0 };
    park_ticket *ticket = submit_tasks(pool, 3, 1, 0, &payload);
    finish(take_one(pool), PARK_COMPLETED);
    ck_assert_int_eq(state_of(ticket), PARK_RUNNING);
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_NOW, 0), PARK_OK);
    ck_assert_int_eq(state_of(ticket), PARK_CANCELLED);
    ck_assert_int_eq(reason_of(ticket), PARK_REASON_SHUTDOWN);
    ck_assert_int_eq(payload.destroyed, 1);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(destroying_ends_tasks_in_every_phase)
{
    struct lot lot;
    park_ticket *waits = fill_for_drain(&lot);
    finish(lot.tasks[0], PARK_COMPLETED);
    struct payload payload = { 0 };
    park_pool *other = small_pool(2, 4);
    park_ticket *booked = submit_tasks(other, 3, 1, 0, &payload); /* two of it, one is parked */
    park_check(lot.pool);
    park_check(other);
    park_pool_destroy(lot.pool);
    park_pool_destroy(other);
    ck_assert_int_eq(state_of(lot.ticket), PARK_CANCELLED);
    ck_assert_int_eq(reason_of(lot.ticket), PARK_REASON_SHUTDOWN);
    ck_assert_int_eq(lot.payload.destroyed, 1);
    ck_assert_int_eq(state_of(waits), PARK_DROPPED);
    ck_assert_int_eq(state_of(booked), PARK_CANCELLED);
    ck_assert_int_eq(payload.destroyed, 1);
    park_ticket_unref(lot.ticket);
    park_ticket_unref(waits);
    park_ticket_unref(booked);
    check_nothing_is_held();
}
END_TEST

START_TEST(the_ends_of_tasks_allocate_nothing)
{
    struct lot lot;
    fill(&lot);
    uint64_t before = mem_alloc_count();
    park_requeue(lot.tasks[2]);
    ck_assert_ptr_eq(take_one(lot.pool), lot.tasks[2]);
    ck_assert_ptr_null(park_task_user(lot.tasks[2]));
    park_requeue(lot.tasks[1]);
    park_cancel(lot.ticket, PARK_REASON_CLIENT);
    finish(lot.tasks[0], PARK_FAILED);
    ck_assert_ptr_eq(take_one(lot.pool), lot.tasks[1]);
    finish(lot.tasks[1], PARK_CANCELLED);
    finish(lot.tasks[2], PARK_CANCELLED);
    ck_assert_uint_eq(mem_alloc_count(), before);
    end_lot(&lot, PARK_CANCELLED, PARK_REASON_CLIENT); /* the failure came after the cancel */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tasks");
    TCase *tc = add_case(suite, "admission", 20);
    tcase_add_test(tc, the_tasks_of_a_ticket_start_one_by_one_in_order);
    tcase_add_test(tc, tasks_are_counted_from_1_to_128);
    tcase_add_test(tc, a_ticket_is_accepted_or_refused_as_a_whole);
    tcase_add_test(tc, each_task_gives_its_place_back_when_it_starts);
    tcase_add_test(tc, payload_bytes_count_once_while_a_task_is_parked);
    tcase_add_test(tc, work_that_never_finds_room_is_not_told_to_come_back);
    tcase_add_test(tc, a_limit_below_the_need_is_invalid_and_above_the_pool_oversize);

    tc = add_case(suite, "order", 20);
    tcase_add_test(tc, tasks_start_by_ticket_and_then_by_index);
    tcase_add_test(tc, position_counts_the_tasks_ahead_of_the_first_parked_one);
    tcase_add_test(tc, waiting_time_ends_with_the_first_start);

    tc = add_case(suite, "ends", 20);
    tcase_add_test(tc, a_failed_task_cancels_its_siblings);
    tcase_add_test(tc, a_failure_with_only_parked_siblings_ends_the_ticket);
    tcase_add_test(tc, a_cancelled_task_leaves_its_siblings_alone);
    tcase_add_test(tc, a_cancel_ends_parked_tasks_and_tells_the_others);
    tcase_add_test(tc, a_cancel_of_parked_tasks_is_seen_in_the_end);
    tcase_add_test(tc, a_cancel_of_a_parked_ticket_ends_all_its_tasks);
    tcase_add_test(tc, the_tasks_of_a_ticket_share_its_events);

    tc = add_case(suite, "drain", 20);
    tcase_add_test(tc, finish_running_lets_a_ticket_that_started_go_on);
    tcase_add_test(tc, now_ends_parked_tasks_and_sends_requeued_ones_back);
    tcase_add_test(tc, now_ends_a_ticket_with_only_parked_tasks_left);
    tcase_add_test(tc, destroying_ends_tasks_in_every_phase);
    tcase_add_test(tc, the_ends_of_tasks_allocate_nothing);
    return run_suite(suite);
}
