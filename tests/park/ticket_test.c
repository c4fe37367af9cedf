/* The submitter's view of one ticket: states, cancelling, waiting, how long it lives. */
#include "helper.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"

START_TEST(ids_are_prefixed_long_and_unique)
{
    enum {
        N = 500
    };
    park_pool *pool = small_pool(N, 0);
    park_ticket *tickets[N];
    for (int i = 0; i < N; i++) {
        tickets[i] = submit(pool, 1);
        const char *id = park_ticket_id(tickets[i]);
        ck_assert_uint_eq(strlen(id), 4 + 26);
        ck_assert_int_eq(strncmp(id, "tkt_", 4), 0);
        ck_assert_uint_eq(strspn(id + 4, "abcdefghijklmnopqrstuvwxyz234567"), 26);
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(id, park_ticket_id(tickets[k]));
    }
    for (int i = 0; i < N; i++)
        park_ticket_unref(tickets[i]);
    end_pool(pool);
}
END_TEST

START_TEST(user_and_payload_come_through)
{
    park_pool *pool = small_pool(1, 0);
    struct payload payload = { 0 };
    int user = 0;
    struct park_work work = work_of(1);
    work.payload = &payload;
    work.payload_destroy = payload_destroy;
    work.user = &user;
    park_ticket *ticket;
    ck_assert_int_eq(park_submit(pool, &work, &ticket, NULL), PARK_OK);
    ck_assert_ptr_eq(park_ticket_user(ticket), &user);
    park_task *task = take_one(pool);
    ck_assert_ptr_eq(park_task_payload(task), &payload);
    ck_assert_ptr_eq(park_task_ticket(task), ticket);
    ck_assert_int_eq(payload.destroyed, 0);
    finish(task, PARK_COMPLETED);
    ck_assert_int_eq(payload.destroyed, 1);
    park_ticket_unref(ticket);
    ck_assert_int_eq(payload.destroyed, 1);
    end_pool(pool);
}
END_TEST

START_TEST(position_counts_down_as_work_ahead_goes)
{
    park_pool *pool = small_pool(1, 5);
    park_ticket *tickets[5];
    struct park_status status;
    for (int i = 0; i < 5; i++)
        tickets[i] = submit(pool, 1);
    park_status(tickets[0], &status);
    ck_assert_uint_eq(status.position, 0); /* running */
    park_status(tickets[4], &status);
    ck_assert_uint_eq(status.position, 4);
    park_cancel(tickets[2], PARK_REASON_CLIENT);
    park_status(tickets[4], &status);
    ck_assert_uint_eq(status.position, 3);
    finish(take_one(pool), PARK_COMPLETED);
    park_task *task = take_one(pool);
    ck_assert_ptr_eq(park_task_ticket(task), tickets[1]);
    park_status(tickets[4], &status);
    ck_assert_uint_eq(status.position, 2);
    park_status(tickets[2], &status);
    ck_assert_uint_eq(status.position, 0);
    for (int i = 0; i < 5; i++)
        park_ticket_unref(tickets[i]);
    end_pool(pool);
}
END_TEST

START_TEST(waiting_time_runs_until_the_start)
{
    struct world world = { .now_ns = 1000 };
    struct park_options options = options_of(1, 4);
    options.env = world_env(&world);
    park_pool *pool = pool_of(&options);
    park_ticket *runs = submit(pool, 1);
    park_ticket *parked = submit(pool, 1);
    park_ticket *cancelled = submit(pool, 1);
    struct park_status status;
    world.now_ns += 30;
    park_status(parked, &status);
    ck_assert_uint_eq(status.queued_ns, 30);
    park_cancel(cancelled, PARK_REASON_CLIENT);
    world.now_ns += 20;
    finish(take_one(pool), PARK_COMPLETED);
    park_task *task = take_one(pool);
    world.now_ns += 500;
    finish(task, PARK_COMPLETED);
    park_status(parked, &status);
    ck_assert_uint_eq(status.queued_ns, 50);
    park_status(cancelled, &status);
    ck_assert_uint_eq(status.queued_ns, 30);
    park_status(runs, &status);
    ck_assert_uint_eq(status.queued_ns, 0);
    park_ticket_unref(runs);
    park_ticket_unref(parked);
    park_ticket_unref(cancelled);
    end_pool(pool);
}
END_TEST

