/*
 * The fork-join team: every tile runs exactly once, whatever the members do meanwhile.
 * The program is also meant to run under ThreadSanitizer.
 */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/fault.h"
#include "base/lock.h"
#include "base/mem.h"
#include "tensor/team.h"

enum {
    TILES_MAX = 10000,
    SIZE_MAX_TESTED = 4
};

static _Atomic int g_runs[TILES_MAX + 1]; /* times a tile ran in the current job */

static void count_tile(void *arg, int64_t tile)
{
    if (arg != g_runs || tile < 0 || tile > TILES_MAX)
        abort();
    atomic_fetch_add_explicit(&g_runs[tile], 1, memory_order_relaxed);
}

/* Runs a job of `count` counted tiles; none past `count`, up to `looked_at`, may run. */
static void run_counted(struct team *t, int64_t count, int64_t looked_at)
{
    for (int64_t i = 0; i < looked_at; i++)
        atomic_store_explicit(&g_runs[i], 0, memory_order_relaxed);
    team_run(t, count_tile, g_runs, count);
    for (int64_t i = 0; i < looked_at; i++) {
        int runs = atomic_load_explicit(&g_runs[i], memory_order_relaxed);
        if (runs != (i < count))
            ck_abort_msg("team of %d, %lld tiles: tile %lld ran %d times", team_size(t),
                         (long long)count, (long long)i, runs);
    }
}

static struct team *take_team(int size)
{
    struct team *t;
    ck_assert_int_eq(team_create(size, &t), OK);
    ck_assert_int_eq(team_size(t), size);
    return t;
}

static void pause_ms(long ms)
{
    struct timespec ts = { .tv_nsec = ms * 1000000 };
    nanosleep(&ts, NULL);
}

START_TEST(every_tile_runs_exactly_once)
{
    static const int64_t counts[] = { 0, 1, 2, 3, 100, 10000, 1, 0, 10000, 3 };
    struct team *t = take_team(_i);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        run_counted(t, counts[i], TILES_MAX + 1);
    team_destroy(t);
}
END_TEST

/* One tile for each member: all are awake at once, and each ties itself to a CPU of its own. */
struct spread_job {
    cpu_set_t allowed;
    int size;
    _Atomic int arrived;
};

static void spread_tile(void *arg, int64_t tile)
{
    struct spread_job *job = arg;
    int at = (int)tile % CPU_COUNT(&job->allowed);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &job->allowed) || at-- > 0)
            continue;
        cpu_set_t own;
        CPU_ZERO(&own);
        CPU_SET(cpu, &own);
        sched_setaffinity(0, sizeof own, &own);
        break;
    }
    atomic_fetch_add(&job->arrived, 1);
    while (atomic_load(&job->arrived) < job->size)
        sched_yield();
}

/*
 * A member that comes back from its last tile meets a caller that is about to announce a
 * bigger job. Counts go up and down so that such a member would find a tile to claim. The
 * members are spread because a kernel may otherwise run them in turns on one CPU.
 */
START_TEST(short_jobs_back_to_back_lose_and_repeat_no_tile)
{
    struct team *t = take_team(_i);
    struct spread_job spread = { .size = _i };
    sched_getaffinity(0, sizeof spread.allowed, &spread.allowed);
    team_run(t, spread_tile, &spread, _i);
    for (int64_t job = 0; job < 400000; job++)
        run_counted(t, 2 + job % 2 * 3 + job % 3, 8);
    team_destroy(t);
}
END_TEST

/* The pauses are the case under test: members fall asleep and have to be woken. */
START_TEST(sleeping_members_wake_for_the_next_job)
{
    struct team *t = take_team(_i);
    for (int job = 0; job < 15; job++) {
        pause_ms(3);
        run_counted(t, 100, 101);
        run_counted(t, 2, 101);
    }
    team_destroy(t);
}
END_TEST

