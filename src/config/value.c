/* From what was written to a typed field. Writing it out again is config_value_write.c. */
#include "config/value.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"

enum {
    SHOWN_BYTES = 60 /* of a wrong value in a message */
};

bool config_value_is_null(const struct value *v)
{
    if (v->kind == VALUE_PLAIN && v->text[0] == '\0')
        return true; /* "key:" */
    return (v->kind == VALUE_PLAIN || v->kind == VALUE_FREE) &&
           (strcmp(v->text, "null") == 0 || strcmp(v->text, "~") == 0);
}

/* -?(0|[1-9][0-9]*)(.[0-9]+)?(e[+-]?[0-9]+)?: so that 010 and 1:30 are no numbers. */
static bool is_number(const char *s)
{
    s += *s == '-';
    if (*s == '0')
        s++;
    else if (*s >= '1' && *s <= '9')
        s += strspn(s, "0123456789");
    else
        return false;
    if (*s == '.') {
        size_t n = strspn(s + 1, "0123456789");
        if (n == 0)
            return false;
        s += 1 + n;
    }
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '+' || *s == '-';
        size_t n = strspn(s, "0123456789");
        if (n == 0)
            return false;
        s += n;
    }
    return *s == '\0';
}

static bool is_bool(const char *s)
{
    return strcmp(s, "true") == 0 || strcmp(s, "false") == 0;
}

/* What a wrong value is called in a message. */
static const char *name_of(const struct config_option *o, const struct value *v,
                           char out[SHOWN_BYTES + 40])
{
    if (v->kind == VALUE_LIST)
        return "a list";
    if (config_value_is_null(v))
        return "null";
    bool is_secret = o->traits & CONFIG_SECRET;
    const char *shown = is_secret ? "***" : v->text;
    bool cut = strlen(shown) > SHOWN_BYTES;
    const char *what = v->kind == VALUE_QUOTED ? "the text in quotes " : "";
    snprintf(out, SHOWN_BYTES + 40, "%s'%.*s%s'", what, SHOWN_BYTES, shown, cut ? "…" : "");
    return out;
}

static enum base_err expected(const struct config_option *o, const struct value *v,
                              const char *what, char why[VALUE_WHY_BYTES])
{
    char name[SHOWN_BYTES + 40];
    snprintf(why, VALUE_WHY_BYTES, "expected %s, got %s", what, name_of(o, v, name));
    return E_INVALID;
}

static enum base_err out_of_range(const struct config_option *o, const struct value *v,
                                  char why[VALUE_WHY_BYTES])
{
    char range[96];
    config_option_describe(o, range, sizeof range);
    const char *bounds = strrchr(range, ' ');
    ASSERT(bounds);
    snprintf(why, VALUE_WHY_BYTES, "%.*s is not in %s", SHOWN_BYTES, v->text, bounds + 1);
    return E_INVALID;
}

static bool is_scalar_without_quotes(const struct value *v)
{
    return v->kind == VALUE_PLAIN || v->kind == VALUE_FREE;
}

static enum base_err store_bool(const struct config_option *o, const struct value *v, void *field,
                                char why[VALUE_WHY_BYTES])
{
    if (!is_scalar_without_quotes(v) || !is_bool(v->text))
        return expected(o, v, "true or false", why);
    *(bool *)field = v->text[0] == 't';
    return OK;
}

/* *out within the option's range. */
static enum base_err read_number(const struct config_option *o, const struct value *v, double *out,
                                 char why[VALUE_WHY_BYTES])
{
    if (!is_scalar_without_quotes(v) || !is_number(v->text))
        return expected(o, v, "a number", why);
    double x = strtod(v->text, NULL);
    if (!(x >= o->min && x <= o->max)) /* an overflow is infinite */
        return out_of_range(o, v, why);
    *out = x;
    return OK;
}

