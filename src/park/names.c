#include "park/park_int.h"

#include "base/err.h"

_Static_assert((int)PARK_OK == (int)OK, "one table of errors");
_Static_assert((int)PARK_E_NOMEM == (int)E_NOMEM, "one table of errors");
_Static_assert((int)PARK_E_INVALID == (int)E_INVALID, "one table of errors");
_Static_assert((int)PARK_E_TIMEOUT == (int)E_TIMEOUT, "one table of errors");
_Static_assert((int)PARK_E_CLOSED == (int)E_CLOSED, "one table of errors");
_Static_assert((int)PARK_E_NOT_FOUND == (int)E_NOT_FOUND, "one table of errors");
_Static_assert((int)PARK_E_AGAIN == (int)E_AGAIN, "one table of errors");

const char *park_strerror(enum park_err err)
{
    switch (err) {
    case PARK_OK:
    case PARK_E_NOMEM:
    case PARK_E_INVALID:
    case PARK_E_TIMEOUT:
    case PARK_E_CLOSED:
    case PARK_E_NOT_FOUND:
    case PARK_E_AGAIN:
        return base_strerror((enum base_err)err);
    case PARK_E_OVERSIZE:
        return "needs more than the pool has";
    case PARK_E_QUEUE_FULL:
        return "queue full";
    case PARK_E_DRAINING:
        return "draining, no new work";
    case PARK_E_GAP:
        return "events behind the cursor are gone";
    case PARK_E_LIMIT:
        return "beyond its own limit";
    case PARK_E_DEADLINE:
        return "the deadline has passed";
    case PARK_E_CLASS_FULL:
        return "queue of the class full";
    case PARK_E_NOT_READY:
        return "no capacity now";
    case PARK_E_GONE:
        return "no longer kept";
    }
    return "unknown error";
}

const char *park_state_name(enum park_state state)
{
    switch (state) {
    case PARK_QUEUED:
        return "queued";
    case PARK_RUNNING:
        return "running";
    case PARK_COMPLETED:
        return "completed";
    case PARK_FAILED:
        return "failed";
    case PARK_CANCELLED:
        return "cancelled";
    case PARK_DROPPED:
        return "dropped";
    case PARK_EXPIRED:
        return "expired";
    }
    return "unknown";
}

const char *park_reason_name(enum park_reason reason)
{
    switch (reason) {
    case PARK_REASON_NONE:
        return "none";
    case PARK_REASON_ERROR:
        return "error";
    case PARK_REASON_CLIENT:
        return "client";
    case PARK_REASON_DISCONNECT:
        return "disconnect";
    case PARK_REASON_SLOW_READER:
        return "slow_reader";
    case PARK_REASON_SHUTDOWN:
        return "shutdown";
    case PARK_REASON_DRAINING:
        return "draining";
    case PARK_REASON_QUEUE_TIMEOUT:
        return "queue_timeout";
    case PARK_REASON_DEADLINE:
        return "deadline";
    case PARK_REASON_RUN_TIMEOUT:
        return "run_timeout";
    case PARK_REASON_NO_LONGER_FITS:
        return "no_longer_fits";
    case PARK_REASON_WORKER_DIED:
        return "worker_died";
    }
    return "unknown";
}

const char *park_class_name(enum park_class klass)
{
    switch (klass) {
    case PARK_CLASS_CRITICAL:
        return "critical";
    case PARK_CLASS_HIGH:
        return "high";
    case PARK_CLASS_NORMAL:
        return "normal";
    case PARK_CLASS_LOW:
        return "low";
    }
    return "unknown";
}

bool park_state_is_terminal(enum park_state state)
{
    return state != PARK_QUEUED && state != PARK_RUNNING;
}
