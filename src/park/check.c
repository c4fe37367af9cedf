/*
 * The walker that proves the invariants of lot.c and ring.c, for tests. Threads: any.
 */
#include "park/park_int.h"

#include "base/assert.h"
#include "base/atom.h"

struct sums {
    struct park_units need;
    uint64_t cost;
    uint64_t payload_bytes;
};

static void check_ticket(park_pool *pool, park_ticket *ticket)
{
    ASSERT(ticket->pool == pool && ticket->task.ticket == ticket);
    ASSERT(atom_load_relaxed(&ticket->refs) > 0); /* only a plausibility check */
    ASSERT(ticket->reason == PARK_REASON_NONE);
    lock_take(&ticket->events_lock);
    park_ring_check(&ticket->ring);
    if (ticket->state == PARK_QUEUED)
        ASSERT(!ticket->ring.data); /* parked tickets hold no memory for events */
    lock_give(&ticket->events_lock);
}

static void check_list(park_pool *pool, const struct park_list *list, enum park_state state,
                       bool is_handed, struct sums *sums)
{
    uint64_t count = 0;
    const park_ticket *prev = NULL;
    for (park_ticket *ticket = list->first; ticket; ticket = ticket->next) {
        ASSERT(ticket->prev == prev && ticket->state == state && ticket->is_handed == is_handed);
        check_ticket(pool, ticket);
        for (int d = 0; d < PARK_DIMS_MAX; d++)
            sums->need.n[d] += ticket->need.n[d];
        sums->cost += ticket->cost;
        sums->payload_bytes += ticket->payload_bytes;
        prev = ticket;
        count++;
    }
    ASSERT(list->last == prev && list->count == count);
}

static void check_books(const park_pool *pool, const struct sums *running)
{
    for (int d = 0; d < PARK_DIMS_MAX; d++) {
        ASSERT(pool->used.n[d] == running->need.n[d]);
        ASSERT(pool->used.n[d] <= pool->high_water.n[d]);
        ASSERT(pool->high_water.n[d] <= pool->capacity.n[d]);
    }
    ASSERT(pool->running_cost == running->cost);
    ASSERT(park_lot_running_locked(pool) <= pool->running_max);
}

static void check_queue(const park_pool *pool, const struct sums *parked)
{
    ASSERT(pool->queued_bytes == parked->payload_bytes && pool->queued_cost == parked->cost);
    ASSERT(pool->queued_bytes <= pool->queue_bytes_max);
    ASSERT(pool->parked.count <= pool->queue_high_water);
    ASSERT(pool->queue_high_water <= pool->queue_count_max);
}

static void check_counts(const park_pool *pool)
{
    uint64_t sum = pool->parked.count + park_lot_running_locked(pool);
    for (int i = 0; i < PARK_REJECT_COUNT; i++)
        sum += pool->rejected[i];
    for (int i = 0; i < PARK_STATE_COUNT; i++)
        sum += pool->ended[i];
    ASSERT(sum == pool->submitted);
    ASSERT(pool->ended[PARK_QUEUED] == 0 && pool->ended[PARK_RUNNING] == 0);
}

void park_check(park_pool *pool)
{
    struct sums parked = { 0 };
    struct sums running = { 0 };
    lock_take(&pool->lock);
    check_list(pool, &pool->parked, PARK_QUEUED, false, &parked);
    check_list(pool, &pool->booked, PARK_RUNNING, false, &running);
    check_list(pool, &pool->running, PARK_RUNNING, true, &running);
    check_books(pool, &running);
    check_queue(pool, &parked);
    check_counts(pool);
    lock_give(&pool->lock);
}
