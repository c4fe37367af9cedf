/* Operation: pause, drain with a time, changes of a living pool, estimates, tenants, audit. */
#include "helper.h"

#include <stdio.h>
#include <string.h>

static struct world g_world;

static struct park_options world_options(uint64_t capacity)
{
    struct park_options options = options_of(capacity, 100);
    g_world = (struct world){ .now_ns = 1000 * SECOND_NS, .seed = 1 };
    options.env = world_env(&g_world);
    options.audit_count_max = 1000;
    return options;
}

static void pass_ms(uint64_t ms)
{
    g_world.now_ns += ms * MS_NS;
}

/* ---- pause ---- */

START_TEST(a_paused_pool_parks_but_starts_nothing_and_its_times_go_on)
{
    struct park_options options = world_options(4);
    options.classes[PARK_CLASS_LOW].queue_timeout_ms = 1000;
    park_pool *pool = pool_of(&options);
    park_ticket *booked = submit(pool, 1);
    park_pause(pool);
    park_ticket *normal = submit(pool, 1);
    park_ticket *low = submit_class(pool, PARK_CLASS_LOW, 1);
    park_ticket *high = submit_class(pool, PARK_CLASS_HIGH, 1);
    ck_assert(stats_of(pool).paused);
    ck_assert_int_eq(state_of(high), PARK_QUEUED);
    run_of(pool, booked); /* it had started */
    ck_assert_ptr_null(take_one(pool));
    pass_ms(1000);
    ck_assert_ptr_null(take_one(pool));
    ck_assert_int_eq(state_of(low), PARK_EXPIRED);
    park_resume(pool);
    park_take_wait(pool, -1); /* the taker is told */
    run_of(pool, high);
    run_of(pool, normal);
    park_ticket *all[] = { booked, normal, low, high };
    for (int i = 0; i < 4; i++)
        park_ticket_unref(all[i]);
    end_pool(pool);
}
END_TEST

/* ---- drain ---- */

START_TEST(a_drain_with_a_time_cancels_what_still_runs_then)
{
    struct park_options options = world_options(1);
    park_pool *pool = pool_of(&options);
    park_ticket *runs = submit(pool, 1);
    park_ticket *parked = submit(pool, 1);
    park_task *task = take_of(pool, runs);
    park_drain_cancel_after(pool, 5000);
    ck_assert_int_eq(state_of(parked), PARK_DROPPED);
    struct park_work work = work_of(1);
    refused_work(pool, &work, PARK_E_DRAINING);
    park_drain_cancel_after(pool, 9000); /* may only come earlier */
    ck_assert_uint_eq(park_tick(pool), g_world.now_ns + 5000 * MS_NS);
    park_drain_cancel_after(pool, 3000);
    pass_ms(2999);
    park_tick(pool);
    ck_assert(!park_task_cancelled(task));
    pass_ms(1);
    park_tick(pool);
    ck_assert_int_eq(park_task_reason(task), PARK_REASON_SHUTDOWN);
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_FINISH_RUNNING, 0), PARK_E_TIMEOUT);
    finish(task, PARK_CANCELLED);
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_FINISH_RUNNING, -1), PARK_OK);
    park_ticket_unref(runs);
    park_ticket_unref(parked);
    end_pool(pool);
}
END_TEST

START_TEST(a_drain_with_no_time_left_cancels_at_once)
{
    struct park_options options = world_options(1);
    park_pool *pool = pool_of(&options);
    park_ticket *runs = submit(pool, 1);
    park_task *task = take_of(pool, runs);
    park_drain_cancel_after(pool, 0);
    ck_assert(park_task_cancelled(task));
    finish(task, PARK_CANCELLED);
    park_ticket_unref(runs);
    end_pool(pool);
}
END_TEST

