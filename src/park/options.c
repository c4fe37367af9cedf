/* Options: what stands for nothing said, what is allowed, and changes while the pool lives. */
#include "park/park_int.h"

#include <string.h>

#define AUDIT_MAX 10000000

void park_options_init(struct park_options *options)
{
    *options = (struct park_options){
        .struct_size = sizeof *options,
        .name = "pool",
        .dim_count = 1,
        .dim_names = { "units" },
        .queue_count_max = 512,
        .queue_bytes_max = (uint64_t)256 << 20,
        .running_max = 64,
        .events_bytes_max = (size_t)1 << 20,
        .classes = { { .budget_ms = 1000 },
                     { .budget_ms = 5000, .aging_ms = 5000 },
                     { .budget_ms = 30000, .aging_ms = 30000 },
                     { .budget_ms = 300000, .aging_ms = 120000 } },
        .aging_share = 8,
        .reserve_ms = 30000,
        .retry_after_min_ms = 1000,
        .retry_after_max_ms = 60000,
        .retry_after_jitter = 0.5,
    };
}

/* ---- what is allowed ---- */

static bool is_disabled(const struct park_options *o)
{
    uint64_t any = 0;
    for (int d = 0; d < PARK_DIMS_MAX; d++)
        any |= o->capacity.n[d];
    return any == 0;
}

/* All classes together reserve at most what there is. */
static bool reserves_fit(const struct park_options *o, uint32_t dim)
{
    uint64_t left = o->capacity.n[dim];
    for (int c = 0; c < PARK_CLASS_COUNT; c++) {
        uint64_t reserved = o->classes[c].reserved.n[dim];
        if (reserved > left)
            return false;
        left -= reserved;
    }
    return true;
}

static bool dim_is_unused(const struct park_options *o, uint32_t dim)
{
    uint64_t any = o->capacity.n[dim] | o->queue_units_max.n[dim];
    for (int c = 0; c < PARK_CLASS_COUNT; c++)
        any |= o->classes[c].reserved.n[dim] | o->classes[c].queue_units_max.n[dim];
    return any == 0;
}

static bool dims_are_valid(const struct park_options *o)
{
    if (o->dim_count < 1 || o->dim_count > PARK_DIMS_MAX)
        return false;
    bool has_none = is_disabled(o);
    for (uint32_t d = 0; d < PARK_DIMS_MAX; d++) {
        bool is_valid = dim_is_unused(o, d);
        if (d < o->dim_count)
            is_valid =
                o->dim_names[d] && (has_none || (o->capacity.n[d] > 0 && reserves_fit(o, d)));
        if (!is_valid)
            return false;
    }
    return true;
}

bool park_options_are_valid(const struct park_options *o)
{
    return o->struct_size == sizeof *o && o->name && o->running_max > 0 && dims_are_valid(o) &&
           o->audit_count_max <= AUDIT_MAX && o->worker_count <= PARK_WORKERS_MAX &&
           o->retry_after_jitter >= 0.0 && o->retry_after_jitter <= 1.0 &&
           (o->worker_count == 0 || o->run);
}

struct park_retry park_options_retry(const struct park_options *o)
{
    return (struct park_retry){ (double)o->retry_after_min_ms, (double)o->retry_after_max_ms,
                                o->retry_after_jitter };
}

/* ---- changes ---- */

static bool is_same_pool(const park_pool *pool, const struct park_options *o)
{
    const struct park_options *now = &pool->options;
    if (strcmp(o->name, pool->name) != 0 || o->dim_count != pool->dim_count)
        return false;
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        if (strcmp(o->dim_names[d], pool->dim_names[d]) != 0)
            return false;
    }
    return o->env.now_ns == now->env.now_ns && o->env.random == now->env.random &&
           o->env.arg == now->env.arg && o->worker_count == now->worker_count &&
           o->run == now->run && o->run_arg == now->run_arg &&
           o->audit_count_max == now->audit_count_max &&
           o->tenant_count_max == now->tenant_count_max;
}

static void drop_oversize(struct park_pass *pass, struct park_lane *lane)
{
    park_ticket *next;
    for (park_ticket *ticket = lane->oldest; ticket; ticket = next) {
        next = ticket->younger;
        if (park_books_never_fits_locked(pass->pool, ticket))
            park_lot_ask_end_locked(pass, ticket, PARK_REASON_NO_LONGER_FITS);
    }
    park_task *task = lane->requeued.first;
    while (task) {
        park_ticket *ticket = task->ticket;
        park_books_clip_room_locked(pass->pool, task);
        if (!park_books_never_fits_locked(pass->pool, ticket)) {
            task = task->next;
            continue;
        }
        park_lot_ask_end_locked(pass, ticket, PARK_REASON_NO_LONGER_FITS);
        task = lane->requeued.first; /* its siblings are gone, too */
    }
}

static void apply_locked(struct park_pass *pass, const struct park_options *options)
{
    park_pool *pool = pass->pool;
    pool->options = *options;
    pool->options.name = NULL; /* the pool's own are copies */
    memset(pool->options.dim_names, 0, sizeof pool->options.dim_names);
    pool->high_water = pool->used;
    for (park_task *task = pool->running.first; task; task = task->next)
        park_books_clip_room_locked(pool, task);
    for (int c = 0; c < PARK_CLASS_COUNT; c++)
        drop_oversize(pass, &pool->lanes[c]);
    park_store_trim_locked(pass);
    park_store_trim_tombstones_locked(pass);
    park_audit_event_locked(pass, PARK_AUDIT_RECONFIGURE, NULL, NULL);
}

enum park_err park_reconfigure(park_pool *pool, const struct park_options *options)
{
    if (!park_options_are_valid(options))
        return PARK_E_INVALID;
    struct park_pass pass;
    park_pass_begin(&pass, pool);
    enum park_err rc = is_same_pool(pool, options) ? PARK_OK : PARK_E_INVALID;
    if (!rc)
        apply_locked(&pass, options);
    park_pass_end(&pass);
    return rc;
}
