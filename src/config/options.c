#include "config/options.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "config/config.h"

#define FIELD(name) offsetof(struct valet_config, name)
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

#define DAY_SECS 86400.0
#define INT_MAX_PLAIN 1e12 /* what fits every counter and a double without loss */
#define GIB (1024.0 * 1024 * 1024)

static const char *const g_drain_words[] = { "finish_all", "finish_running", "cancel_after", "now",
                                             NULL };
static const char *const g_level_words[] = { "error", "warn", "info", "debug", NULL };
static const char *const g_format_words[] = { "text", "json", NULL };

/* key, type, field and default first; the rest by name. */
#define ROW(key_, type_, field_, fallback_, ...)                                                   \
    {                                                                                              \
        .key = key_, .type = type_, .offset = FIELD(field_), .fallback = fallback_, __VA_ARGS__    \
    }
#define RANGE(min_, max_) .min = min_, .max = max_
#define FLAG(flag_, value_) .flag = flag_, .value_name = value_

#define CLASS(name, id, depth, timeout, aging, aging_traits, budget)                               \
    ROW("pool.classes." name ".max_queue_depth", CONFIG_INT, pool.classes[id].queue_count_max,     \
        depth, RANGE(0, 1e6), .traits = CONFIG_RELOADABLE,                                         \
        .help = "waiting requests of class " name),                                                \
        ROW("pool.classes." name ".queue_timeout_secs", CONFIG_SECS,                               \
            pool.classes[id].queue_timeout_ms, timeout, RANGE(0, DAY_SECS),                        \
            .traits = CONFIG_RELOADABLE, .help = "longest wait of class " name ", 0: no limit"),   \
        ROW("pool.classes." name ".aging_ms", CONFIG_INT, pool.classes[id].aging_ms, aging,        \
            RANGE(0, DAY_SECS * 1000), .traits = CONFIG_RELOADABLE | (aging_traits),               \
            .help = "after this wait a request of class " name " counts as aged"),                 \
        ROW("pool.classes." name ".budget_ms", CONFIG_INT, pool.classes[id].budget_ms, budget,     \
            RANGE(0, DAY_SECS * 1000), .traits = CONFIG_RELOADABLE,                                \
            .help = "the wait that class " name " is meant to have; orders, nothing more"),        \
        ROW("pool.classes." name ".reserved_units", CONFIG_INT, pool.classes[id].reserved_units,   \
            "0", RANGE(0, INT_MAX_PLAIN), .traits = CONFIG_RELOADABLE,                             \
            .help = "KV blocks that only class " name " may use")

