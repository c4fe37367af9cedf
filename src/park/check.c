/*
 * The walker that proves the invariants of the lot, for tests. Threads: any.
 */
#include "park/park_int.h"

#include <string.h>

#include "base/assert.h"
#include "base/atom.h"

/* What a walk over all tasks adds up to. */
struct sums {
    struct park_units held[PARK_CLASS_COUNT];
    struct park_units kept;
    struct park_places places[PARK_CLASS_COUNT];
    uint64_t parked_count[PARK_CLASS_COUNT];
    uint64_t refused_count;
    uint64_t zombies;
    uint64_t tickets[PARK_CLASS_COUNT][2]; /* queued, running */
    uint64_t cost[2];
    uint64_t timers;
};

static park_ticket *ticket_of(struct park_node *node)
{
    return (park_ticket *)((char *)node - offsetof(park_ticket, node));
}

static void check_units(const park_task *task)
{
    const park_ticket *ticket = task->ticket;
    bool has_none = task->phase != PARK_PHASE_BOOKED && task->phase != PARK_PHASE_RUNNING;
    for (int d = 0; d < PARK_DIMS_MAX; d++) {
        ASSERT(task->held.n[d] <= ticket->limit.n[d]);
        ASSERT(task->room.n[d] >= ticket->need.n[d] && task->room.n[d] <= ticket->limit.n[d]);
        ASSERT(!has_none || (task->held.n[d] == 0 && task->kept.n[d] == 0));
        ASSERT(task->kept.n[d] == 0 || task->held.n[d] + task->kept.n[d] <= ticket->limit.n[d]);
    }
}

/* Once for each ticket. */
static void check_ticket(park_pool *pool, park_ticket *ticket, struct sums *sums)
{
    uint32_t counts[5] = { 0 };
    for (uint32_t i = 0; i < ticket->task_count; i++) {
        park_task *task = &ticket->tasks[i];
        ASSERT(task->ticket == ticket && task->index == i);
        ASSERT((task->phase == PARK_PHASE_PARKED) ==
               (ticket->task_count - i <= ticket->parked_count));
        counts[task->phase]++;
    }
    bool is_terminal = park_state_is_terminal(ticket->state);
    bool is_asked = atom_load_relaxed(&ticket->token) != PARK_REASON_NONE;
    ASSERT(ticket->pool == pool && atom_load_relaxed(&ticket->refs) > 0);
    ASSERT(ticket->parked_count == counts[PARK_PHASE_PARKED]);
    ASSERT(ticket->ended_count == counts[PARK_PHASE_NONE] &&
           ticket->ended_count < ticket->task_count);
    ASSERT(!is_asked || counts[PARK_PHASE_PARKED] + counts[PARK_PHASE_REQUEUED] == 0);
    ASSERT((ticket->state == PARK_QUEUED) == (ticket->parked_count == ticket->task_count));
    ASSERT(is_terminal || ticket->reason == PARK_REASON_NONE);
    ASSERT(!is_terminal || (is_asked && ticket->is_silent));
    if (is_terminal) {
        sums->zombies++;
        return;
    }
    bool is_running = ticket->state == PARK_RUNNING;
    sums->tickets[ticket->klass][is_running]++;
    sums->cost[is_running] += ticket->cost;
    sums->timers += ticket->timer.is_set;
    ASSERT(!ticket->timer.is_set || ticket->timer.node.key > pool->now_ns);
    ASSERT(ticket->record && ticket->record->ticket == ticket);

    lock_take(&ticket->events_lock);
    park_ring_check(&ticket->ring);
    ASSERT(is_running || !ticket->ring.data); /* queued tickets hold no memory for events */
    lock_give(&ticket->events_lock);
}

