/*
 * The lot: the lists of tickets, the books of units, and every change of a ticket's state.
 *
 *          park            hand_over (books)              end
 *   new ─────────▶ queued ───────────────────▶ running ────────▶ completed | failed | cancelled
 *    │                └── end ─▶ cancelled, dropped ▲
 *    └── book ───────────────────▶ running, booked ─┘ hand_over
 *
 * Invariants (park_check walks them):
 *   1. A ticket is in exactly one list while it is not terminal: parked if queued; booked
 *      or running if running. A terminal ticket is in none.
 *   2. used = sum of `need` over booked and running <= high_water <= capacity.
 *   3. booked + running <= running_max; parked <= queue_count_max; their payload bytes
 *      <= queue_bytes_max.
 *   4. Everything in booked is older than everything in parked: a ticket is booked only
 *      while nothing is parked.
 *   5. submitted = rejected + parked + booked + running + ended.
 *
 * Threads: the caller holds the pool's lock.
 */
#include "park/park_int.h"

#include "base/assert.h"
#include "base/atom.h"

uint64_t park_lot_running_locked(const park_pool *pool)
{
    return pool->booked.count + pool->running.count;
}

bool park_lot_is_empty_locked(const park_pool *pool)
{
    return pool->parked.count == 0 && park_lot_running_locked(pool) == 0;
}

bool park_lot_fits_locked(const park_pool *pool, const struct park_units *need)
{
    if (park_lot_running_locked(pool) >= pool->running_max)
        return false;
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        if (need->n[d] > pool->capacity.n[d] - pool->used.n[d])
            return false;
    }
    return true;
}

bool park_lot_has_place_locked(const park_pool *pool, size_t payload_bytes)
{
    return pool->parked.count < pool->queue_count_max &&
           payload_bytes <= pool->queue_bytes_max - pool->queued_bytes;
}

void park_lot_park_locked(park_pool *pool, park_ticket *ticket)
{
    ASSERT(park_lot_has_place_locked(pool, ticket->payload_bytes));
    ticket->state = PARK_QUEUED;
    park_list_push(&pool->parked, ticket);
    pool->queued_bytes += ticket->payload_bytes;
    pool->queued_cost += ticket->cost;
    if (pool->parked.count > pool->queue_high_water)
        pool->queue_high_water = pool->parked.count;
}

static void unpark(park_pool *pool, park_ticket *ticket, uint64_t now_ns)
{
    park_list_remove(&pool->parked, ticket);
    pool->queued_bytes -= ticket->payload_bytes;
    pool->queued_cost -= ticket->cost;
    ticket->unparked_ns = now_ns;
}

/* The decision that the ticket fits and the booking are under one hold of the lock (README rule 1). */
static void book_units(park_pool *pool, park_ticket *ticket, uint64_t now_ns)
{
    ASSERT(park_lot_fits_locked(pool, &ticket->need));
    park_rate_advance(&pool->rate, now_ns, park_lot_running_locked(pool) > 0);
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        pool->used.n[d] += ticket->need.n[d];
        if (pool->used.n[d] > pool->high_water.n[d])
            pool->high_water.n[d] = pool->used.n[d];
    }
    pool->running_cost += ticket->cost;
    ticket->state = PARK_RUNNING;
}

static void return_units(park_pool *pool, const park_ticket *ticket)
{
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        ASSERT(pool->used.n[d] >= ticket->need.n[d]);
        pool->used.n[d] -= ticket->need.n[d];
    }
    pool->running_cost -= ticket->cost;
}

void park_lot_book_locked(park_pool *pool, park_ticket *ticket, uint64_t now_ns)
{
    ASSERT(pool->parked.count == 0);
    book_units(pool, ticket, now_ns);
    ticket->unparked_ns = now_ns;
    park_list_push(&pool->booked, ticket);
}

/*
 * The next ticket to run, or NULL. If the head of the queue does not fit, nothing starts
 * (README rule 2).
 */
park_ticket *park_lot_hand_over_locked(park_pool *pool, uint64_t now_ns)
{
    park_ticket *ticket = park_list_pop(&pool->booked);
    if (!ticket) {
        ticket = pool->parked.first;
        if (!ticket || !park_lot_fits_locked(pool, &ticket->need))
            return NULL;
        unpark(pool, ticket, now_ns);
        book_units(pool, ticket, now_ns);
    }
    ticket->is_handed = true;
    park_list_push(&pool->running, ticket);
    return ticket;
}

void park_lot_end_locked(park_pool *pool, park_ticket *ticket, enum park_state state,
                         enum park_reason reason, uint64_t now_ns)
{
    ASSERT(!park_state_is_terminal(ticket->state) && park_state_is_terminal(state));
    if (ticket->state == PARK_QUEUED) {
        unpark(pool, ticket, now_ns);
    } else {
        park_rate_advance(&pool->rate, now_ns, true);
        park_list_remove(ticket->is_handed ? &pool->running : &pool->booked, ticket);
        return_units(pool, ticket);
        /* However it ended: the rate says how fast the work ahead of a newcomer goes away. */
        park_rate_finished(&pool->rate, ticket->cost);
    }
    ticket->state = state;
    ticket->reason = reason;
    pool->ended[state]++;
    cond_broadcast(&ticket->ended);
}

void park_lot_ask_end_locked(park_pool *pool, park_ticket *ticket, enum park_reason reason)
{
    if (atom_load_relaxed(&ticket->task.token) != PARK_REASON_NONE) /* written under this lock */
        return;
    /* Release: partner of the acquire in park_task_reason. */
    atom_store_release(&ticket->task.token, (int)reason);
    pool->news = true;
}

void park_lot_drop_parked_locked(park_pool *pool, struct park_list *ended, uint64_t now_ns)
{
    park_ticket *ticket;
    while ((ticket = pool->parked.first) != NULL) {
        park_lot_end_locked(pool, ticket, PARK_DROPPED, PARK_REASON_DRAINING, now_ns);
        park_list_push(ended, ticket);
    }
}

bool park_lot_taker_has_reason_locked(const park_pool *pool)
{
    const park_ticket *head = pool->parked.first;
    return pool->news || pool->booked.count > 0 ||
           (head && park_lot_fits_locked(pool, &head->need)) ||
           (pool->draining && park_lot_is_empty_locked(pool));
}

void park_lot_announce_locked(park_pool *pool)
{
    if (park_lot_taker_has_reason_locked(pool))
        cond_broadcast(&pool->taker);
    if (pool->draining && park_lot_is_empty_locked(pool))
        cond_broadcast(&pool->empty);
}
