/*
 * The taker's side: one engine thread takes what may run, waits for reasons to look, changes
 * what a task holds, gives it back, and finishes what it took.
 *
 * No reason is lost (README rule 5): what can be taken, and draining with nothing left, are
 * read from the lot itself; a cancelled task, units that returned while growth was refused,
 * room in a full ring and park_wake set `news`, which stays until a park_take_wait has
 * returned for it.
 *
 * Threads: the taker, but for park_wake and park_taker_note_full, which any thread calls.
 */
#include "park/park_int.h"

#include <string.h>

#include "base/assert.h"
#include "base/atom.h"
#include "base/text.h"

/* Nothing tells when memory is there again, so the taker looks after this time. */
#define MEMORY_RETRY_MS 10

size_t park_take(park_pool *pool, park_task **tasks, size_t count_max)
{
    struct park_pass pass;
    size_t n = 0;
    park_pass_begin(&pass, pool);
    ASSERT(pool->crew.count == 0);
    while (n < count_max) {
        park_task *task = park_lot_hand_over_locked(&pass);
        if (!task)
            break;
        tasks[n++] = task;
    }
    park_pass_end(&pass);
    return n;
}

void park_take_wait(park_pool *pool, int64_t timeout_ms)
{
    uint64_t deadline_ns = park_deadline_ns(timeout_ms);
    uint64_t retry_ns = park_deadline_ns(MEMORY_RETRY_MS);
    struct park_pass pass;
    park_pass_begin(&pass, pool);
    if (pool->memory_short && retry_ns < deadline_ns)
        deadline_ns = retry_ns;
    while (!park_lot_taker_has_reason_locked(pool)) {
        if (!park_pass_sleep(&pass, &pool->taker, deadline_ns))
            break;
    }
    pool->news = false;
    pool->memory_short = false;
    park_pass_end(&pass);
}

void park_wake(park_pool *pool)
{
    lock_take(&pool->lock);
    pool->news = true;
    park_lot_announce_locked(pool);
    lock_give(&pool->lock);
}

uint64_t park_tick(park_pool *pool)
{
    struct park_pass pass;
    park_pass_begin(&pass, pool);
    uint64_t next_ns = park_timer_next_locked(pool);
    pool->timer_told_ns = next_ns;
    park_pass_end(&pass);
    return next_ns;
}

void park_taker_note_full(park_pool *pool, bool memory_short)
{
    lock_take(&pool->lock);
    pool->events_full++;
    if (memory_short)
        pool->memory_short = true;
    lock_give(&pool->lock);
}

void park_taker_note_room(park_ticket *ticket)
{
    park_pool *pool = ticket->pool;
    lock_take(&pool->lock);
    pool->news = true;
    for (uint32_t i = 0; i < ticket->task_count; i++) /* whichever of them waits */
        ticket->tasks[i].has_room = true;
    cond_broadcast(&ticket->changed);
    park_lot_announce_locked(pool);
    lock_give(&pool->lock);
}

void *park_task_payload(const park_task *task)
{
    return task->ticket->payload;
}

uint32_t park_task_index(const park_task *task)
{
    return task->index;
}

enum park_class park_task_class(const park_task *task)
{
    return task->ticket->klass;
}

void park_task_set_user(park_task *task, void *user)
{
    task->user = user;
}

void *park_task_user(const park_task *task)
{
    return task->user;
}

park_ticket *park_task_ticket(const park_task *task)
{
    return task->ticket;
}

enum park_reason park_task_reason(const park_task *task)
{
    /* Acquire: partner of the release in park_lot_ask_end_locked. */
    return (enum park_reason)atom_load_acquire(&task->ticket->token);
}

bool park_task_cancelled(const park_task *task)
{
    return park_task_reason(task) != PARK_REASON_NONE;
}

enum park_err park_task_wait(park_task *task, int64_t timeout_ms)
{
    park_ticket *ticket = task->ticket;
    uint64_t deadline_ns = park_deadline_ns(timeout_ms);
    struct park_pass pass;
    park_pass_begin(&pass, ticket->pool);
    while (!task->has_room && !park_task_cancelled(task)) {
        if (!park_pass_sleep(&pass, &ticket->changed, deadline_ns))
            break;
    }
    bool has_come = task->has_room || park_task_cancelled(task);
    task->has_room = false;
    park_pass_end(&pass);
    return has_come ? PARK_OK : PARK_E_TIMEOUT;
}

enum park_err park_adjust(park_task *task, const struct park_units *total)
{
    struct park_pass pass;
    park_pass_begin(&pass, task->ticket->pool);
    enum park_err rc = park_books_adjust_locked(&pass, task, total);
    park_pass_end(&pass);
    return rc;
}

/* Whether `task` should rather give way than `other`: README rule 16. */
static bool gives_way_before(const park_task *task, const park_task *other)
{
    bool is_tired = task->requeues >= PARK_PREEMPTS_MAX;
    bool other_is_tired = other->requeues >= PARK_PREEMPTS_MAX;
    if (is_tired != other_is_tired)
        return other_is_tired;
    return task->ticket->klass > other->ticket->klass;
}

