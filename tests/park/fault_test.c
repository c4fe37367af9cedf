/* Every allocation refused in turn: an error comes back, nothing is lost or leaked. */
#include "helper.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"

#if VALET_CHECKS

static char g_data[600];

/* Emits; a refused allocation is AGAIN and costs nothing but a second try. */
static bool emit_at_last(park_pool *pool, park_task *task, size_t len, bool *was_refused)
{
    enum park_err rc = park_emit(task, 1, g_data, len);
    if (rc == PARK_E_AGAIN) {
        *was_refused = true;
        park_check(pool);
        rc = park_emit(task, 1, g_data, len);
    }
    return rc == PARK_OK;
}

static bool reads_whole(park_ticket *ticket, size_t expected)
{
    static char buffer[8192];
    struct park_event events[16];
    size_t count;
    enum park_err rc = park_events_read(ticket, 0, buffer, sizeof buffer, events, 16, &count, NULL);
    return rc == PARK_OK && count == expected;
}

/*
 * Two tickets of two tasks each, one of them with events that grow its ring, with growth and
 * a requeue; the payloads of both are destroyed whatever happens. NOMEM: some allocation was
 * refused.
 */
static enum park_err fill_and_drain_a_pool(void)
{
    struct payload payloads[2] = { { 0 } };
    struct park_work work = work_of(1);
    struct park_options options = options_of(2, 4);
    park_ticket *tickets[2] = { NULL };
    park_pool *pool;
    park_inbox *inbox;
    bool was_refused = false;

    enum park_err rc = park_inbox_create(&inbox);
    if (rc)
        return rc;
    rc = park_pool_create(&options, &pool);
    if (rc) {
        park_inbox_destroy(inbox);
        return rc;
    }
    work.task_count = 2;
    work.limit.n[0] = 2;
    work.inbox = inbox;
    work.payload_destroy = payload_destroy;
    for (int i = 0; i < 2 && !rc; i++) {
        struct park_refusal refusal;
        work.payload = &payloads[i];
        rc = park_submit(pool, &work, &tickets[i], &refusal);
        if (rc) {
            ck_assert_ptr_null(tickets[i]);
            ck_assert_int_eq(payloads[i].destroyed, 0); /* it stayed ours */
            ck_assert_uint_ge(refusal.retry_after_ms, 1000);
            ck_assert_uint_eq(stats_of(pool).rejected_other, 1);
        }
    }
    if (!rc) {
        park_task *task = take_one(pool);
        ck_assert(emit_at_last(pool, task, 10, &was_refused));
        ck_assert(emit_at_last(pool, task, 600, &was_refused));
        ck_assert(emit_at_last(pool, task, 600, &was_refused));
        ck_assert(reads_whole(tickets[0], 3));
        park_task *sibling = take_one(pool);
        ck_assert_int_eq(adjust(task, 2), PARK_E_AGAIN);
        ck_assert_ptr_eq(park_victim(pool), sibling);
        park_requeue(sibling);
        ck_assert_int_eq(adjust(task, 2), PARK_OK);
        finish(task, PARK_COMPLETED);
        for (int i = 0; i < 3; i++)
            finish(take_one(pool), PARK_COMPLETED);
    }
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_FINISH_RUNNING, 0),
                     stats_of(pool).running ? PARK_E_TIMEOUT : PARK_OK);
    park_check(pool);
    for (int i = 0; i < 2; i++) {
        if (tickets[i])
            park_ticket_unref(tickets[i]);
    }
    park_pool_destroy(pool);
    park_inbox_destroy(inbox);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(payloads[i].destroyed, tickets[i] ? 1 : 0);
    return !rc && was_refused ? PARK_E_NOMEM : rc;
}

START_TEST(a_pool_survives_refused_allocations)
{
    for (unsigned n = 1;; n++) {
        ck_assert_uint_lt(n, 100);
        fault_arm(FAULT_ALLOC, n); /* refuse the n-th allocation */
        enum park_err rc = fill_and_drain_a_pool();
        bool fired = fault_disarm();
        ck_assert_uint_eq(mem_live_blocks(), 0);
        if (!fired) {
            ck_assert_int_eq(rc, PARK_OK);
            ck_assert_uint_ge(n, 8);
            break;
        }
        ck_assert_int_eq(rc, PARK_E_NOMEM);
    }
}
END_TEST

static void destroy_result(void *result)
{
    ++*(int *)result;
}

static int run_at_once(park_task *task, void *arg)
{
    (void)task;
    (void)arg;
    return 0;
}

