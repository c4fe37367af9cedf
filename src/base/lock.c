#include "base/lock.h"

#include <errno.h>
#include <time.h>

#include "base/assert.h"

#if VALET_CHECKS
enum {
    HELD_MAX = 8
};

static _Thread_local const struct base_lock *t_held[HELD_MAX];
static _Thread_local int t_held_count;

static void note_taken(const struct base_lock *lock)
{
    for (int i = 0; i < t_held_count; i++)
        ASSERT(t_held[i]->rank < lock->rank);
    ASSERT(t_held_count < HELD_MAX);
    t_held[t_held_count++] = lock;
}

static void note_given(const struct base_lock *lock)
{
    ASSERT(t_held_count > 0 && t_held[t_held_count - 1] == lock);
    t_held_count--;
}

void lock_check_none_held(void)
{
    ASSERT(t_held_count == 0);
}
#else
static void note_taken(const struct base_lock *lock)
{
    (void)lock;
}

static void note_given(const struct base_lock *lock)
{
    (void)lock;
}

void lock_check_none_held(void)
{
}
#endif

void lock_init(struct base_lock *lock, enum lock_rank rank)
{
    lock->rank = rank;
    int rc = pthread_mutex_init(&lock->mutex, NULL);
    ASSERT(rc == 0);
}

void lock_fini(struct base_lock *lock)
{
    int rc = pthread_mutex_destroy(&lock->mutex);
    ASSERT(rc == 0);
}

void lock_take(struct base_lock *lock)
{
    note_taken(lock);
    int rc = pthread_mutex_lock(&lock->mutex);
    ASSERT(rc == 0);
}

void lock_give(struct base_lock *lock)
{
    note_given(lock);
    int rc = pthread_mutex_unlock(&lock->mutex);
    ASSERT(rc == 0);
}

void cond_init(struct base_cond *cond)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    ASSERT(rc == 0);
    rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    ASSERT(rc == 0);
    rc = pthread_cond_init(&cond->cond, &attr);
    ASSERT(rc == 0);
    pthread_condattr_destroy(&attr);
}

void cond_fini(struct base_cond *cond)
{
    pthread_cond_destroy(&cond->cond);
}

void cond_signal(struct base_cond *cond)
{
    pthread_cond_signal(&cond->cond);
}

void cond_broadcast(struct base_cond *cond)
{
    pthread_cond_broadcast(&cond->cond);
}

void cond_wait(struct base_cond *cond, struct base_lock *lock)
{
    int rc = pthread_cond_wait(&cond->cond, &lock->mutex);
    ASSERT(rc == 0);
}

bool cond_wait_until(struct base_cond *cond, struct base_lock *lock, uint64_t deadline_ns)
{
    struct timespec ts = { .tv_sec = (time_t)(deadline_ns / 1000000000u),
                           .tv_nsec = (long)(deadline_ns % 1000000000u) };
    int rc = pthread_cond_timedwait(&cond->cond, &lock->mutex, &ts);
    ASSERT(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}
