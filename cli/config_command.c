/* `valet config`: what the configuration is, and whether it is right. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "commands.h"
#include "config/config.h"
#include "config_args.h"
#include "options.h"

struct config_options {
    struct config_args config;
    int32_t json;
    int32_t changed;
};

#define FIELD(name) offsetof(struct config_options, name)

static const struct option_spec g_options[] = {
    { "json", OPTION_FLAG, NULL, FIELD(json), 0, 0, "show: as JSON" },
    { "changed", OPTION_FLAG, NULL, FIELD(changed), 0, 0,
      "show: only what does not come from the built-in defaults" },
};

static const struct command g_command = {
    .usage = "valet config check [FILE] | show [KEY] | keys | example [options]",
    .about = "check    every error of the configuration, then 'ok' and how many keys it sets\n"
             "show     the merged configuration and where each value came from, all or one key\n"
             "keys     the table of all keys, in Markdown\n"
             "example  a file with every key at its default, explained",
    .options = g_options,
    .option_count = sizeof g_options / sizeof g_options[0],
    .operands_min = 1,
    .operands_max = 2,
    .takes_config = true,
    .config_offset = FIELD(config),
};

enum {
    OUTPUT_BYTES_MAX = 16 * 1024 * 1024
};

static int print(enum base_err rc, const struct base_buf *out)
{
    if (rc == OK) {
        if (out->len > 0)
            fwrite(out->data, 1, out->len, stdout);
        return EXIT_OK;
    }
    fprintf(stderr, "valet: %s\n", base_strerror(rc));
    return EXIT_FAILED;
}

static int load(const struct config_options *o, struct config **config,
                struct config_report *report)
{
    int code = config_args_load(&o->config, config, report);
    for (size_t i = 0; i < config_report_warnings(report); i++)
        fprintf(stderr, "valet: warning: %s\n", report->warnings[i]);
    return code;
}

static int check(struct config_options *o, const char *file)
{
    struct config *config;
    struct config_report report;
    if (file)
        o->config.file = file;
    int code = load(o, &config, &report);
    if (code != EXIT_OK)
        return code;
    config_check_files(config, &report);
    config_args_print_errors(&report);
    if (report.error_count == 0)
        printf("ok, %zu keys set\n", config_set_count(config));
    config_destroy(config);
    return report.error_count == 0 ? EXIT_OK : EXIT_FAILED;
}

static int show(struct config_options *o, const char *key)
{
    struct config *config;
    struct config_report report;
    int code = load(o, &config, &report);
    if (code != EXIT_OK)
        return code;
    const struct config_show what = { .key = key, .changed_only = o->changed };
    struct base_buf out;
    buf_init(&out, MEM_SERVER, OUTPUT_BYTES_MAX);
    enum base_err rc =
        o->json ? config_write_json(config, &what, &out) : config_write_yaml(config, &what, &out);
    if (rc == E_NOT_FOUND) {
        fprintf(stderr, "valet: no key '%s'; 'valet config keys' lists them\n", key);
        code = EXIT_FAILED;
    } else {
        code = print(rc, &out);
    }
    buf_fini(&out);
    config_destroy(config);
    return code;
}

static int print_document(enum base_err (*write)(struct base_buf *out))
{
    struct base_buf out;
    buf_init(&out, MEM_SERVER, OUTPUT_BYTES_MAX);
    int code = print(write(&out), &out);
    buf_fini(&out);
    return code;
}

int command_config(int argc, char **argv)
{
    struct config_options options = { 0 };
    const char *operands[2] = { 0 };
    int operand_count;
    int rc = options_parse(&g_command, argc, argv, &options, operands, &operand_count);
    if (rc != OPTIONS_GO)
        return rc;
    const char *action = operands[0];
    if (strcmp(action, "check") == 0)
        return check(&options, operands[1]);
    if (strcmp(action, "show") == 0)
        return show(&options, operands[1]);
    if (strcmp(action, "keys") == 0 && operand_count == 1)
        return print_document(config_write_table);
    if (strcmp(action, "example") == 0 && operand_count == 1)
        return print_document(config_write_example);
    fprintf(stderr,
            "valet: config: '%s' is not check, show, keys or example; --help shows the "
            "usage\n",
            operands[operand_count - 1]);
    return EXIT_USAGE;
}
