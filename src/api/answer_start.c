/* The start of an answer: its ticket, and the table in which it is found by it. */
#include <string.h>

#include "api/answer_int.h"
#include "base/log.h"
#include "base/mem.h"

/* ---- the table of answers by ticket ---- */

static struct answer **bucket(struct api *api, const park_ticket *ticket)
{
    uint64_t hash = random_mix((uint64_t)(uintptr_t)ticket);
    return &api->answers[hash & (API_ANSWER_BUCKETS - 1)];
}

struct answer *answer_find(struct api *api, const park_ticket *ticket)
{
    struct answer *a = *bucket(api, ticket);
    while (a && a->ticket != ticket)
        a = a->next;
    return a;
}

static void answer_add(struct answer *a)
{
    struct answer **at = bucket(a->api, a->ticket);
    a->next = *at;
    *at = a;
}

static void answer_remove(struct answer *a)
{
    struct answer **at = bucket(a->api, a->ticket);
    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
}

struct answer *answer_of_pulse(struct pulse *pulse)
{
    return (struct answer *)((char *)pulse - offsetof(struct answer, pulse));
}

/* ---- life ---- */

void answer_settle(struct answer *a)
{
    if (a->settled)
        return;
    a->settled = true;
    uint64_t now_ns = clock_now_ns(a->api->options.clock);
    struct format *f = &a->format;
    uint32_t count = f->prompt_count * f->made;
    struct limits_end end = { .charged = a->charged,
                              .output_count = format_is_complete(f) ? count : 0,
                              .ms = (now_ns - a->begin_ns) / 1000000 };
    for (uint32_t i = 0; i < count; i++)
        end.output += (uint64_t)f->choices[i].generated;
    end.tokens = (uint64_t)f->prompt_tokens + end.output;
    limits_end(&a->api->limits, &a->peer.use, &end, now_ns);
}

void answer_destroy(struct answer *a)
{
    if (a->ticket) {
        answer_settle(a);
        answer_remove(a);
        park_cancel(a->ticket, PARK_REASON_DISCONNECT);
        park_ticket_unref(a->ticket);
    }
    pulse_clear(&a->pulse);
    a->api->stats.streams -= a->started;
    format_fini(&a->format);
    mem_free(a->latency.choices);
    mem_free(a);
}

static struct answer *answer_create(struct api_call *call, const struct format_kind *kind,
                                    const struct api_params *params,
                                    const struct api_prompt *prompts, const struct api_job *job,
                                    const struct admission *admission)
{
    struct api *api = call->api;
    struct answer *a = mem_calloc(MEM_API, 1, sizeof *a);
    if (!a)
        return NULL;
    a->api = api;
    a->kind = kind;
    a->peer = call->peer;
    a->stream = params->stream;
    memcpy(a->tenant, call->caller.tenant, strlen(call->caller.tenant));
    a->latency.klass = admission->schedule.klass;
    a->latency.arrived_ns = call->peer.arrived_ns;
    a->latency.choices =
        mem_calloc(MEM_API, (size_t)job->request_count * job->choices, sizeof *a->latency.choices);
    if (!a->latency.choices || format_init(&a->format, &api->options.model, params, prompts, job)) {
        mem_free(a->latency.choices);
        mem_free(a);
        return NULL;
    }
    a->format.created = clock_wall_seconds();
    if (params->tier)
        a->format.service_tier = schedule_tier(admission->schedule.klass);
    random_id(api->options.random, kind->id_prefix, a->format.id, sizeof a->format.id);
    return a;
}

/* ---- the ticket ---- */

/* The units of a task: all have those of the largest. The cost is in tokens. */
static void work_size(const struct answer *a, const struct api_job *job, struct park_work *work)
{
    const struct api_options *o = &a->api->options;
    for (uint32_t i = 0; i < job->request_count; i++) {
        const struct valet_request *r = &job->requests[i];
        uint64_t start = o->blocks_start(o->arg, r->prompt_count, r->max_new);
        uint64_t end = o->blocks(o->arg, r->prompt_count, r->max_new);
        int32_t output = limits_output(&a->api->limits, &a->peer.use, r->max_new);
        if (start > work->need.n[0])
            work->need.n[0] = start;
        if (end > work->limit.n[0])
            work->limit.n[0] = end;
        work->cost += (uint64_t)r->prompt_count + (uint64_t)output * job->choices;
    }
    work->need.n[1] = 1;
    work->limit.n[1] = 1;
    work->task_count = job->request_count * job->choices;
}

static void work_make(const struct answer *a, struct api_job *job, struct admission *admission,
                      struct park_work *work)
{
    park_work_init(work);
    work_size(a, job, work);
    work->payload = job;
    work->payload_bytes = job->arena.bytes;
    work->payload_destroy = api_job_destroy;
    work->inbox = a->api->options.inbox;
    work->klass = admission->schedule.klass;
    work->tenant = a->tenant;
    work->tenant_running_max = (uint64_t)a->peer.use.running_max;
    work->deadline_ns = admission->schedule.deadline_ns;
    work->queue_timeout_ms = admission->schedule.queue_timeout_ms;
    work->reservation = admission->reservation;
}

/* Gives the job to the lot. On an error it is still the caller's. */
static enum base_err answer_submit(struct answer *a, struct api_job *job,
                                   struct admission *admission, struct api_error *error)
{
    struct api *api = a->api;
    struct park_refusal refusal;
    struct park_work work;
    work_make(a, job, admission, &work);
    uint64_t now_ns = clock_now_ns(api->options.clock);
    enum base_err rc = limits_ticket(&api->limits, &a->peer.use, work.cost, now_ns, error);
    if (rc)
        return rc;
    admission->reservation = NULL; /* used, whatever the lot says */
    if (park_submit(api->options.pool, &work, &a->ticket, &refusal) != PARK_OK) {
        admission_refused(api, a->kind, &refusal, error);
        return E_INVALID;
    }
    a->begin_ns = now_ns;
    a->charged = work.cost;
    limits_begin(&api->limits, &a->peer.use, work.cost, now_ns);
    return OK;
}

enum base_err answer_start(struct api_call *call, const struct format_kind *kind,
                           const struct api_params *params, const struct api_prompt *prompts,
                           struct api_job *job, struct admission *admission,
                           struct api_error *error)
{
    struct answer *a = answer_create(call, kind, params, prompts, job, admission);
    enum base_err rc = a ? answer_submit(a, job, admission, error) : api_error_nomem(error);
    if (rc) {
        api_job_destroy(job);
        if (a)
            answer_destroy(a);
        return rc;
    }
    a->peer.ticket_id = park_ticket_id(a->ticket);
    log_line(LOG_DEBUG, "event=answer.begin request=%s tenant=%s ticket=%s class=%s",
             a->peer.request_id, a->tenant, a->peer.ticket_id,
             park_class_name(admission->schedule.klass));
    answer_add(a);
    http_exchange_set_user(a->peer.x, a);
    if (a->stream)
        pulse_set(&a->api->early, &a->pulse, a->begin_ns);
    return OK;
}
