#include "run_options.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#define FIELD(name) offsetof(struct run_options, name)

enum {
    DEFAULT_MAX_TOKENS = 1024,
    SETTABLE_COUNT = 9 /* the first rows: what a chat may change */
};

const struct option_spec g_run_options[] = {
    { "temperature", OPTION_F32, "T", FIELD(sampling.temperature), 0, 2,
      "0: always the most likely token (default 1)" },
    { "top-p", OPTION_F32, "P", FIELD(sampling.top_p), 1e-6, 1,
      "keep the most likely mass P (default 1)" },
    { "top-k", OPTION_I32, "K", FIELD(sampling.top_k), 0, 1 << 24,
      "keep the K most likely (default: all)" },
    { "min-p", OPTION_F32, "P", FIELD(sampling.min_p), 0, 1,
      "drop what is less likely than P times the most likely (default 0)" },
    { "repetition-penalty", OPTION_F32, "R", FIELD(sampling.repetition_penalty), 1e-6, 10,
      "above 1: tokens of prompt and answer become less likely (default 1)" },
    { "presence-penalty", OPTION_F32, "X", FIELD(sampling.presence_penalty), -2, 2,
      "taken from tokens that are in the answer (default 0)" },
    { "frequency-penalty", OPTION_F32, "X", FIELD(sampling.frequency_penalty), -2, 2,
      "taken each time that they are (default 0)" },
    { "seed", OPTION_U64, "N", FIELD(sampling.seed), 0, 9e18,
      "for the same answer again (default 0: random)" },
    { "max-tokens", OPTION_I32, "N", FIELD(max_tokens), 1, 1 << 24,
      "length of an answer at most (default 1024)" },
    { "system", OPTION_TEXT, "TEXT", FIELD(system), 0, 0, "a system message" },
    { "stop", OPTION_TEXT, "TEXT", FIELD(stop), 0, 0, "ends an answer, and is cut off" },
    { "threads", OPTION_I32, "N", FIELD(threads), 1, 256, "kernel threads (default: all CPUs)" },
    { "ctx-size", OPTION_I32, "N", FIELD(context), 2, 1 << 24,
      "longest conversation in tokens (default: the model's)" },
    { "json", OPTION_FLAG, NULL, FIELD(json), 0, 0,
      "print each answer as a line of JSON: text, finish_reason, seed, usage, timings" },
    { "verbose", OPTION_FLAG, NULL, FIELD(verbose), 0, 0,
      "say behind each answer on stderr how many tokens it took, and how fast" },
    { "no-history", OPTION_FLAG, NULL, FIELD(no_history), 0, 0,
      "neither read nor write the file of what was typed" },
};

const size_t g_run_option_count = sizeof g_run_options / sizeof g_run_options[0];

void run_options_init(struct run_options *o)
{
    *o = (struct run_options){
        .max_tokens = DEFAULT_MAX_TOKENS,
        .sampling = { .temperature = 1, .top_p = 1, .repetition_penalty = 1 },
    };
}

/* Whether a name is that of an option, '_' standing for '-'. */
static bool is_named(const struct option_spec *option, const char *name)
{
    const char *a = option->name;
    for (; *a && (*a == *name || (*a == '-' && *name == '_')); a++)
        name++;
    return *a == '\0' && *name == '\0';
}

bool run_options_set(struct run_options *o, const char *name, const char *value, FILE *err)
{
    for (size_t i = 0; i < SETTABLE_COUNT; i++) {
        const struct option_spec *option = &g_run_options[i];
        if (!is_named(option, name))
            continue;
        if (options_store(option, value, o))
            return true;
        fprintf(err, "%s: '%s' is not a number from %.10g to %.10g\n", name, value, option->min,
                option->max);
        return false;
    }
    fprintf(err, "there is no '%s' to set; /set shows what there is\n", name);
    return false;
}

void run_options_print(const struct run_options *o, FILE *out)
{
    for (size_t i = 0; i < SETTABLE_COUNT; i++) {
        const struct option_spec *option = &g_run_options[i];
        const char *field = (const char *)o + option->offset;
        float f32;
        int32_t i32;
        uint64_t u64;
        fprintf(out, "  %-20s ", option->name);
        if (option->kind == OPTION_F32) {
            memcpy(&f32, field, sizeof f32);
            fprintf(out, "%.6g\n", (double)f32);
        } else if (option->kind == OPTION_I32) {
            memcpy(&i32, field, sizeof i32);
            fprintf(out, "%" PRId32 "\n", i32);
        } else {
            memcpy(&u64, field, sizeof u64);
            fprintf(out, "%" PRIu64 "\n", u64);
        }
    }
}
