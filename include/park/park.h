/*
 * libpark: a bounded parking lot for any kind of work.
 *
 * A submitter hands in work with its cost in units and gets a ticket, or is refused at
 * once with a reason and a time to come back. An engine thread takes what fits now, runs
 * it, emits events and finishes it. Every ticket reaches exactly one terminal state.
 *
 * Threads: every function may be called from any thread unless it says otherwise. No
 * function calls back while it holds a lock of the pool.
 */
#ifndef PARK_PARK_H
#define PARK_PARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PARK_API __attribute__((visibility("default")))

/* The first numbers are those of valet's common table; from -101 on they are libpark's own. */
enum park_err {
    PARK_OK = 0,
    PARK_E_NOMEM = -1,
    PARK_E_INVALID = -2,
    PARK_E_TIMEOUT = -4,
    PARK_E_CLOSED = -6,
    PARK_E_NOT_FOUND = -7,
    PARK_E_AGAIN = -13,
    PARK_E_OVERSIZE = -101,   /* more units than the pool has: can never run */
    PARK_E_QUEUE_FULL = -102, /* no place to wait, by count or by bytes */
    PARK_E_DRAINING = -103,   /* the pool takes no new work */
    PARK_E_GAP = -104,        /* events behind the cursor are gone */
    PARK_E_LIMIT = -105       /* a task may not grow beyond its limit */
};

/* The text of an error, for people. Never NULL. */
PARK_API const char *park_strerror(enum park_err err);

/*
 *   submit ──▶ queued ──take──▶ running ──finish──▶ completed | failed | cancelled
 *                 └── cancel ─▶ cancelled    └── drain ─▶ dropped
 */
enum park_state {
    PARK_QUEUED,
    PARK_RUNNING,
    PARK_COMPLETED,
    PARK_FAILED,
    PARK_CANCELLED,
    PARK_DROPPED
};
#define PARK_STATE_COUNT 6

enum park_reason {
    PARK_REASON_NONE,
    PARK_REASON_ERROR,       /* failed: the work's own error */
    PARK_REASON_CLIENT,      /* cancelled: asked for */
    PARK_REASON_DISCONNECT,  /* cancelled: nobody is left who wants the answer */
    PARK_REASON_SLOW_READER, /* cancelled: events were not read in time */
    PARK_REASON_SHUTDOWN,    /* cancelled: the pool ends */
    PARK_REASON_DRAINING     /* dropped: the pool ends and the work had not started */
};

PARK_API const char *park_state_name(enum park_state state);
PARK_API const char *park_reason_name(enum park_reason reason);

/* What running costs: up to four named counters. Unused dimensions are 0. */
#define PARK_DIMS_MAX 4
struct park_units {
    uint64_t n[PARK_DIMS_MAX];
};

/* Time and randomness, injected so that a pool can run in simulation. */
struct park_env {
    uint64_t (*now_ns)(void *arg); /* monotonic */
    void (*random)(void *arg, void *out, size_t len);
    void *arg;
};

typedef struct park_pool park_pool;
typedef struct park_ticket park_ticket;
typedef struct park_task park_task;
typedef struct park_inbox park_inbox;

struct park_options {
    uint32_t struct_size;
    const char *name;                     /* shown in statistics; copied */
    uint32_t dim_count;                   /* 1..PARK_DIMS_MAX */
    const char *dim_names[PARK_DIMS_MAX]; /* copied */
    struct park_units capacity;           /* each > 0 */
    uint64_t queue_count_max;             /* parked tasks; 0: start now or refuse */
    uint64_t queue_bytes_max;             /* payload bytes of tickets with parked tasks */
    uint64_t running_max;                 /* tasks running at once */
    size_t events_bytes_max;              /* one ticket's ring, headers included */
    struct park_env env;                  /* zeroed: system clock and generator */
};

PARK_API void park_options_init(struct park_options *options);

/*
 * Makes a pool, or fails with *out NULL: INVALID for options out of range, NOMEM.
 * Gives: park_pool_destroy.
 */
PARK_API enum park_err park_pool_create(const struct park_options *options, park_pool **out);

/*
 * Ends the pool. The caller has stopped every thread that takes from it. Parked tickets
 * become dropped, running ones cancelled (reason shutdown); tickets that are still
 * referenced stay readable. Inboxes must be destroyed by their owners, before or after.
 */
PARK_API void park_pool_destroy(park_pool *pool);

/* ---- the submitter's side ---- */

struct park_work {
    uint32_t struct_size;
    /*
     * A ticket has 1..PARK_TASKS_MAX tasks (0 counts as 1) that start one by one, each with
     * the same need; it is accepted or refused as a whole, its tasks count in the queue, it
     * ends when all have ended, and the first that fails cancels the others.
     */
    uint32_t task_count;
    struct park_units need;  /* of a task: booked at its start; not zero everywhere */
    struct park_units limit; /* what it may grow to (park_adjust); zero everywhere: need */
    uint64_t cost;           /* for waiting-time estimates; any scale, used consistently */
    void *payload;           /* handed to the taker */
    size_t payload_bytes;    /* counted against queue_bytes_max while parked */
    /* Called once, outside all locks, when the ticket is terminal and the taker is done. */
    void (*payload_destroy)(void *payload);
    park_inbox *inbox; /* told of events and of the end; NULL: nobody */
    void *user;        /* park_ticket_user */
};

