/*
 * Fields of a body that are known but change nothing here. Each has a type, a range
 * and the values that ask for nothing. A value of the wrong type or range is invalid; one
 * that asks for something is unsupported: it is never ignored in silence.
 */
#include <string.h>

#include "api/params.h"

enum field_kind {
    READ,      /* read elsewhere */
    TEXT,      /* any string: about the caller, not about the answer */
    OBJECT,    /* the same, any object */
    BOOL,      /* only false */
    BOOL_IDLE, /* both */
    ARRAY,     /* only [] */
    WORD,      /* only one of `words`; those in `others` are known */
    CALL,      /* the same; an object is known too */
    PRESENT,   /* only null */
    FORMAT,    /* response_format */
    MODALITIES /* modalities */
};

struct field {
    const char *name;
    unsigned routes; /* of enum params_route */
    enum field_kind kind;
    const char *words; /* each followed by a blank */
    const char *others;
    const char *only;  /* what is taken, for the message */
    const char *types; /* READ: JSON types that it may have besides null, with blanks between */
};

#define CHAT PARAMS_CHAT
#define COMPLETION PARAMS_COMPLETION
#define BOTH (PARAMS_CHAT | PARAMS_COMPLETION)
#define TOKENIZE PARAMS_TOKENIZE
#define DETOKENIZE PARAMS_DETOKENIZE
#define MESSAGES (PARAMS_CHAT | PARAMS_TOKENIZE | PARAMS_TEMPLATE) /* what reads messages */

