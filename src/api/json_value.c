/* Values of a body as values of a template. */
#include <string.h>

#include "api/render.h"
#include "base/assert.h"

enum {
    DEPTH_MAX = API_JSON_DEPTH_MAX + 1
};

/* A list or map that is being filled. */
struct level {
    json_t *json;
    void *at;     /* of an object */
    size_t index; /* of an array */
    struct jinja_value value;
};

/* A value; of a list or map only the empty one. */
static enum base_err value_make(const json_t *json, struct arena *arena, struct jinja_value *out)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return jinja_map(arena, out);
    case JSON_ARRAY:
        return jinja_list(arena, out);
    case JSON_STRING:
        return jinja_string(arena, json_string_value(json), json_string_length(json), JINJA_USER,
                            out);
    case JSON_INTEGER:
        *out = jinja_int(json_integer_value(json));
        return OK;
    case JSON_REAL:
        *out = jinja_float(json_real_value(json));
        return OK;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = jinja_bool(json_is_true(json));
        return OK;
    case JSON_NULL:
        break;
    }
    *out = jinja_none();
    return OK;
}

/* The next item of a level and its key; NULL: no more. */
static json_t *level_next(struct level *l, const char **key)
{
    *key = NULL;
    if (json_is_array(l->json))
        return json_array_get(l->json, l->index++);
    if (!l->at)
        return NULL;
    json_t *item = json_object_iter_value(l->at);
    *key = json_object_iter_key(l->at);
    l->at = json_object_iter_next(l->json, l->at);
    return item;
}

static enum base_err level_add(struct level *l, const char *key, struct jinja_value value,
                               struct arena *arena)
{
    struct jinja_value name;
    if (!key)
        return jinja_list_add(arena, l->value, value);
    enum base_err rc = jinja_string(arena, key, strlen(key), JINJA_USER, &name);
    return rc ? rc : jinja_map_add(arena, l->value, name, value);
}

static void level_open(struct level *l, json_t *json, struct jinja_value value)
{
    *l = (struct level){ .json = json, .at = json_object_iter(json), .value = value };
}

enum base_err render_json(json_t *json, struct arena *arena, struct jinja_value *out)
{
    struct level levels[DEPTH_MAX];
    size_t depth = 0;
    enum base_err rc = value_make(json, arena, out);
    if (!rc && (json_is_object(json) || json_is_array(json)))
        level_open(&levels[depth++], json, *out);
    while (!rc && depth > 0) {
        struct level *l = &levels[depth - 1];
        struct jinja_value value;
        const char *key;
        json_t *item = level_next(l, &key);
        if (!item) {
            depth--;
            continue;
        }
        rc = value_make(item, arena, &value);
        if (!rc)
            rc = level_add(l, key, value, arena);
        if (!rc && (json_is_object(item) || json_is_array(item))) {
            ASSERT(depth < DEPTH_MAX); /* bounded where the body was read */
            level_open(&levels[depth++], item, value);
        }
    }
    return rc;
}
