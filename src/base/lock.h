#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Locks with a rank. A thread may take a lock only if its rank is higher than that of
 * every lock it holds; builds with VALET_CHECKS abort on a wrong order. No callback, no
 * I/O and no formatting happen under a lock.
 */
enum lock_rank {
    LOCK_RANK_NONE,
    LOCK_RANK_TEAM,   /* tensor: the kernel threads' sleep */
    LOCK_RANK_POOL,   /* park: queue, books, ticket states */
    LOCK_RANK_EVENTS, /* park: one ticket's event ring */
    LOCK_RANK_INBOX,  /* park: one consumer's list of tickets with news */
    LOCK_RANK_LOG
};

struct base_lock {
    pthread_mutex_t mutex;
    enum lock_rank rank;
};

struct base_cond {
    pthread_cond_t cond;
};

void lock_init(struct base_lock *lock, enum lock_rank rank);
void lock_fini(struct base_lock *lock);
void lock_take(struct base_lock *lock);
void lock_give(struct base_lock *lock);

/* Waits use the monotonic clock. */
void cond_init(struct base_cond *cond);
void cond_fini(struct base_cond *cond);
void cond_signal(struct base_cond *cond);
void cond_broadcast(struct base_cond *cond);

/* Releases `lock` while asleep; may wake without reason: loop over a predicate. */
void cond_wait(struct base_cond *cond, struct base_lock *lock);

/* The same until a time on CLOCK_MONOTONIC; false once it has passed. */
bool cond_wait_until(struct base_cond *cond, struct base_lock *lock, uint64_t deadline_ns);

/* Aborts if the calling thread holds any lock. Does nothing without VALET_CHECKS. */
void lock_check_none_held(void);

#endif
