/* Which of the waiting tasks starts: classes, due times, aging, and what comes back. */
#include "helper.h"

#include <stdio.h>
#include <string.h>

#include "park/park_int.h"

static struct world g_world;

/* One runs at a time, on the clock of the test. */
static park_pool *single_pool(void (*change)(struct park_options *options))
{
    struct park_options options = options_of(1, 20000);
    g_world = (struct world){ .now_ns = 1000 * SECOND_NS, .seed = 1 };
    options.env = world_env(&g_world);
    if (change)
        change(&options);
    return pool_of(&options);
}

static void unref_all(park_ticket **tickets, int count)
{
    for (int i = 0; i < count; i++)
        park_ticket_unref(tickets[i]);
}

START_TEST(better_classes_start_first_whatever_came_first)
{
    park_pool *pool = single_pool(NULL);
    park_ticket *t[9];
    t[0] = submit(pool, 1);
    for (int i = 1; i < 9; i++) /* low, normal, high, critical, twice */
        t[i] = submit_class(pool, (enum park_class)(3 - (i - 1) % 4), 1);
    static const int expected[] = { 0, 4, 8, 3, 7, 2, 6, 1, 5 };
    for (int i = 0; i < 9; i++) {
        struct park_status status;
        for (int k = i; k < 9 && i > 0; k++) { /* the place each has says the same */
            park_status(t[expected[k]], &status);
            ck_assert_uint_eq(status.position, (uint64_t)(k - i + 1));
        }
        run_of(pool, t[expected[i]]);
    }
    unref_all(t, 9);
    end_pool(pool);
}
END_TEST

START_TEST(a_newcomer_of_a_better_class_is_booked_but_an_equal_one_parks_behind)
{
    struct park_options options = options_of(10, 10);
    park_pool *pool = pool_of(&options);
    park_ticket *runs = submit(pool, 8);
    park_ticket *large = submit(pool, 8); /* does not fit */
    park_ticket *equal = submit(pool, 1);
    park_ticket *worse = submit_class(pool, PARK_CLASS_LOW, 1);
    park_ticket *better = submit_class(pool, PARK_CLASS_HIGH, 1);
    ck_assert_int_eq(state_of(large), PARK_QUEUED);
    ck_assert_int_eq(state_of(equal), PARK_QUEUED);
    ck_assert_int_eq(state_of(worse), PARK_QUEUED);
    ck_assert_int_eq(state_of(better), PARK_RUNNING);
    run_of(pool, runs);
    run_of(pool, better);
    run_of(pool, large);
    run_of(pool, equal);
    run_of(pool, worse);
    park_ticket *all[] = { runs, large, equal, worse, better };
    unref_all(all, 5);
    end_pool(pool);
}
END_TEST

START_TEST(a_head_that_does_not_fit_holds_back_all_others)
{
    park_pool *pool = small_pool(10, 10);
    park_ticket *runs = submit(pool, 5);
    park_ticket *large = submit_class(pool, PARK_CLASS_HIGH, 6);
    park_ticket *small = submit_class(pool, PARK_CLASS_LOW, 1);
    park_task *task = take_of(pool, runs);
    ck_assert_ptr_null(take_one(pool));
    finish(task, PARK_COMPLETED);
    run_of(pool, large);
    run_of(pool, small);
    park_ticket *all[] = { runs, large, small };
    unref_all(all, 3);
    end_pool(pool);
}
END_TEST

START_TEST(equal_due_times_start_in_the_order_of_submission)
{
    park_pool *pool = single_pool(NULL);
    park_ticket *t[200];
    for (int i = 0; i < 200; i++)
        t[i] = submit_class(pool, PARK_CLASS_HIGH, 1); /* all in one instant */
    for (int i = 0; i < 200; i++)
        run_of(pool, t[i]);
    unref_all(t, 200);
    end_pool(pool);
}
END_TEST

/* A clock that falls back, as two readings of it by two threads may. */
START_TEST(a_reading_of_the_clock_that_came_late_changes_no_order)
{
    park_pool *pool = single_pool(NULL);
    park_ticket *t[3];
    t[0] = submit(pool, 1);
    g_world.now_ns += SECOND_NS;
    t[1] = submit(pool, 1);
    g_world.now_ns -= SECOND_NS;
    t[2] = submit(pool, 1);
    for (int i = 0; i < 3; i++)
        run_of(pool, t[i]);
    unref_all(t, 3);
    end_pool(pool);
}
END_TEST

