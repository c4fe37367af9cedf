/* What is accepted, what is refused and why, in which order work starts. */
#include "helper.h"

#include <string.h>

START_TEST(options_out_of_range_are_refused)
{
    park_pool *pool;
    struct park_options good = options_of(10, 4);
    good.dim_count = 2;
    good.dim_names[1] = "slots";
    good.capacity.n[1] = 3;
    struct park_options bad[9];
    for (int i = 0; i < 9; i++)
        bad[i] = good;
    bad[0].struct_size = 0;
    bad[1].name = NULL;
    bad[2].dim_count = 0;
    bad[3].dim_count = PARK_DIMS_MAX + 1;
    bad[4].dim_names[1] = NULL;
    bad[5].capacity.n[0] = 0;
    bad[6].capacity.n[1] = 0;
    bad[7].capacity.n[2] = 1; /* of a dimension that is not used */
    bad[8].running_max = 0;
    for (int i = 0; i < 9; i++) {
        pool = (park_pool *)&pool;
        ck_assert_int_eq(park_pool_create(&bad[i], &pool), PARK_E_INVALID);
        ck_assert_ptr_null(pool);
    }
    pool = pool_of(&good);
    end_pool(pool);
}
END_TEST

START_TEST(names_are_copied_and_shown)
{
    char name[] = "lot";
    char dim[] = "blocks";
    struct park_options options = options_of(10, 4);
    options.name = name;
    options.dim_names[0] = dim;
    park_pool *pool = pool_of(&options);
    memset(name, 'x', 3);
    memset(dim, 'x', 6);
    struct park_stats stats = stats_of(pool);
    ck_assert_str_eq(stats.name, "lot");
    ck_assert_uint_eq(stats.dim_count, 1);
    ck_assert_str_eq(stats.dim_names[0], "blocks");
    ck_assert_uint_eq(stats.capacity.n[0], 10);
    ck_assert_uint_eq(stats.queue_count_max, 4);
    end_pool(pool);
}
END_TEST

START_TEST(fresh_statistics_are_zero)
{
    park_pool *pool = small_pool(10, 4);
    struct park_stats s = stats_of(pool);
    uint64_t sum = s.used.n[0] + s.high_water.n[0] + s.submitted + s.rejected + s.queued +
                   s.running + s.completed + s.failed + s.cancelled + s.dropped + s.queued_bytes +
                   s.queue_high_water + s.oldest_queued_ns + s.events + s.events_full;
    ck_assert_uint_eq(sum, 0);
    ck_assert(!s.draining);
    end_pool(pool);
}
END_TEST

START_TEST(work_that_fits_is_booked_at_once_and_handed_over_at_the_next_take)
{
    park_pool *pool = small_pool(10, 4);
    park_ticket *ticket = submit(pool, 4);
    ck_assert_int_eq(state_of(ticket), PARK_RUNNING);
    struct park_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.used.n[0], 4);
    ck_assert_uint_eq(stats.running, 1);
    ck_assert_uint_eq(stats.queued, 0);
    park_task *task = take_one(pool);
    ck_assert_ptr_eq(park_task_ticket(task), ticket);
    ck_assert_ptr_null(take_one(pool));
    finish(task, PARK_COMPLETED);
    ck_assert_int_eq(state_of(ticket), PARK_COMPLETED);
    stats = stats_of(pool);
    ck_assert_uint_eq(stats.used.n[0], 0);
    ck_assert_uint_eq(stats.high_water.n[0], 4);
    ck_assert_uint_eq(stats.completed, 1);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(oversize_work_is_refused_with_its_numbers)
{
    struct park_options options = options_of(10, 4);
    options.dim_count = 2;
    options.dim_names[1] = "slots";
    options.capacity.n[1] = 3;
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(10);
    work.need.n[1] = 4;
    struct park_refusal refusal;
    park_ticket *ticket;
    ck_assert_int_eq(park_submit(pool, &work, &ticket, &refusal), PARK_E_OVERSIZE);
    ck_assert_ptr_null(ticket);
    ck_assert_uint_eq(refusal.dim, 1);
    ck_assert_uint_eq(refusal.requested, 4);
    ck_assert_uint_eq(refusal.available, 3);
    ck_assert_uint_eq(refusal.retry_after_ms, 0);
    refusal = refused(pool, 11, PARK_E_OVERSIZE);
    ck_assert_uint_eq(refusal.dim, 0);
    ck_assert_uint_eq(refusal.requested, 11);
    ck_assert_uint_eq(refusal.available, 10);
    ck_assert_uint_eq(stats_of(pool).rejected_oversize, 2);
    end_pool(pool);
}
END_TEST

