/*
 * `valet bench`: the speed of prefill and decode, each beside what this machine could do at
 * most at the same moment. Each round measures the limits and then every figure; what is shown
 * is the median of the rounds, for machines that are shared change from minute to minute.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_run.h"
#include "commands.h"
#include "model/cost.h"
#include "options.h"

enum {
    ROUNDS_MAX = 99,
    FIGURES_MAX = 12
};

struct figure {
    bool is_decode;
    int64_t tokens; /* of a prompt, or rows of a decode batch */
    int64_t depth;
};

static const int64_t g_prompts[] = { 128, 512, 2048 };
static const int64_t g_batches[] = { 1, 2, 4, 8, 16, 32 };

enum {
    PROMPT_COUNT = sizeof g_prompts / sizeof g_prompts[0],
    BATCH_COUNT = sizeof g_batches / sizeof g_batches[0],
    BATCH_MAX = 32
};

struct results {
    struct figure figures[FIGURES_MAX];
    int figure_count;
    int rounds;
    struct tensor_limits limits[ROUNDS_MAX];
    double speed[FIGURES_MAX][ROUNDS_MAX]; /* tokens/s */
    double limit[FIGURES_MAX][ROUNDS_MAX]; /* tokens/s that the machine would allow */
};

struct bench_flags {
    int32_t threads;
    int32_t rounds;
    int32_t chunk;
    int32_t prompt;
    int32_t depth;
    int32_t json;
};

static const struct option_spec g_options[] = {
    { "threads", OPTION_I32, "N", offsetof(struct bench_flags, threads), 1, 1024,
      "kernel threads (default: all CPUs)" },
    { "rounds", OPTION_I32, "N", offsetof(struct bench_flags, rounds), 1, ROUNDS_MAX,
      "times that everything is measured (default 5)" },
    { "prefill-chunk-size", OPTION_I32, "N", offsetof(struct bench_flags, chunk), 32, 8192,
      "prompt tokens of one step at most (default 256)" },
    { "prompt", OPTION_I32, "N", offsetof(struct bench_flags, prompt), 128, 2048,
      "longest prompt of 128, 512 and 2048 tokens (default 2048)" },
    { "depth", OPTION_I32, "N", offsetof(struct bench_flags, depth), 0, 1 << 20,
      "tokens before the second set of prompts, 0: none (default 4096)" },
    { "json", OPTION_FLAG, NULL, offsetof(struct bench_flags, json), 0, 0,
      "print every round as JSON" },
};

static const struct command g_command = {
    .usage = "valet bench MODEL [options]",
    .about = "Measures prefill at two depths and decode at several batch sizes, each beside the\n"
             "limit that this machine's memory and arithmetic set in the same run.",
    .options = g_options,
    .option_count = sizeof g_options / sizeof g_options[0],
    .operands_min = 1,
    .operands_max = 1,
};

/* ---- measuring ---- */

/* The figures that these flags and the model's context allow. */
static void choose(struct results *r, const struct bench *b, const struct bench_flags *flags)
{
    int64_t room = b->blocks_long * TENSOR_KV_BLOCK;
    for (int deep = 0; deep <= (flags->depth > 0); deep++) {
        int64_t depth = deep ? flags->depth : 0;
        for (int i = 0; i < PROMPT_COUNT; i++) {
            if (g_prompts[i] <= flags->prompt && g_prompts[i] + depth <= room)
                r->figures[r->figure_count++] = (struct figure){ false, g_prompts[i], depth };
        }
    }
    for (int i = 0; i < BATCH_COUNT; i++)
        r->figures[r->figure_count++] = (struct figure){ true, g_batches[i], BENCH_DECODE_DEPTH };
}

static void measure_figure(struct bench *b, const struct figure *f, const struct tensor_limits *now,
                           double *speed, double *limit)
{
    double tokens = (double)f->tokens;
    if (f->is_decode) {
        int64_t depth = f->depth + BENCH_DECODE_STEPS / 2;
        *speed = tokens / bench_decode(b, f->tokens);
        *limit = tokens / model_cost_decode(b->model, now, f->tokens, depth);
    } else {
        *speed = tokens / bench_prefill(b, f->tokens, f->depth);
        *limit = tokens / model_cost_prefill(b->model, now, f->tokens, f->depth, b->chunk);
    }
}

static enum base_err measure(struct bench *b, struct results *r, int rounds)
{
    struct model_cost cost;
    model_cost_of(b->model, &cost);
    for (r->rounds = 0; r->rounds < rounds; r->rounds++) {
        int n = r->rounds;
        enum base_err rc =
            tensor_limits_measure(b->isa, b->team, (size_t)cost.weight_bytes, &r->limits[n]);
        if (rc)
            return rc;
        for (int i = 0; i < r->figure_count; i++)
            measure_figure(b, &r->figures[i], &r->limits[n], &r->speed[i][n], &r->limit[i][n]);
    }
    return OK;
}

