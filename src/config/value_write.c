/* A typed field as text, for people and for the parser again; copies and comparisons. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "config/value.h"

/* The size of a field in struct valet_config. */
static size_t field_bytes(enum config_type type)
{
    switch (type) {
    case CONFIG_BOOL:
        return sizeof(bool);
    case CONFIG_INT:
    case CONFIG_SECS:
    case CONFIG_WORD:
        return sizeof(int64_t);
    case CONFIG_REAL:
        return sizeof(double);
    case CONFIG_SIZE:
    case CONFIG_MEM:
        return sizeof(uint64_t);
    case CONFIG_TEXT:
        return sizeof(const char *);
    case CONFIG_LIST:
    case CONFIG_HOSTS:
        return sizeof(struct config_list);
    }
    ASSERT(false); /* the table has no other type */
    return 0;
}

static const void *field_of(const struct config_option *o, const struct valet_config *config)
{
    return (const char *)config + o->offset;
}

static const char *text_of(const void *field)
{
    return *(const char *const *)field;
}

static enum base_err copy_list(const struct config_list *from, struct config_list *to,
                               struct arena *arena)
{
    const char **texts = arena_calloc(arena, from->count + 1, sizeof *texts);
    if (!texts)
        return E_NOMEM;
    for (size_t i = 0; i < from->count; i++) {
        texts[i] = arena_strndup(arena, from->items[i], strlen(from->items[i]));
        if (!texts[i])
            return E_NOMEM;
    }
    *to = (struct config_list){ texts, from->count };
    return OK;
}

enum base_err config_value_copy(const struct config_option *o, const struct valet_config *from,
                                struct valet_config *to, struct arena *arena)
{
    const void *src = field_of(o, from);
    void *dst = (char *)to + o->offset;
    if (o->type == CONFIG_LIST || o->type == CONFIG_HOSTS)
        return copy_list(src, dst, arena);
    if (o->type == CONFIG_TEXT && text_of(src)) {
        const char *copy = arena_strndup(arena, text_of(src), strlen(text_of(src)));
        if (!copy)
            return E_NOMEM;
        *(const char **)dst = copy;
        return OK;
    }
    memcpy(dst, src, field_bytes(o->type));
    return OK;
}

static bool lists_equal(const struct config_list *a, const struct config_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    }
    return true;
}

bool config_value_equal(const struct config_option *o, const struct valet_config *a,
                        const struct valet_config *b)
{
    const void *x = field_of(o, a);
    const void *y = field_of(o, b);
    if (o->type == CONFIG_LIST || o->type == CONFIG_HOSTS)
        return lists_equal(x, y);
    if (o->type == CONFIG_TEXT) {
        const char *s = text_of(x);
        const char *t = text_of(y);
        return s && t ? strcmp(s, t) == 0 : s == t;
    }
    return memcmp(x, y, field_bytes(o->type)) == 0;
}

/*
 * The number of a character that must not stand in quotes as it is, else 0: controls, and what
 * YAML 1.1 takes for a line break or refuses to read (sections 4.1, 4.2).
 */
