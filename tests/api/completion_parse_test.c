#include "api/completion_parse.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "bodies.h"
#include "suite.h"

#define HI "{\"prompt\":\"hi\""

static const struct body_row g_rows[] = {
    { "[]", "invalid_json", NULL, NULL },

    /* prompt */
    { "{}", "missing_required_parameter", "prompt", NULL },
    { "{\"prompt\":null}", "missing_required_parameter", "prompt", NULL },
    { "{\"prompt\":1}", "invalid_value", "prompt", "got 1" },
    { "{\"prompt\":{}}", "invalid_value", "prompt", NULL },
    { "{\"prompt\":[]}", "invalid_value", "prompt", "got []" },
    { "{\"prompt\":[null]}", "invalid_value", "prompt[0]", NULL },
    { "{\"prompt\":\"\"}", NULL, NULL, "one=1 <>" },
    { "{\"prompt\":\"hi\"}", NULL, NULL, "one=1 <hi>" },
    { "{\"prompt\":[\"a\",\"b\"]}", NULL, NULL, "one=0 <a> <b>" },
    { "{\"prompt\":[\"a\",1]}", "invalid_value", "prompt[1]", "expected a string" },
    { "{\"prompt\":[\"a\",[1]]}", "invalid_value", "prompt[1]", NULL },
    { "{\"prompt\":[1,258]}", NULL, NULL, "one=1 (1,258,)" },
    { "{\"prompt\":[1.0]}", NULL, NULL, "one=1 (1,)" },
    { "{\"prompt\":[1,259]}", "invalid_value", "prompt[1]",
      "prompt[1]: expected a token id from 0 to 258, got 259" },
    { "{\"prompt\":[-1]}", "invalid_value", "prompt[0]", NULL },
    { "{\"prompt\":[1,\"a\"]}", "invalid_value", "prompt[1]", NULL },
    { "{\"prompt\":[1.5]}", "invalid_value", "prompt[0]", NULL },
    { "{\"prompt\":[[1,2],[],[3]]}", NULL, NULL, "one=0 (1,2,) () (3,)" },
    { "{\"prompt\":[[1],[2,300]]}", "invalid_value", "prompt[1][1]", NULL },
    { "{\"prompt\":[[1],\"a\"]}", "invalid_value", "prompt[1]", "an array of token ids" },
    { ",\"parse_special\":false}", NULL, NULL, "special=0" },
    { "}", NULL, NULL, "special=1" },
    { ",\"parse_special\":0}", "invalid_value", "parse_special", NULL },

    /* length */
    { "}", NULL, NULL, "max=16 " },
    { ",\"max_tokens\":1}", NULL, NULL, "max=1 " },
    { ",\"max_tokens\":0,\"echo\":true}", NULL, NULL, "max=0 " },
    { ",\"max_tokens\":0}", "invalid_value", "max_tokens", "at least 1 without" },
    { ",\"max_tokens\":0,\"echo\":false}", "invalid_value", "max_tokens", NULL },
    { ",\"max_tokens\":-1,\"echo\":true}", "invalid_value", "max_tokens", NULL },
    { ",\"max_tokens\":\"1\"}", "invalid_value", "max_tokens", NULL },
    { ",\"max_tokens\":2147483648}", "invalid_value", "max_tokens", NULL },
    { ",\"echo\":true}", NULL, NULL, "echo=1 continues=1 " },
    { ",\"echo\":false}", NULL, NULL, "echo=0 continues=1 " },
    { ",\"echo\":1}", "invalid_value", "echo", NULL },
    { ",\"suffix\":\"x\"}", "unsupported_parameter", "suffix", NULL },
    { ",\"suffix\":null}", NULL, NULL, "unknown=0" },

    /* logprobs */
    { ",\"logprobs\":0}", NULL, NULL, "logprobs=1/0" },
    { ",\"logprobs\":20}", NULL, NULL, "logprobs=1/20" },
    { ",\"logprobs\":null}", NULL, NULL, "logprobs=0/0" },
    { ",\"logprobs\":21}", "invalid_value", "logprobs", NULL },
    { ",\"logprobs\":-1}", "invalid_value", "logprobs", NULL },
    { ",\"logprobs\":true}", "invalid_value", "logprobs", NULL },

    /* choices */
    { ",\"n\":2}", NULL, NULL, "n=2 best=2 " },
    { ",\"n\":2,\"best_of\":5}", NULL, NULL, "n=2 best=5 " },
    { ",\"n\":2,\"best_of\":1}", "invalid_value", "best_of", "from 2 to 128" },
    { ",\"best_of\":129}", "invalid_value", "best_of", NULL },
    { ",\"best_of\":\"2\"}", "invalid_value", "best_of", NULL },
    { ",\"best_of\":2,\"stream\":true}", "invalid_value", "best_of", NULL },
    { ",\"n\":2,\"best_of\":2,\"stream\":true}", NULL, NULL, "n=2 best=2 " },
    { "{\"prompt\":[\"a\",\"b\"],\"n\":64}", NULL, NULL, "n=64 best=64 " },
    { "{\"prompt\":[\"a\",\"b\"],\"n\":65}", "invalid_value", "n",
      "n: expected at most 128 choices of all prompts together, got 65 of each of 2 prompts" },
    { "{\"prompt\":[\"a\",\"b\"],\"best_of\":65}", "invalid_value", "best_of", NULL },

    /* fields of chats mean nothing here */
    { ",\"messages\":1,\"top_logprobs\":1,\"max_completion_tokens\":0}", NULL, NULL, "unknown=3" },
};

