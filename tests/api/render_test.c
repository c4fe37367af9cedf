#include "api/render.h"

#include <string.h>

#include "base/fault.h"
#include "base/mem.h"
#include "bodies.h"
#include "suite.h"

/* Compiles a template and renders a body; {…} around what is trusted. */
static enum base_err render(const char *source, const char *text, struct base_buf *out,
                            struct api_error *error)
{
    struct api_model model = { .bos_text = "<s>", .eos_text = "</s>" };
    struct jinja_limits limits;
    jinja_template *compiled = NULL;
    struct chat_prompt prompt = { 0 };
    struct template_span *spans;
    struct arena arena;
    size_t count;
    json_t *body = json_loads(text, 0, NULL);
    struct api_object object = { .json = body, .error = error };
    jinja_limits_init(&limits);
    arena_init(&arena, MEM_API, 1 << 22);
    enum base_err rc = jinja_compile(source, strlen(source), &limits, &compiled, NULL);
    if (rc)
        rc = api_error_nomem(error);
    if (!rc)
        rc = chat_parse_prompt(&object, &arena, &prompt);
    const struct api_render r = { &model, compiled };
    if (!rc)
        rc = render_chat(&r, &prompt, &arena, &spans, &count, error);
    for (size_t i = 0; !rc && i < count; i++)
        buf_printf(out, spans[i].trusted ? "{%.*s}" : "%.*s", (int)spans[i].len, spans[i].data);
    arena_fini(&arena);
    jinja_destroy(compiled);
    json_decref(body);
    return rc;
}

#define USER "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define LOOP "{% for m in messages %}{{ m.role }}={{ m.content }};{% endfor %}"

static const struct {
    const char *source;
    const char *body;
    const char *text;
} g_rows[] = {
    { LOOP, USER "}", "{user=}hi{;}" },
    { LOOP,
      "{\"messages\":[{\"role\":\"developer\",\"content\":\"d\"},{\"role\":\"user\",\"content\":"
      "[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]},"
      "{\"role\":\"assistant\",\"content\":null},{\"role\":\"tool\",\"content\":\"t\"}]}",
      "{system=}d{;user=}ab{;assistant=;tool=}t{;}" },
    { "{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}{{ tools is none }}", USER "}",
      "{<s></s>TrueTrue}" },
    { "{{ messages[0].name }}|{{ messages[0].tool_call_id }}|{{ messages[0].reasoning_content }}",
      "{\"messages\":[{\"role\":\"tool\",\"content\":\"\",\"name\":\"n\",\"tool_call_id\":\"c\","
      "\"reasoning\":\"r\"}]}",
      "n{|}c{|}r" },
    { "{{ messages[0].name is defined }}", USER "}", "{False}" },
    /* kwargs, whatever is in them; their strings are the user's */
    { "{{ a }}{{ b }}{{ c }}{{ d is none }}{{ e }}{{ f[1].g[0] }}",
      USER ",\"chat_template_kwargs\":{\"a\":1,\"b\":\"<s>\",\"c\":true,\"d\":null,\"e\":1.5,"
           "\"f\":[[],{\"g\":[\"deep\"],\"h\":{}}]}}",
      "{1}<s>{TrueTrue1.5}deep" },
    { "{{ enable_thinking }}", USER ",\"enable_thinking\":false}", "{False}" },
    { "{{ thinking }}", USER ",\"thinking\":true}", "{True}" },
    { "{{ enable_thinking }}",
      USER ",\"enable_thinking\":false,\"chat_template_kwargs\":{\"enable_thinking\":true}}",
      "{True}" },
    { "{{ enable_thinking }}{{ reasoning_effort }}", USER ",\"reasoning_effort\":\"none\"}",
      "{False}none" },
    { "{{ enable_thinking is defined }}{{ reasoning_effort }}",
      USER ",\"reasoning_effort\":\"low\"}", "{False}low" },
    { "{{ enable_thinking is defined }}{{ thinking is defined }}", USER "}", "{FalseFalse}" },
};

START_TEST(each_body_renders_as_expected)
{
    struct base_buf out;
    struct api_error error = { 0 };
    buf_init(&out, MEM_API, 1 << 16);
    enum base_err rc = render(g_rows[_i].source, g_rows[_i].body, &out, &error);
    ck_assert_msg(rc == OK, "%s", error.message);
    ck_assert_str_eq(out.data, g_rows[_i].text);
    buf_fini(&out);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(what_a_template_refuses_is_the_messages_fault)
{
    static const char *const sources[] = { "{{ raise_exception('roles must alternate') }}",
                                           "{{ 1 // 0 }}",
                                           "{% for i in range(99999999) %}{% endfor %}" };
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        struct api_error error;
        ck_assert_int_eq(render(sources[i], USER "}", NULL, &error), E_INVALID);
        ck_assert_str_eq(api_error_name(error.code), "invalid_value");
        ck_assert_str_eq(error.param, "messages");
        if (i == 0)
            ck_assert_ptr_nonnull(strstr(error.message, "roles must alternate"));
    }
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(kwargs_may_be_as_deep_as_a_body)
{
    struct base_buf body;
    struct base_buf out;
    struct api_error error;
    buf_init(&body, MEM_API, 1 << 16);
    buf_init(&out, MEM_API, 1 << 16);
    buf_printf(&body, USER ",\"chat_template_kwargs\":{\"a\":");
    for (int i = 2; i < API_JSON_DEPTH_MAX; i++)
        buf_append_str(&body, i % 2 ? "[" : "{\"b\":");
    buf_append_str(&body, "1");
    for (int i = API_JSON_DEPTH_MAX - 1; i >= 2; i--)
        buf_append_str(&body, i % 2 ? "]" : "}");
    buf_append_str(&body, "}}");
    ck_assert_int_eq(render("{{ a.b[0].b[0] is mapping }}", body.data, &out, &error), OK);
    ck_assert_str_eq(out.data, "{True}");
    buf_fini(&body);
    buf_fini(&out);
}
END_TEST

#if VALET_CHECKS
START_TEST(refused_allocations_refuse_the_request)
{
    for (unsigned n = 1;; n++) {
        struct base_buf out;
        struct api_error error;
        buf_init(&out, MEM_API, 1 << 16);
        buf_reserve(&out, 1 << 12);
        fault_arm(FAULT_ALLOC, n);
        enum base_err rc = render(g_rows[5].source, g_rows[5].body, &out, &error);
        bool fired = fault_disarm();
        buf_fini(&out);
        ck_assert_uint_eq(mem_live_blocks(), 0);
        ck_assert_int_eq(rc, fired ? E_NOMEM : OK);
        if (!fired)
            break;
        ck_assert_str_eq(api_error_name(error.code), "server_full");
    }
}
END_TEST
#endif

int main(void)
{
    TCase *tcase = tcase_create("render");
    tcase_add_loop_test(tcase, each_body_renders_as_expected, 0,
                        (int)(sizeof g_rows / sizeof g_rows[0]));
    tcase_add_test(tcase, what_a_template_refuses_is_the_messages_fault);
    tcase_add_test(tcase, kwargs_may_be_as_deep_as_a_body);
#if VALET_CHECKS
    tcase_add_test(tcase, refused_allocations_refuse_the_request);
#endif
    return suite_run("render", tcase);
}