#define PARK_TASKS_MAX 128

/* Why a submission was refused. */
struct park_refusal {
    enum park_err code;
    uint64_t retry_after_ms; /* when it is worth coming back; 0: never */
    uint64_t queue_count;    /* tasks parked now */
    uint32_t dim;            /* OVERSIZE: the dimension, and the two numbers of it */
    uint64_t requested;
    uint64_t available;
};

PARK_API void park_work_init(struct park_work *work);

/*
 * The one atomic decision: the work is queued and a ticket is given, or it is refused
 * (INVALID, OVERSIZE, QUEUE_FULL, DRAINING, NOMEM) and `refusal` (may be NULL) says why.
 * On success the pool takes `payload` and *out holds one reference for the caller
 * (park_ticket_unref). On refusal the payload stays the caller's and *out is NULL.
 *
 * A ticket counts as parked until it is taken. Work that fits now with nothing ahead of
 * it is booked in this call (running) and does not use a place of the queue, so a depth
 * of 0 means: start now or be refused.
 */
PARK_API enum park_err park_submit(park_pool *pool, const struct park_work *work, park_ticket **out,
                                   struct park_refusal *refusal);

PARK_API park_ticket *park_ticket_ref(park_ticket *ticket);
PARK_API void park_ticket_unref(park_ticket *ticket);

/* "tkt_" and 26 characters that carry 128 random bits. Lives as long as the ticket. */
PARK_API const char *park_ticket_id(const park_ticket *ticket);
PARK_API void *park_ticket_user(const park_ticket *ticket);

struct park_status {
    enum park_state state;
    enum park_reason reason;
    uint64_t event_last; /* seq of the newest event, 0: none yet */
    uint64_t position;   /* queued: 1 + tasks ahead; else 0 */
    uint64_t queued_ns;  /* time waited so far, or until the start */
    int error_code;      /* failed: the work's own number and text */
    char error_text[160];
};

PARK_API void park_status(const park_ticket *ticket, struct park_status *out);
PARK_API bool park_state_is_terminal(enum park_state state);

/*
 * Asks for the end. A parked ticket is cancelled at once and never runs. A running one
 * gets its token set, its parked tasks end, and it ends when its taker finishes the others. Idempotent; without effect on a
 * terminal ticket. Touches no other ticket.
 */
PARK_API void park_cancel(park_ticket *ticket, enum park_reason reason);

/* Blocks until the ticket is terminal: OK, or TIMEOUT, which changes nothing. -1: no limit. */
PARK_API enum park_err park_wait(park_ticket *ticket, int64_t timeout_ms);

struct park_event {
    uint64_t seq; /* 1, 2, 3, … without holes */
    uint32_t type;
    uint32_t len;
    const void *data;
};

/*
 * Copies events with seq > after, in order, into `buffer` and points events[0..*count) at
 * them, at most `count_max`. Reading from `after` says that the events up to it are done
 * with: they may be dropped to make room. OK with *count 0: nothing new yet. GAP: events
 * behind the cursor were dropped; *count is 0 and *first is the oldest kept. INVALID: the
 * cursor lies beyond the newest event, or `buffer` cannot hold the next one.
 */
PARK_API enum park_err park_events_read(park_ticket *ticket, uint64_t after, void *buffer,
                                        size_t buffer_size, struct park_event *events,
                                        size_t count_max, size_t *count, uint64_t *first);

/*
 * An inbox tells one consumer thread which tickets have news: an event, or the end. A
 * ticket is listed at most once until it is handed out. One wake-up serves any number.
 */
PARK_API enum park_err park_inbox_create(park_inbox **out);

/* Tickets in it are forgotten; tickets that name it stop telling it. */
PARK_API void park_inbox_destroy(park_inbox *inbox);

/* Becomes readable (poll) when the inbox is not empty; reading is done by park_inbox_next. */
PARK_API int park_inbox_fd(const park_inbox *inbox);

/* The next ticket with news, with a reference for the caller; NULL: none left. */
PARK_API park_ticket *park_inbox_next(park_inbox *inbox);

/* ---- the taker's side: one engine thread for each pool ---- */

/* Tickets to run now, units booked, oldest first; at most `count_max`. Never blocks. */
PARK_API size_t park_take(park_pool *pool, park_task **tasks, size_t count_max);

/*
 * Blocks until there is a reason to look: something can be taken, a running task was
 * cancelled, a full ring has room again, park_wake was called, or the pool is draining and
 * empty. -1: no limit. A reason that came up before the call is not lost.
 */
PARK_API void park_take_wait(park_pool *pool, int64_t timeout_ms);

/* Makes the current or next park_take_wait return. */
PARK_API void park_wake(park_pool *pool);

