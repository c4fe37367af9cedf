/*
 * The lot: every change of a task's phase and of a ticket's state.
 *
 *   tasks:    admit               hand_over, or admit and then hand_over            end
 *       none ───────▶ parked ──────────────────────────────────▶ booked, running ───────▶ none
 *                        │ ask_end               hand_over ▲            │ requeue
 *                        ▼                                 └─ requeued ◀┘
 *                      none                    ask_end: requeued ─▶ booked, with no units
 *
 *   tickets:  queued ── its first task starts ──▶ running ── its last task ends, or abandon ──▶
 *                └── ask_end ──▶ cancelled, expired, dropped         completed, failed,
 *                                                                    cancelled, expired, dropped
 *
 * Invariants (park_check walks them):
 *   1. A task is in the one list that its phase names (parked: in the order, by its ticket); a
 *      task that is new or has ended is in none. A ticket all of whose tasks have ended is
 *      terminal; a terminal one with tasks is a zombie, and these are booked or running.
 *   2. booked + running <= running_max, but for tasks that hold nothing because they came back
 *      cancelled, and after running_max became smaller.
 *   3. Everything that holds units in booked started before anything that waits will.
 *   4. A ticket whose token is set has no parked and no requeued tasks.
 *   5. submitted = rejected + the tickets of all states.
 *
 * Threads: the caller holds the pool's lock, by a pass.
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
    return pool->tickets[PARK_QUEUED] == 0 && pool->tickets[PARK_RUNNING] == 0 &&
           pool->zombies == 0;
}

/* The waiting task that starts next, or NULL: README rules 2 and 15. */
static park_task *next_start(const park_pool *pool)
{
    if (pool->refused_count > 0 || pool->is_paused)
        return NULL;
    park_task *head = park_order_next_locked(pool);
    return head && park_books_fit_locked(pool, head) ? head : NULL;
}

static void set_state(park_pool *pool, park_ticket *ticket, enum park_state state)
{
    if (ticket->state == PARK_QUEUED)
        pool->queued_cost -= ticket->cost;
    else
        pool->running_cost -= ticket->cost;
    if (state == PARK_RUNNING)
        pool->running_cost += ticket->cost;
    park_stats_move_locked(pool, ticket, &ticket->state, state);
    ticket->state = state;
}

/* ---- starts ---- */

static void unpark(park_pool *pool, park_ticket *ticket, uint32_t count)
{
    struct park_places places;
    size_t bytes = ticket->parked_count == count ? ticket->payload_bytes : 0;
    bool is_whole = park_books_places_of(&ticket->need, count, bytes, &places);
    ASSERT(is_whole);
    park_books_give_places_locked(pool, ticket->klass, &places);
    park_order_unpark_locked(pool, ticket, count);
}

static struct park_list *list_of(park_pool *pool, enum park_phase phase)
{
    ASSERT(phase == PARK_PHASE_BOOKED || phase == PARK_PHASE_RUNNING);
    return phase == PARK_PHASE_BOOKED ? &pool->booked : &pool->running;
}

static void enter(park_pool *pool, park_task *task, enum park_phase phase)
{
    task->phase = phase;
    park_list_push(list_of(pool, phase), task);
}

/* That the task may start and its booking are under one hold of the lock (README rule 1). */
static void start(struct park_pass *pass, park_task *task, enum park_phase phase)
{
    park_pool *pool = pass->pool;
    park_ticket *ticket = task->ticket;
    enum park_state before = ticket->state;
    ASSERT(pool->refused_count == 0 && park_books_fit_locked(pool, task));
    park_order_note_start_locked(pool, task);
    if (task->phase == PARK_PHASE_PARKED)
        unpark(pool, ticket, 1);
    else if (task->phase == PARK_PHASE_REQUEUED)
        park_order_unqueue_locked(pool, task);
    enter(pool, task, phase);
    struct park_units kept = { 0 };
    for (uint32_t d = 0; d < pool->dim_count; d++)
        kept.n[d] = task->room.n[d] - ticket->need.n[d];
    park_books_set_locked(pool, task, &ticket->need, &kept);
    if (ticket->state == PARK_QUEUED) {
        ticket->started_ns = pass->now_ns;
        set_state(pool, ticket, PARK_RUNNING);
        park_timer_of_ticket_locked(pool, ticket);
        park_histogram_add(&pool->lanes[ticket->klass].wait,
                           park_elapsed_ns(ticket->submitted_ns, pass->now_ns));
    }
    park_audit_change_locked(pass, PARK_AUDIT_START, before, ticket, task);
}

