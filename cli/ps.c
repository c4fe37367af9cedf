/* `valet ps`: the tickets of a running server, from its /v1/queues. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/buf.h"
#include "commands.h"
#include "options.h"
#include "remote.h"
#include "terminal.h"

struct ps_options {
    struct remote_options remote;
    int32_t json;
};

static const struct option_spec g_options[] = {
    REMOTE_OPTIONS(ps_options, remote),
    { "json", OPTION_FLAG, NULL, offsetof(struct ps_options, json), 0, 0,
      "print the server's list as JSON" },
};

static const struct command g_command = {
    .usage = "valet ps [options]",
    .about =
        "Lists the tickets of a running server, oldest first: class, state, age, place in the\n"
        "queue, tokens of the prompt and of the answer so far. With API keys those of the\n"
        "key's tenant, and all if the key has the scope admin.",
    .options = g_options,
    .option_count = sizeof g_options / sizeof g_options[0],
    .operands_min = 0,
    .operands_max = 0,
};

/* A text of the server's, cut to fit; "-": it is none. */
static const char *text_at(const json_t *ticket, const char *key)
{
    const char *text = json_string_value(json_object_get(ticket, key));
    return text && *text ? text : "-";
}

static json_int_t number_at(const json_t *ticket, const char *key)
{
    return json_integer_value(json_object_get(ticket, key));
}

/* "850 ms", "12.3 s", "4:05", "2:03:04". */
static void print_age(json_int_t ms, char *out, size_t size)
{
    int64_t s = ms / 1000;
    if (s < 1)
        snprintf(out, size, "%d ms", (int)ms);
    else if (s < 60)
        snprintf(out, size, "%.1f s", (double)ms * 1e-3);
    else if (s < 3600)
        snprintf(out, size, "%d:%02d", (int)(s / 60), (int)(s % 60));
    else
        snprintf(out, size, "%" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60), (int)(s % 60));
}

static enum base_err write_ticket(const json_t *ticket, struct base_buf *out)
{
    char age[32];
    char position[24] = "-";
    const json_t *place = json_object_get(ticket, "position");
    print_age(number_at(ticket, "age_ms"), age, sizeof age);
    if (json_is_integer(place))
        snprintf(position, sizeof position, "%" PRId64, (int64_t)json_integer_value(place));
    return buf_printf(out, "%-30s  %-8s  %-9s  %9s  %8s  %7" PRId64 "  %9" PRId64 "  %s\n",
                      text_at(ticket, "ticket"), text_at(ticket, "class"), text_at(ticket, "state"),
                      age, position, (int64_t)number_at(ticket, "prompt_tokens"),
                      (int64_t)number_at(ticket, "generated_tokens"), text_at(ticket, "tenant"));
}

static enum base_err write_table(const json_t *root, struct base_buf *out)
{
    const json_t *list = json_object_get(root, "data");
    enum base_err rc =
        buf_printf(out, "%-30s  %-8s  %-9s  %9s  %8s  %7s  %9s  %s\n", "TICKET", "CLASS", "STATE",
                   "AGE", "POSITION", "PROMPT", "GENERATED", "TENANT");
    for (size_t i = 0; i < json_array_size(list) && !rc; i++)
        rc = write_ticket(json_array_get(list, i), out);
    return rc;
}

static int print_table(const json_t *root)
{
    struct base_buf text;
    buf_init(&text, MEM_SERVER, REMOTE_BODY_BYTES_MAX);
    int rc = write_table(root, &text) == OK ? EXIT_OK : command_failed("out of memory");
    if (rc == EXIT_OK)
        terminal_write(stdout, text.data, text.len);
    buf_fini(&text);
    if (json_is_true(json_object_get(root, "has_more")))
        fputs("valet: there are more; these are the oldest\n", stderr);
    return rc;
}

static int print_json(const json_t *root)
{
    int rc = json_dumpf(root, stdout, JSON_INDENT(2));
    return rc == 0 && putchar('\n') != EOF ? EXIT_OK : command_failed("stdout cannot be written");
}

static int list(struct remote *remote, bool as_json)
{
    struct base_buf body;
    char why[REMOTE_WHY_BYTES];
    buf_init(&body, MEM_SERVER, REMOTE_BODY_BYTES_MAX);
    bool ok = remote_get(remote, "/v1/queues", &body, why);
    json_t *root = ok && body.len ? json_loadb(body.data, body.len, 0, NULL) : NULL;
    buf_fini(&body);
    if (ok && !json_is_array(json_object_get(root, "data"))) {
        snprintf(why, sizeof why, "%s: the answer is no list of tickets; is it valet?",
                 remote_name(remote));
        ok = false;
    }
    int rc = EXIT_FAILED;
    if (!ok)
        command_failed(why);
    else
        rc = as_json ? print_json(root) : print_table(root);
    json_decref(root);
    return rc;
}

int command_ps(int argc, char **argv)
{
    struct ps_options options = { 0 };
    struct remote remote;
    int operand_count;
    int rc = options_parse(&g_command, argc, argv, &options, NULL, &operand_count);
    if (rc != OPTIONS_GO)
        return rc;
    rc = remote_open(&remote, &options.remote);
    if (rc != EXIT_OK)
        return rc;
    rc = list(&remote, options.json);
    remote_close(&remote);
    return rc;
}
