/* What a pool counts. Threads: any; `_locked`: the caller holds the pool's lock. */
#include "park/park_int.h"

#include "base/assert.h"
#include "base/atom.h"

void park_histogram_add(struct park_histogram *histogram, uint64_t ns)
{
    uint64_t ms = ns / 1000000;
    int bucket = ms == 0 ? 0 : 64 - __builtin_clzll(ms);
    histogram->count++;
    histogram->sum_ns += ns;
    histogram->buckets[bucket < PARK_BUCKETS ? bucket : PARK_BUCKETS - 1]++;
}

static uint64_t *count_of(struct park_counts *counts, enum park_state state)
{
    switch (state) {
    case PARK_QUEUED:
        return &counts->queued;
    case PARK_RUNNING:
        return &counts->running;
    case PARK_COMPLETED:
        return &counts->completed;
    case PARK_FAILED:
        return &counts->failed;
    case PARK_CANCELLED:
        return &counts->cancelled;
    case PARK_DROPPED:
        return &counts->dropped;
    case PARK_EXPIRED:
        break;
    }
    return &counts->expired;
}

static void move(struct park_counts *counts, const enum park_state *from, enum park_state to)
{
    if (from)
        --*count_of(counts, *from);
    else
        counts->submitted++;
    ++*count_of(counts, to);
}

void park_stats_move_locked(park_pool *pool, park_ticket *ticket, const enum park_state *from,
                            enum park_state to)
{
    move(&pool->lanes[ticket->klass].counts, from, to);
    move(&ticket->tenant->counts, from, to);
    if (from)
        pool->tickets[*from]--;
    else
        pool->submitted++;
    pool->tickets[to]++;
    ticket->tenant->live_count += !from;
    ticket->tenant->live_count -= park_state_is_terminal(to);
    if (park_state_is_terminal(to))
        ticket->tenant = NULL; /* its entry may go to another */
}

static uint64_t oldest_queued_ns(const park_pool *pool, uint64_t now_ns)
{
    uint64_t age_ns = 0;
    for (int c = 0; c < PARK_CLASS_COUNT; c++) {
        const park_ticket *oldest = pool->lanes[c].oldest;
        if (oldest && park_elapsed_ns(oldest->submitted_ns, now_ns) > age_ns)
            age_ns = park_elapsed_ns(oldest->submitted_ns, now_ns);
    }
    return age_ns;
}

static void fill_class(const struct park_lane *lane, struct park_class_stats *out)
{
    out->counts = lane->counts;
    out->tasks_queued = lane->parked_count + lane->requeued.count;
    out->queued_bytes = lane->places.bytes - lane->reserved.bytes;
    for (int d = 0; d < PARK_DIMS_MAX; d++)
        out->queued_units.n[d] = lane->places.units.n[d] - lane->reserved.units.n[d];
    out->aged = lane->aged;
    out->used = lane->used;
    out->wait = lane->wait;
    out->run = lane->run;
}

static void fill_pool(const park_pool *pool, struct park_stats *out)
{
    const struct park_options *o = &pool->options;
    *out = (struct park_stats){
        .name = pool->name,
        .dim_count = pool->dim_count,
        .capacity = o->capacity,
        .used = pool->used,
        .high_water = pool->high_water,
        .draining = pool->draining,
        .queued_bytes = pool->places.bytes - pool->reserved.bytes,
        .queue_count_max = o->queue_count_max,
        .queue_high_water = pool->queue_high_water,
        .tasks_queued = pool->parked_count + pool->requeued_count,
        .tasks_running = park_lot_running_locked(pool),
        .requeues = pool->requeues,
        .events = atom_load_relaxed(&pool->events), /* a statistic; orders nothing */
        .events_full = pool->events_full,
        .paused = pool->is_paused,
        .worker_count = pool->crew.live_count,
        .worker_deaths = pool->crew.death_count,
        .reserved = pool->reserved.count,
        .growth_limited = pool->growth_limited,
        .zombies = pool->zombies,
        .late_finishes = pool->late_finishes,
        .results = pool->store.count,
        .result_bytes = pool->store.bytes,
        .tombstones = pool->store.tombstone_count,
        .audit_last = pool->audit.last,
    };
    for (uint32_t d = 0; d < pool->dim_count; d++)
        out->dim_names[d] = pool->dim_names[d];
}

static void fill_tickets(const park_pool *pool, struct park_stats *out)
{
    out->submitted = pool->submitted;
    out->queued = pool->tickets[PARK_QUEUED];
    out->running = pool->tickets[PARK_RUNNING];
    out->completed = pool->tickets[PARK_COMPLETED];
    out->failed = pool->tickets[PARK_FAILED];
    out->cancelled = pool->tickets[PARK_CANCELLED];
    out->dropped = pool->tickets[PARK_DROPPED];
    out->expired = pool->tickets[PARK_EXPIRED];
    out->rejected_oversize = pool->rejected[PARK_REJECT_OVERSIZE];
    out->rejected_queue_full = pool->rejected[PARK_REJECT_QUEUE_FULL];
    out->rejected_class_full = pool->rejected[PARK_REJECT_CLASS_FULL];
    out->rejected_draining = pool->rejected[PARK_REJECT_DRAINING];
    out->rejected_deadline = pool->rejected[PARK_REJECT_DEADLINE];
    out->rejected_not_ready = pool->rejected[PARK_REJECT_NOT_READY];
    out->rejected_other = pool->rejected[PARK_REJECT_OTHER];
    for (int i = 0; i < PARK_REJECT_COUNT; i++)
        out->rejected += pool->rejected[i];
}

void park_stats(park_pool *pool, struct park_stats *out)
{
    uint64_t now_ns = park_now_ns(pool);
    lock_take(&pool->lock);
    fill_pool(pool, out);
    fill_tickets(pool, out);
    out->oldest_queued_ns = oldest_queued_ns(pool, now_ns);
    for (int c = 0; c < PARK_CLASS_COUNT; c++)
        fill_class(&pool->lanes[c], &out->classes[c]);
    lock_give(&pool->lock);
}