static void park(struct park_pass *pass, park_ticket *ticket, uint32_t count)
{
    park_pool *pool = pass->pool;
    struct park_places places;
    bool is_whole = park_books_places_of(&ticket->need, count, ticket->payload_bytes, &places);
    ASSERT(is_whole);
    park_books_take_places_locked(pool, ticket->klass, &places);
    for (uint32_t i = ticket->task_count - count; i < ticket->task_count; i++)
        ticket->tasks[i].phase = PARK_PHASE_PARKED;
    park_order_park_locked(pool, ticket, count);
    if (pool->parked_count > pool->queue_high_water)
        pool->queue_high_water = pool->parked_count;
}

void park_lot_admit_locked(struct park_pass *pass, park_ticket *ticket, uint64_t start_count)
{
    park_pool *pool = pass->pool;
    ticket->order = ++pool->accepted;
    ticket->state = PARK_QUEUED;
    park_stats_move_locked(pool, ticket, NULL, PARK_QUEUED);
    pool->queued_cost += ticket->cost;
    park_audit_event_locked(pass, PARK_AUDIT_SUBMIT, ticket, NULL);
    for (uint32_t i = 0; i < start_count; i++)
        start(pass, &ticket->tasks[i], PARK_PHASE_BOOKED);
    if (start_count < ticket->task_count)
        park(pass, ticket, ticket->task_count - (uint32_t)start_count);
    park_timer_of_ticket_locked(pool, ticket);
}

/* The next task to run, or NULL. What is booked goes first, whoever waits for growth. */
park_task *park_lot_hand_over_locked(struct park_pass *pass)
{
    park_pool *pool = pass->pool;
    park_task *task = pool->booked.first;
    if (task) {
        park_list_remove(&pool->booked, task);
        enter(pool, task, PARK_PHASE_RUNNING);
        return task;
    }
    task = next_start(pool);
    if (task)
        start(pass, task, PARK_PHASE_RUNNING);
    return task;
}

void park_lot_requeue_locked(struct park_pass *pass, park_task *task)
{
    park_pool *pool = pass->pool;
    park_ticket *ticket = task->ticket;
    ASSERT(task->phase == PARK_PHASE_RUNNING);
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        if (task->held.n[d] > task->room.n[d])
            task->room.n[d] = task->held.n[d];
    }
    park_books_clip_room_locked(pool, task);
    task->requeues++;
    pool->requeues++;
    park_audit_event_locked(pass, PARK_AUDIT_REQUEUE, ticket, task);
    park_books_lift_refusal_locked(pool, task);
    park_books_set_locked(pool, task, NULL, NULL);
    park_list_remove(&pool->running, task);
    /* Written under this lock. The taker gets a cancelled one back at once, to end it. */
    if (atom_load_relaxed(&ticket->token) != PARK_REASON_NONE) {
        enter(pool, task, PARK_PHASE_BOOKED);
        return;
    }
    task->phase = PARK_PHASE_REQUEUED;
    park_order_requeue_locked(pool, task);
    if (park_books_never_fits_locked(pool, ticket))
        park_lot_ask_end_locked(pass, ticket, PARK_REASON_NO_LONGER_FITS);
}

/* ---- ends ---- */

static enum park_reason token_of(const park_ticket *ticket)
{
    return (enum park_reason)atom_load_relaxed(&ticket->token); /* written under the pool lock */
}

