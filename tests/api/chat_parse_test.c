#include "api/chat_parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "bodies.h"
#include "suite.h"

#define USER "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define MESSAGE(text) "{\"messages\":[" text "]}"
#define CONTENT(text) MESSAGE("{\"role\":\"user\",\"content\":" text "}")

static const struct body_row g_rows[] = {
    /* the body itself */
    { "", "invalid_json", NULL, "line 1" },
    { "{", "invalid_json", NULL, "line 1, column 1" },
    { "[]", "invalid_json", NULL, "expected a JSON object" },
    { "\"x\"", "invalid_json", NULL, "line 1" },
    { USER ",\n\n  \"n\":}", "invalid_json", NULL, "line 3, column 7" },
    { USER "} x", "invalid_json", NULL, "line 1" },
    { USER ",\"n\":1,\"n\":1}", "invalid_json", NULL, "duplicate" },
    { CONTENT("\"\xff\""), "invalid_json", NULL, "line 1" },
    { CONTENT("\"\xc3\""), "invalid_json", NULL, "line 1" },
    { CONTENT("\"\\ud800\""), "invalid_json", NULL, "line 1" },
    { USER ",\"seed\":99999999999999999999}", "invalid_json", NULL, "line 1" },

    /* messages */
    { "{}", "missing_required_parameter", "messages", "messages: required" },
    { "{\"messages\":null}", "missing_required_parameter", "messages", "required" },
    { "{\"messages\":[]}", "invalid_value", "messages", "got []" },
    { "{\"messages\":{}}", "invalid_value", "messages", "got {}" },
    { "{\"messages\":\"hi\"}", "invalid_value", "messages", "got \"hi\"" },
    { MESSAGE("1"), "invalid_value", "messages[0]", "got 1" },
    { MESSAGE("null"), "invalid_value", "messages[0]", "got null" },
    { MESSAGE("{}"), "missing_required_parameter", "messages[0].role", NULL },
    { MESSAGE("{\"role\":1}"), "invalid_value", "messages[0].role", "got 1" },
    { MESSAGE("{\"role\":\"root\",\"content\":\"\"}"), "invalid_value", "messages[0].role",
      "messages[0].role: expected system, developer, user, assistant or tool, got \"root\"" },
    { MESSAGE("{\"role\":\"user\"}"), "missing_required_parameter", "messages[0].content", NULL },
    { CONTENT("null"), "missing_required_parameter", "messages[0].content", NULL },
    { CONTENT("1"), "invalid_value", "messages[0].content", "got 1" },
    { CONTENT("{}"), "invalid_value", "messages[0].content", NULL },
    { CONTENT("[]"), "invalid_value", "messages[0].content", "at least one part" },
    { CONTENT("[1]"), "invalid_value", "messages[0].content[0]", "got 1" },
    { CONTENT("[{}]"), "missing_required_parameter", "messages[0].content[0].type", NULL },
    { CONTENT("[{\"type\":\"text\"}]"), "missing_required_parameter", "messages[0].content[0].text",
      NULL },
    { CONTENT("[{\"type\":\"text\",\"text\":1}]"), "invalid_value", "messages[0].content[0].text",
      "got 1" },
    { CONTENT("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\"}]"),
      "unsupported_parameter", "messages[0].content[1].type", "got \"image_url\"" },
    { CONTENT("[{\"type\":\"smell\"}]"), "invalid_value", "messages[0].content[0].type", NULL },
    { CONTENT("\"\""), NULL, NULL, "<user:>" },
    { CONTENT("\"a\\u0000b\""), NULL, NULL, "<user:a" },
    { CONTENT("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]"), NULL,
      NULL, "<user:ab>" },
    { MESSAGE("{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"u\"},"
              "{\"role\":\"assistant\",\"content\":null},{\"role\":\"tool\",\"content\":\"t\"}"),
      NULL, NULL, "<system:s> <user:u> <assistant:> <tool:t>" },
    { MESSAGE("{\"role\":\"developer\",\"content\":\"d\"}"), NULL, NULL, "<system:d>" },
    { MESSAGE("{\"role\":\"assistant\"}"), NULL, NULL, "<assistant:>" },
    { MESSAGE("{\"role\":\"assistant\",\"tool_calls\":[{}]}"), "unsupported_parameter",
      "messages[0].tool_calls", NULL },
    { MESSAGE("{\"role\":\"assistant\",\"tool_calls\":1}"), "invalid_value",
      "messages[0].tool_calls", NULL },
    { MESSAGE("{\"role\":\"assistant\",\"tool_calls\":[]}"), NULL, NULL, "<assistant:>" },
    { MESSAGE("{\"role\":\"assistant\",\"function_call\":{}}"), "unsupported_parameter",
      "messages[0].function_call", NULL },
    { MESSAGE("{\"role\":\"assistant\",\"audio\":{}}"), "unsupported_parameter",
      "messages[0].audio", NULL },
    { MESSAGE("{\"role\":\"user\",\"content\":\"\",\"name\":1}"), "invalid_value",
      "messages[0].name", NULL },
    { MESSAGE("{\"role\":\"tool\",\"content\":\"\",\"tool_call_id\":1}"), "invalid_value",
      "messages[0].tool_call_id", NULL },
    { MESSAGE("{\"role\":\"assistant\",\"reasoning_content\":1}"), "invalid_value",
      "messages[0].reasoning_content", NULL },
    { MESSAGE("{\"role\":\"assistant\",\"reasoning\":[]}"), "invalid_value",
      "messages[0].reasoning", NULL },

    /* model */
    { ",\"model\":\"m\"}", NULL, NULL, "model=m " },
    { ",\"model\":null}", NULL, NULL, "model= " },
    { ",\"model\":7}", "invalid_value", "model", "expected a string, got 7" },

    /* length of the answer */
    { "}", NULL, NULL,
      "max=-1 t=1 p=1 k=0 minp=0 typ=1 sigma=-1 xtc=0/0.1 pres=0 freq=0 rep=1/0 "
      "dry=0/1.75/2/0 breakers=0 miro=0/5/0.1 bias=0 seed=none stops=0 ids=0 min=0 ignore=0 "
      "include=0 salt=0 n=1 best=1 logprobs=0/0 ids_too=0 class=normal tier=0 echo=0 continues=0 "
      "stream=0 usage=0/0 unknown=0" },
    { ",\"max_tokens\":5}", NULL, NULL, "max=5 " },
    { ",\"max_tokens\":5.0}", NULL, NULL, "max=5 " },
    { ",\"max_completion_tokens\":2147483647}", NULL, NULL, "max=2147483647 " },
    { ",\"max_completion_tokens\":7,\"max_tokens\":7}", NULL, NULL, "max=7 " },
    { ",\"max_completion_tokens\":7,\"max_tokens\":8}", "invalid_value", "max_tokens",
      "of max_completion_tokens, 7, or none, got 8" },
    { ",\"max_tokens\":0}", "invalid_value", "max_tokens",
      "max_tokens: expected a whole number from 1 to 2147483647, got 0" },
    { ",\"max_tokens\":-1}", "invalid_value", "max_tokens", "got -1" },
    { ",\"max_tokens\":1.5}", "invalid_value", "max_tokens", "got 1.5" },
    { ",\"max_tokens\":\"5\"}", "invalid_value", "max_tokens", "got \"5\"" },
    { ",\"max_completion_tokens\":2147483648}", "invalid_value", "max_completion_tokens", NULL },
    { ",\"max_completion_tokens\":1e300}", "invalid_value", "max_completion_tokens", NULL },

    /* logprobs */
    { ",\"logprobs\":false}", NULL, NULL, "logprobs=0/0" },
    { ",\"logprobs\":true}", NULL, NULL, "logprobs=1/0" },
    { ",\"logprobs\":true,\"top_logprobs\":20}", NULL, NULL, "logprobs=1/20" },
    { ",\"logprobs\":1}", "invalid_value", "logprobs", NULL },
    { ",\"logprobs\":true,\"top_logprobs\":21}", "invalid_value", "top_logprobs", NULL },
    { ",\"logprobs\":true,\"top_logprobs\":-1}", "invalid_value", "top_logprobs", NULL },
    { ",\"logprobs\":true,\"top_logprobs\":\"5\"}", "invalid_value", "top_logprobs", NULL },
    { ",\"top_logprobs\":5}", "invalid_value", "top_logprobs", "none without" },
    { ",\"logprobs\":false,\"top_logprobs\":5}", "invalid_value", "top_logprobs", NULL },
    { ",\"top_logprobs\":0}", NULL, NULL, "logprobs=0/0" },

    /* the template */
    { ",\"chat_template_kwargs\":{\"tools\":1}}", "invalid_value", "chat_template_kwargs.tools",
      NULL },
    { ",\"enable_thinking\":1}", "invalid_value", "enable_thinking", NULL },
    { ",\"thinking\":\"x\"}", "invalid_value", "thinking", NULL },
    { ",\"reasoning_effort\":1}", "invalid_value", "reasoning_effort", NULL },

    /* known, and without effect as long as they ask for nothing */
    { ",\"tools\":[]}", NULL, NULL, "unknown=0" },
    { ",\"tools\":[{}]}", "unsupported_parameter", "tools", "expected [], got [{}]" },
    { ",\"tools\":{}}", "invalid_value", "tools", NULL },
    { ",\"functions\":[1]}", "unsupported_parameter", "functions", NULL },
    { ",\"tool_choice\":\"auto\"}", NULL, NULL, "unknown=0" },
    { ",\"tool_choice\":\"none\"}", NULL, NULL, "unknown=0" },
    { ",\"tool_choice\":\"required\"}", "unsupported_parameter", "tool_choice", NULL },
    { ",\"tool_choice\":{\"type\":\"function\"}}", "unsupported_parameter", "tool_choice", NULL },
    { ",\"tool_choice\":\"none auto\"}", "invalid_value", "tool_choice", NULL },
    { ",\"tool_choice\":\"aut\"}", "invalid_value", "tool_choice", NULL },
    { ",\"tool_choice\":\"\"}", "invalid_value", "tool_choice", NULL },
    { ",\"tool_choice\":3}", "invalid_value", "tool_choice", NULL },
    { ",\"function_call\":\"auto\"}", NULL, NULL, "unknown=0" },
    { ",\"function_call\":{}}", "unsupported_parameter", "function_call", NULL },
    { ",\"parallel_tool_calls\":true}", NULL, NULL, "unknown=0" },
    { ",\"parallel_tool_calls\":1}", "invalid_value", "parallel_tool_calls", NULL },
    { ",\"reasoning_effort\":\"low\"}", NULL, NULL, "unknown=0" },
    { ",\"reasoning_effort\":\"huge\"}", "invalid_value", "reasoning_effort", NULL },
    { ",\"chat_template_kwargs\":{\"a\":1}}", NULL, NULL, "unknown=0" },
    { ",\"chat_template_kwargs\":[]}", "invalid_value", "chat_template_kwargs", NULL },
    { ",\"audio\":{}}", "unsupported_parameter", "audio", NULL },
    { ",\"modalities\":[\"text\"]}", NULL, NULL, "unknown=0" },
    { ",\"modalities\":[\"text\",\"audio\"]}", "unsupported_parameter", "modalities", NULL },
    { ",\"modalities\":[]}", "invalid_value", "modalities", NULL },
    { ",\"modalities\":[1]}", "invalid_value", "modalities", NULL },
    { ",\"prediction\":{}}", "unsupported_parameter", "prediction", NULL },
    { ",\"web_search_options\":{}}", "unsupported_parameter", "web_search_options", NULL },
};

