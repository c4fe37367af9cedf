#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One table gives a command its options, their ranges and its help. */
enum option_kind {
    OPTION_I32,  /* int32_t */
    OPTION_U64,  /* uint64_t, a count */
    OPTION_F32,  /* float */
    OPTION_TEXT, /* const char *, borrowed from argv */
    OPTION_FLAG  /* int32_t, set to 1 */
};

struct option_spec {
    const char *name; /* long name, without dashes */
    enum option_kind kind;
    const char *value_name; /* shown in the help; NULL for a flag */
    size_t offset;          /* of the field in the command's struct */
    double min;             /* of a number */
    double max;
    const char *help;
};

struct command {
    const char *usage; /* "valet serve MODEL [options]" */
    const char *about; /* a line or two */
    const struct option_spec *options;
    size_t option_count;
    int operands_min;
    int operands_max;
    bool takes_config;    /* the flags of the configuration as well */
    size_t config_offset; /* of a struct config_args in the command's struct */
};

enum {
    OPTIONS_GO = -1 /* no exit code: the command is to run */
};

/*
 * Reads argv[1..] into the struct at `out`; operands[0..*operand_count) are what is left.
 * `operands` has room for operands_max. Names are taken as they are, never abbreviated. OPTIONS_GO,
 * or the exit code to end with: the help was printed, or one line to stderr.
 */
int options_parse(const struct command *command, int argc, char **argv, void *out,
                  const char **operands, int *operand_count);

/* Reads a value into its field of the struct at `out`; false: it is none, nothing changed. */
bool options_store(const struct option_spec *option, const char *text, void *out);

/* Calls `visit` for each option of a command; `value_name` is NULL for one without value. */
typedef void (*options_visit_fn)(void *arg, const char *name, const char *value_name,
                                 const char *help);
void options_describe(const struct command *command, options_visit_fn visit, void *arg);

/*
 * What --help does from now on; NULL: prints the help to stdout. A document of all commands
 * asks each for its help and gets its table here.
 */
typedef void (*options_help_fn)(const struct command *command, void *arg);
void options_set_help(options_help_fn help, void *arg);

#endif
