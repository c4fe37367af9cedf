/*
 * libpark: how a pool is made and changed.
 *
 * A time of 0 is none, and so is a limit of 0 from `classes` on. Options that are zero from there
 * on give a plain first in, first out.
 */
#ifndef PARK_OPTIONS_H
#define PARK_OPTIONS_H

#include "park/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Time and randomness, injected so that a pool can run in simulation. */
struct park_env {
    uint64_t (*now_ns)(void *arg); /* monotonic */
    void (*random)(void *arg, void *out, size_t len);
    void *arg;
};

struct park_class_options {
    uint64_t budget_ms;        /* orders inside the class: due = submission + budget; 0: due last */
    uint64_t aging_ms;         /* waits longer: aged, and gets a share of the starts */
    uint64_t queue_timeout_ms; /* waits longer: expired */
    uint64_t queue_count_max;  /* parked tasks */
    uint64_t queue_bytes_max;  /* payload bytes of tickets with parked tasks */
    struct park_units queue_units_max; /* sum of the needs of parked tasks */
    struct park_units reserved;        /* not to be had by starts of lower classes */
};

struct park_options {
    uint32_t struct_size;
    const char *name;                     /* shown in statistics; copied */
    uint32_t dim_count;                   /* 1..PARK_DIMS_MAX */
    const char *dim_names[PARK_DIMS_MAX]; /* copied */
    struct park_units capacity;           /* each > 0, or all 0: disabled */
    uint64_t queue_count_max;             /* parked tasks; 0: start now or refuse */
    uint64_t queue_bytes_max;             /* payload bytes of tickets with parked tasks */
    uint64_t running_max;                 /* tasks running at once; > 0 */
    size_t events_bytes_max;              /* one ticket's ring, headers included */
    struct park_env env;                  /* zeroed: system clock and generator */

    struct park_class_options classes[PARK_CLASS_COUNT];
    struct park_units queue_units_max; /* sum of the needs of parked tasks */
    uint32_t aging_share;              /* one start in so many is an aged task's, while any waits */
    uint64_t run_timeout_ms;           /* from the first start of a ticket to its end */
    uint64_t total_timeout_ms;         /* from the submission to the end */
    uint64_t cancel_grace_ms; /* a cancelled ticket ends after it, whatever its task does */
    uint64_t reserve_ms;      /* a reservation that was not used lapses */

    /* The times to come back that refusals name; up to `jitter` (0..1) of a time is added. */
    uint64_t retry_after_min_ms;
    uint64_t retry_after_max_ms;
    double retry_after_jitter;

    /*
     * Tickets that have ended stay to be found, and their results readable, within all of
     * these; the oldest leave first. What left is GONE while its tombstone stays. A count of
     * 0: nothing is kept.
     */
    uint64_t result_ttl_ms;
    uint64_t result_count_max;
    uint64_t result_bytes_max; /* results, events and tickets together */
    uint64_t tombstone_ttl_ms;
    uint64_t tombstone_count_max;

    uint64_t audit_count_max;  /* records kept; 0: no audit */
    uint64_t tenant_count_max; /* tenants with statistics of their own; the others share one */

    /*
     * Called outside all locks, by any thread, when the next timer of the pool has become an
     * earlier one than park_tick last returned. For a loop that drives the timers: it wakes
     * itself and calls park_tick. May not call into the pool.
     */
    void (*timer_moved)(void *arg);
    void *timer_arg;

    /*
     * Thread mode: so many threads of the pool's own take tasks and run them; there is no
     * other taker, and one more thread drives the timers and replaces threads that died.
     * `run` gives 0: completed; PARK_STREAMING: somebody calls, or has called, park_finish;
     * another number: failed, with this error code.
     */
    uint32_t worker_count; /* 0: pull mode */
    int (*run)(park_task *task, void *arg);
    void *run_arg;
};

#define PARK_STREAMING (-2147483647 - 1)
#define PARK_WORKERS_MAX 1024

/*
 * One dimension called "units" and no capacity yet; 512 tasks and 256 MiB may wait. Budgets of
 * 1, 5, 30 and 300 s, aging after 5, 30 and 120 s for every eighth start, reservations for
 * 30 s, times to come back of 1 to 60 s that are spread by half; all other limits and times are
 * none, and nothing is kept.
 */
PARK_API void park_options_init(struct park_options *options);

/*
 * Makes a pool, or fails with *out NULL: INVALID for options out of range, NOMEM (also: no
 * thread to be had). Gives: park_pool_destroy.
 */
PARK_API enum park_err park_pool_create(const struct park_options *options, park_pool **out);

/*
 * Replaces capacity, limits, times, classes and what is kept, all or nothing: INVALID for
 * options out of range or another name, dimension, environment, mode or audit. What runs goes
 * on: nothing new starts until usage fits, and growth beyond the new capacity is LIMIT. What
 * is parked and could no longer be accepted for its size ends as dropped/no_longer_fits;
 * smaller limits of the queue keep what is parked. Times that tickets were given stay.
 */
PARK_API enum park_err park_reconfigure(park_pool *pool, const struct park_options *options);

/*
 * Ends the pool. The caller has stopped every thread that takes from it; the pool's own are
 * joined, after the tasks that they run, whose tokens are set. Parked tickets become dropped,
 * running ones cancelled (reason shutdown); tickets that are still referenced stay readable.
 * Inboxes must be destroyed by their owners, before or after.
 */
PARK_API void park_pool_destroy(park_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
