/*
 * Tickets: what a submitter holds, from park_submit until the last reference goes.
 *
 * References: the pool's until the last task has ended, the store's while the ticket is kept, the
 * caller's of park_submit, one for each entry in an inbox and each reader of a result. A ticket
 * holds a reference on its pool and its inbox, so that both can be asked after their owners have
 * destroyed them.
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

static void init_tasks(park_ticket *ticket)
{
    for (uint32_t i = 0; i < ticket->task_count; i++) {
        park_task *task = &ticket->tasks[i];
        task->ticket = ticket;
        task->index = i;
        task->room = ticket->need;
        task->result.ticket = ticket;
        atomic_init(&task->result.refs, 0);
    }
}

static park_ticket *alloc_ticket(const struct park_work *work)
{
    size_t bytes = sizeof(park_ticket) + work->task_count * sizeof(struct park_task);
    park_ticket *ticket = mem_calloc(MEM_PARK, 1, bytes);
    if (!ticket)
        return NULL;
    ticket->record = mem_calloc(MEM_PARK, 1, sizeof *ticket->record);
    if (!ticket->record) {
        mem_free(ticket);
        return NULL;
    }
    ticket->kept_bytes = bytes;
    return ticket;
}

park_ticket *park_ticket_create(park_pool *pool, const struct park_work *work)
{
    park_ticket *ticket = alloc_ticket(work);
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
    ticket->klass = work->klass;
    ticket->need = work->need;
    ticket->limit = work->limit;
    ticket->cost = work->cost < COST_MAX ? work->cost : COST_MAX;
    ticket->payload_bytes = work->payload_bytes;
    ticket->deadline_ns = work->deadline_ns;
    ticket->task_count = work->task_count;
    ticket->tenant_running_max = work->tenant_running_max;
    ticket->started_ns = PARK_NEVER;
    ticket->outcome = PARK_COMPLETED;
    ticket->failure = PARK_REASON_ERROR;
    ticket->timer.kind = PARK_TIMER_TICKET;
    random_id(&pool->random, "tkt_", ticket->id, sizeof ticket->id);
    ticket->record->ticket = ticket;
    memcpy(ticket->record->id, ticket->id, sizeof ticket->id);
    memcpy(ticket->record->tenant, work->tenant, strlen(work->tenant));
    atomic_init(&ticket->refs, 2);
    atomic_init(&ticket->event_last, 0);
    atomic_init(&ticket->token, PARK_REASON_NONE);
    cond_init(&ticket->changed);
    lock_init(&ticket->events_lock, LOCK_RANK_EVENTS);
    park_ring_init(&ticket->ring, 0); /* its size is one of the terms of admission */
    init_tasks(ticket);
    return ticket;
}

void park_ticket_discard(park_ticket *ticket)
{
    park_ring_fini(&ticket->ring);
    lock_fini(&ticket->events_lock);
    cond_fini(&ticket->changed);
    if (ticket->inbox)
        park_inbox_unref(ticket->inbox);
    mem_free(ticket->record);
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
    ASSERT(park_state_is_terminal(ticket->state) && !ticket->is_listed && !ticket->is_kept);
    park_result_drop_all(ticket);
    park_ticket_discard(ticket);
}

const char *park_ticket_id(const park_ticket *ticket)
{
    return ticket->id;
}

void *park_ticket_user(const park_ticket *ticket)
{
    return ticket->user;
}

/* ---- what a ticket says of itself ---- */

double park_wait_ms_locked(const park_pool *pool, uint64_t cost_ahead)
{
    double rate = park_rate_per_s(&pool->rate, pool->running_cost);
    return rate > 0.0 ? 1000.0 * (double)cost_ahead / rate : -1.0;
}

/* The work ahead is done, and then one more ticket: its place is the one that is wanted. */
static uint64_t eta_ms_locked(const park_pool *pool, uint64_t cost_ahead)
{
    uint64_t running = pool->tickets[PARK_RUNNING];
    uint64_t one = running > 0 ? pool->running_cost / running : 0;
    double wait_ms = park_wait_ms_locked(pool, cost_ahead + one);
    return wait_ms > 0.0 ? (uint64_t)wait_ms : 0;
}

static void fill_queued_locked(const park_ticket *ticket, struct park_status *out)
{
    park_pool *pool = ticket->pool;
    struct park_weight ahead =
        park_order_before_locked(pool, ticket->klass, ticket->node.key, ticket->node.order);
    out->position = 1 + ahead.tasks;
    out->eta_ms = eta_ms_locked(pool, ahead.cost);
}

/* The wait of new work of its class, for one that was given up before it started; negative: none. */
static double come_back_ms_locked(const park_ticket *ticket)
{
    bool is_given_up = ticket->reason == PARK_REASON_QUEUE_TIMEOUT ||
                       ticket->reason == PARK_REASON_DEADLINE ||
                       ticket->reason == PARK_REASON_DRAINING;
    if (!is_given_up)
        return -1.0;
    double wait_ms =
        park_wait_ms_locked(ticket->pool, park_order_cost_to_locked(ticket->pool, ticket->klass));
    return wait_ms > 0.0 ? wait_ms : 0.0;
}

void park_status(const park_ticket *ticket, struct park_status *out)
{
    park_pool *pool = ticket->pool;
    uint64_t now_ns = park_now_ns(pool);
    *out = (struct park_status){ .klass = ticket->klass };
    lock_take(&pool->lock);
    bool is_terminal = park_state_is_terminal(ticket->state);
    uint64_t end_ns = is_terminal ? ticket->ended_ns : now_ns;
    uint64_t start_ns = ticket->started_ns != PARK_NEVER ? ticket->started_ns : end_ns;
    out->state = ticket->state;
    out->reason = ticket->reason;
    /* Acquire: partner of the release in park_emit. */
    out->event_last = atom_load_acquire(&ticket->event_last);
    if (ticket->state == PARK_QUEUED)
        fill_queued_locked(ticket, out);
    out->queued_ns = park_elapsed_ns(ticket->submitted_ns, start_ns);
    out->run_ns = park_elapsed_ns(start_ns, end_ns);
    out->error_code = ticket->error_code;
    memcpy(out->error_text, ticket->error_text, sizeof out->error_text);
    double wait_ms = come_back_ms_locked(ticket);
    struct park_retry retry = park_options_retry(&pool->options);
    lock_give(&pool->lock);
    if (wait_ms >= 0.0)
        out->retry_after_ms = park_retry_after_ms(&retry, wait_ms, random_u64(&pool->random));
}

void park_cancel(park_ticket *ticket, enum park_reason reason)
{
    ASSERT(reason >= PARK_REASON_CLIENT && reason <= PARK_REASON_SHUTDOWN);
    struct park_pass pass;
    park_pass_begin(&pass, ticket->pool);
    if (!park_state_is_terminal(ticket->state))
        park_lot_ask_end_locked(&pass, ticket, reason);
    park_pass_end(&pass);
}

enum park_err park_wait(park_ticket *ticket, int64_t timeout_ms)
{
    uint64_t deadline_ns = park_deadline_ns(timeout_ms);
    struct park_pass pass;
    park_pass_begin(&pass, ticket->pool);
    /* The state decides: an end at the very moment of the deadline is an end. */
    while (!park_state_is_terminal(ticket->state)) {
        if (!park_pass_sleep(&pass, &ticket->changed, deadline_ns))
            break;
    }
    bool has_ended = park_state_is_terminal(ticket->state);
    park_pass_end(&pass);
    return has_ended ? PARK_OK : PARK_E_TIMEOUT;
}
