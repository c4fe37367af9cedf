#include <string.h>

#include "answers.h"
#include "base/fault.h"
#include "base/mem.h"
#include "client.h"
#include "letters.h"
#include "rig.h"
#include "suite.h"

#define TYPE "Content-Type: application/json\r\n"
#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static const struct rig_options g_options = { .slots = 1, .blocks = 256, .queue_count_max = 4 };

struct row {
    const char *path;
    const char *body;
    int status;
    const char *has; /* the whole body of a 200, a part of an error */
};

static const struct row g_rows[] = {
    { "/tokenize", "{\"prompt\":\"hi\"}", 200,
      "{\"tokens\":[104,105],\"count\":2,\"max_model_len\":4096}" },
    { "/tokenize", "{\"content\":\"h\\u00e9\",\"with_pieces\":true,\"model\":\"org/m\"}", 200,
      "{\"tokens\":[104,195,169],\"count\":3,\"max_model_len\":4096,"
      "\"pieces\":[\"h\",[195],[169]]}" },
    { "/tokenize", "{\"prompt\":\"\",\"with_pieces\":true}", 200,
      "{\"tokens\":[],\"count\":0,\"max_model_len\":4096,\"pieces\":[]}" },
    { "/tokenize", "{\"prompt\":\"<|im_end|>\"}", 200,
      "{\"tokens\":[257],\"count\":1,\"max_model_len\":4096}" },
    { "/tokenize", "{\"prompt\":\"<s\",\"parse_special\":false}", 200,
      "{\"tokens\":[60,115],\"count\":2,\"max_model_len\":4096}" },
    { "/tokenize", "{\"messages\":[{\"role\":\"user\",\"content\":\"<s>\"}]}", 200,
      "{\"tokens\":[256,117,115,101,114,10,60,115,62,257,10,256,97,115,115,105,115,116,97,110,"
      "116,10],\"count\":22,\"max_model_len\":4096}" },
    { "/tokenize", "{}", 400, "\"param\":\"prompt\",\"code\":\"missing_required_parameter\"" },
    { "/tokenize", "{\"prompt\":1}", 400, "\"param\":\"prompt\"" },
    { "/tokenize", "{\"prompt\":\"a\",\"add_special\":1}", 400, "\"param\":\"add_special\"" },
    { "/tokenize", "{\"prompt\":\"a\",\"add_special_tokens\":1}", 400, "add_special_tokens" },
    { "/tokenize", "{\"prompt\":\"a\",\"with_pieces\":1}", 400, "\"param\":\"with_pieces\"" },
    { "/tokenize", "{\"prompt\":\"a\",\"parse_special\":1}", 400, "\"param\":\"parse_special\"" },
    { "/tokenize", "{\"messages\":[]}", 400, "\"param\":\"messages\"" },
    { "/tokenize", "{\"prompt\":\"a\",\"model\":\"x\"}", 404, "model_not_found" },

    { "/detokenize", "{\"tokens\":[104,195,169,257,255]}", 200,
      "{\"prompt\":\"h\xc3\xa9<|im_end|>\xef\xbf\xbd\","
      "\"content\":\"h\xc3\xa9<|im_end|>\xef\xbf\xbd\"}" },
    { "/detokenize", "{\"tokens\":[]}", 200, "{\"prompt\":\"\",\"content\":\"\"}" },
    { "/detokenize", "{\"tokens\":[1,259]}", 400, "\"param\":\"tokens[1]\"" },
    { "/detokenize", "{\"tokens\":[-1]}", 400, "\"param\":\"tokens[0]\"" },
    { "/detokenize", "{\"tokens\":\"a\"}", 400, "\"param\":\"tokens\"" },
    { "/detokenize", "{}", 400, "missing_required_parameter" },
    { "/detokenize", "{\"tokens\":[],\"model\":\"x\"}", 404, "model_not_found" },

    { "/apply-template", "{" HI "}", 200,
      "{\"prompt\":\"<|im_start|>user\\nhi<|im_end|>\\n<|im_start|>assistant\\n\"}" },
    { "/apply-template", "{\"add_generation_prompt\":false," HI "}", 200,
      "{\"prompt\":\"<|im_start|>user\\nhi<|im_end|>\\n\"}" },
    { "/apply-template", "{\"add_generation_prompt\":0," HI "}", 400, "add_generation_prompt" },
    { "/apply-template", "{\"tools\":[{}]," HI "}", 400, "unsupported_parameter" },
    { "/apply-template", "{\"tools\":[],\"chat_template_kwargs\":1," HI "}", 400,
      "\"param\":\"chat_template_kwargs\"" },
    { "/apply-template", "{}", 400, "\"param\":\"messages\"" },
    { "/apply-template", "{\"model\":\"x\"," HI "}", 404, "model_not_found" },
};

