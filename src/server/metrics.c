#include "server/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"

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

/* One line for each sample; neighbours of one name share HELP and TYPE. */
static enum base_err write_samples(struct base_buf *out, const char *model,
                                   const struct sample *samples, size_t count)
{
    const char *last = "";
    enum base_err rc = OK;
    for (size_t i = 0; i < count && !rc; i++) {
        const struct sample *s = &samples[i];
        if (s->name != last)
            rc = buf_printf(out, "# HELP valet_%s %s\n# TYPE valet_%s %s\n", s->name, s->help,
                            s->name, s->kind == COUNTER ? "counter" : "gauge");
        last = s->name;
        if (!rc)
            rc = buf_printf(out, "valet_%s{model=\"%s\"%s%s} %.17g\n", s->name, model,
                            s->label ? "," : "", s->label ? s->label : "", s->value);
    }
    return rc;
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
        { refused, COUNTER, "Submissions refused, by reason.", "code=\"queue_full\"",
          (double)pool.rejected_queue_full },
        { refused, COUNTER, "", "code=\"oversize\"", (double)pool.rejected_oversize },
        { refused, COUNTER, "", "code=\"draining\"", (double)pool.rejected_draining },
        { refused, COUNTER, "", "code=\"other\"", (double)pool.rejected_other },
        { "stream_events_total", COUNTER, "Token events handed to streams.", NULL,
          (double)pool.events },
        { "stream_full_total", COUNTER, "Times a stream had no room for an event.", NULL,
          (double)pool.events_full },
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
    return write_samples(out, source->model_id, samples, sizeof samples / sizeof samples[0]);
}
