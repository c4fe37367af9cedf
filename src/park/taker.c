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
    uint64_t now_ns = park_now_ns(pool);
    size_t n = 0;
    lock_take(&pool->lock);
    while (n < count_max) {
        park_task *task = park_lot_hand_over_locked(pool, now_ns);
        if (!task)
            break;
        tasks[n++] = task;
    }
    lock_give(&pool->lock);
    return n;
}

void park_take_wait(park_pool *pool, int64_t timeout_ms)
{
    uint64_t deadline_ns = park_deadline_ns(timeout_ms);
    uint64_t retry_ns = park_deadline_ns(MEMORY_RETRY_MS);
    lock_take(&pool->lock);
    if (pool->memory_short && retry_ns < deadline_ns)
        deadline_ns = retry_ns;
    bool in_time = true;
    while (!park_lot_taker_has_reason_locked(pool) && in_time)
        in_time = park_cond_wait(&pool->taker, &pool->lock, deadline_ns);
    pool->news = false;
    pool->memory_short = false;
    lock_give(&pool->lock);
}

void park_wake(park_pool *pool)
{
    lock_take(&pool->lock);
    pool->news = true;
    park_lot_announce_locked(pool);
    lock_give(&pool->lock);
}

void park_taker_note_full(park_pool *pool, bool memory_short)
{
    lock_take(&pool->lock);
    pool->events_full++;
    if (memory_short)
        pool->memory_short = true;
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

enum park_err park_adjust(park_task *task, const struct park_units *total)
{
    park_pool *pool = task->ticket->pool;
    lock_take(&pool->lock);
    enum park_err rc = park_lot_adjust_locked(pool, task, total);
    park_lot_announce_locked(pool);
    lock_give(&pool->lock);
    return rc;
}

park_task *park_victim(park_pool *pool)
{
    park_task *victim = NULL;
    lock_take(&pool->lock);
    /* From the latest start to the second oldest: the oldest is never asked to give way. */
    park_task *task = pool->running.last;
    while (task && task->prev && (!victim || victim->requeues >= PARK_PREEMPTS_MAX)) {
        if (!victim || task->requeues < PARK_PREEMPTS_MAX)
            victim = task;
        task = task->prev;
    }
    lock_give(&pool->lock);
    return victim;
}

void park_requeue(park_task *task)
{
    park_pool *pool = task->ticket->pool;
    uint64_t now_ns = park_now_ns(pool);
    lock_take(&pool->lock);
    park_lot_requeue_locked(pool, task, now_ns);
    park_lot_announce_locked(pool);
    lock_give(&pool->lock);
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

void park_finish(park_task *task, const struct park_outcome *outcome)
{
    ASSERT(outcome->state == PARK_COMPLETED || outcome->state == PARK_FAILED ||
           outcome->state == PARK_CANCELLED);
    park_ticket *ticket = task->ticket;
    park_pool *pool = ticket->pool;
    uint64_t now_ns = park_now_ns(pool);
    lock_take(&pool->lock);
    ASSERT(task->phase == PARK_PHASE_RUNNING);
    if (outcome->state == PARK_FAILED && ticket->outcome != PARK_FAILED) {
        ticket->error_code = outcome->error_code;
        if (outcome->error_text)
            set_error_text(ticket->error_text, sizeof ticket->error_text, outcome->error_text);
    }
    bool has_ended = park_lot_end_locked(pool, task, outcome->state, now_ns);
    if (!has_ended && outcome->state == PARK_FAILED) /* its siblings shall end, too */
        has_ended = park_lot_ask_end_locked(pool, ticket, PARK_REASON_ERROR, now_ns);
    park_lot_announce_locked(pool);
    lock_give(&pool->lock);
    if (has_ended)
        park_ticket_settle(ticket);
}