static const struct config_option g_options[] = {
    ROW("server.host", CONFIG_HOSTS, server.hosts, "localhost", FLAG("host", "ADDRESS"),
        .short_env = "VALET_HOST",
        .help = "address to listen on, or a list; localhost is 127.0.0.1 and ::1; unix:/path"),
    ROW("server.port", CONFIG_INT, server.port, "2000", RANGE(0, 65535), FLAG("port", "N"),
        .short_env = "VALET_PORT", .help = "port to listen on, 0 for any free one"),
    ROW("server.tls.cert", CONFIG_TEXT, server.tls_cert, "null",
        .traits = CONFIG_RELOADABLE | CONFIG_NULLABLE,
        .help = "certificate chain in PEM; needs server.tls.key"),
    ROW("server.tls.key", CONFIG_TEXT, server.tls_key, "null",
        .traits = CONFIG_RELOADABLE | CONFIG_NULLABLE,
        .help = "file of the private key in PEM; must not be open to everybody"),
    ROW("server.header_timeout_secs", CONFIG_SECS, server.header_timeout_ms, "10", RANGE(1, 3600),
        .traits = CONFIG_RELOADABLE,
        .help = "a request's header must be here within, from its first byte"),
    ROW("server.body_timeout_secs", CONFIG_SECS, server.body_timeout_ms, "30", RANGE(1, 3600),
        .traits = CONFIG_RELOADABLE, .help = "longest time without a byte of a body"),
    ROW("server.idle_timeout_secs", CONFIG_SECS, server.idle_timeout_ms, "60", RANGE(1, 3600),
        .traits = CONFIG_RELOADABLE, .help = "an unused connection is closed after"),
    ROW("server.max_header_bytes", CONFIG_SIZE, server.header_bytes_max, "16KiB",
        RANGE(1024, 1024 * 1024), .traits = CONFIG_RELOADABLE, .help = "all headers of a request"),
    ROW("server.max_body_bytes", CONFIG_SIZE, server.body_bytes_max, "8MiB", RANGE(1024, GIB),
        .traits = CONFIG_RELOADABLE, .help = "body of a request"),
    ROW("server.max_connections", CONFIG_INT, server.connections_max, "10000", RANGE(1, 1e6),
        .traits = CONFIG_RELOADABLE, .help = "open connections"),
    ROW("server.max_connections_per_address", CONFIG_INT, server.connections_per_address_max, "256",
        RANGE(1, 1e6), .traits = CONFIG_RELOADABLE,
        .help = "open connections of one address; loopback has no such limit"),
    ROW("server.sse_heartbeat_secs", CONFIG_SECS, server.sse_heartbeat_ms, "15", RANGE(1, 3600),
        .help = "a silent stream gets a comment line this often"),
    ROW("server.sse_early_headers_ms", CONFIG_INT, server.sse_early_headers_ms, "10000",
        RANGE(0, 60000),
        .help = "a stream that waits gets its headers after, even if it has not started"),
    ROW("server.stream_pause_bytes", CONFIG_SIZE, server.stream_pause_bytes, "256KiB",
        RANGE(4096, GIB), .help = "unread bytes of a stream at which its source pauses"),
    ROW("server.stream_drop_bytes", CONFIG_SIZE, server.stream_drop_bytes, "4MiB", RANGE(4096, GIB),
        .traits = CONFIG_RELOADABLE, .help = "unread bytes of a stream at which it is dropped"),
    ROW("server.cors.origins", CONFIG_LIST, server.cors_origins, "[]", .traits = CONFIG_RELOADABLE,
        .help = "origins whose pages may call, as https://chat.example; * for all"),
    ROW("server.cors.credentials", CONFIG_BOOL, server.cors_credentials, "false",
        .traits = CONFIG_RELOADABLE, .help = "such calls may carry credentials; not with *"),
    ROW("server.allowed_hosts", CONFIG_LIST, server.allowed_hosts, "[]",
        .traits = CONFIG_RELOADABLE,
        .help = "names a Host header may have besides addresses and local names"),
    ROW("server.watchdog_ms", CONFIG_INT, server.watchdog_ms, "10000", RANGE(100, 600000),
        .traits = CONFIG_RELOADABLE, .help = "/health fails when a step takes longer"),
    ROW("server.strict_max_tokens", CONFIG_BOOL, server.strict_max_tokens, "false",
        .traits = CONFIG_RELOADABLE,
        .help = "refuse a max_tokens that does not fit, instead of lowering it"),

    ROW("auth.keys_file", CONFIG_TEXT, auth.keys_file, "null", FLAG("api-keys-file", "FILE"),
        .traits = CONFIG_RELOADABLE | CONFIG_NULLABLE, .help = "API keys, one a line"),
    ROW("auth.api_key", CONFIG_TEXT, auth.api_key, "null", .short_env = "VALET_API_KEY",
        .traits = CONFIG_RELOADABLE | CONFIG_NULLABLE | CONFIG_SECRET,
        .help = "one key of tenant 'default' that may infer and read metrics"),
    ROW("auth.api_key_file", CONFIG_TEXT, auth.api_key_file, "null",
        .traits = CONFIG_RELOADABLE | CONFIG_NULLABLE, .help = "file that holds auth.api_key"),
    ROW("auth.metrics_public", CONFIG_BOOL, auth.metrics_public, "false",
        .help = "/metrics needs no key"),

    ROW("pool.max_queue_depth", CONFIG_INT, pool.queue_count_max, "1000", RANGE(0, 1e6),
        FLAG("max-queue-depth", "N"), .traits = CONFIG_RELOADABLE,
        .help = "requests that wait at once; more are refused with 429"),
    ROW("pool.max_queue_units", CONFIG_INT, pool.queue_units_max, "null", RANGE(0, INT_MAX_PLAIN),
        .traits = CONFIG_RELOADABLE | CONFIG_NULLABLE,
        .help = "KV blocks of all that wait, null: 8 times what there is"),
    ROW("pool.max_queue_bytes", CONFIG_SIZE, pool.queue_bytes_max, "256MiB",
        RANGE(1024, 1024 * GIB), .traits = CONFIG_RELOADABLE, .help = "memory of all that wait"),
    ROW("pool.queue_timeout_secs", CONFIG_SECS, pool.queue_timeout_ms, "0", RANGE(0, DAY_SECS),
        .traits = CONFIG_RELOADABLE, .help = "longest wait of every class, 0: the class's own"),
    ROW("pool.run_timeout_secs", CONFIG_SECS, pool.run_timeout_ms, "0", RANGE(0, DAY_SECS),
        .traits = CONFIG_RELOADABLE, .help = "longest run of a request, 0: no limit"),
    ROW("pool.timeout_secs", CONFIG_SECS, pool.timeout_ms, "600", RANGE(0, DAY_SECS),
        FLAG("request-timeout", "SECS"), .traits = CONFIG_RELOADABLE,
        .help = "longest time from acceptance to the end, 0: no limit"),
    ROW("pool.cancel_grace_ms", CONFIG_INT, pool.cancel_grace_ms, "5000", RANGE(0, 600000),
        .traits = CONFIG_RELOADABLE, .help = "a cancelled request must have stopped within"),
    ROW("pool.aging_share", CONFIG_INT, pool.aging_share, "8", RANGE(2, 1000),
        .traits = CONFIG_RELOADABLE, .help = "one start in so many goes to what has aged"),
    ROW("pool.retry_after.min_ms", CONFIG_INT, pool.retry_after_min_ms, "1000", RANGE(0, 3600000),
        .traits = CONFIG_RELOADABLE, .help = "shortest Retry-After of a refusal"),
    ROW("pool.retry_after.max_ms", CONFIG_INT, pool.retry_after_max_ms, "60000", RANGE(1, 3600000),
        .traits = CONFIG_RELOADABLE, .help = "longest Retry-After of a refusal"),
    ROW("pool.retry_after.jitter", CONFIG_REAL, pool.retry_after_jitter, "0.5", RANGE(0, 1),
        .traits = CONFIG_RELOADABLE,
        .help = "random share added, so that not all come back at once"),
    ROW("pool.drain.mode", CONFIG_WORD, pool.drain_mode, "cancel_after", .words = g_drain_words,
        .traits = CONFIG_RELOADABLE,
        .help = "what SIGTERM does with accepted requests; the second signal means now"),
    ROW("pool.drain.timeout_secs", CONFIG_SECS, pool.drain_timeout_ms, "30", RANGE(0, 3600),
        FLAG("drain-ms", "MS"), .traits = CONFIG_RELOADABLE,
        .help = "time for running requests after SIGTERM"),
    ROW("pool.events.max_bytes", CONFIG_SIZE, pool.events_bytes_max, "1MiB", RANGE(65536, GIB),
        .traits = CONFIG_RELOADABLE, .help = "unread events of one request"),
    ROW("pool.slow_reader_secs", CONFIG_SECS, pool.slow_reader_ms, "30", RANGE(1, 3600),
        .traits = CONFIG_RELOADABLE, .help = "a stream that is not read for so long is cancelled"),
    ROW("pool.audit_events", CONFIG_INT, pool.audit_count_max, "100000", RANGE(0, 1e7),
        .help = "decisions of the lot that are kept to look at"),
    CLASS("critical", CONFIG_CLASS_CRITICAL, "64", "30", "null", CONFIG_NULLABLE, "1000"),
    CLASS("high", CONFIG_CLASS_HIGH, "256", "30", "5000", 0, "5000"),
    CLASS("normal", CONFIG_CLASS_NORMAL, "512", "60", "30000", 0, "30000"),
    CLASS("low", CONFIG_CLASS_LOW, "1000", "300", "120000", 0, "300000"),

    ROW("models[].path", CONFIG_TEXT, model.path, "null", .short_env = "VALET_MODEL",
        .traits = CONFIG_NULLABLE | CONFIG_FILE_ONLY,
        .help = "model file; the MODEL of the command line"),
    ROW("models[].name", CONFIG_TEXT, model.name, "null",
        .traits = CONFIG_NULLABLE | CONFIG_FILE_ONLY,
        .help = "what clients call it, null: from the file's name"),
    ROW("models[].aliases", CONFIG_LIST, model.aliases, "[]", .traits = CONFIG_FILE_ONLY,
        .help = "other names for it"),

    ROW("model_defaults.context", CONFIG_INT, model.context, "null", RANGE(2, 1 << 24),
        FLAG("ctx-size", "N"), .traits = CONFIG_NULLABLE,
        .help = "longest prompt + answer in tokens, null: the model's"),
    ROW("model_defaults.params.threads", CONFIG_INT, model.threads, "null", RANGE(1, 256),
        FLAG("threads", "N"), .traits = CONFIG_NULLABLE,
        .help = "kernel threads, null: the CPUs this process may use"),
    ROW("model_defaults.params.itl_target_ms", CONFIG_INT, model.itl_target_ms, "50",
        RANGE(0, 10000), FLAG("itl-target-ms", "MS"),
        .help = "a step with prompt tokens takes about this long, or twice as long as one "
                "without; 0: no bound"),
    ROW("model_defaults.params.max_num_seqs", CONFIG_INT, model.rows_max, "16", RANGE(1, 256),
        FLAG("max-num-seqs", "N"), .help = "requests that run at once"),
    ROW("model_defaults.params.prefill_chunk_size", CONFIG_INT, model.chunk_max, "256",
        RANGE(16, 8192), FLAG("prefill-chunk-size", "N"),
        .help = "prompt tokens of one step at most"),
    ROW("model_defaults.params.mem", CONFIG_MEM, model.kv_bytes, "auto",
        RANGE(1024 * 1024, 16384 * GIB), FLAG("kv-mem", "SIZE"),
        .help = "memory of the KV cache, as 512MiB; auto: for max_num_seqs whole contexts"),
    ROW("model_defaults.params.prefix_cache.enabled", CONFIG_BOOL, model.prefix_cache, "true",
        FLAG("no-prefix-cache", NULL),
        .help = "prompts with a common beginning share its computed part"),
    ROW("model_defaults.params.speculation.enabled", CONFIG_BOOL, model.speculation, "true",
        FLAG("no-speculation", NULL),
        .help = "guesses what repeats earlier text and checks several tokens at once; the "
                "answers are the same"),

    ROW("log.level", CONFIG_WORD, log.level, "info", FLAG("log-level", "LEVEL"),
        .short_env = "VALET_LOG", .words = g_level_words, .traits = CONFIG_RELOADABLE,
        .help = "what is logged: error, warn, info or debug"),
    ROW("log.format", CONFIG_WORD, log.format, "text", FLAG("log-format", "FORMAT"),
        .words = g_format_words, .help = "log lines as text or as JSON"),
};

