/*
 * Any bytes are either a template that renders to spans, or an error with a message; user text
 * comes out marked as such, and nothing stays behind.
 *
 * The user's strings are made of characters that only they have: whatever a template does with
 * them, such a character must not come out trusted.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -DVALET_CHECKS=1 -Isrc \
 *       fuzz/template_fuzz.c src/template/[a-z]*.c src/base/[a-z]*.c -lm -pthread
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "template/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    ARENA_BYTES = 1 << 20,
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

static void put(struct arena *arena, struct jinja_value map, const char *key, struct jinja_value v)
{
    ASSERT(jinja_map_add_str(arena, map, key, v) == OK);
}

static struct jinja_value message(struct arena *arena, const char *role, const char *content)
{
    struct jinja_value m;
    ASSERT(jinja_map(arena, &m) == OK);
    put(arena, m, "role", text(arena, role, JINJA_TRUSTED));
    put(arena, m, "content", text(arena, content, JINJA_USER));
    return m;
}

static struct jinja_value context(struct arena *arena)
{
    struct jinja_value vars;
    struct jinja_value messages;
    struct jinja_value tools;
    ASSERT(jinja_map(arena, &vars) == OK && jinja_list(arena, &messages) == OK &&
           jinja_list(arena, &tools) == OK);
    struct jinja_value system = message(arena, "system", " " MARK " ");
    struct jinja_value user = message(arena, "user", MARK "," MARK MARK "\n" MARK);
    struct jinja_value tool = message(arena, "tool", "[\"" MARK "\"]");
    ASSERT(jinja_map_add(arena, tool, text(arena, MARK, JINJA_USER), jinja_float(1.5)) == OK);
    ASSERT(jinja_list_add(arena, messages, system) == OK);
    ASSERT(jinja_list_add(arena, messages, user) == OK);
    ASSERT(jinja_list_add(arena, tools, tool) == OK);
    put(arena, vars, "messages", messages);
    put(arena, vars, "tools", tools);
    put(arena, vars, "s", text(arena, MARK " " MARK, JINJA_USER));
    put(arena, vars, "d", user);
    put(arena, vars, "i", jinja_int(7));
    put(arena, vars, "f", jinja_float(-0.5));
    put(arena, vars, "none_", jinja_none());
    put(arena, vars, "add_generation_prompt", jinja_bool(true));
    put(arena, vars, "bos_token", text(arena, "<s>", JINJA_TRUSTED));
    return vars;
}

/* The template's own source may hold the character, too: then nothing can be said. */
static bool source_has_mark(const uint8_t *data, size_t size)
{
    return memmem(data, size, "\xe7", 1) || memmem(data, size, "\\", 1);
}

static void check_spans(const struct template_span *spans, size_t count, bool look)
{
    for (size_t i = 0; i < count; i++) {
        ASSERT(spans[i].len > 0);
        ASSERT(i == 0 || spans[i].trusted != spans[i - 1].trusted);
        if (look && spans[i].trusted)
            ASSERT(!memmem(spans[i].data, spans[i].len, "\xe7\x94", 2));
    }
}

static void limit(struct jinja_limits *limits)
{
    jinja_limits_init(limits);
    limits->source_bytes_max = 4096;
    limits->node_count_max = 2000;
    limits->step_count_max = 50000;
    limits->depth_max = 200;
    limits->range_max = 1000;
    limits->output_bytes_max = 1 << 16;
    limits->memory_bytes_max = 1 << 20;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jinja_limits limits;
    struct base_err_info info = { .code = OK };
    jinja_template *t;
    limit(&limits);
    char *copy = malloc(size ? size : 1); /* exact, so that one byte too far is seen */
    ASSERT(copy);
    memcpy(copy, data, size);
    enum base_err rc = jinja_compile(copy, size, &limits, &t, &info);
    free(copy);
    if (rc) {
        ASSERT(!t && info.code == rc && info.message[0]);
        ASSERT(mem_live_blocks() == 0);
        return 0;
    }
    struct arena arena;
    struct template_span *spans;
    size_t count;
    arena_init(&arena, MEM_TEMPLATE, ARENA_BYTES);
    struct jinja_value vars = context(&arena);
    rc = jinja_render(t, vars, NOW_S, &limits, &arena, &spans, &count, &info);
    if (rc)
        ASSERT(!spans && count == 0 && info.code == rc && info.message[0]);
    else
        check_spans(spans, count, !source_has_mark(data, size));
    jinja_destroy(t);
    arena_fini(&arena);
    ASSERT(mem_live_blocks() == 0);
    return 0;
}