static const struct field g_fields[] = {
    { "model", BOTH | MESSAGES | DETOKENIZE, READ, .types = "string" },
    { "messages", MESSAGES, READ, .types = "array" },
    { "prompt", COMPLETION, READ, .types = "string array" },
    { "prompt", TOKENIZE, READ, .types = "string" },
    { "max_completion_tokens", CHAT, READ, .types = "integer" },
    { "max_tokens", BOTH, READ, .types = "integer" },
    { "temperature", BOTH, READ, .types = "number" },
    { "top_p", BOTH, READ, .types = "number" },
    { "top_k", BOTH, READ, .types = "integer" },
    { "min_p", BOTH, READ, .types = "number" },
    { "typical_p", BOTH, READ, .types = "number" },
    { "top_n_sigma", BOTH, READ, .types = "number" },
    { "xtc_probability", BOTH, READ, .types = "number" },
    { "xtc_threshold", BOTH, READ, .types = "number" },
    { "presence_penalty", BOTH, READ, .types = "number" },
    { "frequency_penalty", BOTH, READ, .types = "number" },
    { "repetition_penalty", BOTH, READ, .types = "number" },
    { "repeat_penalty", BOTH, READ, .types = "number" },
    { "repeat_last_n", BOTH, READ, .types = "integer" },
    { "dry_multiplier", BOTH, READ, .types = "number" },
    { "dry_base", BOTH, READ, .types = "number" },
    { "dry_allowed_length", BOTH, READ, .types = "integer" },
    { "dry_penalty_last_n", BOTH, READ, .types = "integer" },
    { "dry_sequence_breakers", BOTH, READ, .types = "array" },
    { "mirostat", BOTH, READ, .types = "integer" },
    { "mirostat_tau", BOTH, READ, .types = "number" },
    { "mirostat_eta", BOTH, READ, .types = "number" },
    { "logit_bias", BOTH, READ, .types = "object" },
    { "seed", BOTH, READ, .types = "integer" },
    { "stop", BOTH, READ, .types = "string array" },
    { "stop_token_ids", BOTH, READ, .types = "array" },
    { "min_tokens", BOTH, READ, .types = "integer" },
    { "ignore_eos", BOTH, READ, .types = "boolean" },
    { "include_stop_str_in_output", BOTH, READ, .types = "boolean" },
    { "stream", BOTH, READ, .types = "boolean" },
    { "stream_options", BOTH, READ, .types = "object" },
    { "n", BOTH, READ, .types = "integer" },
    { "best_of", COMPLETION, READ, .types = "integer" },
    { "echo", COMPLETION, READ, .types = "boolean" },
    { "parse_special", COMPLETION | TOKENIZE, READ, .types = "boolean" },
    { "logprobs", CHAT, READ, .types = "boolean" },
    { "logprobs", COMPLETION, READ, .types = "integer" },
    { "top_logprobs", CHAT, READ, .types = "integer" },
    { "cache_salt", BOTH, READ, .types = "string" },
    { "return_token_ids", BOTH, READ, .types = "boolean" },
    { "chat_template_kwargs", MESSAGES, READ, .types = "object" },
    { "enable_thinking", MESSAGES, READ, .types = "boolean" },
    { "thinking", MESSAGES, READ, .types = "boolean" },
    { "add_generation_prompt", PARAMS_TOKENIZE | PARAMS_TEMPLATE, READ, .types = "boolean" },
    { "content", TOKENIZE, READ, .types = "string" },
    { "add_special", TOKENIZE, READ, .types = "boolean" },
    { "add_special_tokens", TOKENIZE, READ, .types = "boolean" },
    { "with_pieces", TOKENIZE, READ, .types = "boolean" },
    { "tokens", DETOKENIZE, READ, .types = "array" },

    { "user", BOTH, TEXT, .only = "" },
    { "safety_identifier", BOTH, TEXT, .only = "" },
    { "metadata", BOTH, OBJECT, .only = "" },
    { "store", BOTH, BOOL_IDLE, .only = "" },
    { "prompt_cache_key", BOTH, TEXT, .only = "" },

    { "tools", MESSAGES, ARRAY, .only = "[]" },
    { "functions", CHAT, ARRAY, .only = "[]" },
    { "tool_choice", CHAT, CALL, .words = "none auto ", .others = "required ",
      .only = "\"none\" or \"auto\"" },
    { "function_call", CHAT, CALL, .words = "none auto ", .others = "",
      .only = "\"none\" or \"auto\"" },
    { "parallel_tool_calls", CHAT, BOOL_IDLE, .only = "" },

    { "response_format", BOTH, FORMAT, .only = "{\"type\":\"text\"}" },
    { "grammar", BOTH, PRESENT, .only = "null" },
    { "json_schema", BOTH, PRESENT, .only = "null" },
    { "guided_json", BOTH, PRESENT, .only = "null" },
    { "guided_regex", BOTH, PRESENT, .only = "null" },
    { "guided_choice", BOTH, PRESENT, .only = "null" },
    { "guided_grammar", BOTH, PRESENT, .only = "null" },
    { "suffix", COMPLETION, PRESENT, .only = "null" },

    { "timings_per_token", BOTH, BOOL, .only = "false" },
    { "return_progress", BOTH, BOOL, .only = "false" },

    { "reasoning_effort", MESSAGES, WORD, .words = "none minimal low medium high ", .others = "",
      .only = "none, minimal, low, medium or high" },
    { "priority", BOTH, READ, .types = "string integer" },
    { "service_tier", BOTH, READ, .types = "string" },

    { "audio", CHAT, PRESENT, .only = "null" },
    { "modalities", CHAT, MODALITIES, .only = "[\"text\"]" },
    { "prediction", CHAT, PRESENT, .only = "null" },
    { "web_search_options", CHAT, PRESENT, .only = "null" },
};

/* Whether the string is one of the words, each of which ends with a blank. */
static bool word_in(const json_t *value, const char *words)
{
    size_t len = json_string_length(value);
    if (!len || memchr(json_string_value(value), ' ', len))
        return false;
    for (; *words; words = strchr(words, ' ') + 1) {
        if (strncmp(words, json_string_value(value), len) == 0 && words[len] == ' ')
            return true;
    }
    return false;
}

static enum base_err check_bool(const struct api_object *body, const struct field *f)
{
    bool on = false;
    enum base_err rc = api_field_bool(body, f->name, &on);
    if (!rc && on && f->kind == BOOL)
        rc = api_field_unsupported(body, f->name, f->only);
    return rc;
}

