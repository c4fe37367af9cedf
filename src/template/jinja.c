/*
 * A template from its text, and its rendering from start to end.
 */
#include <string.h>

#include "base/assert.h"
#include "template/parser.h"
#include "template/run.h"
#include "template/text.h"

void jinja_limits_init(struct jinja_limits *limits)
{
    *limits = (struct jinja_limits){
        .source_bytes_max = 256 << 10,
        .node_count_max = 100000,
        .nesting_max = 100,
        .step_count_max = 5000000,
        .depth_max = 1000,
        .range_max = 100000,
        .output_bytes_max = 32 << 20,
        .memory_bytes_max = 128 << 20,
    };
}

/* ---- Compiling ---- */

/* The source with "\n" for every line end, and without one at its end; then a zero byte. */
static bool copy_source(struct parser *p, const char *source, size_t len)
{
    char *copy = parser_alloc(p, len + 1);
    size_t n = 0;
    if (!copy)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (source[i] == '\r' && i + 1 < len && source[i + 1] == '\n')
            continue;
        copy[n++] = source[i] == '\r' ? '\n' : source[i];
    }
    if (n > 0 && copy[n - 1] == '\n')
        n--;
    copy[n] = '\0';
    p->t->source = copy;
    p->t->source_len = n;
    return true;
}

static bool intern_special(struct parser *p)
{
    return parser_intern(p, "loop", 4, &p->t->loop_id) &&
           parser_intern(p, "caller", 6, &p->t->caller_id) &&
           parser_intern(p, "varargs", 7, &p->t->varargs_id) &&
           parser_intern(p, "kwargs", 6, &p->t->kwargs_id);
}

static bool parse(struct parser *p, const char *source, size_t len)
{
    if (!copy_source(p, source, len) || !intern_special(p))
        return false;
    lexer_init(&p->lexer, p->t->source, p->t->source_len);
    return parser_advance(p) && parse_body(p, NULL, &p->t->body);
}

enum base_err jinja_compile(const char *source, size_t len, const struct jinja_limits *limits,
                            jinja_template **out, struct base_err_info *info)
{
    *out = NULL;
    if (len > limits->source_bytes_max)
        return base_err_set(info, E_TOO_BIG, "the template has %zu bytes, more than %zu", len,
                            limits->source_bytes_max);
    jinja_template *t = mem_calloc(MEM_TEMPLATE, 1, sizeof *t);
    if (!t)
        return base_err_set(info, E_NOMEM, "out of memory");
    t->source = "";
    arena_init(&t->arena, MEM_TEMPLATE, limits->memory_bytes_max);
    struct parser p = { .t = t, .limits = limits, .info = info };
    if (!parse(&p, source, len)) {
        DCHECK(p.rc != OK);
        jinja_destroy(t);
        return p.rc;
    }
    *out = t;
    return OK;
}

void jinja_destroy(jinja_template *t)
{
    if (!t)
        return;
    arena_fini(&t->arena);
    mem_free(t);
}

bool jinja_reads(const jinja_template *t, const char *name)
{
    for (uint32_t id = 0; id < t->name_count; id++) {
        if (t->reads[id] && strcmp(t->names[id], name) == 0)
            return true;
    }
    return false;
}

/* ---- Rendering ---- */

static bool bind_name(struct run *r, struct jinja_value variables, uint32_t id)
{
    const char *name = r->t->names[id];
    struct jinja_string s = { .data = name, .len = strlen(name) };
    struct map_entry *entry;
    if (!value_map_find(r, variables.as.map, value_string(&s), &entry))
        return false;
    const struct jinja_callable *global = global_find(s.data, s.len);
    r->names[id] = value_missing();
    if (entry)
        r->names[id] = entry->value;
    else if (global)
        r->names[id] = (struct jinja_value){ .kind = JINJA_FUNCTION, .as.function = global };
    return true;
}

static bool render(struct run *r, struct jinja_value variables, struct arena *arena,
                   struct template_span **spans, size_t *span_count)
{
    struct sink sink = { 0 };
    r->names = run_alloc(r, r->t->name_count, sizeof *r->names);
    if (!r->names)
        return false;
    for (uint32_t id = 0; id < r->t->name_count; id++) {
        if (!bind_name(r, variables, id))
            return false;
    }
    return exec(r, NULL, r->t->body, &sink) != FLOW_FAILED &&
           sink_spans(r, &sink, arena, spans, span_count);
}

enum base_err jinja_render(const jinja_template *t, struct jinja_value variables, int64_t now_s,
                           const struct jinja_limits *limits, struct arena *arena,
                           struct template_span **spans, size_t *span_count,
                           struct base_err_info *info)
{
    ASSERT(variables.kind == JINJA_MAP);
    *spans = NULL;
    *span_count = 0;
    struct run r = {
        .t = t,
        .limits = limits,
        .info = info,
        .steps_left = limits->step_count_max,
        .now_s = now_s,
    };
    arena_init(&r.arena, MEM_TEMPLATE, limits->memory_bytes_max);
    bool ok = render(&r, variables, arena, spans, span_count);
    DCHECK(ok == (r.rc == OK));
    arena_fini(&r.arena);
    return ok ? OK : r.rc;
}