/* Everything that is off by default: reservations, a store, tenants, an audit, workers. */
static enum park_err use_a_whole_pool(void)
{
    struct park_options options = options_of(2, 4);
    options.result_count_max = 2;
    options.tombstone_count_max = 2;
    options.tenant_count_max = 2;
    options.audit_count_max = 10;
    park_pool *pool;
    enum park_err rc = park_pool_create(&options, &pool);
    if (rc)
        return rc;
    int destroyed = 0;
    int finished = 0;
    struct park_refusal refusal;
    struct park_work work = work_of(1);
    work.tenant = "alice";
    for (int i = 0; i < 5; i++) {
        park_ticket *ticket;
        rc = park_reserve(pool, &work, &work.reservation, &refusal);
        if (rc)
            break;
        rc = park_submit(pool, &work, &ticket, &refusal);
        ck_assert_uint_eq(stats_of(pool).reserved, 0);
        work.reservation = NULL;
        if (rc)
            break;
        struct park_outcome outcome = { .state = PARK_COMPLETED,
                                        .result = &destroyed,
                                        .result_bytes = 1,
                                        .result_destroy = destroy_result };
        park_finish(take_one(pool), &outcome);
        finished++;
        park_ticket_unref(ticket);
        park_check(pool);
    }
    if (rc)
        ck_assert_uint_ge(refusal.retry_after_ms, 1000);
    park_pool_destroy(pool);
    ck_assert_int_eq(destroyed, finished);
    if (rc)
        return rc;
    options.worker_count = 2;
    options.run = run_at_once;
    rc = park_pool_create(&options, &pool);
    if (!rc)
        park_pool_destroy(pool);
    return rc;
}

START_TEST(a_pool_with_all_that_can_be_had_survives_refused_allocations)
{
    for (unsigned n = 1;; n++) {
        ck_assert_uint_lt(n, 200);
        fault_arm(FAULT_ALLOC, n);
        enum park_err rc = use_a_whole_pool();
        bool fired = fault_disarm();
        ck_assert_uint_eq(mem_live_blocks(), 0);
        if (!fired) {
            ck_assert_int_eq(rc, PARK_OK);
            ck_assert_uint_ge(n, 20);
            break;
        }
        ck_assert_int_eq(rc, PARK_E_NOMEM);
    }
}
END_TEST

/* Ends of all kinds take nothing from the memory: also when there is none. */
START_TEST(timers_ends_and_the_store_allocate_nothing)
{
    struct world world = { .now_ns = SECOND_NS };
    struct park_options options = options_of(2, 10);
    options.env = world_env(&world);
    options.result_count_max = 2;
    options.tombstone_count_max = 1;
    options.audit_count_max = 100;
    options.run_timeout_ms = 10;
    options.cancel_grace_ms = 10;
    options.classes[PARK_CLASS_NORMAL].queue_timeout_ms = 15;
    park_pool *pool = pool_of(&options);
    park_ticket *t[6];
    for (int i = 0; i < 6; i++)
        t[i] = submit(pool, 1);
    uint64_t before = mem_alloc_count();
    park_task *one = take_one(pool);
    park_task *two = take_one(pool);
    finish(two, PARK_COMPLETED);
    park_cancel(t[2], PARK_REASON_CLIENT);
    park_requeue(one);
    one = take_one(pool);
    for (int i = 0; i < 5; i++) {
        world.now_ns += 10 * MS_NS;
        park_tick(pool);
    }
    ck_assert_int_eq(state_of(t[0]), PARK_EXPIRED);
    ck_assert_int_eq(state_of(t[5]), PARK_EXPIRED);
    options.result_count_max = 1;
    ck_assert_int_eq(park_reconfigure(pool, &options), PARK_OK);
    park_pause(pool);
    finish(one, PARK_COMPLETED);
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_NOW, 0), PARK_OK);
    ck_assert_uint_eq(mem_alloc_count(), before);
    for (int i = 0; i < 6; i++)
        park_ticket_unref(t[i]);
    end_pool(pool);
}
END_TEST

START_TEST(an_event_without_memory_lets_the_taker_look_again_soon_but_not_spin)
{
    park_pool *pool = small_pool(1, 1);
    park_ticket *ticket = submit(pool, 1);
    park_task *task = take_one(pool);
    fault_arm(FAULT_ALLOC, 1);
    ck_assert_int_eq(park_emit(task, 1, "x", 1), PARK_E_AGAIN);
    ck_assert(fault_disarm());
    uint64_t start_ns = clock_now_ns(&base_clock_monotonic);
    park_take_wait(pool, -1); /* nobody reads, nothing happens, and it returns */
    ck_assert_uint_ge(clock_now_ns(&base_clock_monotonic) - start_ns, 5000000);
    ck_assert_int_eq(park_emit(task, 1, "x", 1), PARK_OK);
    struct park_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.events, 1);
    ck_assert_uint_eq(stats.events_full, 1);
    finish(task, PARK_COMPLETED);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(a_full_queue_is_named_before_missing_memory)
{
    park_pool *pool = small_pool(1, 0);
    park_ticket *ticket = submit(pool, 1);
    fault_arm(FAULT_ALLOC, 1);
    refused(pool, 1, PARK_E_QUEUE_FULL);
    ck_assert(fault_disarm());
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fault");
    TCase *tc = add_case(suite, "memory", 20);
    tcase_add_test(tc, a_pool_survives_refused_allocations);
    tcase_add_test(tc, a_pool_with_all_that_can_be_had_survives_refused_allocations);
    tcase_add_test(tc, timers_ends_and_the_store_allocate_nothing);
    tcase_add_test(tc, an_event_without_memory_lets_the_taker_look_again_soon_but_not_spin);
    tcase_add_test(tc, a_full_queue_is_named_before_missing_memory);
    return run_suite(suite);
}

#else

#include <stdio.h>

int main(void)
{
    puts("skipped: fault points exist only in builds with VALET_CHECKS");
    return 77;
}

#endif