static enum base_err parse(const char *data, size_t len, struct base_buf *out,
                           struct api_error *error)
{
    struct api_model model = body_model(false, 4096);
    struct completion_params params;
    struct arena arena;
    json_t *body;
    arena_init(&arena, MEM_API, 1 << 20);
    enum base_err rc = api_json_parse(data, len, &body, error);
    if (!rc)
        rc = completion_parse(body, &model, &arena, &params, error);
    if (!rc) {
        body_describe(&params.common, out);
        buf_printf(out, " special=%d one=%d", params.parse_special, params.one);
    }
    for (size_t i = 0; !rc && i < params.prompt_count; i++) {
        const struct completion_prompt *p = &params.prompts[i];
        if (p->text)
            buf_printf(out, " <%.*s>", (int)p->len, p->text);
        else
            buf_append_str(out, " (");
        for (size_t k = 0; k < p->count; k++)
            buf_printf(out, "%d,", p->ids[k]);
        if (!p->text)
            buf_append_str(out, ")");
    }
    json_decref(body);
    arena_fini(&arena);
    tokenizer_destroy((struct tokenizer *)(uintptr_t)model.tokenizer);
    return rc;
}

START_TEST(each_body_is_read_or_refused_with_its_field)
{
    body_check(&g_rows[_i], HI, parse);
}
END_TEST

START_TEST(each_shared_field_is_read_or_refused)
{
    body_check(&body_shared_rows[_i], HI, parse);
}
END_TEST

START_TEST(there_are_128_prompts_at_most)
{
    struct api_error error;
    for (int count = 128; count <= 129; count++) {
        struct base_buf body;
        struct base_buf read;
        buf_init(&body, MEM_API, 1 << 16);
        buf_init(&read, MEM_API, 1 << 16);
        buf_append_str(&body, "{\"prompt\":[");
        for (int i = 0; i < count; i++)
            buf_printf(&body, "%s\"x\"", i ? "," : "");
        buf_append_str(&body, "]}");
        ck_assert_int_eq(parse(body.data, body.len, &read, &error), count == 128 ? OK : E_INVALID);
        buf_fini(&body);
        buf_fini(&read);
    }
    ck_assert_str_eq(error.param, "prompt");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("completion_parse");
    tcase_add_loop_test(tcase, each_body_is_read_or_refused_with_its_field, 0,
                        (int)(sizeof g_rows / sizeof g_rows[0]));
    tcase_add_loop_test(tcase, each_shared_field_is_read_or_refused, 0, (int)body_shared_count);
    tcase_add_test(tcase, there_are_128_prompts_at_most);
    return suite_run("completion_parse", tcase);
}
