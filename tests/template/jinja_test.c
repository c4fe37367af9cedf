/*
 * What the golden cases do not show: who wrote which byte, limits, hostile templates, errors.
 */
#include "template/jinja.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fault.h"

enum {
    ARENA_BYTES = 64 << 20,
    NOW_S = 1721997296 /* 2024-07-26 12:34:56 */
};

static struct arena g_arena;
static struct jinja_limits g_limits;
static struct base_err_info g_info;

static void setup(void)
{
    arena_init(&g_arena, MEM_TEMPLATE, ARENA_BYTES);
    jinja_limits_init(&g_limits);
    g_info = (struct base_err_info){ .code = OK };
}

static void teardown(void)
{
    arena_fini(&g_arena);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

/* ---- A context ---- */

static struct jinja_value str(const char *s, enum jinja_origin origin)
{
    struct jinja_value v;
    ck_assert_int_eq(jinja_string(&g_arena, s, strlen(s), origin, &v), OK);
    return v;
}

static struct jinja_value user(const char *s)
{
    return str(s, JINJA_USER);
}

static struct jinja_value new_map(void)
{
    struct jinja_value v;
    ck_assert_int_eq(jinja_map(&g_arena, &v), OK);
    return v;
}

static struct jinja_value new_list(void)
{
    struct jinja_value v;
    ck_assert_int_eq(jinja_list(&g_arena, &v), OK);
    return v;
}

static void put(struct jinja_value map, const char *key, struct jinja_value v)
{
    ck_assert_int_eq(jinja_map_add_str(&g_arena, map, key, v), OK);
}

static void push(struct jinja_value list, struct jinja_value v)
{
    ck_assert_int_eq(jinja_list_add(&g_arena, list, v), OK);
}

/* u: user text; tok: trusted; l, d: with user text in them; key: a map with a user's key. */
static struct jinja_value context(void)
{
    struct jinja_value vars = new_map();
    struct jinja_value l = new_list();
    struct jinja_value d = new_map();
    struct jinja_value key = new_map();
    put(vars, "u", user("User"));
    put(vars, "spaces", user("  a b\n"));
    put(vars, "special", user("<|x|>\"\n\xc3\xa9"));
    put(vars, "tok", str("<s>", JINJA_TRUSTED));
    push(l, user("x"));
    push(l, user("y"));
    put(vars, "l", l);
    put(d, "k", user("v"));
    put(d, "n", jinja_int(5));
    put(vars, "d", d);
    ck_assert_int_eq(jinja_map_add(&g_arena, key, user("uk"), jinja_bool(true)), OK);
    put(vars, "key", key);
    put(vars, "json", user("{\"a\": [\"<b>\\n\", 1]}"));
    return vars;
}

/* ---- Rendering ---- */

static enum base_err render_bytes(const char *source, size_t len, struct jinja_value vars,
                                  struct template_span **spans, size_t *count)
{
    jinja_template *t;
    enum base_err rc = jinja_compile(source, len, &g_limits, &t, &g_info);
    *spans = NULL;
    *count = 0;
    if (rc) {
        ck_assert_ptr_null(t);
        return rc;
    }
    rc = jinja_render(t, vars, NOW_S, &g_limits, &g_arena, spans, count, &g_info);
    jinja_destroy(t);
    if (rc) {
        ck_assert_ptr_null(*spans);
        ck_assert_uint_eq(*count, 0);
    }
    return rc;
}

/* Renders and compares: trusted spans in [], the others in {}. */
static void expect(const char *source, const char *want)
{
    struct template_span *spans;
    size_t count;
    struct base_buf got;
    enum base_err rc = render_bytes(source, strlen(source), context(), &spans, &count);
    ck_assert_msg(rc == OK, "%s: %s", source, g_info.message);
    buf_init(&got, MEM_TEMPLATE, ARENA_BYTES);
    ck_assert_int_eq(buf_append_str(&got, ""), OK);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_gt(spans[i].len, 0);
        ck_assert(i == 0 || spans[i].trusted != spans[i - 1].trusted);
        ck_assert_int_eq(buf_append_str(&got, spans[i].trusted ? "[" : "{"), OK);
        ck_assert_int_eq(buf_append(&got, spans[i].data, spans[i].len), OK);
        ck_assert_int_eq(buf_append_str(&got, spans[i].trusted ? "]" : "}"), OK);
    }
    ck_assert_msg(strcmp(got.data, want) == 0, "%s\n  want %s\n  got  %s", source, want, got.data);
    buf_fini(&got);
}

/* Fails with this code, at this place, in one line with this in it. */
static void expect_error(const char *source, enum base_err code, const char *place,
                         const char *message)
{
    struct template_span *spans;
    size_t count;
    g_info = (struct base_err_info){ .code = OK };
    enum base_err rc = render_bytes(source, strlen(source), context(), &spans, &count);
    ck_assert_msg(rc == code && g_info.code == code, "%.60s: %d %s", source, rc, g_info.message);
    ck_assert_msg(strncmp(g_info.message, place, strlen(place)) == 0 &&
                      strstr(g_info.message, message),
                  "%.60s: %s", source, g_info.message);
    ck_assert_ptr_null(strchr(g_info.message, '\n'));
}

