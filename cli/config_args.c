#include "config_args.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "commands.h"
#include "config/options.h"

bool config_args_has(const char *name, bool *wants_value)
{
    const struct config_option *o = config_option_by_flag(name);
    *wants_value = !o || o->value_name;
    return o || strcmp(name, "config") == 0 || strcmp(name, "set") == 0;
}

static enum config_args_result take_set(struct config_args *args, const char *value)
{
    const char *equals = strchr(value, '=');
    char *key = args->names[args->flag_count];
    if (!equals || equals - value >= CONFIG_ARGS_KEY_BYTES)
        return CONFIG_ARGS_WRONG;
    snprintf(key, CONFIG_ARGS_KEY_BYTES, "%.*s", (int)(equals - value), value);
    args->flags[args->flag_count++] = (struct config_flag){ key, equals + 1, "--set" };
    return CONFIG_ARGS_TAKEN;
}

enum config_args_result config_args_take(struct config_args *args, const char *name,
                                         const char *value)
{
    const struct config_option *o = config_option_by_flag(name);
    bool wants_value;
    if (!config_args_has(name, &wants_value))
        return CONFIG_ARGS_UNKNOWN;
    if (wants_value && !value)
        return CONFIG_ARGS_NO_VALUE;
    if (args->flag_count == CONFIG_ARGS_MAX)
        return CONFIG_ARGS_WRONG;
    if (strcmp(name, "config") == 0) {
        args->file = value;
        return CONFIG_ARGS_TAKEN;
    }
    if (!o)
        return take_set(args, value);
    char *from = args->names[args->flag_count];
    snprintf(from, CONFIG_ARGS_KEY_BYTES, "--%s", name);
    args->flags[args->flag_count++] =
        (struct config_flag){ o->key, wants_value ? value : config_option_flag_value(o), from };
    return CONFIG_ARGS_TAKEN;
}

/* Names that people bring from elsewhere. */
static const char *const g_hints[][2] = {
    { "h", "use --host" },
    { "p", "use --port" },
    { "m", "give the model file as the argument MODEL" },
    { "w", "give the model file as the argument MODEL" },
    { "f", "give the model file as the argument MODEL" },
    { "mem", "use --kv-mem" },
    { "queue-size", "use --max-queue-depth" },
    { "disable-prefix-cache", "use --no-prefix-cache" },
    { "models-config", "use --config" },
    { "verbose", "use --log-level debug" },
    { "log", "use --log-level" },
    { "isq", "quantise the model file first" },
    { "cpu", "no longer needed" },
    { "d", "no longer needed" },
    { "multithread", "no longer needed" },
    { "dtype", "no longer needed" },
    { "holding-time", "no longer needed" },
};

const char *config_args_hint(const char *name)
{
    static char hint[CONFIG_ARGS_KEY_BYTES];
    for (size_t i = 0; i < sizeof g_hints / sizeof g_hints[0]; i++) {
        if (strcmp(name, g_hints[i][0]) == 0)
            return g_hints[i][1];
    }
    const struct config_option *near = config_option_nearest_flag(name);
    if (!near)
        return NULL;
    snprintf(hint, sizeof hint, "did you mean --%s?", near->flag);
    return hint;
}

/* A key in seconds with a flag in milliseconds shows its default in the flag's unit. */
static void describe_default(const struct config_option *o, char *out, size_t out_size)
{
    const char *dash = strrchr(o->flag, '-');
    bool is_ms = o->type == CONFIG_SECS && dash && strcmp(dash, "-ms") == 0;
    snprintf(out, out_size, "%s%s", o->fallback, is_ms ? "000" : "");
}

void config_args_describe(void (*visit)(void *arg, const char *flag, const char *value_name,
                                        const char *help),
                          void *arg)
{
    visit(arg, "config", "FILE",
          "the file to read (default: valet.yaml where it is usually found)");
    visit(arg, "set", "KEY=VALUE", "any key of the configuration; may be repeated");
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *o = config_option_at(i);
        char value[64];
        char help[256];
        if (!o->flag)
            continue;
        describe_default(o, value, sizeof value);
        bool says_default = o->type != CONFIG_BOOL && strcmp(o->fallback, "null") != 0;
        bool is_off = o->type == CONFIG_BOOL && strcmp(config_option_flag_value(o), "false") == 0;
        snprintf(help, sizeof help, "%s%s%s%s%s", is_off ? "not: " : "", o->help,
                 says_default ? " (default " : "", says_default ? value : "",
                 says_default ? ")" : "");
        visit(arg, o->flag, o->value_name, help);
    }
}

void config_args_print_errors(const struct config_report *report)
{
    size_t kept = config_report_errors(report);
    for (size_t i = 0; i < kept; i++)
        fprintf(stderr, "valet: %s\n", report->errors[i]);
    if (report->error_count > kept)
        fprintf(stderr, "valet: and %zu more\n", report->error_count - kept);
}

int config_args_load(const struct config_args *args, struct config **out,
                     struct config_report *report)
{
    *out = NULL;
    config_report_init(report);
    enum base_err rc = config_check_flags(args->flags, args->flag_count, report);
    if (rc == E_INVALID)
        return command_wrong("%s", report->errors[0]);
    const struct config_sources sources = {
        .file = args->file,
        .model = args->model,
        .flags = args->flags,
        .flag_count = args->flag_count,
        .env = (const char *const *)environ,
    };
    if (!rc)
        rc = config_load(&sources, out, report);
    if (rc == E_NOMEM)
        fputs("valet: out of memory\n", stderr);
    config_args_print_errors(report);
    return rc ? EXIT_FAILED : EXIT_OK;
}
