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

/* ---- list.c: tickets in order, linked through the tickets themselves ---- */

struct park_list {
    park_ticket *first;
    park_ticket *last;
    uint64_t count;
};

void park_list_push(struct park_list *list, park_ticket *ticket);

/* The first ticket, unlinked; NULL if there is none. */
park_ticket *park_list_pop(struct park_list *list);
void park_list_remove(struct park_list *list, park_ticket *ticket);

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

    struct park_list parked;  /* queued, oldest first */
    struct park_list booked;  /* running by their state, not yet handed over */
    struct park_list running; /* handed to the taker */
    struct park_units used;   /* sum over booked and running */
    struct park_units high_water;
    uint64_t queued_bytes; /* payload bytes of parked */
    uint64_t queued_cost;
    uint64_t running_cost; /* of booked and running */
    uint64_t queue_high_water;
    struct park_rate rate;

    bool draining;
    bool news;         /* a reason for the taker to look that no other field shows */
    bool memory_short; /* an event found no memory; the taker looks again soon */

    uint64_t submitted;
    uint64_t rejected[PARK_REJECT_COUNT];
    uint64_t ended[PARK_STATE_COUNT]; /* by terminal state */
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

/* What the taker holds. Part of its ticket, valid from park_take to park_finish. */
struct park_task {
    park_ticket *ticket;
    void *payload;
    void (*payload_destroy)(void *payload);
    atomic_int token; /* enum park_reason; written once under the pool lock, read by anyone */
};

struct park_ticket {
    /* set at submission, constant afterwards */
    park_pool *pool;   /* holds a reference */
    park_inbox *inbox; /* holds a reference; NULL: nobody is told */
    void *user;
    struct park_units need;
    uint64_t cost; /* bounded, so that sums cannot wrap */
    size_t payload_bytes;
    uint64_t submitted_ns;
    char id[32];

    /* any thread */
    atomic_size_t refs; /* the pool's until terminal, the caller's, one per inbox entry */
    atomic_uint_least64_t event_last; /* written under the events lock */

    /* pool lock */
    enum park_state state;
    enum park_reason reason;
    bool is_handed;       /* running: in pool->running, else in pool->booked */
    uint64_t unparked_ns; /* when it started or, without a start, ended */
    park_ticket *prev;
    park_ticket *next;
    int error_code;
    char error_text[160];
    struct base_cond ended; /* park_wait sleeps here, with the pool lock */

    /* events lock */
    struct base_lock events_lock;
    struct park_ring ring;

    /* inbox lock */
    park_ticket *inbox_next;
    bool is_listed;

    /* the taker's from park_take to park_finish; else the one's who ends the ticket */
    struct park_task task;
};

/*
 * A ticket with two references, the pool's and the caller's, that is in no list yet and
 * does not own the payload until it is queued or running. NULL: no memory.
 */
park_ticket *park_ticket_create(park_pool *pool, const struct park_work *work);

/* Frees a ticket that was refused: nobody else has seen it. The payload is left alone. */
void park_ticket_discard(park_ticket *ticket);

/*
 * What follows the end of a ticket, outside all locks: the payload is destroyed, the inbox
 * told, the pool's reference given back.
 */
void park_ticket_settle(park_ticket *ticket);
void park_ticket_settle_all(struct park_list *ended);

/* ---- lot.c: places, books and states; every function needs the pool lock ---- */

bool park_lot_fits_locked(const park_pool *pool, const struct park_units *need);
bool park_lot_has_place_locked(const park_pool *pool, size_t payload_bytes);
uint64_t park_lot_running_locked(const park_pool *pool);
bool park_lot_is_empty_locked(const park_pool *pool);

/* The transitions; lot.c has the diagram. */
void park_lot_park_locked(park_pool *pool, park_ticket *ticket);
void park_lot_book_locked(park_pool *pool, park_ticket *ticket, uint64_t now_ns);
park_ticket *park_lot_hand_over_locked(park_pool *pool, uint64_t now_ns);
void park_lot_end_locked(park_pool *pool, park_ticket *ticket, enum park_state state,
                         enum park_reason reason, uint64_t now_ns);

/* Sets the token of a running ticket, unless it is set already. */
void park_lot_ask_end_locked(park_pool *pool, park_ticket *ticket, enum park_reason reason);

/* Ends every parked ticket as dropped and moves it to `ended`. */
void park_lot_drop_parked_locked(park_pool *pool, struct park_list *ended, uint64_t now_ns);

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
