#ifndef PARK_STATE_H
#define PARK_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/random.h"
#include "base/thread.h"
#include "park/list.h"
#include "park/park.h"
#include "park/rate.h"
#include "park/ring.h"
#include "park/tree.h"

#define PARK_NEVER UINT64_MAX

/* ---- what a pool is made of ---- */

enum park_timer_kind {
    PARK_TIMER_TICKET,
    PARK_TIMER_RESERVATION,
    PARK_TIMER_RESULTS,    /* the oldest kept ticket leaves */
    PARK_TIMER_TOMBSTONES, /* the oldest tombstone goes */
    PARK_TIMER_DRAIN       /* what runs is cancelled */
};

struct park_timer {
    struct park_node node; /* in pool->timers while `is_set`; its key is the time */
    enum park_timer_kind kind;
    bool is_set;
};

/* What parked tasks and reservations use of the queue. */
struct park_places {
    uint64_t count;
    uint64_t bytes;
    struct park_units units;
};

/* What the pool keeps for one class. */
struct park_lane {
    struct park_tree parked;     /* tickets with parked tasks by (due, order) */
    park_ticket *oldest;         /* the same by order, linked by `older` and `younger` */
    park_ticket *youngest;       /* */
    struct park_list requeued;   /* tasks that were given back, by (order, index) */
    uint64_t parked_count;       /* tasks */
    struct park_places places;   /* of the parked tasks and of what is reserved */
    struct park_places reserved; /* the latter */
    struct park_units used;      /* sum of `held` over booked and running tasks */
    struct park_counts counts;
    uint64_t aged;
    struct park_histogram wait;
    struct park_histogram run;
};

enum park_reject {
    PARK_REJECT_OVERSIZE,
    PARK_REJECT_QUEUE_FULL,
    PARK_REJECT_CLASS_FULL,
    PARK_REJECT_DRAINING,
    PARK_REJECT_DEADLINE,
    PARK_REJECT_NOT_READY,
    PARK_REJECT_OTHER,
    PARK_REJECT_COUNT
};

/* results.c: what has an id, while it lives, while it is kept, and as a tombstone. */
struct park_record {
    park_ticket *ticket; /* NULL: a tombstone */
    uint64_t gone_ns;
    struct park_record *chain; /* of its bucket */
    struct park_record *next;  /* tombstones, oldest first */
    char id[32];
    char tenant[PARK_TENANT_BYTES_MAX + 1];
};

struct park_index {
    struct park_record **buckets; /* [bucket_count], a power of two */
    uint64_t bucket_count;
};

struct park_store {
    park_ticket *oldest; /* kept tickets, linked by kept_next; one reference each */
    park_ticket *newest;
    uint64_t count;
    uint64_t bytes;
    struct park_timer timer;
    struct park_record *tombstone_oldest;
    struct park_record *tombstone_newest;
    uint64_t tombstone_count;
    struct park_timer tombstone_timer;
};

/* tenant.c: a tenant with statistics of its own. */
struct park_tenant {
    char name[PARK_TENANT_BYTES_MAX + 1];
    struct park_counts counts;
    uint64_t live_count;       /* tickets that are not terminal */
    struct park_tenant *chain; /* of its bucket */
    struct park_tenant *prev;  /* by last use, oldest first */
    struct park_tenant *next;
};

struct park_tenants {
    struct park_tenant *entries;  /* [count_max] */
    struct park_tenant **buckets; /* [bucket_count], a power of two */
    uint64_t bucket_count;
    uint64_t count_max;
    uint64_t count;
    struct park_tenant *oldest;
    struct park_tenant *newest;
    struct park_tenant others;
};

struct park_audit_ring {
    struct park_audit *records; /* [count_max]; record seq at (seq - 1) % count_max */
    uint64_t count_max;
    uint64_t last;
};

struct park_worker {
    struct base_thread thread;
    park_pool *pool;
    park_task *task; /* the last that it ran. The worker's own */
    bool is_started; /* pool lock: there is a thread to join */
    bool is_dead;    /* pool lock: its thread ended under a task */
};

struct park_crew {
    /* set at creation, constant afterwards */
    int (*run)(park_task *task, void *arg);
    void *run_arg;
    struct park_worker *workers; /* [count] */
    uint32_t count;              /* 0: pull mode */

    uint32_t live_count;  /* pool lock */
    uint64_t death_count; /* pool lock */
    bool is_stopping;     /* pool lock */
    struct base_thread keeper;
    struct base_cond changed; /* the keeper sleeps here, with the pool lock */
};

struct park_pool {
    /* set at creation, constant afterwards; the strings are copies */
    char *name;
    char *dim_names[PARK_DIMS_MAX];
    uint32_t dim_count;
    struct base_clock clock;   /* never called under a lock */
    struct base_random random; /* never called under a lock */

    /* any thread */
    atomic_size_t refs;           /* the owner's until park_pool_destroy, and one per ticket */
    atomic_uint_least64_t events; /* emitted */

    /* guards everything below and, in tickets, what is marked "pool lock" */
    struct base_lock lock;
    struct base_cond taker; /* park_take_wait and workers sleep here */
    struct base_cond empty; /* park_drain sleeps here */

    struct park_options options; /* its pointers are not used but for `run` and `timer_moved` */
    uint64_t now_ns;             /* the greatest time that was seen */

    struct park_lane lanes[PARK_CLASS_COUNT];
    struct park_list booked;  /* started, not yet handed over */
    struct park_list running; /* handed to the taker, in the order of their starts */