static park_ticket *submit_dated(park_pool *pool, uint64_t after_ms)
{
    struct park_work work = work_of(1);
    work.deadline_ns = g_world.now_ns + after_ms * MS_NS;
    return submit_work(pool, &work);
}

START_TEST(the_earliest_due_starts_first_and_a_budget_makes_undated_work_due)
{
    park_pool *pool = single_pool(NULL);
    park_ticket *t[5];
    t[0] = submit(pool, 1);
    t[1] = submit(pool, 1); /* normal: due in 30 s */
    t[2] = submit_dated(pool, 40000);
    t[3] = submit_dated(pool, 20000);
    t[4] = submit_dated(pool, 10000);
    static const int expected[] = { 0, 4, 3, 1, 2 };
    for (int i = 0; i < 5; i++)
        run_of(pool, t[expected[i]]);
    unref_all(t, 5);
    end_pool(pool);
}
END_TEST

static void no_budget(struct park_options *options)
{
    memset(options->classes, 0, sizeof options->classes);
}

START_TEST(without_a_budget_dated_work_goes_first_and_the_rest_by_submission)
{
    park_pool *pool = single_pool(no_budget);
    park_ticket *t[4];
    t[0] = submit(pool, 1);
    t[1] = submit(pool, 1);
    t[2] = submit(pool, 1);
    t[3] = submit_dated(pool, 1000000);
    static const int expected[] = { 0, 3, 1, 2 };
    for (int i = 0; i < 4; i++)
        run_of(pool, t[expected[i]]);
    unref_all(t, 4);
    end_pool(pool);
}
END_TEST

START_TEST(a_budget_that_is_over_expires_nothing)
{
    park_pool *pool = single_pool(NULL);
    park_ticket *first = submit_class(pool, PARK_CLASS_CRITICAL, 1);
    park_ticket *second = submit_class(pool, PARK_CLASS_CRITICAL, 1);
    g_world.now_ns += 100 * SECOND_NS; /* its budget is 1 s */
    run_of(pool, first);
    run_of(pool, second);
    park_ticket *all[] = { first, second };
    unref_all(all, 2);
    end_pool(pool);
}
END_TEST

/* ---- aging ---- */

START_TEST(an_aged_task_gets_every_eighth_start)
{
    park_pool *pool = single_pool(NULL);
    park_ticket *low[3];
    park_ticket *runs = submit(pool, 1);
    for (int i = 0; i < 3; i++)
        low[i] = submit_class(pool, PARK_CLASS_LOW, 1);
    g_world.now_ns += 121 * SECOND_NS;
    park_ticket *high[30];
    for (int i = 0; i < 30; i++)
        high[i] = submit_class(pool, PARK_CLASS_HIGH, 1);
    run_of(pool, runs);
    int highs = 0;
    for (int i = 1; i <= 24; i++) {
        if (i % 8 == 0)
            run_of(pool, low[i / 8 - 1]);
        else
            run_of(pool, high[highs++]);
    }
    ck_assert_uint_eq(stats_of(pool).classes[PARK_CLASS_LOW].aged, 3);
    while (highs < 30)
        run_of(pool, high[highs++]);
    unref_all(low, 3);
    unref_all(high, 30);
    park_ticket_unref(runs);
    end_pool(pool);
}
END_TEST

START_TEST(a_task_that_is_not_yet_aged_waits_for_all_better_ones)
{
    park_pool *pool = single_pool(NULL);
    park_ticket *runs = submit(pool, 1);
    park_ticket *low = submit_class(pool, PARK_CLASS_LOW, 1);
    g_world.now_ns += 120 * SECOND_NS; /* not longer than its aging time */
    park_ticket *high[30];
    for (int i = 0; i < 30; i++)
        high[i] = submit_class(pool, PARK_CLASS_HIGH, 1);
    run_of(pool, runs);
    for (int i = 0; i < 30; i++)
        run_of(pool, high[i]);
    run_of(pool, low);
    unref_all(high, 30);
    park_ticket_unref(low);
    park_ticket_unref(runs);
    end_pool(pool);
}
END_TEST

