/*
 * A pool's life: options, creation, drain, statistics, end.
 *
 *   create ──▶ open ── drain ──▶ draining (mode only stricter) ── destroy ──▶ gone
 *
 * The struct itself lives until the last of its tickets does: a ticket can be asked,
 * cancelled and waited for after the pool was destroyed.
 *
 * Threads: any, but park_pool_destroy is called once, by the owner, after the taker has
 * stopped and while nobody submits.
 */
#include "park/park_int.h"

#include <string.h>

#include "base/assert.h"
#include "base/atom.h"

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
    };
}

static bool options_are_valid(const struct park_options *options)
{
    if (options->struct_size != sizeof *options || !options->name || options->running_max == 0)
        return false;
    if (options->dim_count < 1 || options->dim_count > PARK_DIMS_MAX)
        return false;
    for (uint32_t d = 0; d < PARK_DIMS_MAX; d++) {
        if (d < options->dim_count) {
            if (!options->dim_names[d] || options->capacity.n[d] == 0)
                return false;
        } else if (options->capacity.n[d] != 0) {
            return false;
        }
    }
    return true;
}

static void free_names(park_pool *pool)
{
    mem_free(pool->name);
    for (uint32_t d = 0; d < pool->dim_count; d++)
        mem_free(pool->dim_names[d]);
}

/* All or nothing. */
static bool copy_names(park_pool *pool, const struct park_options *options)
{
    pool->name = mem_strndup(MEM_PARK, options->name, strlen(options->name));
    bool is_whole = pool->name != NULL;
    for (uint32_t d = 0; d < options->dim_count && is_whole; d++) {
        const char *name = options->dim_names[d];
        pool->dim_names[d] = mem_strndup(MEM_PARK, name, strlen(name));
        is_whole = pool->dim_names[d] != NULL;
    }
    if (!is_whole)
        free_names(pool);
    return is_whole;
}

static void set_env(park_pool *pool, const struct park_env *env)
{
    pool->clock = base_clock_monotonic;
    pool->random = base_random_system;
    if (env->now_ns)
        pool->clock = (struct base_clock){ env->now_ns, env->arg };
    if (env->random)
        pool->random = (struct base_random){ env->random, env->arg };
}

enum park_err park_pool_create(const struct park_options *options, park_pool **out)
{
    *out = NULL;
    if (!options_are_valid(options))
        return PARK_E_INVALID;
    park_pool *pool = mem_calloc(MEM_PARK, 1, sizeof *pool);
    if (!pool)
        return PARK_E_NOMEM;
    pool->dim_count = options->dim_count;
    if (!copy_names(pool, options)) {
        mem_free(pool);
        return PARK_E_NOMEM;
    }
    pool->capacity = options->capacity;
    pool->queue_count_max = options->queue_count_max;
    pool->queue_bytes_max = options->queue_bytes_max;
    pool->running_max = options->running_max;
    pool->events_bytes_max = options->events_bytes_max;
    set_env(pool, &options->env);
    atomic_init(&pool->refs, 1);
    atomic_init(&pool->events, 0);
    lock_init(&pool->lock, LOCK_RANK_POOL);
    cond_init(&pool->taker);
    cond_init(&pool->empty);
    *out = pool;
    return PARK_OK;
}

void park_pool_ref(park_pool *pool)
{
    /* Relaxed: the caller already sees the pool through another reference. */
    atom_add_relaxed(&pool->refs, 1);
}

void park_pool_unref(park_pool *pool)
{
    /* Acquire and release: the last one sees what all others did before they let go. */
    if (atom_sub_acq_rel(&pool->refs, 1) > 1)
        return;
    ASSERT(park_lot_is_empty_locked(pool));
    cond_fini(&pool->empty);
    cond_fini(&pool->taker);
    lock_fini(&pool->lock);
    free_names(pool);
    mem_free(pool);
}

static void ask_end_locked(park_pool *pool, park_ticket *ticket, struct park_list *ended,
                           uint64_t now_ns)
{
    if (park_lot_ask_end_locked(pool, ticket, PARK_REASON_SHUTDOWN, now_ns))
        park_list_push(ended, &ticket->tasks[0]);
}

/*
 * Asks all running tickets to end: once nothing queued is left, every task belongs to one.
 * Parked tasks end and requeued ones become booked, so both lists run empty.
 */
static void ask_running_locked(park_pool *pool, struct park_list *ended, uint64_t now_ns)
{
    while (pool->parked.first)
        ask_end_locked(pool, pool->parked.first->ticket, ended, now_ns);
    while (pool->requeued.first)
        ask_end_locked(pool, pool->requeued.first->ticket, ended, now_ns);
    for (park_task *task = pool->booked.first; task; task = task->next)
        ask_end_locked(pool, task->ticket, ended, now_ns);
    for (park_task *task = pool->running.first; task; task = task->next)
        ask_end_locked(pool, task->ticket, ended, now_ns);
}

