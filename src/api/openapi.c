/*
 * GET /openapi.json: routes from the table in routes.c, fields of bodies from the one in
 * fields.c. Here is only what these do not know: words, and the shapes of answers.
 */
#include <string.h>

#include "api/api_int.h"
#include "api/json_out.h"
#include "api/params.h"
#include "base/mem.h"

enum {
    DOCUMENT_BYTES_MAX = 1 << 20
};

/* What is said of a route. */
struct page {
    const char *path;
    const char *summary;
    const char *required; /* keys that every answer has, with blanks between; NULL: it is text */
    enum params_route fields; /* of the body; 0: it has none */
    const char *body;         /* keys that every body has */
    bool works;               /* it makes a ticket: may stream, wait and be refused */
};

#define CHAT_ANSWER "id object created model choices usage"

static const struct page g_pages[] = {
    { "/v1/chat/completions", "Answer a chat", CHAT_ANSWER, PARAMS_CHAT, "messages", true },
    { "/chat/completions", "Answer a chat", CHAT_ANSWER, PARAMS_CHAT, "messages", true },
    { "/v1/completions", "Continue texts", CHAT_ANSWER, PARAMS_COMPLETION, "prompt", true },
    { "/tokenize", "Text or messages to tokens", "tokens count max_model_len", PARAMS_TOKENIZE, "",
      false },
    { "/detokenize", "Tokens to text", "prompt content", PARAMS_DETOKENIZE, "tokens", false },
    { "/apply-template", "Messages to the text that the model reads", "prompt", PARAMS_TEMPLATE,
      "messages", false },
    { "/v1/models", "The models", "object data", 0, "", false },
    { "/v1/models/", "One model, by its id or an alias", "id object created owned_by", 0, "",
      false },
    { "/health", "Whether the engine lives", "status", 0, "", false },
    { "/v1/health", "Whether the engine lives", "status", 0, "", false },
    { "/ready", "Whether new work is taken", "status", 0, "", false },
    { "/version", "What runs here", "version commit build", 0, "", false },
    { "/openapi.json", "This document", "openapi info paths", 0, "", false },
    { "/metrics", "Numbers in the text format of Prometheus", NULL, 0, "", false },
    { "/pools", "The parking lots", "pools", 0, "", false },
    { "/pools/", "One parking lot", "poolId state capacity used", 0, "", false },
    { "/v1/queues", "The tickets that wait or run, the caller's own", "object counts data", 0, "",
      false },
};

/* Headers of requests that make work. */
static const char g_work_headers[] =
    "{\"name\":\"X-Valet-Priority\",\"in\":\"header\",\"schema\":{\"type\":\"string\","
    "\"enum\":[\"critical\",\"high\",\"normal\",\"low\"]}},"
    "{\"name\":\"X-Valet-Deadline-Ms\",\"in\":\"header\",\"schema\":{\"type\":\"integer\","
    "\"minimum\":0}},"
    "{\"name\":\"X-Valet-Queue-Timeout-Ms\",\"in\":\"header\",\"schema\":{\"type\":\"integer\","
    "\"minimum\":1}},"
    "{\"name\":\"X-Valet-On-Disconnect\",\"in\":\"header\",\"schema\":{\"type\":\"string\","
    "\"enum\":[\"cancel\"]}}";

static const char g_components[] =
    "\"components\":{\"securitySchemes\":{"
    "\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\"},"
    "\"apiKey\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"X-Api-Key\"}},"
    "\"schemas\":{\"Error\":{\"type\":\"object\",\"required\":[\"error\"],\"properties\":{"
    "\"error\":{\"type\":\"object\",\"required\":[\"message\",\"type\",\"param\",\"code\"],"
    "\"properties\":{\"message\":{\"type\":\"string\"},\"type\":{\"type\":\"string\"},"
    "\"param\":{\"type\":[\"string\",\"null\"]},\"code\":{\"type\":\"string\"},"
    "\"retry_after_ms\":{\"type\":\"integer\"},\"queue_depth\":{\"type\":\"integer\"},"
    "\"position\":{\"type\":[\"integer\",\"null\"]}}}}}},"
    "\"responses\":{\"Error\":{\"description\":\"Why not\",\"content\":{\"application/json\":{"
    "\"schema\":{\"$ref\":\"#/components/schemas/Error\"}}}}}}";

static const struct page *page_of(const char *path)
{
    for (size_t i = 0; i < sizeof g_pages / sizeof g_pages[0]; i++) {
        if (strcmp(g_pages[i].path, path) == 0)
            return &g_pages[i];
    }
    return NULL;
}

/* The words as strings, with a comma in front of all but the first; `count` of them were before. */
static void out_words(struct api_out *o, const char *words, size_t count)
{
    while (*words) {
        size_t len = strcspn(words, " ");
        if (count++)
            api_out_raw(o, ",");
        api_out_string(o, words, len);
        words += len;
        words += *words == ' ';
    }
}