static enum base_err parse(const char *data, size_t len, struct base_buf *out,
                           struct api_error *error)
{
    struct api_model model = body_model(false, 4096);
    struct chat_params params;
    struct arena arena;
    json_t *body;
    arena_init(&arena, MEM_API, 1 << 20);
    enum base_err rc = api_json_parse(data, len, &body, error);
    if (!rc)
        rc = chat_parse(body, &model, &arena, &params, error);
    if (!rc) {
        body_describe(&params.common, out);
        for (size_t i = 0; i < params.prompt.message_count; i++) {
            const struct template_message *m = &params.prompt.messages[i];
            buf_printf(out, " <%.*s:%.*s>", (int)m->role_len, m->role, (int)m->content_len,
                       m->content);
        }
    }
    json_decref(body);
    arena_fini(&arena);
    tokenizer_destroy((struct tokenizer *)(uintptr_t)model.tokenizer);
    return rc;
}

START_TEST(each_body_is_read_or_refused_with_its_field)
{
    body_check(&g_rows[_i], USER, parse);
}
END_TEST

START_TEST(each_shared_field_is_read_or_refused)
{
    body_check(&body_shared_rows[_i], USER, parse);
}
END_TEST

/* The input ends where the page ends, so that reading too far crashes. */
START_TEST(a_cut_body_is_refused_at_every_length)
{
    static const char whole[] = USER ",\"stop\":[\"\xc3\xa9\\n\"],\"temperature\":0.5,"
                                     "\"stream\":true,\"stream_options\":{\"x\":null}}";
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(map, MAP_FAILED);
    ck_assert_int_eq(mprotect(map + page, page, PROT_NONE), 0);
    struct base_buf read;
    struct api_error error;
    buf_init(&read, MEM_API, 1 << 16);
    for (size_t len = 0; len < sizeof whole; len++) {
        char *data = map + page - len;
        memcpy(data, whole, len);
        enum base_err rc = parse(data, len, &read, &error);
        ck_assert_int_eq(rc, len == sizeof whole - 1 ? OK : E_INVALID);
    }
    buf_fini(&read);
    munmap(map, 2 * page);
}
END_TEST

