#ifndef PARK_INT_H
#define PARK_INT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/random.h"
#include "park/park.h"

/* ---- list.c: tasks in order, linked through the tasks themselves ---- */

struct park_list {
    park_task *first;
    park_task *last;
    uint64_t count;
};

/* `after` NULL: in front. */
void park_list_insert(struct park_list *list, park_task *after, park_task *task);
void park_list_push(struct park_list *list, park_task *task);

/* The first task, unlinked; NULL if there is none. */
park_task *park_list_pop(struct park_list *list);
void park_list_remove(struct park_list *list, park_task *task);

/* ---- ring.c: one ticket's events, a ring of bytes; the caller locks ---- */

struct park_ring {
    unsigned char *data; /* [cap]; NULL until the first event */
    size_t bytes_max;    /* cap never grows beyond it */
    size_t cap;
    size_t head;       /* index of the oldest kept record */
    size_t used;       /* bytes of the kept records */
    uint64_t first;    /* seq of the oldest kept event; last + 1 if none is kept */
    uint64_t last;     /* seq of the newest event ever; 0: none yet */
    uint64_t read;     /* events up to here are read and may be dropped */
    size_t read_bytes; /* bytes of the kept records up to `read` */
    size_t wanted;     /* bytes of the record that found no room; 0: none */
};

void park_ring_init(struct park_ring *ring, size_t bytes_max);
void park_ring_fini(struct park_ring *ring);

/* Whether an event of `len` bytes could be held by an empty ring. */
bool park_ring_can_hold(const struct park_ring *ring, size_t len);

/* Appends: OK, AGAIN (full of unread events) or NOMEM (the ring could not grow). */
enum park_err park_ring_push(struct park_ring *ring, uint32_t type, const void *data, size_t len);

/* As park_events_read. OK also marks the events up to `after` as read. */
enum park_err park_ring_read(struct park_ring *ring, uint64_t after, void *buffer,
                             size_t buffer_size, struct park_event *events, size_t count_max,
                             size_t *count);

/* True once after a push was answered AGAIN and reading has made room for that record. */
bool park_ring_room_came(struct park_ring *ring);
void park_ring_check(const struct park_ring *ring);

/* ---- rate.c: how fast cost is worked off, and when to come back ---- */

struct park_rate {
    double cost;    /* finished, weighted by age */
    double busy_s;  /* time with work running, weighted the same way */
    uint64_t at_ns; /* when both were brought up to date */
};

/* Brings the sums up to `now_ns`; `busy`: work was running since the last call. */
void park_rate_advance(struct park_rate *rate, uint64_t now_ns, bool busy);
void park_rate_finished(struct park_rate *rate, uint64_t cost);

/* Cost per second; 0: nothing is known. `running_cost` stands in before the first sample. */
double park_rate_per_s(const struct park_rate *rate, uint64_t running_cost);

/* `base_ms` within bounds and spread by `random`, so that callers do not return in step. */
uint64_t park_retry_after_ms(double base_ms, uint64_t random);

/* ---- pool ---- */

enum park_reject {
    PARK_REJECT_OVERSIZE,
    PARK_REJECT_QUEUE_FULL,
    PARK_REJECT_DRAINING,
    PARK_REJECT_OTHER,
    PARK_REJECT_COUNT
};

struct park_pool {
    /* set at creation, constant afterwards */
    char *name;
    char *dim_names[PARK_DIMS_MAX];
    uint32_t dim_count;
    struct park_units capacity;
    uint64_t queue_count_max;
    uint64_t queue_bytes_max;
    uint64_t running_max;
    size_t events_bytes_max;
    struct base_clock clock;   /* never called under a lock */
    struct base_random random; /* never called under a lock */

    /* any thread */
    atomic_size_t refs;           /* the owner's until park_pool_destroy, and one per ticket */
    atomic_uint_least64_t events; /* emitted */

    /* guards everything below and, in tickets, what is marked "pool lock" */
    struct base_lock lock;
    struct base_cond taker; /* park_take_wait sleeps here */
    struct base_cond empty; /* park_drain sleeps here */