START_TEST(work_that_needs_nothing_or_an_unused_dimension_is_refused)
{
    park_pool *pool = small_pool(10, 4);
    struct park_refusal refusal = refused(pool, 0, PARK_E_INVALID);
    ck_assert_uint_eq(refusal.retry_after_ms, 0);
    struct park_work work = work_of(1);
    work.need.n[3] = 1;
    park_ticket *ticket;
    ck_assert_int_eq(park_submit(pool, &work, &ticket, NULL), PARK_E_INVALID);
    work = work_of(1);
    work.struct_size = 8;
    ck_assert_int_eq(park_submit(pool, &work, &ticket, NULL), PARK_E_INVALID);
    ck_assert_uint_eq(stats_of(pool).rejected_other, 3);
    end_pool(pool);
}
END_TEST

START_TEST(units_near_the_end_of_64_bits_do_not_wrap)
{
    park_pool *pool = small_pool(UINT64_MAX, 4);
    park_ticket *all = submit(pool, UINT64_MAX);
    park_ticket *one = submit(pool, 1);
    park_ticket *most = submit(pool, UINT64_MAX - 1);
    ck_assert_int_eq(state_of(all), PARK_RUNNING);
    ck_assert_int_eq(state_of(one), PARK_QUEUED);
    finish(take_one(pool), PARK_COMPLETED);
    park_task *tasks[3];
    ck_assert_uint_eq(park_take(pool, tasks, 3), 2); /* exactly the capacity */
    ck_assert_uint_eq(stats_of(pool).used.n[0], UINT64_MAX);
    park_check(pool);
    finish(tasks[0], PARK_COMPLETED);
    finish(tasks[1], PARK_COMPLETED);
    park_ticket_unref(all);
    park_ticket_unref(one);
    park_ticket_unref(most);
    end_pool(pool);
}
END_TEST

START_TEST(units_past_the_capacity_wait_in_every_dimension)
{
    struct park_options options = options_of(10, 4);
    options.dim_count = 2;
    options.dim_names[1] = "slots";
    options.capacity.n[1] = 1;
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(1);
    work.need.n[1] = 1;
    park_ticket *first;
    park_ticket *second;
    ck_assert_int_eq(park_submit(pool, &work, &first, NULL), PARK_OK);
    ck_assert_int_eq(park_submit(pool, &work, &second, NULL), PARK_OK);
    ck_assert_int_eq(state_of(first), PARK_RUNNING);
    ck_assert_int_eq(state_of(second), PARK_QUEUED);
    park_check(pool);
    park_ticket_unref(first);
    park_ticket_unref(second);
    end_pool(pool);
}
END_TEST

START_TEST(no_more_than_running_max_run_at_once)
{
    struct park_options options = options_of(100, 10);
    options.running_max = 2;
    park_pool *pool = pool_of(&options);
    park_ticket *tickets[4];
    for (int i = 0; i < 4; i++)
        tickets[i] = submit(pool, 1);
    ck_assert_int_eq(state_of(tickets[1]), PARK_RUNNING);
    ck_assert_int_eq(state_of(tickets[2]), PARK_QUEUED);
    park_task *tasks[4];
    ck_assert_uint_eq(park_take(pool, tasks, 4), 2);
    finish(tasks[0], PARK_COMPLETED);
    ck_assert_uint_eq(park_take(pool, tasks, 4), 1);
    ck_assert_ptr_eq(park_task_ticket(tasks[0]), tickets[2]);
    for (int i = 0; i < 4; i++)
        park_ticket_unref(tickets[i]);
    end_pool(pool);
}
END_TEST

START_TEST(parked_work_starts_first_in_first_out)
{
    enum {
        N = 20
    };
    park_pool *pool = small_pool(1, N);
    park_ticket *tickets[N];
    for (int i = 0; i < N; i++)
        tickets[i] = submit(pool, 1);
    for (int i = 0; i < N; i++) {
        park_task *task = take_one(pool);
        ck_assert_ptr_eq(park_task_ticket(task), tickets[i]);
        ck_assert_ptr_null(take_one(pool));
        finish(task, PARK_COMPLETED);
        park_ticket_unref(tickets[i]);
    }
    end_pool(pool);
}
END_TEST

START_TEST(take_gives_at_most_count_max_oldest_first)
{
    park_pool *pool = small_pool(10, 10);
    park_ticket *tickets[5];
    for (int i = 0; i < 5; i++)
        tickets[i] = submit(pool, 2);
    park_task *tasks[5];
    ck_assert_uint_eq(park_take(pool, tasks, 0), 0);
    ck_assert_uint_eq(park_take(pool, tasks, 2), 2);
    ck_assert_uint_eq(park_take(pool, tasks + 2, 5), 3);
    for (int i = 0; i < 5; i++) {
        ck_assert_ptr_eq(park_task_ticket(tasks[i]), tickets[i]);
        park_ticket_unref(tickets[i]);
    }
    end_pool(pool);
}
END_TEST

