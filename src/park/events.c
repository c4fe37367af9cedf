/*
 * Events from the taker to any number of readers, through the ticket's ring.
 *
 * A full ring never loses an event and never lets the taker spin (README rules 8 to 10):
 *   - park_emit leaves in the ring how much room it wanted and answers AGAIN;
 *   - the read that makes this room wakes the taker;
 *   - where memory was refused, no read may ever come, so park_take_wait returns soon by
 *     itself (taker.c).
 *
 * Threads: the taker emits, any thread reads. The events lock is given back before the
 * pool's is taken.
 */
#include "park/park_int.h"

#include "base/assert.h"
#include "base/atom.h"

enum park_err park_emit(park_task *task, uint32_t type, const void *data, size_t len)
{
    park_ticket *ticket = task->ticket;
    park_pool *pool = ticket->pool;
    DCHECK(task->phase == PARK_PHASE_RUNNING);
    if (!park_ring_can_hold(&ticket->ring, len) || (len > 0 && !data))
        return PARK_E_INVALID;
    lock_take(&ticket->events_lock);
    if (ticket->is_silent) {
        lock_give(&ticket->events_lock);
        return PARK_OK;
    }
    enum park_err rc = park_ring_push(&ticket->ring, type, data, len);
    if (rc == PARK_OK) {
        /* Release: partner of the acquire in park_status. */
        atom_store_release(&ticket->event_last, ticket->ring.last);
    }
    lock_give(&ticket->events_lock);
    if (rc) {
        park_taker_note_full(pool, rc == PARK_E_NOMEM);
        return PARK_E_AGAIN;
    }
    /* Relaxed: a statistic; nothing is ordered by it. */
    atom_add_relaxed(&pool->events, 1);
    park_inbox_tell(ticket);
    return PARK_OK;
}

enum park_err park_events_read(park_ticket *ticket, uint64_t after, void *buffer,
                               size_t buffer_size, struct park_event *events, size_t count_max,
                               size_t *count, uint64_t *first)
{
    lock_take(&ticket->events_lock);
    enum park_err rc =
        park_ring_read(&ticket->ring, after, buffer, buffer_size, events, count_max, count);
    bool room_came = rc == PARK_OK && park_ring_room_came(&ticket->ring);
    if (first)
        *first = ticket->ring.first;
    lock_give(&ticket->events_lock);
    if (room_came)
        park_taker_note_room(ticket);
    return rc;
}
