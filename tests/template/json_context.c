#include "template/json_context.h"

#include <jansson.h>
#include <string.h>

#include "base/assert.h"

static struct jinja_value convert(struct arena *arena, json_t *j);

static struct jinja_value string(struct arena *arena, const char *s, size_t len,
                                 enum jinja_origin origin)
{
    struct jinja_value v;
    const char *copy = arena_strndup(arena, s, len);
    ASSERT(copy && jinja_string(arena, copy, len, origin, &v) == OK);
    return v;
}

static struct jinja_value convert_list(struct arena *arena, const json_t *j)
{
    struct jinja_value list;
    ASSERT(jinja_list(arena, &list) == OK);
    for (size_t i = 0; i < json_array_size(j); i++) {
        struct jinja_value item = convert(arena, json_array_get(j, i));
        ASSERT(jinja_list_add(arena, list, item) == OK);
    }
    return list;
}

static bool is_token(const char *key)
{
    return strcmp(key, "bos_token") == 0 || strcmp(key, "eos_token") == 0;
}

static struct jinja_value convert_map(struct arena *arena, json_t *j, bool top)
{
    struct jinja_value map;
    const char *key;
    json_t *item;
    ASSERT(jinja_map(arena, &map) == OK);
    json_object_foreach(j, key, item)
    {
        struct jinja_value k = string(arena, key, strlen(key), JINJA_USER);
        struct jinja_value v = convert(arena, item);
        if (top && is_token(key))
            v = string(arena, json_string_value(item), json_string_length(item), JINJA_TRUSTED);
        ASSERT(jinja_map_add(arena, map, k, v) == OK);
    }
    return map;
}

static struct jinja_value convert(struct arena *arena, json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return convert_map(arena, j, false);
    case JSON_ARRAY:
        return convert_list(arena, j);
    case JSON_STRING:
        return string(arena, json_string_value(j), json_string_length(j), JINJA_USER);
    case JSON_INTEGER:
        return jinja_int(json_integer_value(j));
    case JSON_REAL:
        return jinja_float(json_real_value(j));
    case JSON_TRUE:
    case JSON_FALSE:
        return jinja_bool(json_is_true(j));
    case JSON_NULL:
        break;
    }
    return jinja_none();
}

struct jinja_value json_context(struct arena *arena, const char *json)
{
    json_error_t error;
    json_t *j = json_loads(json, JSON_ALLOW_NUL, &error);
    ASSERT(j && json_is_object(j));
    struct jinja_value v = convert_map(arena, j, true);
    json_decref(j);
    return v;
}
