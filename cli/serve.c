/* `valet serve`: options in, server/server.h does the rest. */
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "commands.h"
#include "options.h"
#include "server/server.h"

#define FIELD(name) offsetof(struct server_options, name)

static const struct option_spec g_options[] = {
    { "host", OPTION_TEXT, "ADDRESS", FIELD(host), 0, 0,
      "address to listen on (default localhost: 127.0.0.1 and ::1)" },
    { "port", OPTION_U16, "N", FIELD(port), 0, 65535,
      "port to listen on, 0 for any free one (default 2000)" },
    { "threads", OPTION_I32, "N", FIELD(threads), 1, 256,
      "kernel threads (default: the CPUs this process may use)" },
    { "ctx-size", OPTION_I32, "N", FIELD(context), 2, 1 << 24,
      "longest prompt + answer in tokens (default: the model's)" },
    { "kv-mem", OPTION_SIZE, "SIZE", FIELD(kv_bytes), 0, 0,
      "memory of the KV cache, as 512MiB (default: what --max-num-seqs whole contexts need)" },
    { "max-num-seqs", OPTION_I32, "N", FIELD(rows_max), 1, 256,
      "requests that run at once (default 16)" },
    { "prefill-chunk-size", OPTION_I32, "N", FIELD(chunk_max), 16, 8192,
      "prompt tokens of one step at most (default 256)" },
    { "itl-target-ms", OPTION_I32, "MS", FIELD(itl_target_ms), 0, 10000,
      "running answers wait about this long at most for others' prompts (default 50, 0: off)" },
    { "no-prefix-cache", OPTION_FLAG, NULL, FIELD(no_prefix_cache), 0, 0,
      "compute every prompt anew" },
    { "max-queue-depth", OPTION_U64, "N", FIELD(queue_count_max), 0, 1000000,
      "requests that wait at once; more are refused with 429 (default 1000)" },
    { "drain-ms", OPTION_U64, "MS", FIELD(drain_ms), 0, 3600000,
      "time for running requests after SIGTERM (default 30000)" },
};

static const struct command g_command = {
    .usage = "valet serve MODEL [options]",
    .about = "Serves a GGUF model over HTTP: POST /v1/chat/completions, GET /v1/models, /health,\n"
             "/ready, /metrics, /pools. Log lines go to stderr. SIGTERM drains and stops.",
    .options = g_options,
    .option_count = sizeof g_options / sizeof g_options[0],
    .operands_min = 1,
    .operands_max = 1,
};

static void log_to_stderr(enum log_level level, const char *line)
{
    struct timespec now;
    struct tm utc;
    char stamp[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    fprintf(stderr, "%s.%03ldZ %s %s\n", stamp, now.tv_nsec / 1000000, log_level_name(level), line);
}

int command_serve(int argc, char **argv)
{
    struct server_options options;
    server_options_init(&options);
    int operand_count;
    switch (options_parse(&g_command, argc, argv, &options, &options.model_path, &operand_count)) {
    case OPTIONS_HELP:
        return EXIT_OK;
    case OPTIONS_WRONG:
        return EXIT_USAGE;
    case OPTIONS_OK:
        break;
    }
    log_set_sink(log_to_stderr, LOG_INFO);
    struct base_err_info info = { 0 };
    if (server_run(&options, &info) == OK)
        return EXIT_OK;
    fprintf(stderr, "valet: %s\n", info.message);
    return EXIT_FAILED;
}
