/* How many tickets of a tenant run at once. */
#include "helper.h"

static park_pool *tenant_pool(uint64_t capacity, uint64_t depth, uint64_t tenants)
{
    struct park_options options = options_of(capacity, depth);
    options.tenant_count_max = tenants;
    return pool_of(&options);
}

static struct park_work work_for(const char *tenant, uint64_t running_max)
{
    struct park_work work = work_of(1);
    work.tenant = tenant;
    work.tenant_running_max = running_max;
    return work;
}

static park_ticket *submit_for(park_pool *pool, const char *tenant, uint64_t running_max)
{
    struct park_work work = work_for(tenant, running_max);
    return submit_work(pool, &work);
}

START_TEST(a_tenant_runs_as_many_tickets_as_it_may_and_the_rest_wait)
{
    park_pool *pool = tenant_pool(8, 8, 4);
    park_ticket *t[6];
    park_task *running[3];
    for (int i = 0; i < 4; i++)
        t[i] = submit_for(pool, "ann", 2);
    t[4] = submit_for(pool, "ben", 2); /* came last, and holds his own */
    t[5] = submit_for(pool, "ann", 0); /* this one says nothing of a limit */
    running[0] = take_of(pool, t[0]);
    running[1] = take_of(pool, t[1]);
    running[2] = take_of(pool, t[4]);
    run_of(pool, t[5]);
    ck_assert_ptr_null(take_one(pool));
    struct park_status status;
    park_status(t[3], &status);
    ck_assert_int_eq(status.state, PARK_QUEUED);
    ck_assert_uint_eq(status.position, 2);
    finish(running[2], PARK_COMPLETED);
    ck_assert_ptr_null(take_one(pool)); /* that was not hers */
    finish(running[1], PARK_FAILED);
    running[1] = take_of(pool, t[2]);
    ck_assert_ptr_null(take_one(pool));
    park_cancel(t[0], PARK_REASON_CLIENT);
    ck_assert_ptr_null(take_one(pool)); /* it runs until its taker has finished it */
    finish(running[0], PARK_CANCELLED);
    run_of(pool, t[3]);
    finish(running[1], PARK_COMPLETED);
    for (int i = 0; i < 6; i++)
        park_ticket_unref(t[i]);
    end_pool(pool);
}
END_TEST

START_TEST(a_capped_ticket_uses_a_place_and_is_refused_without_one)
{
    park_pool *pool = tenant_pool(8, 1, 4);
    struct park_work work = work_for("ann", 1);
    park_ticket *t[2] = { submit_work(pool, &work), submit_work(pool, &work) };
    park_task *task = take_of(pool, t[0]);
    ck_assert_uint_eq(stats_of(pool).queued, 1);
    refused_work(pool, &work, PARK_E_QUEUE_FULL);
    /* nor is there a promise for what would not start at once */
    park_reservation *reservation;
    ck_assert_int_eq(park_reserve(pool, &work, &reservation, NULL), PARK_E_QUEUE_FULL);
    struct park_work other = work_for("ben", 1);
    ck_assert_int_eq(park_reserve(pool, &other, &reservation, NULL), PARK_OK);
    park_unreserve(reservation);
    park_cancel(t[1], PARK_REASON_CLIENT);
    ck_assert_int_eq(state_of(t[1]), PARK_CANCELLED);
    finish(task, PARK_COMPLETED);
    for (int i = 0; i < 2; i++)
        park_ticket_unref(t[i]);
    end_pool(pool);
}
END_TEST