/* Whether no sibling that comes earlier in the walk has brought the ticket up already. */
static bool is_first_seen(const park_task *task)
{
    const park_ticket *ticket = task->ticket;
    if (ticket->parked_count > 0) /* seen with its lane */
        return false;
    for (uint32_t i = 0; i < task->index; i++) {
        if (ticket->tasks[i].phase != PARK_PHASE_NONE)
            return false;
    }
    return true;
}

static void check_list(park_pool *pool, const struct park_list *list, enum park_phase phase,
                       struct sums *sums)
{
    uint64_t count = 0;
    const park_task *prev = NULL;
    for (park_task *task = list->first; task; task = task->next) {
        ASSERT(task->prev == prev && task->phase == phase);
        ASSERT(!task->is_refused || phase == PARK_PHASE_RUNNING);
        check_units(task);
        if (is_first_seen(task))
            check_ticket(pool, task->ticket, sums);
        for (int d = 0; d < PARK_DIMS_MAX; d++) {
            sums->held[task->ticket->klass].n[d] += task->held.n[d];
            sums->kept.n[d] += task->kept.n[d];
        }
        sums->refused_count += task->is_refused;
        prev = task;
        count++;
    }
    ASSERT(list->last == prev && list->count == count);
}

static void check_requeued(park_pool *pool, enum park_class klass, struct sums *sums)
{
    const struct park_list *list = &pool->lanes[klass].requeued;
    check_list(pool, list, PARK_PHASE_REQUEUED, sums);
    for (const park_task *task = list->first; task; task = task->next) {
        const park_task *next = task->next;
        ASSERT(task->ticket->klass == klass && task->requeues > 0);
        ASSERT(!next || task->ticket->order < next->ticket->order ||
               (task->ticket == next->ticket && task->index < next->index));
    }
}

static void check_parked(park_pool *pool, enum park_class klass, struct sums *sums)
{
    struct park_lane *lane = &pool->lanes[klass];
    uint64_t count = park_tree_check(&lane->parked);
    for (struct park_node *node = lane->parked.first; node; node = park_tree_next(node)) {
        park_ticket *ticket = ticket_of(node);
        struct park_places places;
        ASSERT(ticket->klass == klass && ticket->parked_count > 0);
        ASSERT(node->own.tasks == ticket->parked_count && node->order == ticket->order);
        bool is_whole = park_books_places_of(&ticket->need, ticket->parked_count,
                                             ticket->payload_bytes, &places);
        ASSERT(is_whole);
        sums->parked_count[klass] += places.count;
        sums->places[klass].count += places.count;
        sums->places[klass].bytes += places.bytes;
        for (int d = 0; d < PARK_DIMS_MAX; d++)
            sums->places[klass].units.n[d] += places.units.n[d];
        for (uint32_t i = ticket->task_count - ticket->parked_count; i < ticket->task_count; i++)
            check_units(&ticket->tasks[i]);
        check_ticket(pool, ticket, sums);
    }
    const park_ticket *older = NULL;
    for (const park_ticket *ticket = lane->oldest; ticket; ticket = ticket->younger) {
        ASSERT(ticket->older == older && (!older || older->order < ticket->order));
        older = ticket;
        count--;
    }
    ASSERT(lane->youngest == older && count == 0);
}

static void check_places(const struct park_places *all, const struct park_places *parked,
                         const struct park_places *reserved)
{
    ASSERT(all->count == parked->count + reserved->count);
    ASSERT(all->bytes == parked->bytes + reserved->bytes);
    for (int d = 0; d < PARK_DIMS_MAX; d++)
        ASSERT(all->units.n[d] == parked->units.n[d] + reserved->units.n[d]);
}