    struct park_units used; /* sum of `held` over booked and running */
    struct park_units kept; /* sum of `kept` over the same */
    struct park_units high_water;
    struct park_places places;   /* sum over the lanes */
    uint64_t parked_count;       /* sum over the lanes */
    uint64_t requeued_count;     /* sum over the lanes */
    struct park_places reserved; /* sum over the lanes */
    uint64_t unsecured_count;    /* tasks of reservations that got no place */
    uint64_t refused_count;      /* running tasks that were refused growth: nothing new starts */
    uint64_t passed_over;        /* starts since the oldest aged task had one, while it waited */
    uint64_t queued_cost;        /* of queued tickets */
    uint64_t running_cost;       /* of running tickets */
    uint64_t queue_high_water;
    struct park_rate rate;

    struct park_tree timers;
    uint64_t timer_count;    /* timers set so far: their order */
    uint64_t timer_told_ns;  /* the next timer as park_tick last returned it */
    uint64_t timer_slept_ns; /* the next timer when somebody last went to sleep */
    struct park_timer drain_timer;

    struct park_index index;
    struct park_store store;
    struct park_tenants tenants;
    struct park_audit_ring audit;
    struct park_crew crew;

    bool is_paused;
    bool draining;
    bool news;         /* a reason for the taker to look that no other field shows */
    bool memory_short; /* an event found no memory; the taker looks again soon */

    uint64_t submitted;
    uint64_t rejected[PARK_REJECT_COUNT];
    uint64_t tickets[PARK_STATE_COUNT]; /* queued and running now; ended in each way ever */
    uint64_t zombies;
    uint64_t late_finishes;
    uint64_t growth_limited;
    uint64_t accepted; /* the last `order` given to a ticket */
    uint64_t requeues;
    uint64_t events_full;
};

/* ---- a ticket and its tasks ---- */

/* Where a task is. */
enum park_phase {
    PARK_PHASE_NONE, /* new, or ended */
    PARK_PHASE_PARKED,
    PARK_PHASE_REQUEUED,
    PARK_PHASE_BOOKED,
    PARK_PHASE_RUNNING
};

/* What a task left behind. Lives in the task; `refs` is what the data waits for. */
struct park_result {
    park_ticket *ticket;
    void *data;
    size_t bytes;
    void (*destroy)(void *data);
    bool is_dropped;    /* by the ticket: written by whoever settles it */
    atomic_size_t refs; /* the ticket's until it leaves the store, one per reader */
};

/* What the taker holds. Part of its ticket, the taker's from park_take to park_finish or _requeue. */
struct park_task {
    /* set at submission, constant afterwards */
    park_ticket *ticket;
    uint32_t index;

    /* pool lock */
    enum park_phase phase;
    bool is_refused; /* running: growth was refused, and nothing came of it yet */
    bool has_room;   /* the ring has, since its last park_task_wait */
    uint32_t requeues;
    struct park_units held; /* booked for it; zero unless booked or running */
    struct park_units kept; /* what it held before a requeue and does not hold yet */
    struct park_units room; /* must be free before it starts; running: what it was refused */
    park_task *prev;
    park_task *next;
    struct park_result result; /* constant once the ticket is terminal */

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
    enum park_class klass;
    struct park_units need;  /* of each task */
    struct park_units limit; /* of each task; at least `need`, at most the capacity then */
    uint64_t cost;           /* bounded, so that sums cannot wrap */
    size_t payload_bytes;
    uint64_t submitted_ns;
    uint64_t deadline_ns;  /* the client's; 0: none */
    uint64_t queue_end_ns; /* when its time in the queue is over; PARK_NEVER: never */
    uint64_t total_end_ns;
    uint64_t run_timeout_ns;     /* PARK_NEVER: none */
    uint64_t order;              /* 1, 2, 3, … in the order of acceptance */
    uint64_t tenant_running_max; /* 0: no limit */
    uint32_t task_count;
    char id[32];

    /* any thread */
    atomic_size_t refs; /* the pool's while tasks are left, the store's, the callers', … */
    atomic_uint_least64_t event_last; /* written under the events lock */
    atomic_int token;                 /* enum park_reason; written once under the pool lock */

    /* pool lock */
    enum park_state state;
    enum park_reason reason;
    enum park_state outcome; /* the worst end of a task so far; completed at first */
    uint32_t parked_count;   /* parked tasks: the last ones of `tasks` */
    uint32_t ended_count;
    bool is_kept;             /* in the store */
    bool is_gone;             /* was in the store */
    uint64_t started_ns;      /* when its first task started; PARK_NEVER: none did */
    uint64_t token_ns;        /* when its end was asked for */
    uint64_t ended_ns;        /* terminal since */
    int error_code;           /* of the first task that failed */
    enum park_reason failure; /* of that task */
    char error_text[160];
    struct park_node node; /* in lane->parked while it has parked tasks */
    park_ticket *older;    /* by order, in the same lane */
    park_ticket *younger;
    struct park_timer timer;
    struct park_record *record; /* in the index; NULL: not any more */
    struct park_tenant *tenant;
    size_t kept_bytes;
    park_ticket *kept_next;
    struct base_cond changed; /* sleepers on this ticket, with the pool lock */

    /* the pass that ended it */
    park_ticket *told_next;
    park_ticket *released_next;
    park_ticket *left_next;

    /* events lock */
    struct base_lock events_lock;
    struct park_ring ring;
    bool is_silent; /* it ended before its tasks: their events go nowhere */

    /* inbox lock */
    park_ticket *inbox_next;
    bool is_listed;

    struct park_task tasks[]; /* [task_count] */
};

struct park_reservation {
    park_pool *pool; /* holds a reference */
    enum park_class klass;

    /* pool lock */
    struct park_places places; /* what it holds of the queue; zero: nothing, or not any more */
    uint64_t unsecured_count;
    struct park_timer timer;
};

#endif