/* Ends what runs without its taker, which has stopped. */
static void end_running_locked(park_pool *pool, struct park_list *list, struct park_list *ended,
                               uint64_t now_ns)
{
    park_task *task;
    while ((task = list->first) != NULL) {
        park_ticket *ticket = task->ticket;
        if (park_lot_end_locked(pool, task, PARK_CANCELLED, now_ns))
            park_list_push(ended, &ticket->tasks[0]);
    }
}

void park_pool_destroy(park_pool *pool)
{
    if (!pool)
        return;
    uint64_t now_ns = park_now_ns(pool);
    struct park_list ended = { 0 };
    lock_take(&pool->lock);
    pool->draining = true;
    park_lot_drop_queued_locked(pool, &ended, now_ns);
    ask_running_locked(pool, &ended, now_ns);
    end_running_locked(pool, &pool->booked, &ended, now_ns);
    end_running_locked(pool, &pool->running, &ended, now_ns);
    park_lot_announce_locked(pool);
    lock_give(&pool->lock);
    park_ticket_settle_all(&ended);
    park_pool_unref(pool);
}

enum park_err park_drain(park_pool *pool, enum park_drain_mode mode, int64_t timeout_ms)
{
    uint64_t now_ns = park_now_ns(pool);
    uint64_t deadline_ns = park_deadline_ns(timeout_ms);
    struct park_list ended = { 0 };
    lock_take(&pool->lock);
    /*
     * A mode only becomes stricter because nothing takes its effects back: what was dropped
     * or asked to end stays so, and nothing new comes in.
     */
    pool->draining = true;
    if (mode >= PARK_DRAIN_FINISH_RUNNING)
        park_lot_drop_queued_locked(pool, &ended, now_ns);
    if (mode >= PARK_DRAIN_NOW)
        ask_running_locked(pool, &ended, now_ns);
    park_lot_announce_locked(pool);
    lock_give(&pool->lock);
    park_ticket_settle_all(&ended);

    lock_take(&pool->lock);
    bool in_time = true;
    while (!park_lot_is_empty_locked(pool) && in_time)
        in_time = park_cond_wait(&pool->empty, &pool->lock, deadline_ns);
    bool is_empty = park_lot_is_empty_locked(pool);
    lock_give(&pool->lock);
    return is_empty ? PARK_OK : PARK_E_TIMEOUT;
}

bool park_is_drained(park_pool *pool)
{
    lock_take(&pool->lock);
    bool is_drained = pool->draining && park_lot_is_empty_locked(pool);
    lock_give(&pool->lock);
    return is_drained;
}

static void stats_locked(const park_pool *pool, struct park_stats *out, uint64_t now_ns)
{
    out->used = pool->used;
    out->high_water = pool->high_water;
    out->draining = pool->draining;
    out->submitted = pool->submitted;
    out->queued = pool->tickets[PARK_QUEUED];
    out->running = pool->tickets[PARK_RUNNING];
    out->completed = pool->tickets[PARK_COMPLETED];
    out->failed = pool->tickets[PARK_FAILED];
    out->cancelled = pool->tickets[PARK_CANCELLED];
    out->dropped = pool->tickets[PARK_DROPPED];
    out->tasks_queued = pool->parked.count + pool->requeued.count;
    out->tasks_running = park_lot_running_locked(pool);
    out->requeues = pool->requeues;
    out->queued_bytes = pool->queued_bytes;
    out->queue_high_water = pool->queue_high_water;
    if (pool->parked.first)
        out->oldest_queued_ns = park_elapsed_ns(pool->parked.first->ticket->submitted_ns, now_ns);
    out->rejected_oversize = pool->rejected[PARK_REJECT_OVERSIZE];
    out->rejected_queue_full = pool->rejected[PARK_REJECT_QUEUE_FULL];
    out->rejected_draining = pool->rejected[PARK_REJECT_DRAINING];
    out->rejected_other = pool->rejected[PARK_REJECT_OTHER];
    for (int i = 0; i < PARK_REJECT_COUNT; i++)
        out->rejected += pool->rejected[i];
    out->events = atom_load_relaxed(&pool->events); /* a statistic; orders nothing */
    out->events_full = pool->events_full;
}

void park_stats(park_pool *pool, struct park_stats *out)
{
    uint64_t now_ns = park_now_ns(pool);
    *out = (struct park_stats){
        .name = pool->name,
        .dim_count = pool->dim_count,
        .capacity = pool->capacity,
        .queue_count_max = pool->queue_count_max,
    };
    for (uint32_t d = 0; d < pool->dim_count; d++)
        out->dim_names[d] = pool->dim_names[d];
    lock_take(&pool->lock);
    stats_locked(pool, out, now_ns);
    lock_give(&pool->lock);
}