static enum base_err check_array(const struct api_object *body, const struct field *f,
                                 const json_t *value)
{
    if (!json_is_array(value))
        return api_field_wrong(body, f->name, "an array");
    if (json_array_size(value))
        return api_field_unsupported(body, f->name, f->only);
    return OK;
}

static enum base_err check_word(const struct api_object *body, const struct field *f,
                                const json_t *value)
{
    if (json_is_object(value) && f->kind == CALL)
        return api_field_unsupported(body, f->name, f->only);
    if (!json_is_string(value))
        return api_field_wrong(body, f->name, f->only);
    if (word_in(value, f->words))
        return OK;
    return word_in(value, f->others) ? api_field_unsupported(body, f->name, f->only)
                                     : api_field_wrong(body, f->name, f->only);
}

static enum base_err check_format(const struct api_object *body, const struct field *f,
                                  const json_t *value)
{
    struct api_path path = { .key = f->name };
    struct api_object object = { value, &path, body->error };
    const char *text = NULL;
    size_t len = 0;
    if (!json_is_object(value))
        return api_field_wrong(body, f->name, "an object with a type");
    if (!api_field(&object, "type"))
        return api_field_missing(&object, "type");
    enum base_err rc = api_field_string(&object, "type", &text, &len);
    if (!rc && !api_string_is(api_field(&object, "type"), "text"))
        rc = api_field_unsupported(body, f->name, f->only);
    return rc;
}

static enum base_err check_modalities(const struct api_object *body, const struct field *f,
                                      const json_t *value)
{
    if (!json_is_array(value) || !json_array_size(value))
        return api_field_wrong(body, f->name, "an array of at least one word");
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!json_is_string(json_array_get(value, i)))
            return api_field_wrong(body, f->name, "an array of words");
    }
    if (json_array_size(value) != 1 || !api_string_is(json_array_get(value, 0), "text"))
        return api_field_unsupported(body, f->name, f->only);
    return OK;
}

static enum base_err check(const struct api_object *body, const struct field *f,
                           const json_t *value)
{
    switch (f->kind) {
    case READ:
        return OK;
    case TEXT:
        return json_is_string(value) ? OK : api_field_wrong(body, f->name, "a string");
    case OBJECT:
        return json_is_object(value) ? OK : api_field_wrong(body, f->name, "an object");
    case BOOL:
    case BOOL_IDLE:
        return check_bool(body, f);
    case ARRAY:
        return check_array(body, f, value);
    case WORD:
    case CALL:
        return check_word(body, f, value);
    case PRESENT:
        return api_field_unsupported(body, f->name, f->only);
    case FORMAT:
        return check_format(body, f, value);
    case MODALITIES:
        return check_modalities(body, f, value);
    }
    return OK;
}

enum base_err params_parse_rest(const struct api_object *body, enum params_route route,
                                size_t *unknown_count)
{
    size_t known = 0;
    for (size_t i = 0; i < sizeof g_fields / sizeof g_fields[0]; i++) {
        const struct field *f = &g_fields[i];
        if (!(f->routes & route))
            continue;
        known += json_object_get(body->json, f->name) != NULL;
        const json_t *value = api_field(body, f->name);
        enum base_err rc = value ? check(body, f, value) : OK;
        if (rc)
            return rc;
    }
    *unknown_count = json_object_size(body->json) - known;
    return OK;
}

const char *params_field(size_t i, unsigned *routes)
{
    if (i >= sizeof g_fields / sizeof g_fields[0])
        return NULL;
    *routes = g_fields[i].routes;
    return g_fields[i].name;
}

const char *params_field_types(size_t i)
{
    static const char *const types[] = {
        [TEXT] = "string",   [OBJECT] = "object",    [BOOL] = "boolean", [BOOL_IDLE] = "boolean",
        [ARRAY] = "array",   [WORD] = "string",      [CALL] = "string",  [PRESENT] = "",
        [FORMAT] = "object", [MODALITIES] = "array",
    };
    const struct field *f = &g_fields[i];
    return f->kind == READ ? f->types : types[f->kind];
}