PARK_API void *park_task_payload(const park_task *task);
PARK_API uint32_t park_task_index(const park_task *task); /* 0..task_count-1 */

/* The taker's own pointer on a task, kept over requeues; NULL at first. */
PARK_API void park_task_set_user(park_task *task, void *user);
PARK_API void *park_task_user(const park_task *task);
PARK_API park_ticket *park_task_ticket(const park_task *task); /* borrowed */

/* One atomic load each; NONE while not cancelled. */
PARK_API bool park_task_cancelled(const park_task *task);
PARK_API enum park_reason park_task_reason(const park_task *task);

/*
 * Appends an event. AGAIN: the ring is full of unread events (or no memory for it now);
 * nothing is lost and nothing changed; try again after park_take_wait. INVALID: larger
 * than a ring can ever hold.
 */
PARK_API enum park_err park_emit(park_task *task, uint32_t type, const void *data, size_t len);

/*
 * Books `total` for a running task in place of what it holds. Shrinking always succeeds and
 * may let others start. Growing: AGAIN if the pool has no room (nothing changed), LIMIT beyond
 * the task's own limit. Growth of running tasks goes before new starts: while a task was
 * refused growth and neither grew, ended nor was requeued since, nothing new starts.
 */
PARK_API enum park_err park_adjust(park_task *task, const struct park_units *total);

/*
 * The task that should give way when growth is refused: the one that started last, but never
 * the oldest running task (so something always finishes), and never one that was requeued
 * PARK_PREEMPTS_MAX times while another can be found. NULL: nobody; wait.
 */
#define PARK_PREEMPTS_MAX 4
PARK_API park_task *park_victim(park_pool *pool);

/*
 * Gives a running task back: its units return, it is parked in front of all that never ran
 * (in the order of submission among its like), keeps its events and its user pointer, and
 * comes back by park_take with `need` booked, once all that it held or was refused is free: the
 * rest of that is kept from new starts until it has grown again, shrinks or ends. Uses no place
 * of the queue and cannot fail. If it was cancelled meanwhile it still comes back by park_take,
 * at once and with nothing booked, and is finished there. Its user pointer is the taker's to
 * release; a taker that stops for good first takes what it requeued (PARK_DRAIN_NOW sends it).
 */
PARK_API void park_requeue(park_task *task);

struct park_outcome {
    enum park_state state; /* COMPLETED, FAILED or CANCELLED */
    int error_code;        /* FAILED */
    const char *error_text;
};

/*
 * Ends the task: units return, what fits next can be taken; with the last task of a ticket
 * the ticket becomes terminal and its inbox is told: FAILED if a task failed, else CANCELLED
 * if one was, else COMPLETED. A task that fails cancels its siblings (token set, reason
 * ERROR; parked ones end at once). The only way units are released. `task` is gone
 * afterwards. A CANCELLED outcome takes the reason of the cancel. Allocates nothing and
 * cannot fail.
 */
PARK_API void park_finish(park_task *task, const struct park_outcome *outcome);

/* ---- operation ---- */

enum park_drain_mode {
    PARK_DRAIN_FINISH_ALL,     /* parked and running work ends by itself */
    PARK_DRAIN_FINISH_RUNNING, /* tickets of which nothing has started are dropped */
    PARK_DRAIN_NOW             /* and running ones are cancelled (reason shutdown) */
};

/*
 * New work is refused from now on. Returns OK once nothing is parked or running, TIMEOUT
 * if that has not come by then (0: look only, do not block; -1: no limit). May be called
 * again; the mode may only become stricter.
 */
PARK_API enum park_err park_drain(park_pool *pool, enum park_drain_mode mode, int64_t timeout_ms);

/* True once draining and nothing is parked or running. */
PARK_API bool park_is_drained(park_pool *pool);

struct park_stats {
    const char *name;
    uint32_t dim_count;
    const char *dim_names[PARK_DIMS_MAX];
    struct park_units capacity;
    struct park_units used;
    struct park_units high_water; /* never above capacity */
    bool draining;

    /* submitted = rejected + queued + running + the four terminal counts, always */
    uint64_t submitted;
    uint64_t rejected;
    uint64_t queued;
    uint64_t running;
    uint64_t completed;
    uint64_t failed;
    uint64_t cancelled;
    uint64_t dropped;

    uint64_t queued_bytes;
    uint64_t queue_count_max;
    uint64_t queue_high_water;
    uint64_t oldest_queued_ns; /* age of the oldest parked ticket, 0: none */
    uint64_t rejected_oversize;
    uint64_t rejected_queue_full;
    uint64_t rejected_draining;
    uint64_t rejected_other;
    uint64_t tasks_queued; /* parked tasks; the requeued ones among them use no place */
    uint64_t tasks_running;
    uint64_t requeues;
    uint64_t events;      /* emitted */
    uint64_t events_full; /* park_emit answered AGAIN */
};

/* One consistent snapshot. The strings live as long as the pool. */
PARK_API void park_stats(park_pool *pool, struct park_stats *out);

/* Aborts if an invariant of the pool does not hold. For tests; O(tickets). */
PARK_API void park_check(park_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