/* ---- Who wrote what ---- */

static const struct {
    const char *source;
    const char *want;
} marks[] = {
    { "a{{ u }}b", "[a]{User}[b]" },
    { "{{ tok }}{{ u }}{{ tok }}", "[<s>]{User}[<s>]" },
    { "{{ '<|' + u + '|>' }}", "[<|]{User}[|>]" },
    { "{{ '<|' ~ u ~ 1 ~ '|>' }}", "[<|]{User}[1|>]" },
    { "{{ 'a' 'b' ~ tok }}c", "[ab<s>c]" },
    { "{{ u }}{{ u }}", "{UserUser}" },
    { "{{ '' ~ u ~ '' }}", "{User}" },
    { "{{ u + '' + u }}", "{UserUser}" },
    { "{{ u * 2 }}{{ ('<' + u) * 2 }}", "{UserUser}[<]{User}[<]{User}" },
    { "{{ ('<' + u + '>')[1:3] }}|{{ ('<' + u + '>')[:2] }}", "{Us}[|<]{U}" },
    { "{{ ('<' + u + '>')[::-1] }}", "[>]{resU}[<]" },
    { "{{ ('<' + u)[0] }}{{ ('<' + u)[1] }}{{ u[-1] }}", "[<]{Ur}" },
    { "{{ spaces|trim }}", "{a b}" },
    { "{{ ('- ' + spaces).rstrip() }}|{{ spaces.lstrip() }}", "[- ]{  a b}[|]{a b\n}" },
    { "{{ u|replace('s', 'SS') }}|{{ 'a-b'|replace('-', u) }}", "{U}[SS]{er}[|a]{User}[b]" },
    { "{{ u.replace('', '.') }}", "[.]{U}[.]{s}[.]{e}[.]{r}[.]" },
    { "{% for p in ('<' + u + '>').split('s') %}({{ p }}){% endfor %}", "[(<]{U}[)(]{er}[>)]" },
    { "{{ spaces.split()|join('+') }}", "{a}[+]{b}" },
    { "{{ l|join(', ') }}{{ l|join(u) }}", "{x}[, ]{yxUsery}" },
    { "{{ ['<', u]|join }}{{ '-'.join(l) }}", "[<]{Userx}[-]{y}" },
    { "{{ u|upper }}{{ u|lower }}{{ u|capitalize }}{{ u|title }}", "{USERuserUserUser}" },
    { "{{ ('<a>' + u)|upper }}{{ ('<a>' + u).swapcase() }}", "[<A>]{USER}[<A>]{uSER}" },
    { "{{ u|tojson }}", "[\"]{User}[\"]" },
    { "{{ special|tojson }}", "[\"]{<|x|>\\\"\\n\xc3\xa9}[\"]" },
    { "{{ special|tojson(ensure_ascii=true) }}", "[\"]{<|x|>\\\"\\n\\u00e9}[\"]" },
    { "{{ d|tojson }}", "[{\"k\": \"]{v}[\", \"n\": 5}]" },
    { "{{ key|tojson }}", "[{\"]{uk}[\": true}]" },
    { "{{ l|tojson(indent=u) }}", "[[\n]{User}[\"]{x}[\",\n]{User}[\"]{y}[\"\n]]" },
    { "{{ json|from_json|tojson }}", "[{\"]{a}[\": [\"]{<b>\\n}[\", 1]}]" },
    { "{{ d }}{{ l }}{{ [special] }}", "[{'k': ']{v}[', 'n': 5}[']{x}[', ']{y}['][']{<|x|>\"\\n"
                                       "\xc3\xa9}[']]" },
    { "{{ d.k }}{{ d['k'] }}{{ d.get('zz', u) }}", "{vvUser}" },
    { "{{ '%s<%s>' % (u, 'a') }}{{ u % () }}", "{User}[<a>]{User}" },
    { "{{ '%6s|%.2s' % (u, u) }}", "[  ]{User}[|]{Us}" },
    { "{{ '{}<{x}>'.format(u, x=tok) }}{{ '%s'|format(u) }}", "{User}[<<s>>]{User}" },
    { "{{ u|list|join('.') }}", "{U}[.]{s}[.]{e}[.]{r}" },
    { "{% for c in u %}<{{ c }}>{% endfor %}", "[<]{U}[><]{s}[><]{e}[><]{r}[>]" },
    { "{{ u|indent(2, true) }}{{ ('a\n' + u)|indent(1) }}", "[  ]{User}[a\n ]{User}" },
    { "{{ special|e }}", "{&lt;|x|&gt;&#34;\n\xc3\xa9}" },
    { "{{ u|string|safe|first }}{{ u|last }}{{ u|reverse }}", "{UrresU}" },
    { "{{ l|first }}{{ l|last }}{{ l|sort|join }}{{ l|map('upper')|join('<') }}", "{xyxyX}[<]{Y}" },
    { "{{ [u, 'b']|min }}{{ l|select('eq', 'x')|first }}", "[b]{x}" },
    { "{% for k, v in key.items() %}{{ k }}={{ v }}{% endfor %}", "{uk}[=True]" },
    { "{% set x %}<{{ u }}>{% endset %}{{ x }}{{ x[1:] }}", "[<]{User}[>]{User}[>]" },
    { "{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(u) }}{{ m(m(u)) }}",
      "[<]{User}[><<]{User}[>>]" },
    { "{% macro m() %}({{ caller() }}){% endmacro %}{% call m() %}{{ u }}!{% endcall %}",
      "[(]{User}[!)]" },
    { "{% filter upper %}<a>{{ u }}{% endfilter %}", "[<A>]{USER}" },
    { "{% set ns = namespace(s='<') %}{% for x in l %}{% set ns.s = ns.s + x + '>' %}{% endfor %}"
      "{{ ns.s }}",
      "[<]{x}[>]{y}[>]" },
    { "{% set a = '<' + u %}{% set b = a + '1' %}{% set c = a + u %}{{ a }}|{{ b }}|{{ c }}",
      "[<]{User}[|<]{User}[1|<]{UserUser}" },
    { "{{ u if u else 'x' }}{{ u or 'x' }}{{ none or u }}", "{UserUserUser}" },
    { "{{ u.partition('s')|join('|') }}", "{U}[|]{s}[|]{er}" },
    { "{{ u.partition('s')[1] }}", "{s}" },
    { "{{ u.splitlines()[0] }}{{ u.removeprefix('U') }}{{ u.ljust(6, '.') }}|",
      "{UserserUser}[..|]" },
    { "{{ strftime_now('%Y') }}{{ u|length }}{{ u == 'User' }}", "[20244True]" },
    { "{{ strftime_now(u) }}", "{User}" },
    { "{{ (u, 'a')[0] }}{{ [u] + ['a'] }}", "{User}[[']{User}[', 'a']]" },
    { "{% raw %}{{ u }}{% endraw %}{% generation %}{{ u }}{% endgeneration %}", "[{{ u }}]{User}" },
    { "{{ joiner(u)() }}{% set j = joiner(u) %}{{ j() }}{{ j() }}", "{User}" },
    { "{{ dict(a=u) }}{{ dict([[u, 1]]) }}", "[{'a': ']{User}['}{']{User}[': 1}]" },
    { "{{ (u ~ '<') ~ ('>' ~ u) }}{{ u|default('a') }}", "{User}[<>]{UserUser}" },
    { "{{ u|batch(2)|map('join')|join('/') }}", "{Us}[/]{er}" },
};

