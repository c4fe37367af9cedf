#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "config/report.h"

/*
 * The configuration: built-in defaults < file < environment < command line, key by key, with
 * the origin of each value. `options.c` is the one table of keys.
 *
 * Threads: a configuration does not change once loaded; any thread may read it while its
 * owner keeps it.
 */

/* A number that is not set: no limit, or chosen by the program, as the key's help says. */
#define CONFIG_UNSET (-1)

struct config_list {
    const char *const *items;
    size_t count;
};

/* Times are in milliseconds here, whatever the unit of the key. */
struct config_server {
    struct config_list hosts; /* addresses, "localhost", "unix:/path"; at least one */
    int64_t port;             /* 0: any free one */
    const char *tls_cert;     /* NULL: no TLS */
    const char *tls_key;
    int64_t header_timeout_ms;
    int64_t body_timeout_ms;
    int64_t idle_timeout_ms;
    uint64_t header_bytes_max;
    uint64_t body_bytes_max;
    int64_t connections_max;
    int64_t connections_per_address_max;
    int64_t sse_heartbeat_ms;
    int64_t sse_early_headers_ms;
    uint64_t stream_pause_bytes;
    uint64_t stream_drop_bytes;
    struct config_list cors_origins;
    bool cors_credentials;
    struct config_list allowed_hosts;
    int64_t watchdog_ms;
    bool strict_max_tokens;
};

struct config_auth {
    const char *keys_file; /* NULL: none */
    const char *api_key;   /* NULL: none; read from api_key_file if that was given */
    const char *api_key_file;
    bool metrics_public;
};

/* The order is that of urgency. */
enum config_class_id {
    CONFIG_CLASS_CRITICAL,
    CONFIG_CLASS_HIGH,
    CONFIG_CLASS_NORMAL,
    CONFIG_CLASS_LOW,
    CONFIG_CLASS_COUNT
};

struct config_class {
    int64_t queue_count_max;
    int64_t queue_timeout_ms; /* 0: none */
    int64_t aging_ms;         /* CONFIG_UNSET: never */
    int64_t budget_ms;
    int64_t reserved_units;
};

enum config_drain {
    CONFIG_DRAIN_FINISH_ALL,
    CONFIG_DRAIN_FINISH_RUNNING,
    CONFIG_DRAIN_CANCEL_AFTER,
    CONFIG_DRAIN_NOW
};

struct config_pool {
    int64_t queue_count_max;
    int64_t queue_units_max; /* CONFIG_UNSET: 8 times the capacity */
    uint64_t queue_bytes_max;
    int64_t queue_timeout_ms; /* 0: the class's own */
    int64_t run_timeout_ms;   /* 0: none */
    int64_t timeout_ms;       /* 0: none */
    int64_t cancel_grace_ms;
    int64_t aging_share;
    int64_t retry_after_min_ms;
    int64_t retry_after_max_ms;
    double retry_after_jitter;
    int64_t drain_mode; /* enum config_drain */
    int64_t drain_timeout_ms;
    uint64_t events_bytes_max;
    int64_t slow_reader_ms;
    int64_t audit_count_max;
    struct config_class classes[CONFIG_CLASS_COUNT];
};

/* The model that is served, its own settings laid over model_defaults. */
struct config_model {
    const char *path; /* NULL: none given */
    const char *name; /* NULL: from the file's name */
    struct config_list aliases;
    int64_t context; /* tokens; CONFIG_UNSET: the model's */
    int64_t threads; /* CONFIG_UNSET: the CPUs this process may use */
    int64_t itl_target_ms;
    int64_t rows_max;
    int64_t chunk_max;
    uint64_t kv_bytes; /* 0: chosen */
    bool prefix_cache;
    bool speculation;
};

enum config_log_format {
    CONFIG_LOG_TEXT,
    CONFIG_LOG_JSON
};

struct config_log {
    int64_t level;  /* enum log_level */
    int64_t format; /* enum config_log_format */
};

/* Everything, merged. Strings and lists live as long as the struct config they came from. */
struct valet_config {
    struct config_server server;
    struct config_auth auth;
    struct config_pool pool;
    struct config_model model;
    struct config_log log;
};

