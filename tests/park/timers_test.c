/*
 * Timers against everything else, on the system's clock: a taker in steps, a loop that ticks,
 * submitters with short times, cancellers, readers of results, somebody who changes the pool.
 */
#include "helper.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    SUBMITTERS = 3,
    SUBMISSIONS = 400,
    CAPACITY = 8
};

static struct park_options g_options;
static park_pool *g_pool;
static park_inbox *g_inbox;
static atomic_int g_submitted;
static atomic_int g_payloads;
static atomic_int g_results;
static atomic_int g_results_destroyed;
static atomic_bool g_stop;
static atomic_int g_moves;
static char g_data[] = "data";

static void count_payload(void *payload)
{
    (void)payload;
    atomic_fetch_add(&g_payloads, 1);
}

static void count_result(void *result)
{
    (void)result;
    atomic_fetch_add(&g_results_destroyed, 1);
}

static void count_move(void *arg)
{
    (void)arg;
    atomic_fetch_add(&g_moves, 1);
}

static void read_result(park_ticket *ticket)
{
    struct park_result *result;
    if (park_result(ticket, 0, &result) != PARK_OK)
        return;
    size_t bytes;
    if (park_result_data(result, &bytes) == NULL || bytes != 4)
        abort();
    park_result_unref(result);
}

static void *submit_many(void *arg)
{
    struct world world = { .seed = (uint64_t)(uintptr_t)arg };
    for (int i = 0; i < SUBMISSIONS; i++) {
        struct park_work work = work_of(1 + world_below(&world, 3));
        work.klass = (enum park_class)world_below(&world, PARK_CLASS_COUNT);
        work.task_count = 1 + (uint32_t)world_below(&world, 2);
        work.payload_destroy = count_payload;
        work.inbox = g_inbox;
        work.tenant = i % 2 ? "alice" : "bob";
        work.queue_timeout_ms = 1 + world_below(&world, 4);
        work.run_timeout_ms = 1 + world_below(&world, 4);
        if (world_below(&world, 3) == 0)
            work.deadline_ns = park_now_ns(g_pool) + (1 + world_below(&world, 3)) * MS_NS;
        if (world_below(&world, 3) == 0)
            park_reserve(g_pool, &work, &work.reservation, NULL);
        park_ticket *ticket;
        if (park_submit(g_pool, &work, &ticket, NULL) != PARK_OK) {
            sched_yield();
            continue;
        }
        atomic_fetch_add(&g_submitted, 1);
        park_ticket *found;
        if (park_find(g_pool, work.tenant, park_ticket_id(ticket), &found) == PARK_OK) {
            if (found != ticket)
                abort();
            park_ticket_unref(found);
        }
        if (world_below(&world, 3) == 0)
            park_cancel(ticket, PARK_REASON_CLIENT);
        if (world_below(&world, 3) == 0) {
            if (park_wait(ticket, -1) != PARK_OK)
                abort();
            read_result(ticket);
        }
        park_ticket_unref(ticket);
    }
    return NULL;
}

/* Keeps some of what it takes for a while, so that times run out and graces too. */
static void *take_all(void *arg)
{
    struct world world = { .seed = 99 };
    park_task *held[CAPACITY];
    size_t count = 0;
    (void)arg;
    while (!park_is_drained(g_pool)) {
        size_t n = park_take(g_pool, held + count, CAPACITY - count);
        count += n;
        if (n == 0 && count == 0) {
            park_take_wait(g_pool, 5);
            continue;
        }
        park_task *victim = park_victim(g_pool);
        size_t i = world_below(&world, count);
        park_task *task = held[i];
        if (victim && world_below(&world, 8) == 0) {
            for (i = 0; held[i] != victim; i++) {
            }
            held[i] = held[--count];
            park_requeue(victim);
            continue;
        }
        if (world_below(&world, 3) == 0) {
            park_take_wait(g_pool, 1);
            continue;
        }
        struct park_outcome outcome = { .state = PARK_COMPLETED,
                                        .result = g_data,
                                        .result_bytes = 4,
                                        .result_destroy = count_result };
        park_emit(task, 1, "x", 1);
        atomic_fetch_add(&g_results, 1);
        held[i] = held[--count];
        park_finish(task, &outcome);
    }
    return NULL;
}