START_TEST(depth_128_is_read_and_129_is_refused)
{
    struct api_error error;
    for (int depth = 128; depth <= 129; depth++) {
        struct base_buf body;
        struct base_buf read;
        buf_init(&body, MEM_API, 1 << 16);
        buf_init(&read, MEM_API, 1 << 16);
        buf_printf(&body, USER ",\"quote\":\"\\\"[[[[\",\n\"x\":");
        for (int i = 1; i < depth; i++)
            buf_append_str(&body, "[");
        for (int i = 1; i < depth; i++)
            buf_append_str(&body, "]");
        buf_append_str(&body, "}");
        enum base_err rc = parse(body.data, body.len, &read, &error);
        ck_assert_int_eq(rc, depth == 128 ? OK : E_INVALID);
        buf_fini(&body);
        buf_fini(&read);
    }
    ck_assert_str_eq(api_error_name(error.code), "invalid_json");
    ck_assert_str_eq(error.message,
                     "the body is nested deeper than 128 levels: line 2, column 132");
}
END_TEST

/* Each takes far more memory than bytes in the body. */
START_TEST(a_body_has_1048576_values_at_most)
{
    const int rest = 6; /* the body, messages, the message, its two fields, the list */
    struct api_error error;
    for (int count = 1048576; count <= 1048577; count++) {
        struct base_buf body;
        struct base_buf read;
        buf_init(&body, MEM_API, 1 << 23);
        buf_init(&read, MEM_API, 1 << 16);
        buf_append_str(&body, USER ",\"x\":[0");
        for (int i = 1; i < count - rest; i++)
            buf_append_str(&body, ",0");
        buf_append_str(&body, "]}");
        enum base_err rc = parse(body.data, body.len, &read, &error);
        ck_assert_int_eq(rc, count == 1048576 ? OK : E_INVALID);
        buf_fini(&body);
        buf_fini(&read);
    }
    ck_assert_str_eq(api_error_name(error.code), "invalid_json");
    ck_assert_ptr_nonnull(strstr(error.message, "more than 1048576 values: line 1, column "));
}
END_TEST

