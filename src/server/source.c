#include "server/source.h"

#include "base/assert.h"
#include "base/mem.h"

enum {
    TAKE_MAX = 256 /* the most rows an engine has */
};

static size_t source_take(void *arg, void **works, const struct valet_request **requests,
                          size_t room)
{
    struct server_source *s = arg;
    park_task *tasks[TAKE_MAX];
    size_t n = park_take(s->pool, tasks, room < TAKE_MAX ? room : TAKE_MAX);
    for (size_t i = 0; i < n; i++) {
        works[i] = tasks[i];
        requests[i] = park_task_payload(tasks[i]);
    }
    return n;
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
    size_t len = valet_event_encode(event, s->event, s->event_bytes);
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
    park_finish(work, &outcome);
}

enum base_err server_source_init(struct server_source *s, park_pool *pool, size_t text_bytes_max)
{
    s->pool = pool;
    atomic_init(&s->stop, false);
    s->event_bytes = sizeof(struct valet_event_wire) + text_bytes_max;
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
        .emit = source_emit,
        .end = source_end,
    };
}

void server_source_stop(struct server_source *s)
{
    atomic_store(&s->stop, true);
    park_wake(s->pool);
}