_Static_assert(COUNT(g_options) <= CONFIG_OPTIONS_MAX, "struct config_changes has room for all");

size_t config_option_count(void)
{
    return COUNT(g_options);
}

const struct config_option *config_option_at(size_t i)
{
    ASSERT(i < COUNT(g_options));
    return &g_options[i];
}

size_t config_option_index(const struct config_option *option)
{
    return (size_t)(option - g_options);
}

const struct config_option *config_option_find(const char *key)
{
    for (size_t i = 0; i < COUNT(g_options); i++) {
        if (strcmp(g_options[i].key, key) == 0)
            return &g_options[i];
    }
    return NULL;
}

const struct config_option *config_option_by_flag(const char *flag)
{
    for (size_t i = 0; i < COUNT(g_options); i++) {
        if (g_options[i].flag && strcmp(g_options[i].flag, flag) == 0)
            return &g_options[i];
    }
    return NULL;
}

void config_option_env(const struct config_option *option, char out[CONFIG_ENV_NAME_MAX])
{
    out[0] = '\0';
    if (option->traits & CONFIG_FILE_ONLY)
        return;
    int n = snprintf(out, CONFIG_ENV_NAME_MAX, "VALET_%s", option->key);
    ASSERT(n > 0 && n < CONFIG_ENV_NAME_MAX);
    for (char *p = out; *p; p++) {
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
        else if (*p == '.')
            *p = '_';
    }
}