START_TEST(a_ticket_of_several_tasks_counts_as_one)
{
    park_pool *pool = tenant_pool(8, 8, 4);
    struct park_work work = work_for("ann", 1);
    park_task *tasks[4];
    work.task_count = 3;
    park_ticket *first = submit_work(pool, &work);
    park_ticket *second = submit_for(pool, "ann", 1);
    ck_assert_uint_eq(park_take(pool, tasks, 4), 3);
    park_requeue(tasks[2]); /* comes back, whoever waits */
    tasks[2] = take_of(pool, first);
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_null(take_one(pool));
        finish(tasks[i], PARK_COMPLETED);
    }
    run_of(pool, second);
    park_ticket_unref(first);
    park_ticket_unref(second);
    end_pool(pool);
    /* also where its tasks start one by one */
    pool = tenant_pool(1, 8, 4);
    first = submit_work(pool, &work);
    second = submit_for(pool, "ann", 1);
    for (int i = 0; i < 3; i++)
        run_of(pool, first);
    run_of(pool, second);
    park_ticket_unref(first);
    park_ticket_unref(second);
    end_pool(pool);
}
END_TEST

START_TEST(an_aged_ticket_that_is_capped_takes_no_turn)
{
    struct world world = { .now_ns = SECOND_NS };
    struct park_options options = options_of(2, 64);
    options.env = world_env(&world);
    options.tenant_count_max = 4;
    options.aging_share = 2;
    options.classes[PARK_CLASS_LOW].aging_ms = 1000;
    park_pool *pool = pool_of(&options);
    park_ticket *running = submit_for(pool, "ann", 1);
    park_task *task = take_of(pool, running);
    struct park_work work = work_for("ann", 1);
    work.klass = PARK_CLASS_LOW;
    park_ticket *capped = submit_work(pool, &work);
    park_ticket *busy = submit(pool, 1);
    park_task *other = take_of(pool, busy);
    work = work_for("ben", 1);
    work.klass = PARK_CLASS_LOW;
    park_ticket *aged = submit_work(pool, &work);
    park_ticket *better[3];
    for (int i = 0; i < 3; i++)
        better[i] = submit(pool, 1);
    world.now_ns += 2 * SECOND_NS;
    finish(other, PARK_COMPLETED);
    run_of(pool, better[0]);
    run_of(pool, aged); /* the oldest that may start */
    run_of(pool, better[1]);
    finish(task, PARK_COMPLETED);
    run_of(pool, better[2]);
    run_of(pool, capped);
    park_ticket *all[] = { running, capped, busy, aged, better[0], better[1], better[2] };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        park_ticket_unref(all[i]);
    end_pool(pool);
}
END_TEST

START_TEST(tenants_without_an_entry_have_no_limit)
{
    static const char *const names[] = { "ann", "", NULL };
    for (size_t i = 0; i < 3; i++) {
        park_pool *pool = tenant_pool(8, 0, i == 0 ? 0 : 4);
        park_ticket *t[2] = { submit_for(pool, names[i], 1), submit_for(pool, names[i], 1) };
        run_of(pool, t[0]);
        run_of(pool, t[1]);
        park_ticket_unref(t[0]);
        park_ticket_unref(t[1]);
        end_pool(pool);
    }
}
END_TEST

START_TEST(a_drain_runs_what_is_capped_one_after_the_other)
{
    park_pool *pool = tenant_pool(8, 8, 4);
    park_ticket *t[3];
    for (int i = 0; i < 3; i++)
        t[i] = submit_for(pool, "ann", 1);
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_FINISH_ALL, 0), PARK_E_TIMEOUT);
    for (int i = 0; i < 3; i++) {
        run_of(pool, t[i]);
        park_ticket_unref(t[i]);
    }
    ck_assert(park_is_drained(pool));
    end_pool(pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tenant");
    TCase *tc = add_case(suite, "running", 10);
    tcase_add_test(tc, a_tenant_runs_as_many_tickets_as_it_may_and_the_rest_wait);
    tcase_add_test(tc, a_capped_ticket_uses_a_place_and_is_refused_without_one);
    tcase_add_test(tc, a_ticket_of_several_tasks_counts_as_one);
    tcase_add_test(tc, an_aged_ticket_that_is_capped_takes_no_turn);
    tcase_add_test(tc, tenants_without_an_entry_have_no_limit);
    tcase_add_test(tc, a_drain_runs_what_is_capped_one_after_the_other);
    return run_suite(suite);
}
