/*
 * The books: units that running tasks hold, units that are reserved or kept, and places of the
 * queue. README rules 1, 3, 15, 17, 22 and 23.
 *
 * Invariants (park_check walks them):
 *   1. used = sum of `held` over booked and running tasks, in the pool and in each lane.
 *   2. used <= high_water, and nothing starts or grows beyond the capacity. After the capacity
 *      became smaller `used` may be above it until tasks have ended.
 *   3. kept = sum of `kept` over the same tasks.
 *   4. places = those of the parked tasks and of the reservations, in the pool and in each lane.
 *   5. refused_count = running tasks with `is_refused`. While it is not 0 nothing starts.
 *
 * Threads: the caller holds the pool's lock.
 */
#include "park/park_int.h"

#include "base/assert.h"

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* a - b, or 0. */
static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* ---- what may start ---- */

/* Units that a start may take: free, and not kept for a task that came back. */
static uint64_t start_units(const park_pool *pool, uint32_t dim)
{
    return less(less(pool->options.capacity.n[dim], pool->used.n[dim]), pool->kept.n[dim]);
}

/*
 * What the reserves of better classes leave to the starts of a class: all classes below each of
 * them hold together at most the capacity less what it and those above it have reserved. `freed`:
 * units that the lowest class gives back first; all of `used` for an empty pool.
 */
static uint64_t unreserved_units(const park_pool *pool, enum park_class klass, uint32_t dim,
                                 uint64_t freed)
{
    uint64_t below = pool->used.n[dim];
    uint64_t reserved = 0;
    uint64_t units = UINT64_MAX;
    for (int c = 0; c < (int)klass; c++) {
        below -= pool->lanes[c].used.n[dim];
        reserved += pool->options.classes[c].reserved.n[dim];
        if (reserved > 0)
            units = min_u64(
                units, less(less(pool->options.capacity.n[dim], reserved), less(below, freed)));
    }
    return units;
}

bool park_books_reserve_allows_locked(const park_pool *pool, const park_task *task)
{
    /* What a task that came back had above its need it gets by growth, which no reserve limits. */
    const park_ticket *ticket = task->ticket;
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        if (ticket->need.n[d] > unreserved_units(pool, ticket->klass, d, 0))
            return false;
    }
    return true;
}

bool park_books_fit_locked(const park_pool *pool, const park_task *task)
{
    static const struct park_units none;
    return park_lot_running_locked(pool) < pool->options.running_max &&
           park_books_fit_after_locked(pool, task, &none);
}

bool park_books_fit_after_locked(const park_pool *pool, const park_task *task,
                                 const struct park_units *freed)
{
    const park_ticket *ticket = task->ticket;
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        uint64_t gone;
        if (__builtin_add_overflow(pool->used.n[d], pool->kept.n[d], &gone))
            gone = UINT64_MAX;
        gone = less(gone, freed->n[d]);
        if (task->room.n[d] > less(pool->options.capacity.n[d], gone) ||
            ticket->need.n[d] > unreserved_units(pool, ticket->klass, d, freed->n[d]))
            return false;
    }
    return true;
}

static uint64_t times_in(uint64_t need, uint64_t units, uint64_t count)
{
    return need == 0 || units / need >= count ? count : units / need;
}

uint64_t park_books_fit_count_locked(const park_pool *pool, enum park_class klass,
                                     const struct park_units *need, uint64_t count)
{
    count = min_u64(count, less(pool->options.running_max, park_lot_running_locked(pool)));
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        uint64_t units = min_u64(start_units(pool, d), unreserved_units(pool, klass, d, 0));
        count = times_in(need->n[d], units, count);
    }
    return count;
}

uint64_t park_books_start_max(const park_pool *pool, enum park_class klass, uint32_t dim)
{
    return min_u64(pool->options.capacity.n[dim], unreserved_units(pool, klass, dim, UINT64_MAX));
}

bool park_books_never_fits_locked(const park_pool *pool, const park_ticket *ticket)
{
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        if (ticket->need.n[d] > park_books_start_max(pool, ticket->klass, d))
            return true;
        if (ticket->state == PARK_QUEUED && ticket->limit.n[d] > pool->options.capacity.n[d])
            return true;
    }
    return false;
}