const char *config_option_flag_value(const struct config_option *option)
{
    ASSERT(option->type == CONFIG_BOOL);
    return strncmp(option->flag, "no-", 3) == 0 ? "false" : "true";
}

static void describe_words(const struct config_option *o, char *out, size_t out_size)
{
    size_t len = 0;
    for (size_t i = 0; o->words[i] && len < out_size; i++) {
        const char *join = i == 0 ? "" : o->words[i + 1] ? ", " : " or ";
        len += (size_t)snprintf(out + len, out_size - len, "%s%s", join, o->words[i]);
    }
}

static const char *size_text(double bytes, char *out, size_t out_size)
{
    static const char *const units[] = { "", "KiB", "MiB", "GiB", "TiB" };
    size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < COUNT(units)) {
        bytes /= 1024;
        unit++;
    }
    snprintf(out, out_size, "%.10g%s", bytes, units[unit]);
    return out;
}

void config_option_describe(const struct config_option *o, char *out, size_t out_size)
{
    char min[32];
    char max[32];
    switch (o->type) {
    case CONFIG_BOOL:
        snprintf(out, out_size, "true or false");
        return;
    case CONFIG_INT:
        snprintf(out, out_size, "integer, %.15g..%.15g", o->min, o->max);
        return;
    case CONFIG_SECS:
    case CONFIG_REAL:
        snprintf(out, out_size, "number, %.15g..%.15g", o->min, o->max);
        return;
    case CONFIG_SIZE:
    case CONFIG_MEM:
        snprintf(out, out_size, "%s, %s..%s", o->type == CONFIG_MEM ? "auto, MiB or size" : "size",
                 size_text(o->min, min, sizeof min), size_text(o->max, max, sizeof max));
        return;
    case CONFIG_TEXT:
        snprintf(out, out_size, "text");
        return;
    case CONFIG_WORD:
        describe_words(o, out, out_size);
        return;
    case CONFIG_LIST:
        snprintf(out, out_size, "list of texts");
        return;
    case CONFIG_HOSTS:
        snprintf(out, out_size, "text or list of texts");
        return;
    }
}
