/*
 * Passes (park_int.h), what is settled after one, and blocking with a limit.
 *
 * Settling, outside all locks and in this order: payloads of tickets whose last task has ended
 * are destroyed, inboxes of terminal ones told, what left the store goes. Each of the three
 * happens once for a ticket, so its links belong to the pass in which it does; a list holds a
 * reference on what it names.
 *
 * Threads: any; a pass belongs to one.
 */
#include "park/park_int.h"

#include "base/assert.h"

uint64_t park_deadline_ns(int64_t timeout_ms)
{
    if (timeout_ms < 0)
        return PARK_NEVER;
    if (timeout_ms == 0)
        return 0;
    return park_time_after_ms(clock_now_ns(&base_clock_monotonic), (uint64_t)timeout_ms);
}

void park_pass_begin(struct park_pass *pass, park_pool *pool)
{
    uint64_t now_ns = park_now_ns(pool);
    *pass = (struct park_pass){ .pool = pool };
    lock_take(&pool->lock);
    /* Two threads read the clock before they take the lock, in either order. */
    if (now_ns > pool->now_ns)
        pool->now_ns = now_ns;
    pass->now_ns = pool->now_ns;
    park_rate_advance(&pool->rate, pass->now_ns, park_lot_running_locked(pool) > 0);
    park_timer_run_locked(pass);
}

void park_pass_tell(struct park_pass *pass, park_ticket *ticket)
{
    park_ticket_ref(ticket);
    if (pass->told_last)
        pass->told_last->told_next = ticket;
    else
        pass->told_first = ticket;
    pass->told_last = ticket;
}

void park_pass_release(struct park_pass *pass, park_ticket *ticket)
{
    if (pass->released_last)
        pass->released_last->released_next = ticket;
    else
        pass->released_first = ticket;
    pass->released_last = ticket;
}

void park_pass_leave(struct park_pass *pass, park_ticket *ticket)
{
    if (pass->left_last)
        pass->left_last->left_next = ticket;
    else
        pass->left_first = ticket;
    pass->left_last = ticket;
}

static void settle(struct park_pass *pass)
{
    park_ticket *next;
    lock_check_none_held();
    for (park_ticket *ticket = pass->released_first; ticket; ticket = ticket->released_next) {
        if (ticket->payload_destroy)
            ticket->payload_destroy(ticket->payload);
    }
    for (park_ticket *ticket = pass->told_first; ticket; ticket = next) {
        next = ticket->told_next;
        park_inbox_tell(ticket);
        park_ticket_unref(ticket);
    }
    for (park_ticket *ticket = pass->released_first; ticket; ticket = next) {
        next = ticket->released_next;
        park_ticket_unref(ticket);
    }
    for (park_ticket *ticket = pass->left_first; ticket; ticket = next) {
        next = ticket->left_next;
        park_result_drop_all(ticket);
        park_ticket_unref(ticket);
    }
    while (pass->tombstones) {
        struct park_record *record = pass->tombstones;
        pass->tombstones = record->next;
        mem_free(record);
    }
}

/* Sleepers that would look too late. True: so would the one who drives the timers. */
static bool announce_timers(park_pool *pool)
{
    uint64_t next_ns = park_timer_next_locked(pool);
    if (next_ns < pool->timer_slept_ns) {
        pool->timer_slept_ns = next_ns;
        if (pool->crew.count == 0)
            cond_broadcast(&pool->taker);
        cond_broadcast(&pool->empty);
        cond_broadcast(&pool->crew.changed);
    }
    if (next_ns >= pool->timer_told_ns)
        return false;
    pool->timer_told_ns = next_ns;
    return true;
}

void park_pass_end(struct park_pass *pass)
{
    park_pool *pool = pass->pool;
    park_lot_announce_locked(pool);
    bool is_moved = announce_timers(pool);
    void (*timer_moved)(void *) = pool->options.timer_moved;
    void *arg = pool->options.timer_arg;
    lock_give(&pool->lock);
    settle(pass);
    if (is_moved && timer_moved)
        timer_moved(arg);
}

/* What the pass's timers brought about for others, who must not wait for us. */
static bool has_to_end(const struct park_pass *pass)
{
    return pass->told_first || pass->released_first || pass->left_first || pass->tombstones ||
           park_timer_next_locked(pass->pool) < pass->pool->timer_told_ns;
}

bool park_pass_sleep(struct park_pass *pass, struct base_cond *cond, uint64_t deadline_ns)
{
    park_pool *pool = pass->pool;
    if (has_to_end(pass)) {
        park_pass_end(pass);
        park_pass_begin(pass, pool);
        return true;
    }
    uint64_t now_ns = clock_now_ns(&base_clock_monotonic);
    if (now_ns >= deadline_ns)
        return false;
    park_lot_announce_locked(pool);
    uint64_t next_ns = park_timer_next_locked(pool);
    pool->timer_slept_ns = next_ns;
    uint64_t until_ns = deadline_ns;
    if (next_ns != PARK_NEVER) { /* on the pool's clock, which may be another */
        uint64_t wait_ns = park_elapsed_ns(pass->now_ns, next_ns);
        if (wait_ns < PARK_NEVER - now_ns && now_ns + wait_ns < deadline_ns)
            until_ns = now_ns + wait_ns;
    }
    if (until_ns == PARK_NEVER)
        cond_wait(cond, &pool->lock);
    else
        cond_wait_until(cond, &pool->lock, until_ns);
    lock_give(&pool->lock);
    park_pass_begin(pass, pool);
    return true;
}

void park_pass_rest(struct park_pass *pass, struct base_cond *cond)
{
    park_pool *pool = pass->pool;
    if (has_to_end(pass)) {
        park_pass_end(pass);
    } else {
        park_lot_announce_locked(pool);
        cond_wait(cond, &pool->lock);
        lock_give(&pool->lock);
    }
    park_pass_begin(pass, pool);
}