START_TEST(each_body_is_answered)
{
    struct rig r;
    rig_start(&r, &g_options, SCRIPT_ECHO);
    for (size_t i = 0; i < sizeof g_rows / sizeof g_rows[0]; i++) {
        const struct row *row = &g_rows[i];
        struct answer a;
        client_once(r.port, "POST", row->path, TYPE, row->body, &a);
        ck_assert_msg(a.status == row->status, "%s: %d %s", row->body, a.status, a.body.data);
        if (row->status == 200)
            ck_assert_str_eq(a.body.data, row->has);
        else
            ck_assert_msg(strstr(a.body.data, row->has) != NULL, "%s", a.body.data);
        answer_fini(&a);
    }
    rig_stop(&r);
}
END_TEST

/* ---- with a template of the model ---- */

#define TEMPLATE                                                                                   \
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'tool' %}"                              \
    "{{ raise_exception('no tools here') }}{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}"   \
    "{% if shout %}!{% endif %}{% if add_generation_prompt %}<|im_start|>{% endif %}"

static const struct rig_options g_template = {
    .slots = 1, .blocks = 256, .queue_count_max = 4, .chat_template = TEMPLATE
};

static const struct row g_template_rows[] = {
    { "/apply-template", "{" HI "}", 200, "{\"prompt\":\"<s>[user]hi<|im_start|>\"}" },
    { "/apply-template",
      "{\"chat_template_kwargs\":{\"shout\":true},\"add_generation_prompt\":false," HI "}", 200,
      "{\"prompt\":\"<s>[user]hi!\"}" },
    { "/apply-template", "{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", 400,
      "no tools here" },
    { "/v1/chat/completions", "{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", 400,
      "\"param\":\"messages\",\"code\":\"invalid_value\"" },
    /* the template's control tokens are tokens, the user's are text */
    { "/tokenize", "{\"with_pieces\":true,\"messages\":[{\"role\":\"user\",\"content\":\"<s>\"}]}",
      200,
      "{\"tokens\":[258,91,117,115,101,114,93,60,115,62,256],\"count\":11,"
      "\"max_model_len\":4096,\"pieces\":[\"<s>\",\"[\",\"u\",\"s\",\"e\",\"r\",\"]\",\"<\","
      "\"s\",\">\",\"<|im_start|>\"]}" },
};