struct config;

/* One value of the command line. */
struct config_flag {
    const char *key;  /* of the option table */
    const char *text; /* as for the environment: "8MiB", "a,b", "true" */
    const char *from; /* where it was said: "--port" */
};

/* Where to look. Everything is copied but `env`, which is read only during the call. */
struct config_sources {
    const char *file;  /* what --config says; NULL: VALET_CONFIG, then the usual places */
    const char *model; /* the MODEL of the command line, a path, or a name in the file; or NULL */
    const struct config_flag *flags;
    size_t flag_count;
    const char *const *env; /* "NAME=value", ends with NULL; NULL: no environment */
};

/*
 * Finds the file, reads, merges and checks. On success warnings may be in `report`; on
 * E_INVALID its errors, all that were found up to its maximum, and *out is NULL. E_NOMEM.
 * Gives: config_destroy.
 */
enum base_err config_load(const struct config_sources *sources, struct config **out,
                          struct config_report *report);

/*
 * Looks at the values of a command line alone, so that a wrong flag can be told from a wrong
 * file. E_INVALID with errors in `report`; E_NOMEM.
 */
enum base_err config_check_flags(const struct config_flag *flags, size_t flag_count,
                                 struct config_report *report);

/* As config_load, with the text of the file; `name` stands for it in messages. `sources->file` is
 * not looked at. */
enum base_err config_parse(const struct config_sources *sources, const char *name, const char *text,
                           size_t len, struct config **out, struct config_report *report);

void config_destroy(struct config *config);

const struct valet_config *config_values(const struct config *config);

/* The path of the file that was read; NULL: none was found. */
const char *config_file(const struct config *config);

/* How many keys differ from the built-in defaults by what was said somewhere. */
size_t config_set_count(const struct config *config);

/*
 * Where a value came from: "default", "valet.yaml:12", "VALET_PORT", "--port", with
 * " (models[0].pool)" or " (from ${NAME})" behind. `key` is one of the table.
 */
const char *config_origin(const struct config *config, const char *key);

/*
 * What can be seen wrong in the files that are named: the model and the certificate exist,
 * a private key is not open to everybody, the keys file is in order. Adds errors.
 */
void config_check_files(const struct config *config, struct config_report *report);

/* ---- reload ---- */

#define CONFIG_OPTIONS_MAX 128

struct config_changes {
    const char *applied[CONFIG_OPTIONS_MAX]; /* keys, in the order of the table */
    size_t applied_count;
    const char *needs_restart[CONFIG_OPTIONS_MAX];
    size_t needs_restart_count;
    size_t unchanged_count;
};

/*
 * Reads file and environment again, with the command line that `old` was loaded with. *out
 * has the new values of the keys that may change at run time and the old ones of all others;
 * `changes` names both kinds. On any error *out is NULL, `report` says why, and `old` is as
 * it was. `old` stays the caller's in any case. Gives: config_destroy.
 */
enum base_err config_reload(const struct config *old, const char *const *env, struct config **out,
                            struct config_changes *changes, struct config_report *report);

/* ---- to read ---- */

struct config_show {
    const char *key;   /* only this key or section; NULL: all */
    bool changed_only; /* leave out what has its built-in default */
};

/*
 * Appends the merged configuration as YAML with an origin behind each value; what comes out
 * loads again and gives the same, but for secrets, which are shown as a comment "***".
 * E_NOT_FOUND: `key` is none. E_NOMEM, E_TOO_BIG.
 */
enum base_err config_write_yaml(const struct config *config, const struct config_show *show,
                                struct base_buf *out);

/* The same as JSON: {"file": …, "values": {KEY: {"value": …, "origin": …}}}. */
enum base_err config_write_json(const struct config *config, const struct config_show *show,
                                struct base_buf *out);

/* Appends the option table in Markdown, a section a table. */
enum base_err config_write_table(struct base_buf *out);

/* Appends a file with every key at its default, explained, as comments. */
enum base_err config_write_example(struct base_buf *out);

#endif