START_TEST(every_byte_keeps_the_mark_of_its_author)
{
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        expect(marks[i].source, marks[i].want);
}
END_TEST

/* Text that a client wrote to look like the template's. */
START_TEST(user_text_never_becomes_trusted)
{
    expect("{% for m in ['<|im_end|>'] %}{{ m }}{{ special.split('\"')[0] }}{% endfor %}",
           "[<|im_end|>]{<|x|>}");
    expect("{{ '<|' }}{{ 'x' if special[2] == 'x' }}{{ special[3:5] }}", "[<|x]{|>}");
}
END_TEST

/* ---- Values ---- */

START_TEST(values_of_every_kind_are_seen)
{
    struct template_span *spans;
    size_t count;
    struct jinja_value vars = new_map();
    const char *source = "{{ n }} {{ b }} {{ i }} {{ f }} {{ s }} {{ l }} {{ m }}{{ x }}";
    const char *want = "None True -9223372036854775808 0.1 s [1.0] {'k': False}";
    struct jinja_value l = new_list();
    struct jinja_value m = new_map();
    push(l, jinja_float(1));
    put(m, "k", jinja_bool(false));
    put(vars, "n", jinja_none());
    put(vars, "b", jinja_bool(true));
    put(vars, "i", jinja_int(INT64_MIN));
    put(vars, "f", jinja_float(0.1));
    put(vars, "s", str("s", JINJA_TRUSTED));
    put(vars, "l", l);
    put(vars, "m", m);
    ck_assert_int_eq(render_bytes(source, strlen(source), vars, &spans, &count), OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(spans[0].len, strlen(want));
    ck_assert_mem_eq(spans[0].data, want, spans[0].len);
}
END_TEST

START_TEST(a_full_arena_refuses_values)
{
    struct arena small;
    struct jinja_value v;
    struct jinja_value list;
    enum base_err rc = OK;
    arena_init(&small, MEM_TEMPLATE, 1024);
    ck_assert_int_eq(jinja_list(&small, &list), OK);
    for (int i = 0; i < 100 && rc == OK; i++)
        rc = jinja_list_add(&small, list, jinja_int(i));
    ck_assert_int_eq(rc, E_NOMEM);
    arena_fini(&small);
    arena_init(&small, MEM_TEMPLATE, 0);
    ck_assert_int_eq(jinja_string(&small, "a", 1, JINJA_USER, &v), E_NOMEM);
    ck_assert_int_eq(jinja_list(&small, &v), E_NOMEM);
    ck_assert_int_eq(jinja_map(&small, &v), E_NOMEM);
    arena_fini(&small);
}
END_TEST

START_TEST(bytes_that_are_no_text_pass_through)
{
    struct template_span *spans;
    size_t count;
    struct jinja_value vars = new_map();
    struct jinja_value bad;
    const char *source =
        "{{ s }}|{{ s|length }}|{{ s[1:] }}|{{ s|upper }}|{{ s|tojson }}|{{ s.strip() }}";
    const char want[] =
        "a\xff\0b\xc3|5|\xff\0b\xc3|A\xff\0B\xc3|\"a\xff\\u0000b\xc3\"|a\xff\0b\xc3";
    ck_assert_int_eq(jinja_string(&g_arena, "a\xff\0b\xc3", 5, JINJA_TRUSTED, &bad), OK);
    put(vars, "s", bad);
    ck_assert_int_eq(render_bytes(source, strlen(source), vars, &spans, &count), OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(spans[0].len, sizeof want - 1);
    ck_assert_mem_eq(spans[0].data, want, sizeof want - 1);
}
END_TEST

START_TEST(an_empty_text_has_no_spans)
{
    expect("", "");
    expect("{{ '' }}{% if false %}a{% endif %}{{ nope }}", "");
}
END_TEST

START_TEST(a_template_says_which_names_it_reads)
{
    const char *source = "{% for m in messages %}{{ m.tools }}{{ 'documents' }}{% endfor %}"
                         "{% set unused = tools_x %}{% if tools %}{% endif %}";
    jinja_template *t;
    ck_assert_int_eq(jinja_compile(source, strlen(source), &g_limits, &t, &g_info), OK);
    ck_assert(jinja_reads(t, "messages"));
    ck_assert(jinja_reads(t, "tools"));
    ck_assert(jinja_reads(t, "tools_x"));
    ck_assert(!jinja_reads(t, "documents"));
    ck_assert(!jinja_reads(t, "unused"));
    ck_assert(!jinja_reads(t, "tool"));
    jinja_destroy(t);
    jinja_destroy(NULL);
}
END_TEST

START_TEST(one_template_renders_many_times)
{
    const char *source = "{% set ns = namespace(n=0) %}{% for x in l %}{% set ns.n = ns.n + 1 %}"
                         "{% endfor %}{{ ns.n }}{{ u }}{% set u = 'changed' %}";
    jinja_template *t;
    struct jinja_value vars = context();
    ck_assert_int_eq(jinja_compile(source, strlen(source), &g_limits, &t, &g_info), OK);
    for (int i = 0; i < 3; i++) {
        struct template_span *spans;
        size_t count;
        ck_assert_int_eq(jinja_render(t, vars, NOW_S, &g_limits, &g_arena, &spans, &count, &g_info),
                         OK);
        ck_assert_uint_eq(count, 2);
        ck_assert_mem_eq(spans[0].data, "2", 1);
        ck_assert_mem_eq(spans[1].data, "User", 4);
    }
    jinja_destroy(t);
}
END_TEST

/* Beyond what transformers has: tojson's inverse. */
START_TEST(from_json_reads_json)
{
    expect("{{ '[1, -2.5e3, true, null, \"a\\\\u00e9\\\\ud83d\\\\ude00\", {}, []]'|from_json }}",
           "[[1, -2500.0, True, None, 'a\xc3\xa9\xf0\x9f\x98\x80', {}, []]]");
    expect("{{ ' {\"a\" : {\"b\":[1 , 2]}, \"a\":3} '|from_json }}", "[{'a': 3}]");
    static const char *const wrong[] = { "",        "[",         "[1,]", "{\"a\"}", "{a: 1}",
                                         "01",      "1.",        "\"a",  "nul",     "1 2",
                                         "\"\\q\"", "[1 2]",     "-",    "1e",      "{,}",
                                         "]",       "\"\\u12\"", "+1",   "tru",     "{\"a\":}" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct template_span *spans;
        size_t count;
        struct jinja_value vars = new_map();
        const char *source = "{{ s|from_json }}";
        put(vars, "s", user(wrong[i]));
        ck_assert_msg(render_bytes(source, strlen(source), vars, &spans, &count) == E_INVALID, "%s",
                      wrong[i]);
    }
}
END_TEST

/* ---- Errors ---- */

START_TEST(errors_say_where_and_why)
{
    expect_error("a\n  {{ nope.x }}", E_INVALID, "line 2, column 10: ", "'nope' is undefined");
    expect_error("\xc3\xa9\xc3\xa9{{ d.zz.y }}", E_INVALID,
                 "line 1, column 10: ", "'zz' is undefined");
    expect_error("{{ raise_exception('Roles\nmust alternate') }}", E_INVALID,
                 "line 1, column 19: ", "Roles must alternate");
    expect_error("{% for x in l %}\n{{ 1 + x }}\n{% endfor %}", E_INVALID,
                 "line 2, column 6: ", "'int' + 'str' is not possible");
    expect_error("{{ u|nope }}", E_UNSUPPORTED, "line 1, column 5: ", "no filter named 'nope'");
    expect_error("{{ u is nope }}", E_UNSUPPORTED, "line 1, ", "no test named 'nope'");
    expect_error("{% include 'x' %}", E_UNSUPPORTED,
                 "line 1, column 4: ", "'include' is not supported");
    expect_error("{% for x in l recursive %}{% endfor %}", E_UNSUPPORTED, "line 1, ", "recursive");
    expect_error("a\r\n{% if %}", E_INVALID, "line 2, column 7: ", "expected an expression");
    expect_error("{% if true %}\n{% for x in l %}", E_INVALID, "line 2, ", "'endfor'");
    expect_error("{{ 9223372036854775807 + 1 }}", E_UNSUPPORTED, "line 1, ", "63 bits");
    expect_error("{{ 9223372036854775808 }}", E_INVALID, "line 1, column 4: ", "63 bits");
    expect_error("{{ l|map('upper\\0\\0\\0\\0\\0\\0\\0\\0')|list }}", E_UNSUPPORTED, "line 1, ",
                 "no filter");
    expect_error("{{ range(3) }}", E_UNSUPPORTED, "line 1, ", "has no text");
}
END_TEST

START_TEST(a_wrong_byte_in_a_message_is_no_text_there)
{
    struct template_span *spans;
    size_t count;
    struct jinja_value vars = new_map();
    const char *source = "{{ raise_exception(s) }}";
    put(vars, "s", user("a\xff\x01\xc3"));
    ck_assert_int_eq(render_bytes(source, strlen(source), vars, &spans, &count), E_INVALID);
    ck_assert_str_eq(g_info.message, "line 1, column 19: a? ?");
}
END_TEST

/* ---- Limits ---- */

/* `count` times `part` between two texts, in the arena. */
static const char *repeated(const char *before, const char *part, size_t count, const char *after)
{
    size_t len = strlen(part);
    size_t total = strlen(before) + len * count + strlen(after) + 1;
    char *text = arena_alloc(&g_arena, total);
    ck_assert_ptr_nonnull(text);
    char *p = stpcpy(text, before);
    for (size_t i = 0; i < count; i++)
        p = stpcpy(p, part);
    stpcpy(p, after);
    return text;
}

static const char *nested(const char *open, size_t count, const char *middle, const char *close)
{
    const char *left = repeated("", open, count, middle);
    return repeated(left, close, count, "");
}

START_TEST(nesting_is_bounded)
{
    static const struct {
        const char *before;
        const char *open;
        const char *middle;
        const char *close;
        const char *after;
    } deep[] = {
        { "{{ ", "(", "1", ")", " }}" },
        { "{{ ", "[", "1", "]", " }}" },
        { "{{ ", "{1:", "1", "}", " }}" },
        { "{{ ", "not ", "1", "", " }}" },
        { "{{ ", "-", "1", "", " }}" },
        { "{{ ", "x[", "1", "]", " }}" },
        { "{{ ", "x(", "1", ")", " }}" },
        { "{{ ", "1 if 1 else ", "1", "", " }}" },
        { "{{ ", "1|default(", "1", ")", " }}" },
        { "", "{% if 1 %}", "", "{% endif %}", "" },
        { "", "{% for x in l %}", "", "{% endfor %}", "" },
        { "", "{% set x %}", "", "{% endset %}", "" },
        { "", "{% macro m() %}", "", "{% endmacro %}", "" },
        { "", "{% filter upper %}", "", "{% endfilter %}", "" },
        { "", "{% if 1 %}{% else %}", "", "{% endif %}", "" },
        { "{% for ", "(", "x", ")", " in l %}{% endfor %}" },
    };
    for (size_t i = 0; i < sizeof deep / sizeof deep[0]; i++) {
        const char *inner = nested(deep[i].open, 20000, deep[i].middle, deep[i].close);
        const char *source = repeated(deep[i].before, inner, 1, deep[i].after);
        struct template_span *spans;
        size_t count;
        g_limits.source_bytes_max = SIZE_MAX;
        enum base_err rc = render_bytes(source, strlen(source), context(), &spans, &count);
        ck_assert_msg(rc == E_TOO_BIG || rc == E_INVALID, "%zu: %d %s", i, rc, g_info.message);
        ck_assert_msg(strstr(g_info.message, "nested too deeply") ||
                          strstr(g_info.message, "too many open brackets"),
                      "%zu: %s", i, g_info.message);
    }
}
END_TEST

/* What the parser reads without going deeper must not make the evaluation go too deep. */
START_TEST(long_chains_end_in_an_error_or_a_text)
{
    static const struct {
        const char *before;
        const char *part;
        const char *after;
        enum base_err code;
    } chains[] = {
        { "{{ 1", " + 1", " }}", E_TOO_BIG },
        { "{{ 1", " and 1", " }}", E_TOO_BIG },
        { "{{ 1", " ~ 1", " }}", OK },
        { "{{ 1", " < 1", " }}", OK },
        { "{{ u", "|upper", " }}", E_TOO_BIG },
        { "{{ u", ".x", " }}", E_TOO_BIG },
        { "{{ u", "[0]", " }}", E_TOO_BIG },
        { "{{ u", "()", " }}", E_TOO_BIG },
        { "{{ 1", " if 1", " }}", E_TOO_BIG },
        { "{{ 1", ", 1", " }}", OK },
        { "{{ ''", " 'a'", " }}", OK },
        { "{% if 0 %}", "{% elif 0 %}", "{% endif %}", OK },
        { "{% filter upper", "|upper", "%}{% endfilter %}", E_TOO_BIG },
        { "", "{% set x = 1 %}", "", OK },
    };
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++) {
        const char *source = repeated(chains[i].before, chains[i].part, 3000, chains[i].after);
        struct template_span *spans;
        size_t count;
        enum base_err rc = render_bytes(source, strlen(source), context(), &spans, &count);
        ck_assert_msg(rc == chains[i].code, "%s: %d %s", chains[i].part, rc, g_info.message);
    }
}
END_TEST

START_TEST(compiling_is_bounded)
{
    const char *names = repeated("", "{{ a }}", 10, "");
    g_limits.source_bytes_max = 20;
    expect_error(names, E_TOO_BIG, "the template has 70 bytes", "20");
    jinja_limits_init(&g_limits);
    g_limits.node_count_max = 5;
    expect_error(names, E_TOO_BIG, "line 1, ", "too many parts");
    jinja_limits_init(&g_limits);
    g_limits.memory_bytes_max = 4096;
    expect_error(repeated("", "{{ a }}", 500, ""), E_TOO_BIG, "line 1, ", "too much memory");
    jinja_limits_init(&g_limits);
    char many[16384];
    size_t n = 0;
    for (int i = 0; i < 1100; i++)
        n += (size_t)snprintf(many + n, sizeof many - n, "{{ n%d }}", i);
    expect_error(many, E_TOO_BIG, "line 1, ", "names");
}
END_TEST

START_TEST(endless_templates_run_out_of_steps)
{
    g_limits.step_count_max = 100000;
    static const char *const endless[] = {
        "{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) if false %}{% endfor %}{% for a in range(99999) if false %}"
        "{% endfor %}",
        "{% set s = 'a' * 1000000 %}{% for a in range(100) %}{{ s == s ~ 'b' }}{% endfor %}",
        "{% set s = 'a' * 1000000 %}{% for a in range(1000) %}{% if 'b' in s %}{% endif %}"
        "{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% set ns.y = [1] %}{% for a in range(40) %}"
        "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}"
        "{{ ns.x == ns.y }}",
        "{% set l = range(30000)|list %}{{ l|sort|reverse|list|sort|length }}",
        "{% set ns = namespace(d={}) %}{% for a in range(300) %}"
        "{% set ns.d = dict(ns.d, **{'k' ~ a: a}) %}{% endfor %}",
        "{{ range(2000)|unique|list|length }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
        "{{ f(40) }}",
        "{{ ('a' * 300000 ~ 'b').rfind('a' * 20000 ~ 'c') }}",
    };
    for (size_t i = 0; i < sizeof endless / sizeof endless[0]; i++)
        expect_error(endless[i], E_TOO_BIG, "line 1, ", "steps");
}
END_TEST

START_TEST(recursion_is_bounded)
{
    expect_error("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", E_TOO_BIG, "line 1, ",
                 "nested too deeply");
    expect_error("{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{% call f() %}{% endcall %}"
                 "{% endmacro %}{{ f() }}",
                 E_INVALID, "line 1, ", "caller");
    expect_error("{% macro f(n) %}{% if n %}{{ caller() }}{% call f(n) %}{% endcall %}{% endif %}"
                 "{% endmacro %}{% call f(1) %}{% endcall %}",
                 E_TOO_BIG, "line 1, ", "nested too deeply");
    expect_error("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}", E_TOO_BIG, "line 1, ",
                 "nested too deeply");
    expect_error("{% set ns = namespace(x=[]) %}{% for i in range(2000) %}"
                 "{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x|tojson }}",
                 E_TOO_BIG, "line 1, ", "nested too deeply");
    expect_error("{% set ns = namespace(x=[], y=[]) %}{% for i in range(2000) %}"
                 "{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}{% endfor %}{{ ns.x < ns.y }}",
                 E_TOO_BIG, "line 1, ", "nested too deeply");
    expect_error("{{ ('[' * 5000)|from_json }}", E_TOO_BIG, "line 1, ", "nested too deeply");
}
END_TEST

START_TEST(memory_is_bounded)
{
    g_limits.memory_bytes_max = 1 << 20;
    static const char *const hungry[] = {
        "{% set ns = namespace(s='a') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}"
        "{% endfor %}",
        "{% set ns = namespace(s='a') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}"
        "{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = ns.l + ns.l %}"
        "{% endfor %}",
        "{{ 'a' * 1000000000000 }}",
        "{{ [1] * 1000000000000000000 }}",
        "{{ ('a' * 1000)|replace('', 'b' * 10000) }}",
        "{{ ('a' * 10000)|list|join('b' * 10000) }}",
        "{{ 'a'|indent(1000000000000, true) }}",
        "{{ [1]|tojson(indent=1000000000000) }}",
        "{{ 'a'.ljust(1000000000000) }}",
        "{{ [1]|batch(1000000000, 1)|list }}",
        "{{ range(99999)|list|length }}",
        "{% set ns = namespace(x='aa') %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}"
        "{% endfor %}{{ ns.x|string|length }}",
        "{% set ns = namespace(x=1) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}"
        "{% endfor %}{{ ns.x|tojson|length }}",
        "{% macro m(n) %}{{ 'aaaaaaaaaa' * n }}{% endmacro %}{{ m(m(100)|length * 10000) }}",
    };
    for (size_t i = 0; i < sizeof hungry / sizeof hungry[0]; i++)
        expect_error(hungry[i], E_TOO_BIG, "line 1, ", "");
}
END_TEST

START_TEST(the_text_is_bounded)
{
    g_limits.output_bytes_max = 100;
    expect_error("{% for i in range(101) %}a{% endfor %}", E_TOO_BIG, "line 1, ",
                 "longer than 100 bytes");
    expect_error("{% set x %}{{ 'a' * 101 }}{% endset %}", E_TOO_BIG, "line 1, ", "100 bytes");
    expect_error("{% macro m() %}{{ 'a' * 101 }}{% endmacro %}{{ m() }}", E_TOO_BIG, "line 1, ",
                 "100 bytes");
    expect("{% for i in range(100) %}a{% endfor %}", repeated("[", "a", 100, "]"));
}
END_TEST

START_TEST(ranges_and_widths_are_bounded)
{
    g_limits.range_max = 1000;
    expect_error("{{ range(1001)|length }}", E_TOO_BIG, "line 1, ", "range() of more than 1000");
    expect_error("{{ range(-9223372036854775807, 9223372036854775807)|length }}", E_TOO_BIG,
                 "line 1, ", "range");
    expect("{{ range(1000)|length }}{{ range(9223372036854775806, 9223372036854775807)|list }}",
           "[1000[9223372036854775806]]");
    expect("{{ range(9223372036854775807, -9223372036854775807, -9223372036854775807)|list }}",
           "[[9223372036854775807, 0]]");
    expect_error("{{ '%99999d' % 1 }}", E_TOO_BIG, "line 1, ", "width");
    expect_error("{{ '%.999f' % 1 }}", E_TOO_BIG, "line 1, ", "width");
    expect_error("{{ strftime_now('%9999Y') }}", E_INVALID, "line 1, ", "time");
    expect_error("{{ strftime_now('%Y' * 1000) }}", E_TOO_BIG, "line 1, ", "too long");
    expect("{{ u[-9223372036854775807:9223372036854775807] }}{{ l[::9223372036854775807] }}"
           "{{ u[::-9223372036854775807] }}",
           "{User}[[']{x}[']]{r}");
}
END_TEST

START_TEST(a_small_arena_for_the_text_is_an_error)
{
    const char *source = "{{ 'a' * 5000 }}";
    struct arena small;
    jinja_template *t;
    struct template_span *spans;
    size_t count;
    arena_init(&small, MEM_TEMPLATE, 1024);
    ck_assert_int_eq(jinja_compile(source, strlen(source), &g_limits, &t, &g_info), OK);
    ck_assert_int_eq(jinja_render(t, context(), NOW_S, &g_limits, &small, &spans, &count, &g_info),
                     E_TOO_BIG);
    ck_assert_ptr_null(spans);
    jinja_destroy(t);
    arena_fini(&small);
}
END_TEST

/* ---- Inputs cut short, and refused memory ---- */

static const char everything[] =
    "{#- c -#}\n{% set ns = namespace(n=0, s='') -%}\n{% macro m(a, b=2, *c) %}{% endmacro %}"
    "{%- for m in l if m is string and not m == 'q' -%}{{ loop.index ~ m | upper }}{%- else %}e"
    "{% endfor %}{% raw %}{{ x }}{% endraw %}{% set x | trim %} {{ u[1:-1:2] }}{% endset %}"
    "{{ {'a': [1.5e3, 0x1f, (1,), none], \"b\\n\": true}['a'][0] if d.k is defined else -1 ** 2 }}"
    "{% if a is divisibleby 3 %}{% elif b not in c %}{% break %}{% endif %}{% call(z) m(*l, **d) %}"
    "{{ z }}{% endcall %}{% filter replace('a', 'b') | indent(2) %}a{% endfilter %}\xc3\xa9";

START_TEST(a_template_cut_anywhere_is_an_error_or_a_template)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *mem = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(mem, MAP_FAILED);
    ck_assert_int_eq(mprotect(mem + page, page, PROT_NONE), 0);
    for (size_t len = 0; len < sizeof everything; len++) {
        char *source = mem + page - len;
        struct template_span *spans;
        size_t count;
        memcpy(source, everything, len);
        g_info.message[0] = '\0';
        if (render_bytes(source, len, context(), &spans, &count))
            ck_assert(g_info.message[0] != '\0');
    }
    munmap(mem, 2 * page);
}
END_TEST

