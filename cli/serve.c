/* `valet serve`: the configuration in, server/server.h does the rest. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "commands.h"
#include "config/config.h"
#include "config_args.h"
#include "log_sink.h"
#include "options.h"
#include "server/server.h"

struct serve_options {
    struct config_args config;
    int32_t check;
};

static const struct option_spec g_options[] = {
    { "check", OPTION_FLAG, NULL, offsetof(struct serve_options, check), 0, 0,
      "read the configuration and look at the files it names, then end" },
};

static const struct command g_command = {
    .usage = "valet serve [MODEL] [options]",
    .about = "Serves a GGUF model over HTTP: POST /v1/chat/completions, GET /v1/models, /health,\n"
             "/ready, /metrics, /pools. MODEL is a file, or a name in the configuration file.\n"
             "Log lines go to stderr. SIGTERM drains and stops.",
    .options = g_options,
    .option_count = sizeof g_options / sizeof g_options[0],
    .operands_min = 0,
    .operands_max = 1,
    .takes_config = true,
    .config_offset = offsetof(struct serve_options, config),
};

static int check(const struct config *config, struct config_report *report)
{
    config_check_files(config, report);
    config_args_print_errors(report);
    if (report->error_count > 0)
        return EXIT_FAILED;
    puts("ok");
    return EXIT_OK;
}

static void log_start(const struct config *config, const struct config_report *report)
{
    const char *file = config_file(config);
    log_sink_start(&config_values(config)->log);
    for (size_t i = 0; i < config_report_warnings(report); i++)
        log_line(LOG_WARN, "event=config.warning text=\"%s\"", report->warnings[i]);
    log_line(LOG_INFO, "event=config.loaded file=%s keys_set=%zu", file ? file : "none",
             config_set_count(config));
}

static int serve(const struct config *config)
{
    struct base_err_info info = { 0 };
    return server_run(config, &info) == OK ? EXIT_OK : command_failed(info.message);
}

int command_serve(int argc, char **argv)
{
    struct serve_options options = { 0 };
    struct config_report report;
    struct config *config;
    int operand_count;
    int code =
        options_parse(&g_command, argc, argv, &options, &options.config.model, &operand_count);
    if (code != OPTIONS_GO)
        return code;
    code = config_args_load(&options.config, &config, &report);
    if (code != EXIT_OK)
        return code;
    if (options.check) {
        code = check(config, &report);
    } else if (!config_values(config)->model.path) {
        code = command_wrong(
            "an argument is missing: valet serve MODEL, or models[].path in a configuration file");
    } else {
        log_start(config, &report);
        code = serve(config);
    }
    config_destroy(config);
    return code;
}