START_TEST(the_models_template_is_used)
{
    struct rig r;
    struct answer a;
    rig_start(&r, &g_template, SCRIPT_ECHO);
    for (size_t i = 0; i < sizeof g_template_rows / sizeof g_template_rows[0]; i++) {
        const struct row *row = &g_template_rows[i];
        client_once(r.port, "POST", row->path, TYPE, row->body, &a);
        ck_assert_msg(a.status == row->status, "%s: %d %s", row->body, a.status, a.body.data);
        ck_assert_msg(strstr(a.body.data, row->has) != NULL, "%s", a.body.data);
        answer_fini(&a);
    }
    client_once_chat(r.port, "{" HI "}", &a);
    ck_assert_ptr_nonnull(strstr(a.body.data, "n=10 ")); /* <s> [user] hi <|im_start|> */
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

static const struct row g_bos_rows[] = {
    { "/tokenize", "{\"prompt\":\"a\",\"with_pieces\":true}", 200,
      "{\"tokens\":[258,97],\"count\":2,\"max_model_len\":4096,\"pieces\":[\"<s>\",\"a\"]}" },
    { "/tokenize", "{\"prompt\":\"<s>a\"}", 200, "{\"tokens\":[258,97],\"count\":2," },
    { "/tokenize", "{\"prompt\":\"a\",\"add_special\":false}", 200,
      "{\"tokens\":[97],\"count\":1," },
    { "/tokenize", "{\"prompt\":\"a\",\"add_special_tokens\":false}", 200,
      "{\"tokens\":[97],\"count\":1," },
    { "/tokenize", "{\"with_pieces\":true," HI "}", 200, "\"pieces\":[\"<s>\",\"<|im_start|>\"," },
    { "/tokenize", "{\"add_special\":false," HI "}", 200, "{\"tokens\":[256,117," },
    { "/v1/completions", "{\"prompt\":\"ab\",\"echo\":true}", 200, "\"text\":\"abn=3 " },
};

START_TEST(bos_is_put_in_front_as_the_vocabulary_asks)
{
    const struct rig_options options = {
        .slots = 1, .blocks = 256, .queue_count_max = 4, .add_bos = true
    };
    struct rig r;
    rig_start(&r, &options, SCRIPT_ECHO);
    for (size_t i = 0; i < sizeof g_bos_rows / sizeof g_bos_rows[0]; i++) {
        const struct row *row = &g_bos_rows[i];
        struct answer a;
        client_once(r.port, "POST", row->path, TYPE, row->body, &a);
        ck_assert_int_eq(a.status, row->status);
        ck_assert_msg(strstr(a.body.data, row->has) != NULL, "%s", a.body.data);
        answer_fini(&a);
    }
    rig_stop(&r);
}
END_TEST

START_TEST(a_template_that_is_none_stops_the_start)
{
    struct tokenizer *t = letters_create(false);
    struct base_err_info info = { 0 };
    struct api *api;
    struct api_options options = { .random = &base_random_system,
                                   .model = { .id = "m",
                                              .fingerprint = "b0",
                                              .context = 64,
                                              .tokenizer = t,
                                              .chat_template = "a{% if %}" } };
    ck_assert_int_eq(api_create(&options, &api, &info), E_INVALID);
    ck_assert_ptr_null(api);
    ck_assert_ptr_nonnull(strstr(info.message, "the chat template of model m: line 1, column "));
    ck_assert_int_eq(api_create(&options, &api, NULL), E_INVALID);
    options.model.chat_template = "";
    ck_assert_int_eq(api_create(&options, &api, &info), OK);
    api_destroy(api);
    options.model.id = NULL;
    ck_assert_int_eq(api_create(&options, &api, &info), E_INVALID);
    tokenizer_destroy(t);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

#if VALET_CHECKS
START_TEST(refused_allocations_are_503)
{
    static const struct row rows[] = {
        { "/tokenize", "{\"with_pieces\":true," HI "}", 200, "pieces" },
        { "/tokenize", "{\"prompt\":\"hi\"}", 200, "tokens" },
        { "/detokenize", "{\"tokens\":[104]}", 200, "content" },
        { "/apply-template", "{" HI "}", 200, "user" },
    };
    struct rig r;
    struct answer first; /* the tenant has its entry afterwards */
    rig_start(&r, &g_template, SCRIPT_ECHO);
    client_once(r.port, "POST", rows[_i].path, TYPE, rows[_i].body, &first);
    answer_fini(&first);
    unsigned refused = 0;
    bool fired = true;
    for (unsigned n = 1; fired; n++) {
        char answer[4096];
        struct client c;
        client_open(&c, r.port, 0);
        fault_arm(FAULT_ALLOC, n);
        client_raw(&c, rows[_i].path, rows[_i].body, answer, sizeof answer);
        fired = fault_disarm();
        client_close(&c);
        refused += strstr(answer, "server_full") != NULL;
        if (!fired)
            ck_assert_ptr_nonnull(strstr(answer, rows[_i].has));
    }
    ck_assert_uint_gt(refused, 1);
    rig_stop(&r);
}
END_TEST
#endif

int main(void)
{
    TCase *tcase = tcase_create("tokenize");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, each_body_is_answered);
    tcase_add_test(tcase, the_models_template_is_used);
    tcase_add_test(tcase, bos_is_put_in_front_as_the_vocabulary_asks);
    tcase_add_test(tcase, a_template_that_is_none_stops_the_start);
#if VALET_CHECKS
    tcase_add_loop_test(tcase, refused_allocations_are_503, 0, 4);
#endif
    return suite_run("tokenize", tcase);
}