#if VALET_CHECKS
static const char features[] =
    "{% macro t(v, k='x') %}{{ k ~ v|tojson(indent=2) }}{{ varargs }}{{ kwargs }}{% endmacro %}"
    "{% set ns = namespace(a='') %}{% for x in l if x is string %}{% set ns.a = ns.a + x + '-' %}"
    "{{ loop.length }}{% endfor %}{{ ns.a }}{{ t(d, 'k', 3, z=4) }}{% set b %}a{{ u }}{% endset %}"
    "{{ b|upper|replace('A', u)|indent }}{{ l|map('upper')|sort|join(', ') }}{{ '%s-%5d' % (u, 3) "
    "}}"
    "{{ spaces.split()|reverse|list }}{{ u[::-1] }}{{ d|dictsort }}{{ json|from_json }}{{ [u, d] }}"
    "{% call t(1) %}c{% endcall %}{% filter trim %} {{ d.items()|list }} {% endfilter %}"
    "{{ 'a\nb'.splitlines() }}{{ '{}'.format(u) }}{{ l|selectattr('x')|list }}{{ cycler(1).next() "
    "}}"
    "{{ range(3)|list|batch(2)|list }}{{ dict(a=1)|tojson(sort_keys=true) }}{{ u.partition('s') }}";

static enum base_err compile_and_render(struct jinja_value vars)
{
    struct arena arena;
    struct template_span *spans;
    size_t count;
    jinja_template *t;
    enum base_err rc = jinja_compile(features, sizeof features - 1, &g_limits, &t, &g_info);
    if (rc)
        return rc;
    arena_init(&arena, MEM_TEMPLATE, ARENA_BYTES);
    rc = jinja_render(t, vars, NOW_S, &g_limits, &arena, &spans, &count, &g_info);
    arena_fini(&arena);
    jinja_destroy(t);
    return rc;
}