static enum park_state state_of_token(enum park_reason reason)
{
    switch (reason) {
    case PARK_REASON_NONE: /* the taker gave up by itself */
    case PARK_REASON_CLIENT:
    case PARK_REASON_DISCONNECT:
    case PARK_REASON_SLOW_READER:
    case PARK_REASON_SHUTDOWN:
        return PARK_CANCELLED;
    case PARK_REASON_DRAINING:
    case PARK_REASON_NO_LONGER_FITS:
        return PARK_DROPPED;
    case PARK_REASON_QUEUE_TIMEOUT:
    case PARK_REASON_DEADLINE:
    case PARK_REASON_RUN_TIMEOUT:
        return PARK_EXPIRED;
    case PARK_REASON_ERROR:
    case PARK_REASON_WORKER_DIED:
        break;
    }
    return PARK_FAILED;
}

static void end_ticket(struct park_pass *pass, park_ticket *ticket)
{
    park_pool *pool = pass->pool;
    struct park_lane *lane = &pool->lanes[ticket->klass];
    ASSERT(!park_state_is_terminal(ticket->state) && ticket->parked_count == 0);
    /* However it ended: the rate says how fast the work ahead of a newcomer goes away. */
    if (ticket->state == PARK_RUNNING)
        park_rate_finished(&pool->rate, ticket->cost);
    enum park_state state = ticket->outcome;
    if (state == PARK_FAILED)
        ticket->reason = ticket->failure;
    else if (state == PARK_CANCELLED)
        ticket->reason = token_of(ticket);
    if (state == PARK_CANCELLED)
        state = state_of_token(ticket->reason);
    ticket->ended_ns = pass->now_ns;
    enum park_state before = ticket->state;
    bool has_started = before == PARK_RUNNING;
    set_state(pool, ticket, state);
    park_histogram_add(
        has_started ? &lane->run : &lane->wait,
        park_elapsed_ns(has_started ? ticket->started_ns : ticket->submitted_ns, pass->now_ns));
    park_timer_of_ticket_locked(pool, ticket);
    park_audit_change_locked(pass, PARK_AUDIT_END, before, ticket, NULL);
    cond_broadcast(&ticket->changed);
    park_pass_tell(pass, ticket);
    park_store_keep_locked(pass, ticket);
}

static void note_ends(struct park_pass *pass, park_ticket *ticket, uint32_t count,
                      enum park_state state)
{
    /* The worst end counts: a failure, then whatever is not a success. */
    if (state == PARK_FAILED || ticket->outcome == PARK_COMPLETED)
        ticket->outcome = state;
    ticket->ended_count += count;
    if (ticket->ended_count < ticket->task_count)
        return;
    if (park_state_is_terminal(ticket->state))
        pass->pool->zombies--;
    else
        end_ticket(pass, ticket);
    park_pass_release(pass, ticket);
}

void park_lot_end_locked(struct park_pass *pass, park_task *task, enum park_state state)
{
    park_pool *pool = pass->pool;
    park_ticket *ticket = task->ticket;
    park_books_lift_refusal_locked(pool, task);
    park_books_set_locked(pool, task, NULL, NULL);
    park_list_remove(list_of(pool, task->phase), task);
    task->phase = PARK_PHASE_NONE;
    if (park_state_is_terminal(ticket->state)) {
        pool->late_finishes++;
        park_audit_event_locked(pass, PARK_AUDIT_LATE_FINISH, ticket, task);
        state = ticket->outcome;
    }
    note_ends(pass, ticket, 1, state);
}

static void end_parked(struct park_pass *pass, park_ticket *ticket)
{
    uint32_t count = ticket->parked_count;
    if (count == 0)
        return;
    unpark(pass->pool, ticket, count);
    for (uint32_t i = ticket->task_count - count; i < ticket->task_count; i++)
        ticket->tasks[i].phase = PARK_PHASE_NONE;
    note_ends(pass, ticket, count, PARK_CANCELLED);
}

