/*
 * Fields of a chat body that are known but change nothing here. Each has a type, a range
 * and the values that ask for nothing. A value of the wrong type or range is invalid; one
 * that asks for something is unsupported: it is never ignored in silence.
 */
#include <float.h>
#include <string.h>

#include "api/chat_parse.h"

enum field_kind {
    READ,        /* read by chat_parse */
    IGNORED,     /* about the caller, not about the answer */
    NUMBER,      /* only `neutral` */
    NUMBER_IDLE, /* any in the range: without effect while its partner is neutral */
    BOOL,        /* only false */
    BOOL_IDLE,   /* both */
    ARRAY,       /* only [] */
    ARRAY_IDLE,  /* any */
    OBJECT,      /* only {} */
    OBJECT_IDLE, /* any */
    WORD,        /* only one of `words`; those in `others` are known */
    CALL,        /* the same; an object is known too */
    PRIORITY,    /* the same; 0 is the neutral word */
    PRESENT,     /* only null */
    FORMAT,      /* response_format */
    MODALITIES   /* modalities */
};

struct field {
    const char *name;
    enum field_kind kind;
    struct api_range range;
    double neutral;
    const char *words;  /* each followed by a blank */
    const char *others;
    const char *only;   /* what is taken, for the message */
};

#define RANGE(lo, hi, text) { .min = (lo), .max = (hi), .expected = (text) }
#define ABOVE(lo, hi, text) { .min = (lo), .max = (hi), .above_min = true, .expected = (text) }
#define UNIT RANGE(0, 1, "a number from 0 to 1")

