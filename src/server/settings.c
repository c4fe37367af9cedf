#include "server/settings.h"

enum {
    LOW_LEAVES_SLOTS = 2,   /* class low may use all but these ... */
    LOW_LEAVES_BLOCKS = 10, /* ... and all but one in so many KV blocks */
    QUEUE_CAPACITIES = 8,   /* KV blocks that waiting requests need may be so many times those
                               there are, unless the configuration says otherwise */
    DRAIN_IDLE_MS = 1000,   /* how long a connection at rest may still ask and hear 503 */
    TENANTS_MAX = 1000      /* with statistics of their own */
};

enum park_class settings_class(enum config_class_id id)
{
    static const enum park_class classes[CONFIG_CLASS_COUNT] = {
        [CONFIG_CLASS_CRITICAL] = PARK_CLASS_CRITICAL,
        [CONFIG_CLASS_HIGH] = PARK_CLASS_HIGH,
        [CONFIG_CLASS_NORMAL] = PARK_CLASS_NORMAL,
        [CONFIG_CLASS_LOW] = PARK_CLASS_LOW,
    };
    return classes[id];
}

static int32_t or_zero(int64_t number)
{
    return number == CONFIG_UNSET ? 0 : (int32_t)number; /* the table bounds it */
}

void settings_api(const struct valet_config *config, struct api_settings *out)
{
    const struct config_pool *pool = &config->pool;
    *out = (struct api_settings){
        .strict_max_tokens = config->server.strict_max_tokens,
        .retry_after_min_ms = (uint64_t)pool->retry_after_min_ms,
        .retry_after_max_ms = (uint64_t)pool->retry_after_max_ms,
        .retry_after_jitter = pool->retry_after_jitter,
    };
}

void settings_engine(const struct valet_config *config, struct valet_engine_options *out)
{
    const struct config_model *m = &config->model;
    valet_engine_options_init(out);
    out->context = or_zero(m->context);
    out->kv_bytes = m->kv_bytes;
    out->rows_max = (int32_t)m->rows_max;
    out->chunk_max = (int32_t)m->chunk_max;
    out->itl_target_ms = (int32_t)m->itl_target_ms;
    out->prefix_cache = m->prefix_cache;
    out->speculation = m->speculation;
}

void settings_http(const struct valet_config *config, bool has_keys, struct http_options *out)
{
    const struct config_server *s = &config->server;
    http_options_init(out);
    out->server_name = "valet";
    out->header_bytes_max = s->header_bytes_max;
    out->body_bytes_max = s->body_bytes_max;
    out->header_timeout_ms = (uint64_t)s->header_timeout_ms;
    out->body_timeout_ms = (uint64_t)s->body_timeout_ms;
    out->idle_timeout_ms = (uint64_t)s->idle_timeout_ms;
    out->connections_max = (size_t)s->connections_max;
    out->connections_per_address_max = (size_t)s->connections_per_address_max;
    out->stream_drop_bytes = s->stream_drop_bytes;
    out->stream_pause_bytes = s->stream_pause_bytes;
    if (out->stream_resume_bytes > out->stream_pause_bytes)
        out->stream_resume_bytes = out->stream_pause_bytes;
    out->stream_pause_ms = (uint64_t)config->pool.slow_reader_ms;
    out->drain_idle_ms = DRAIN_IDLE_MS;
    out->policy = (struct http_policy){
        .check_host = !has_keys,
        .hosts = s->allowed_hosts.items,
        .host_count = s->allowed_hosts.count,
        .check_origin = true,
        .origins = s->cors_origins.items,
        .origin_count = s->cors_origins.count,
        .allow_credentials = s->cors_credentials,
        .allow_methods = "GET, HEAD, POST, OPTIONS",
        .allow_headers = "Authorization, Content-Type, X-Api-Key, Idempotency-Key, Last-Event-ID, "
                         "X-Request-Id, X-Valet-Priority, X-Valet-Deadline-Ms, "
                         "X-Valet-Queue-Timeout-Ms",
        .expose_headers = "X-Request-Id, X-Valet-Ticket, Retry-After",
        .max_age_s = 600,
    };
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The shorter of two times of which 0 is none. */
static uint64_t shorter(uint64_t a, uint64_t b)
{
    return a == 0 ? b : b == 0 ? a : smaller(a, b);
}

static void set_class(const struct config_pool *pool, enum config_class_id id,
                      struct park_class_options *out)
{
    const struct config_class *c = &pool->classes[id];
    out->budget_ms = (uint64_t)c->budget_ms;
    out->aging_ms = c->aging_ms == CONFIG_UNSET ? 0 : (uint64_t)c->aging_ms;
    out->queue_timeout_ms =
        shorter((uint64_t)c->queue_timeout_ms, (uint64_t)pool->queue_timeout_ms);
    out->queue_count_max = (uint64_t)c->queue_count_max;
    out->reserved.n[0] = (uint64_t)c->reserved_units;
}

void settings_park(const struct valet_config *config, const struct valet_engine_info *engine,
                   struct park_options *out)
{
    const struct config_pool *pool = &config->pool;
    const uint64_t slots = (uint64_t)engine->rows_max;
    park_options_init(out);
    out->dim_count = 2;
    out->dim_names[0] = "kv_blocks";
    out->dim_names[1] = "slots";
    out->capacity.n[0] = engine->block_count;
    out->capacity.n[1] = slots;
    out->running_max = slots;
    out->queue_count_max = (uint64_t)pool->queue_count_max;
    out->queue_bytes_max = pool->queue_bytes_max;
    out->queue_units_max.n[0] = pool->queue_units_max == CONFIG_UNSET
                                    ? QUEUE_CAPACITIES * engine->block_count
                                    : (uint64_t)pool->queue_units_max;
    out->events_bytes_max = pool->events_bytes_max;
    for (int i = 0; i < CONFIG_CLASS_COUNT; i++) {
        enum config_class_id id = (enum config_class_id)i;
        set_class(pool, id, &out->classes[settings_class(id)]);
    }
    struct park_units *reserved = &out->classes[PARK_CLASS_NORMAL].reserved;
    reserved->n[0] += engine->block_count / LOW_LEAVES_BLOCKS;
    reserved->n[1] = smaller(LOW_LEAVES_SLOTS, slots - 1);
    out->aging_share = (uint32_t)pool->aging_share;
    out->run_timeout_ms = (uint64_t)pool->run_timeout_ms;
    out->total_timeout_ms = (uint64_t)pool->timeout_ms;
    out->cancel_grace_ms = (uint64_t)pool->cancel_grace_ms;
    out->retry_after_min_ms = (uint64_t)pool->retry_after_min_ms;
    out->retry_after_max_ms = (uint64_t)pool->retry_after_max_ms;
    out->retry_after_jitter = pool->retry_after_jitter;
    out->audit_count_max = (uint64_t)pool->audit_count_max;
    out->tenant_count_max = TENANTS_MAX;
}
