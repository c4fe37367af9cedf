#include "answers.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

json_t *answer_json(const struct answer *a)
{
    json_error_t why;
    json_t *json = json_loadb(a->body.data, a->body.len, JSON_REJECT_DUPLICATES, &why);
    ck_assert_msg(json != NULL, "%s in %s", why.text, a->body.data);
    return json;
}

const char *json_string_at(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

/* The answer is an error with this status and code. Frees it. */
void answer_error(struct answer *a, int status, const char *code)
{
    ck_assert_msg(a->status == status, "%d: %s", a->status, a->body.data);
    json_t *json = answer_json(a);
    ck_assert_str_eq(json_string_at(json_object_get(json, "error"), "code"), code);
    char value[64];
    bool comes_back = status == 429 || status == 503;
    ck_assert_int_eq(answer_field(a, "Retry-After", value, sizeof value), comes_back);
    if (comes_back) {
        uint64_t s = strtoul(value, NULL, 10);
        ck_assert(answer_field(a, "retry-after-ms", value, sizeof value));
        uint64_t ms = strtoul(value, NULL, 10);
        ck_assert_uint_ge(s, 1);
        ck_assert_uint_eq(s, ms <= 1000 ? 1 : (ms + 999) / 1000);
    }
    json_decref(json);
    answer_fini(a);
}

/* The next event of a stream: the text between "data: " and the blank line. */
const char *stream_data(char **at)
{
    char *start = *at;
    ck_assert_msg(strncmp(start, "data: ", 6) == 0, "no event: %s", start);
    char *end = strstr(start, "\n\n");
    ck_assert_ptr_nonnull(end);
    *end = '\0';
    *at = end + 2;
    return start + 6;
}

json_t *stream_chunk(char **at)
{
    const char *data = stream_data(at);
    json_t *json = json_loads(data, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(json != NULL, "%s", data);
    return json;
}

const json_t *json_choice(const json_t *chunk)
{
    const json_t *choices = json_object_get(chunk, "choices");
    ck_assert_uint_eq(json_array_size(choices), 1);
    return json_array_get(choices, 0);
}

/* Takes a content chunk with this text. */
void stream_content(char **at, const char *text)
{
    json_t *chunk = stream_chunk(at);
    const json_t *delta = json_object_get(json_choice(chunk), "delta");
    ck_assert_uint_eq(json_object_size(delta), 1);
    ck_assert_str_eq(json_string_at(delta, "content"), text);
    json_decref(chunk);
}

void stream_role(char **at)
{
    json_t *chunk = stream_chunk(at);
    const json_t *delta = json_object_get(json_choice(chunk), "delta");
    ck_assert_str_eq(json_string_at(delta, "role"), "assistant");
    ck_assert(json_is_null(json_object_get(delta, "content")));
    json_decref(chunk);
}

/* An error event and [DONE], then nothing. */
void stream_error(char **at, const char *code)
{
    json_t *chunk = stream_chunk(at);
    ck_assert_uint_eq(json_object_size(chunk), 1);
    ck_assert_str_eq(json_string_at(json_object_get(chunk, "error"), "code"), code);
    json_decref(chunk);
    ck_assert_str_eq(stream_data(at), "[DONE]");
    ck_assert_str_eq(*at, "");
}
