/*
 * Templates rendered as by transformers (tests/golden/template_make.py), byte for byte. With an
 * argument: another file of cases.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "template/jinja.h"
#include "template/json_context.h"

#define CASES_PATH "tests/golden/template_cases.txt"

enum {
    NOW_S = 1721997296, /* 2024-07-26 12:34:56 */
    ARENA_BYTES = 64 << 20,
    LINE_BYTES_MAX = 1 << 20,
    FIELDS_MAX = 4,
    NAMED_MAX = 64,
    SHOWN_MAX = 40
};

static const char *g_cases_path = CASES_PATH;

/* Contexts and templates by name; they live in the arena. */
struct named {
    const char *name;
    const char *text;
    struct jinja_value context;
};

struct cases {
    struct arena arena;
    struct named contexts[NAMED_MAX];
    size_t context_count;
    struct named templates[NAMED_MAX];
    size_t template_count;
    long line;
    long checked;
    long failed;
};

static char unescape_one(const char **p)
{
    const char *s = *p + 1;
    *p += 2;
    if (*s == 'n')
        return '\n';
    if (*s == 't')
        return '\t';
    if (*s != 'x')
        return *s;
    char hex[3] = { s[1], s[2], '\0' };
    *p += 2;
    return (char)strtol(hex, NULL, 16);
}

/* In place; returns the length, since a text may hold zero bytes. */
static size_t unescape(char *text)
{
    char *out = text;
    for (const char *p = text; *p;) {
        if (*p == '\\')
            *out++ = unescape_one(&p);
        else
            *out++ = *p++;
    }
    *out = '\0';
    return (size_t)(out - text);
}

static size_t split(char *line, char *fields[FIELDS_MAX])
{
    size_t count = 0;
    for (char *p = line; p && count < FIELDS_MAX; count++) {
        fields[count] = p;
        p = count + 1 < FIELDS_MAX ? strchr(p, '\t') : NULL;
        if (p)
            *p++ = '\0';
    }
    return count;
}

static const struct named *find(const struct named *all, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    }
    ck_abort_msg("no '%s'", name);
    return NULL;
}

static void keep(struct cases *c, struct named *all, size_t *count, const char *name,
                 const char *text)
{
    ck_assert_uint_lt(*count, NAMED_MAX);
    struct named *n = &all[(*count)++];
    n->name = arena_strndup(&c->arena, name, strlen(name));
    n->text = arena_strndup(&c->arena, text, strlen(text));
    ck_assert(n->name && n->text);
}

/* ---- One case ---- */

static enum base_err render(const char *source, size_t len, struct jinja_value context,
                            struct base_buf *out, struct base_err_info *info)
{
    struct jinja_limits limits;
    struct arena arena;
    jinja_template *t;
    struct template_span *spans;
    size_t count;
    jinja_limits_init(&limits);
    arena_init(&arena, MEM_TEMPLATE, ARENA_BYTES);
    ck_assert_int_eq(buf_append(out, "", 0), OK);
    enum base_err rc = jinja_compile(source, len, &limits, &t, info);
    if (!rc)
        rc = jinja_render(t, context, NOW_S, &limits, &arena, &spans, &count, info);
    for (size_t i = 0; !rc && i < count; i++)
        ck_assert_int_eq(buf_append(out, spans[i].data, spans[i].len), OK);
    jinja_destroy(t);
    arena_fini(&arena);
    return rc;
}

static void show(const struct cases *c, const char *source, const char *want, const char *got,
                 const struct base_err_info *info)
{
    if (c->failed > SHOWN_MAX)
        return;
    fprintf(stderr, "%s:%ld: %.400s\n  want %.1000s\n  got  %.1000s\n", g_cases_path, c->line,
            source, want ? want : "(an error)", got ? got : info->message);
}

/* `want` NULL: an error. */
static void check(struct cases *c, const char *source, size_t len, struct jinja_value context,
                  const char *want, size_t want_len)
{
    struct base_buf got;
    struct base_err_info info = { .code = OK };
    buf_init(&got, MEM_TEMPLATE, ARENA_BYTES);
    enum base_err rc = render(source, len, context, &got, &info);
    bool same =
        want ? !rc && got.len == want_len && memcmp(got.data ? got.data : "", want, want_len) == 0
             : rc != OK;
    if (rc)
        ck_assert(info.code == rc && info.message[0] != '\0');
    c->checked++;
    if (!same) {
        c->failed++;
        show(c, source, want, rc ? NULL : got.data ? got.data : "", &info);
    }
    buf_fini(&got);
}

static void check_named(struct cases *c, char *fields[FIELDS_MAX], size_t count)
{
    const struct named *t = find(c->templates, c->template_count, fields[1]);
    const struct named *context = find(c->contexts, c->context_count, fields[2]);
    bool renders = fields[0][0] == 'R';
    ck_assert_uint_eq(count, renders ? 4 : 3);
    size_t len = renders ? unescape(fields[3]) : 0;
    check(c, t->text, strlen(t->text), context->context, renders ? fields[3] : NULL, len);
}

static void check_unit(struct cases *c, char *fields[FIELDS_MAX], size_t count)
{
    const struct named *context = find(c->contexts, c->context_count, fields[1]);
    bool renders = fields[0][0] == 'U';
    ck_assert_uint_eq(count, renders ? 4 : 3);
    size_t len = unescape(fields[2]);
    size_t want_len = renders ? unescape(fields[3]) : 0;
    check(c, fields[2], len, context->context, renders ? fields[3] : NULL, want_len);
}

static void check_line(struct cases *c, char *line)
{
    char *fields[FIELDS_MAX];
    size_t count = split(line, fields);
    ck_assert_uint_ge(count, 3);
    switch (fields[0][0]) {
    case 'C':
        keep(c, c->contexts, &c->context_count, fields[1], fields[2]);
        c->contexts[c->context_count - 1].context = json_context(&c->arena, fields[2]);
        break;
    case 'T':
        unescape(fields[2]);
        keep(c, c->templates, &c->template_count, fields[1], fields[2]);
        break;
    case 'R':
    case 'F':
        check_named(c, fields, count);
        break;
    case 'U':
    case 'V':
        check_unit(c, fields, count);
        break;
    default:
        ck_abort_msg("line %ld: unknown kind", c->line);
    }
}

START_TEST(templates_render_as_in_transformers)
{
    static char line[LINE_BYTES_MAX];
    static struct cases c;
    FILE *f = fopen(g_cases_path, "r");
    ck_assert_msg(f, "%s is missing", g_cases_path);
    arena_init(&c.arena, MEM_TEMPLATE, ARENA_BYTES);
    while (fgets(line, sizeof line, f)) {
        c.line++;
        size_t len = strlen(line);
        ck_assert_uint_gt(len, 0);
        ck_assert_int_eq(line[len - 1], '\n');
        line[len - 1] = '\0';
        if (line[0] != '#')
            check_line(&c, line);
    }
    fclose(f);
    arena_fini(&c.arena);
    ck_assert_uint_eq(mem_live_blocks(), 0);
    ck_assert_msg(c.checked >= 120, "only %ld cases", c.checked);
    ck_assert_msg(c.failed == 0, "%ld of %ld cases differ", c.failed, c.checked);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc > 1)
        g_cases_path = argv[1];
    Suite *suite = suite_create("template.golden");
    TCase *tc = tcase_create("golden");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, templates_render_as_in_transformers);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
