#include "api/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum {
    PATH_PARTS_MAX = 8,
    PATH_BYTES_MAX = 160
};

void api_path_print(const struct api_path *path, char *out, size_t size)
{
    const struct api_path *parts[PATH_PARTS_MAX];
    size_t count = 0;
    for (; path && count < PATH_PARTS_MAX; path = path->up)
        parts[count++] = path;
    size_t n = 0;
    out[0] = '\0';
    while (count-- && n < size) {
        const struct api_path *p = parts[count];
        int k = p->key ? snprintf(out + n, size - n, "%s%s", n ? "." : "", p->key)
                       : snprintf(out + n, size - n, "[%zu]", p->index);
        n += (size_t)k;
    }
}

struct value_text {
    char *out;
    size_t len;
    bool cut;
};

static int value_append(const char *s, size_t len, void *arg)
{
    struct value_text *t = arg;
    if (t->cut)
        return -1;
    size_t room = API_VALUE_BYTES_MAX - t->len;
    size_t n = len < room ? len : room;
    memcpy(t->out + t->len, s, n);
    t->len += n;
    t->cut = n < len;
    return t->cut ? -1 : 0;
}

/* Takes a character off the end that was cut in two. */
static size_t whole_len(const char *s, size_t len)
{
    size_t n = 0;
    while (n < len) {
        int k = utf8_char_len(s + n, len - n);
        if (!k)
            break;
        n += (size_t)k;
    }
    return n;
}

