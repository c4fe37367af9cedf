/* Changes bodies so that most stay JSON: one value in place of another, a field more or less. */
#include <string.h>

#include <jansson.h>

#include "base/random.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);

enum {
    HEAD_BYTES = 2, /* route and model */
    TEXT_BYTES_MAX = 64,
    DEPTH_MAX = 16
};

static uint64_t g_state;

static uint64_t below(uint64_t n)
{
    g_state += 0x9e3779b97f4a7c15u;
    return random_mix(g_state) % n;
}

static const char *const g_fields[] = {
    "messages",
    "prompt",
    "content",
    "role",
    "name",
    "tool_call_id",
    "reasoning_content",
    "type",
    "text",
    "tokens",
    "model",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "typical_p",
    "top_n_sigma",
    "xtc_probability",
    "xtc_threshold",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "repeat_penalty",
    "repeat_last_n",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "dry_penalty_last_n",
    "dry_sequence_breakers",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
    "logit_bias",
    "stop",
    "stop_token_ids",
    "min_tokens",
    "ignore_eos",
    "include_stop_str_in_output",
    "n",
    "best_of",
    "stream",
    "stream_options",
    "include_usage",
    "continuous_usage_stats",
    "cache_salt",
    "return_token_ids",
    "logprobs",
    "top_logprobs",
    "echo",
    "suffix",
    "parse_special",
    "add_special",
    "add_special_tokens",
    "with_pieces",
    "add_generation_prompt",
    "tools",
    "tool_choice",
    "tool_calls",
    "response_format",
    "chat_template_kwargs",
    "enable_thinking",
    "thinking",
    "reasoning_effort",
    "modalities",
    "x",
    "y",
    "5",
    "258",
};

static const char *const g_texts[] = { "",           "a",    "\n",           "user", "assistant",
                                       "system",     "tool", "text",         "m",    "<s>",
                                       "none",       "auto", "<|im_start|>", "low",  "\xc3\xa9",
                                       "json_object" };

static const json_int_t g_wholes[] = { 0,         1,         2,         -1,       3,    20,
                                       21,        64,        100,       128,      129,  256,
                                       257,       258,       259,       2047,     2048, 65536,
                                       INT32_MAX, 1ll << 31, INT64_MAX, INT64_MIN };

static const double g_reals[] = { 0,     0.5,  1,    -1,    2,      2.5,    -2,   1e-3,
                                  1e-46, 1e30, 1e39, 1e300, 1e-320, 0.9999, -0.0, 10.5 };

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static json_t *text_make(const json_t *old)
{
    char text[TEXT_BYTES_MAX];
    size_t len = json_string_length(old);
    if (!len || len > sizeof text || below(2))
        return json_string(g_texts[below(COUNT(g_texts))]);
    memcpy(text, json_string_value(old), len);
    len = LLVMFuzzerMutate((uint8_t *)text, len, sizeof text);
    json_t *made = json_stringn(text, len);
    return made ? made : json_string("\xf0\x9f\x98\x80"); /* it was no UTF-8 */
}

static json_t *value_make(const json_t *old)
{
    switch (below(10)) {
    case 0:
        return json_null();
    case 1:
        return json_boolean(below(2));
    case 2:
    case 3:
        return json_integer(g_wholes[below(COUNT(g_wholes))]);
    case 4:
    case 5:
        return json_real(g_reals[below(COUNT(g_reals))]);
    case 6:
        return json_array();
    case 7:
        return json_object();
    default:
        return text_make(old);
    }
}

static void change_object(json_t *object)
{
    void *at = json_object_iter(object);
    for (uint64_t i = json_object_size(object) ? below(json_object_size(object)) : 0; i > 0; i--)
        at = json_object_iter_next(object, at);
    const char *field = g_fields[below(COUNT(g_fields))];
    switch (below(4)) {
    case 0:
        if (at)
            json_object_del(object, json_object_iter_key(at));
        break;
    case 1:
        if (at)
            json_object_iter_set_new(object, at, value_make(json_object_iter_value(at)));
        break;
    case 2:
        if (at)
            json_object_set_new(object, field, json_deep_copy(json_object_iter_value(at)));
        break;
    default:
        json_object_set_new(object, field, value_make(NULL));
    }
}

static void change_array(json_t *array)
{
    size_t size = json_array_size(array);
    size_t index = size ? below(size) : 0;
    uint64_t what = below(4);
    if (what == 0 && size)
        json_array_remove(array, index);
    else if (what == 1 && size)
        json_array_set_new(array, index, value_make(json_array_get(array, index)));
    else if (what == 2 && size)
        json_array_insert_new(array, index, json_deep_copy(json_array_get(array, index)));
    else
        json_array_append_new(array, value_make(NULL));
}

/* A list or an object within `json`, or itself. */
static json_t *choose(json_t *json)
{
    for (int depth = 0; depth < DEPTH_MAX && below(3); depth++) {
        json_t *inner = NULL;
        if (json_is_array(json) && json_array_size(json)) {
            inner = json_array_get(json, below(json_array_size(json)));
        } else if (json_object_size(json)) {
            void *at = json_object_iter(json);
            for (uint64_t i = below(json_object_size(json)); i > 0; i--)
                at = json_object_iter_next(json, at);
            inner = json_object_iter_value(at);
        }
        if (!json_is_array(inner) && !json_is_object(inner))
            break;
        json = inner;
    }
    return json;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    g_state = seed;
    if (size <= HEAD_BYTES || below(4) == 0)
        return LLVMFuzzerMutate(data, size, size_max);
    json_t *body = json_loadb((char *)data + HEAD_BYTES, size - HEAD_BYTES, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(body)) {
        json_decref(body);
        return LLVMFuzzerMutate(data, size, size_max);
    }
    for (uint64_t i = 1 + below(3); i > 0; i--) {
        json_t *at = choose(body);
        if (json_is_object(at))
            change_object(at);
        else
            change_array(at);
    }
    size_t len = json_dumpb(body, (char *)data + HEAD_BYTES, size_max - HEAD_BYTES, JSON_COMPACT);
    json_decref(body);
    if (len == 0 || len > size_max - HEAD_BYTES)
        return size; /* too long: a part of it was written */
    data[0] = below(8) ? data[0] : (uint8_t)below(256);
    return HEAD_BYTES + len;
}
