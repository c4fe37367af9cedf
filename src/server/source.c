#include "server/source.h"

#include <string.h>

#include "api/api.h"
#include "base/assert.h"
#include "base/mem.h"

enum {
    TAKE_MAX = 256 /* the most rows an engine has */
};

/*
 * What a task had done when it was requeued; the task's user pointer. Engine thread only; freed
 * when the task is requeued again or ends.
 */
struct saved {
    struct valet_progress progress;
    int32_t ids[];
};

static void source_start(park_task *task, struct valet_start *start)
{
    *start = (struct valet_start){ .work = task, .rank = park_task_class(task) };
    start->request =
        api_task_request(park_task_payload(task), park_task_index(task), &start->choice);
    start->blocks =
        valet_engine_blocks_start(start->request->prompt_count, start->request->max_new);
    const struct saved *saved = park_task_user(task);
    if (saved)
        start->progress = saved->progress;
}

static size_t source_take(void *arg, struct valet_start *starts, size_t room)
{
    struct server_source *s = arg;
    park_task *tasks[TAKE_MAX];
    size_t n = park_take(s->pool, tasks, room < TAKE_MAX ? room : TAKE_MAX);
    for (size_t i = 0; i < n; i++)
        source_start(tasks[i], &starts[i]);
    return n;
}

static bool source_grow(void *arg, void *work, uint64_t blocks)
{
    (void)arg;
    const struct park_units total = { { blocks, 1 } };
    return park_adjust(work, &total) == PARK_OK;
}

static void *source_victim(void *arg)
{
    struct server_source *s = arg;
    return park_victim(s->pool);
}

static void *source_outranked(void *arg)
{
    struct server_source *s = arg;
    return park_outranked(s->pool);
}

static bool source_requeue(void *arg, void *work, const struct valet_progress *progress)
{
    (void)arg;
    struct saved *saved =
        mem_alloc(MEM_SERVER, sizeof *saved + (size_t)progress->count * sizeof saved->ids[0]);
    if (!saved)
        return false;
    saved->progress = *progress;
    saved->progress.ids = saved->ids;
    if (progress->count > 0)
        memcpy(saved->ids, progress->ids, (size_t)progress->count * sizeof saved->ids[0]);
    mem_free(park_task_user(work));
    park_task_set_user(work, saved);
    park_requeue(work);
    return true;
}

static bool source_wait(void *arg)
{
    struct server_source *s = arg;
    if (!atomic_load(&s->stop))
        park_take_wait(s->pool, -1);
    return !atomic_load(&s->stop);
}

static bool source_cancelled(void *arg, void *work)
{
    (void)arg;
    return park_task_cancelled(work);
}

static bool source_emit(void *arg, void *work, const struct valet_event *event)
{
    struct server_source *s = arg;
    struct valet_event of_task = *event; /* on a ticket's ring, a choice is a task */
    of_task.choice = park_task_index(work);
    size_t len = valet_event_encode(&of_task, s->event, s->event_bytes);
    ASSERT(len > 0);
    enum park_err rc = park_emit(work, (uint32_t)event->type, s->event, len);
    ASSERT(rc == PARK_OK || rc == PARK_E_AGAIN);
    return rc == PARK_OK;
}

static void source_end(void *arg, void *work, enum valet_end end, const char *error)
{
    (void)arg;
    static const enum park_state states[] = {
        [VALET_END_DONE] = PARK_COMPLETED,
        [VALET_END_CANCELLED] = PARK_CANCELLED,
        [VALET_END_FAILED] = PARK_FAILED,
    };
    struct park_outcome outcome = { .state = states[end], .error_text = error };
    mem_free(park_task_user(work));
    park_task_set_user(work, NULL);
    park_finish(work, &outcome);
}

enum base_err server_source_init(struct server_source *s, park_pool *pool, size_t text_bytes_max)
{
    s->pool = pool;
    atomic_init(&s->stop, false);
    s->event_bytes = valet_event_bytes_max(text_bytes_max, VALET_TOP_LOGPROBS_MAX);
    s->event = mem_alloc(MEM_SERVER, s->event_bytes);
    return s->event ? OK : E_NOMEM;
}

void server_source_fini(struct server_source *s)
{
    mem_free(s->event);
    s->event = NULL;
}

void server_source_bind(struct server_source *s, struct valet_engine_source *out)
{
    *out = (struct valet_engine_source){
        .arg = s,
        .take = source_take,
        .wait = source_wait,
        .cancelled = source_cancelled,
        .grow = source_grow,
        .victim = source_victim,
        .outranked = source_outranked,
        .requeue = source_requeue,
        .emit = source_emit,
        .end = source_end,
    };
}

void server_source_stop(struct server_source *s)
{
    atomic_store(&s->stop, true);
    park_wake(s->pool);
}