    /* tasks; one list for each phase */
    struct park_list parked;   /* never started; oldest first */
    struct park_list requeued; /* given back by the taker; oldest ticket first */
    struct park_list booked;   /* started, not yet handed over */
    struct park_list running;  /* handed to the taker, in the order of their starts */

    struct park_units used; /* sum of `held` over booked and running */
    struct park_units kept; /* sum of `kept` over the same */
    struct park_units high_water;
    uint64_t refused_count; /* running tasks that were refused growth: nothing new starts */
    uint64_t queued_bytes;  /* payload bytes of tickets with tasks in `parked` */
    uint64_t queued_cost;   /* of queued tickets */
    uint64_t running_cost;  /* of running tickets */
    uint64_t queue_high_water;
    struct park_rate rate;

    bool draining;
    bool news;         /* a reason for the taker to look that no other field shows */
    bool memory_short; /* an event found no memory; the taker looks again soon */

    uint64_t submitted;
    uint64_t rejected[PARK_REJECT_COUNT];
    uint64_t tickets[PARK_STATE_COUNT]; /* queued and running now; ended in each way ever */
    uint64_t accepted;                  /* the last `order` given to a ticket */
    uint64_t requeues;
    uint64_t events_full;
};

void park_pool_ref(park_pool *pool);
void park_pool_unref(park_pool *pool);

static inline uint64_t park_now_ns(const park_pool *pool)
{
    return clock_now_ns(&pool->clock);
}

/* b - a, or 0: two threads read the clock before they take the lock, in either order. */
static inline uint64_t park_elapsed_ns(uint64_t a, uint64_t b)
{
    return b > a ? b - a : 0;
}

/* ---- ticket.c ---- */

/* Where a task is: in which list of its pool. */
enum park_phase {
    PARK_PHASE_NONE, /* in none: new, or ended */
    PARK_PHASE_PARKED,
    PARK_PHASE_REQUEUED,
    PARK_PHASE_BOOKED,
    PARK_PHASE_RUNNING
};

/* What the taker holds. Part of its ticket, the taker's from park_take to park_finish or _requeue. */
struct park_task {
    /* set at submission, constant afterwards */
    park_ticket *ticket;
    uint32_t index;

    /* pool lock */
    enum park_phase phase;
    bool is_refused; /* running: growth was refused, and nothing came of it yet */
    uint32_t requeues;
    struct park_units held; /* booked for it; zero unless booked or running */
    struct park_units kept; /* what it held before a requeue and does not hold yet */
    struct park_units room; /* must be free before it starts; running: what it was refused */
    park_task *prev;
    park_task *next;

    /* the taker */
    void *user;
};

struct park_ticket {
    /* set at submission, constant afterwards */
    park_pool *pool;   /* holds a reference */
    park_inbox *inbox; /* holds a reference; NULL: nobody is told */
    void *user;
    void *payload;
    void (*payload_destroy)(void *payload);
    struct park_units need;  /* of each task */
    struct park_units limit; /* of each task; at least `need`, at most the capacity */
    uint64_t cost;           /* bounded, so that sums cannot wrap */
    size_t payload_bytes;
    uint64_t submitted_ns;
    uint64_t order; /* 1, 2, 3, … in the order of acceptance */
    uint32_t task_count;
    char id[32];

    /* any thread */
    atomic_size_t refs; /* the pool's until terminal, the caller's, one per inbox entry */
    atomic_uint_least64_t event_last; /* written under the events lock */
    atomic_int token;                 /* enum park_reason; written once under the pool lock */

    /* pool lock */
    enum park_state state;
    enum park_reason reason;
    enum park_state outcome; /* the worst end of a task so far; completed at first */
    uint32_t parked_count;   /* tasks in pool->parked */
    uint32_t ended_count;
    uint64_t unparked_ns; /* when its first task started or, without a start, it ended */
    int error_code;       /* of the first task that failed */
    char error_text[160];
    struct base_cond ended; /* park_wait sleeps here, with the pool lock */

