/*
 * An inbox: tickets with news, in the order in which the news came, and an eventfd.
 *
 * Invariants:
 *   1. A ticket is listed if and only if `is_listed`; the entry holds a reference on it.
 *   2. Whenever the list is not empty and no call is under way, the eventfd is readable.
 *      It may be readable for an instant while the list is empty.
 *   3. Once `is_closed` the list is empty and stays so.
 *
 * The eventfd is written and read outside the lock. It is written by whoever found the
 * list empty, and read only by the consumer that found it empty; the consumer looks again
 * after reading, so a ticket listed in between is not missed.
 *
 * References: the owner's until park_inbox_destroy, one of each ticket that names the
 * inbox. The eventfd is closed with the last of them: a late writer must not meet another
 * file under its number.
 *
 * Threads: any may list; one consumer calls park_inbox_next.
 */
#include "park/park_int.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/atom.h"

struct park_inbox {
    /* set at creation, constant afterwards */
    int fd;

    /* any thread */
    atomic_size_t refs;

    /* inbox lock */
    struct base_lock lock;
    bool is_closed;
    park_ticket *first; /* linked by inbox_next */
    park_ticket *last;
};

enum park_err park_inbox_create(park_inbox **out)
{
    *out = NULL;
    park_inbox *inbox = mem_calloc(MEM_PARK, 1, sizeof *inbox);
    if (!inbox)
        return PARK_E_NOMEM;
    inbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (inbox->fd < 0) {
        mem_free(inbox);
        return PARK_E_NOMEM;
    }
    atomic_init(&inbox->refs, 1);
    lock_init(&inbox->lock, LOCK_RANK_INBOX);
    *out = inbox;
    return PARK_OK;
}

void park_inbox_ref(park_inbox *inbox)
{
    /* Relaxed: the caller already sees the inbox through another reference. */
    atom_add_relaxed(&inbox->refs, 1);
}

void park_inbox_unref(park_inbox *inbox)
{
    /* Acquire and release: the last one sees what all others did before they let go. */
    if (atom_sub_acq_rel(&inbox->refs, 1) > 1)
        return;
    ASSERT(inbox->is_closed && !inbox->first);
    close(inbox->fd);
    lock_fini(&inbox->lock);
    mem_free(inbox);
}

static park_ticket *pop_locked(park_inbox *inbox)
{
    park_ticket *ticket = inbox->first;
    if (!ticket)
        return NULL;
    inbox->first = ticket->inbox_next;
    if (!inbox->first)
        inbox->last = NULL;
    ticket->inbox_next = NULL;
    ticket->is_listed = false;
    return ticket;
}

static void push_locked(park_inbox *inbox, park_ticket *ticket)
{
    if (inbox->last)
        inbox->last->inbox_next = ticket;
    else
        inbox->first = ticket;
    inbox->last = ticket;
    ticket->is_listed = true;
}

void park_inbox_destroy(park_inbox *inbox)
{
    if (!inbox)
        return;
    lock_take(&inbox->lock);
    inbox->is_closed = true;
    lock_give(&inbox->lock);
    park_ticket *ticket;
    do {
        lock_take(&inbox->lock);
        ticket = pop_locked(inbox);
        lock_give(&inbox->lock);
        if (ticket)
            park_ticket_unref(ticket); /* may be the last: never under the lock */
    } while (ticket);
    park_inbox_unref(inbox);
}

int park_inbox_fd(const park_inbox *inbox)
{
    return inbox->fd;
}

/*
 * Neither call blocks or fails in a way that matters: a full counter is readable already,
 * an empty one needs no clearing.
 */
static void fd_signal(const park_inbox *inbox)
{
    uint64_t one = 1;
    ssize_t n = write(inbox->fd, &one, sizeof one);
    (void)n;
}

static void fd_clear(const park_inbox *inbox)
{
    uint64_t count;
    ssize_t n = read(inbox->fd, &count, sizeof count);
    (void)n;
}

void park_inbox_tell(park_ticket *ticket)
{
    park_inbox *inbox = ticket->inbox;
    if (!inbox)
        return;
    bool was_empty = false;
    lock_take(&inbox->lock);
    if (!inbox->is_closed && !ticket->is_listed) {
        was_empty = !inbox->first;
        push_locked(inbox, park_ticket_ref(ticket));
    }
    lock_give(&inbox->lock);
    if (was_empty)
        fd_signal(inbox);
}

park_ticket *park_inbox_next(park_inbox *inbox)
{
    lock_take(&inbox->lock);
    park_ticket *ticket = pop_locked(inbox);
    lock_give(&inbox->lock);
    if (ticket)
        return ticket;

    fd_clear(inbox);
    lock_take(&inbox->lock);
    ticket = pop_locked(inbox);
    bool has_more = inbox->first != NULL;
    lock_give(&inbox->lock);
    if (has_more)
        fd_signal(inbox); /* what was cleared may have announced these */
    return ticket;
}