/* Work that never waits is a start like any other: it cannot starve what is aged. */
START_TEST(newcomers_of_a_better_class_leave_the_aged_its_share)
{
    park_pool *pool = single_pool(NULL);
    park_ticket *runs = submit(pool, 1);
    park_ticket *low = submit_class(pool, PARK_CLASS_LOW, 1);
    park_task *task = take_of(pool, runs);
    g_world.now_ns += 121 * SECOND_NS;
    int starts = 0;
    finish(task, PARK_COMPLETED);
    for (; starts < 20; starts++) {
        park_ticket *high = submit_class(pool, PARK_CLASS_HIGH, 1);
        bool is_booked = state_of(high) == PARK_RUNNING;
        if (is_booked)
            run_of(pool, high);
        park_ticket_unref(high);
        if (!is_booked)
            break;
    }
    ck_assert_int_eq(starts, 7);
    run_of(pool, low);
    finish(take_one(pool), PARK_COMPLETED);
    park_ticket_unref(low);
    park_ticket_unref(runs);
    end_pool(pool);
}
END_TEST

/* ---- what comes back, and who gives way ---- */

START_TEST(what_was_given_back_is_next_in_its_class_only)
{
    park_pool *pool = small_pool(2, 10);
    park_ticket *t[4];
    t[0] = submit(pool, 2);
    park_task *task = take_of(pool, t[0]);
    t[1] = submit(pool, 2);
    t[2] = submit_class(pool, PARK_CLASS_HIGH, 2);
    park_requeue(task);
    park_check(pool);
    run_of(pool, t[2]);
    run_of(pool, t[0]);
    run_of(pool, t[1]);
    unref_all(t, 3);
    end_pool(pool);
}
END_TEST

START_TEST(the_victim_is_of_the_lowest_class_and_never_the_oldest_of_the_best)
{
    park_pool *pool = small_pool(10, 10);
    park_ticket *t[5];
    static const enum park_class classes[] = { PARK_CLASS_LOW, PARK_CLASS_HIGH, PARK_CLASS_NORMAL,
                                               PARK_CLASS_HIGH, PARK_CLASS_LOW };
    park_task *tasks[5];
    for (int i = 0; i < 5; i++) {
        t[i] = submit_class(pool, classes[i], 1);
        tasks[i] = take_of(pool, t[i]);
    }
    static const int expected[] = { 4, 0, 2, 3 };
    for (int i = 0; i < 4; i++) {
        park_task *victim = park_victim(pool);
        ck_assert_ptr_eq(victim, tasks[expected[i]]);
        finish(victim, PARK_COMPLETED);
    }
    ck_assert_ptr_null(park_victim(pool)); /* the first of class high is spared */
    finish(tasks[1], PARK_COMPLETED);
    unref_all(t, 5);
    end_pool(pool);
}
END_TEST

START_TEST(low_work_gives_way_to_critical_and_high_work_that_does_not_fit)
{
    park_pool *pool = small_pool(4, 10);
    park_ticket *t[4];
    park_task *tasks[4];
    for (int i = 0; i < 4; i++) {
        t[i] = submit_class(pool, i == 3 ? PARK_CLASS_NORMAL : PARK_CLASS_LOW, 1);
        tasks[i] = take_of(pool, t[i]);
    }
    ck_assert_ptr_null(park_outranked(pool)); /* nobody waits */
    park_ticket *normal = submit(pool, 1);
    ck_assert_ptr_null(park_outranked(pool)); /* normal work waits like any other */
    park_ticket *large = submit_class(pool, PARK_CLASS_HIGH, 4);
    ck_assert_ptr_null(park_outranked(pool)); /* all low work together is not enough */
    park_cancel(large, PARK_REASON_CLIENT);
    park_ticket *high = submit_class(pool, PARK_CLASS_HIGH, 2);
    for (int i = 2; i >= 1; i--) {
        ck_assert_ptr_eq(park_outranked(pool), tasks[i]);
        park_requeue(tasks[i]);
    }
    ck_assert_ptr_null(park_outranked(pool)); /* it fits now */
    run_of(pool, high);
    run_of(pool, normal);
    run_of(pool, t[1]);
    run_of(pool, t[2]);
    finish(tasks[0], PARK_COMPLETED);
    finish(tasks[3], PARK_COMPLETED);
    unref_all(t, 4);
    park_ticket *others[] = { normal, large, high };
    unref_all(others, 3);
    end_pool(pool);
}
END_TEST

