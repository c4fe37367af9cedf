/*
 * The lot: the lists of tasks, the books of units, and every change of a task's phase and of
 * a ticket's state.
 *
 *   tasks:    admit               hand_over, or admit and then hand_over            end
 *       none ───────▶ parked ──────────────────────────────────▶ booked, running ───────▶ none
 *                        │ end                   hand_over ▲            │ requeue
 *                        ▼                                 └─ requeued ◀┘
 *                      none                    ask_end: requeued ─▶ booked, with no units
 *
 *   tickets:  queued ── its first task starts ──▶ running ── its last task ends ──▶ completed,
 *                └── all its tasks end unstarted ──▶ cancelled, dropped       failed, cancelled
 *
 * Invariants (park_check walks them):
 *   1. A task is in the one list that its phase names; a task that is new or has ended is in
 *      none. A ticket is terminal if and only if all its tasks have ended.
 *   2. used = sum of `held` over booked and running <= high_water <= capacity.
 *   3. booked + running + requeued <= running_max: a requeue leaves its place among the
 *      running free, and only requeued tasks start while there are any. So a requeued task
 *      never waits for such a place.
 *   4. parked <= queue_count_max; the payload bytes of tickets with parked tasks, each counted
 *      once, <= queue_bytes_max. Requeued tasks count in neither.
 *   5. parked is in the order of (ticket, index), and so is requeued. Everything that holds
 *      units in booked started before anything that is parked or requeued will.
 *   6. A ticket whose token is set has no parked and no requeued tasks.
 *   7. refused_count = running tasks with `is_refused`. While it is not 0 nothing starts.
 *   8. submitted = rejected + the tickets of all states.
 *
 * Threads: the caller holds the pool's lock.
 */
#include "park/park_int.h"

#include "base/assert.h"
#include "base/atom.h"

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t park_lot_running_locked(const park_pool *pool)
{
    return pool->booked.count + pool->running.count;
}

bool park_lot_is_empty_locked(const park_pool *pool)
{
    return pool->tickets[PARK_QUEUED] == 0 && pool->tickets[PARK_RUNNING] == 0;
}

/* ---- what may start ---- */

/* Units that a start may take: free, and not kept for a task that came back. */
static uint64_t start_units(const park_pool *pool, uint32_t dim)
{
    uint64_t free = pool->capacity.n[dim] - pool->used.n[dim];
    return free > pool->kept.n[dim] ? free - pool->kept.n[dim] : 0;
}

static bool may_start(const park_pool *pool, const struct park_units *room)
{
    if (park_lot_running_locked(pool) >= pool->running_max)
        return false;
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        if (room->n[d] > start_units(pool, d))
            return false;
    }
    return true;
}

/* The parked or requeued task that starts next, or NULL: README rules 2 and 15. */
static park_task *next_start(const park_pool *pool)
{
    if (pool->refused_count > 0)
        return NULL;
    park_task *head = pool->requeued.first ? pool->requeued.first : pool->parked.first;
    return head && may_start(pool, &head->room) ? head : NULL;
}

static uint64_t times_in(uint64_t need, uint64_t units, uint64_t count)
{
    return need == 0 || units / need >= count ? count : units / need;
}

uint64_t park_lot_start_count_locked(const park_pool *pool, const struct park_units *need,
                                     uint64_t count)
{
    if (pool->refused_count > 0 || pool->requeued.count > 0 || pool->parked.count > 0)
        return 0;
    uint64_t free = pool->running_max - park_lot_running_locked(pool);
    count = count < free ? count : free;
    for (uint32_t d = 0; d < pool->dim_count; d++)
        count = times_in(need->n[d], start_units(pool, d), count);
    return count;
}

uint64_t park_lot_start_count_empty(const park_pool *pool, const struct park_units *need,
                                    uint64_t count)
{
    count = count < pool->running_max ? count : pool->running_max;
    for (uint32_t d = 0; d < pool->dim_count; d++)
        count = times_in(need->n[d], pool->capacity.n[d], count);
    return count;
}

