#include "event.h"

#include <jansson.h>
#include <stdio.h>

static bool is_text(const json_t *object, const char *name)
{
    return json_string_length(json_object_get(object, name)) > 0;
}

static bool choice_has_text(const json_t *choice)
{
    const json_t *message = json_object_get(choice, "delta");
    if (!message)
        message = json_object_get(choice, "message");
    return is_text(choice, "text") || is_text(message, "content") ||
           is_text(message, "reasoning_content");
}

static int64_t count(const json_t *usage, const char *name)
{
    const json_t *value = json_object_get(usage, name);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : -1;
}

/* Letters of a name in snake case; anything else would spoil the output. */
static void copy_code(char *out, size_t size, const char *code)
{
    size_t n = 0;
    for (; code && code[n] && n + 1 < size; n++) {
        bool is_plain = (code[n] >= 'a' && code[n] <= 'z') || (code[n] >= '0' && code[n] <= '9');
        out[n] = is_plain ? code[n] : '_';
    }
    out[n] = '\0';
}

static void read_error(struct event *e, const json_t *error)
{
    const char *code = json_string_value(json_object_get(error, "code"));
    if (!code)
        code = json_string_value(json_object_get(error, "type"));
    e->is_error = true;
    copy_code(e->code, sizeof e->code, code);
}

void event_parse(struct event *e, const char *json, size_t len)
{
    *e = (struct event){ .prompt_tokens = -1, .completion_tokens = -1 };
    json_t *root = json_loadb(json, len, 0, NULL);
    e->is_json = json_is_object(root);
    if (e->is_json) {
        const json_t *error = json_object_get(root, "error");
        const json_t *usage = json_object_get(root, "usage");
        e->has_text = choice_has_text(json_array_get(json_object_get(root, "choices"), 0));
        e->prompt_tokens = count(usage, "prompt_tokens");
        e->completion_tokens = count(usage, "completion_tokens");
        if (error && !json_is_null(error))
            read_error(e, error);
    }
    json_decref(root);
}