/* Whatever a task does: the ticket ends by its grace, and the call by its own limit. */
START_TEST(a_drain_is_bounded)
{
    struct park_options options = options_of(1, 10);
    options.cancel_grace_ms = 10;
    park_pool *pool = pool_of(&options);
    park_ticket *runs = submit(pool, 1);
    park_task *task = take_of(pool, runs);
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_NOW, 50), PARK_E_TIMEOUT);
    ck_assert_int_eq(state_of(runs), PARK_CANCELLED);
    finish(task, PARK_COMPLETED);
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_NOW, -1), PARK_OK);
    park_ticket_unref(runs);
    end_pool(pool);
}
END_TEST

/* ---- reconfigure ---- */

START_TEST(a_larger_capacity_wakes_the_taker)
{
    struct park_options options = world_options(1);
    park_pool *pool = pool_of(&options);
    park_ticket *one = submit(pool, 1);
    park_ticket *two = submit(pool, 1);
    park_task *task = take_of(pool, one);
    options.capacity.n[0] = 2;
    ck_assert_int_eq(park_reconfigure(pool, &options), PARK_OK);
    park_take_wait(pool, -1);
    run_of(pool, two);
    finish(task, PARK_COMPLETED);
    park_ticket_unref(one);
    park_ticket_unref(two);
    end_pool(pool);
}
END_TEST

START_TEST(a_smaller_capacity_lets_work_finish_and_starts_none_until_it_fits)
{
    struct park_options options = world_options(8);
    park_pool *pool = pool_of(&options);
    park_ticket *t[4];
    park_task *tasks[2];
    for (int i = 0; i < 2; i++) {
        struct park_work work = work_of(4);
        work.limit.n[0] = 6;
        t[i] = submit_work(pool, &work);
        tasks[i] = take_of(pool, t[i]);
    }
    t[2] = submit(pool, 5);
    t[3] = submit(pool, 2);
    options.capacity.n[0] = 4;
    ck_assert_int_eq(park_reconfigure(pool, &options), PARK_OK);
    park_check(pool);
    ck_assert_int_eq(state_of(t[2]), PARK_DROPPED);
    ck_assert_int_eq(reason_of(t[2]), PARK_REASON_NO_LONGER_FITS);
    ck_assert_ptr_null(take_one(pool));
    ck_assert_int_eq(adjust(tasks[0], 5), PARK_E_LIMIT); /* never again */
    ck_assert_int_eq(adjust(tasks[0], 3), PARK_OK);
    ck_assert_int_eq(adjust(tasks[0], 4), PARK_E_AGAIN);
    ck_assert_int_eq(adjust(tasks[0], 3), PARK_OK);
    finish(tasks[1], PARK_COMPLETED);
    ck_assert_ptr_null(take_one(pool)); /* three of four */
    finish(tasks[0], PARK_COMPLETED);
    run_of(pool, t[3]);
    for (int i = 0; i < 4; i++)
        park_ticket_unref(t[i]);
    end_pool(pool);
}
END_TEST

