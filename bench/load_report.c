#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "load.h"

struct row {
    const char *name;  /* in JSON */
    const char *title; /* in the table */
    const struct histogram *histogram;
};

enum {
    ROW_COUNT = 8
};

static void rows_of(const struct load_stats *s, struct row rows[ROW_COUNT])
{
    rows[0] = (struct row){ "first_token_ms", "first token", &s->first_token };
    rows[1] = (struct row){ "first_token_due_ms", "first token, from due", &s->first_token_due };
    rows[2] = (struct row){ "between_tokens_ms", "between tokens", &s->between_tokens };
    rows[3] = (struct row){ "whole_ms", "whole answer", &s->whole };
    rows[4] = (struct row){ "whole_due_ms", "whole answer, from due", &s->whole_due };
    rows[5] = (struct row){ "refusal_ms", "refusal", &s->refusal };
    rows[6] = (struct row){ "refusal_due_ms", "refusal, from due", &s->refusal_due };
    rows[7] = (struct row){ "read_late_ms", "read late", &s->late };
}

static double ms(uint64_t ns)
{
    return (double)ns * 1e-6;
}

static double seconds(uint64_t from, uint64_t to)
{
    return to > from ? (double)(to - from) * 1e-9 : 0;
}

static double per_second(double count, double s)
{
    return s > 0 ? count / s : 0;
}

static double steady_s(const struct load_stats *s)
{
    return seconds(s->steady_ns, s->sending_end_ns);
}

/* ---- text ---- */

static void print_outcomes(const struct load_stats *s)
{
    printf("requests: %" PRIu64 " sent", s->sent);
    for (int i = 0; i < LOAD_OUTCOME_COUNT; i++) {
        if (s->outcomes[i] > 0)
            printf(", %" PRIu64 " %s", s->outcomes[i], load_outcome_name((enum load_outcome)i));
    }
    if (s->unsent > 0)
        printf("; %" PRIu64 " unsent, no connection was free", s->unsent);
    putchar('\n');
    for (int i = 0; i < s->code_count; i++)
        printf("  %d %s: %" PRIu64 "\n", s->codes[i].status, s->codes[i].code, s->codes[i].count);
}

static void print_rates(const struct load_options *o, const struct load_stats *s)
{
    double wall = seconds(s->start_ns, s->end_ns);
    double steady = steady_s(s);
    uint64_t done = s->outcomes[LOAD_DONE];
    printf("in %.2f s: %.1f output tokens/s, %.2f answers/s", wall,
           per_second((double)s->output_tokens, wall), per_second((double)done, wall));
    if (!o->is_plain && steady > 0)
        printf("; %.1f tokens/s in the %.2f s from warm-up to the end of sending",
               per_second((double)s->steady_tokens, steady), steady);
    printf("\ntokens: %" PRIu64 " of prompts, %" PRIu64 " of answers\n", s->prompt_tokens,
           s->output_tokens);
}

static void print_times(const struct load_stats *s)
{
    struct row rows[ROW_COUNT];
    rows_of(s, rows);
    printf("%-24s %8s %9s %9s %9s %9s\n", "ms", "count", "p50", "p95", "p99", "max");
    for (int i = 0; i < ROW_COUNT; i++) {
        const struct histogram *h = rows[i].histogram;
        if (h->count > 0)
            printf("%-24s %8" PRIu64 " %9.3f %9.3f %9.3f %9.3f\n", rows[i].title, h->count,
                   ms(histogram_percentile(h, 50)), ms(histogram_percentile(h, 95)),
                   ms(histogram_percentile(h, 99)), ms(h->max));
    }
}

static void print_retry(const struct load_stats *s)
{
    const char *before = "Retry-After: ";
    for (int i = 0; i < LOAD_RETRY_SECONDS; i++) {
        if (s->retry_seconds[i] == 0)
            continue;
        printf("%s%s%d s: %" PRIu64, before, i == LOAD_RETRY_SECONDS - 1 ? "over " : "",
               i == LOAD_RETRY_SECONDS - 1 ? i - 1 : i, s->retry_seconds[i]);
        before = ", ";
    }
    if (before[0] == ',')
        putchar('\n');
}

static void print_cpu(const struct load_stats *s)
{
    double wall = seconds(s->start_ns, s->end_ns);
    printf("CPU: valet-load %.2f s, %.1f %% of one core", s->cpu_s,
           100 * per_second(s->cpu_s, wall));
    if (s->server_cpu_s >= 0)
        printf("; server %.2f s, %.1f %%", s->server_cpu_s,
               100 * per_second(s->server_cpu_s, wall));
    putchar('\n');
}

