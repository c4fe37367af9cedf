/*
 * What every part of a rendering needs: failures, steps, memory, scopes.
 */
#include "template/run.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "template/text.h"

enum {
    MESSAGE_BYTES = 256,
    CHUNK_BYTES = 4096 /* what an arena may take beyond a request */
};

void template_place(const char *source, size_t len, size_t byte, int *line, int *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < byte && i < len; i += text_char_len(source + i, len - i)) {
        (*column)++;
        if (source[i] == '\n') {
            (*line)++;
            *column = 1;
        }
    }
}

void template_one_line(char *out, size_t out_size, const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        int c = utf8_char_len(text + i, len - i);
        size_t bytes = c > 0 ? (size_t)c : 1;
        if (n + bytes >= out_size)
            break;
        bool shown = c > 1 || (c == 1 && (unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
        if (shown)
            memcpy(out + n, text + i, bytes);
        else
            out[n] = c == 1 ? ' ' : '?';
        n += shown ? bytes : 1;
        i += bytes;
    }
    out[n] = '\0';
}

bool run_fail(struct run *r, enum base_err rc, const char *format, ...)
{
    if (r->rc)
        return false;
    char text[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    char shown[MESSAGE_BYTES];
    template_one_line(shown, sizeof shown, text, len);
    int line;
    int column;
    template_place(r->t->source, r->t->source_len, r->pos, &line, &column);
    r->rc = base_err_set_at(r->info, rc, r->pos, "line %d, column %d: %s", line, column, shown);
    return false;
}

bool run_fail_undefined(struct run *r, struct jinja_value v)
{
    if (v.as.missing_name)
        return run_fail(r, E_INVALID, "'%s' is undefined", v.as.missing_name);
    return run_fail(r, E_INVALID, "an undefined value is used");
}

bool run_fail_memory(struct run *r, size_t bytes)
{
    size_t left = r->arena.bytes_max - r->arena.bytes;
    if (bytes + CHUNK_BYTES > left || bytes > left)
        return run_fail(r, E_TOO_BIG, "rendering takes too much memory");
    return run_fail(r, E_NOMEM, "out of memory");
}

bool run_charge(struct run *r, size_t steps)
{
    if (steps > r->steps_left) {
        r->steps_left = 0;
        return run_fail(r, E_TOO_BIG, "rendering takes too many steps");
    }
    r->steps_left -= steps;
    return true;
}

void *run_alloc(struct run *r, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        run_fail_memory(r, SIZE_MAX / 2);
        return NULL;
    }
    void *p = arena_alloc(&r->arena, bytes > 0 ? bytes : 1);
    if (!p)
        run_fail_memory(r, bytes);
    return p;
}

bool run_enter(struct run *r)
{
    if (r->depth >= r->limits->depth_max)
        return run_fail(r, E_TOO_BIG, "nested too deeply");
    r->depth++;
    return true;
}

/*
 * Scopes. A name means what the innermost scope that has it says. Bodies of loops (one for each
 * round), macros, and captured blocks have a scope of their own; `set` writes to the scope it
 * stands in. A macro sees the scope it was defined in, not the one it is called from.
 */
struct binding *scope_find(struct scope *scope, uint32_t id)
{
    for (struct binding *b = scope->bindings; b; b = b->next) {
        if (b->id == id)
            return b;
    }
    return NULL;
}

bool scope_get(struct run *r, const struct scope *scope, uint32_t id, struct jinja_value *out)
{
    size_t looked_at = 0;
    *out = r->names[id];
    for (; scope; scope = scope->parent) {
        const struct binding *b = scope->bindings;
        for (; b && b->id != id; b = b->next)
            looked_at++;
        if (b) {
            *out = b->value;
            break;
        }
    }
    if (out->kind == JINJA_MISSING)
        *out = value_undefined(r->t->names[id]);
    return run_charge(r, looked_at / 16);
}

bool scope_set(struct run *r, struct scope *scope, uint32_t id, struct jinja_value value)
{
    if (!scope) {
        r->names[id] = value;
        return true;
    }
    struct binding *b = scope_find(scope, id);
    if (b) {
        b->value = value;
        return true;
    }
    b = run_alloc(r, 1, sizeof *b);
    if (!b)
        return false;
    *b = (struct binding){ .next = scope->bindings, .id = id, .value = value };
    scope->bindings = b;
    return true;
}
