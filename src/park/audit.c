/*
 * The audit: a ring of records of one size, made at the creation of the pool. The oldest are
 * overwritten; whoever reads sees by `seq` that he missed some.
 *
 * Threads: records are added under the pool's lock, in the order of the changes.
 */
#include "park/park_int.h"

#include <string.h>

#include "base/atom.h"

_Static_assert(sizeof(struct park_audit) ==
                   8 * 4 + sizeof(struct park_units) + 2 * 6 + 4 + 32 + PARK_TENANT_BYTES_MAX + 1,
               "no padding");

const char *park_audit_event_name(enum park_audit_event event)
{
    switch (event) {
    case PARK_AUDIT_SUBMIT:
        return "submit";
    case PARK_AUDIT_REJECT:
        return "reject";
    case PARK_AUDIT_START:
        return "start";
    case PARK_AUDIT_ADJUST:
        return "adjust";
    case PARK_AUDIT_REQUEUE:
        return "requeue";
    case PARK_AUDIT_CANCEL_REQUEST:
        return "cancel_request";
    case PARK_AUDIT_END:
        return "end";
    case PARK_AUDIT_LATE_FINISH:
        return "late_finish";
    case PARK_AUDIT_WORKER_EXIT:
        return "worker_exit";
    case PARK_AUDIT_PAUSE:
        return "pause";
    case PARK_AUDIT_RESUME:
        return "resume";
    case PARK_AUDIT_DRAIN:
        return "drain";
    case PARK_AUDIT_RECONFIGURE:
        return "reconfigure";
    }
    return "unknown";
}

static void describe_ticket(const struct park_pass *pass, struct park_audit *record,
                            const park_ticket *ticket)
{
    bool is_terminal = park_state_is_terminal(ticket->state);
    uint64_t end_ns = is_terminal ? ticket->ended_ns : pass->now_ns;
    uint64_t start_ns = ticket->started_ns != PARK_NEVER ? ticket->started_ns : end_ns;
    record->wait_ns = park_elapsed_ns(ticket->submitted_ns, start_ns);
    record->run_ns = park_elapsed_ns(start_ns, end_ns);
    record->klass = (uint16_t)ticket->klass;
    record->to = (uint16_t)ticket->state;
    record->reason = (uint16_t)ticket->reason;
    if (!is_terminal) /* written under this lock */
        record->reason = (uint16_t)atom_load_relaxed(&ticket->token);
    memcpy(record->ticket, ticket->id, sizeof record->ticket);
    if (ticket->record)
        memcpy(record->tenant, ticket->record->tenant, sizeof record->tenant);
}

void park_audit_add_locked(const struct park_pass *pass, struct park_audit record,
                           const park_ticket *ticket, const park_task *task)
{
    struct park_audit_ring *ring = &pass->pool->audit;
    if (ring->count_max == 0)
        return;
    record.time_ns = pass->now_ns;
    if (ticket)
        describe_ticket(pass, &record, ticket);
    if (task) {
        record.task = task->index;
        record.units = task->held;
    }
    record.seq = ++ring->last;
    ring->records[(record.seq - 1) % ring->count_max] = record;
}

void park_audit_event_locked(const struct park_pass *pass, enum park_audit_event event,
                             const park_ticket *ticket, const park_task *task)
{
    park_audit_change_locked(pass, event, ticket ? ticket->state : PARK_QUEUED, ticket, task);
}

void park_audit_change_locked(const struct park_pass *pass, enum park_audit_event event,
                              enum park_state from, const park_ticket *ticket,
                              const park_task *task)
{
    if (pass->pool->audit.count_max == 0)
        return;
    struct park_audit record = { .event = (uint16_t)event, .from = (uint16_t)from };
    park_audit_add_locked(pass, record, ticket, task);
}

enum park_err park_audit_read(park_pool *pool, uint64_t after, struct park_audit *records,
                              size_t count_max, size_t *count, uint64_t *first)
{
    enum park_err rc = PARK_OK;
    size_t n = 0;
    lock_take(&pool->lock);
    const struct park_audit_ring *ring = &pool->audit;
    uint64_t kept = ring->last < ring->count_max ? ring->last : ring->count_max;
    if (after > ring->last)
        rc = PARK_E_INVALID;
    else if (after < ring->last - kept)
        rc = PARK_E_GAP;
    for (; !rc && n < count_max && after + n < ring->last; n++)
        records[n] = ring->records[(after + n) % ring->count_max];
    if (first)
        *first = ring->last - kept + 1;
    lock_give(&pool->lock);
    *count = n;
    return rc;
}