void api_value_print(const json_t *value, char out[API_VALUE_TEXT_SIZE])
{
    struct value_text t = { .out = out };
    int rc = json_dump_callback(value, value_append, &t,
                                JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    size_t n = whole_len(out, t.len);
    if (rc || t.cut) {
        memcpy(out + n, "...", 3);
        n += 3;
    }
    out[n] = '\0';
}

/*
 * Bounds what jansson makes of a text, before it does: its parser is recursive, and the smallest
 * value takes a hundred times the bytes it is written in. Line and column are in characters, as
 * jansson counts them.
 */
static enum base_err check_shape(const char *data, size_t len, struct api_error *error)
{
    int depth = 0;
    int value_count = 1;
    bool in_string = false;
    int line = 1;
    int column = 0;
    for (size_t i = 0; i < len; i++) {
        char c = data[i];
        if ((c & 0xc0) != 0x80)
            ++column;
        if (c == '\n') {
            ++line;
            column = 0;
        } else if (in_string) {
            if (c == '\\' && i + 1 < len && data[i + 1] != '\n') {
                i++;
                ++column;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            ++depth;
            ++value_count;
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (c == ',') {
            ++value_count;
        }
        if (depth > API_JSON_DEPTH_MAX)
            return api_error_set(error, API_INVALID_JSON, NULL,
                                 "the body is nested deeper than %d levels: line %d, column %d",
                                 (int)API_JSON_DEPTH_MAX, line, column);
        if (value_count > API_JSON_VALUES_MAX)
            return api_error_set(error, API_INVALID_JSON, NULL,
                                 "the body has more than %d values: line %d, column %d",
                                 (int)API_JSON_VALUES_MAX, line, column);
    }
    return OK;
}

enum base_err api_json_parse(const char *data, size_t len, json_t **out, struct api_error *error)
{
    *out = NULL;
    enum base_err rc = check_shape(data, len, error);
    if (rc)
        return rc;
    json_error_t why;
    json_t *body = json_loadb(data, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (!body && json_error_code(&why) == json_error_out_of_memory)
        return api_error_nomem(error);
    if (!body)
        return api_error_set(error, API_INVALID_JSON, NULL,
                             "the body is not valid JSON: line %d, column %d: %s", why.line,
                             why.column, why.text);
    if (!json_is_object(body)) {
        json_decref(body);
        return api_error_set(error, API_INVALID_JSON, NULL,
                             "the body: expected a JSON object, got an array");
    }
    *out = body;
    return OK;
}

const json_t *api_field(const struct api_object *object, const char *key)
{
    const json_t *value = json_object_get(object->json, key);
    return json_is_null(value) ? NULL : value;
}

enum base_err api_wrong(struct api_error *error, const struct api_path *path, const char *expected,
                        const json_t *got)
{
    char name[PATH_BYTES_MAX];
    char value[API_VALUE_TEXT_SIZE];
    api_path_print(path, name, sizeof name);
    api_value_print(got, value);
    return api_error_set(error, API_INVALID_VALUE, name, "%s: expected %s, got %s", name, expected,
                         value);
}

enum base_err api_field_wrong(const struct api_object *object, const char *key,
                              const char *expected)
{
    struct api_path path = { .up = object->path, .key = key };
    return api_wrong(object->error, &path, expected, json_object_get(object->json, key));
}

enum base_err api_field_missing(const struct api_object *object, const char *key)
{
    struct api_path path = { .up = object->path, .key = key };
    char name[PATH_BYTES_MAX];
    api_path_print(&path, name, sizeof name);
    return api_error_set(object->error, API_MISSING, name, "%s: required, but it is absent or null",
                         name);
}

enum base_err api_field_unsupported(const struct api_object *object, const char *key,
                                    const char *only)
{
    struct api_path path = { .up = object->path, .key = key };
    char name[PATH_BYTES_MAX];
    char value[API_VALUE_TEXT_SIZE];
    api_path_print(&path, name, sizeof name);
    api_value_print(json_object_get(object->json, key), value);
    return api_error_set(object->error, API_UNSUPPORTED, name,
                         "%s: this server does not support it; expected %s, got %s", name, only,
                         value);
}

enum base_err api_field_bool(const struct api_object *object, const char *key, bool *out)
{
    const json_t *value = api_field(object, key);
    if (!value)
        return OK;
    if (!json_is_boolean(value))
        return api_field_wrong(object, key, "true or false");
    *out = json_is_true(value);
    return OK;
}

bool api_whole_number(const json_t *value, int64_t *out)
{
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    if (!json_is_real(value))
        return false;
    double d = json_real_value(value);
    if (!(d >= -0x1p63 && d < 0x1p63) || (double)(int64_t)d != d)
        return false;
    *out = (int64_t)d;
    return true;
}

enum base_err api_field_i64(const struct api_object *object, const char *key, int64_t min,
                            int64_t max, int64_t *out)
{
    const json_t *value = api_field(object, key);
    int64_t n;
    if (!value)
        return OK;
    if (!api_whole_number(value, &n) || n < min || n > max) {
        char expected[80];
        snprintf(expected, sizeof expected, "a whole number from %" PRId64 " to %" PRId64, min,
                 max);
        return api_field_wrong(object, key, expected);
    }
    *out = n;
    return OK;
}

enum base_err api_array_ids(const json_t *array, const struct api_path *path, int32_t token_count,
                            int32_t *out, struct api_error *error)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        int64_t id;
        if (!api_whole_number(item, &id) || id < 0 || id >= token_count) {
            struct api_path at = { .up = path, .index = i };
            char expected[64];
            snprintf(expected, sizeof expected, "a token id from 0 to %" PRId32, token_count - 1);
            return api_wrong(error, &at, expected, item);
        }
        out[i] = (int32_t)id;
    }
    return OK;
}

enum base_err api_field_f64(const struct api_object *object, const char *key,
                            const struct api_range *range, double *out)
{
    const json_t *value = api_field(object, key);
    if (!value)
        return OK;
    double d = json_number_value(value);
    bool inside = range->above_min ? d > range->min : d >= range->min;
    if (!json_is_number(value) || !inside || d > range->max)
        return api_field_wrong(object, key, range->expected);
    *out = d;
    return OK;
}

enum base_err api_field_string(const struct api_object *object, const char *key, const char **text,
                               size_t *len)
{
    const json_t *value = api_field(object, key);
    if (!value)
        return OK;
    if (!json_is_string(value))
        return api_field_wrong(object, key, "a string");
    *text = json_string_value(value);
    *len = json_string_length(value);
    return OK;
}

bool api_string_is(const json_t *value, const char *text)
{
    size_t len = strlen(text);
    return json_is_string(value) && json_string_length(value) == len &&
           memcmp(json_string_value(value), text, len) == 0;
}

struct buf_writer {
    struct base_buf *buf;
    enum base_err rc; /* the first error: jansson goes on after one inside a key */
};

static int buf_write(const char *s, size_t len, void *arg)
{
    struct buf_writer *w = arg;
    if (!w->rc)
        w->rc = buf_append(w->buf, s, len);
    return w->rc ? -1 : 0;
}

enum base_err api_json_write(const json_t *value, struct base_buf *out)
{
    struct buf_writer w = { .buf = out };
    size_t len = out->len;
    if (value && json_dump_callback(value, buf_write, &w, JSON_COMPACT) == 0 && !w.rc)
        return OK;
    out->len = len;
    if (out->data)
        out->data[len] = '\0';
    return w.rc ? w.rc : E_NOMEM;
}
