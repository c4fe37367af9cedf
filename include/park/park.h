/*
 * libpark: a bounded parking lot for any kind of work.
 *
 * A submitter hands in work with its class and its cost in units and gets a ticket, or is
 * refused at once with a reason and a time to come back. An engine thread takes what fits now,
 * best first, runs it, emits events and finishes it; or threads of the pool do. Every ticket
 * reaches exactly one terminal state.
 *
 * Threads: every function may be called from any thread unless it says otherwise. No
 * function calls back while it holds a lock of the pool.
 *
 * Time: on the pool's clock (struct park_env). Timers run in every call that changes the pool
 * and in every call that blocks; a loop drives them with park_tick.
 */
#ifndef PARK_PARK_H
#define PARK_PARK_H

#include "park/options.h"
#include "park/stats.h"
#include "park/types.h"

#ifdef __cplusplus
extern "C" {
#endif

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
    size_t payload_bytes;    /* counted against the limits of bytes while parked */
    /* Called once, outside all locks, when the ticket is terminal and the taker is done. */
    void (*payload_destroy)(void *payload);
    park_inbox *inbox; /* told of events and of the end; NULL: nobody */
    void *user;        /* park_ticket_user */

    enum park_class klass;     /* park_work_init: normal */
    const char *tenant;        /* at most PARK_TENANT_BYTES_MAX bytes; NULL: ""; copied */
    uint64_t deadline_ns;      /* on the pool's clock: expired if it has not started; 0: none */
    uint64_t queue_timeout_ms; /* only shorten those of the class and of the pool; 0: those */
    uint64_t run_timeout_ms;
    uint64_t total_timeout_ms;
    park_reservation *reservation; /* used by park_submit, whatever it answers; NULL: none */
    /*
     * It starts only while fewer tickets of its tenant run, and is passed over meanwhile. 0: no
     * limit, nor has a tenant one that has no statistics of its own (options.tenant_count_max).
     */
    uint64_t tenant_running_max;
};

#define PARK_TASKS_MAX 128

/* Why a submission was refused. */
struct park_refusal {
    enum park_err code;
    uint64_t retry_after_ms; /* when it is worth coming back; 0: never */
    uint64_t queue_count;    /* tasks parked now; CLASS_FULL: of the class */
    uint64_t position;       /* the place in the order that it would have had */
    uint32_t dim;            /* OVERSIZE: the dimension, and the two numbers of it */
    uint64_t requested;
    uint64_t available;
};

PARK_API void park_work_init(struct park_work *work);

/* The time on the pool's clock, for deadlines. */
PARK_API uint64_t park_now_ns(const park_pool *pool);

/*
 * Books places in the queue for work that is still to be prepared: its class, task_count,
 * need and payload_bytes are an estimate of it. Refused as park_submit would refuse it, and
 * counted as one of its refusals. Where there is no place but the work and all that was so
 * promised before it would start at once, it is granted without a place. Lapses after
 * options.reserve_ms: the places go, the handle stays.
 * Gives: park_unreserve, or park_submit by work.reservation.
 */
PARK_API enum park_err park_reserve(park_pool *pool, const struct park_work *estimate,
                                    park_reservation **out, struct park_refusal *refusal);
PARK_API void park_unreserve(park_reservation *reservation);

/*
 * The one atomic decision: the work is queued and a ticket is given, or it is refused and
 * `refusal` (may be NULL) says why. Checked in this order: DRAINING, NOT_READY; INVALID;
 * OVERSIZE; DEADLINE; CLASS_FULL; QUEUE_FULL; NOMEM. On success the pool takes `payload` and
 * *out holds one reference for the caller (park_ticket_unref). On refusal the payload stays
 * the caller's and *out is NULL.
 *
 * A ticket counts as parked until it is taken. Work that fits now and goes before all that
 * waits is booked in this call (running) and does not use a place of the queue, so a depth
 * of 0 means: start now or be refused.
 */
PARK_API enum park_err park_submit(park_pool *pool, const struct park_work *work, park_ticket **out,
                                   struct park_refusal *refusal);

PARK_API park_ticket *park_ticket_ref(park_ticket *ticket);
PARK_API void park_ticket_unref(park_ticket *ticket);

/* "tkt_" and 26 characters that carry 128 random bits. Lives as long as the ticket. */
PARK_API const char *park_ticket_id(const park_ticket *ticket);
PARK_API void *park_ticket_user(const park_ticket *ticket);