static void print_text(const struct load_options *o, const struct load_stats *s)
{
    if (o->rate > 0)
        printf("open loop, %.6g requests/s offered%s, %d connections at most", o->rate,
               o->is_poisson ? " at random times" : "", o->clients);
    else
        printf("closed loop, %d clients", o->clients);
    printf("; prompts of %d words, answers of %d tokens, seed %" PRIu64 "\n", o->prompt_words,
           o->max_tokens, o->seed);
    print_outcomes(s);
    print_rates(o, s);
    print_times(s);
    print_retry(s);
    print_cpu(s);
}

/* ---- JSON ---- */

static json_t *times_value(const struct histogram *h)
{
    if (h->count == 0)
        return json_pack("{s:i}", "count", 0);
    return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "count", (json_int_t)h->count, "min",
                     ms(h->min), "mean", histogram_mean(h) * 1e-6, "p50",
                     ms(histogram_percentile(h, 50)), "p95", ms(histogram_percentile(h, 95)), "p99",
                     ms(histogram_percentile(h, 99)), "max", ms(h->max));
}

static json_t *outcomes_value(const struct load_stats *s)
{
    json_t *object = json_object();
    for (int i = 0; i < LOAD_OUTCOME_COUNT; i++)
        json_object_set_new(object, load_outcome_name((enum load_outcome)i),
                            json_integer((json_int_t)s->outcomes[i]));
    return object;
}

static json_t *codes_value(const struct load_stats *s)
{
    json_t *array = json_array();
    for (int i = 0; i < s->code_count; i++)
        json_array_append_new(array,
                              json_pack("{s:i, s:s, s:I}", "status", s->codes[i].status, "code",
                                        s->codes[i].code, "count", (json_int_t)s->codes[i].count));
    return array;
}

static json_t *retry_value(const struct load_stats *s)
{
    json_t *object = json_object();
    char name[16];
    for (int i = 0; i < LOAD_RETRY_SECONDS; i++) {
        if (s->retry_seconds[i] == 0)
            continue;
        snprintf(name, sizeof name, "%d", i);
        json_object_set_new(object, name, json_integer((json_int_t)s->retry_seconds[i]));
    }
    return object;
}

static json_t *cpu_value(double cpu_s, double wall)
{
    if (cpu_s < 0)
        return json_null();
    return json_pack("{s:f, s:f}", "cpu_s", cpu_s, "share", per_second(cpu_s, wall));
}

static json_t *options_value(const struct load_options *o)
{
    return json_pack("{s:s, s:f, s:b, s:i, s:s, s:b, s:i, s:i, s:i, s:I, s:s?}", "loop",
                     o->rate > 0 ? "open" : "closed", "rate", o->rate, "poisson", o->is_poisson,
                     "clients", o->clients, "api", o->is_chat ? "chat" : "completions", "stream",
                     !o->is_plain, "prompt_words", o->prompt_words, "shared_words", o->shared_words,
                     "max_tokens", o->max_tokens, "seed", (json_int_t)o->seed, "priority",
                     o->priority);
}

static bool print_json(const struct load_options *o, const struct load_stats *s)
{
    double wall = seconds(s->start_ns, s->end_ns);
    double steady = steady_s(s);
    struct row rows[ROW_COUNT];
    rows_of(s, rows);
    json_t *root =
        json_pack("{s:o, s:f, s:I, s:I, s:o, s:o, s:o, s:I, s:I, s:f, s:f, s:f, s:f, s:o, s:o}",
                  "options", options_value(o), "wall_s", wall, "sent", (json_int_t)s->sent,
                  "unsent", (json_int_t)s->unsent, "outcomes", outcomes_value(s), "codes",
                  codes_value(s), "retry_after_s", retry_value(s), "prompt_tokens",
                  (json_int_t)s->prompt_tokens, "output_tokens", (json_int_t)s->output_tokens,
                  "tokens_per_s", per_second((double)s->output_tokens, wall), "answers_per_s",
                  per_second((double)s->outcomes[LOAD_DONE], wall), "steady_s", steady,
                  "steady_tokens_per_s", per_second((double)s->steady_tokens, steady), "client",
                  cpu_value(s->cpu_s, wall), "server", cpu_value(s->server_cpu_s, wall));
    for (int i = 0; root && i < ROW_COUNT; i++)
        json_object_set_new(root, rows[i].name, times_value(rows[i].histogram));
    bool good = root && json_dumpf(root, stdout, JSON_INDENT(2)) == 0;
    putchar('\n');
    json_decref(root);
    return good;
}

bool load_report(const struct load_options *o, const struct load_stats *s)
{
    bool good = true;
    if (o->is_json)
        good = print_json(o, s);
    else
        print_text(o, s);
    if (fflush(stdout) == 0 && good)
        return true;
    fputs("valet-load: the report could not be written\n", stderr);
    return false;
}
