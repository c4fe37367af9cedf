#include "server/metrics.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/histograms.h"

enum kind {
    COUNTER,
    GAUGE
};

struct sample {
    const char *name; /* behind "valet_" */
    enum kind kind;
    const char *help;
    const char *label; /* `key="value"` beside the model, or NULL */
    double value;
};

/* Resident memory of this process, 0 where the system does not tell. */
static double resident_bytes(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%*s %ld", &pages) != 1)
        pages = 0;
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGE_SIZE);
}

/* Whose names these are: a prefix, and the labels of every sample. */
struct dialect {
    const char *prefix;
    char labels[192];
};

/* One line for each sample; neighbours of one name share HELP and TYPE. */
static enum base_err write_samples(struct base_buf *out, const struct dialect *d,
                                   const struct sample *samples, size_t count)
{
    const char *last = "";
    enum base_err rc = OK;
    for (size_t i = 0; i < count && !rc; i++) {
        const struct sample *s = &samples[i];
        if (s->name != last)
            rc = buf_printf(out, "# HELP %s%s %s\n# TYPE %s%s %s\n", d->prefix, s->name, s->help,
                            d->prefix, s->name, s->kind == COUNTER ? "counter" : "gauge");
        last = s->name;
        if (!rc)
            rc = buf_printf(out, "%s%s{%s%s%s} %.17g\n", d->prefix, s->name, d->labels,
                            s->label ? "," : "", s->label ? s->label : "", s->value);
    }
    return rc;
}

/* ---- classes ---- */

/* A number of every class: the uint64_t at `offset` of struct park_class_stats. */
static enum base_err write_by_class(struct base_buf *out, const struct dialect *d,
                                    const struct park_stats *pool, const char *name, enum kind kind,
                                    const char *help, size_t offset)
{
    enum base_err rc = buf_printf(out, "# HELP %s%s %s\n# TYPE %s%s %s\n", d->prefix, name, help,
                                  d->prefix, name, kind == COUNTER ? "counter" : "gauge");
    for (int c = 0; c < PARK_CLASS_COUNT && !rc; c++) {
        uint64_t value;
        memcpy(&value, (const char *)&pool->classes[c] + offset, sizeof value);
        rc = buf_printf(out, "%s%s{%s,class=\"%s\"} %" PRIu64 "\n", d->prefix, name, d->labels,
                        park_class_name((enum park_class)c), value);
    }
    return rc;
}

static enum base_err write_classes(struct base_buf *out, const struct dialect *d,
                                   const struct park_stats *pool)
{
    static const struct {
        const char *name;
        enum kind kind;
        const char *help;
        size_t offset;
    } numbers[] = {
        { "class_requests_running", GAUGE, "Tickets of a class that run.",
          offsetof(struct park_class_stats, counts.running) },
        { "class_requests_waiting", GAUGE, "Tickets of a class that are parked.",
          offsetof(struct park_class_stats, counts.queued) },
        { "class_expired_total", COUNTER, "Tickets of a class that waited or ran too long.",
          offsetof(struct park_class_stats, counts.expired) },
        { "starved_promotions_total", COUNTER,
          "Starts that long waiting gave before a better class.",
          offsetof(struct park_class_stats, aged) },
    };
    enum base_err rc = OK;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && !rc; i++)
        rc = write_by_class(out, d, pool, numbers[i].name, numbers[i].kind, numbers[i].help,
                            numbers[i].offset);
    return rc;
}

/* ---- the names that dashboards for vLLM look for ---- */