/* {"type":"object","required":[…] and, behind it, whatever the caller adds */
static void out_object(struct api_out *o, const char *required)
{
    api_out_raw(o, "{\"type\":\"object\"");
    if (!*required)
        return;
    api_out_raw(o, ",\"required\":[");
    out_words(o, required, 0);
    api_out_raw(o, "]");
}

static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);
    while (*words) {
        size_t n = strcspn(words, " ");
        if (n == len && memcmp(words, word, n) == 0)
            return true;
        words += n;
        words += *words == ' ';
    }
    return false;
}

/* Whoever reads a field takes null for absent. */
static void out_field(struct api_out *o, const char *name, const char *types, bool is_required)
{
    api_out_str(o, name);
    api_out_raw(o, is_required ? ":{\"type\":[" : ":{\"type\":[\"null\"");
    out_words(o, types, !is_required);
    api_out_raw(o, "]}");
}

static void out_body(struct api_out *o, const struct page *page)
{
    const char *name;
    unsigned routes;
    bool comma = false;
    api_out_raw(o, ",\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{"
                   "\"schema\":");
    out_object(o, page->body);
    api_out_raw(o, ",\"properties\":{");
    for (size_t i = 0; (name = params_field(i, &routes)); i++) {
        if (!(routes & page->fields))
            continue;
        if (comma)
            api_out_raw(o, ",");
        comma = true;
        out_field(o, name, params_field_types(i), has_word(page->body, name));
    }
    api_out_raw(o, "}}}}}");
}

static void out_answers(struct api_out *o, const struct page *page)
{
    api_out_raw(o, ",\"responses\":{\"200\":{\"description\":\"The answer\",\"content\":{");
    if (page->required) {
        api_out_raw(o, "\"application/json\":{\"schema\":");
        out_object(o, page->required);
        api_out_raw(o, "}}");
    } else {
        api_out_raw(o, "\"text/plain\":{\"schema\":{\"type\":\"string\"}");
        api_out_raw(o, "}");
    }
    if (page->works)
        api_out_raw(o, ",\"text/event-stream\":{\"schema\":{\"type\":\"string\"}}");
    api_out_raw(o, "}},\"default\":{\"$ref\":\"#/components/responses/Error\"}}");
}

/* Where the client says what the path's end or the work's urgency is. */
static void out_parameters(struct api_out *o, const struct page *page, bool has_id)
{
    if (!has_id && !page->works)
        return;
    api_out_raw(o, ",\"parameters\":[");
    if (has_id)
        api_out_raw(o, "{\"name\":\"id\",\"in\":\"path\",\"required\":true,\"schema\":{"
                       "\"type\":\"string\"}}");
    if (has_id && page->works)
        api_out_raw(o, ",");
    if (page->works)
        api_out_raw(o, g_work_headers);
    api_out_raw(o, "]");
}

static void out_route(struct api_out *o, const struct api_route *route)
{
    static const struct page silent = { .summary = "", .required = "", .body = "" };
    const struct page *page = page_of(route->path);
    size_t len = strlen(route->path);
    bool has_id = route->path[len - 1] == '/';
    if (!page)
        page = &silent;
    api_out_raw(o, "\"");
    api_out_raw(o, route->path); /* of our own making: nothing to escape */
    api_out_raw(o, has_id ? "{id}\":{" : "\":{");
    api_out_raw(o, route->post ? "\"post\":{\"summary\":" : "\"get\":{\"summary\":");
    api_out_str(o, page->summary);
    api_out_raw(o, route->scope ? ",\"security\":[{\"bearer\":[]},{\"apiKey\":[]}]"
                                : ",\"security\":[]");
    out_parameters(o, page, has_id);
    if (page->fields)
        out_body(o, page);
    out_answers(o, page);
    api_out_raw(o, "}}");
}

enum base_err api_openapi_write(struct base_buf *out, const char *version)
{
    struct api_out o = api_out_begin(out);
    struct api_route route;
    api_out_raw(&o, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"valet\",\"version\":");
    api_out_str(&o, version ? version : "0");
    api_out_raw(&o, "},\"paths\":{");
    for (size_t i = 0; api_route_at(i, &route); i++) {
        if (i)
            api_out_raw(&o, ",");
        out_route(&o, &route);
    }
    api_out_raw(&o, "},");
    api_out_raw(&o, g_components);
    api_out_raw(&o, "}");
    return api_out_end(&o);
}

void api_openapi_get(struct api_call *call)
{
    struct base_buf text;
    struct api_error error;
    buf_init(&text, MEM_API, DOCUMENT_BYTES_MAX);
    if (api_openapi_write(&text, call->api->options.version.version)) {
        api_error_nomem(&error);
        api_reply_error(call->api, &call->peer, &error);
    } else {
        api_reply_bytes(call->api, &call->peer, 200, "application/json", &text);
    }
    buf_fini(&text);
}