void park_lot_ask_end_locked(struct park_pass *pass, park_ticket *ticket, enum park_reason reason)
{
    park_pool *pool = pass->pool;
    if (token_of(ticket) != PARK_REASON_NONE)
        return;
    /* Release: partner of the acquire in park_task_reason. */
    atom_store_release(&ticket->token, (int)reason);
    ticket->token_ns = pass->now_ns;
    bool is_running = ticket->state == PARK_RUNNING;
    end_parked(pass, ticket);
    for (uint32_t i = 0; i < ticket->task_count; i++) {
        park_task *task = &ticket->tasks[i];
        if (task->phase == PARK_PHASE_REQUEUED) {
            park_order_unqueue_locked(pool, task);
            enter(pool, task, PARK_PHASE_BOOKED);
        } else if (task->phase != PARK_PHASE_NONE) {
            pool->news = true;
        }
    }
    if (!is_running || park_state_is_terminal(ticket->state))
        return;
    park_audit_event_locked(pass, PARK_AUDIT_CANCEL_REQUEST, ticket, NULL);
    park_timer_of_ticket_locked(pool, ticket);
    cond_broadcast(&ticket->changed);
}

void park_lot_abandon_locked(struct park_pass *pass, park_ticket *ticket)
{
    ASSERT(token_of(ticket) != PARK_REASON_NONE && ticket->ended_count < ticket->task_count);
    if (ticket->outcome == PARK_COMPLETED)
        ticket->outcome = PARK_CANCELLED;
    lock_take(&ticket->events_lock);
    ticket->is_silent = true;
    lock_give(&ticket->events_lock);
    pass->pool->zombies++;
    end_ticket(pass, ticket);
}

void park_lot_drop_queued_locked(struct park_pass *pass)
{
    for (int c = 0; c < PARK_CLASS_COUNT; c++) {
        park_ticket *next;
        for (park_ticket *ticket = pass->pool->lanes[c].oldest; ticket; ticket = next) {
            next = ticket->younger;
            if (ticket->state == PARK_QUEUED) /* else it is running work */
                park_lot_ask_end_locked(pass, ticket, PARK_REASON_DRAINING);
        }
    }
}

/*
 * Once nothing queued is left, every task belongs to a running ticket. Parked tasks end and
 * requeued ones become booked, so both run empty.
 */
void park_lot_ask_all_locked(struct park_pass *pass)
{
    park_pool *pool = pass->pool;
    for (int c = 0; c < PARK_CLASS_COUNT; c++) {
        struct park_lane *lane = &pool->lanes[c];
        while (lane->oldest)
            park_lot_ask_end_locked(pass, lane->oldest, PARK_REASON_SHUTDOWN);
        while (lane->requeued.first)
            park_lot_ask_end_locked(pass, lane->requeued.first->ticket, PARK_REASON_SHUTDOWN);
    }
    for (park_task *task = pool->booked.first; task; task = task->next)
        park_lot_ask_end_locked(pass, task->ticket, PARK_REASON_SHUTDOWN);
    for (park_task *task = pool->running.first; task; task = task->next)
        park_lot_ask_end_locked(pass, task->ticket, PARK_REASON_SHUTDOWN);
}

/* ---- who is told ---- */

bool park_lot_can_take_locked(const park_pool *pool)
{
    return pool->booked.count > 0 || next_start(pool);
}

bool park_lot_taker_has_reason_locked(const park_pool *pool)
{
    return pool->news || park_lot_can_take_locked(pool) ||
           (pool->draining && park_lot_is_empty_locked(pool));
}

void park_lot_announce_locked(park_pool *pool)
{
    /* One worker at a time: the one that takes something tells the next. */
    if (pool->crew.count > 0 && park_lot_can_take_locked(pool))
        cond_signal(&pool->taker);
    if (pool->crew.count == 0 && park_lot_taker_has_reason_locked(pool))
        cond_broadcast(&pool->taker);
    if (pool->draining && park_lot_is_empty_locked(pool))
        cond_broadcast(&pool->empty);
}