START_TEST(a_value_in_a_message_is_cut_at_200_bytes)
{
    struct base_buf body;
    struct api_error error;
    buf_init(&body, MEM_API, 1 << 16);
    buf_printf(&body, USER ",\"model\":[\"a");
    for (int i = 0; i < 500; i++)
        buf_append_str(&body, "\xc3\xa9"); /* a cut at byte 200 would be inside one */
    buf_append_str(&body, "\"]}");
    ck_assert_int_eq(parse(body.data, body.len, NULL, &error), E_INVALID);
    const char *got = strstr(error.message, "got ") + 4;
    ck_assert_uint_eq(strlen(got), 199 + 3);
    ck_assert_str_eq(got + strlen(got) - 5, "\xc3\xa9...");
    buf_fini(&body);
}
END_TEST

START_TEST(stop_strings_have_1_to_256_bytes)
{
    struct api_error error;
    for (int len = 256; len <= 257; len++) {
        struct base_buf body;
        struct base_buf read;
        buf_init(&body, MEM_API, 1 << 16);
        buf_init(&read, MEM_API, 1 << 16);
        buf_printf(&body, USER ",\"stop\":[\"%0*d\"]}", len, 0);
        ck_assert_int_eq(parse(body.data, body.len, &read, &error), len == 256 ? OK : E_INVALID);
        buf_fini(&body);
        buf_fini(&read);
    }
    ck_assert_str_eq(error.param, "stop[0]");
}
END_TEST