static enum base_err write_aliases(struct base_buf *out, const struct dialect *d,
                                   const struct park_stats *pool,
                                   const struct valet_engine_stats *engine,
                                   const struct valet_engine_info *info)
{
    const struct sample samples[] = {
        { "num_requests_running", GAUGE, "Requests that run.", NULL, (double)pool->running },
        { "num_requests_waiting", GAUGE, "Requests that wait.", NULL, (double)pool->queued },
        { "kv_cache_usage_perc", GAUGE, "Used share of the KV cache, 0 to 1.", NULL,
          (double)engine->blocks_used / (double)info->block_count },
        { "prefix_cache_queries_total", COUNTER, "Prompt tokens looked up.", NULL,
          (double)engine->prefix_query_tokens },
        { "prefix_cache_hits_total", COUNTER, "Prompt tokens found.", NULL,
          (double)engine->prefix_hit_tokens },
        { "spec_decode_num_draft_tokens_total", COUNTER, "Tokens guessed.", NULL,
          (double)engine->draft_tokens },
        { "spec_decode_num_accepted_tokens_total", COUNTER, "Guessed tokens that were right.", NULL,
          (double)engine->draft_accepted_tokens },
        { "num_preemptions_total", COUNTER, "Requests that gave way.", NULL,
          (double)engine->preemptions },
        { "prompt_tokens_total", COUNTER, "Prompt tokens computed.", NULL,
          (double)engine->prompt_tokens },
        { "generation_tokens_total", COUNTER, "Tokens generated.", NULL,
          (double)engine->generated_tokens },
    };
    return write_samples(out, d, samples, sizeof samples / sizeof samples[0]);
}

enum base_err metrics_write(const struct metrics_source *source, struct base_buf *out)
{
    struct park_stats pool;
    struct valet_engine_stats engine;
    struct valet_engine_info info;
    struct http_stats http;
    struct api_stats api;
    park_stats(source->pool, &pool);
    valet_engine_stats(source->engine, &engine);
    valet_engine_info(source->engine, &info);
    http_server_stats(source->http, &http);
    api_stats(source->api, &api);
    uint64_t memory = 0;
    for (int tag = 0; tag < MEM_TAG_COUNT; tag++)
        memory += mem_live_bytes((enum mem_tag)tag);

