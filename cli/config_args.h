#ifndef CLI_CONFIG_ARGS_H
#define CLI_CONFIG_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

/* What a command line says of the configuration: --config, --set and the flags of the table. */
enum {
    CONFIG_ARGS_MAX = 256,
    CONFIG_ARGS_KEY_BYTES = 96
};

struct config_args {
    const char *file;                          /* of --config; NULL: not said */
    const char *model;                         /* for the command to set: its MODEL */
    struct config_flag flags[CONFIG_ARGS_MAX]; /* texts are borrowed from argv, or in `names` */
    size_t flag_count;
    char names[CONFIG_ARGS_MAX][CONFIG_ARGS_KEY_BYTES]; /* "--port", or the key of --set */
};

enum config_args_result {
    CONFIG_ARGS_TAKEN,
    CONFIG_ARGS_UNKNOWN, /* the name is no flag of the configuration */
    CONFIG_ARGS_NO_VALUE,
    CONFIG_ARGS_WRONG /* --set without KEY=VALUE, or too many flags */
};

/* Whether `name` (without dashes) is one of them, and whether it wants a value. */
bool config_args_has(const char *name, bool *wants_value);

/* Takes one; `value` is NULL where it has none. */
enum config_args_result config_args_take(struct config_args *args, const char *name,
                                         const char *value);

/* What to do instead of an unknown flag: "use --port"; NULL: nothing is near. */
const char *config_args_hint(const char *name);

/* Visits all of them with what --help shows: "port N" and the help with its default. */
void config_args_describe(void (*visit)(void *arg, const char *flag, const char *value_name,
                                        const char *help),
                          void *arg);

/*
 * Loads what was said and prints warnings and errors to stderr as lines "valet: …".
 * Gives an exit code: EXIT_USAGE for a wrong flag; on EXIT_OK *out is given (config_destroy).
 */
int config_args_load(const struct config_args *args, struct config **out,
                     struct config_report *report);

/* Prints the errors of a report to stderr. */
void config_args_print_errors(const struct config_report *report);

#endif
