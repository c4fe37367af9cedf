/* Locks, conditions and threads. */
#include "base/lock.h"

#include <check.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/base_test.h"
#include "base/clock.h"
#include "base/thread.h"

enum {
    MS = 1000 * 1000 /* ns */
};

struct shared {
    struct base_lock lock;
    struct base_cond cond;
    /* under the lock */
    int count;
    bool is_open;
};

static void shared_init(struct shared *s)
{
    memset(s, 0, sizeof *s);
    lock_init(&s->lock, LOCK_RANK_POOL);
    cond_init(&s->cond);
}

static void shared_fini(struct shared *s)
{
    cond_fini(&s->cond);
    lock_fini(&s->lock);
}

static void *count_up(void *arg)
{
    struct shared *s = arg;
    for (int i = 0; i < 20000; i++) {
        lock_take(&s->lock);
        s->count++;
        lock_give(&s->lock);
    }
    return NULL;
}

START_TEST(one_thread_at_a_time_holds_a_lock)
{
    struct shared s;
    shared_init(&s);
    struct base_thread threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(thread_start(&threads[i], "count", count_up, &s), OK);
    for (int i = 0; i < 4; i++)
        thread_join(&threads[i]);
    ck_assert_int_eq(s.count, 80000);
    shared_fini(&s);
}
END_TEST

START_TEST(locks_are_taken_by_rising_rank)
{
    struct base_lock pool;
    struct base_lock events;
    struct base_lock log;
    lock_init(&pool, LOCK_RANK_POOL);
    lock_init(&events, LOCK_RANK_EVENTS);
    lock_init(&log, LOCK_RANK_LOG);
    lock_check_none_held();
    for (int i = 0; i < 3; i++) {
        lock_take(&pool);
        lock_take(&events);
        lock_take(&log);
        lock_give(&log);
        lock_give(&events);
        lock_give(&pool);
        lock_take(&log);
        lock_give(&log);
        lock_check_none_held();
    }
    lock_fini(&log);
    lock_fini(&events);
    lock_fini(&pool);
}
END_TEST

#if VALET_CHECKS
static void take_both(enum lock_rank first, enum lock_rank second)
{
    struct base_lock a;
    struct base_lock b;
    lock_init(&a, first);
    lock_init(&b, second);
    lock_take(&a);
    lock_take(&b);
}

START_TEST(a_lower_rank_aborts)
{
    take_both(LOCK_RANK_EVENTS, LOCK_RANK_POOL);
}
END_TEST

START_TEST(an_equal_rank_aborts)
{
    take_both(LOCK_RANK_EVENTS, LOCK_RANK_EVENTS);
}
END_TEST

START_TEST(giving_in_the_wrong_order_aborts)
{
    struct base_lock a;
    struct base_lock b;
    lock_init(&a, LOCK_RANK_POOL);
    lock_init(&b, LOCK_RANK_EVENTS);
    lock_take(&a);
    lock_take(&b);
    lock_give(&a);
}
END_TEST

START_TEST(giving_what_is_not_held_aborts)
{
    struct base_lock a;
    lock_init(&a, LOCK_RANK_POOL);
    lock_give(&a);
}
END_TEST

START_TEST(a_lock_held_where_none_may_be_aborts)
{
    struct base_lock a;
    lock_init(&a, LOCK_RANK_POOL);
    lock_take(&a);
    lock_check_none_held();
}
END_TEST

static void *take_lower(void *arg)
{
    struct base_lock *lock = arg;
    lock_take(lock);
    lock_give(lock);
    return NULL;
}

START_TEST(each_thread_holds_its_own)
{
    struct base_lock high;
    struct base_lock low;
    lock_init(&high, LOCK_RANK_LOG);
    lock_init(&low, LOCK_RANK_TEAM);
    lock_take(&high);
    struct base_thread thread;
    ck_assert_int_eq(thread_start(&thread, "other", take_lower, &low), OK);
    thread_join(&thread);
    lock_give(&high);
    lock_fini(&low);
    lock_fini(&high);
}
END_TEST
#endif

START_TEST(a_wait_ends_at_its_deadline)
{
    struct shared s;
    shared_init(&s);
    lock_take(&s.lock);
    uint64_t start = clock_now_ns(&base_clock_monotonic);
    uint64_t deadline = start + 20 * MS;
    while (cond_wait_until(&s.cond, &s.lock, deadline))
        ck_assert(!s.is_open); /* a wake-up without reason */
    ck_assert_uint_ge(clock_now_ns(&base_clock_monotonic), deadline);
    ck_assert(!cond_wait_until(&s.cond, &s.lock, start)); /* long past: at once */
    ck_assert(!cond_wait_until(&s.cond, &s.lock, 0));
    lock_give(&s.lock);
    shared_fini(&s);
}
END_TEST

