/* Thread mode: the pool's own threads run tasks. */
#include "helper.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "base/thread.h"

/* What a payload asks of its run. */
enum order {
    RETURN,
    EXIT_THREAD,
    WAIT_FOR_CANCEL,
    SPIN_UNTIL_CANCEL, /* never calls what drives timers */
    STREAM,
    FINISH_ITSELF,
    FINISH_AND_EXIT,
    FILL_RING
};

struct job {
    enum order order;
    int code;
    atomic_int runs;
    _Atomic(park_task *) task; /* STREAM: set when it runs */
};

static atomic_int g_at_once;
static atomic_int g_at_once_max;

static void note_at_once(int change)
{
    int now = atomic_fetch_add(&g_at_once, change) + change;
    int max = atomic_load(&g_at_once_max);
    while (now > max && !atomic_compare_exchange_weak(&g_at_once_max, &max, now)) {
    }
}

/* Emits until the ring is full, then waits for a reader, again and again. */
static int fill_ring(park_task *task)
{
    char data[64] = { 0 };
    for (int i = 0; i < 50; i++) {
        enum park_err rc;
        while ((rc = park_emit(task, 1, data, sizeof data)) == PARK_E_AGAIN) {
            if (park_task_wait(task, -1) != PARK_OK || park_task_cancelled(task))
                return 9;
        }
        if (rc)
            return 10;
    }
    return 0;
}

static int run(park_task *task, void *arg)
{
    struct job *job = park_task_payload(task);
    struct park_outcome outcome = { .state = PARK_FAILED, .error_code = 5, .error_text = "own" };
    (void)arg;
    atomic_fetch_add(&job->runs, 1);
    switch (job->order) {
    case RETURN:
        note_at_once(1);
        note_at_once(-1);
        return job->code;
    case EXIT_THREAD:
        pthread_exit(NULL);
    case WAIT_FOR_CANCEL:
        while (!park_task_cancelled(task))
            park_task_wait(task, -1);
        return job->code;
    case SPIN_UNTIL_CANCEL:
        while (!park_task_cancelled(task))
            sched_yield();
        return job->code;
    case STREAM:
        atomic_store(&job->task, task);
        return PARK_STREAMING;
    case FINISH_ITSELF:
        park_finish(task, &outcome);
        return 0;
    case FINISH_AND_EXIT:
        park_finish(task, &outcome);
        pthread_exit(NULL);
    case FILL_RING:
        return fill_ring(task);
    }
    return -1;
}

static struct park_options crew_options(uint32_t workers, uint64_t capacity)
{
    struct park_options options = options_of(capacity, 20000);
    options.worker_count = workers;
    options.run = run;
    return options;
}

static park_ticket *submit_job(park_pool *pool, struct job *job)
{
    struct park_work work = work_of(1);
    work.payload = job;
    return submit_work(pool, &work);
}

/* Submits, waits for the end and gives the status. */
static struct park_status outcome_of(park_pool *pool, struct job *job)
{
    park_ticket *ticket = submit_job(pool, job);
    struct park_status status;
    ck_assert_int_eq(park_wait(ticket, -1), PARK_OK);
    park_status(ticket, &status);
    park_ticket_unref(ticket);
    return status;
}

START_TEST(workers_run_what_is_submitted_and_its_code_is_its_outcome)
{
    struct park_options options = crew_options(3, 10);
    park_pool *pool = pool_of(&options);
    ck_assert_uint_eq(stats_of(pool).worker_count, 3);
    struct job good = { .order = RETURN };
    struct park_status status = outcome_of(pool, &good);
    ck_assert_int_eq(status.state, PARK_COMPLETED);
    struct job bad = { .order = RETURN, .code = 42 };
    status = outcome_of(pool, &bad);
    ck_assert_int_eq(status.state, PARK_FAILED);
    ck_assert_int_eq(status.error_code, 42);
    struct job own = { .order = FINISH_ITSELF };
    status = outcome_of(pool, &own);
    ck_assert_int_eq(status.state, PARK_FAILED);
    ck_assert_int_eq(status.error_code, 5);
    ck_assert_str_eq(status.error_text, "own");
    ck_assert_uint_eq(stats_of(pool).used.n[0], 0);
    end_pool(pool);
}
END_TEST

START_TEST(units_and_workers_bound_what_runs_at_once)
{
    for (int i = 0; i < 2; i++) {
        struct park_options options = crew_options(i ? 2 : 4, i ? 4 : 2);
        park_pool *pool = pool_of(&options);
        static struct job jobs[2000];
        memset(jobs, 0, sizeof jobs);
        atomic_store(&g_at_once, 0);
        atomic_store(&g_at_once_max, 0);
        for (int k = 0; k < 2000; k++)
            park_ticket_unref(submit_job(pool, &jobs[k]));
        ck_assert_int_eq(park_drain(pool, PARK_DRAIN_FINISH_ALL, -1), PARK_OK);
        for (int k = 0; k < 2000; k++)
            ck_assert_int_eq(atomic_load(&jobs[k].runs), 1);
        ck_assert_int_le(atomic_load(&g_at_once_max), 2);
        struct park_stats stats = stats_of(pool);
        ck_assert_uint_eq(stats.completed, 2000);
        ck_assert_uint_le(stats.high_water.n[0], stats.capacity.n[0]);
        end_pool(pool);
    }
}
END_TEST