START_TEST(a_failure_keeps_its_number_and_text)
{
    park_pool *pool = small_pool(1, 0);
    park_ticket *ticket = submit(pool, 1);
    struct park_outcome outcome = { .state = PARK_FAILED, .error_code = -42, .error_text = "no!" };
    park_finish(take_one(pool), &outcome);
    struct park_status status;
    park_status(ticket, &status);
    ck_assert_int_eq(status.state, PARK_FAILED);
    ck_assert_int_eq(status.reason, PARK_REASON_ERROR);
    ck_assert_int_eq(status.error_code, -42);
    ck_assert_str_eq(status.error_text, "no!");
    ck_assert_uint_eq(stats_of(pool).failed, 1);
    park_ticket_unref(ticket);

    ticket = submit(pool, 1);
    outcome.error_text = NULL;
    park_finish(take_one(pool), &outcome);
    park_status(ticket, &status);
    ck_assert_str_eq(status.error_text, "");
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(a_long_error_text_is_cut_between_characters)
{
    park_pool *pool = small_pool(1, 0);
    struct park_status status;
    for (size_t ascii = 150; ascii < 165; ascii++) {
        char text[200];
        memset(text, 'a', sizeof text);
        memcpy(text + ascii, "\xe2\x82\xac", 4); /* a euro sign and the end */
        park_ticket *ticket = submit(pool, 1);
        struct park_outcome outcome = { .state = PARK_FAILED, .error_text = text };
        park_finish(take_one(pool), &outcome);
        park_status(ticket, &status);
        size_t expected = ascii + 3 <= 159 ? ascii + 3 : (ascii < 159 ? ascii : 159);
        ck_assert_uint_eq(strlen(status.error_text), expected);
        ck_assert_int_eq(memcmp(status.error_text, text, expected), 0);
        park_ticket_unref(ticket);
    }
    end_pool(pool);
}
END_TEST

START_TEST(a_cancelled_parked_ticket_never_runs_and_frees_its_place)
{
    park_pool *pool = small_pool(1, 1);
    struct payload payload = { 0 };
    park_ticket *runs = submit(pool, 1);
    park_ticket *parked = submit_payload(pool, 1, &payload);
    refused(pool, 1, PARK_E_QUEUE_FULL);
    park_cancel(parked, PARK_REASON_DISCONNECT);
    ck_assert_int_eq(state_of(parked), PARK_CANCELLED);
    ck_assert_int_eq(reason_of(parked), PARK_REASON_DISCONNECT);
    ck_assert_int_eq(payload.destroyed, 1);
    ck_assert_int_eq(park_wait(parked, 0), PARK_OK);
    park_ticket *next = submit(pool, 1); /* the place is free */
    finish(take_one(pool), PARK_COMPLETED);
    park_task *task = take_one(pool);
    ck_assert_ptr_eq(park_task_ticket(task), next);
    finish(task, PARK_COMPLETED);
    ck_assert_ptr_null(take_one(pool));
    park_ticket_unref(runs);
    park_ticket_unref(parked);
    park_ticket_unref(next);
    ck_assert_int_eq(payload.destroyed, 1);
    end_pool(pool);
}
END_TEST

START_TEST(cancelling_running_work_sets_only_its_own_token)
{
    park_pool *pool = small_pool(3, 0);
    struct payload payload = { 0 };
    park_ticket *a = submit(pool, 1);
    park_ticket *b = submit_payload(pool, 1, &payload);
    park_ticket *c = submit(pool, 1);
    park_task *tasks[3];
    ck_assert_uint_eq(park_take(pool, tasks, 3), 3);
    park_cancel(b, PARK_REASON_SLOW_READER);
    ck_assert(!park_task_cancelled(tasks[0]));
    ck_assert(park_task_cancelled(tasks[1]));
    ck_assert(!park_task_cancelled(tasks[2]));
    ck_assert_int_eq(park_task_reason(tasks[0]), PARK_REASON_NONE);
    ck_assert_int_eq(park_task_reason(tasks[1]), PARK_REASON_SLOW_READER);
    /* The units stay booked and the payload alive until the work really ends. */
    ck_assert_int_eq(state_of(b), PARK_RUNNING);
    ck_assert_int_eq(reason_of(b), PARK_REASON_NONE);
    ck_assert_int_eq(payload.destroyed, 0);
    ck_assert_uint_eq(stats_of(pool).used.n[0], 3);
    finish(tasks[1], PARK_CANCELLED);
    ck_assert_int_eq(state_of(b), PARK_CANCELLED);
    ck_assert_int_eq(reason_of(b), PARK_REASON_SLOW_READER);
    ck_assert_int_eq(payload.destroyed, 1);
    ck_assert_uint_eq(stats_of(pool).used.n[0], 2);
    finish(tasks[0], PARK_COMPLETED);
    finish(tasks[2], PARK_COMPLETED);
    ck_assert_int_eq(state_of(a), PARK_COMPLETED);
    ck_assert_int_eq(state_of(c), PARK_COMPLETED);
    park_ticket_unref(a);
    park_ticket_unref(b);
    park_ticket_unref(c);
    end_pool(pool);
}
END_TEST

START_TEST(work_cancelled_before_it_is_taken_is_handed_over_with_its_token)
{
    park_pool *pool = small_pool(1, 0);
    park_ticket *ticket = submit(pool, 1);
    park_cancel(ticket, PARK_REASON_CLIENT);
    ck_assert_int_eq(state_of(ticket), PARK_RUNNING);
    park_task *task = take_one(pool);
    ck_assert(park_task_cancelled(task));
    finish(task, PARK_CANCELLED);
    ck_assert_int_eq(reason_of(ticket), PARK_REASON_CLIENT);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(the_first_cancel_counts_and_more_change_nothing)
{
    park_pool *pool = small_pool(1, 1);
    struct payload payload = { 0 };
    park_ticket *runs = submit(pool, 1);
    park_ticket *parked = submit_payload(pool, 1, &payload);
    park_task *task = take_one(pool);
    park_cancel(runs, PARK_REASON_DISCONNECT);
    park_cancel(runs, PARK_REASON_CLIENT);
    ck_assert_int_eq(park_task_reason(task), PARK_REASON_DISCONNECT);
    park_cancel(parked, PARK_REASON_DISCONNECT);
    park_cancel(parked, PARK_REASON_CLIENT);
    ck_assert_int_eq(reason_of(parked), PARK_REASON_DISCONNECT);
    ck_assert_int_eq(payload.destroyed, 1);
    ck_assert_uint_eq(stats_of(pool).cancelled, 1);
    finish(task, PARK_CANCELLED);
    ck_assert_uint_eq(stats_of(pool).cancelled, 2);
    park_ticket_unref(runs);
    park_ticket_unref(parked);
    end_pool(pool);
}
END_TEST

START_TEST(cancelling_a_finished_ticket_has_no_effect)
{
    park_pool *pool = small_pool(1, 1);
    park_ticket *ticket = submit(pool, 1);
    finish(take_one(pool), PARK_COMPLETED);
    park_cancel(ticket, PARK_REASON_CLIENT);
    ck_assert_int_eq(state_of(ticket), PARK_COMPLETED);
    ck_assert_int_eq(reason_of(ticket), PARK_REASON_NONE);
    struct park_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.completed, 1);
    ck_assert_uint_eq(stats.cancelled, 0);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(success_after_a_cancel_is_a_success)
{
    park_pool *pool = small_pool(1, 1);
    park_ticket *ticket = submit(pool, 1);
    park_task *task = take_one(pool);
    park_cancel(ticket, PARK_REASON_CLIENT);
    finish(task, PARK_COMPLETED);
    ck_assert_int_eq(state_of(ticket), PARK_COMPLETED);
    ck_assert_int_eq(reason_of(ticket), PARK_REASON_NONE);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(a_timeout_changes_nothing_and_the_result_comes_later)
{
    park_pool *pool = small_pool(1, 1);
    park_ticket *runs = submit(pool, 1);
    park_ticket *parked = submit(pool, 1);
    ck_assert_int_eq(park_wait(runs, 0), PARK_E_TIMEOUT);
    ck_assert_int_eq(park_wait(parked, 5), PARK_E_TIMEOUT);
    ck_assert_int_eq(state_of(runs), PARK_RUNNING);
    ck_assert_int_eq(state_of(parked), PARK_QUEUED);
    finish(take_one(pool), PARK_COMPLETED);
    ck_assert_int_eq(park_wait(runs, -1), PARK_OK);
    ck_assert_int_eq(park_wait(runs, 0), PARK_OK); /* any number of times */
    ck_assert_int_eq(state_of(runs), PARK_COMPLETED);
    park_ticket_unref(runs);
    park_ticket_unref(parked);
    end_pool(pool);
}
END_TEST

static void *wait_for_end(void *arg)
{
    park_ticket *ticket = arg;
    enum park_err rc = park_wait(ticket, -1);
    bool is_right = rc == PARK_OK && state_of(ticket) == PARK_COMPLETED;
    park_ticket_unref(ticket);
    return is_right ? ticket : NULL;
}

START_TEST(every_waiter_is_woken_by_the_end)
{
    enum {
        N = 4
    };
    park_pool *pool = small_pool(1, 1);
    park_ticket *ticket = submit(pool, 1);
    pthread_t threads[N];
    for (int i = 0; i < N; i++)
        pthread_create(&threads[i], NULL, wait_for_end, park_ticket_ref(ticket));
    finish(take_one(pool), PARK_COMPLETED);
    for (int i = 0; i < N; i++) {
        void *result;
        pthread_join(threads[i], &result);
        ck_assert_ptr_eq(result, ticket);
    }
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(a_ticket_is_readable_after_its_pool_is_gone)
{
    park_pool *pool = small_pool(2, 1);
    struct payload payloads[3] = { { 0 } };
    park_ticket *taken = submit_payload(pool, 1, &payloads[0]);
    park_task *task = take_one(pool);
    ck_assert_int_eq(park_emit(task, 7, "abc", 3), PARK_OK);
    park_ticket *booked = submit_payload(pool, 1, &payloads[1]);
    park_ticket *parked = submit_payload(pool, 1, &payloads[2]);
    park_check(pool);
    park_pool_destroy(pool);

    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(payloads[i].destroyed, 1);
    ck_assert_int_eq(state_of(taken), PARK_CANCELLED);
    ck_assert_int_eq(reason_of(taken), PARK_REASON_SHUTDOWN);
    ck_assert_int_eq(state_of(booked), PARK_CANCELLED);
    ck_assert_int_eq(reason_of(booked), PARK_REASON_SHUTDOWN);
    ck_assert_int_eq(state_of(parked), PARK_DROPPED);
    ck_assert_int_eq(reason_of(parked), PARK_REASON_DRAINING);
    char buffer[16];
    struct park_event event;
    size_t count;
    ck_assert_int_eq(park_events_read(taken, 0, buffer, sizeof buffer, &event, 1, &count, NULL),
                     PARK_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(event.type, 7);
    ck_assert_int_eq(memcmp(event.data, "abc", 3), 0);
    park_cancel(parked, PARK_REASON_CLIENT);
    ck_assert_int_eq(park_wait(booked, -1), PARK_OK);
    ck_assert_uint_gt(mem_live_blocks(), 0);
    park_ticket_unref(taken);
    park_ticket_unref(booked);
    park_ticket_unref(parked);
    check_nothing_is_held();
}
END_TEST

START_TEST(destroying_keeps_the_reason_that_was_asked_first)
{
    park_pool *pool = small_pool(1, 1);
    park_ticket *ticket = submit(pool, 1);
    park_task *task = take_one(pool);
    park_cancel(ticket, PARK_REASON_CLIENT);
    ck_assert(park_task_cancelled(task));
    park_pool_destroy(pool);
    ck_assert_int_eq(reason_of(ticket), PARK_REASON_CLIENT);
    park_ticket_unref(ticket);
    check_nothing_is_held();
}
END_TEST

START_TEST(a_ticket_nobody_refers_to_runs_to_its_end)
{
    park_pool *pool = small_pool(1, 1);
    struct payload payload = { 0 };
    park_ticket_unref(submit(pool, 1));
    park_ticket_unref(submit_payload(pool, 1, &payload));
    finish(take_one(pool), PARK_COMPLETED);
    park_task *task = take_one(pool);
    ck_assert_int_eq(park_emit(task, 1, "x", 1), PARK_OK);
    ck_assert_int_eq(payload.destroyed, 0);
    finish(task, PARK_COMPLETED);
    ck_assert_int_eq(payload.destroyed, 1);
    end_pool(pool);
}
END_TEST

START_TEST(ending_a_ticket_allocates_nothing)
{
    park_pool *pool = small_pool(2, 4);
    park_ticket *tickets[5];
    for (int i = 0; i < 5; i++)
        tickets[i] = submit(pool, 1);
    uint64_t before = mem_alloc_count();
    park_task *tasks[2];
    ck_assert_uint_eq(park_take(pool, tasks, 2), 2);
    park_cancel(tickets[0], PARK_REASON_CLIENT);
    park_cancel(tickets[2], PARK_REASON_CLIENT);
    finish(tasks[0], PARK_CANCELLED);
    struct park_outcome outcome = { .state = PARK_FAILED, .error_code = 1, .error_text = "text" };
    park_finish(tasks[1], &outcome);
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_NOW, 0), PARK_OK);
    ck_assert_uint_eq(mem_alloc_count(), before);
    for (int i = 0; i < 5; i++)
        park_ticket_unref(tickets[i]);
    end_pool(pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ticket");
    TCase *tc = add_case(suite, "status", 20);
    tcase_add_test(tc, ids_are_prefixed_long_and_unique);
    tcase_add_test(tc, user_and_payload_come_through);
    tcase_add_test(tc, position_counts_down_as_work_ahead_goes);
    tcase_add_test(tc, waiting_time_runs_until_the_start);
    tcase_add_test(tc, a_failure_keeps_its_number_and_text);
    tcase_add_test(tc, a_long_error_text_is_cut_between_characters);

    tc = add_case(suite, "cancel", 20);
    tcase_add_test(tc, a_cancelled_parked_ticket_never_runs_and_frees_its_place);
    tcase_add_test(tc, cancelling_running_work_sets_only_its_own_token);
    tcase_add_test(tc, work_cancelled_before_it_is_taken_is_handed_over_with_its_token);
    tcase_add_test(tc, the_first_cancel_counts_and_more_change_nothing);
    tcase_add_test(tc, cancelling_a_finished_ticket_has_no_effect);
    tcase_add_test(tc, success_after_a_cancel_is_a_success);

    tc = add_case(suite, "wait", 20);
    tcase_add_test(tc, a_timeout_changes_nothing_and_the_result_comes_later);
    tcase_add_test(tc, every_waiter_is_woken_by_the_end);

    tc = add_case(suite, "life", 20);
    tcase_add_test(tc, a_ticket_is_readable_after_its_pool_is_gone);
    tcase_add_test(tc, destroying_keeps_the_reason_that_was_asked_first);
    tcase_add_test(tc, a_ticket_nobody_refers_to_runs_to_its_end);
    tcase_add_test(tc, ending_a_ticket_allocates_nothing);
    return run_suite(suite);
}