static enum base_err store_int(const struct config_option *o, const struct value *v, void *field,
                               char why[VALUE_WHY_BYTES])
{
    if (!is_scalar_without_quotes(v) || !is_number(v->text) || strpbrk(v->text, ".eE"))
        return expected(o, v, "a whole number", why);
    double x = 0;
    enum base_err rc = read_number(o, v, &x, why);
    if (!rc)
        *(int64_t *)field = (int64_t)x; /* exact: the range ends below 2^53 */
    return rc;
}

static enum base_err store_secs(const struct config_option *o, const struct value *v, void *field,
                                char why[VALUE_WHY_BYTES])
{
    double secs = 0;
    enum base_err rc = read_number(o, v, &secs, why);
    if (!rc)
        *(int64_t *)field = (int64_t)llround(secs * 1000);
    return rc;
}

static enum base_err store_size(const struct config_option *o, const struct value *v, void *field,
                                char why[VALUE_WHY_BYTES])
{
    bool is_mem = o->type == CONFIG_MEM;
    uint64_t bytes;
    if (!is_scalar_without_quotes(v))
        return expected(o, v, "a size, as 64MiB", why);
    if (is_mem && strcmp(v->text, "auto") == 0) {
        *(uint64_t *)field = 0;
        return OK;
    }
    bool has_leading_zero = v->text[0] == '0' && v->text[1] >= '0' && v->text[1] <= '9';
    if (has_leading_zero || !text_parse_size(v->text, &bytes))
        return expected(o, v,
                        is_mem ? "auto, a number of MiB, or a size as 64MiB"
                               : "a number of bytes, or a size as 64MiB",
                        why);
    if (is_mem && is_number(v->text) && __builtin_mul_overflow(bytes, (uint64_t)1 << 20, &bytes))
        return out_of_range(o, v, why);
    if ((double)bytes < o->min || (double)bytes > o->max)
        return out_of_range(o, v, why);
    *(uint64_t *)field = bytes;
    return OK;
}

static enum base_err copy_text(const char *text, const char **out, struct arena *arena)
{
    const char *copy = arena_strndup(arena, text, strlen(text));
    if (!copy)
        return E_NOMEM;
    *out = copy;
    return OK;
}

/* Texts in a file without quotes must not look like something else. */
static bool is_text(const struct value *v)
{
    if (v->kind == VALUE_LIST || v->text[0] == '\0')
        return false;
    return v->kind != VALUE_PLAIN ||
           !(is_number(v->text) || is_bool(v->text) || config_value_is_null(v));
}

static enum base_err store_text(const struct config_option *o, const struct value *v, void *field,
                                struct arena *arena, char why[VALUE_WHY_BYTES])
{
    if (!is_text(v))
        return expected(o, v, v->kind == VALUE_PLAIN ? "a text, in quotes" : "a text", why);
    return copy_text(v->text, field, arena);
}

static enum base_err store_word(const struct config_option *o, const struct value *v, void *field,
                                char why[VALUE_WHY_BYTES])
{
    for (int64_t i = 0; v->kind != VALUE_LIST && o->words[i]; i++) {
        if (strcmp(v->text, o->words[i]) == 0) {
            *(int64_t *)field = i;
            return OK;
        }
    }
    char words[96];
    config_option_describe(o, words, sizeof words);
    return expected(o, v, words, why);
}

static enum base_err store_items(const struct config_option *o, const struct value *items,
                                 size_t count, struct config_list *field, struct arena *arena,
                                 char why[VALUE_WHY_BYTES])
{
    if (count > VALUE_LIST_MAX) {
        snprintf(why, VALUE_WHY_BYTES, "more than %d entries", VALUE_LIST_MAX);
        return E_INVALID;
    }
    const char **texts = arena_calloc(arena, count + 1, sizeof *texts);
    if (!texts)
        return E_NOMEM;
    for (size_t i = 0; i < count; i++) {
        enum base_err rc = store_text(o, &items[i], &texts[i], arena, why);
        if (rc)
            return rc;
    }
    *field = (struct config_list){ texts, count };
    return OK;
}

