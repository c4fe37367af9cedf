/*
 * Any bytes are either a template that renders to spans, or an error with a message. User text
 * comes out marked as such, limits hold, and nothing stays behind.
 *
 * The input: the template; then, if there is a byte 0xff, which no text has, JSON with further
 * variables behind it. The user's strings are made of characters that only they have: whatever
 * a template does with them, such a character must not come out trusted.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "api/render.h"
#include "base/assert.h"
#include "template/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    SOURCE_BYTES = 8192,
    OUTPUT_BYTES = 1 << 16,
    MEMORY_BYTES = 1 << 20,
    VARIABLE_BYTES = 1 << 24, /* more than any JSON here takes */
    NOW_S = 1721997296
};

/* Ideographs: without case, escaped by no one but repr of other things and \u in ASCII JSON. */
#define MARK "\xe7\x94\xa8" /* U+7528 */

static struct jinja_value text(struct arena *arena, const char *s, enum jinja_origin origin)
{
    struct jinja_value v;
    ASSERT(jinja_string(arena, s, strlen(s), origin, &v) == OK);
    return v;
}

static struct jinja_value message(struct arena *arena, const char *role, const char *content)
{
    struct jinja_value m;
    ASSERT(jinja_map(arena, &m) == OK);
    ASSERT(jinja_map_add_str(arena, m, "role", text(arena, role, JINJA_TRUSTED)) == OK);
    ASSERT(jinja_map_add_str(arena, m, "content", text(arena, content, JINJA_USER)) == OK);
    return m;
}

static struct jinja_value list(struct arena *arena, size_t count, const struct jinja_value *items)
{
    struct jinja_value v;
    ASSERT(jinja_list(arena, &v) == OK);
    for (size_t i = 0; i < count; i++)
        ASSERT(jinja_list_add(arena, v, items[i]) == OK);
    return v;
}

/* A variable, unless the JSON has one of that name. */
static void put(struct arena *arena, struct jinja_value vars, const json_t *json, const char *name,
                struct jinja_value value)
{
    if (!json_object_get(json, name))
        ASSERT(jinja_map_add_str(arena, vars, name, value) == OK);
}

static void put_json(struct arena *arena, struct jinja_value vars, json_t *json)
{
    const char *key;
    json_t *item;
    json_object_foreach(json, key, item)
    {
        struct jinja_value value;
        ASSERT(render_json(item, arena, &value) == OK);
        ASSERT(jinja_map_add(arena, vars, text(arena, key, JINJA_USER), value) == OK);
    }
}

static struct jinja_value variables(struct arena *arena, json_t *json)
{
    struct jinja_value vars;
    struct jinja_value user = message(arena, "user", MARK "," MARK MARK "\n" MARK);
    struct jinja_value tool = message(arena, "tool", "[\"" MARK "\"]");
    const struct jinja_value messages[] = { message(arena, "system", " " MARK " "), user };
    ASSERT(jinja_map_add(arena, tool, text(arena, MARK, JINJA_USER), jinja_float(1.5)) == OK);
    ASSERT(jinja_map(arena, &vars) == OK);
    put(arena, vars, json, "messages", list(arena, 2, messages));
    put(arena, vars, json, "tools", list(arena, 1, &tool));
    put(arena, vars, json, "s", text(arena, MARK " " MARK, JINJA_USER));
    put(arena, vars, json, "d", user);
    put(arena, vars, json, "i", jinja_int(7));
    put(arena, vars, json, "f", jinja_float(-0.5));
    put(arena, vars, json, "none_", jinja_none());
    put(arena, vars, json, "add_generation_prompt", jinja_bool(true));
    put(arena, vars, json, "bos_token", text(arena, "<s>", JINJA_TRUSTED));
    put_json(arena, vars, json);
    return vars;
}

/* The template's own source may hold the character, too: then nothing can be said. */
static bool source_has_mark(const char *source, size_t len)
{
    return memchr(source, '\xe7', len) || memchr(source, '\\', len);
}

static void check_spans(const struct template_span *spans, size_t count, bool look)
{
    size_t total = 0;
    ASSERT(!spans == !count);
    for (size_t i = 0; i < count; i++) {
        ASSERT(spans[i].len > 0);
        ASSERT(i == 0 || spans[i].trusted != spans[i - 1].trusted);
        if (look && spans[i].trusted)
            ASSERT(!memchr(spans[i].data, '\xe7', spans[i].len));
        total += spans[i].len;
    }
    ASSERT(total <= OUTPUT_BYTES);
}

/* Depth and nesting are those of the server. */
static struct jinja_limits limits_make(void)
{
    struct jinja_limits limits;
    jinja_limits_init(&limits);
    limits.source_bytes_max = SOURCE_BYTES;
    limits.node_count_max = 4000;
    limits.step_count_max = 50000;
    limits.range_max = 1000;
    limits.output_bytes_max = OUTPUT_BYTES;
    limits.memory_bytes_max = MEMORY_BYTES;
    return limits;
}

static void render(const jinja_template *t, const struct jinja_limits *limits, json_t *json,
                   bool look)
{
    struct base_err_info info = { .code = OK };
    struct template_span *spans;
    struct arena arena;
    size_t count;
    arena_init(&arena, MEM_TEMPLATE, VARIABLE_BYTES);
    enum base_err rc =
        jinja_render(t, variables(&arena, json), NOW_S, limits, &arena, &spans, &count, &info);
    if (rc)
        ASSERT(!spans && count == 0 && info.code == rc && info.message[0]);
    else
        check_spans(spans, count, look);
    ASSERT(rc != E_NOMEM);
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct jinja_limits limits = limits_make();
    struct base_err_info info = { .code = OK };
    struct api_error error;
    jinja_template *t;
    char *copy = malloc(size ? size : 1); /* exact, so that one byte too far is seen */
    ASSERT(copy);
    memcpy(copy, data, size);
    const char *end = memchr(copy, 0xff, size);
    size_t len = end ? (size_t)(end - copy) : size;
    enum base_err rc = jinja_compile(copy, len, &limits, &t, &info);
    if (rc) {
        ASSERT(!t && info.code == rc && info.message[0] && rc != E_NOMEM);
    } else {
        json_t *json = NULL;
        if (end)
            (void)api_json_parse(end + 1, size - len - 1, &json, &error);
        render(t, &limits, json, !source_has_mark(copy, len));
        json_decref(json);
    }
    jinja_destroy(t);
    free(copy);
    ASSERT(mem_live_blocks() == 0);
    return 0;
}
