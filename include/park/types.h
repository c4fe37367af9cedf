/* libpark: what all its headers speak of: results of calls, states, classes, units. */
#ifndef PARK_TYPES_H
#define PARK_TYPES_H

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
    PARK_E_OVERSIZE = -101,   /* more units than the class may ever have: can never run */
    PARK_E_QUEUE_FULL = -102, /* no place to wait, by count, bytes or units */
    PARK_E_DRAINING = -103,   /* the pool takes no new work */
    PARK_E_GAP = -104,        /* what lies behind the cursor is gone */
    PARK_E_LIMIT = -105,      /* a task may not grow beyond its limit */
    PARK_E_DEADLINE = -106,   /* the deadline has passed before the work came */
    PARK_E_CLASS_FULL = -107, /* no place to wait in its class */
    PARK_E_NOT_READY = -108,  /* the pool is disabled: it has no capacity now */
    PARK_E_GONE = -109        /* was there once: a result that left the store */
};

/* The text of an error, for people. Never NULL. */
PARK_API const char *park_strerror(enum park_err err);

/*
 *   submit ──▶ queued ──take──▶ running ──finish──▶ completed | failed | cancelled
 *                 │                └── its time is over ──▶ expired
 *                 └── cancel ─▶ cancelled   ── time ─▶ expired   ── drain, no room ─▶ dropped
 */
enum park_state {
    PARK_QUEUED,
    PARK_RUNNING,
    PARK_COMPLETED,
    PARK_FAILED,
    PARK_CANCELLED,
    PARK_DROPPED,
    PARK_EXPIRED
};
#define PARK_STATE_COUNT 7

enum park_reason {
    PARK_REASON_NONE,
    PARK_REASON_ERROR,          /* failed: the work's own error */
    PARK_REASON_CLIENT,         /* cancelled: asked for */
    PARK_REASON_DISCONNECT,     /* cancelled: nobody is left who wants the answer */
    PARK_REASON_SLOW_READER,    /* cancelled: events were not read in time */
    PARK_REASON_SHUTDOWN,       /* cancelled: the pool ends */
    PARK_REASON_DRAINING,       /* dropped: the pool ends and the work had not started */
    PARK_REASON_QUEUE_TIMEOUT,  /* expired: waited longer than it may */
    PARK_REASON_DEADLINE,       /* expired: its deadline passed before it started */
    PARK_REASON_RUN_TIMEOUT,    /* expired: ran longer than it may */
    PARK_REASON_NO_LONGER_FITS, /* dropped: the pool became too small for it */
    PARK_REASON_WORKER_DIED     /* failed: its thread ended under it */
};
#define PARK_REASON_COUNT 12

PARK_API const char *park_state_name(enum park_state state);
PARK_API const char *park_reason_name(enum park_reason reason);
PARK_API bool park_state_is_terminal(enum park_state state);

/* From the first to be served to the last. */
enum park_class {
    PARK_CLASS_CRITICAL,
    PARK_CLASS_HIGH,
    PARK_CLASS_NORMAL,
    PARK_CLASS_LOW
};
#define PARK_CLASS_COUNT 4

PARK_API const char *park_class_name(enum park_class klass);

/* What running costs: up to four named counters. Unused dimensions are 0. */
#define PARK_DIMS_MAX 4
struct park_units {
    uint64_t n[PARK_DIMS_MAX];
};

typedef struct park_pool park_pool;
typedef struct park_ticket park_ticket;
typedef struct park_task park_task;
typedef struct park_inbox park_inbox;
typedef struct park_reservation park_reservation;
struct park_result; /* no typedef: park_result is a function */

#ifdef __cplusplus
}
#endif

#endif
