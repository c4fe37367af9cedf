/*
 * Thread mode: workers that take one task each, run it and finish it, and a keeper that drives
 * the timers and replaces workers whose thread ended under a task (README rule 27).
 *
 *   worker:  sleeps ── a task can be taken ──▶ runs ── run returns ──▶ sleeps
 *                                                └── its thread ends ──▶ dead ── keeper ──▶ sleeps
 *
 * A worker that ran a task does not touch it again if it was finished or given back meanwhile:
 * t_task is what is left to finish.
 *
 * Threads: each worker its own; `is_started`, `is_dead` and the counts under the pool's lock.
 */
#include "park/park_int.h"

#include <pthread.h>

#include "base/assert.h"

#define START_RETRY_MS 100

static _Thread_local const park_task *t_task;
static pthread_once_t g_once = PTHREAD_ONCE_INIT;
static pthread_key_t g_key; /* of each worker's thread: the worker */
static bool g_has_key;

void park_worker_forget(const park_task *task)
{
    if (t_task == task)
        t_task = NULL;
}

static park_task *next_task(park_pool *pool)
{
    park_task *task = NULL;
    struct park_pass pass;
    park_pass_begin(&pass, pool);
    while (!pool->crew.is_stopping && (task = park_lot_hand_over_locked(&pass)) == NULL)
        park_pass_rest(&pass, &pool->taker);
    park_pass_end(&pass);
    return task;
}

static void finish(park_task *task, int code)
{
    struct park_outcome outcome = { .state = PARK_COMPLETED };
    if (code != 0)
        outcome = (struct park_outcome){ .state = PARK_FAILED, .error_code = code };
    park_finish(task, &outcome);
}

/*
 * The thread of a worker ends under its task: by pthread_exit. Runs on that thread, as the
 * destructor of its value of g_key, after the clean-up handlers of the run itself.
 */
static void worker_died(void *arg)
{
    struct park_worker *worker = arg;
    park_pool *pool = worker->pool;
    if (t_task && t_task == worker->task) {
        struct park_outcome outcome = { .state = PARK_FAILED,
                                        .error_text = "its thread ended under it" };
        park_taker_finish(worker->task, &outcome, PARK_REASON_WORKER_DIED);
    }
    struct park_pass pass;
    park_pass_begin(&pass, pool);
    worker->is_dead = true;
    pool->crew.live_count--;
    pool->crew.death_count++;
    park_audit_event_locked(&pass, PARK_AUDIT_WORKER_EXIT, NULL, NULL);
    cond_broadcast(&pool->crew.changed);
    park_pass_end(&pass);
}

static void work(struct park_worker *worker)
{
    const struct park_crew *crew = &worker->pool->crew;
    park_task *task;
    while ((task = next_task(worker->pool)) != NULL) {
        worker->task = task;
        t_task = task;
        int code = crew->run(task, crew->run_arg);
        if (t_task && code != PARK_STREAMING)
            finish(task, code);
        t_task = NULL;
    }
}

static void make_key(void)
{
    g_has_key = pthread_key_create(&g_key, worker_died) == 0;
}

static void *worker_main(void *arg)
{
    int rc = pthread_setspecific(g_key, arg);
    ASSERT(rc == 0);
    work(arg);
    pthread_setspecific(g_key, NULL);
    return NULL;
}

static bool worker_start(struct park_worker *worker)
{
    return thread_start(&worker->thread, "park-worker", worker_main, worker) == OK;
}

/* ---- the keeper ---- */

static struct park_worker *find_dead(struct park_crew *crew)
{
    for (uint32_t i = 0; i < crew->count; i++) {
        if (crew->workers[i].is_dead)
            return &crew->workers[i];
    }
    return NULL;
}

/* Joins the dead thread and starts another. True: it could. */
static bool replace(struct park_pass *pass, struct park_worker *worker)
{
    park_pool *pool = pass->pool;
    bool has_thread = worker->is_started;
    worker->is_started = false;
    worker->is_dead = false; /* before it starts: it may die at once */
    pool->crew.live_count++;
    park_pass_end(pass);
    if (has_thread)
        thread_join(&worker->thread);
    bool is_new = worker_start(worker);
    park_pass_begin(pass, pool);
    worker->is_started = is_new;
    worker->is_dead = worker->is_dead || !is_new;
    pool->crew.live_count -= !is_new;
    return is_new;
}

static void *keeper_main(void *arg)
{
    park_pool *pool = arg;
    struct park_crew *crew = &pool->crew;
    struct park_pass pass;
    park_pass_begin(&pass, pool);
    while (!crew->is_stopping) {
        struct park_worker *dead = find_dead(crew);
        uint64_t deadline_ns = PARK_NEVER;
        if (dead && !replace(&pass, dead))
            deadline_ns = park_deadline_ns(START_RETRY_MS);
        if (!crew->is_stopping && (!dead || deadline_ns != PARK_NEVER))
            park_pass_sleep(&pass, &crew->changed, deadline_ns);
    }
    park_pass_end(&pass);
    return NULL;
}

/* ---- start and stop ---- */

static void join_workers(struct park_crew *crew)
{
    for (uint32_t i = 0; i < crew->count; i++) {
        if (crew->workers[i].is_started)
            thread_join(&crew->workers[i].thread);
    }
    mem_free(crew->workers);
    crew->workers = NULL;
}

static void ask_to_stop(park_pool *pool)
{
    lock_take(&pool->lock);
    pool->crew.is_stopping = true;
    cond_broadcast(&pool->taker);
    cond_broadcast(&pool->crew.changed);
    lock_give(&pool->lock);
}

enum park_err park_crew_start(park_pool *pool)
{
    struct park_crew *crew = &pool->crew;
    crew->count = pool->options.worker_count;
    crew->run = pool->options.run;
    crew->run_arg = pool->options.run_arg;
    if (crew->count == 0)
        return PARK_OK;
    pthread_once(&g_once, make_key);
    crew->workers = mem_calloc(MEM_PARK, crew->count, sizeof *crew->workers);
    if (!crew->workers || !g_has_key) {
        mem_free(crew->workers);
        crew->workers = NULL;
        return PARK_E_NOMEM;
    }
    bool is_whole = true;
    for (uint32_t i = 0; i < crew->count && is_whole; i++) {
        crew->workers[i].pool = pool;
        is_whole = worker_start(&crew->workers[i]);
        lock_take(&pool->lock);
        crew->workers[i].is_started = is_whole;
        crew->live_count += is_whole;
        lock_give(&pool->lock);
    }
    if (is_whole && thread_start(&crew->keeper, "park-keeper", keeper_main, pool) == OK)
        return PARK_OK;
    ask_to_stop(pool);
    join_workers(crew);
    return PARK_E_NOMEM;
}

void park_crew_stop(park_pool *pool)
{
    if (pool->crew.count == 0)
        return;
    ask_to_stop(pool);
    thread_join(&pool->crew.keeper);
    join_workers(&pool->crew);
    pool->crew.live_count = 0;
}
