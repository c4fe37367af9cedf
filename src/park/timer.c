/*
 * Timers: one sorted tree for each pool. They run at the begin of every pass (pass.c), in the
 * order of their times and, where these are equal, in the order in which they were set.
 *
 * Threads: the caller holds the pool's lock.
 */
#include "park/park_int.h"

#include "base/assert.h"
#include "base/atom.h"

#define NS_PER_MS UINT64_C(1000000)

uint64_t park_time_after_ms(uint64_t at_ns, uint64_t ms)
{
    uint64_t wait_ns;
    uint64_t end_ns;
    if (ms == 0 || __builtin_mul_overflow(ms, NS_PER_MS, &wait_ns) ||
        __builtin_add_overflow(at_ns, wait_ns, &end_ns))
        return PARK_NEVER;
    return end_ns;
}

void park_timer_set_locked(park_pool *pool, struct park_timer *timer, uint64_t at_ns)
{
    if (timer->is_set && timer->node.key == at_ns)
        return;
    if (timer->is_set)
        park_tree_remove(&pool->timers, &timer->node);
    timer->is_set = at_ns != PARK_NEVER;
    if (!timer->is_set)
        return;
    timer->node.key = at_ns;
    timer->node.order = ++pool->timer_count;
    park_tree_insert(&pool->timers, &timer->node);
}

uint64_t park_timer_next_locked(const park_pool *pool)
{
    return pool->timers.first ? pool->timers.first->key : PARK_NEVER;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t ticket_time(const park_pool *pool, const park_ticket *ticket)
{
    if (park_state_is_terminal(ticket->state))
        return PARK_NEVER;
    if (ticket->state == PARK_QUEUED) {
        uint64_t end_ns = min_u64(ticket->queue_end_ns, ticket->total_end_ns);
        return ticket->deadline_ns ? min_u64(end_ns, ticket->deadline_ns) : end_ns;
    }
    if (atom_load_relaxed(&ticket->token) != PARK_REASON_NONE) /* written under this lock */
        return park_time_after_ms(ticket->token_ns, pool->options.cancel_grace_ms);
    uint64_t run_end_ns;
    if (__builtin_add_overflow(ticket->started_ns, ticket->run_timeout_ns, &run_end_ns))
        run_end_ns = PARK_NEVER;
    return min_u64(run_end_ns, ticket->total_end_ns);
}

void park_timer_of_ticket_locked(park_pool *pool, park_ticket *ticket)
{
    park_timer_set_locked(pool, &ticket->timer, ticket_time(pool, ticket));
    cond_broadcast(&ticket->changed); /* who sleeps on the ticket looks at the next timer */
}

/* The limit that came first, whenever somebody looks. */
static enum park_reason queue_end_reason(const park_ticket *ticket)
{
    uint64_t end_ns = min_u64(ticket->queue_end_ns, ticket->total_end_ns);
    bool is_deadline = ticket->deadline_ns && ticket->deadline_ns <= end_ns;
    return is_deadline ? PARK_REASON_DEADLINE : PARK_REASON_QUEUE_TIMEOUT;
}

static void run_of_ticket(struct park_pass *pass, park_ticket *ticket)
{
    if (ticket->state == PARK_QUEUED)
        park_lot_ask_end_locked(pass, ticket, queue_end_reason(ticket));
    else if (atom_load_relaxed(&ticket->token) == PARK_REASON_NONE) /* written under this lock */
        park_lot_ask_end_locked(pass, ticket, PARK_REASON_RUN_TIMEOUT);
    else
        park_lot_abandon_locked(pass, ticket);
}

static void run(struct park_pass *pass, struct park_timer *timer)
{
    char *at = (char *)timer;
    switch (timer->kind) {
    case PARK_TIMER_TICKET:
        run_of_ticket(pass, (park_ticket *)(at - offsetof(park_ticket, timer)));
        break;
    case PARK_TIMER_RESERVATION:
        park_reservation_give_locked(pass->pool,
                                     (park_reservation *)(at - offsetof(park_reservation, timer)));
        break;
    case PARK_TIMER_RESULTS:
        park_store_trim_locked(pass);
        break;
    case PARK_TIMER_TOMBSTONES:
        park_store_trim_tombstones_locked(pass);
        break;
    case PARK_TIMER_DRAIN:
        park_lot_drop_queued_locked(pass);
        park_lot_ask_all_locked(pass);
        break;
    }
}

void park_timer_run_locked(struct park_pass *pass)
{
    park_pool *pool = pass->pool;
    struct park_node *node;
    while ((node = pool->timers.first) != NULL && node->key <= pass->now_ns) {
        struct park_timer *timer =
            (struct park_timer *)((char *)node - offsetof(struct park_timer, node));
        park_timer_set_locked(pool, timer, PARK_NEVER);
        run(pass, timer);
    }
}
