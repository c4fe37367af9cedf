#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"

enum {
    OPTIONS_MAX = 32,
    HELP_VALUE = 1000 /* what getopt returns for --help; options return their index */
};

static void print_help(const struct command *c)
{
    printf("usage: %s\n\n%s\n\noptions:\n", c->usage, c->about);
    for (size_t i = 0; i < c->option_count; i++) {
        const struct option_spec *o = &c->options[i];
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->value_name ? " " : "",
                 o->value_name ? o->value_name : "");
        printf("  %-24s %s\n", left, o->help);
    }
    printf("  %-24s %s\n", "--help", "show this");
}

__attribute__((format(printf, 1, 2))) static enum options_result wrong(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("valet: ", stderr);
    vfprintf(stderr, format, args);
    fputs("; --help shows the usage\n", stderr);
    va_end(args);
    return OPTIONS_WRONG;
}

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

static bool store(const struct option_spec *o, const char *text, void *field)
{
    int64_t number;
    switch (o->kind) {
    case OPTION_I32:
        if (!text_parse_i64(text, (int64_t)o->min, (int64_t)o->max, &number))
            return false;
        *(int32_t *)field = (int32_t)number;
        return true;
    case OPTION_U16:
        if (!text_parse_i64(text, (int64_t)o->min, (int64_t)o->max, &number))
            return false;
        *(uint16_t *)field = (uint16_t)number;
        return true;
    case OPTION_U64:
        if (!text_parse_i64(text, (int64_t)o->min, (int64_t)o->max, &number))
            return false;
        *(uint64_t *)field = (uint64_t)number;
        return true;
    case OPTION_SIZE:
        return text_parse_size(text, field) && *(uint64_t *)field > 0;
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

static enum options_result wrong_value(const struct option_spec *o, const char *text)
{
    if (o->kind == OPTION_SIZE)
        return wrong("--%s: '%s' is no size; expected bytes or a number with KiB, MiB or GiB",
                     o->name, text);
    return wrong("--%s: '%s' is not a number from %.10g to %.10g", o->name, text, o->min, o->max);
}

enum options_result options_parse(const struct command *c, int argc, char **argv, void *out,
                                  const char **operands, int *operand_count)
{
    struct option longs[OPTIONS_MAX + 2] = { 0 };
    ASSERT(c->option_count <= OPTIONS_MAX);
    for (size_t i = 0; i < c->option_count; i++)
        longs[i] = (struct option){ c->options[i].name,
                                    c->options[i].value_name ? required_argument : no_argument,
                                    NULL, (int)i };
    longs[c->option_count] = (struct option){ "help", no_argument, NULL, HELP_VALUE };

    *operand_count = 0;
    opterr = 0;
    optind = 1;
    int found;
    while ((found = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
        if (found == HELP_VALUE) {
            print_help(c);
            return OPTIONS_HELP;
        }
        if (found == ':')
            return wrong("%s needs a value", argv[optind - 1]);
        if (found == '?')
            return wrong("%s: unknown option", argv[optind - 1]);
        const struct option_spec *o = &c->options[found];
        if (!store(o, optarg, (char *)out + o->offset))
            return wrong_value(o, optarg);
    }
    for (int i = optind; i < argc; i++) {
        if (*operand_count == c->operands_max)
            return wrong("'%s' is one argument too many", argv[i]);
        operands[(*operand_count)++] = argv[i];
    }
    if (*operand_count < c->operands_min)
        return wrong("an argument is missing: %s", c->usage);
    return OPTIONS_OK;
}