bool park_lot_has_places_locked(const park_pool *pool, uint64_t count, size_t payload_bytes)
{
    return count <= pool->queue_count_max - pool->parked.count &&
           payload_bytes <= pool->queue_bytes_max - pool->queued_bytes;
}

/* ---- the books ---- */

/* Sets what a task holds and what is kept for it, and the sums with it (README rule 1). */
static void set_units(park_pool *pool, park_task *task, const struct park_units *held,
                      const struct park_units *kept)
{
    bool has_returned = false;
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        ASSERT(pool->used.n[d] >= task->held.n[d] && pool->kept.n[d] >= task->kept.n[d]);
        uint64_t others = pool->used.n[d] - task->held.n[d];
        ASSERT(held->n[d] <= pool->capacity.n[d] - others);
        pool->used.n[d] = others + held->n[d];
        pool->high_water.n[d] = max_u64(pool->high_water.n[d], pool->used.n[d]);
        pool->kept.n[d] = pool->kept.n[d] - task->kept.n[d] + kept->n[d];
        has_returned = has_returned || held->n[d] < task->held.n[d];
    }
    task->held = *held;
    task->kept = *kept;
    /* Who was refused growth asks again: nothing else in the lot shows that it is worth it. */
    if (has_returned && pool->refused_count > 0)
        pool->news = true;
}

static void return_units(park_pool *pool, park_task *task)
{
    static const struct park_units none;
    set_units(pool, task, &none, &none);
}

static void lift_refusal(park_pool *pool, park_task *task)
{
    if (!task->is_refused)
        return;
    ASSERT(pool->refused_count > 0);
    task->is_refused = false;
    pool->refused_count--;
}

static bool can_hold(const park_pool *pool, const park_task *task, const struct park_units *total)
{
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        if (total->n[d] > pool->capacity.n[d] - (pool->used.n[d] - task->held.n[d]))
            return false;
    }
    return true;
}

static bool is_within_limit(const struct park_units *total, const struct park_units *limit)
{
    for (int d = 0; d < PARK_DIMS_MAX; d++) {
        if (total->n[d] > limit->n[d])
            return false;
    }
    return true;
}

enum park_err park_lot_adjust_locked(park_pool *pool, park_task *task,
                                     const struct park_units *total)
{
    const park_ticket *ticket = task->ticket;
    ASSERT(task->phase == PARK_PHASE_RUNNING);
    if (!is_within_limit(total, &ticket->limit))
        return PARK_E_LIMIT;
    if (!can_hold(pool, task, total)) {
        for (uint32_t d = 0; d < pool->dim_count; d++)
            task->room.n[d] = max_u64(task->room.n[d], total->n[d]);
        pool->refused_count += !task->is_refused;
        task->is_refused = true;
        return PARK_E_AGAIN;
    }
    struct park_units kept = task->kept;
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        uint64_t end = task->held.n[d] + kept.n[d];
        if (total->n[d] > task->held.n[d]) {
            kept.n[d] = end > total->n[d] ? end - total->n[d] : 0;
        } else if (total->n[d] < task->held.n[d]) { /* it knows better what it needs */
            kept.n[d] = 0;
            task->room.n[d] = max_u64(ticket->need.n[d], total->n[d]);
        }
    }
    lift_refusal(pool, task);
    set_units(pool, task, total, &kept);
    return PARK_OK;
}

/* ---- phases ---- */

static struct park_list *list_of(park_pool *pool, enum park_phase phase)
{
    switch (phase) {
    case PARK_PHASE_NONE:
        break;
    case PARK_PHASE_PARKED:
        return &pool->parked;
    case PARK_PHASE_REQUEUED:
        return &pool->requeued;
    case PARK_PHASE_BOOKED:
        return &pool->booked;
    case PARK_PHASE_RUNNING:
        return &pool->running;
    }
    return NULL;
}

static bool is_older(const park_task *a, const park_task *b)
{
    if (a->ticket != b->ticket)
        return a->ticket->order < b->ticket->order;
    return a->index < b->index;
}