void park_books_clip_room_locked(park_pool *pool, park_task *task)
{
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        uint64_t most = max_u64(pool->options.capacity.n[d], task->ticket->need.n[d]);
        if (task->room.n[d] <= most)
            continue;
        task->room.n[d] = most;
        park_books_lift_refusal_locked(pool, task); /* it can never have what it asked for */
    }
}

uint64_t park_books_fit_count_empty(const park_pool *pool, enum park_class klass,
                                    const struct park_units *need, uint64_t count)
{
    count = min_u64(count, pool->options.running_max);
    for (uint32_t d = 0; d < pool->dim_count; d++)
        count = times_in(need->n[d], park_books_start_max(pool, klass, d), count);
    return count;
}

/* ---- places ---- */

bool park_books_places_of(const struct park_units *need, uint64_t count, size_t bytes,
                          struct park_places *out)
{
    *out = (struct park_places){ .count = count, .bytes = bytes };
    for (int d = 0; d < PARK_DIMS_MAX; d++) {
        if (__builtin_mul_overflow(need->n[d], count, &out->units.n[d]))
            return false;
    }
    return true;
}

static bool is_within(uint64_t used, uint64_t more, uint64_t max)
{
    return more <= less(max, used);
}

/* A maximum of 0 units is none, but for what 64 bits can count. */
static bool units_within(const struct park_units *used, const struct park_units *more,
                         const struct park_units *max)
{
    for (int d = 0; d < PARK_DIMS_MAX; d++) {
        if (!is_within(used->n[d], more->n[d], max->n[d] ? max->n[d] : UINT64_MAX))
            return false;
    }
    return true;
}

enum park_err park_books_has_places(const park_pool *pool, enum park_class klass,
                                    const struct park_places *places,
                                    const struct park_places *lane_places,
                                    const struct park_places *more)
{
    const struct park_options *o = &pool->options;
    const struct park_class_options *c = &o->classes[klass];
    if ((c->queue_count_max && !is_within(lane_places->count, more->count, c->queue_count_max)) ||
        (c->queue_bytes_max && !is_within(lane_places->bytes, more->bytes, c->queue_bytes_max)) ||
        !units_within(&lane_places->units, &more->units, &c->queue_units_max))
        return PARK_E_CLASS_FULL;
    if (!is_within(places->count, more->count, o->queue_count_max) ||
        !is_within(places->bytes, more->bytes, o->queue_bytes_max) ||
        !units_within(&places->units, &more->units, &o->queue_units_max))
        return PARK_E_QUEUE_FULL;
    return PARK_OK;
}

static void add_places(struct park_places *sum, const struct park_places *more)
{
    sum->count += more->count;
    sum->bytes += more->bytes;
    for (int d = 0; d < PARK_DIMS_MAX; d++)
        sum->units.n[d] += more->units.n[d];
}

static void subtract_places(struct park_places *sum, const struct park_places *fewer)
{
    ASSERT(sum->count >= fewer->count && sum->bytes >= fewer->bytes);
    sum->count -= fewer->count;
    sum->bytes -= fewer->bytes;
    for (int d = 0; d < PARK_DIMS_MAX; d++) {
        ASSERT(sum->units.n[d] >= fewer->units.n[d]);
        sum->units.n[d] -= fewer->units.n[d];
    }
}

void park_books_reserve_locked(park_pool *pool, enum park_class klass,
                               const struct park_places *places)
{
    add_places(&pool->reserved, places);
    add_places(&pool->lanes[klass].reserved, places);
    park_books_take_places_locked(pool, klass, places);
}

void park_books_unreserve_locked(park_pool *pool, enum park_class klass,
                                 const struct park_places *places)
{
    subtract_places(&pool->reserved, places);
    subtract_places(&pool->lanes[klass].reserved, places);
    park_books_give_places_locked(pool, klass, places);
}

void park_books_take_places_locked(park_pool *pool, enum park_class klass,
                                   const struct park_places *places)
{
    add_places(&pool->places, places);
    add_places(&pool->lanes[klass].places, places);
}