/*
 * The ticket of this id, with a reference for the caller. NOT_FOUND: none, or not this
 * tenant's. GONE: it has ended and left the store (options.result_count_max).
 */
PARK_API enum park_err park_find(park_pool *pool, const char *tenant, const char *id,
                                 park_ticket **out);

struct park_status {
    enum park_state state;
    enum park_reason reason;
    uint64_t event_last; /* seq of the newest event, 0: none yet */
    uint64_t position;   /* queued: 1 + tasks ahead; else 0 */
    uint64_t queued_ns;  /* time waited so far, or until the start */
    int error_code;      /* failed: the work's own number and text */
    char error_text[160];

    enum park_class klass;
    uint64_t eta_ms;         /* queued: estimate of the wait that is left; 0: nothing is known */
    uint64_t run_ns;         /* time since the first start, or from it to the end */
    uint64_t retry_after_ms; /* dropped, or expired while it waited: when to try again; else 0 */
};

PARK_API void park_status(const park_ticket *ticket, struct park_status *out);

/*
 * Asks for the end. A parked ticket is cancelled at once and never runs. A running one gets
 * its token set, its parked tasks end, and it ends when its taker finishes the others, but
 * after options.cancel_grace_ms in any case. Idempotent; without effect on a terminal ticket.
 * Touches no other ticket. `reason` is one of those of cancelled.
 */
PARK_API void park_cancel(park_ticket *ticket, enum park_reason reason);

/* Blocks until the ticket is terminal: OK, or TIMEOUT, which changes nothing. -1: no limit. */
PARK_API enum park_err park_wait(park_ticket *ticket, int64_t timeout_ms);

/*
 * What task `index` left behind, any number of times and for any number of readers. AGAIN:
 * the ticket has not ended. NOT_FOUND: the task left nothing. GONE: it left the store.
 * Gives: park_result_unref.
 */
PARK_API enum park_err park_result(park_ticket *ticket, uint32_t index, struct park_result **out);
PARK_API const void *park_result_data(const struct park_result *result, size_t *bytes);
PARK_API void park_result_unref(struct park_result *result);

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

/* ---- the taker's side: one engine thread for each pool without threads of its own ---- */

/*
 * Tasks to run now, units booked, best first; at most `count_max`. Never blocks. Pull mode.
 * The order: the highest class; in it what was given back, then the earliest due, then the
 * oldest. One start in every aging_share goes to the oldest aged task instead, while one waits
 * behind a better class. The first in this order that does not fit holds all others back.
 */
PARK_API size_t park_take(park_pool *pool, park_task **tasks, size_t count_max);

/*
 * Blocks until there is a reason to look: something can be taken, a running task was
 * cancelled, a full ring has room again, park_wake was called, or the pool is draining and
 * empty. -1: no limit. A reason that came up before the call is not lost.
 */
PARK_API void park_take_wait(park_pool *pool, int64_t timeout_ms);

/* Makes the current or next park_take_wait return. */
PARK_API void park_wake(park_pool *pool);

/*
 * Runs the timers that are due. Returns the time of the next one on the pool's clock,
 * UINT64_MAX: there is none. For a loop, so that nobody else has to look in time.
 */
PARK_API uint64_t park_tick(park_pool *pool);

PARK_API void *park_task_payload(const park_task *task);
PARK_API uint32_t park_task_index(const park_task *task); /* 0..task_count-1 */
PARK_API enum park_class park_task_class(const park_task *task);

/* The taker's own pointer on a task, kept over requeues; NULL at first. */
PARK_API void park_task_set_user(park_task *task, void *user);
PARK_API void *park_task_user(const park_task *task);
PARK_API park_ticket *park_task_ticket(const park_task *task); /* borrowed */

/* One atomic load each; NONE while not cancelled. */
PARK_API bool park_task_cancelled(const park_task *task);
PARK_API enum park_reason park_task_reason(const park_task *task);

/*
 * Blocks the task's own thread until the task is cancelled, an event of its ticket that found
 * the ring full has room, or the time is up (TIMEOUT). -1: no limit.
 */
PARK_API enum park_err park_task_wait(park_task *task, int64_t timeout_ms);

/*
 * Appends an event. AGAIN: the ring is full of unread events (or no memory for it now);
 * nothing is lost and nothing changed; try again after park_take_wait, in thread mode after
 * park_task_wait. INVALID: larger than a ring can ever hold. The events of a task whose ticket
 * has ended (cancel_grace_ms) are thrown away: OK.
 */
