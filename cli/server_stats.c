#include "server_stats.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "metrics_text.h"

#define FIELD(name) offsetof(struct server_stats, name)
#define CLASS_FIELD(name, class) (FIELD(name) + (class) * sizeof(double))

enum section {
    NOW,
    TOTAL,
    SECTION_COUNT
};

/* Where each number comes from; `key` is its name in JSON. Several samples add up. */
static const struct row {
    const char *sample; /* behind "valet_" */
    const char *label;  /* that the sample has; NULL: any */
    size_t offset;
    enum section section;
    const char *key;
} g_rows[] = {
    { "requests_running", NULL, FIELD(running), NOW, "running" },
    { "requests_waiting", NULL, FIELD(waiting), NOW, "waiting" },
    { "queue_depth_max", NULL, FIELD(waiting_max), NOW, "waiting_max" },
    { "oldest_wait_seconds", NULL, FIELD(oldest_wait_s), NOW, "oldest_wait_seconds" },
    { "class_requests_waiting", "class=\"critical\"", CLASS_FIELD(class_waiting, 0), NOW,
      "waiting_critical" },
    { "class_requests_waiting", "class=\"high\"", CLASS_FIELD(class_waiting, 1), NOW,
      "waiting_high" },
    { "class_requests_waiting", "class=\"normal\"", CLASS_FIELD(class_waiting, 2), NOW,
      "waiting_normal" },
    { "class_requests_waiting", "class=\"low\"", CLASS_FIELD(class_waiting, 3), NOW,
      "waiting_low" },
    { "class_requests_running", "class=\"critical\"", CLASS_FIELD(class_running, 0), NOW,
      "running_critical" },
    { "class_requests_running", "class=\"high\"", CLASS_FIELD(class_running, 1), NOW,
      "running_high" },
    { "class_requests_running", "class=\"normal\"", CLASS_FIELD(class_running, 2), NOW,
      "running_normal" },
    { "class_requests_running", "class=\"low\"", CLASS_FIELD(class_running, 3), NOW,
      "running_low" },
    { "batch_rows", NULL, FIELD(rows), NOW, "batch_rows" },
    { "batch_rows_max", NULL, FIELD(rows_max), NOW, "batch_rows_max" },
    { "kv_blocks_used", NULL, FIELD(kv_used), NOW, "kv_blocks_used" },
    { "kv_blocks_booked", NULL, FIELD(kv_booked), NOW, "kv_blocks_booked" },
    { "kv_blocks_cached", NULL, FIELD(kv_cached), NOW, "kv_blocks_cached" },
    { "kv_blocks_total", NULL, FIELD(kv_total), NOW, "kv_blocks_total" },
    { "http_connections", NULL, FIELD(connections), NOW, "connections" },
    { "resident_memory_bytes", NULL, FIELD(resident_bytes), NOW, "resident_memory_bytes" },
    { "prompt_tokens_total", NULL, FIELD(prompt_tokens), TOTAL, "prompt_tokens" },
    { "generated_tokens_total", NULL, FIELD(generated_tokens), TOTAL, "generated_tokens" },
    { "prefix_query_tokens_total", NULL, FIELD(prefix_queries), TOTAL, "prefix_query_tokens" },
    { "prefix_hit_tokens_total", NULL, FIELD(prefix_hits), TOTAL, "prefix_hit_tokens" },
    { "preemptions_total", NULL, FIELD(preemptions), TOTAL, "preemptions" },
    { "step_seconds_total", NULL, FIELD(step_seconds), TOTAL, "step_seconds" },
    { "tickets_total", "state=\"completed\"", FIELD(completed), TOTAL, "completed" },
    { "tickets_total", "state=\"failed\"", FIELD(failed), TOTAL, "failed" },
    { "tickets_total", "state=\"cancelled\"", FIELD(cancelled), TOTAL, "cancelled" },
    { "tickets_total", "state=\"dropped\"", FIELD(dropped), TOTAL, "dropped" },
    { "tickets_total", "state=\"expired\"", FIELD(expired), TOTAL, "expired" },
    { "refused_total", "code=\"queue_full\"", FIELD(refused_queue_full), TOTAL,
      "refused_queue_full" },
    { "refused_total", "code=\"class_queue_full\"", FIELD(refused_class_full), TOTAL,
      "refused_class_queue_full" },
    { "refused_total", "code=\"draining\"", FIELD(refused_draining), TOTAL, "refused_draining" },
    { "refused_total", "code=\"oversize\"", FIELD(refused_other), TOTAL, "refused_other" },
    { "refused_total", "code=\"deadline_past\"", FIELD(refused_other), TOTAL, NULL },
    { "refused_total", "code=\"other\"", FIELD(refused_other), TOTAL, NULL },
    { "limited_total", NULL, FIELD(refused_limits), TOTAL, "refused_limits" },
    { "keys_refused_total", NULL, FIELD(refused_keys), TOTAL, "refused_keys" },
};