static void *drive(void *arg)
{
    (void)arg;
    while (!atomic_load(&g_stop)) {
        park_tick(g_pool);
        park_ticket *ticket = park_inbox_next(g_inbox);
        if (ticket) {
            read_result(ticket);
            park_ticket_unref(ticket);
        } else {
            sched_yield();
        }
    }
    return NULL;
}

static void *change(void *arg)
{
    struct park_options options = g_options;
    (void)arg;
    for (int i = 0; !atomic_load(&g_stop); i++) {
        options.capacity.n[0] = i % 2 ? CAPACITY / 2 : CAPACITY;
        options.events_bytes_max = i % 2 ? 500 : 1000;
        options.result_count_max = i % 2 ? 5 : 50;
        if (park_reconfigure(g_pool, &options) != PARK_OK)
            abort();
        struct park_stats stats;
        struct park_tenant_stats tenants[3];
        struct park_audit records[4];
        size_t count;
        park_stats(g_pool, &stats);
        park_tenants(g_pool, tenants, 3);
        park_audit_read(g_pool, stats.audit_last > 4 ? stats.audit_last - 4 : 0, records, 4, &count,
                        NULL);
        for (int k = 0; k < 50; k++)
            sched_yield();
    }
    return NULL;
}

START_TEST(every_ticket_ends_once_whatever_runs_out_meanwhile)
{
    g_options = options_of(CAPACITY, 20);
    g_options.cancel_grace_ms = 1;
    g_options.result_count_max = 50;
    g_options.result_ttl_ms = 3;
    g_options.tombstone_count_max = 20;
    g_options.tombstone_ttl_ms = 3;
    g_options.audit_count_max = 100;
    g_options.tenant_count_max = 2;
    g_options.reserve_ms = 1;
    g_options.timer_moved = count_move;
    g_pool = pool_of(&g_options);
    ck_assert_int_eq(park_inbox_create(&g_inbox), PARK_OK);
    pthread_t submitters[SUBMITTERS];
    pthread_t taker;
    pthread_t driver;
    pthread_t changer;
    pthread_create(&taker, NULL, take_all, NULL);
    pthread_create(&driver, NULL, drive, NULL);
    pthread_create(&changer, NULL, change, NULL);
    for (uintptr_t i = 0; i < SUBMITTERS; i++)
        pthread_create(&submitters[i], NULL, submit_many, (void *)(i + 1));
    for (int i = 0; i < SUBMITTERS; i++)
        pthread_join(submitters[i], NULL);
    ck_assert_int_eq(park_drain(g_pool, PARK_DRAIN_FINISH_ALL, -1), PARK_OK);
    pthread_join(taker, NULL);
    atomic_store(&g_stop, true);
    pthread_join(driver, NULL);
    pthread_join(changer, NULL);
    struct park_stats stats = stats_of(g_pool);
    ck_assert_uint_eq(stats.used.n[0], 0);
    ck_assert_uint_eq(stats.zombies, 0);
    ck_assert_uint_gt(stats.expired, 0);
    ck_assert_uint_eq(stats.submitted - stats.rejected, atomic_load(&g_submitted));
    ck_assert_int_gt(atomic_load(&g_moves), 0);
    park_inbox_destroy(g_inbox);
    end_pool(g_pool);
    ck_assert_int_eq(atomic_load(&g_payloads), atomic_load(&g_submitted));
    ck_assert_int_eq(atomic_load(&g_results), atomic_load(&g_results_destroyed));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("timers");
    TCase *tc = add_case(suite, "timers", 100);
    tcase_add_test(tc, every_ticket_ends_once_whatever_runs_out_meanwhile);
    return run_suite(suite);
}