START_TEST(a_bias_has_1024_entries_at_most)
{
    struct api_error error;
    for (int count = 1024; count <= 1025; count++) {
        struct base_buf body;
        struct base_buf read;
        buf_init(&body, MEM_API, 1 << 20);
        buf_init(&read, MEM_API, 1 << 20);
        buf_printf(&body, USER ",\"logit_bias\":{");
        for (int i = 0; i < count; i++) /* 1024 different keys for 259 ids */
            buf_printf(&body, "%s\"%0*d\":1", i ? "," : "",
                       1 + i / 259 + (i % 259 > 9) + (i % 259 > 99), i % 259);
        buf_append_str(&body, "}}");
        enum base_err rc = parse(body.data, body.len, &read, &error);
        ck_assert_msg(rc == (count == 1024 ? OK : E_INVALID), "%d: %s", count, error.message);
        buf_fini(&body);
        buf_fini(&read);
    }
    ck_assert_str_eq(error.param, "logit_bias");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("chat_parse");
    tcase_add_loop_test(tcase, each_body_is_read_or_refused_with_its_field, 0,
                        (int)(sizeof g_rows / sizeof g_rows[0]));
    tcase_add_loop_test(tcase, each_shared_field_is_read_or_refused, 0, (int)body_shared_count);
    tcase_add_test(tcase, a_cut_body_is_refused_at_every_length);
    tcase_add_test(tcase, depth_128_is_read_and_129_is_refused);
    tcase_add_test(tcase, a_body_has_1048576_values_at_most);
    tcase_add_test(tcase, a_value_in_a_message_is_cut_at_200_bytes);
    tcase_add_test(tcase, stop_strings_have_1_to_256_bytes);
    tcase_add_test(tcase, a_bias_has_1024_entries_at_most);
    return suite_run("chat_parse", tcase);
}
