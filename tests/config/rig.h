#ifndef TESTS_CONFIG_RIG_H
#define TESTS_CONFIG_RIG_H

#include <check.h>

#include "config/config.h"
#include "config/config_int.h"
#include "config/options.h"

/* One load and what came of it. */
struct rig {
    struct config *config;
    struct config_report report;
    enum base_err rc;
};

/* Loads a text as "valet.yaml"; NULL: no file. Without contradictions being looked at: merge. */
void rig_load(struct rig *r, const struct config_sources *sources, const char *text);
void rig_merge(struct rig *r, const struct config_sources *sources, const char *text);

/* The same with no environment and no flags, and it must succeed without a warning. */
void rig_good(struct rig *r, const char *text);

/* It must fail with exactly this one error. */
void rig_one_error(const char *text, const char *error);

void rig_fini(struct rig *r);

const struct valet_config *rig_values(const struct rig *r);

/* The value of a key as YAML has it. Until the next call. */
const char *rig_text(const struct config *config, const char *key);

/*
 * The i-th of several different valid values of a key (2 for a boolean, else 4), as the
 * environment has it.
 */
const char *rig_sample(const struct config_option *option, int i, char out[64]);

/* A file in which a key, of the table or "models[].…", has a value. */
void rig_file_of(const char *key, const char *value, struct base_buf *out);

/* Makes a folder for files; its path, until the next call. It goes with the process. */
const char *rig_folder(void);

/* Writes a file with a mode; its path, until the next call. */
const char *rig_write(const char *folder, const char *name, const char *text, unsigned mode);

int rig_run(Suite *suite);

#endif
