/* GET /v1/queues: the tickets that are parked or running now, oldest first. */
#include <stdlib.h>
#include <string.h>

#include "api/answer_int.h"
#include "base/mem.h"

enum {
    QUEUES_SHOWN_MAX = 1000
};

struct queues {
    const struct answer **answers; /* [count] */
    size_t count;
    size_t queued;
    size_t running;
};

/* A caller sees the work of its tenant; with scope admin everybody's. */
static bool is_seen(const struct api_caller *caller, const struct answer *a)
{
    return (caller->scopes & API_SCOPE_ADMIN) || strcmp(caller->tenant, a->tenant) == 0;
}

/* Counts what the caller sees; with q->answers it is written there. */
static void collect(const struct api_call *call, struct queues *q)
{
    q->count = 0;
    for (size_t i = 0; i < API_ANSWER_BUCKETS; i++) {
        for (const struct answer *a = call->api->answers[i]; a; a = a->next) {
            if (!is_seen(&call->caller, a))
                continue;
            if (q->answers)
                q->answers[q->count] = a;
            q->count++;
        }
    }
}

static int compare(const void *x, const void *y)
{
    const struct answer *a = *(const struct answer *const *)x;
    const struct answer *b = *(const struct answer *const *)y;
    if (a->begin_ns != b->begin_ns)
        return a->begin_ns < b->begin_ns ? -1 : 1;
    return strcmp(a->peer.ticket_id, b->peer.ticket_id);
}

static json_int_t ms_of(uint64_t ns)
{
    return (json_int_t)(ns / 1000000);
}

static json_int_t generated_of(const struct format *f)
{
    json_int_t sum = 0;
    for (uint32_t i = 0; i < f->prompt_count * f->made; i++)
        sum += f->choices[i].generated;
    return sum;
}

/* The age is taken after the status, whose times it must not fall behind. */
static json_t *ticket_json(const struct api *api, const struct answer *a,
                           const struct park_status *status)
{
    uint64_t now_ns = clock_now_ns(api->options.clock);
    bool queued = status->state == PARK_QUEUED;
    uint64_t age_ns = now_ns > a->begin_ns ? now_ns - a->begin_ns : 0;
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:I,s:I,s:I,s:I,s:I}", "ticket", a->peer.ticket_id,
                     "tenant", a->tenant, "model", a->format.model, "class",
                     park_class_name(status->klass), "state", park_state_name(status->state),
                     "position", queued ? json_integer((json_int_t)status->position) : json_null(),
                     "age_ms", ms_of(age_ns), "wait_ms", ms_of(status->queued_ns), "run_ms",
                     ms_of(status->run_ns), "prompt_tokens", (json_int_t)a->format.prompt_tokens,
                     "generated_tokens", generated_of(&a->format));
}

/* The list of the oldest; NULL: no memory. */
static json_t *list_json(const struct api *api, struct queues *q)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < q->count; i++) {
        struct park_status status;
        park_status(q->answers[i]->ticket, &status);
        q->queued += status.state == PARK_QUEUED;
        q->running += status.state == PARK_RUNNING;
        if (i < QUEUES_SHOWN_MAX &&
            json_array_append_new(list, ticket_json(api, q->answers[i], &status))) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

void api_queues_get(struct api_call *call)
{
    struct queues q = { 0 };
    collect(call, &q);
    q.answers = mem_calloc(MEM_API, q.count + 1, sizeof *q.answers);
    json_t *body = NULL;
    if (q.answers) {
        collect(call, &q);
        qsort(q.answers, q.count, sizeof *q.answers, compare);
        json_t *list = list_json(call->api, &q);
        body = json_pack("{s:s,s:{s:I,s:I},s:b,s:o}", "object", "list", "counts", "queued",
                         (json_int_t)q.queued, "running", (json_int_t)q.running, "has_more",
                         q.count > QUEUES_SHOWN_MAX, "data", list);
    }
    mem_free(q.answers);
    api_reply_json(call->api, &call->peer, 200, body);
}
