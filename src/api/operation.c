/* What operators and probes ask: health, readiness, version, metrics, pools. */
#include "api/api_int.h"
#include "base/mem.h"

enum {
    METRICS_BYTES_MAX = 1 << 20
};

void api_health_get(struct api_call *call)
{
    const struct api_options *o = &call->api->options;
    bool healthy = o->healthy(o->arg);
    api_reply_status(call->api, &call->peer, healthy ? 200 : 503, healthy ? "ok" : "stalled");
}

void api_ready_get(struct api_call *call)
{
    const struct api_options *o = &call->api->options;
    const char *why = o->not_ready(o->arg);
    api_reply_status(call->api, &call->peer, why ? 503 : 200, why ? why : "ready");
}

void api_version_get(struct api_call *call)
{
    const struct api_version *v = &call->api->options.version;
    api_reply_json(call->api, &call->peer, 200,
                   json_pack("{s:s?,s:s?,s:s?}", "version", v->version, "commit", v->commit,
                             "build", v->build));
}

void api_metrics_get(struct api_call *call)
{
    const struct api_options *o = &call->api->options;
    struct base_buf text;
    buf_init(&text, MEM_API, METRICS_BYTES_MAX);
    enum base_err rc = o->metrics(o->arg, &text);
    if (rc) {
        struct api_error error;
        if (rc == E_NOMEM)
            api_error_nomem(&error);
        else
            api_error_set(&error, API_INTERNAL, NULL, "the metrics could not be written: %s",
                          base_strerror(rc));
        api_reply_error(call->api, &call->peer, &error);
    } else {
        api_reply_bytes(call->api, &call->peer, 200, "text/plain; version=0.0.4; charset=utf-8",
                        &text);
    }
    buf_fini(&text);
}

static json_t *units_json(const struct park_stats *s, const struct park_units *units)
{
    json_t *json = json_object();
    for (uint32_t i = 0; json && i < s->dim_count; i++) {
        if (json_object_set_new(json, s->dim_names[i], json_integer((json_int_t)units->n[i]))) {
            json_decref(json);
            json = NULL;
        }
    }
    return json;
}

static json_t *counters_json(const struct park_stats *s)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "submitted", (json_int_t)s->submitted, "rejected",
                     (json_int_t)s->rejected, "completed", (json_int_t)s->completed, "failed",
                     (json_int_t)s->failed, "cancelled", (json_int_t)s->cancelled, "dropped",
                     (json_int_t)s->dropped);
}

static json_t *pool_json(const struct park_stats *s)
{
    return json_pack("{s:s,s:s,s:o,s:o,s:o,s:I,s:I,s:I,s:I,s:I,s:o}", "poolId", s->name, "state",
                     s->draining ? "draining" : "active", "capacity", units_json(s, &s->capacity),
                     "used", units_json(s, &s->used), "highWater", units_json(s, &s->high_water),
                     "queued", (json_int_t)s->queued, "running", (json_int_t)s->running, "queueMax",
                     (json_int_t)s->queue_count_max, "queueHighWater",
                     (json_int_t)s->queue_high_water, "oldestQueuedMs",
                     (json_int_t)(s->oldest_queued_ns / 1000000), "counters", counters_json(s));
}

void api_pools_get(struct api_call *call)
{
    struct park_stats stats;
    park_stats(call->api->options.pool, &stats);
    api_reply_json(call->api, &call->peer, 200, json_pack("{s:[o]}", "pools", pool_json(&stats)));
}

void api_pool_get(struct api_call *call)
{
    struct park_stats stats;
    park_stats(call->api->options.pool, &stats);
    if (api_percent_is(call->rest, stats.name)) {
        api_reply_json(call->api, &call->peer, 200, pool_json(&stats));
        return;
    }
    struct api_error error;
    api_error_set(&error, API_NOT_FOUND, NULL, "there is no pool %.*s, the one here is %s",
                  api_shown_len(call->rest), call->rest.data, stats.name);
    api_reply_error(call->api, &call->peer, &error);
}