START_TEST(what_was_given_back_and_never_fits_again_comes_back_to_be_ended)
{
    struct park_options options = world_options(8);
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(6);
    park_ticket *ticket = submit_work(pool, &work);
    park_requeue(take_of(pool, ticket));
    options.capacity.n[0] = 4;
    ck_assert_int_eq(park_reconfigure(pool, &options), PARK_OK);
    park_task *task = take_of(pool, ticket);
    ck_assert_int_eq(park_task_reason(task), PARK_REASON_NO_LONGER_FITS);
    finish(task, PARK_CANCELLED);
    ck_assert_int_eq(state_of(ticket), PARK_DROPPED);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(a_task_that_waits_for_growth_that_cannot_come_holds_nobody_back)
{
    struct park_options options = world_options(8);
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(2);
    work.limit.n[0] = 8;
    park_ticket *grows = submit_work(pool, &work);
    park_ticket *other = submit(pool, 6);
    park_task *task = take_of(pool, grows);
    park_task *second = take_of(pool, other);
    park_ticket *next = submit(pool, 1);
    ck_assert_int_eq(adjust(task, 7), PARK_E_AGAIN);
    finish(second, PARK_COMPLETED);
    ck_assert_ptr_null(take_one(pool));
    options.capacity.n[0] = 5;
    ck_assert_int_eq(park_reconfigure(pool, &options), PARK_OK);
    run_of(pool, next);
    ck_assert_int_eq(adjust(task, 7), PARK_E_LIMIT);
    ck_assert_uint_eq(stats_of(pool).growth_limited, 1);
    finish(task, PARK_COMPLETED);
    park_ticket *all[] = { grows, other, next };
    for (int i = 0; i < 3; i++)
        park_ticket_unref(all[i]);
    end_pool(pool);
}
END_TEST

START_TEST(a_smaller_queue_keeps_what_is_parked)
{
    struct park_options options = world_options(1);
    park_pool *pool = pool_of(&options);
    park_ticket *t[4];
    for (int i = 0; i < 4; i++)
        t[i] = submit(pool, 1);
    options.queue_count_max = 1;
    options.queue_bytes_max = 0;
    options.running_max = 7;
    ck_assert_int_eq(park_reconfigure(pool, &options), PARK_OK);
    struct park_work work = work_of(1);
    refused_work(pool, &work, PARK_E_QUEUE_FULL);
    for (int i = 0; i < 4; i++)
        run_of(pool, t[i]);
    for (int i = 0; i < 4; i++)
        park_ticket_unref(t[i]);
    end_pool(pool);
}
END_TEST

START_TEST(what_a_pool_is_cannot_be_changed_and_nothing_is_changed_then)
{
    struct park_options options = world_options(4);
    park_pool *pool = pool_of(&options);
    struct park_options bad[7];
    for (int i = 0; i < 7; i++) {
        bad[i] = options;
        bad[i].capacity.n[0] = 9;
    }
    bad[0].name = "other";
    bad[1].dim_names[0] = "other";
    bad[2].dim_count = 2;
    bad[2].dim_names[1] = "second";
    bad[2].capacity.n[1] = 1;
    bad[3].env.arg = NULL;
    bad[4].audit_count_max++;
    bad[5].tenant_count_max++;
    bad[6].running_max = 0;
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(park_reconfigure(pool, &bad[i]), PARK_E_INVALID);
    ck_assert_uint_eq(stats_of(pool).capacity.n[0], 4);
    end_pool(pool);
}
END_TEST

/* ---- estimates ---- */

START_TEST(the_eta_is_the_cost_ahead_by_the_rate)
{
    struct park_options options = world_options(1);
    park_pool *pool = pool_of(&options);
    struct park_status status;
    for (int i = 0; i < 20; i++) { /* 10 of cost per second */
        struct park_work work = work_of(1);
        work.cost = 20;
        park_ticket *ticket = submit_work(pool, &work);
        park_task *task = take_of(pool, ticket);
        pass_ms(2000);
        finish(task, PARK_COMPLETED);
        park_ticket_unref(ticket);
    }
    park_ticket *t[4];
    for (int i = 0; i < 4; i++) {
        struct park_work work = work_of(1);
        work.cost = 20;
        t[i] = submit_work(pool, &work);
    }
    for (uint64_t i = 1; i < 4; i++) {
        park_status(t[i], &status);
        ck_assert_uint_eq(status.position, i);
        ck_assert_uint_ge(status.eta_ms, i * 1900);
        ck_assert_uint_le(status.eta_ms, i * 2100);
    }
    park_ticket *high = submit_class(pool, PARK_CLASS_HIGH, 1);
    park_status(t[1], &status);
    ck_assert_uint_eq(status.position, 2);
    run_of(pool, t[0]);
    run_of(pool, high);
    for (int i = 1; i < 4; i++)
        run_of(pool, t[i]);
    for (int i = 0; i < 4; i++)
        park_ticket_unref(t[i]);
    park_ticket_unref(high);
    end_pool(pool);
}
END_TEST

/* ---- statistics ---- */

START_TEST(classes_count_their_own_waits_and_runs)
{
    struct park_options options = world_options(1);
    park_pool *pool = pool_of(&options);
    park_ticket *high = submit_class(pool, PARK_CLASS_HIGH, 1);
    park_ticket *low = submit_class(pool, PARK_CLASS_LOW, 1);
    park_ticket *given_up = submit_class(pool, PARK_CLASS_LOW, 1);
    park_task *task = take_of(pool, high);
    pass_ms(3);
    park_cancel(given_up, PARK_REASON_CLIENT);
    pass_ms(1000);
    finish(task, PARK_COMPLETED);
    task = take_of(pool, low);
    pass_ms(1ull << 40); /* longer than any bucket says */
    finish(task, PARK_FAILED);
    struct park_stats stats = stats_of(pool);
    const struct park_class_stats *h = &stats.classes[PARK_CLASS_HIGH];
    const struct park_class_stats *l = &stats.classes[PARK_CLASS_LOW];
    ck_assert_uint_eq(h->wait.count, 1);
    ck_assert_uint_eq(h->wait.buckets[0], 1); /* below 1 ms */
    ck_assert_uint_eq(h->run.buckets[10], 1); /* 1003 ms: below 1024 */
    ck_assert_uint_eq(h->run.sum_ns, 1003 * MS_NS);
    ck_assert_uint_eq(l->wait.count, 2);
    ck_assert_uint_eq(l->wait.buckets[2], 1); /* 3 ms */
    ck_assert_uint_eq(l->wait.buckets[10], 1);
    ck_assert_uint_eq(l->run.count, 1);
    ck_assert_uint_eq(l->run.buckets[PARK_BUCKETS - 1], 1);
    ck_assert_uint_eq(h->counts.completed, 1);
    ck_assert_uint_eq(l->counts.failed, 1);
    ck_assert_uint_eq(l->counts.cancelled, 1);
    ck_assert_uint_eq(stats.classes[PARK_CLASS_NORMAL].counts.submitted, 0);
    park_ticket *all[] = { high, low, given_up };
    for (int i = 0; i < 3; i++)
        park_ticket_unref(all[i]);
    end_pool(pool);
}
END_TEST

static void submit_of(park_pool *pool, const char *tenant, int count)
{
    struct park_work work = work_of(1);
    work.tenant = tenant;
    for (int i = 0; i < count; i++) {
        park_ticket *ticket = submit_work(pool, &work);
        run_of(pool, ticket);
        park_ticket_unref(ticket);
    }
}

START_TEST(tenants_are_counted_and_the_idle_forgotten_oldest_first)
{
    struct park_options options = world_options(1);
    options.tenant_count_max = 3;
    park_pool *pool = pool_of(&options);
    struct park_tenant_stats out[5];
    submit_of(pool, "alice", 2);
    submit_of(pool, "bob", 3);
    submit_of(pool, NULL, 1);
    struct park_work work = work_of(1);
    work.tenant = "carol";
    park_ticket *runs = submit_work(pool, &work);
    park_task *task = take_of(pool, runs);
    work = work_of(2);
    work.tenant = "bob";
    refused_work(pool, &work, PARK_E_OVERSIZE);
    ck_assert_uint_eq(park_tenants(pool, out, 5), 4);
    ck_assert_str_eq(out[0].name, "");
    ck_assert_uint_eq(out[0].counts.submitted, 1);
    ck_assert_str_eq(out[1].name, "bob");
    ck_assert_uint_eq(out[1].counts.completed, 3);
    ck_assert_uint_eq(out[1].counts.rejected, 1);
    ck_assert_str_eq(out[2].name, "alice");
    ck_assert_str_eq(out[3].name, "carol");
    ck_assert_uint_eq(out[3].counts.running, 1);
    ck_assert_uint_eq(park_tenants(pool, out, 2), 2); /* the top only */
    ck_assert_str_eq(out[1].name, "bob");
    finish(task, PARK_COMPLETED);
    submit_of(pool, "dave", 5); /* in place of alice */
    ck_assert_uint_eq(park_tenants(pool, out, 5), 4);
    ck_assert_str_eq(out[1].name, "dave");
    ck_assert_str_eq(out[2].name, "bob");
    ck_assert_uint_eq(out[0].counts.submitted, 3);
    ck_assert_uint_eq(out[0].counts.completed, 3);
    ck_assert_uint_eq(park_tenants(pool, out, 0), 0);
    park_ticket_unref(runs);
    end_pool(pool);
}
END_TEST

START_TEST(tenants_with_live_work_are_not_forgotten)
{
    struct park_options options = world_options(9);
    options.tenant_count_max = 1;
    park_pool *pool = pool_of(&options);
    struct park_tenant_stats out[3];
    struct park_work work = work_of(1);
    work.tenant = "alice";
    park_ticket *ticket = submit_work(pool, &work);
    park_task *task = take_of(pool, ticket);
    submit_of(pool, "bob", 1);
    ck_assert_uint_eq(park_tenants(pool, out, 3), 2);
    ck_assert_str_eq(out[1].name, "alice");
    ck_assert_uint_eq(out[0].counts.completed, 1);
    finish(task, PARK_COMPLETED);
    submit_of(pool, "bob", 1);
    ck_assert_uint_eq(park_tenants(pool, out, 3), 2);
    ck_assert_str_eq(out[1].name, "bob");
    ck_assert_uint_eq(out[0].counts.completed, 2);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

/* ---- audit ---- */

static const char *line_of(const struct park_audit *record)
{
    static char line[200];
    snprintf(line, sizeof line, "%s %s>%s %s", park_audit_event_name(record->event),
             park_state_name(record->from), park_state_name(record->to),
             park_reason_name(record->reason));
    return line;
}

START_TEST(the_audit_has_every_change_of_a_ticket)
{
    struct park_options options = world_options(2);
    options.cancel_grace_ms = 100;
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(1);
    work.limit.n[0] = 2;
    work.tenant = "alice";
    park_ticket *ticket = submit_work(pool, &work);
    pass_ms(5);
    park_task *task = take_of(pool, ticket);
    ck_assert_int_eq(adjust(task, 2), PARK_OK);
    park_ticket *parked = submit(pool, 2);
    park_requeue(task);
    pass_ms(5);
    task = take_of(pool, ticket);
    park_cancel(ticket, PARK_REASON_CLIENT);
    pass_ms(100);
    park_tick(pool);
    finish(task, PARK_COMPLETED);
    work.need.n[0] = 3;
    work.limit.n[0] = 3;
    refused_work(pool, &work, PARK_E_OVERSIZE);
    park_pause(pool);
    park_pause(pool); /* no change, no record */
    park_resume(pool);
    ck_assert_int_eq(park_reconfigure(pool, &options), PARK_OK);
    park_drain(pool, PARK_DRAIN_FINISH_RUNNING, 0);
    static const char *const expected[] = {
        "submit queued>queued none",
        "start queued>running none",
        "adjust running>running none",
        "submit queued>queued none",
        "requeue running>running none",
        "start running>running none",
        "cancel_request running>running client",
        "end running>cancelled client",
        "late_finish cancelled>cancelled client",
        "reject queued>queued none",
        "pause queued>queued none",
        "resume queued>queued none",
        "reconfigure queued>queued none",
        "drain queued>queued none",
        "end queued>dropped draining",
    };
    size_t n = sizeof expected / sizeof expected[0];
    struct park_audit records[32];
    size_t count;
    ck_assert_int_eq(park_audit_read(pool, 0, records, 32, &count, NULL), PARK_OK);
    for (size_t i = 0; i < n && i < count; i++) {
        ck_assert_str_eq(line_of(&records[i]), expected[i]);
        ck_assert_uint_eq(records[i].seq, i + 1);
    }
    ck_assert_uint_eq(count, n);
    ck_assert_uint_eq(stats_of(pool).audit_last, n);
    ck_assert_str_eq(records[0].ticket, park_ticket_id(ticket));
    ck_assert_str_eq(records[0].tenant, "alice");
    ck_assert_uint_eq(records[2].units.n[0], 2);
    ck_assert_str_eq(records[3].ticket, park_ticket_id(parked));
    ck_assert_uint_eq(records[7].run_ns, 110 * MS_NS);
    ck_assert_int_eq(records[9].err, PARK_E_OVERSIZE);
    ck_assert_str_eq(records[9].tenant, "alice");
    ck_assert_uint_eq(records[9].units.n[0], 3);
    ck_assert_uint_eq(records[14].wait_ns, 105 * MS_NS);
    park_ticket_unref(ticket);
    park_ticket_unref(parked);
    end_pool(pool);
}
END_TEST

START_TEST(an_audit_that_is_full_loses_the_oldest_and_says_so)
{
    struct park_options options = world_options(1);
    options.audit_count_max = 10;
    park_pool *pool = pool_of(&options);
    struct park_audit records[20];
    size_t count;
    uint64_t first;
    ck_assert_int_eq(park_audit_read(pool, 0, records, 20, &count, &first), PARK_OK);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(park_audit_read(pool, 1, records, 20, &count, &first), PARK_E_INVALID);
    for (int i = 0; i < 20; i++) {
        park_pause(pool);
        park_resume(pool);
    }
    ck_assert_int_eq(park_audit_read(pool, 29, records, 20, &count, &first), PARK_E_GAP);
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(first, 31);
    ck_assert_int_eq(park_audit_read(pool, 30, records, 20, &count, &first), PARK_OK);
    ck_assert_uint_eq(count, 10);
    ck_assert_uint_eq(records[0].seq, 31);
    ck_assert_int_eq(park_audit_read(pool, 33, records, 4, &count, NULL), PARK_OK);
    ck_assert_uint_eq(count, 4);
    ck_assert_uint_eq(records[0].seq, 34);
    end_pool(pool);
}
END_TEST

START_TEST(every_audit_event_has_its_own_name)
{
    for (int i = 0; i < PARK_AUDIT_EVENT_COUNT; i++) {
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(park_audit_event_name((enum park_audit_event)i),
                             park_audit_event_name((enum park_audit_event)k));
    }
    ck_assert_str_eq(park_audit_event_name((enum park_audit_event)99), "unknown");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("operation");
    TCase *tc = add_case(suite, "pause and drain", 20);
    tcase_add_test(tc, a_paused_pool_parks_but_starts_nothing_and_its_times_go_on);
    tcase_add_test(tc, a_drain_with_a_time_cancels_what_still_runs_then);
    tcase_add_test(tc, a_drain_with_no_time_left_cancels_at_once);
    tcase_add_test(tc, a_drain_is_bounded);
    tc = add_case(suite, "reconfigure", 10);
    tcase_add_test(tc, a_larger_capacity_wakes_the_taker);
    tcase_add_test(tc, a_smaller_capacity_lets_work_finish_and_starts_none_until_it_fits);
    tcase_add_test(tc, what_was_given_back_and_never_fits_again_comes_back_to_be_ended);
    tcase_add_test(tc, a_task_that_waits_for_growth_that_cannot_come_holds_nobody_back);
    tcase_add_test(tc, a_smaller_queue_keeps_what_is_parked);
    tcase_add_test(tc, what_a_pool_is_cannot_be_changed_and_nothing_is_changed_then);
    tc = add_case(suite, "numbers", 10);
    tcase_add_test(tc, the_eta_is_the_cost_ahead_by_the_rate);
    tcase_add_test(tc, classes_count_their_own_waits_and_runs);
    tcase_add_test(tc, tenants_are_counted_and_the_idle_forgotten_oldest_first);
    tcase_add_test(tc, tenants_with_live_work_are_not_forgotten);
    tc = add_case(suite, "audit", 10);
    tcase_add_test(tc, the_audit_has_every_change_of_a_ticket);
    tcase_add_test(tc, an_audit_that_is_full_loses_the_oldest_and_says_so);
    tcase_add_test(tc, every_audit_event_has_its_own_name);
    return run_suite(suite);
}