static void *open_it(void *arg)
{
    struct shared *s = arg;
    lock_take(&s->lock);
    s->is_open = true;
    cond_signal(&s->cond);
    lock_give(&s->lock);
    return NULL;
}

START_TEST(a_signal_wakes_a_waiter)
{
    for (int with_deadline = 0; with_deadline < 2; with_deadline++) {
        struct shared s;
        shared_init(&s);
        uint64_t deadline = clock_now_ns(&base_clock_monotonic) + (uint64_t)60000 * MS;
        lock_take(&s.lock);
        struct base_thread thread;
        ck_assert_int_eq(thread_start(&thread, "open", open_it, &s), OK);
        while (!s.is_open) {
            if (with_deadline)
                ck_assert(cond_wait_until(&s.cond, &s.lock, deadline));
            else
                cond_wait(&s.cond, &s.lock);
        }
        lock_give(&s.lock);
        lock_check_none_held();
        thread_join(&thread);
        shared_fini(&s);
    }
}
END_TEST

static void *wait_for_open(void *arg)
{
    struct shared *s = arg;
    lock_take(&s->lock);
    s->count++;
    cond_broadcast(&s->cond); /* one more waits */
    while (!s->is_open)
        cond_wait(&s->cond, &s->lock);
    s->count--;
    lock_give(&s->lock);
    return NULL;
}

START_TEST(a_broadcast_wakes_all)
{
    struct shared s;
    shared_init(&s);
    struct base_thread threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(thread_start(&threads[i], "wait", wait_for_open, &s), OK);
    lock_take(&s.lock);
    while (s.count < 4)
        cond_wait(&s.cond, &s.lock);
    s.is_open = true;
    cond_broadcast(&s.cond);
    lock_give(&s.lock);
    for (int i = 0; i < 4; i++)
        thread_join(&threads[i]);
    ck_assert_int_eq(s.count, 0);
    shared_fini(&s);
}
END_TEST

struct look {
    struct shared shared; /* is_open once the name is set */
    char name[16];
    bool blocks_term;
};

static void *look_around(void *arg)
{
    struct look *look = arg;
    lock_take(&look->shared.lock);
    while (!look->shared.is_open)
        cond_wait(&look->shared.cond, &look->shared.lock);
    lock_give(&look->shared.lock);
    pthread_getname_np(pthread_self(), look->name, sizeof look->name);
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    look->blocks_term = sigismember(&set, SIGTERM) && sigismember(&set, SIGINT);
    return look;
}

START_TEST(a_thread_has_a_name_and_no_signals)
{
    struct look look = { 0 };
    shared_init(&look.shared);
    sigset_t before;
    sigset_t after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    struct base_thread thread;
    ck_assert_int_eq(thread_start(&thread, "a-name-that-is-too-long", look_around, &look), OK);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    open_it(&look.shared);
    thread_join(&thread);
    ck_assert_str_eq(look.name, "a-name-that-is-");
    ck_assert(look.blocks_term);
    for (int signal = 1; signal < 32; signal++)
        ck_assert_int_eq(sigismember(&before, signal), sigismember(&after, signal));
    shared_fini(&look.shared);
}
END_TEST

START_TEST(the_cpu_count_keeps_to_the_affinity)
{
    cpu_set_t all;
    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    ck_assert_int_ge(thread_cpu_count(), 1);
    ck_assert_int_le(thread_cpu_count(), CPU_COUNT(&all));
    int first = 0;
    while (!CPU_ISSET(first, &all))
        first++;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0)
        return; /* not allowed here */
    ck_assert_int_eq(thread_cpu_count(), 1);
    ck_assert_int_eq(sched_setaffinity(0, sizeof all, &all), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lock");
    TCase *tc = tcase_create("lock");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, one_thread_at_a_time_holds_a_lock);
    tcase_add_test(tc, locks_are_taken_by_rising_rank);
#if VALET_CHECKS
    tcase_add_test_raise_signal(tc, a_lower_rank_aborts, SIGABRT);
    tcase_add_test_raise_signal(tc, an_equal_rank_aborts, SIGABRT);
    tcase_add_test_raise_signal(tc, giving_in_the_wrong_order_aborts, SIGABRT);
    tcase_add_test_raise_signal(tc, giving_what_is_not_held_aborts, SIGABRT);
    tcase_add_test_raise_signal(tc, a_lock_held_where_none_may_be_aborts, SIGABRT);
    tcase_add_test(tc, each_thread_holds_its_own);
#endif
    tcase_add_test(tc, a_wait_ends_at_its_deadline);
    tcase_add_test(tc, a_signal_wakes_a_waiter);
    tcase_add_test(tc, a_broadcast_wakes_all);
    tcase_add_test(tc, a_thread_has_a_name_and_no_signals);
    tcase_add_test(tc, the_cpu_count_keeps_to_the_affinity);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
