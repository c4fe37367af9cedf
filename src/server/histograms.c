#include "server/histograms.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum {
    LABELS_MAX = 256
};

/* A time that is measured; of the lot by its place in struct park_class_stats, else of the api. */
struct row {
    const char *name;  /* behind "valet_" */
    const char *alias; /* behind "vllm:" */
    const char *help;
    bool is_of_lot;
    size_t offset;
    enum api_latency kind;
};

static const struct row g_rows[] = {
    { "ttft_seconds", "time_to_first_token_seconds",
      "From the arrival of a request to the first token of its answer.", false, 0,
      API_LATENCY_FIRST },
    { "itl_seconds", "inter_token_latency_seconds", "From one token of a choice to the next.",
      false, 0, API_LATENCY_BETWEEN },
    { "tpot_seconds", "request_time_per_output_token_seconds",
      "Mean time from one token to the next, of complete choices.", false, 0,
      API_LATENCY_PER_TOKEN },
    { "e2e_seconds", "e2e_request_latency_seconds",
      "From the arrival of a request to the end of its complete answer.", false, 0,
      API_LATENCY_WHOLE },
    { "prefill_seconds", "request_prefill_time_seconds",
      "From the start to the first token, of complete answers.", false, 0, API_LATENCY_PREFILL },
    { "decode_seconds", "request_decode_time_seconds",
      "From the first token to the last, of complete answers.", false, 0, API_LATENCY_DECODE },
    { "queue_seconds", "request_queue_time_seconds",
      "From acceptance to the start, or to an end without one.", true,
      offsetof(struct park_class_stats, wait), API_LATENCY_COUNT },
    { "inference_seconds", "request_inference_time_seconds", "From the start to the end.", true,
      offsetof(struct park_class_stats, run), API_LATENCY_COUNT },
};

enum {
    BOUNDS_MAX = API_BOUNDS_MAX > PARK_BUCKETS ? API_BOUNDS_MAX : PARK_BUCKETS
};

/* A histogram as it is written, of whatever source. */
struct histogram {
    double bounds[BOUNDS_MAX];
    size_t bound_count;
    uint64_t buckets[BOUNDS_MAX]; /* what lies above all bounds is in `count` alone */
    uint64_t count;
    double sum_s;
};

static void add_of_lot(struct histogram *out, const struct park_class_stats *stats, size_t offset)
{
    struct park_histogram h;
    memcpy(&h, (const char *)stats + offset, sizeof h);
    out->bound_count = PARK_BUCKETS - 1;
    for (size_t i = 0; i < out->bound_count; i++) {
        out->bounds[i] = (double)(1ull << i) * 1e-3;
        out->buckets[i] += h.buckets[i];
    }
    out->count += h.count;
    out->sum_s += (double)h.sum_ns * 1e-9;
}

static void add_of_api(struct histogram *out, const struct api_histogram *h)
{
    out->bound_count = h->bound_count;
    for (size_t i = 0; i < h->bound_count; i++) {
        out->bounds[i] = h->bounds[i];
        out->buckets[i] += h->buckets[i];
    }
    out->count += h->count;
    out->sum_s += h->sum_s;
}

static void add_class(struct histogram *out, const struct row *row, const struct park_stats *pool,
                      const struct api *api, enum park_class klass)
{
    if (row->is_of_lot)
        add_of_lot(out, &pool->classes[klass], row->offset);
    else
        add_of_api(out, api_latency(api, row->kind, klass));
}

static enum base_err write_head(struct base_buf *out, const char *prefix, const char *name,
                                const char *help)
{
    return buf_printf(out, "# HELP %s%s %s\n# TYPE %s%s histogram\n", prefix, name, help, prefix,
                      name);
}

static enum base_err write_one(struct base_buf *out, const char *prefix, const char *name,
                               const char *labels, const struct histogram *h)
{
    uint64_t below = 0;
    enum base_err rc = OK;
    for (size_t i = 0; i < h->bound_count && !rc; i++) {
        below += h->buckets[i];
        rc = buf_printf(out, "%s%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", prefix, name, labels,
                        h->bounds[i], below);
    }
    if (rc)
        return rc;
    return buf_printf(out,
                      "%s%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n%s%s_sum{%s} %.9g\n"
                      "%s%s_count{%s} %" PRIu64 "\n",
                      prefix, name, labels, h->count, prefix, name, labels, h->sum_s, prefix, name,
                      labels, h->count);
}

static enum base_err write_row(struct base_buf *out, const struct row *row, const char *labels,
                               const char *alias_labels, const struct park_stats *pool,
                               const struct api *api)
{
    char with_class[LABELS_MAX];
    struct histogram all = { .bound_count = 0 };
    enum base_err rc = write_head(out, "valet_", row->name, row->help);
    for (int c = 0; c < PARK_CLASS_COUNT && !rc; c++) {
        enum park_class klass = (enum park_class)c;
        struct histogram one = { .bound_count = 0 };
        add_class(&one, row, pool, api, klass);
        add_class(&all, row, pool, api, klass);
        snprintf(with_class, sizeof with_class, "%s,class=\"%s\"", labels, park_class_name(klass));
        rc = write_one(out, "valet_", row->name, with_class, &one);
    }
    if (!rc)
        rc = write_head(out, "vllm:", row->alias, row->help);
    return rc ? rc : write_one(out, "vllm:", row->alias, alias_labels, &all);
}

enum base_err histograms_write(struct base_buf *out, const char *labels, const char *alias_labels,
                               const struct park_stats *pool, const struct api *api)
{
    enum base_err rc = OK;
    for (size_t i = 0; i < sizeof g_rows / sizeof g_rows[0] && !rc; i++)
        rc = write_row(out, &g_rows[i], labels, alias_labels, pool, api);
    return rc;
}