    static const char tickets[] = "tickets_total";
    static const char refused[] = "refused_total";
    static const char answers[] = "http_answers_total";
    const struct sample samples[] = {
        { "requests_running", GAUGE, "Tickets that run.", NULL, (double)pool.running },
        { "requests_waiting", GAUGE, "Tickets that are parked.", NULL, (double)pool.queued },
        { "queue_depth_max", GAUGE, "Tickets that may be parked.", NULL,
          (double)pool.queue_count_max },
        { "queue_bytes", GAUGE, "Bytes of parked requests.", NULL, (double)pool.queued_bytes },
        { "oldest_wait_seconds", GAUGE, "Age of the oldest parked ticket.", NULL,
          (double)pool.oldest_queued_ns * 1e-9 },
        { "kv_blocks_total", GAUGE, "KV blocks there are.", NULL, (double)info.block_count },
        { "kv_blocks_booked", GAUGE, "KV blocks booked by running tickets.", NULL,
          (double)pool.used.n[0] },
        { "kv_blocks_used", GAUGE, "KV blocks that hold tokens.", NULL,
          (double)engine.blocks_used },
        { "kv_bytes", GAUGE, "Budget of the KV cache.", NULL,
          (double)info.block_count * (double)info.block_bytes },
        { "batch_rows", GAUGE, "Requests in the batch.", NULL, (double)engine.rows },
        { "batch_rows_max", GAUGE, "Requests that fit in the batch.", NULL, (double)info.rows_max },
        { "prompt_tokens_total", COUNTER, "Prompt tokens computed.", NULL,
          (double)engine.prompt_tokens },
        { "generated_tokens_total", COUNTER, "Tokens generated.", NULL,
          (double)engine.generated_tokens },
        { "prefix_query_tokens_total", COUNTER, "Prompt tokens looked up in the prefix cache.",
          NULL, (double)engine.prefix_query_tokens },
        { "prefix_hit_tokens_total", COUNTER, "Prompt tokens found in the prefix cache.", NULL,
          (double)engine.prefix_hit_tokens },
        { "draft_tokens_total", COUNTER, "Tokens guessed by speculation.", NULL,
          (double)engine.draft_tokens },
        { "draft_accepted_tokens_total", COUNTER, "Guessed tokens that were right.", NULL,
          (double)engine.draft_accepted_tokens },
        { "preemptions_total", COUNTER, "Requests that gave way and came back.", NULL,
          (double)engine.preemptions },
        { "kv_blocks_cached", GAUGE, "KV blocks that only the prefix cache holds.", NULL,
          (double)engine.blocks_cached },
        { "steps_total", COUNTER, "Steps of the engine.", NULL, (double)engine.steps },
        { "step_seconds_total", COUNTER, "Time spent in steps.", NULL,
          (double)engine.step_ns * 1e-9 },
        { tickets, COUNTER, "Tickets by how they ended.", "state=\"completed\"",
          (double)pool.completed },
        { tickets, COUNTER, "", "state=\"failed\"", (double)pool.failed },
        { tickets, COUNTER, "", "state=\"cancelled\"", (double)pool.cancelled },
        { tickets, COUNTER, "", "state=\"dropped\"", (double)pool.dropped },
        { tickets, COUNTER, "", "state=\"expired\"", (double)pool.expired },
        { refused, COUNTER, "Submissions refused, by reason.", "code=\"queue_full\"",
          (double)pool.rejected_queue_full },
        { refused, COUNTER, "", "code=\"class_queue_full\"", (double)pool.rejected_class_full },
        { refused, COUNTER, "", "code=\"oversize\"", (double)pool.rejected_oversize },
        { refused, COUNTER, "", "code=\"deadline_past\"", (double)pool.rejected_deadline },
        { refused, COUNTER, "", "code=\"draining\"", (double)pool.rejected_draining },
        { refused, COUNTER, "", "code=\"other\"", (double)pool.rejected_other },
        { "stream_events_total", COUNTER, "Token events handed to streams.", NULL,
          (double)pool.events },
        { "stream_full_total", COUNTER, "Times a stream had no room for an event.", NULL,
          (double)pool.events_full },
        { "limited_total", COUNTER, "Requests refused by the limits of a tenant.", NULL,
          (double)api.refused_limits },
        { "keys_refused_total", COUNTER, "Requests refused for their API key.", NULL,
          (double)api.refused_keys },
        { "clamped_total", COUNTER, "Requests that asked for a class above their key's.", NULL,
          (double)api.clamped },
        { "slow_readers_total", COUNTER, "Clients cut because they did not read.", NULL,
          (double)http.slow_readers },
        { "zombies", GAUGE, "Ended tickets whose work still holds units.", NULL,
          (double)pool.zombies },
        { "disconnects_total", COUNTER, "Clients that left before their answer was complete.", NULL,
          (double)api.disconnects },
        { answers, COUNTER, "Answers by class of status.", "status=\"2xx\"",
          (double)api.status[2] },
        { answers, COUNTER, "", "status=\"4xx\"", (double)api.status[4] },
        { answers, COUNTER, "", "status=\"5xx\"", (double)api.status[5] },
        { "http_connections", GAUGE, "Open connections.", NULL, (double)http.connections },
        { "http_requests_total", COUNTER, "Whole requests received.", NULL, (double)http.requests },
        { "http_parse_errors_total", COUNTER, "Requests refused by the HTTP parser.", NULL,
          (double)http.parse_errors },
        { "memory_bytes", GAUGE, "Memory allocated by valet, lazily touched parts included.", NULL,
          (double)memory },
        { "resident_memory_bytes", GAUGE, "Resident memory of the process.", NULL,
          resident_bytes() },
    };
    struct dialect d = { .prefix = "valet_" };
    struct dialect alias = { .prefix = "vllm:" };
    snprintf(d.labels, sizeof d.labels, "model=\"%s\"", source->model_id);
    snprintf(alias.labels, sizeof alias.labels, "model_name=\"%s\",engine=\"0\"", source->model_id);
    enum base_err rc = write_samples(out, &d, samples, sizeof samples / sizeof samples[0]);
    if (!rc)
        rc = write_classes(out, &d, &pool);
    if (!rc)
        rc = write_aliases(out, &alias, &pool, &engine, &info);
    return rc ? rc : histograms_write(out, d.labels, alias.labels, &pool, source->api);
}
