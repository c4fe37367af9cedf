#include "options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "commands.h"
#include "config_args.h"

/* ---- help ---- */

static void print_option(void *arg, const char *name, const char *value_name, const char *help)
{
    (void)arg;
    char left[64];
    snprintf(left, sizeof left, "--%s%s%s", name, value_name ? " " : "",
             value_name ? value_name : "");
    printf("  %-24s %s\n", left, help);
}

void options_describe(const struct command *c, options_visit_fn visit, void *arg)
{
    for (size_t i = 0; i < c->option_count; i++)
        visit(arg, c->options[i].name, c->options[i].value_name, c->options[i].help);
    if (c->takes_config)
        config_args_describe(visit, arg);
    visit(arg, "help", NULL, "show this");
}

static void print_help(const struct command *c, void *arg)
{
    (void)arg;
    printf("usage: %s\n\n%s\n\noptions:\n", c->usage, c->about);
    options_describe(c, print_option, NULL);
}

static options_help_fn g_help = print_help;
static void *g_help_arg;

void options_set_help(options_help_fn help, void *arg)
{
    g_help = help ? help : print_help;
    g_help_arg = arg;
}

/* ---- words for a person ---- */

int command_failed(const char *message)
{
    fprintf(stderr, "valet: %s\n", message);
    return EXIT_FAILED;
}

int command_wrong(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("valet: ", stderr);
    vfprintf(stderr, format, args);
    fputs("; --help shows the usage\n", stderr);
    va_end(args);
    return EXIT_USAGE;
}

/* ---- values ---- */

static bool parse_float(const char *text, double min, double max, float *out)
{
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(v >= min && v <= max))
        return false;
    *out = (float)v;
    return true;
}

bool options_store(const struct option_spec *o, const char *text, void *out)
{
    int64_t number;
    void *field = (char *)out + o->offset;
    switch (o->kind) {
    case OPTION_I32:
        if (!text_parse_i64(text, (int64_t)o->min, (int64_t)o->max, &number))
            return false;
        *(int32_t *)field = (int32_t)number;
        return true;
    case OPTION_U64:
        if (!text_parse_i64(text, (int64_t)o->min, (int64_t)o->max, &number))
            return false;
        *(uint64_t *)field = (uint64_t)number;
        return true;
    case OPTION_F32:
        return parse_float(text, o->min, o->max, field);
    case OPTION_TEXT:
        *(const char **)field = text;
        return true;
    case OPTION_FLAG:
        *(int32_t *)field = 1;
        return true;
    }
    return false;
}

/* ---- the command line ---- */

/* Walks over argv: "--name", "--name value", "--name=value", operands; behind "--" operands. */
struct scan {
    const struct command *command;
    int argc;
    char **argv;
    int next;
    void *out;
    const char *name;  /* of the option at hand, without dashes */
    const char *value; /* behind its '=', or NULL */
    char name_text[64];
};

/* The value of the option at hand, from behind '=' or from the next argument. */
static const char *take_value(struct scan *s)
{
    if (!s->value && s->next < s->argc)
        s->value = s->argv[s->next++];
    return s->value;
}

static int take_spec(struct scan *s, const struct option_spec *o)
{
    if (!o->value_name && s->value)
        return command_wrong("--%s takes no value", o->name);
    if (o->value_name && !take_value(s))
        return command_wrong("--%s needs a value", o->name);
    if (!options_store(o, s->value, s->out))
        return command_wrong("--%s: '%s' is not a number from %.10g to %.10g", o->name, s->value,
                             o->min, o->max);
    return OPTIONS_GO;
}

static int take_config(struct scan *s)
{
    bool wants_value;
    if (!config_args_has(s->name, &wants_value)) {
        const char *hint = config_args_hint(s->name);
        return command_wrong("--%s: unknown option%s%s", s->name, hint ? "; " : "",
                             hint ? hint : "");
    }
    if (!wants_value && s->value)
        return command_wrong("--%s takes no value", s->name);
    if (wants_value && !take_value(s))
        return command_wrong("--%s needs a value", s->name);
    struct config_args *args = (void *)((char *)s->out + s->command->config_offset);
    if (config_args_take(args, s->name, s->value) != CONFIG_ARGS_TAKEN)
        return command_wrong("--%s: '%s' is no KEY=VALUE", s->name, s->value ? s->value : "");
    return OPTIONS_GO;
}

static int take_option(struct scan *s, const char *text)
{
    const struct command *c = s->command;
    const char *equals = strchr(text, '=');
    size_t len = equals ? (size_t)(equals - text) : strlen(text);
    if (strncmp(text, "--", 2) != 0 || len - 2 >= sizeof s->name_text)
        return command_wrong("%s: unknown option", text);
    snprintf(s->name_text, sizeof s->name_text, "%.*s", (int)(len - 2), text + 2);
    s->name = s->name_text;
    s->value = equals ? equals + 1 : NULL;
    for (size_t i = 0; i < c->option_count; i++) {
        if (strcmp(c->options[i].name, s->name) == 0)
            return take_spec(s, &c->options[i]);
    }
    if (strcmp(s->name, "help") == 0) {
        g_help(c, g_help_arg);
        return EXIT_OK;
    }
    if (c->takes_config)
        return take_config(s);
    return command_wrong("--%s: unknown option", s->name);
}

int options_parse(const struct command *c, int argc, char **argv, void *out, const char **operands,
                  int *operand_count)
{
    struct scan s = { .command = c, .argc = argc, .argv = argv, .next = 1, .out = out };
    bool only_operands = false;
    *operand_count = 0;
    while (s.next < argc) {
        const char *text = argv[s.next++];
        if (!only_operands && strcmp(text, "--") == 0) {
            only_operands = true;
        } else if (!only_operands && text[0] == '-' && text[1] != '\0') {
            int rc = take_option(&s, text);
            if (rc != OPTIONS_GO)
                return rc;
        } else if (*operand_count == c->operands_max) {
            return command_wrong("'%s' is one argument too many", text);
        } else {
            operands[(*operand_count)++] = text;
        }
    }
    if (*operand_count < c->operands_min)
        return command_wrong("an argument is missing: %s", c->usage);
    return OPTIONS_GO;
}