/* Into another list: at its end, but requeued tasks by age. */
static void move(park_pool *pool, park_task *task, enum park_phase phase, uint64_t now_ns)
{
    park_rate_advance(&pool->rate, now_ns, park_lot_running_locked(pool) > 0);
    if (task->phase != PARK_PHASE_NONE)
        park_list_remove(list_of(pool, task->phase), task);
    task->phase = phase;
    if (phase == PARK_PHASE_NONE)
        return;
    struct park_list *list = list_of(pool, phase);
    park_task *after = list->last;
    while (phase == PARK_PHASE_REQUEUED && after && is_older(task, after))
        after = after->prev;
    park_list_insert(list, after, task);
}

static void take_place(park_pool *pool, park_task *task, uint64_t now_ns)
{
    park_ticket *ticket = task->ticket;
    if (ticket->parked_count++ == 0)
        pool->queued_bytes += ticket->payload_bytes;
    move(pool, task, PARK_PHASE_PARKED, now_ns);
    pool->queue_high_water = max_u64(pool->queue_high_water, pool->parked.count);
}

static void give_place(park_pool *pool, park_ticket *ticket)
{
    ASSERT(ticket->parked_count > 0);
    if (--ticket->parked_count == 0)
        pool->queued_bytes -= ticket->payload_bytes;
}

static void set_state(park_pool *pool, park_ticket *ticket, enum park_state state, uint64_t now_ns)
{
    if (ticket->state == PARK_QUEUED) {
        pool->queued_cost -= ticket->cost;
        ticket->unparked_ns = now_ns;
    } else {
        pool->running_cost -= ticket->cost;
    }
    if (state == PARK_RUNNING)
        pool->running_cost += ticket->cost;
    pool->tickets[ticket->state]--;
    pool->tickets[state]++;
    ticket->state = state;
}

/* That the task may start and its booking are under one hold of the lock (README rule 1). */
static void start(park_pool *pool, park_task *task, enum park_phase phase, uint64_t now_ns)
{
    park_ticket *ticket = task->ticket;
    ASSERT(pool->refused_count == 0 && may_start(pool, &task->room));
    if (task->phase == PARK_PHASE_PARKED)
        give_place(pool, ticket);
    move(pool, task, phase, now_ns);
    struct park_units kept = { 0 };
    for (uint32_t d = 0; d < pool->dim_count; d++)
        kept.n[d] = task->room.n[d] - ticket->need.n[d];
    set_units(pool, task, &ticket->need, &kept);
    if (ticket->state == PARK_QUEUED)
        set_state(pool, ticket, PARK_RUNNING, now_ns);
}

void park_lot_admit_locked(park_pool *pool, park_ticket *ticket, uint64_t start_count,
                           uint64_t now_ns)
{
    uint64_t rest = ticket->task_count - start_count;
    ASSERT(rest == 0 || park_lot_has_places_locked(pool, rest, ticket->payload_bytes));
    ticket->order = ++pool->accepted;
    ticket->submitted_ns = now_ns;
    ticket->state = PARK_QUEUED;
    pool->tickets[PARK_QUEUED]++;
    pool->queued_cost += ticket->cost;
    for (uint32_t i = 0; i < ticket->task_count; i++) {
        if (i < start_count)
            start(pool, &ticket->tasks[i], PARK_PHASE_BOOKED, now_ns);
        else
            take_place(pool, &ticket->tasks[i], now_ns);
    }
}

/* The next task to run, or NULL. What is booked goes first, whoever waits for growth. */
park_task *park_lot_hand_over_locked(park_pool *pool, uint64_t now_ns)
{
    park_task *task = pool->booked.first;
    if (task) {
        move(pool, task, PARK_PHASE_RUNNING, now_ns);
        return task;
    }
    task = next_start(pool);
    if (task)
        start(pool, task, PARK_PHASE_RUNNING, now_ns);
    return task;
}

void park_lot_requeue_locked(park_pool *pool, park_task *task, uint64_t now_ns)
{
    park_ticket *ticket = task->ticket;
    ASSERT(task->phase == PARK_PHASE_RUNNING);
    for (uint32_t d = 0; d < pool->dim_count; d++)
        task->room.n[d] = max_u64(task->room.n[d], task->held.n[d]);
    task->requeues++;
    pool->requeues++;
    lift_refusal(pool, task);
    return_units(pool, task);
    /* Written under this lock. The taker gets a cancelled one back at once, to end it. */
    bool is_cancelled = atom_load_relaxed(&ticket->token) != PARK_REASON_NONE;
    move(pool, task, is_cancelled ? PARK_PHASE_BOOKED : PARK_PHASE_REQUEUED, now_ns);
}