void park_books_give_places_locked(park_pool *pool, enum park_class klass,
                                   const struct park_places *places)
{
    subtract_places(&pool->places, places);
    subtract_places(&pool->lanes[klass].places, places);
}

/* ---- what tasks hold ---- */

void park_books_set_locked(park_pool *pool, park_task *task, const struct park_units *held,
                           const struct park_units *kept)
{
    static const struct park_units none;
    struct park_lane *lane = &pool->lanes[task->ticket->klass];
    held = held ? held : &none;
    kept = kept ? kept : &none;
    bool has_returned = false;
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        ASSERT(pool->used.n[d] >= task->held.n[d] && pool->kept.n[d] >= task->kept.n[d]);
        uint64_t others = pool->used.n[d] - task->held.n[d];
        ASSERT(held->n[d] <= task->held.n[d] ||
               held->n[d] <= less(pool->options.capacity.n[d], others));
        pool->used.n[d] = others + held->n[d];
        pool->high_water.n[d] = max_u64(pool->high_water.n[d], pool->used.n[d]);
        if (pool->high_water.n[d] > pool->options.capacity.n[d]) /* which became smaller */
            pool->high_water.n[d] = pool->used.n[d];
        pool->kept.n[d] = pool->kept.n[d] - task->kept.n[d] + kept->n[d];
        lane->used.n[d] = lane->used.n[d] - task->held.n[d] + held->n[d];
        has_returned = has_returned || held->n[d] < task->held.n[d];
    }
    task->held = *held;
    task->kept = *kept;
    /* Who was refused growth asks again: nothing else in the lot shows that it is worth it. */
    if (has_returned && pool->refused_count > 0)
        pool->news = true;
}

void park_books_lift_refusal_locked(park_pool *pool, park_task *task)
{
    if (!task->is_refused)
        return;
    ASSERT(pool->refused_count > 0);
    task->is_refused = false;
    pool->refused_count--;
}

/* Whether the units are there: OK, AGAIN, or LIMIT if they never can be. */
static enum park_err check_growth(const park_pool *pool, const park_task *task,
                                  const struct park_units *total)
{
    enum park_err rc = PARK_OK;
    for (int d = 0; d < PARK_DIMS_MAX; d++) {
        uint64_t held = task->held.n[d];
        uint64_t capacity = pool->options.capacity.n[d];
        if (total->n[d] > task->ticket->limit.n[d])
            return PARK_E_LIMIT;
        if (total->n[d] <= held)
            continue;
        if (total->n[d] > capacity)
            return PARK_E_LIMIT;
        if (total->n[d] > less(capacity, pool->used.n[d] - held))
            rc = PARK_E_AGAIN;
    }
    return rc;
}

static void refuse_growth(park_pool *pool, park_task *task, const struct park_units *total)
{
    for (uint32_t d = 0; d < pool->dim_count; d++)
        task->room.n[d] = max_u64(task->room.n[d], total->n[d]);
    pool->refused_count += !task->is_refused;
    task->is_refused = true;
}

enum park_err park_books_adjust_locked(struct park_pass *pass, park_task *task,
                                       const struct park_units *total)
{
    park_pool *pool = pass->pool;
    ASSERT(task->phase == PARK_PHASE_RUNNING);
    enum park_err rc = check_growth(pool, task, total);
    if (rc == PARK_E_AGAIN)
        refuse_growth(pool, task, total);
    pool->growth_limited += rc == PARK_E_LIMIT;
    if (rc)
        return rc;
    struct park_units kept = task->kept;
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        uint64_t end = task->held.n[d] + kept.n[d];
        if (total->n[d] > task->held.n[d]) {
            kept.n[d] = less(end, total->n[d]);
        } else if (total->n[d] < task->held.n[d]) { /* it knows better what it needs */
            kept.n[d] = 0;
            task->room.n[d] = max_u64(task->ticket->need.n[d], total->n[d]);
        }
    }
    park_books_lift_refusal_locked(pool, task);
    park_books_set_locked(pool, task, total, &kept);
    park_audit_event_locked(pass, PARK_AUDIT_ADJUST, task->ticket, task);
    return PARK_OK;
}