/* The oldest running task of the highest class that runs: it is never asked to give way. */
static const park_task *oldest_of_best(const park_pool *pool)
{
    const park_task *best = pool->running.first;
    for (const park_task *task = best; task; task = task->next) {
        if (task->ticket->klass < best->ticket->klass)
            best = task;
    }
    return best;
}

park_task *park_victim(park_pool *pool)
{
    park_task *victim = NULL;
    lock_take(&pool->lock);
    const park_task *spared = oldest_of_best(pool);
    for (park_task *task = pool->running.last; task; task = task->prev) { /* latest start first */
        if (task != spared && (!victim || gives_way_before(task, victim)))
            victim = task;
    }
    lock_give(&pool->lock);
    return victim;
}

static bool may_be_outranked(const park_task *task)
{
    return task->ticket->klass == PARK_CLASS_LOW && task->requeues < PARK_PREEMPTS_MAX &&
           !park_task_cancelled(task);
}

/* Whether `next` would fit, if all that may be outranked gave way. */
static bool would_fit_locked(const park_pool *pool, const park_task *next)
{
    struct park_units freed = { { 0 } };
    uint64_t left = park_lot_running_locked(pool);
    for (const park_task *task = pool->running.first; task; task = task->next) {
        if (!may_be_outranked(task))
            continue;
        for (uint32_t d = 0; d < pool->dim_count; d++)
            freed.n[d] += task->held.n[d] + task->kept.n[d];
        left--;
    }
    return left < pool->options.running_max && park_books_fit_after_locked(pool, next, &freed);
}

park_task *park_outranked(park_pool *pool)
{
    park_task *found = NULL;
    struct park_pass pass;
    park_pass_begin(&pass, pool);
    const park_task *next = park_order_next_locked(pool);
    bool is_wanted = next && next->ticket->klass <= PARK_CLASS_HIGH && pool->refused_count == 0 &&
                     !pool->is_paused && !park_books_fit_locked(pool, next);
    if (is_wanted && would_fit_locked(pool, next)) {
        found = pool->running.last;
        while (found && !may_be_outranked(found))
            found = found->prev;
    }
    park_pass_end(&pass);
    return found;
}

void park_requeue(park_task *task)
{
    struct park_pass pass;
    park_worker_forget(task);
    park_pass_begin(&pass, task->ticket->pool);
    park_lot_requeue_locked(&pass, task);
    park_pass_end(&pass);
}

/* Copies what fits, without half a character at the end. */
static void set_error_text(char *out, size_t size, const char *text)
{
    size_t len = strnlen(text, size);
    if (len == size) {
        len = size - 1;
        for (size_t tail = 1; tail <= 3; tail++) {
            if (utf8_is_cut(text + len - tail, tail)) {
                len -= tail;
                break;
            }
        }
    }
    memcpy(out, text, len);
    out[len] = '\0';
}

static void note_failure(park_ticket *ticket, const struct park_outcome *outcome,
                         enum park_reason failure)
{
    ticket->failure = failure;
    ticket->error_code = outcome->error_code;
    if (outcome->error_text)
        set_error_text(ticket->error_text, sizeof ticket->error_text, outcome->error_text);
}

/* How the end counts: a failure after somebody asked for the end is the end that was asked for. */
static enum park_state state_of_outcome(const park_task *task, const struct park_outcome *outcome)
{
    enum park_reason token = park_task_reason(task);
    if (outcome->state == PARK_FAILED && token != PARK_REASON_NONE && token != PARK_REASON_ERROR)
        return PARK_CANCELLED;
    return outcome->state;
}

void park_taker_finish(park_task *task, const struct park_outcome *outcome,
                       enum park_reason failure)
{
    ASSERT(outcome->state == PARK_COMPLETED || outcome->state == PARK_FAILED ||
           outcome->state == PARK_CANCELLED);
    park_ticket *ticket = task->ticket;
    struct park_pass pass;
    park_worker_forget(task);
    park_pass_begin(&pass, ticket->pool);
    ASSERT(task->phase == PARK_PHASE_RUNNING);
    bool is_late = park_state_is_terminal(ticket->state);
    enum park_state state = state_of_outcome(task, outcome);
    if (state == PARK_FAILED && ticket->outcome != PARK_FAILED && !is_late)
        note_failure(ticket, outcome, failure);
    if (!is_late && outcome->result)
        park_result_put_locked(task, outcome);
    park_ticket_ref(ticket);
    park_lot_end_locked(&pass, task, state);
    if (state == PARK_FAILED && !park_state_is_terminal(ticket->state))
        park_lot_ask_end_locked(&pass, ticket, PARK_REASON_ERROR); /* its siblings, too */
    park_pass_end(&pass);
    if (is_late && outcome->result && outcome->result_destroy)
        outcome->result_destroy(outcome->result);
    park_ticket_unref(ticket);
}

void park_finish(park_task *task, const struct park_outcome *outcome)
{
    park_taker_finish(task, outcome, PARK_REASON_ERROR);
}