static unsigned control_code(const char *s, int len)
{
    const unsigned char *p = (const unsigned char *)s;
    if (len == 1)
        return p[0] < 0x20 || p[0] == 0x7f ? p[0] : 0;
    if (len == 2)
        return p[0] == 0xc2 && p[1] < 0xa0 ? p[1] : 0;
    if (len == 4)
        return 0;
    unsigned code = (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    bool is_bad = code == 0x2028 || code == 0x2029 || code == 0xfeff || code >= 0xfffe;
    return is_bad ? code : 0;
}

/* One character of a quoted text; `*n` bytes of the input are done. */
static enum base_err write_char(const char *s, size_t left, size_t *n, enum value_style style,
                                struct base_buf *out)
{
    int len = utf8_char_len(s, left);
    *n = len > 0 ? (size_t)len : 1;
    if (len == 0)
        return buf_append_str(out, "?");
    if (*s == '"' || *s == '\\')
        return buf_printf(out, "\\%c", *s);
    if (*s == '$' && style == VALUE_YAML)
        return buf_append_str(out, "$$"); /* a lone dollar may start an interpolation */
    unsigned code = control_code(s, len);
    if (code)
        return buf_printf(out, "\\u%04x", code);
    return buf_append(out, s, (size_t)len);
}

enum base_err config_value_write_quoted(const char *text, enum value_style style,
                                        struct base_buf *out)
{
    size_t left = strlen(text);
    enum base_err rc = buf_append_str(out, "\"");
    while (!rc && left > 0) {
        size_t n;
        rc = write_char(text, left, &n, style, out);
        text += n;
        left -= n;
    }
    return rc ? rc : buf_append_str(out, "\"");
}

static enum base_err write_list(const struct config_list *list, enum value_style style,
                                struct base_buf *out)
{
    enum base_err rc = buf_append_str(out, "[");
    for (size_t i = 0; !rc && i < list->count; i++) {
        if (i > 0)
            rc = buf_append_str(out, ", ");
        if (!rc)
            rc = config_value_write_quoted(list->items[i], style, out);
    }
    return rc ? rc : buf_append_str(out, "]");
}

/* The largest unit that divides it; JSON has plain bytes. */
static enum base_err write_size(uint64_t bytes, enum value_style style, struct base_buf *out)
{
    static const struct {
        const char *unit;
        unsigned shift;
    } units[] = { { "GiB", 30 }, { "MiB", 20 }, { "KiB", 10 } };
    for (size_t i = 0; style == VALUE_YAML && i < sizeof units / sizeof units[0]; i++) {
        uint64_t mask = ((uint64_t)1 << units[i].shift) - 1;
        if (bytes && (bytes & mask) == 0)
            return buf_printf(out, "%" PRIu64 "%s", bytes >> units[i].shift, units[i].unit);
    }
    return buf_printf(out, style == VALUE_YAML ? "%" PRIu64 "B" : "%" PRIu64, bytes);
}

static enum base_err write_secs(int64_t ms, struct base_buf *out)
{
    if (ms % 1000 == 0)
        return buf_printf(out, "%" PRId64, ms / 1000);
    return buf_printf(out, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
}

/* The shorter of two forms if it reads back the same. */
static enum base_err write_real(double x, struct base_buf *out)
{
    char text[40];
    snprintf(text, sizeof text, "%.15g", x);
    if (strtod(text, NULL) != x)
        snprintf(text, sizeof text, "%.17g", x);
    return buf_append_str(out, text);
}

enum base_err config_value_write(const struct config_option *o, const struct valet_config *config,
                                 enum value_style style, struct base_buf *out)
{
    const void *field = field_of(o, config);
    int64_t number;
    switch (o->type) {
    case CONFIG_BOOL:
        return buf_append_str(out, *(const bool *)field ? "true" : "false");
    case CONFIG_INT:
        number = *(const int64_t *)field;
        if (number == CONFIG_UNSET)
            return buf_append_str(out, "null");
        return buf_printf(out, "%" PRId64, number);
    case CONFIG_SECS:
        return write_secs(*(const int64_t *)field, out);
    case CONFIG_REAL:
        return write_real(*(const double *)field, out);
    case CONFIG_MEM:
        if (*(const uint64_t *)field == 0)
            return buf_append_str(out, style == VALUE_JSON ? "\"auto\"" : "auto");
        return write_size(*(const uint64_t *)field, style, out);
    case CONFIG_SIZE:
        return write_size(*(const uint64_t *)field, style, out);
    case CONFIG_TEXT:
        if (!text_of(field))
            return buf_append_str(out, "null");
        return config_value_write_quoted(text_of(field), style, out);
    case CONFIG_WORD:
        return buf_printf(out, style == VALUE_JSON ? "\"%s\"" : "%s",
                          o->words[*(const int64_t *)field]);
    case CONFIG_LIST:
    case CONFIG_HOSTS:
        return write_list(field, style, out);
    }
    ASSERT(false); /* the table has no other type */
    return E_INVALID;
}
