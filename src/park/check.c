/*
 * The walker that proves the invariants of lot.c and ring.c, for tests. Threads: any.
 */
#include "park/park_int.h"

#include "base/assert.h"
#include "base/atom.h"

/* What the tasks of all lists add up to. */
struct sums {
    struct park_units held;
    struct park_units kept;
    uint64_t refused_count;
    uint64_t tickets[PARK_STATE_COUNT];
    uint64_t cost[PARK_STATE_COUNT];
    uint64_t payload_bytes;
};

static void check_task(const park_task *task)
{
    const park_ticket *ticket = task->ticket;
    bool is_waiting = task->phase == PARK_PHASE_PARKED || task->phase == PARK_PHASE_REQUEUED;
    for (int d = 0; d < PARK_DIMS_MAX; d++) {
        ASSERT(task->held.n[d] <= ticket->limit.n[d]);
        ASSERT(task->room.n[d] >= ticket->need.n[d] && task->room.n[d] <= ticket->limit.n[d]);
        ASSERT(!is_waiting || (task->held.n[d] == 0 && task->kept.n[d] == 0));
        ASSERT(task->kept.n[d] == 0 || task->held.n[d] + task->kept.n[d] <= ticket->limit.n[d]);
    }
    ASSERT(!is_waiting || atom_load_relaxed(&ticket->token) == PARK_REASON_NONE);
    ASSERT(task->phase != PARK_PHASE_REQUEUED || task->requeues > 0);
    ASSERT(!task->is_refused || task->phase == PARK_PHASE_RUNNING);
    ASSERT(task->phase == PARK_PHASE_PARKED || ticket->state == PARK_RUNNING);
}

/* Once for each ticket: where the first of its tasks that is left is found. */
static void check_ticket(park_pool *pool, park_ticket *ticket, struct sums *sums)
{
    uint32_t parked = 0;
    uint32_t ended = 0;
    for (uint32_t i = 0; i < ticket->task_count; i++) {
        ASSERT(ticket->tasks[i].ticket == ticket && ticket->tasks[i].index == i);
        parked += ticket->tasks[i].phase == PARK_PHASE_PARKED;
        ended += ticket->tasks[i].phase == PARK_PHASE_NONE;
    }
    ASSERT(ticket->pool == pool && !park_state_is_terminal(ticket->state));
    ASSERT(ticket->parked_count == parked && ticket->ended_count == ended);
    ASSERT(ticket->state == PARK_RUNNING || parked == ticket->task_count);
    ASSERT(atom_load_relaxed(&ticket->refs) > 0); /* only a plausibility check */
    ASSERT(ticket->reason == PARK_REASON_NONE);
    sums->tickets[ticket->state]++;
    sums->cost[ticket->state] += ticket->cost;
    sums->payload_bytes += parked > 0 ? ticket->payload_bytes : 0;

    lock_take(&ticket->events_lock);
    park_ring_check(&ticket->ring);
    if (ticket->state == PARK_QUEUED)
        ASSERT(!ticket->ring.data); /* queued tickets hold no memory for events */
    lock_give(&ticket->events_lock);
}

static bool is_first_left(const park_task *task)
{
    for (uint32_t i = 0; i < task->index; i++) {
        if (task->ticket->tasks[i].phase != PARK_PHASE_NONE)
            return false;
    }
    return true;
}

static bool is_in_order(const park_task *a, const park_task *b)
{
    if (a->ticket == b->ticket)
        return a->index < b->index;
    return a->ticket->order < b->ticket->order;
}

static void check_list(park_pool *pool, const struct park_list *list, enum park_phase phase,
                       struct sums *sums)
{
    bool is_sorted = phase == PARK_PHASE_PARKED || phase == PARK_PHASE_REQUEUED;
    uint64_t count = 0;
    const park_task *prev = NULL;
    for (park_task *task = list->first; task; task = task->next) {
        ASSERT(task->prev == prev && task->phase == phase);
        ASSERT(!is_sorted || !prev || is_in_order(prev, task));
        check_task(task);
        if (is_first_left(task))
            check_ticket(pool, task->ticket, sums);
        for (int d = 0; d < PARK_DIMS_MAX; d++) {
            sums->held.n[d] += task->held.n[d];
            sums->kept.n[d] += task->kept.n[d];
        }
        sums->refused_count += task->is_refused;
        prev = task;
        count++;
    }
    ASSERT(list->last == prev && list->count == count);
}

static void check_books(const park_pool *pool, const struct sums *sums)
{
    for (int d = 0; d < PARK_DIMS_MAX; d++) {
        ASSERT(pool->used.n[d] == sums->held.n[d] && pool->kept.n[d] == sums->kept.n[d]);
        ASSERT(pool->used.n[d] <= pool->high_water.n[d]);
        ASSERT(pool->high_water.n[d] <= pool->capacity.n[d]);
    }
    ASSERT(pool->refused_count == sums->refused_count);
    ASSERT(park_lot_running_locked(pool) + pool->requeued.count <= pool->running_max);
}

static void check_queue(const park_pool *pool, const struct sums *sums)
{
    ASSERT(pool->queued_bytes == sums->payload_bytes);
    ASSERT(pool->queued_bytes <= pool->queue_bytes_max);
    ASSERT(pool->parked.count <= pool->queue_high_water);
    ASSERT(pool->queue_high_water <= pool->queue_count_max);
}

static void check_counts(const park_pool *pool, const struct sums *sums)
{
    uint64_t sum = 0;
    for (int i = 0; i < PARK_REJECT_COUNT; i++)
        sum += pool->rejected[i];
    for (int i = 0; i < PARK_STATE_COUNT; i++)
        sum += pool->tickets[i];
    ASSERT(sum == pool->submitted);
    ASSERT(pool->tickets[PARK_QUEUED] == sums->tickets[PARK_QUEUED]);
    ASSERT(pool->tickets[PARK_RUNNING] == sums->tickets[PARK_RUNNING]);
    ASSERT(pool->queued_cost == sums->cost[PARK_QUEUED]);
    ASSERT(pool->running_cost == sums->cost[PARK_RUNNING]);
}

void park_check(park_pool *pool)
{
    struct sums sums = { 0 };
    lock_take(&pool->lock);
    check_list(pool, &pool->parked, PARK_PHASE_PARKED, &sums);
    check_list(pool, &pool->requeued, PARK_PHASE_REQUEUED, &sums);
    check_list(pool, &pool->booked, PARK_PHASE_BOOKED, &sums);
    check_list(pool, &pool->running, PARK_PHASE_RUNNING, &sums);
    check_books(pool, &sums);
    check_queue(pool, &sums);
    check_counts(pool, &sums);
    lock_give(&pool->lock);
}
