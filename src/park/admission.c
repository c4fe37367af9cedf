/*
 * Admission: the one decision whether work is booked, parked or refused.
 *
 * The order of the checks: draining, shape, oversize, then room (starts, and places in the
 * queue for the tasks that cannot start), then memory. The ticket's memory is taken before the lock and given back on
 * a refusal, so that nothing allocates or calls the clock and the generator under it.
 *
 * Threads: any.
 */
#include "park/park_int.h"

#include <string.h>

/* A restarted server needs about this long; the work that is here comes on top. */
#define RESTART_MS 10000.0

void park_work_init(struct park_work *work)
{
    *work = (struct park_work){ .struct_size = sizeof *work };
}

static bool is_nothing(const struct park_units *units)
{
    static const struct park_units nothing;
    return memcmp(units, &nothing, sizeof nothing) == 0;
}

/* The work with the zeros that stand for something replaced by it. */
static struct park_work whole_work(const struct park_work *given)
{
    struct park_work work = *given;
    if (work.task_count == 0)
        work.task_count = 1;
    if (is_nothing(&work.limit))
        work.limit = work.need;
    return work;
}

/* The first dimension in which a task may grow beyond the pool, or dim_count. */
static uint32_t oversize_dim(const park_pool *pool, const struct park_work *work)
{
    uint32_t d = 0;
    while (d < pool->dim_count && work->limit.n[d] <= pool->capacity.n[d])
        d++;
    return d;
}

/* What can be said about the work without looking at the lot. */
static enum park_err check_work(const park_pool *pool, const struct park_work *work)
{
    if (work->struct_size != sizeof *work || work->task_count > PARK_TASKS_MAX)
        return PARK_E_INVALID;
    if (is_nothing(&work->need)) /* would bypass the capacity */
        return PARK_E_INVALID;
    for (uint32_t d = 0; d < PARK_DIMS_MAX; d++) {
        if (work->need.n[d] > work->limit.n[d] || (work->limit.n[d] != 0 && d >= pool->dim_count))
            return PARK_E_INVALID;
    }
    return oversize_dim(pool, work) < pool->dim_count ? PARK_E_OVERSIZE : PARK_OK;
}

/* Books or parks the tasks of `ticket`; NULL stands for a ticket that found no memory. */
static enum park_err place_locked(park_pool *pool, park_ticket *ticket,
                                  const struct park_work *work, uint64_t now_ns)
{
    /* Nobody passes the queue: with anything parked, newcomers park behind it (README rule 2). */
    uint64_t starts = park_lot_start_count_locked(pool, &work->need, work->task_count);
    uint64_t rest = work->task_count - starts;
    if (rest > 0 && !park_lot_has_places_locked(pool, rest, work->payload_bytes))
        return PARK_E_QUEUE_FULL;
    if (!ticket)
        return PARK_E_NOMEM;
    park_lot_admit_locked(pool, ticket, starts, now_ns);
    park_lot_announce_locked(pool);
    return PARK_OK;
}

/* Whether the work is accepted when nothing else is here. */
static bool can_be_placed(const park_pool *pool, const struct park_work *work)
{
    uint64_t starts = park_lot_start_count_empty(pool, &work->need, work->task_count);
    uint64_t rest = work->task_count - starts;
    return rest == 0 ||
           (rest <= pool->queue_count_max && work->payload_bytes <= pool->queue_bytes_max);
}

/* The time until it is worth coming back, in ms; negative: never. */
static double wait_estimate_ms_locked(park_pool *pool, enum park_err code,
                                      const struct park_work *work, uint64_t now_ns)
{
    if (code == PARK_E_NOMEM)
        return 0.0;
    if (code != PARK_E_QUEUE_FULL && code != PARK_E_DRAINING)
        return -1.0;
    if (code == PARK_E_QUEUE_FULL && !can_be_placed(pool, work))
        return -1.0;
    park_rate_advance(&pool->rate, now_ns, park_lot_running_locked(pool) > 0);
    double rate = park_rate_per_s(&pool->rate, pool->running_cost);
    double here = (double)pool->queued_cost + (double)pool->running_cost;
    if (code == PARK_E_DRAINING)
        return RESTART_MS + (rate > 0.0 ? 1000.0 * here / rate : 0.0);
    /* Full: until a quarter of what is here, and this work, are done. */
    return rate > 0.0 ? 1000.0 * (here / 4.0 + (double)work->cost) / rate : 0.0;
}

static enum park_reject reject_of(enum park_err code)
{
    if (code == PARK_E_OVERSIZE)
        return PARK_REJECT_OVERSIZE;
    if (code == PARK_E_QUEUE_FULL)
        return PARK_REJECT_QUEUE_FULL;
    return code == PARK_E_DRAINING ? PARK_REJECT_DRAINING : PARK_REJECT_OTHER;
}

static void fill_refusal(park_pool *pool, const struct park_work *work, struct park_refusal *out,
                         double wait_ms)
{
    if (wait_ms >= 0.0)
        out->retry_after_ms = park_retry_after_ms(wait_ms, random_u64(&pool->random));
    if (out->code == PARK_E_OVERSIZE) {
        out->dim = oversize_dim(pool, work);
        out->requested = work->limit.n[out->dim];
        out->available = pool->capacity.n[out->dim];
    }
}

enum park_err park_submit(park_pool *pool, const struct park_work *given, park_ticket **out,
                          struct park_refusal *refusal)
{
    *out = NULL;
    struct park_work work = whole_work(given);
    enum park_err shape = check_work(pool, &work);
    park_ticket *ticket = shape ? NULL : park_ticket_create(pool, &work);
    uint64_t now_ns = park_now_ns(pool);
    double wait_ms = -1.0;

    lock_take(&pool->lock);
    pool->submitted++;
    enum park_err rc = shape;
    if (pool->draining)
        rc = PARK_E_DRAINING;
    else if (!shape)
        rc = place_locked(pool, ticket, &work, now_ns);
    if (rc) {
        pool->rejected[reject_of(rc)]++;
        wait_ms = wait_estimate_ms_locked(pool, rc, &work, now_ns);
    }
    struct park_refusal why = { .code = rc, .queue_count = pool->parked.count };
    lock_give(&pool->lock);

    if (refusal) {
        fill_refusal(pool, &work, &why, wait_ms);
        *refusal = why;
    }
    if (!rc)
        *out = ticket;
    else if (ticket)
        park_ticket_discard(ticket);
    return rc;
}