/* ---- ends ---- */

static enum park_reason reason_of(const park_ticket *ticket)
{
    if (ticket->outcome == PARK_FAILED)
        return PARK_REASON_ERROR;
    if (ticket->outcome == PARK_DROPPED)
        return PARK_REASON_DRAINING;
    if (ticket->outcome == PARK_CANCELLED)
        return (enum park_reason)atom_load_relaxed(&ticket->token); /* written under this lock */
    return PARK_REASON_NONE;
}

static void end_ticket(park_pool *pool, park_ticket *ticket, uint64_t now_ns)
{
    /* However it ended: the rate says how fast the work ahead of a newcomer goes away. */
    if (ticket->state == PARK_RUNNING)
        park_rate_finished(&pool->rate, ticket->cost);
    ASSERT(!park_state_is_terminal(ticket->state) && ticket->parked_count == 0);
    set_state(pool, ticket, ticket->outcome, now_ns);
    ticket->reason = reason_of(ticket);
    cond_broadcast(&ticket->ended);
}

bool park_lot_end_locked(park_pool *pool, park_task *task, enum park_state state, uint64_t now_ns)
{
    park_ticket *ticket = task->ticket;
    ASSERT(task->phase != PARK_PHASE_NONE && park_state_is_terminal(state));
    if (task->phase == PARK_PHASE_PARKED)
        give_place(pool, ticket);
    lift_refusal(pool, task);
    return_units(pool, task);
    move(pool, task, PARK_PHASE_NONE, now_ns);
    /* The worst end counts: a failure, then whatever is not a success. */
    if (state == PARK_FAILED || ticket->outcome == PARK_COMPLETED)
        ticket->outcome = state;
    if (++ticket->ended_count < ticket->task_count)
        return false;
    end_ticket(pool, ticket, now_ns);
    return true;
}

bool park_lot_ask_end_locked(park_pool *pool, park_ticket *ticket, enum park_reason reason,
                             uint64_t now_ns)
{
    if (atom_load_relaxed(&ticket->token) != PARK_REASON_NONE) /* written under this lock */
        return false;
    /* Release: partner of the acquire in park_task_reason. */
    atom_store_release(&ticket->token, (int)reason);
    bool has_ended = false;
    for (uint32_t i = 0; i < ticket->task_count; i++) {
        park_task *task = &ticket->tasks[i];
        if (task->phase == PARK_PHASE_PARKED)
            has_ended = park_lot_end_locked(pool, task, PARK_CANCELLED, now_ns);
        else if (task->phase == PARK_PHASE_REQUEUED)
            move(pool, task, PARK_PHASE_BOOKED, now_ns);
        else if (task->phase != PARK_PHASE_NONE)
            pool->news = true;
    }
    return has_ended;
}

void park_lot_drop_queued_locked(park_pool *pool, struct park_list *ended, uint64_t now_ns)
{
    park_task *next;
    for (park_task *task = pool->parked.first; task; task = next) {
        park_ticket *ticket = task->ticket;
        next = task->next;
        if (ticket->state != PARK_QUEUED)
            continue; /* its other tasks have started: it is running work */
        if (park_lot_end_locked(pool, task, PARK_DROPPED, now_ns))
            park_list_push(ended, &ticket->tasks[0]);
    }
}

/* ---- who is told ---- */

bool park_lot_taker_has_reason_locked(const park_pool *pool)
{
    return pool->news || pool->booked.count > 0 || next_start(pool) ||
           (pool->draining && park_lot_is_empty_locked(pool));
}

void park_lot_announce_locked(park_pool *pool)
{
    if (park_lot_taker_has_reason_locked(pool))
        cond_broadcast(&pool->taker);
    if (pool->draining && park_lot_is_empty_locked(pool))
        cond_broadcast(&pool->empty);
}