/* "a,b" of the environment or the command line; "" is the empty list. */
static enum base_err store_commas(const struct config_option *o, const char *text,
                                  struct config_list *field, struct arena *arena,
                                  char why[VALUE_WHY_BYTES])
{
    struct value items[VALUE_LIST_MAX + 1];
    size_t count = 0;
    char *copy = arena_strndup(arena, text, strlen(text));
    if (!copy)
        return E_NOMEM;
    for (char *p = copy; *text && p && count <= VALUE_LIST_MAX; count++) {
        char *comma = strchr(p, ',');
        items[count] = (struct value){ .kind = VALUE_FREE, .text = p };
        if (comma)
            *comma++ = '\0';
        p = comma;
    }
    return store_items(o, items, count, field, arena, why);
}

static enum base_err store_list(const struct config_option *o, const struct value *v, void *field,
                                struct arena *arena, char why[VALUE_WHY_BYTES])
{
    struct config_list list = { 0 };
    enum base_err rc;
    if (v->kind == VALUE_LIST)
        rc = store_items(o, v->items, v->item_count, &list, arena, why);
    else if (v->kind == VALUE_FREE)
        rc = store_commas(o, v->text, &list, arena, why);
    else if (o->type == CONFIG_HOSTS)
        rc = store_items(o, v, 1, &list, arena, why);
    else
        return expected(o, v, "a list, as [a, b]", why);
    if (!rc && o->type == CONFIG_HOSTS && list.count == 0)
        return expected(o, v, "at least one address", why);
    if (!rc)
        *(struct config_list *)field = list;
    return rc;
}

enum base_err config_value_store(const struct config_option *o, const struct value *v,
                                 struct valet_config *config, struct arena *arena,
                                 char why[VALUE_WHY_BYTES])
{
    void *field = (char *)config + o->offset;
    if (v->kind != VALUE_LIST && strlen(v->text) > VALUE_BYTES_MAX) {
        snprintf(why, VALUE_WHY_BYTES, "longer than %d bytes", VALUE_BYTES_MAX);
        return E_INVALID;
    }
    if (v->kind != VALUE_LIST && config_value_is_null(v))
        return config_value_store_default(o, config, arena);
    switch (o->type) {
    case CONFIG_BOOL:
        return store_bool(o, v, field, why);
    case CONFIG_INT:
        return store_int(o, v, field, why);
    case CONFIG_SECS:
        return store_secs(o, v, field, why);
    case CONFIG_REAL:
        return read_number(o, v, field, why);
    case CONFIG_SIZE:
    case CONFIG_MEM:
        return store_size(o, v, field, why);
    case CONFIG_TEXT:
        return store_text(o, v, field, arena, why);
    case CONFIG_WORD:
        return store_word(o, v, field, why);
    case CONFIG_LIST:
    case CONFIG_HOSTS:
        return store_list(o, v, field, arena, why);
    }
    ASSERT(false); /* the table has no other type */
    return E_INVALID;
}

static void store_none(const struct config_option *o, void *field)
{
    ASSERT(o->traits & CONFIG_NULLABLE);
    ASSERT(o->type == CONFIG_TEXT || o->type == CONFIG_INT);
    if (o->type == CONFIG_TEXT)
        *(const char **)field = NULL;
    else
        *(int64_t *)field = CONFIG_UNSET;
}

enum base_err config_value_store_default(const struct config_option *o, struct valet_config *config,
                                         struct arena *arena)
{
    char why[VALUE_WHY_BYTES];
    if (strcmp(o->fallback, "null") == 0) {
        store_none(o, (char *)config + o->offset);
        return OK;
    }
    struct value v = { .kind = VALUE_PLAIN, .text = o->fallback };
    if (strcmp(o->fallback, "[]") == 0)
        v.kind = VALUE_LIST;
    enum base_err rc = config_value_store(o, &v, config, arena, why);
    ASSERT(rc != E_INVALID); /* the table's own default */
    return rc;
}