START_TEST(destroy_at_once_after_create)
{
    for (int i = 0; i < 200; i++)
        team_destroy(take_team(_i));
    team_destroy(NULL);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(destroy_at_once_after_a_job)
{
    for (int i = 0; i < 200; i++) {
        struct team *t = take_team(_i);
        run_counted(t, 2 + i, 300);
        team_destroy(t);
    }
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

/* No tile ends before all have begun, so each member has one. */
struct meeting_job {
    int64_t count;
    _Atomic int64_t arrived;
    pthread_t who[SIZE_MAX_TESTED];
};

static void meeting_tile(void *arg, int64_t tile)
{
    struct meeting_job *job = arg;
    job->who[tile] = pthread_self();
    atomic_fetch_add(&job->arrived, 1);
    while (atomic_load(&job->arrived) < job->count)
        sched_yield();
}

START_TEST(a_member_has_the_same_share_of_every_job)
{
    struct team *t = take_team(_i);
    struct meeting_job first = { .count = _i };
    team_run(t, meeting_tile, &first, _i);
    ck_assert(pthread_equal(first.who[0], pthread_self()));
    for (int round = 0; round < 50; round++) {
        struct meeting_job job = { .count = _i };
        team_run(t, meeting_tile, &job, _i);
        for (int i = 0; i < _i; i++)
            ck_assert(pthread_equal(job.who[i], first.who[i]));
    }
    team_destroy(t);
}
END_TEST

START_TEST(no_team_is_the_calling_thread)
{
    run_counted(NULL, 100, 101);
}
END_TEST

/* Tile 0 keeps its member until all other tiles are done. */
struct blocking_job {
    struct base_lock lock;
    struct base_cond cond;
    int64_t count;
    int64_t others_done; /* under `lock` */
    bool first_done;     /* written by tile 0's member, read after the job */
};

static void blocking_tile(void *arg, int64_t tile)
{
    struct blocking_job *job = arg;
    lock_take(&job->lock);
    if (tile != 0) {
        job->others_done++;
        cond_signal(&job->cond);
    } else {
        while (job->others_done != job->count - 1)
            cond_wait(&job->cond, &job->lock);
    }
    lock_give(&job->lock);
    if (tile == 0)
        job->first_done = true;
}

START_TEST(others_finish_the_rest_while_a_tile_blocks)
{
    struct team *t = take_team(_i);
    struct blocking_job job = { .count = 1000 };
    lock_init(&job.lock, LOCK_RANK_LOG);
    cond_init(&job.cond);
    for (int round = 0; round < 30; round++) {
        job.others_done = 0;
        job.first_done = false;
        team_run(t, blocking_tile, &job, job.count);
        ck_assert(job.first_done);
        ck_assert_int_eq(job.others_done, job.count - 1);
        if (round % 10 == 9)
            pause_ms(3);
    }
    cond_fini(&job.cond);
    lock_fini(&job.lock);
    team_destroy(t);
}
END_TEST

/* Plain memory: what tiles write, the caller reads, without atomics. */
struct slow_job {
    pthread_t caller;
    int64_t written[8];
};

static void slow_tile(void *arg, int64_t tile)
{
    struct slow_job *job = arg;
    if (!pthread_equal(pthread_self(), job->caller))
        pause_ms(4); /* longer than the caller spins: it falls asleep */
    job->written[tile] = tile + 1;
}

START_TEST(a_caller_asleep_wakes_for_the_last_tile_and_sees_what_was_written)
{
    struct team *t = take_team(_i);
    for (int round = 0; round < 10; round++) {
        struct slow_job job = { .caller = pthread_self() };
        team_run(t, slow_tile, &job, 8);
        for (int64_t i = 0; i < 8; i++)
            ck_assert_int_eq(job.written[i], i + 1);
    }
    team_destroy(t);
}
END_TEST

static int64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* Members that spun on would use all of every window; on a busy machine sleep may come late. */
START_TEST(an_idle_team_uses_no_cpu)
{
    struct team *t = take_team(4);
    run_counted(t, 100, 101);
    int64_t used = INT64_MAX;
    for (int window = 0; window < 40 && used > 5000000; window++) {
        int64_t before = cpu_ns();
        pause_ms(50);
        used = cpu_ns() - before;
    }
    if (used > 5000000)
        ck_abort_msg("an idle team used %lld ns in 50 ms", (long long)used);
    team_destroy(t);
}
END_TEST

START_TEST(sizes_out_of_range_are_refused)
{
    static const int sizes[] = { -1, 0, 257, 1 << 30 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct team *t = (struct team *)&g_runs;
        ck_assert_int_eq(team_create(sizes[i], &t), E_INVALID);
        ck_assert_ptr_null(t);
    }
}
END_TEST

#if VALET_CHECKS
START_TEST(create_survives_refused_memory)
{
    for (unsigned n = 1;; n++) {
        struct team *t = (struct team *)&g_runs;
        fault_arm(FAULT_ALLOC, n);
        enum base_err rc = team_create(3, &t);
        bool fired = fault_disarm();
        if (!fired) {
            ck_assert_int_eq(rc, OK);
            ck_assert_uint_gt(n, 1);
            team_destroy(t);
            ck_assert_uint_eq(mem_live_blocks(), 0);
            break;
        }
        ck_assert_int_eq(rc, E_NOMEM);
        ck_assert_ptr_null(t);
        ck_assert_uint_eq(mem_live_blocks(), 0);
    }
}
END_TEST
#endif

int main(void)
{
    Suite *s = suite_create("team");
    TCase *tc = tcase_create("team");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, every_tile_runs_exactly_once, 1, SIZE_MAX_TESTED + 1);
    tcase_add_loop_test(tc, short_jobs_back_to_back_lose_and_repeat_no_tile, 1,
                        SIZE_MAX_TESTED + 1);
    tcase_add_loop_test(tc, sleeping_members_wake_for_the_next_job, 2, SIZE_MAX_TESTED + 1);
    tcase_add_loop_test(tc, destroy_at_once_after_create, 1, SIZE_MAX_TESTED + 1);
    tcase_add_loop_test(tc, destroy_at_once_after_a_job, 2, SIZE_MAX_TESTED + 1);
    tcase_add_loop_test(tc, a_member_has_the_same_share_of_every_job, 1, SIZE_MAX_TESTED + 1);
    tcase_add_test(tc, no_team_is_the_calling_thread);
    tcase_add_loop_test(tc, others_finish_the_rest_while_a_tile_blocks, 2, SIZE_MAX_TESTED + 1);
    tcase_add_loop_test(tc, a_caller_asleep_wakes_for_the_last_tile_and_sees_what_was_written, 2,
                        SIZE_MAX_TESTED + 1);
    tcase_add_test(tc, an_idle_team_uses_no_cpu);
    tcase_add_test(tc, sizes_out_of_range_are_refused);
#if VALET_CHECKS
    tcase_add_test(tc, create_survives_refused_memory);
#endif
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