static const struct field g_fields[] = {
    { "model", READ, .only = "" },
    { "messages", READ, .only = "" },
    { "max_completion_tokens", READ, .only = "" },
    { "max_tokens", READ, .only = "" },
    { "temperature", READ, .only = "" },
    { "top_p", READ, .only = "" },
    { "top_k", READ, .only = "" },
    { "seed", READ, .only = "" },
    { "stop", READ, .only = "" },
    { "stream", READ, .only = "" },
    { "stream_options", READ, .only = "" },
    { "n", READ, .only = "" },

    { "user", IGNORED, .only = "" },
    { "safety_identifier", IGNORED, .only = "" },
    { "metadata", IGNORED, .only = "" },
    { "store", IGNORED, .only = "" },
    { "prompt_cache_key", IGNORED, .only = "" },
    { "cache_salt", IGNORED, .only = "" },

    { "tools", ARRAY, .only = "[]" },
    { "functions", ARRAY, .only = "[]" },
    { "tool_choice", CALL, .words = "none auto ", .others = "required ",
      .only = "\"none\" or \"auto\"" },
    { "function_call", CALL, .words = "none auto ", .others = "", .only = "\"none\" or \"auto\"" },
    { "parallel_tool_calls", BOOL_IDLE, .only = "" },

    { "response_format", FORMAT, .only = "{\"type\":\"text\"}" },
    { "grammar", PRESENT, .only = "null" },
    { "json_schema", PRESENT, .only = "null" },
    { "guided_json", PRESENT, .only = "null" },
    { "guided_regex", PRESENT, .only = "null" },
    { "guided_choice", PRESENT, .only = "null" },
    { "guided_grammar", PRESENT, .only = "null" },

    { "logprobs", BOOL, .only = "false" },
    { "top_logprobs", NUMBER, RANGE(0, 20, "a number from 0 to 20"), 0, .only = "0" },
    { "logit_bias", OBJECT, .only = "{}" },
    { "presence_penalty", NUMBER, RANGE(-2, 2, "a number from -2 to 2"), 0, .only = "0" },
    { "frequency_penalty", NUMBER, RANGE(-2, 2, "a number from -2 to 2"), 0, .only = "0" },
    { "repetition_penalty", NUMBER, ABOVE(0, 10, "a number above 0 and up to 10"), 1,
      .only = "1" },
    { "repeat_penalty", NUMBER, ABOVE(0, 10, "a number above 0 and up to 10"), 1, .only = "1" },
    { "repeat_last_n", NUMBER_IDLE, RANGE(-1, DBL_MAX, "a number of tokens, or -1"), .only = "" },
    { "min_p", NUMBER, UNIT, 0, .only = "0" },
    { "typical_p", NUMBER, UNIT, 1, .only = "1" },
    { "top_n_sigma", NUMBER, RANGE(-1, DBL_MAX, "a number from -1 up"), -1, .only = "-1" },
    { "xtc_probability", NUMBER, UNIT, 0, .only = "0" },
    { "xtc_threshold", NUMBER_IDLE, UNIT, .only = "" },
    { "dry_multiplier", NUMBER, RANGE(0, DBL_MAX, "a number from 0 up"), 0, .only = "0" },
    { "dry_base", NUMBER_IDLE, RANGE(1, DBL_MAX, "a number from 1 up"), .only = "" },
    { "dry_allowed_length", NUMBER_IDLE, RANGE(1, DBL_MAX, "a number from 1 up"), .only = "" },
    { "dry_penalty_last_n", NUMBER_IDLE, RANGE(-1, DBL_MAX, "a number from -1 up"), .only = "" },
    { "dry_sequence_breakers", ARRAY_IDLE, .only = "" },
    { "mirostat", NUMBER, RANGE(0, 2, "0, 1 or 2"), 0, .only = "0" },
    { "mirostat_tau", NUMBER_IDLE, ABOVE(0, DBL_MAX, "a number above 0"), .only = "" },
    { "mirostat_eta", NUMBER_IDLE, ABOVE(0, DBL_MAX, "a number above 0"), .only = "" },

    { "stop_token_ids", ARRAY, .only = "[]" },
    { "min_tokens", NUMBER, RANGE(0, DBL_MAX, "a number of tokens"), 0, .only = "0" },
    { "ignore_eos", BOOL, .only = "false" },
    { "include_stop_str_in_output", BOOL, .only = "false" },
    { "return_token_ids", BOOL, .only = "false" },
    { "timings_per_token", BOOL, .only = "false" },
    { "return_progress", BOOL, .only = "false" },

    { "reasoning_effort", WORD, .words = "none minimal low medium high ", .others = "",
      .only = "none, minimal, low, medium or high" },
    { "chat_template_kwargs", OBJECT_IDLE, .only = "" },
    { "enable_thinking", BOOL_IDLE, .only = "" },
    { "thinking", BOOL_IDLE, .only = "" },
    { "priority", PRIORITY, .words = "normal ", .others = "critical high low ",
      .only = "\"normal\"" },
    { "service_tier", WORD, .words = "auto default ", .others = "priority flex ",
      .only = "\"auto\" or \"default\"" },

    { "audio", PRESENT, .only = "null" },
    { "modalities", MODALITIES, .only = "[\"text\"]" },
    { "prediction", PRESENT, .only = "null" },
    { "web_search_options", PRESENT, .only = "null" },
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

static enum base_err check_number(const struct api_object *body, const struct field *f)
{
    double d = 0;
    enum base_err rc = api_field_f64(body, f->name, &f->range, &d);
    if (!rc && f->kind == NUMBER && (d < f->neutral || d > f->neutral))
        rc = api_field_unsupported(body, f->name, f->only);
    return rc;
}

static enum base_err check_bool(const struct api_object *body, const struct field *f)
{
    bool on = false;
    enum base_err rc = api_field_bool(body, f->name, &on);
    if (!rc && on && f->kind == BOOL)
        rc = api_field_unsupported(body, f->name, f->only);
    return rc;
}

static enum base_err check_container(const struct api_object *body, const struct field *f,
                                     const json_t *value)
{
    bool array = f->kind == ARRAY || f->kind == ARRAY_IDLE;
    bool idle = f->kind == ARRAY_IDLE || f->kind == OBJECT_IDLE;
    if (array ? !json_is_array(value) : !json_is_object(value))
        return api_field_wrong(body, f->name, array ? "an array" : "an object");
    if (!idle && (json_array_size(value) || json_object_size(value)))
        return api_field_unsupported(body, f->name, f->only);
    return OK;
}

static enum base_err check_word(const struct api_object *body, const struct field *f,
                                const json_t *value)
{
    if (json_is_object(value) && f->kind == CALL)
        return api_field_unsupported(body, f->name, f->only);
    if (json_is_integer(value) && !json_integer_value(value) && f->kind == PRIORITY)
        return OK;
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
    case IGNORED:
        return OK;
    case NUMBER:
    case NUMBER_IDLE:
        return check_number(body, f);
    case BOOL:
    case BOOL_IDLE:
        return check_bool(body, f);
    case ARRAY:
    case ARRAY_IDLE:
    case OBJECT:
    case OBJECT_IDLE:
        return check_container(body, f, value);
    case WORD:
    case CALL:
    case PRIORITY:
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

enum base_err chat_parse_fields(const struct api_object *body, size_t *unknown_count)
{
    size_t known = 0;
    for (size_t i = 0; i < sizeof g_fields / sizeof g_fields[0]; i++) {
        const struct field *f = &g_fields[i];
        known += json_object_get(body->json, f->name) != NULL;
        const json_t *value = api_field(body, f->name);
        enum base_err rc = value ? check(body, f, value) : OK;
        if (rc)
            return rc;
    }
    *unknown_count = json_object_size(body->json) - known;
    return OK;
}
