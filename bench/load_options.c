#include <argp.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"
#include "prompt.h"

enum key {
    KEY_PORT = 256,
    KEY_API,
    KEY_PLAIN,
    KEY_CLIENTS,
    KEY_RATE,
    KEY_POISSON,
    KEY_CONNECTIONS,
    KEY_NO_WAIT,
    KEY_REQUESTS,
    KEY_DURATION,
    KEY_WARMUP,
    KEY_LIMIT,
    KEY_PROMPT_WORDS,
    KEY_SHARED_PREFIX,
    KEY_MAX_TOKENS,
    KEY_SEED,
    KEY_MODEL,
    KEY_PRIORITY,
    KEY_HEADER,
    KEY_FIELD,
    KEY_PID,
    KEY_JSON
};

static const struct argp_option g_options[] = {
    { "port", KEY_PORT, "N", 0, "port of the server on 127.0.0.1 (needed)", 0 },
    { "clients", KEY_CLIENTS, "N", 0,
      "closed loop: so many clients, each with one request at a time (default 16)", 1 },
    { "no-wait", KEY_NO_WAIT, NULL, 0,
      "closed loop: a refused client asks again at once, not when Retry-After says", 1 },
    { "rate", KEY_RATE, "R", 0, "open loop: R requests a second, whatever comes back", 2 },
    { "poisson", KEY_POISSON, NULL, 0, "open loop: at random times instead of evenly", 2 },
    { "connections", KEY_CONNECTIONS, "N", 0, "open loop: connections at most (default 256)", 2 },
    { "requests", KEY_REQUESTS, "N", 0,
      "requests in all (default: 4 for each client of a closed loop)", 3 },
    { "duration", KEY_DURATION, "S", 0, "seconds of sending (default: 10 in an open loop)", 3 },
    { "warmup", KEY_WARMUP, "S", 0, "seconds whose requests are not measured (default 0)", 3 },
    { "limit", KEY_LIMIT, "S", 0, "give up what still runs after S seconds (default 600)", 3 },
    { "api", KEY_API, "NAME", 0, "completions or chat (default completions)", 4 },
    { "no-stream", KEY_PLAIN, NULL, 0, "ask for whole answers", 4 },
    { "prompt-words", KEY_PROMPT_WORDS, "N", 0,
      "words of a prompt, about a token each (default 100)", 4 },
    { "shared-prefix", KEY_SHARED_PREFIX, "N", 0,
      "the first N words of all prompts are the same (default 0)", 4 },
    { "max-tokens", KEY_MAX_TOKENS, "N", 0,
      "tokens of an answer, neither less nor more (default 64)", 4 },
    { "seed", KEY_SEED, "N", 0, "of prompts and random times (default 1)", 4 },
    { "model", KEY_MODEL, "NAME", 0, "model to ask for (default: not named)", 4 },
    { "priority", KEY_PRIORITY, "CLASS", 0, "X-Valet-Priority: critical, high, normal or low", 5 },
    { "header", KEY_HEADER, "'NAME: VALUE'", 0, "a header field; several times", 5 },
    { "field", KEY_FIELD, "'\"NAME\":JSON'", 0, "a field of the body; several times", 5 },
    { "pid", KEY_PID, "N", 0, "process of the server, to tell its CPU time", 6 },
    { "json", KEY_JSON, NULL, 0, "print JSON", 6 },
    { 0 },
};

static double number(struct argp_state *state, const char *text, double min, double max)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= min && value <= max))
        argp_error(state, "expected a number from %.10g to %.10g, got '%s'", min, max, text);
    return value;
}

static int64_t whole(struct argp_state *state, const char *text, double min, double max)
{
    double value = number(state, text, min, max);
    if (value != floor(value))
        argp_error(state, "expected a whole number, got '%s'", text);
    return (int64_t)value;
}

/* A text that goes into a request as it is. */
static const char *plain(struct argp_state *state, const char *text)
{
    for (const char *p = text; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 127)
            argp_error(state, "no control characters are allowed in '%s'", text);
    }
    if (strlen(text) > 512)
        argp_error(state, "at most 512 characters are allowed in '%s'", text);
    return text;
}