START_TEST(a_newcomer_never_passes_parked_work)
{
    park_pool *pool = small_pool(10, 10);
    park_ticket *big = submit(pool, 8);
    park_ticket *waits = submit(pool, 5);
    park_ticket *fits = submit(pool, 1); /* there are 2 units free */
    ck_assert_int_eq(state_of(waits), PARK_QUEUED);
    ck_assert_int_eq(state_of(fits), PARK_QUEUED);
    park_task *task = take_one(pool);
    finish(task, PARK_COMPLETED); /* all is free, but nobody has taken yet */
    park_ticket *late = submit(pool, 1);
    ck_assert_int_eq(state_of(late), PARK_QUEUED);
    park_task *tasks[4];
    ck_assert_uint_eq(park_take(pool, tasks, 4), 3);
    ck_assert_ptr_eq(park_task_ticket(tasks[0]), waits);
    ck_assert_ptr_eq(park_task_ticket(tasks[1]), fits);
    ck_assert_ptr_eq(park_task_ticket(tasks[2]), late);
    park_ticket_unref(big);
    park_ticket_unref(waits);
    park_ticket_unref(fits);
    park_ticket_unref(late);
    end_pool(pool);
}
END_TEST

START_TEST(nothing_starts_behind_a_head_that_does_not_fit)
{
    park_pool *pool = small_pool(10, 10);
    park_ticket *a = submit(pool, 4);
    park_ticket *b = submit(pool, 4);
    park_ticket *head = submit(pool, 7);
    park_ticket *small = submit(pool, 1);
    park_task *tasks[4];
    ck_assert_uint_eq(park_take(pool, tasks, 4), 2);
    finish(tasks[0], PARK_COMPLETED);
    ck_assert_ptr_null(take_one(pool)); /* 6 free, the head needs 7 */
    ck_assert_int_eq(state_of(small), PARK_QUEUED);
    finish(tasks[1], PARK_COMPLETED);
    ck_assert_uint_eq(park_take(pool, tasks, 4), 2);
    ck_assert_ptr_eq(park_task_ticket(tasks[0]), head);
    park_ticket_unref(a);
    park_ticket_unref(b);
    park_ticket_unref(head);
    park_ticket_unref(small);
    end_pool(pool);
}
END_TEST

START_TEST(cancelling_the_head_lets_the_next_start)
{
    park_pool *pool = small_pool(10, 10);
    park_ticket *runs = submit(pool, 5);
    park_ticket *head = submit(pool, 7);
    park_ticket *small = submit(pool, 1);
    park_task *task = take_one(pool);
    ck_assert_ptr_null(take_one(pool));
    park_cancel(head, PARK_REASON_CLIENT);
    park_take_wait(pool, -1); /* there is a reason to look */
    park_task *next = take_one(pool);
    ck_assert_ptr_eq(park_task_ticket(next), small);
    finish(task, PARK_COMPLETED);
    finish(next, PARK_COMPLETED);
    park_ticket_unref(runs);
    park_ticket_unref(head);
    park_ticket_unref(small);
    end_pool(pool);
}
END_TEST

START_TEST(depth_zero_means_start_now_or_be_refused)
{
    park_pool *pool = small_pool(2, 0);
    park_ticket *a = submit(pool, 1);
    park_ticket *b = submit(pool, 1);
    refused(pool, 1, PARK_E_QUEUE_FULL);
    finish(take_one(pool), PARK_COMPLETED);
    park_ticket *c = submit(pool, 1);
    ck_assert_int_eq(state_of(c), PARK_RUNNING);
    ck_assert_uint_eq(stats_of(pool).queue_high_water, 0);
    park_ticket_unref(a);
    park_ticket_unref(b);
    park_ticket_unref(c);
    end_pool(pool);
}
END_TEST

START_TEST(the_queue_is_bounded_by_count)
{
    park_pool *pool = small_pool(1, 3);
    park_ticket *tickets[5];
    for (int i = 0; i < 4; i++) /* one runs and uses no place */
        tickets[i] = submit(pool, 1);
    struct park_refusal refusal = refused(pool, 1, PARK_E_QUEUE_FULL);
    ck_assert_uint_eq(refusal.queue_count, 3);
    park_task *task = take_one(pool);
    finish(task, PARK_COMPLETED);
    refused(pool, 1, PARK_E_QUEUE_FULL); /* parked until it is taken */
    task = take_one(pool);
    tickets[4] = submit(pool, 1);
    struct park_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.rejected_queue_full, 2);
    ck_assert_uint_eq(stats.queued, 3);
    ck_assert_uint_eq(stats.queue_high_water, 3);
    for (int i = 0; i < 5; i++)
        park_ticket_unref(tickets[i]);
    end_pool(pool);
}
END_TEST