    /* events lock */
    struct base_lock events_lock;
    struct park_ring ring;

    /* inbox lock */
    park_ticket *inbox_next;
    bool is_listed;

    struct park_task tasks[]; /* [task_count] */
};

/*
 * A ticket with two references, the pool's and the caller's, none of whose tasks is in a
 * list yet and that does not own the payload until it is queued or running. NULL: no memory.
 */
park_ticket *park_ticket_create(park_pool *pool, const struct park_work *work);

/* Frees a ticket that was refused: nobody else has seen it. The payload is left alone. */
void park_ticket_discard(park_ticket *ticket);

/*
 * What follows the end of a ticket, outside all locks: the payload is destroyed, the inbox
 * told, the pool's reference given back.
 */
void park_ticket_settle(park_ticket *ticket);

/* The same for a list of tickets that have ended; the first task of each stands for it. */
void park_ticket_settle_all(struct park_list *ended);

/* ---- lot.c: places, books and states; every function needs the pool lock ---- */

uint64_t park_lot_running_locked(const park_pool *pool);
bool park_lot_is_empty_locked(const park_pool *pool);

/* How many of `count` new tasks that need `need` each would start now, and in an empty pool. */
uint64_t park_lot_start_count_locked(const park_pool *pool, const struct park_units *need,
                                     uint64_t count);
uint64_t park_lot_start_count_empty(const park_pool *pool, const struct park_units *need,
                                    uint64_t count);

/* Whether `count` tasks of one ticket find places in the queue. */
bool park_lot_has_places_locked(const park_pool *pool, uint64_t count, size_t payload_bytes);

/* The transitions; lot.c has the diagram. The first `start_count` tasks are booked. */
void park_lot_admit_locked(park_pool *pool, park_ticket *ticket, uint64_t start_count,
                           uint64_t now_ns);
park_task *park_lot_hand_over_locked(park_pool *pool, uint64_t now_ns);
enum park_err park_lot_adjust_locked(park_pool *pool, park_task *task,
                                     const struct park_units *total);
void park_lot_requeue_locked(park_pool *pool, park_task *task, uint64_t now_ns);

/* Ends a task. True if its ticket ended with it: then park_ticket_settle must follow. */
bool park_lot_end_locked(park_pool *pool, park_task *task, enum park_state state, uint64_t now_ns);

/*
 * Sets the token of a ticket, unless it is set already: parked tasks end, requeued ones go
 * back to the taker. True if the ticket ended: then park_ticket_settle must follow.
 */
bool park_lot_ask_end_locked(park_pool *pool, park_ticket *ticket, enum park_reason reason,
                             uint64_t now_ns);

/* Ends every queued ticket as dropped and moves it to `ended`. */
void park_lot_drop_queued_locked(park_pool *pool, struct park_list *ended, uint64_t now_ns);

bool park_lot_taker_has_reason_locked(const park_pool *pool);

/* Wakes whom the last change concerns. Every change of the lot is followed by a call. */
void park_lot_announce_locked(park_pool *pool);

/* ---- taker.c ---- */

/* An event found its ring full, or no memory for it. Takes the pool lock. */
void park_taker_note_full(park_pool *pool, bool memory_short);

/* ---- inbox.c ---- */

void park_inbox_ref(park_inbox *inbox);
void park_inbox_unref(park_inbox *inbox);

/* Lists the ticket in its inbox, if it has one and is not listed. Outside all locks. */
void park_inbox_tell(park_ticket *ticket);

/* ---- deadline.c: blocking with a limit, on the system's monotonic clock ---- */

#define PARK_NEVER UINT64_MAX

/* -1: PARK_NEVER; 0: 0, which means "do not block". */
uint64_t park_deadline_ns(int64_t timeout_ms);

/* Waits once. False if the deadline has passed. */
bool park_cond_wait(struct base_cond *cond, struct base_lock *lock, uint64_t deadline_ns);

#endif