START_TEST(low_work_that_gave_way_often_enough_is_left_alone)
{
    park_pool *pool = small_pool(1, 10);
    park_ticket *low = submit_class(pool, PARK_CLASS_LOW, 1);
    for (int i = 0; i < PARK_PREEMPTS_MAX; i++) {
        park_task *task = take_of(pool, low);
        park_ticket *high = submit_class(pool, PARK_CLASS_HIGH, 1);
        ck_assert_ptr_eq(park_outranked(pool), task);
        park_requeue(task);
        run_of(pool, high);
        park_ticket_unref(high);
    }
    park_task *task = take_of(pool, low);
    park_ticket *high = submit_class(pool, PARK_CLASS_HIGH, 1);
    ck_assert_ptr_null(park_outranked(pool));
    finish(task, PARK_COMPLETED);
    run_of(pool, high);
    park_ticket_unref(high);
    park_ticket_unref(low);
    end_pool(pool);
}
END_TEST

/* ---- cost ---- */

static uint64_t steps_of(const park_pool *pool)
{
    uint64_t steps = pool->timers.steps;
    for (int c = 0; c < PARK_CLASS_COUNT; c++)
        steps += pool->lanes[c].parked.steps;
    return steps;
}

/* Nodes looked at by one take and one submit while `parked` tickets wait. */
static uint64_t steps_per_take(uint64_t parked)
{
    park_pool *pool = single_pool(NULL);
    struct world world = { .seed = parked };
    for (uint64_t i = 0; i < parked; i++) {
        struct park_work work = work_of(1);
        work.klass = (enum park_class)world_below(&world, PARK_CLASS_COUNT);
        work.deadline_ns = g_world.now_ns + world_random(&world) % (1000 * SECOND_NS) + 1;
        park_ticket_unref(submit_work(pool, &work));
    }
    uint64_t before = steps_of(pool);
    for (int i = 0; i < 100; i++) {
        finish(take_one(pool), PARK_COMPLETED);
        park_ticket_unref(submit_dated(pool, 1 + world_below(&world, 1000)));
    }
    uint64_t steps = (steps_of(pool) - before) / 100;
    park_pool_destroy(pool);
    return steps;
}

START_TEST(ten_thousand_parked_tickets_do_not_make_a_take_long)
{
    uint64_t few = steps_per_take(100);
    uint64_t many = steps_per_take(10000);
    printf("nodes per take and submit: %llu with 100 parked, %llu with 10,000\n",
           (unsigned long long)few, (unsigned long long)many);
    ck_assert_uint_le(many, 4 * few); /* log 10,000 is twice log 100 */
    ck_assert_uint_le(many, 400);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("class");
    TCase *tc = add_case(suite, "order", 20);
    tcase_add_test(tc, better_classes_start_first_whatever_came_first);
    tcase_add_test(tc, a_newcomer_of_a_better_class_is_booked_but_an_equal_one_parks_behind);
    tcase_add_test(tc, a_head_that_does_not_fit_holds_back_all_others);
    tcase_add_test(tc, equal_due_times_start_in_the_order_of_submission);
    tcase_add_test(tc, a_reading_of_the_clock_that_came_late_changes_no_order);
    tcase_add_test(tc, the_earliest_due_starts_first_and_a_budget_makes_undated_work_due);
    tcase_add_test(tc, without_a_budget_dated_work_goes_first_and_the_rest_by_submission);
    tcase_add_test(tc, a_budget_that_is_over_expires_nothing);
    tc = add_case(suite, "aging", 20);
    tcase_add_test(tc, an_aged_task_gets_every_eighth_start);
    tcase_add_test(tc, a_task_that_is_not_yet_aged_waits_for_all_better_ones);
    tcase_add_test(tc, newcomers_of_a_better_class_leave_the_aged_its_share);
    tc = add_case(suite, "back", 20);
    tcase_add_test(tc, what_was_given_back_is_next_in_its_class_only);
    tcase_add_test(tc, the_victim_is_of_the_lowest_class_and_never_the_oldest_of_the_best);
    tcase_add_test(tc, low_work_gives_way_to_critical_and_high_work_that_does_not_fit);
    tcase_add_test(tc, low_work_that_gave_way_often_enough_is_left_alone);
    tc = add_case(suite, "cost", 60);
    tcase_add_test(tc, ten_thousand_parked_tickets_do_not_make_a_take_long);
    return run_suite(suite);
}