static void check_books(const park_pool *pool, const struct sums *sums)
{
    uint64_t parked_count = 0;
    uint64_t places_count = 0;
    for (int c = 0; c < PARK_CLASS_COUNT; c++) {
        const struct park_lane *lane = &pool->lanes[c];
        check_places(&lane->places, &sums->places[c], &lane->reserved);
        ASSERT(lane->parked_count == sums->parked_count[c]);
        ASSERT(memcmp(&lane->used, &sums->held[c], sizeof lane->used) == 0);
        parked_count += lane->parked_count;
        places_count += lane->places.count;
    }
    ASSERT(pool->parked_count == parked_count && pool->places.count == places_count);
    ASSERT(pool->parked_count <= pool->queue_high_water);
    for (int d = 0; d < PARK_DIMS_MAX; d++) {
        uint64_t used = 0;
        for (int c = 0; c < PARK_CLASS_COUNT; c++)
            used += sums->held[c].n[d];
        ASSERT(pool->used.n[d] == used && pool->kept.n[d] == sums->kept.n[d]);
        ASSERT(pool->used.n[d] <= pool->high_water.n[d]);
    }
    ASSERT(pool->refused_count == sums->refused_count && pool->zombies == sums->zombies);
}

static void check_counts(const park_pool *pool, const struct sums *sums)
{
    uint64_t sum = 0;
    uint64_t live[2] = { 0, 0 };
    for (int i = 0; i < PARK_REJECT_COUNT; i++)
        sum += pool->rejected[i];
    for (int i = 0; i < PARK_STATE_COUNT; i++)
        sum += pool->tickets[i];
    ASSERT(sum == pool->submitted);
    for (int c = 0; c < PARK_CLASS_COUNT; c++) {
        ASSERT(pool->lanes[c].counts.queued == sums->tickets[c][0]);
        ASSERT(pool->lanes[c].counts.running == sums->tickets[c][1]);
        live[0] += sums->tickets[c][0];
        live[1] += sums->tickets[c][1];
    }
    ASSERT(pool->tickets[PARK_QUEUED] == live[0] && pool->tickets[PARK_RUNNING] == live[1]);
    ASSERT(pool->queued_cost == sums->cost[0] && pool->running_cost == sums->cost[1]);
}

static void check_store(const park_pool *pool)
{
    const struct park_store *store = &pool->store;
    uint64_t count = 0;
    uint64_t bytes = 0;
    uint64_t tombstones = 0;
    for (const park_ticket *t = store->oldest; t; t = t->kept_next) {
        ASSERT(t->is_kept && !t->is_gone && park_state_is_terminal(t->state));
        ASSERT(t->record && (!t->kept_next || t->ended_ns <= t->kept_next->ended_ns));
        count++;
        bytes += t->kept_bytes;
    }
    for (const struct park_record *r = store->tombstone_oldest; r; r = r->next) {
        ASSERT(!r->ticket);
        tombstones++;
    }
    ASSERT(store->count == count && store->bytes == bytes);
    ASSERT(count <= pool->options.result_count_max || count == 0);
    ASSERT(store->tombstone_count == tombstones);
    ASSERT(tombstones <= pool->options.tombstone_count_max);
    uint64_t records = 0;
    for (uint64_t i = 0; i < pool->index.bucket_count; i++) {
        for (const struct park_record *r = pool->index.buckets[i]; r; r = r->chain)
            records++;
    }
    ASSERT(records ==
           count + tombstones + pool->tickets[PARK_QUEUED] + pool->tickets[PARK_RUNNING]);
}

void park_check(park_pool *pool)
{
    struct sums sums = { 0 };
    lock_take(&pool->lock);
    for (int c = 0; c < PARK_CLASS_COUNT; c++) {
        check_parked(pool, (enum park_class)c, &sums);
        check_requeued(pool, (enum park_class)c, &sums);
    }
    check_list(pool, &pool->booked, PARK_PHASE_BOOKED, &sums);
    check_list(pool, &pool->running, PARK_PHASE_RUNNING, &sums);
    check_books(pool, &sums);
    check_counts(pool, &sums);
    check_store(pool);
    ASSERT(park_tree_check(&pool->timers) >= sums.timers);
    lock_give(&pool->lock);
}