START_TEST(the_queue_is_bounded_by_payload_bytes)
{
    struct park_options options = options_of(1, 100);
    options.queue_bytes_max = 100;
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(1);
    work.payload_bytes = 60;
    park_ticket *runs;
    park_ticket *parked;
    park_ticket *none;
    ck_assert_int_eq(park_submit(pool, &work, &runs, NULL), PARK_OK);
    ck_assert_uint_eq(stats_of(pool).queued_bytes, 0); /* running work does not count */
    ck_assert_int_eq(park_submit(pool, &work, &parked, NULL), PARK_OK);
    ck_assert_uint_eq(stats_of(pool).queued_bytes, 60);
    work.payload_bytes = 41;
    ck_assert_int_eq(park_submit(pool, &work, &none, NULL), PARK_E_QUEUE_FULL);
    work.payload_bytes = SIZE_MAX;
    ck_assert_int_eq(park_submit(pool, &work, &none, NULL), PARK_E_QUEUE_FULL);
    park_cancel(parked, PARK_REASON_CLIENT);
    ck_assert_uint_eq(stats_of(pool).queued_bytes, 0);
    park_ticket_unref(parked);
    work.payload_bytes = 100;
    ck_assert_int_eq(park_submit(pool, &work, &parked, NULL), PARK_OK);
    finish(take_one(pool), PARK_COMPLETED);
    finish(take_one(pool), PARK_COMPLETED);
    ck_assert_uint_eq(stats_of(pool).queued_bytes, 0);
    park_ticket_unref(runs);
    park_ticket_unref(parked);
    end_pool(pool);
}
END_TEST

START_TEST(statistics_tell_the_age_of_the_oldest_parked)
{
    struct world world = { .now_ns = 5 * SECOND_NS };
    struct park_options options = options_of(1, 4);
    options.env = world_env(&world);
    park_pool *pool = pool_of(&options);
    park_ticket *a = submit(pool, 1);
    world.now_ns += 2 * SECOND_NS;
    ck_assert_uint_eq(stats_of(pool).oldest_queued_ns, 0);
    park_ticket *b = submit(pool, 1);
    world.now_ns += SECOND_NS;
    park_ticket *c = submit(pool, 1);
    world.now_ns += SECOND_NS;
    ck_assert_uint_eq(stats_of(pool).oldest_queued_ns, 2 * SECOND_NS);
    park_cancel(b, PARK_REASON_CLIENT);
    ck_assert_uint_eq(stats_of(pool).oldest_queued_ns, SECOND_NS);
    park_ticket_unref(a);
    park_ticket_unref(b);
    park_ticket_unref(c);
    end_pool(pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("admission");
    TCase *tc = add_case(suite, "options", 10);
    tcase_add_test(tc, options_out_of_range_are_refused);
    tcase_add_test(tc, names_are_copied_and_shown);
    tcase_add_test(tc, fresh_statistics_are_zero);

    tc = add_case(suite, "units", 10);
    tcase_add_test(tc, work_that_fits_is_booked_at_once_and_handed_over_at_the_next_take);
    tcase_add_test(tc, oversize_work_is_refused_with_its_numbers);
    tcase_add_test(tc, work_that_needs_nothing_or_an_unused_dimension_is_refused);
    tcase_add_test(tc, units_near_the_end_of_64_bits_do_not_wrap);
    tcase_add_test(tc, units_past_the_capacity_wait_in_every_dimension);
    tcase_add_test(tc, no_more_than_running_max_run_at_once);

    tc = add_case(suite, "order", 10);
    tcase_add_test(tc, parked_work_starts_first_in_first_out);
    tcase_add_test(tc, take_gives_at_most_count_max_oldest_first);
    tcase_add_test(tc, a_newcomer_never_passes_parked_work);
    tcase_add_test(tc, nothing_starts_behind_a_head_that_does_not_fit);
    tcase_add_test(tc, cancelling_the_head_lets_the_next_start);

    tc = add_case(suite, "queue", 10);
    tcase_add_test(tc, depth_zero_means_start_now_or_be_refused);
    tcase_add_test(tc, the_queue_is_bounded_by_count);
    tcase_add_test(tc, the_queue_is_bounded_by_payload_bytes);
    tcase_add_test(tc, statistics_tell_the_age_of_the_oldest_parked);
    return run_suite(suite);
}
