/*
 * A pool's life: creation, pause, drain, end.
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

static void free_names(park_pool *pool)
{
    mem_free(pool->name);
    for (uint32_t d = 0; d < pool->dim_count; d++)
        mem_free(pool->dim_names[d]);
}

static bool copy_names(park_pool *pool, const struct park_options *options)
{
    pool->name = mem_strndup(MEM_PARK, options->name, strlen(options->name));
    bool is_whole = pool->name != NULL;
    for (uint32_t d = 0; d < options->dim_count && is_whole; d++) {
        const char *name = options->dim_names[d];
        pool->dim_names[d] = mem_strndup(MEM_PARK, name, strlen(name));
        is_whole = pool->dim_names[d] != NULL;
    }
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

static void init_lot(park_pool *pool)
{
    uint64_t salt = random_u64(&pool->random);
    pool->timers.salt = salt;
    for (int c = 0; c < PARK_CLASS_COUNT; c++)
        pool->lanes[c].parked.salt = salt;
    pool->timer_told_ns = PARK_NEVER;
    pool->timer_slept_ns = PARK_NEVER;
    pool->drain_timer.kind = PARK_TIMER_DRAIN;
    pool->store.timer.kind = PARK_TIMER_RESULTS;
    pool->store.tombstone_timer.kind = PARK_TIMER_TOMBSTONES;
    atomic_init(&pool->refs, 1);
    atomic_init(&pool->events, 0);
    lock_init(&pool->lock, LOCK_RANK_POOL);
    cond_init(&pool->taker);
    cond_init(&pool->empty);
    cond_init(&pool->crew.changed);
}

static void free_memory(park_pool *pool)
{
    free_names(pool);
    park_tenants_fini(&pool->tenants);
    mem_free(pool->index.buckets);
    mem_free(pool->audit.records);
    mem_free(pool);
}

static bool alloc_memory(park_pool *pool, const struct park_options *options)
{
    pool->audit.count_max = options->audit_count_max;
    if (options->audit_count_max > 0)
        pool->audit.records =
            mem_calloc(MEM_PARK, options->audit_count_max, sizeof *pool->audit.records);
    return copy_names(pool, options) && park_index_init(&pool->index, options) &&
           park_tenants_init(&pool->tenants, options->tenant_count_max) &&
           (pool->audit.records || options->audit_count_max == 0);
}

enum park_err park_pool_create(const struct park_options *options, park_pool **out)
{
    *out = NULL;
    if (!park_options_are_valid(options))
        return PARK_E_INVALID;
    park_pool *pool = mem_calloc(MEM_PARK, 1, sizeof *pool);
    if (!pool)
        return PARK_E_NOMEM;
    pool->dim_count = options->dim_count;
    if (!alloc_memory(pool, options)) {
        free_memory(pool);
        return PARK_E_NOMEM;
    }
    pool->options = *options;
    pool->options.name = NULL; /* copies of the strings are the pool's own */
    memset(pool->options.dim_names, 0, sizeof pool->options.dim_names);
    set_env(pool, &options->env);
    init_lot(pool);
    if (park_crew_start(pool) != PARK_OK) {
        park_pool_unref(pool);
        return PARK_E_NOMEM;
    }
    *out = pool;
    return PARK_OK;
}

uint64_t park_now_ns(const park_pool *pool)
{
    return clock_now_ns(&pool->clock);
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
    cond_fini(&pool->crew.changed);
    cond_fini(&pool->empty);
    cond_fini(&pool->taker);
    lock_fini(&pool->lock);
    free_memory(pool);
}

/* Ends what is left without its taker, which has stopped. */
static void end_tasks_locked(struct park_pass *pass, struct park_list *list)
{
    while (list->first)
        park_lot_end_locked(pass, list->first, PARK_CANCELLED);
}

void park_pool_destroy(park_pool *pool)
{
    if (!pool)
        return;
    struct park_pass pass;
    park_pass_begin(&pass, pool);
    pool->draining = true;
    park_timer_set_locked(pool, &pool->drain_timer, PARK_NEVER);
    park_lot_drop_queued_locked(&pass);
    park_lot_ask_all_locked(&pass);
    park_pass_end(&pass);
    park_crew_stop(pool);
    park_pass_begin(&pass, pool);
    end_tasks_locked(&pass, &pool->booked);
    end_tasks_locked(&pass, &pool->running);
    park_store_clear_locked(&pass);
    park_pass_end(&pass);
    park_pool_unref(pool);
}

/* ---- pause and drain ---- */

static void set_paused(park_pool *pool, bool is_paused)
{
    struct park_pass pass;
    park_pass_begin(&pass, pool);
    if (pool->is_paused != is_paused)
        park_audit_event_locked(&pass, is_paused ? PARK_AUDIT_PAUSE : PARK_AUDIT_RESUME, NULL,
                                NULL);
    pool->is_paused = is_paused;
    park_pass_end(&pass);
}

void park_pause(park_pool *pool)
{
    set_paused(pool, true);
}

void park_resume(park_pool *pool)
{
    set_paused(pool, false);
}

static void begin_drain_locked(struct park_pass *pass)
{
    if (!pass->pool->draining)
        park_audit_event_locked(pass, PARK_AUDIT_DRAIN, NULL, NULL);
    pass->pool->draining = true;
}

enum park_err park_drain(park_pool *pool, enum park_drain_mode mode, int64_t timeout_ms)
{
    uint64_t deadline_ns = park_deadline_ns(timeout_ms);
    struct park_pass pass;
    park_pass_begin(&pass, pool);
    /*
     * A mode only becomes stricter because nothing takes its effects back: what was dropped
     * or asked to end stays so, and nothing new comes in.
     */
    begin_drain_locked(&pass);
    if (mode >= PARK_DRAIN_FINISH_RUNNING)
        park_lot_drop_queued_locked(&pass);
    if (mode >= PARK_DRAIN_NOW)
        park_lot_ask_all_locked(&pass);
    while (!park_lot_is_empty_locked(pool)) {
        if (!park_pass_sleep(&pass, &pool->empty, deadline_ns))
            break;
    }
    bool is_empty = park_lot_is_empty_locked(pool);
    park_pass_end(&pass);
    return is_empty ? PARK_OK : PARK_E_TIMEOUT;
}

void park_drain_cancel_after(park_pool *pool, uint64_t after_ms)
{
    struct park_pass pass;
    park_pass_begin(&pass, pool);
    begin_drain_locked(&pass);
    park_lot_drop_queued_locked(&pass);
    uint64_t at_ns = after_ms ? park_time_after_ms(pass.now_ns, after_ms) : pass.now_ns;
    if (!pool->drain_timer.is_set || at_ns < pool->drain_timer.node.key)
        park_timer_set_locked(pool, &pool->drain_timer, at_ns);
    park_timer_run_locked(&pass);
    park_pass_end(&pass);
}

bool park_is_drained(park_pool *pool)
{
    lock_take(&pool->lock);
    bool is_drained = pool->draining && park_lot_is_empty_locked(pool);
    lock_give(&pool->lock);
    return is_drained;
}
