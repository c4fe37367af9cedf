/*
 * The taker's side: one engine thread takes what may run, waits for reasons to look, and
 * finishes what it took.
 *
 * No reason is lost (README rule 5): what can be taken, and draining with nothing left, are
 * read from the lot itself; a cancelled task, room in a full ring and park_wake set `news`,
 * which stays until a park_take_wait has returned for it.
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
        park_ticket *ticket = park_lot_hand_over_locked(pool, now_ns);
        if (!ticket)
            break;
        tasks[n++] = &ticket->task;
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
    return task->payload;
}

park_ticket *park_task_ticket(const park_task *task)
{
    return task->ticket;
}

enum park_reason park_task_reason(const park_task *task)
{
    /* Acquire: partner of the release in park_lot_ask_end_locked. */
    return (enum park_reason)atom_load_acquire(&task->token);
}

bool park_task_cancelled(const park_task *task)
{
    return park_task_reason(task) != PARK_REASON_NONE;
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

static enum park_reason reason_of(const park_task *task, enum park_state state)
{
    if (state == PARK_FAILED)
        return PARK_REASON_ERROR;
    return state == PARK_CANCELLED ? park_task_reason(task) : PARK_REASON_NONE;
}

void park_finish(park_task *task, const struct park_outcome *outcome)
{
    ASSERT(outcome->state == PARK_COMPLETED || outcome->state == PARK_FAILED ||
           outcome->state == PARK_CANCELLED);
    park_ticket *ticket = task->ticket;
    park_pool *pool = ticket->pool;
    uint64_t now_ns = park_now_ns(pool);
    lock_take(&pool->lock);
    ASSERT(ticket->state == PARK_RUNNING && ticket->is_handed);
    if (outcome->state == PARK_FAILED) {
        ticket->error_code = outcome->error_code;
        if (outcome->error_text)
            set_error_text(ticket->error_text, sizeof ticket->error_text, outcome->error_text);
    }
    park_lot_end_locked(pool, ticket, outcome->state, reason_of(task, outcome->state), now_ns);
    park_lot_announce_locked(pool);
    lock_give(&pool->lock);
    park_ticket_settle(ticket);
}
