#ifndef CONFIG_CONFIG_INT_H
#define CONFIG_CONFIG_INT_H

#include "base/arena.h"
#include "config/config.h"
#include "config/options.h"
#include "config/report.h"
#include "config/value.h"

enum {
    CONFIG_KEY_BYTES = 160,
    CONFIG_ORIGIN_BYTES = 320,
    CONFIG_ARENA_BYTES = 32 * 1024 * 1024
};

/* A higher level wins over a lower one, key by key. */
enum config_level {
    LEVEL_DEFAULT,
    LEVEL_FILE,
    LEVEL_MODEL, /* in the file, at the model itself: over model_defaults and the common pool */
    LEVEL_ENV,
    LEVEL_FLAG
};

struct config_origin {
    enum config_level level;
    const char *text; /* "valet.yaml:12" */
};

struct config {
    struct arena arena; /* all texts below */
    struct valet_config values;
    struct config_origin origins[CONFIG_OPTIONS_MAX]; /* in the order of the table */
    const char *file;                                 /* that was read; NULL: none */
    struct config_sources sources;                    /* copied, env NULL: for a reload */
};

/* One load. */
struct loader {
    struct config *config;
    const char *const *env;
    struct config_report *report;
    const char *file_name;       /* in messages */
    bool skip_models;            /* the file's models are checked but not applied */
    struct valet_config scratch; /* where a value goes that is checked only */
};

/* The value of a variable, or NULL. */
const char *config_env_get(const char *const *env, const char *name, size_t name_len);

/*
 * Checks a value and stores it if its level is not below that of what is there. A wrong value
 * is an error "WHERE: KEY: …" of the report and OK here; E_NOMEM. `origin` is copied.
 */
enum base_err loader_assign(struct loader *l, const struct config_option *option,
                            const struct value *v, enum config_level level, const char *where,
                            const char *origin);

/* The file's part: errors go to the report, E_NOMEM alone is returned. */
enum base_err loader_read_file(struct loader *l, const char *text, size_t len);

/* The environment's part, with warnings for unknown VALET_ names. */
enum base_err loader_read_env(struct loader *l);

/*
 * Replaces ${NAME}, ${NAME:-default} and $$. *from is the first variable, as "${NAME}", or
 * NULL if there is none. E_INVALID: `why` says which variable is not set; E_NOMEM.
 */
enum base_err config_interpolate(const char *text, const char *const *env, struct arena *arena,
                                 const char **out, const char **from, char why[VALUE_WHY_BYTES]);

/*
 * Merges without looking at contradictions: the file's text (NULL: none), the environment and
 * the command line. *out is given even if the report has errors. E_NOMEM.
 */
enum base_err config_merge(const struct config_sources *sources, const char *name, const char *text,
                           size_t len, struct config **out, struct config_report *report);

/* Adds an error for each pair of values that cannot stand together. */
void config_check_values(const struct config *config, struct config_report *report);

/*
 * The nearest of the keys below `section` ("" for the top), else the same key elsewhere, for
 * "did you mean"; "" if nothing is near.
 */
void config_suggest_key(const char *section, const char *key, char out[CONFIG_KEY_BYTES]);

/* Whether `candidate` is near enough to `word` to be meant; the distance through `*distance`. */
bool config_is_near(const char *word, const char *candidate, size_t *distance);

/*
 * A file's text in one piece, at most YAML_BYTES_MAX bytes. E_IO: one error was added. `mode`
 * (may be NULL) gets its permissions.
 */
enum base_err config_read_text(const char *path, struct base_buf *out, unsigned *mode,
                               struct config_report *report);

#endif