START_TEST(a_refused_allocation_is_an_error)
{
    struct jinja_value vars = context();
    uint64_t before = mem_live_blocks();
    for (unsigned n = 1;; n++) {
        ck_assert_uint_lt(n, 1000);
        fault_arm(FAULT_ALLOC, n);
        enum base_err rc = compile_and_render(vars);
        bool fired = fault_disarm();
        ck_assert_uint_eq(mem_live_blocks(), before);
        if (!fired) {
            ck_assert_msg(rc == OK, "%s", g_info.message);
            break;
        }
        ck_assert_int_eq(rc, E_NOMEM);
        ck_assert_int_eq(g_info.code, E_NOMEM);
    }
}
END_TEST
#endif

/* Less memory step by step: every allocation meets the limit once. */
START_TEST(any_limit_of_memory_is_an_error_or_enough)
{
    struct jinja_value vars = context();
    bool enough = false;
    for (size_t max = 0; max < 400000 && !enough; max += max < 20000 ? 160 : 3000) {
        struct template_span *spans;
        size_t count;
        g_limits.memory_bytes_max = max;
        enum base_err rc = render_bytes(everything, sizeof everything - 1, vars, &spans, &count);
        ck_assert_msg(rc == OK || rc == E_TOO_BIG || rc == E_INVALID, "%zu: %d", max, rc);
        enough = rc != E_TOO_BIG;
    }
    ck_assert(enough);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("template.jinja");
    TCase *tc = tcase_create("jinja");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, every_byte_keeps_the_mark_of_its_author);
    tcase_add_test(tc, user_text_never_becomes_trusted);
    tcase_add_test(tc, values_of_every_kind_are_seen);
    tcase_add_test(tc, a_full_arena_refuses_values);
    tcase_add_test(tc, bytes_that_are_no_text_pass_through);
    tcase_add_test(tc, an_empty_text_has_no_spans);
    tcase_add_test(tc, a_template_says_which_names_it_reads);
    tcase_add_test(tc, one_template_renders_many_times);
    tcase_add_test(tc, from_json_reads_json);
    tcase_add_test(tc, errors_say_where_and_why);
    tcase_add_test(tc, a_wrong_byte_in_a_message_is_no_text_there);
    tcase_add_test(tc, nesting_is_bounded);
    tcase_add_test(tc, long_chains_end_in_an_error_or_a_text);
    tcase_add_test(tc, compiling_is_bounded);
    tcase_add_test(tc, endless_templates_run_out_of_steps);
    tcase_add_test(tc, recursion_is_bounded);
    tcase_add_test(tc, memory_is_bounded);
    tcase_add_test(tc, the_text_is_bounded);
    tcase_add_test(tc, ranges_and_widths_are_bounded);
    tcase_add_test(tc, a_small_arena_for_the_text_is_an_error);
    tcase_add_test(tc, a_template_cut_anywhere_is_an_error_or_a_template);
#if VALET_CHECKS
    tcase_add_test(tc, a_refused_allocation_is_an_error);
#endif
    tcase_add_test(tc, any_limit_of_memory_is_an_error_or_enough);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