/* ---- printing ---- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values, int count)
{
    double sorted[ROUNDS_MAX];
    memcpy(sorted, values, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, compare);
    return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

static double median_fraction(const struct results *r, int figure)
{
    double fractions[ROUNDS_MAX];
    for (int n = 0; n < r->rounds; n++)
        fractions[n] = r->speed[figure][n] / r->limit[figure][n];
    return median(fractions, r->rounds);
}

static struct tensor_limits median_limits(const struct results *r)
{
    double read[ROUNDS_MAX];
    double int8[ROUNDS_MAX];
    double f32[ROUNDS_MAX];
    double tiles[ROUNDS_MAX];
    for (int n = 0; n < r->rounds; n++) {
        read[n] = r->limits[n].read_bytes_s;
        int8[n] = r->limits[n].int8_ops_s;
        f32[n] = r->limits[n].f32_ops_s;
        tiles[n] = r->limits[n].tile_ops_s;
    }
    return (struct tensor_limits){ median(read, r->rounds), median(int8, r->rounds),
                                   median(f32, r->rounds), median(tiles, r->rounds) };
}

static void print_table(const struct bench *b, const struct results *r)
{
    struct tensor_limits limits = median_limits(r);
    printf("%s, %d threads, %d rounds; medians\n", tensor_isa_name(b->isa), team_size(b->team),
           r->rounds);
    printf("limits: memory %.1f GB/s, int8 %.0f GOPS, f32 %.0f GFLOPS", limits.read_bytes_s * 1e-9,
           limits.int8_ops_s * 1e-9, limits.f32_ops_s * 1e-9);
    if (limits.tile_ops_s > 0)
        printf("; beyond these, int8 in tiles %.0f GOPS", limits.tile_ops_s * 1e-9);
    printf("\n\n");
    printf("%-28s %10s %10s %9s\n", "", "tokens/s", "limit", "fraction");
    for (int i = 0; i < r->figure_count; i++) {
        const struct figure *f = &r->figures[i];
        char what[64];
        if (f->is_decode)
            snprintf(what, sizeof what, "decode, batch of %" PRId64, f->tokens);
        else
            snprintf(what, sizeof what, "prefill %" PRId64 " at depth %" PRId64, f->tokens,
                     f->depth);
        printf("%-28s %10.1f %10.1f %9.2f\n", what, median(r->speed[i], r->rounds),
               median(r->limit[i], r->rounds), median_fraction(r, i));
    }
}

static json_t *rounds_value(const double *values, int count)
{
    json_t *array = json_array();
    for (int n = 0; n < count; n++)
        json_array_append_new(array, json_real(values[n]));
    return array;
}

static json_t *figures_value(const struct results *r)
{
    json_t *array = json_array();
    for (int i = 0; i < r->figure_count; i++) {
        const struct figure *f = &r->figures[i];
        json_array_append_new(
            array, json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:o*, s:o*}", "what",
                             f->is_decode ? "decode" : "prefill", f->is_decode ? "batch" : "tokens",
                             (json_int_t)f->tokens, "depth", (json_int_t)f->depth, "tokens_per_s",
                             median(r->speed[i], r->rounds), "limit",
                             median(r->limit[i], r->rounds), "fraction", median_fraction(r, i),
                             "rounds", rounds_value(r->speed[i], r->rounds), "limit_rounds",
                             rounds_value(r->limit[i], r->rounds)));
    }
    return array;
}

static void print_json(const struct bench *b, const struct results *r)
{
    struct tensor_limits limits = median_limits(r);
    json_t *root = json_pack("{s:s, s:i, s:i, s:i, s:{s:f, s:f, s:f, s:f}, s:o*}", "isa",
                             tensor_isa_name(b->isa), "threads", team_size(b->team), "rounds",
                             r->rounds, "prefill_chunk_size", (int)b->chunk, "limits",
                             "read_bytes_per_s", limits.read_bytes_s, "int8_ops_per_s",
                             limits.int8_ops_s, "f32_ops_per_s", limits.f32_ops_s, "tile_ops_per_s",
                             limits.tile_ops_s, "figures", figures_value(r));
    if (root)
        json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}

int command_bench(int argc, char **argv)
{
    struct bench_flags flags = { .rounds = 5, .chunk = 256, .prompt = 2048, .depth = 4096 };
    const char *path;
    int operand_count;
    int code = options_parse(&g_command, argc, argv, &flags, &path, &operand_count);
    if (code != OPTIONS_GO)
        return code;
    const struct bench_options options = { .path = path,
                                           .threads = flags.threads,
                                           .chunk = flags.chunk,
                                           .long_max = flags.depth + flags.prompt,
                                           .batch_max = BATCH_MAX };
    struct base_err_info info = { 0 };
    struct bench b;
    static struct results results;
    enum base_err rc = bench_open(&b, &options, &info);
    if (!rc) {
        choose(&results, &b, &flags);
        rc = measure(&b, &results, flags.rounds);
    }
    if (rc)
        fprintf(stderr, "valet: %s: %s\n", path,
                info.message[0] ? info.message : base_strerror(rc));
    else if (flags.json)
        print_json(&b, &results);
    else
        print_table(&b, &results);
    bench_close(&b);
    return rc ? EXIT_FAILED : EXIT_OK;
}
