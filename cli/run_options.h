#ifndef CLI_RUN_OPTIONS_H
#define CLI_RUN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "options.h"
#include "valet/request.h"

/* How `valet run` answers. */
struct run_options {
    int32_t max_tokens;
    struct valet_sampling sampling; /* seed 0: each answer draws its own */
    const char *system;             /* NULL: none */
    const char *stop;               /* NULL: none */
    int32_t threads;
    int32_t context;
    int32_t json;
    int32_t verbose;
    int32_t no_history;
};

void run_options_init(struct run_options *o);

/* The rows for options.h. */
extern const struct option_spec g_run_options[];
extern const size_t g_run_option_count;

/*
 * Changes one of the values that a chat may change by its name, "top_p" or "top-p". False: one
 * line was printed to `err`.
 */
bool run_options_set(struct run_options *o, const char *name, const char *value, FILE *err);

/* Prints these values, a line each. */
void run_options_print(const struct run_options *o, FILE *out);

#endif
