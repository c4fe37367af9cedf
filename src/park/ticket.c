/*
 * Tickets: what a submitter holds, from park_submit until the last reference goes.
 *
 * References: the pool's until the ticket is settled, the caller's of park_submit, one for
 * each entry in an inbox. A ticket holds a reference on its pool and its inbox, so that
 * both can be asked after their owners have destroyed them.
 *
 * Threads: any. The states change in lot.c, under the pool's lock.
 */
#include "park/park_int.h"

#include <string.h>

#include "base/assert.h"
#include "base/atom.h"

/*
 * Costs only feed estimates. The bound keeps sums over a million tickets from wrapping.
 */
#define COST_MAX ((uint64_t)1 << 44)

park_ticket *park_ticket_create(park_pool *pool, const struct park_work *work)
{
    size_t bytes = sizeof(park_ticket) + work->task_count * sizeof(struct park_task);
    park_ticket *ticket = mem_calloc(MEM_PARK, 1, bytes);
    if (!ticket)
        return NULL;
    ticket->pool = pool;
    park_pool_ref(pool);
    ticket->inbox = work->inbox;
    if (ticket->inbox)
        park_inbox_ref(ticket->inbox);
    ticket->user = work->user;
    ticket->payload = work->payload;
    ticket->payload_destroy = work->payload_destroy;
    ticket->need = work->need;
    ticket->limit = work->limit;
    ticket->cost = work->cost < COST_MAX ? work->cost : COST_MAX;
    ticket->payload_bytes = work->payload_bytes;
    ticket->task_count = work->task_count;
    ticket->outcome = PARK_COMPLETED;
    random_id(&pool->random, "tkt_", ticket->id, sizeof ticket->id);
    atomic_init(&ticket->refs, 2);
    atomic_init(&ticket->event_last, 0);
    atomic_init(&ticket->token, PARK_REASON_NONE);
    cond_init(&ticket->ended);
    lock_init(&ticket->events_lock, LOCK_RANK_EVENTS);
    park_ring_init(&ticket->ring, pool->events_bytes_max);
    for (uint32_t i = 0; i < ticket->task_count; i++) {
        ticket->tasks[i].ticket = ticket;
        ticket->tasks[i].index = i;
        ticket->tasks[i].room = work->need;
    }
    return ticket;
}

void park_ticket_discard(park_ticket *ticket)
{
    park_ring_fini(&ticket->ring);
    lock_fini(&ticket->events_lock);
    cond_fini(&ticket->ended);
    if (ticket->inbox)
        park_inbox_unref(ticket->inbox);
    park_pool_unref(ticket->pool);
    mem_free(ticket);
}

park_ticket *park_ticket_ref(park_ticket *ticket)
{
    /* Relaxed: whoever gets a new reference already sees the ticket through an old one. */
    size_t before = atom_add_relaxed(&ticket->refs, 1);
    ASSERT(before > 0);
    return ticket;
}

void park_ticket_unref(park_ticket *ticket)
{
    /* Acquire and release: the last one sees what all others did before they let go. */
    size_t before = atom_sub_acq_rel(&ticket->refs, 1);
    ASSERT(before > 0);
    if (before > 1)
        return;
    ASSERT(park_state_is_terminal(ticket->state) && !ticket->is_listed);
    park_ticket_discard(ticket);
}

void park_ticket_settle(park_ticket *ticket)
{
    lock_check_none_held();
    if (ticket->payload_destroy)
        ticket->payload_destroy(ticket->payload);
    park_inbox_tell(ticket);
    park_ticket_unref(ticket);
}

void park_ticket_settle_all(struct park_list *ended)
{
    park_task *task;
    while ((task = park_list_pop(ended)) != NULL)
        park_ticket_settle(task->ticket);
}

const char *park_ticket_id(const park_ticket *ticket)
{
    return ticket->id;
}

void *park_ticket_user(const park_ticket *ticket)
{
    return ticket->user;
}

/* Counts only when somebody asks: a cancelled neighbour changes the places of all behind. */
static uint64_t position_locked(const park_ticket *ticket)
{
    uint64_t position = 1 + ticket->pool->requeued.count;
    for (const park_task *t = ticket->tasks[0].prev; t; t = t->prev)
        position++;
    return position;
}

void park_status(const park_ticket *ticket, struct park_status *out)
{
    park_pool *pool = ticket->pool;
    uint64_t now_ns = park_now_ns(pool);
    *out = (struct park_status){ 0 };
    lock_take(&pool->lock);
    bool is_queued = ticket->state == PARK_QUEUED;
    out->state = ticket->state;
    out->reason = ticket->reason;
    /* Acquire: partner of the release in park_emit. */
    out->event_last = atom_load_acquire(&ticket->event_last);
    out->position = is_queued ? position_locked(ticket) : 0;
    out->queued_ns =
        park_elapsed_ns(ticket->submitted_ns, is_queued ? now_ns : ticket->unparked_ns);
    out->error_code = ticket->error_code;
    memcpy(out->error_text, ticket->error_text, sizeof out->error_text);
    lock_give(&pool->lock);
}

void park_cancel(park_ticket *ticket, enum park_reason reason)
{
    ASSERT(reason >= PARK_REASON_CLIENT && reason <= PARK_REASON_SHUTDOWN);
    park_pool *pool = ticket->pool;
    uint64_t now_ns = park_now_ns(pool);
    lock_take(&pool->lock);
    bool has_ended = !park_state_is_terminal(ticket->state) &&
                     park_lot_ask_end_locked(pool, ticket, reason, now_ns);
    park_lot_announce_locked(pool);
    lock_give(&pool->lock);
    if (has_ended)
        park_ticket_settle(ticket);
}

enum park_err park_wait(park_ticket *ticket, int64_t timeout_ms)
{
    park_pool *pool = ticket->pool;
    uint64_t deadline_ns = park_deadline_ns(timeout_ms);
    lock_take(&pool->lock);
    bool in_time = true;
    while (!park_state_is_terminal(ticket->state) && in_time)
        in_time = park_cond_wait(&ticket->ended, &pool->lock, deadline_ns);
    /* The state decides: an end at the very moment of the deadline is an end. */
    bool has_ended = park_state_is_terminal(ticket->state);
    lock_give(&pool->lock);
    return has_ended ? PARK_OK : PARK_E_TIMEOUT;
}