PARK_API enum park_err park_emit(park_task *task, uint32_t type, const void *data, size_t len);

/*
 * Books `total` for a running task in place of what it holds. Shrinking always succeeds and
 * may let others start. Growing: AGAIN if the pool has no room (nothing changed), LIMIT beyond
 * the task's own limit or the pool's capacity. Growth of running tasks goes before new starts:
 * while a task was refused growth and neither grew, ended nor was requeued since, nothing new
 * starts.
 */
PARK_API enum park_err park_adjust(park_task *task, const struct park_units *total);

/*
 * The task that should give way when growth is refused: of the lowest class that runs, the one
 * that started last, but never the oldest of the highest (so something always finishes), and
 * never one that was requeued PARK_PREEMPTS_MAX times while another can be found. NULL:
 * nobody; wait.
 */
#define PARK_PREEMPTS_MAX 4
PARK_API park_task *park_victim(park_pool *pool);

/*
 * The running task of class low that should give way to a start of class critical or high that
 * is next and does not fit: the one that started last. NULL: nobody; also while no requeue of
 * such tasks would make it fit. For the taker, at most once in a step, before park_take.
 */
PARK_API park_task *park_outranked(park_pool *pool);

/*
 * Gives a running task back: its units return, it is parked in front of all of its class that
 * never ran (in the order of submission among its like), keeps its events and its user
 * pointer, and comes back by park_take with `need` booked, once all that it held or was
 * refused is free: the rest of that is kept from new starts until it has grown again, shrinks
 * or ends. Uses no place of the queue and cannot fail; its time in the queue is not limited
 * again. If it was cancelled meanwhile it still comes back by park_take, at once and with
 * nothing booked, and is finished there. Its user pointer is the taker's to release; a taker
 * that stops for good first takes what it requeued (PARK_DRAIN_NOW sends it).
 */
PARK_API void park_requeue(park_task *task);

struct park_outcome {
    enum park_state state; /* COMPLETED, FAILED or CANCELLED */
    int error_code;        /* FAILED */
    const char *error_text;
    void *result;                         /* what park_result gives; NULL: nothing; taken */
    size_t result_bytes;                  /* counted against options.result_bytes_max */
    void (*result_destroy)(void *result); /* called once, outside all locks */
};

/*
 * Ends the task: units return, what fits next can be taken; with the last task of a ticket
 * the ticket becomes terminal and its inbox is told: FAILED if a task failed, else as it was
 * asked to end if a task did not complete, else COMPLETED. A failure of a ticket that was
 * asked to end counts as the end that was asked for. A task that fails cancels its siblings
 * (token set, reason ERROR; parked ones end at once). The only way units are released. `task`
 * is gone afterwards. A CANCELLED outcome takes state and reason of what asked for the end.
 * Allocates nothing and cannot fail.
 */
PARK_API void park_finish(park_task *task, const struct park_outcome *outcome);

/* ---- operation ---- */

/* Accepts and parks, but starts nothing; times go on. */
PARK_API void park_pause(park_pool *pool);
PARK_API void park_resume(park_pool *pool);

enum park_drain_mode {
    PARK_DRAIN_FINISH_ALL,     /* parked and running work ends by itself */
    PARK_DRAIN_FINISH_RUNNING, /* tickets of which nothing has started are dropped */
    PARK_DRAIN_NOW             /* and running ones are cancelled (reason shutdown) */
};

/*
 * New work is refused from now on. Returns OK once nothing is parked or running, nor holds
 * units, TIMEOUT if that has not come by then (0: look only, do not block; -1: no limit). May
 * be called again; the mode may only become stricter.
 */
PARK_API enum park_err park_drain(park_pool *pool, enum park_drain_mode mode, int64_t timeout_ms);

/*
 * Begins a drain that finishes what runs, but becomes PARK_DRAIN_NOW after `after_ms`. Does not
 * block: park_drain waits. A second time may only come earlier.
 */
PARK_API void park_drain_cancel_after(park_pool *pool, uint64_t after_ms);

/* True once draining and nothing is parked or running, nor holds units. */
PARK_API bool park_is_drained(park_pool *pool);

/* Aborts if an invariant of the pool does not hold. For tests; O(tickets). */
PARK_API void park_check(park_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