enum {
    ROW_COUNT = sizeof g_rows / sizeof g_rows[0]
};

static double get(const struct server_stats *s, const struct row *row)
{
    double value;
    memcpy(&value, (const char *)s + row->offset, sizeof value);
    return value;
}

static void set(struct server_stats *s, const struct row *row, double value)
{
    memcpy((char *)s + row->offset, &value, sizeof value);
}

static bool is_row_of(const struct row *row, const struct metrics_sample *sample)
{
    static const char prefix[] = "valet_";
    size_t n = sizeof prefix - 1;
    return sample->name_len == n + strlen(row->sample) && memcmp(sample->name, prefix, n) == 0 &&
           memcmp(sample->name + n, row->sample, sample->name_len - n) == 0 &&
           metrics_text_has(sample, row->label);
}

void server_stats_read(const char *text, struct server_stats *out)
{
    struct metrics_sample sample;
    *out = (struct server_stats){ .model = "" };
    for (int i = 0; i < ROW_COUNT; i++)
        set(out, &g_rows[i], (double)NAN);
    while (metrics_text_next(&text, &sample)) {
        for (int i = 0; i < ROW_COUNT; i++) {
            if (!is_row_of(&g_rows[i], &sample))
                continue;
            double before = get(out, &g_rows[i]);
            set(out, &g_rows[i], isnan(before) ? sample.value : before + sample.value);
            if (!out->model[0])
                metrics_text_label(&sample, "model", out->model, sizeof out->model);
        }
    }
}

/* ---- speed ---- */

struct server_speed server_stats_speed(const struct server_stats *before,
                                       const struct server_stats *now, double seconds)
{
    double prompt = now->prompt_tokens - before->prompt_tokens;
    double generated = now->generated_tokens - before->generated_tokens;
    bool restarted = prompt < 0 || generated < 0;
    return (struct server_speed){ restarted ? 0 : prompt / seconds,
                                  restarted ? 0 : generated / seconds };
}

struct server_speed server_stats_mean_speed(const struct server_stats *s)
{
    if (!(s->step_seconds > 0))
        return (struct server_speed){ 0, 0 };
    return (struct server_speed){ s->prompt_tokens / s->step_seconds,
                                  s->generated_tokens / s->step_seconds };
}

/* ---- JSON ---- */

/* null where there is none. */
static json_t *number(double value)
{
    if (!isfinite(value))
        return json_null();
    return value == floor(value) && fabs(value) < 9e15 ? json_integer((json_int_t)value)
                                                       : json_real(value);
}

static json_t *section_json(const struct server_stats *s, enum section section)
{
    json_t *object = json_object();
    for (int i = 0; object && i < ROW_COUNT; i++) {
        const struct row *row = &g_rows[i];
        if (row->section != section || !row->key)
            continue;
        if (json_object_set_new(object, row->key, number(get(s, row)))) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}

json_t *server_stats_json(const struct server_stats *s, const struct server_speed *speed)
{
    return json_pack("{s:s,s:o,s:{s:o,s:o},s:o}", "model", s->model, "now", section_json(s, NOW),
                     "tokens_per_second", "prompt", number(speed->prompt), "generated",
                     number(speed->generated), "total", section_json(s, TOTAL));
}