static void add(struct argp_state *state, const char **list, int *count, const char *text)
{
    if (*count == LOAD_EXTRAS_MAX)
        argp_error(state, "at most %d headers and fields", LOAD_EXTRAS_MAX);
    else
        list[(*count)++] = plain(state, text);
}

static bool parse_api(struct argp_state *state, const char *text)
{
    bool is_chat = strcmp(text, "chat") == 0;
    if (!is_chat && strcmp(text, "completions") != 0)
        argp_error(state, "expected completions or chat, got '%s'", text);
    return is_chat;
}

static error_t parse_load(struct load_options *o, int key, char *arg, struct argp_state *state)
{
    switch (key) {
    case KEY_PORT:
        o->port = (int)whole(state, arg, 1, 65535);
        return 0;
    case KEY_CLIENTS:
    case KEY_CONNECTIONS:
        o->clients = (int)whole(state, arg, 1, LOAD_CLIENTS_MAX);
        return 0;
    case KEY_RATE:
        o->rate = number(state, arg, 0.001, 1e5);
        return 0;
    case KEY_POISSON:
        o->is_poisson = true;
        return 0;
    case KEY_NO_WAIT:
        o->waits_not = true;
        return 0;
    case KEY_REQUESTS:
        o->requests = whole(state, arg, 1, 1e7);
        return 0;
    case KEY_DURATION:
        o->duration_s = number(state, arg, 0.001, 86400);
        return 0;
    case KEY_WARMUP:
        o->warmup_s = number(state, arg, 0, 86400);
        return 0;
    case KEY_LIMIT:
        o->limit_s = number(state, arg, 0.001, 172800);
        return 0;
    case KEY_PID:
        o->pid = (pid_t)whole(state, arg, 1, INT32_MAX);
        return 0;
    case KEY_JSON:
        o->is_json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_request(struct load_options *o, int key, char *arg, struct argp_state *state)
{
    switch (key) {
    case KEY_API:
        o->is_chat = parse_api(state, arg);
        return 0;
    case KEY_PLAIN:
        o->is_plain = true;
        return 0;
    case KEY_PROMPT_WORDS:
        o->prompt_words = (int)whole(state, arg, 1, PROMPT_WORDS_MAX);
        return 0;
    case KEY_SHARED_PREFIX:
        o->shared_words = (int)whole(state, arg, 0, PROMPT_WORDS_MAX);
        return 0;
    case KEY_MAX_TOKENS:
        o->max_tokens = (int)whole(state, arg, 1, 1 << 20);
        return 0;
    case KEY_SEED:
        o->seed = (uint64_t)whole(state, arg, 0, 1e15);
        return 0;
    case KEY_MODEL:
        o->model = plain(state, arg);
        return 0;
    case KEY_PRIORITY:
        o->priority = plain(state, arg);
        return 0;
    case KEY_HEADER:
        add(state, o->headers, &o->header_count, arg);
        return 0;
    case KEY_FIELD:
        add(state, o->fields, &o->field_count, arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void finish(struct load_options *o, struct argp_state *state)
{
    if (o->port == 0)
        argp_error(state, "--port is needed");
    if (o->shared_words > o->prompt_words)
        argp_error(state, "--shared-prefix is longer than the prompt");
    bool is_open = o->rate > 0;
    if (o->clients == 0)
        o->clients = is_open ? 256 : 16;
    if (o->requests == 0 && o->duration_s <= 0) {
        o->requests = is_open ? 0 : 4 * (int64_t)o->clients;
        o->duration_s = is_open ? 10 : 0;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct load_options *o = state->input;
    if (key == ARGP_KEY_ARG) {
        argp_error(state, "'%s' is no option", arg);
        return 0;
    }
    if (key == ARGP_KEY_END) {
        finish(o, state);
        return 0;
    }
    error_t rc = parse_load(o, key, arg, state);
    return rc == ARGP_ERR_UNKNOWN ? parse_request(o, key, arg, state) : rc;
}

void load_options_parse(struct load_options *o, int argc, char **argv)
{
    static const char doc[] =
        "Asks a server on 127.0.0.1 for OpenAI completions and tells how fast it answers, "
        "refuses, and comes to an end.";
    const struct argp argp = { .options = g_options, .parser = parse, .doc = doc };
    *o = (struct load_options){ .limit_s = 600, .prompt_words = 100, .max_tokens = 64, .seed = 1 };
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, o);
}