START_TEST(a_thread_that_ends_under_its_task_costs_neither_worker_nor_units)
{
    struct park_options options = crew_options(1, 1);
    park_pool *pool = pool_of(&options);
    for (int i = 0; i < 5; i++) {
        struct job dies = { .order = EXIT_THREAD };
        struct park_status status = outcome_of(pool, &dies);
        ck_assert_int_eq(status.state, PARK_FAILED);
        ck_assert_int_eq(status.reason, PARK_REASON_WORKER_DIED);
        struct job own = { .order = FINISH_AND_EXIT }; /* ended once, by itself */
        status = outcome_of(pool, &own);
        ck_assert_int_eq(status.reason, PARK_REASON_ERROR);
        struct job good = { .order = RETURN };
        status = outcome_of(pool, &good); /* the only worker was replaced */
        ck_assert_int_eq(status.state, PARK_COMPLETED);
    }
    struct park_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.worker_deaths, 10);
    ck_assert_uint_eq(stats.worker_count, 1);
    ck_assert_uint_eq(stats.used.n[0], 0);
    end_pool(pool);
}
END_TEST

START_TEST(a_stream_keeps_its_units_and_no_worker_until_its_producer_is_done)
{
    struct park_options options = crew_options(1, 2);
    park_pool *pool = pool_of(&options);
    struct job stream = { .order = STREAM };
    park_ticket *ticket = submit_job(pool, &stream);
    struct job good = { .order = RETURN };
    struct park_status status = outcome_of(pool, &good); /* the worker is free again */
    ck_assert_int_eq(status.state, PARK_COMPLETED);
    ck_assert_int_eq(state_of(ticket), PARK_RUNNING);
    ck_assert_uint_eq(stats_of(pool).used.n[0], 1);
    park_task *task = atomic_load(&stream.task);
    ck_assert_int_eq(park_emit(task, 1, "x", 1), PARK_OK);
    finish(task, PARK_COMPLETED);
    ck_assert_int_eq(park_wait(ticket, -1), PARK_OK);
    ck_assert_uint_eq(stats_of(pool).used.n[0], 0);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(a_run_that_waits_is_woken_by_a_cancel_and_by_a_timeout)
{
    struct park_options options = crew_options(1, 1);
    options.run_timeout_ms = 30;
    park_pool *pool = pool_of(&options);
    struct job job = { .order = WAIT_FOR_CANCEL, .code = 1 };
    struct park_status status = outcome_of(pool, &job); /* the keeper drives the timers */
    ck_assert_int_eq(status.state, PARK_EXPIRED);
    ck_assert_int_eq(status.reason, PARK_REASON_RUN_TIMEOUT);
    struct job other = { .order = WAIT_FOR_CANCEL, .code = 1 };
    park_ticket *ticket = submit_job(pool, &other);
    park_cancel(ticket, PARK_REASON_CLIENT);
    ck_assert_int_eq(park_wait(ticket, -1), PARK_OK);
    ck_assert_int_eq(reason_of(ticket), PARK_REASON_CLIENT);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(the_keeper_expires_what_waits_while_all_workers_are_busy)
{
    struct park_options options = crew_options(1, 1);
    options.classes[PARK_CLASS_NORMAL].queue_timeout_ms = 20;
    park_pool *pool = pool_of(&options);
    park_inbox *inbox;
    ck_assert_int_eq(park_inbox_create(&inbox), PARK_OK);
    struct job busy = { .order = SPIN_UNTIL_CANCEL };
    struct job never = { .order = RETURN };
    park_ticket *runs = submit_job(pool, &busy);
    while (atomic_load(&busy.runs) == 0)
        sched_yield();
    struct park_work work = work_of(1);
    work.payload = &never;
    work.inbox = inbox;
    park_ticket *parked = submit_work(pool, &work);
    while (!fd_is_readable(park_inbox_fd(inbox)))
        sched_yield();
    ck_assert_int_eq(reason_of(parked), PARK_REASON_QUEUE_TIMEOUT);
    ck_assert_int_eq(atomic_load(&never.runs), 0);
    park_cancel(runs, PARK_REASON_CLIENT);
    ck_assert_int_eq(park_wait(runs, -1), PARK_OK);
    ck_assert_int_eq(state_of(runs), PARK_COMPLETED); /* its own outcome wins */
    park_ticket_unref(runs);
    park_ticket_unref(parked);
    park_inbox_destroy(inbox);
    end_pool(pool);
}
END_TEST

START_TEST(a_run_whose_ring_is_full_waits_for_its_reader)
{
    struct park_options options = crew_options(1, 1);
    options.events_bytes_max = 200;
    park_pool *pool = pool_of(&options);
    struct job job = { .order = FILL_RING };
    park_ticket *ticket = submit_job(pool, &job);
    uint64_t seen = 0;
    while (seen < 50) {
        char buffer[256];
        struct park_event events[4];
        size_t count;
        ck_assert_int_eq(
            park_events_read(ticket, seen, buffer, sizeof buffer, events, 4, &count, NULL),
            PARK_OK);
        seen += count;
        if (count == 0)
            sched_yield();
    }
    ck_assert_int_eq(park_wait(ticket, -1), PARK_OK);
    ck_assert_int_eq(state_of(ticket), PARK_COMPLETED);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(all_runs_of_a_ticket_that_share_a_full_ring_go_on)
{
    struct park_options options = crew_options(4, 4);
    options.events_bytes_max = 200;
    park_pool *pool = pool_of(&options);
    struct job job = { .order = FILL_RING };
    struct park_work work = work_of(1);
    work.payload = &job;
    work.task_count = 4;
    park_ticket *ticket = submit_work(pool, &work);
    uint64_t seen = 0;
    while (seen < 200) {
        char buffer[256];
        struct park_event events[4];
        size_t count;
        enum park_err rc =
            park_events_read(ticket, seen, buffer, sizeof buffer, events, 4, &count, NULL);
        SAME(rc, PARK_OK);
        seen += count;
        if (count == 0)
            sched_yield();
    }
    ck_assert_int_eq(park_wait(ticket, -1), PARK_OK);
    ck_assert_int_eq(state_of(ticket), PARK_COMPLETED);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(destroy_cancels_joins_and_settles_everything)
{
    struct park_options options = crew_options(2, 2);
    park_pool *pool = pool_of(&options);
    struct job busy[2] = { { .order = WAIT_FOR_CANCEL }, { .order = WAIT_FOR_CANCEL, .code = 1 } };
    struct job never = { .order = RETURN };
    park_ticket *runs[2];
    for (int i = 0; i < 2; i++) {
        runs[i] = submit_job(pool, &busy[i]);
        while (atomic_load(&busy[i].runs) == 0)
            sched_yield();
    }
    park_ticket *parked = submit_job(pool, &never);
    park_pool_destroy(pool);
    ck_assert_int_eq(state_of(runs[0]), PARK_COMPLETED);
    ck_assert_int_eq(state_of(runs[1]), PARK_CANCELLED);
    ck_assert_int_eq(state_of(parked), PARK_DROPPED);
    ck_assert_int_eq(atomic_load(&never.runs), 0);
    park_ticket_unref(runs[0]);
    park_ticket_unref(runs[1]);
    park_ticket_unref(parked);
    check_nothing_is_held();
}
END_TEST

START_TEST(a_stream_left_behind_is_cancelled_by_destroy)
{
    struct park_options options = crew_options(1, 1);
    park_pool *pool = pool_of(&options);
    struct job stream = { .order = STREAM };
    park_ticket *ticket = submit_job(pool, &stream);
    while (!atomic_load(&stream.task))
        sched_yield();
    park_pool_destroy(pool);
    ck_assert_int_eq(reason_of(ticket), PARK_REASON_SHUTDOWN);
    park_ticket_unref(ticket);
    check_nothing_is_held();
}
END_TEST

START_TEST(a_paused_crew_starts_nothing)
{
    struct park_options options = crew_options(2, 2);
    park_pool *pool = pool_of(&options);
    park_pause(pool);
    struct job job = { .order = RETURN };
    park_ticket *ticket = submit_job(pool, &job);
    ck_assert_int_eq(park_wait(ticket, 5), PARK_E_TIMEOUT);
    ck_assert_int_eq(atomic_load(&job.runs), 0);
    park_resume(pool);
    ck_assert_int_eq(park_wait(ticket, -1), PARK_OK);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

/* ---- threads that cannot be had ---- */

enum base_err __real_thread_start(struct base_thread *thread, const char *name,
                                  void *(*entry)(void *), void *arg);
enum base_err __wrap_thread_start(struct base_thread *thread, const char *name,
                                  void *(*entry)(void *), void *arg);

static atomic_int g_starts_left = 1000000; /* then one is refused, and all after it work again */

enum base_err __wrap_thread_start(struct base_thread *thread, const char *name,
                                  void *(*entry)(void *), void *arg)
{
    if (atomic_fetch_sub(&g_starts_left, 1) == 1)
        return E_NOMEM;
    return __real_thread_start(thread, name, entry, arg);
}

START_TEST(a_pool_whose_threads_cannot_be_had_is_not_made)
{
    for (int n = 1; n <= 4; n++) { /* three workers and the keeper */
        struct park_options options = crew_options(3, 1);
        park_pool *pool = (park_pool *)&options;
        atomic_store(&g_starts_left, n);
        ck_assert_int_eq(park_pool_create(&options, &pool), PARK_E_NOMEM);
        ck_assert_ptr_null(pool);
        check_nothing_is_held();
    }
}
END_TEST

START_TEST(the_keeper_tries_again_until_it_has_a_thread)
{
    struct park_options options = crew_options(1, 1);
    park_pool *pool = pool_of(&options);
    struct job dies = { .order = EXIT_THREAD };
    struct job good = { .order = RETURN };
    atomic_store(&g_starts_left, 1);
    struct park_status status = outcome_of(pool, &dies);
    ck_assert_int_eq(status.reason, PARK_REASON_WORKER_DIED);
    status = outcome_of(pool, &good);
    ck_assert_int_eq(status.state, PARK_COMPLETED);
    ck_assert_int_lt(atomic_load(&g_starts_left), 0);
    end_pool(pool);
}
END_TEST

/* Deaths, cancels, timeouts and streams at once; every ticket ends, and once. */
START_TEST(a_crew_under_all_kinds_of_work_settles_every_ticket)
{
    struct park_options options = crew_options(3, 3);
    options.cancel_grace_ms = 1;
    options.run_timeout_ms = 2;
    options.result_count_max = 50;
    park_pool *pool = pool_of(&options);
    static struct job jobs[600];
    static park_ticket *tickets[600];
    struct world world = { .seed = 5 };
    memset(jobs, 0, sizeof jobs);
    for (int i = 0; i < 600; i++) {
        static const enum order orders[] = { RETURN, RETURN,        EXIT_THREAD,    WAIT_FOR_CANCEL,
                                             RETURN, FINISH_ITSELF, FINISH_AND_EXIT };
        jobs[i].order = orders[world_below(&world, 7)];
        jobs[i].code = (int)world_below(&world, 2);
        tickets[i] = submit_job(pool, &jobs[i]);
        if (world_below(&world, 5) == 0)
            park_cancel(tickets[world_below(&world, (uint64_t)i + 1)], PARK_REASON_CLIENT);
    }
    for (int i = 0; i < 600; i++) {
        ck_assert_int_eq(park_wait(tickets[i], -1), PARK_OK);
        park_ticket_unref(tickets[i]);
    }
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_FINISH_ALL, -1), PARK_OK);
    struct park_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.used.n[0], 0);
    ck_assert_uint_eq(stats.submitted, 600);
    ck_assert_uint_eq(stats.zombies, 0);
    end_pool(pool);
}
END_TEST

START_TEST(thread_mode_without_a_run_or_with_too_many_workers_is_refused)
{
    struct park_options options = crew_options(1, 1);
    park_pool *pool;
    options.run = NULL;
    ck_assert_int_eq(park_pool_create(&options, &pool), PARK_E_INVALID);
    options = crew_options(PARK_WORKERS_MAX + 1, 1);
    ck_assert_int_eq(park_pool_create(&options, &pool), PARK_E_INVALID);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker");
    TCase *tc = add_case(suite, "run", 60);
    tcase_add_test(tc, workers_run_what_is_submitted_and_its_code_is_its_outcome);
    tcase_add_test(tc, units_and_workers_bound_what_runs_at_once);
    tcase_add_test(tc, a_thread_that_ends_under_its_task_costs_neither_worker_nor_units);
    tcase_add_test(tc, a_stream_keeps_its_units_and_no_worker_until_its_producer_is_done);
    tcase_add_test(tc, a_run_that_waits_is_woken_by_a_cancel_and_by_a_timeout);
    tcase_add_test(tc, the_keeper_expires_what_waits_while_all_workers_are_busy);
    tcase_add_test(tc, a_run_whose_ring_is_full_waits_for_its_reader);
    tcase_add_test(tc, all_runs_of_a_ticket_that_share_a_full_ring_go_on);
    tcase_add_test(tc, destroy_cancels_joins_and_settles_everything);
    tcase_add_test(tc, a_stream_left_behind_is_cancelled_by_destroy);
    tcase_add_test(tc, a_paused_crew_starts_nothing);
    tcase_add_test(tc, a_pool_whose_threads_cannot_be_had_is_not_made);
    tcase_add_test(tc, the_keeper_tries_again_until_it_has_a_thread);
    tcase_add_test(tc, a_crew_under_all_kinds_of_work_settles_every_ticket);
    tcase_add_test(tc, thread_mode_without_a_run_or_with_too_many_workers_is_refused);
    return run_suite(suite);
}
