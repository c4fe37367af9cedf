/* libpark: what a pool counts, and what it remembers of what it did. Any thread. */
#ifndef PARK_STATS_H
#define PARK_STATS_H

#include "park/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Times: bucket 0 counts those below 1 ms, bucket i those below 2^i ms, the last one the rest. */
#define PARK_BUCKETS 22
struct park_histogram {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t buckets[PARK_BUCKETS];
};

/* Tickets: submitted = rejected + queued + running + the five terminal counts, always. */
struct park_counts {
    uint64_t submitted;
    uint64_t rejected;
    uint64_t queued;
    uint64_t running;
    uint64_t completed;
    uint64_t failed;
    uint64_t cancelled;
    uint64_t dropped;
    uint64_t expired;
};

struct park_class_stats {
    struct park_counts counts;
    uint64_t tasks_queued; /* parked and requeued */
    uint64_t queued_bytes;
    uint64_t aged; /* starts that an aged task got before a better class */
    struct park_units queued_units;
    struct park_units used;
    struct park_histogram wait; /* tickets: submission to first start, or to an end without one */
    struct park_histogram run;  /* tickets: first start to end */
};

struct park_stats {
    const char *name;
    uint32_t dim_count;
    const char *dim_names[PARK_DIMS_MAX];
    struct park_units capacity;
    struct park_units used;
    struct park_units
        high_water; /* never above capacity, once what ran above a smaller one ended */
    bool draining;

    /* the sums of struct park_counts over the classes */
    uint64_t submitted;
    uint64_t rejected;
    uint64_t queued;
    uint64_t running;
    uint64_t completed;
    uint64_t failed;
    uint64_t cancelled;
    uint64_t dropped;
    uint64_t expired;

    uint64_t queued_bytes;
    uint64_t queue_count_max;
    uint64_t queue_high_water;
    uint64_t oldest_queued_ns; /* age of the oldest parked ticket, 0: none */
    uint64_t rejected_oversize;
    uint64_t rejected_queue_full;
    uint64_t rejected_class_full;
    uint64_t rejected_draining;
    uint64_t rejected_deadline;
    uint64_t rejected_not_ready;
    uint64_t rejected_other;
    uint64_t tasks_queued; /* parked tasks; the requeued ones among them use no place */
    uint64_t tasks_running;
    uint64_t requeues;
    uint64_t events;      /* emitted */
    uint64_t events_full; /* park_emit answered AGAIN */

    bool paused;
    uint32_t worker_count;   /* threads of the pool that live now */
    uint64_t worker_deaths;  /* threads that a task ended */
    uint64_t reserved;       /* places of the queue that are reserved now */
    uint64_t growth_limited; /* park_adjust answered LIMIT */
    uint64_t zombies;        /* tickets that have ended and whose tasks still hold units */
    uint64_t late_finishes;  /* tasks that finished after their ticket had ended */
    uint64_t results;        /* kept now */
    uint64_t result_bytes;
    uint64_t tombstones;
    uint64_t audit_last; /* seq of the newest record */
    struct park_class_stats classes[PARK_CLASS_COUNT];
};

/* One consistent snapshot. The strings live as long as the pool. */
PARK_API void park_stats(park_pool *pool, struct park_stats *out);

/* A tenant is whose work it is: a short name. */
#define PARK_TENANT_BYTES_MAX 63

struct park_tenant_stats {
    char name[PARK_TENANT_BYTES_MAX + 1]; /* "" first: all that have no entry of their own */
    struct park_counts counts;
};

/*
 * The tenants, most submissions first after the entry of all others; at most `count_max`.
 * Returns how many were written.
 */
PARK_API size_t park_tenants(park_pool *pool, struct park_tenant_stats *out, size_t count_max);

/* ---- audit: every change of a ticket and of the pool ---- */

enum park_audit_event {
    PARK_AUDIT_SUBMIT, /* accepted; `to` says queued or running */
    PARK_AUDIT_REJECT, /* `err` says why; no ticket */
    PARK_AUDIT_START,  /* units booked */
    PARK_AUDIT_ADJUST, /* units changed */
    PARK_AUDIT_REQUEUE,
    PARK_AUDIT_CANCEL_REQUEST, /* the token of a running ticket was set */
    PARK_AUDIT_END,            /* of a ticket; `to` and `reason` say how */
    PARK_AUDIT_LATE_FINISH,
    PARK_AUDIT_WORKER_EXIT,
    PARK_AUDIT_PAUSE,
    PARK_AUDIT_RESUME,
    PARK_AUDIT_DRAIN,
    PARK_AUDIT_RECONFIGURE
};
#define PARK_AUDIT_EVENT_COUNT 13

PARK_API const char *park_audit_event_name(enum park_audit_event event);

/* No padding, unused bytes zero: the same history gives the same bytes. */
struct park_audit {
    uint64_t seq;     /* 1, 2, 3, … without holes */
    uint64_t time_ns; /* the pool's clock */
    uint64_t wait_ns; /* of the ticket, so far or in all */
    uint64_t run_ns;
    struct park_units units; /* START, ADJUST: held by the task; REJECT: asked for by each */
    uint16_t event;          /* enum park_audit_event */
    uint16_t klass;          /* enum park_class */
    uint16_t from;           /* enum park_state */
    uint16_t to;
    uint16_t reason; /* enum park_reason */
    int16_t err;     /* enum park_err, of REJECT */
    uint32_t task;   /* index, of START, ADJUST, REQUEUE and LATE_FINISH */
    char ticket[32]; /* "" where there is none */
    char tenant[PARK_TENANT_BYTES_MAX + 1];
};

/*
 * Copies the records with seq > after, in order, at most `count_max`. GAP: records behind the
 * cursor were overwritten; *count is 0 and *first (may be NULL) is the oldest kept. INVALID:
 * the cursor lies beyond the newest record.
 */
PARK_API enum park_err park_audit_read(park_pool *pool, uint64_t after, struct park_audit *records,
                                       size_t count_max, size_t *count, uint64_t *first);

#ifdef __cplusplus
}
#endif

#endif
