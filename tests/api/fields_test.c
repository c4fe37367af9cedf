/* Every known field of every route with wrong values, and bodies that are none. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "answers.h"
#include "api/json.h"
#include "api/params.h"
#include "base/mem.h"
#include "client.h"
#include "rig.h"
#include "suite.h"

#define JSON_TYPE "Content-Type: application/json\r\n"
#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

enum {
    WRONG_MAX = 4,
    BODY_BYTES_MAX = 8 << 20 /* as the server's own limit */
};

/* A value that is only wrong by its size. */
enum size_kind {
    NO_SIZE,
    LONG_TEXT, /* so many bytes */
    LONG_LIST, /* so many strings */
    IDS,       /* so many token ids */
    BIASES     /* so many members "i": 1 */
};

struct field_row {
    const char *name;
    const char *wrong[WRONG_MAX]; /* JSON: of another type first, then out of range */
    enum size_kind kind;
    size_t size;
    const char *with; /* further fields, each with a comma before it */
};

static const struct field_row g_rows[] = {
    { "model", .wrong = { "1", "[]", "\"gpt\"" } },
    { "messages", .wrong = { "\"hi\"", "[]", "[1]", "[{\"role\":\"nobody\",\"content\":\"x\"}]" } },
    { "prompt", .wrong = { "1", "{}" } },
    { "max_completion_tokens", .wrong = { "\"1\"", "0", "2147483648", "1.5" } },
    { "max_tokens", .wrong = { "\"1\"", "-1", "2147483648", "[]" } },
    { "temperature", .wrong = { "\"1\"", "-0.1", "2.1" } },
    { "top_p", .wrong = { "\"1\"", "0", "1.1" } },
    { "top_k", .wrong = { "\"1\"", "-2", "2147483648", "1.5" } },
    { "min_p", .wrong = { "\"1\"", "-0.1", "1.1" } },
    { "typical_p", .wrong = { "\"1\"", "-0.1", "1.1" } },
    { "top_n_sigma", .wrong = { "\"1\"", "-2" } },
    { "xtc_probability", .wrong = { "\"1\"", "-0.1", "1.1" } },
    { "xtc_threshold", .wrong = { "\"1\"", "-0.1", "1.1" } },
    { "presence_penalty", .wrong = { "\"1\"", "-2.1", "2.1" } },
    { "frequency_penalty", .wrong = { "\"1\"", "-2.1", "2.1" } },
    { "repetition_penalty", .wrong = { "\"1\"", "0", "10.1" } },
    { "repeat_penalty", .wrong = { "\"1\"", "0", "10.1" } },
    { "repeat_last_n", .wrong = { "\"1\"", "-2", "4097" } },
    { "dry_multiplier", .wrong = { "\"1\"", "-1" } },
    { "dry_base", .wrong = { "\"1\"", "0.5" } },
    { "dry_allowed_length", .wrong = { "\"1\"", "0" } },
    { "dry_penalty_last_n", .wrong = { "\"1\"", "-2" } },
    { "dry_sequence_breakers", .wrong = { "\"x\"", "[1]", "[\"\"]" } },
    { "mirostat", .wrong = { "\"1\"", "-1", "3" } },
    { "mirostat_tau", .wrong = { "\"1\"", "0" } },
    { "mirostat_eta", .wrong = { "\"1\"", "0" } },
    { "logit_bias", .wrong = { "[]", "{\"1\":101}", "{\"-1\":1}", "{\"x\":1}" }, .kind = BIASES,
      .size = 1025 },
    { "seed", .wrong = { "\"1\"", "1.5" } },
    { "stop", .wrong = { "1", "\"\"", "[1]" }, .kind = LONG_LIST, .size = 17 },
    { "stop", .wrong = { "{}", "[\"\"]" }, .kind = LONG_TEXT, .size = 257 },
    { "stop_token_ids", .wrong = { "1", "[-1]", "[259]" }, .kind = IDS, .size = 65 },
    { "min_tokens", .wrong = { "\"1\"", "-1" } },
    { "ignore_eos", .wrong = { "1" } },
    { "include_stop_str_in_output", .wrong = { "1" } },
    { "stream", .wrong = { "1", "\"true\"" } },
    { "stream_options", .wrong = { "1", "{\"include_usage\":1}" }, .with = ",\"stream\":true" },
    { "n", .wrong = { "\"1\"", "0", "129" } },
    { "best_of", .wrong = { "\"1\"", "0", "129" } },
    { "echo", .wrong = { "1" } },
    { "parse_special", .wrong = { "1" } },
    { "logprobs", .wrong = { "\"1\"", "-1", "21" } }, /* of a chat: no bool */
    { "top_logprobs", .wrong = { "\"1\"", "-1", "21" }, .with = ",\"logprobs\":true" },
    { "cache_salt", .wrong = { "1", "\"\"" }, .kind = LONG_TEXT, .size = 1025 },
    { "return_token_ids", .wrong = { "1" } },
    { "chat_template_kwargs", .wrong = { "1", "{\"messages\":[]}" } },
    { "enable_thinking", .wrong = { "1" } },
    { "thinking", .wrong = { "1" } },
    { "add_generation_prompt", .wrong = { "1" } },
    { "content", .wrong = { "1" } },
    { "add_special", .wrong = { "1" } },
    { "add_special_tokens", .wrong = { "1" } },
    { "with_pieces", .wrong = { "1" } },
    { "tokens", .wrong = { "1", "[-1]", "[259]", "[\"a\"]" } },
    { "user", .wrong = { "1" } },
    { "safety_identifier", .wrong = { "1" } },
    { "metadata", .wrong = { "1" } },
    { "store", .wrong = { "1" } },
    { "prompt_cache_key", .wrong = { "1" } },
    { "tools", .wrong = { "1", "[{}]" } },
    { "functions", .wrong = { "1", "[{}]" } },
    { "tool_choice", .wrong = { "1", "\"some\"", "\"required\"" } },
    { "function_call", .wrong = { "1", "\"some\"" } },
    { "parallel_tool_calls", .wrong = { "1" } },
    { "response_format", .wrong = { "1", "{}", "{\"type\":\"xml\"}" } },
    { "grammar", .wrong = { "\"x\"" } },
    { "json_schema", .wrong = { "{}" } },
    { "guided_json", .wrong = { "{}" } },
    { "guided_regex", .wrong = { "\"x\"" } },
    { "guided_choice", .wrong = { "[]" } },
    { "guided_grammar", .wrong = { "\"x\"" } },
    { "suffix", .wrong = { "\"x\"" } },
    { "timings_per_token", .wrong = { "1", "true" } },
    { "return_progress", .wrong = { "1", "true" } },
    { "reasoning_effort", .wrong = { "1", "\"huge\"" } },
    { "priority", .wrong = { "true", "1", "\"urgent\"" } },
    { "service_tier", .wrong = { "1", "\"gold\"" } },
    { "audio", .wrong = { "{}" } },
    { "modalities", .wrong = { "\"text\"", "[]", "[\"audio\"]" } },
    { "prediction", .wrong = { "{}" } },
    { "web_search_options", .wrong = { "{}" } },
};

static const struct {
    const char *path;
    enum params_route route;
} g_routes[] = {
    { "/v1/chat/completions", PARAMS_CHAT },  { "/chat/completions", PARAMS_CHAT },
    { "/v1/completions", PARAMS_COMPLETION }, { "/tokenize", PARAMS_TOKENIZE },
    { "/detokenize", PARAMS_DETOKENIZE },     { "/apply-template", PARAMS_TEMPLATE },
};
enum {
    ROUTE_COUNT = sizeof g_routes / sizeof g_routes[0],
    ROW_COUNT = sizeof g_rows / sizeof g_rows[0]
};

static const struct rig_options g_options = { .slots = 2, .blocks = 512, .queue_count_max = 8 };

/* What a body of the route needs besides the field; NULL: nothing. */
static const char *rest_of(enum params_route route, const char *field)
{
    if (route == PARAMS_COMPLETION)
        return strcmp(field, "prompt") == 0 ? NULL : "\"prompt\":\"hi\"";
    if (route == PARAMS_DETOKENIZE)
        return strcmp(field, "tokens") == 0 ? NULL : "\"tokens\":[65]";
    if (route == PARAMS_TOKENIZE && strcmp(field, "parse_special") == 0)
        return "\"prompt\":\"hi\"";
    bool is_source = strcmp(field, "messages") == 0 ||
                     (route == PARAMS_TOKENIZE &&
                      (strcmp(field, "prompt") == 0 || strcmp(field, "content") == 0));
    return is_source ? NULL : MESSAGES;
}

static void append_size(struct base_buf *out, enum size_kind kind, size_t size)
{
    static const char *const ends[][2] = {
        [LONG_TEXT] = { "\"", "\"" },
        [LONG_LIST] = { "[", "]" },
        [IDS] = { "[", "]" },
        [BIASES] = { "{", "}" },
    };
    buf_append_str(out, ends[kind][0]);
    for (size_t i = 0; i < size; i++) {
        const char *comma = i ? "," : "";
        if (kind == LONG_TEXT)
            buf_append_str(out, "x");
        else if (kind == LONG_LIST)
            buf_printf(out, "%s\"x\"", comma);
        else if (kind == IDS)
            buf_printf(out, "%s1", comma);
        else
            buf_printf(out, "%s\"%zu\":1", comma, i);
    }
    buf_append_str(out, ends[kind][1]);
}

/* The answer is an error of the client about this field, alone or a part of it. */
static void expect_about(uint16_t port, const char *path, const char *field, const char *body)
{
    struct answer a;
    client_once(port, "POST", path, JSON_TYPE, body, &a);
    ck_assert_msg(a.status >= 400 && a.status < 500, "%s %s: %d", path, body, a.status);
    json_t *json = answer_json(&a);
    const json_t *error = json_object_get(json, "error");
    const char *param = json_string_value(json_object_get(error, "param"));
    size_t len = strlen(field);
    ck_assert_msg(param && strncmp(param, field, len) == 0 && strchr(".[", param[len]), "%s %s: %s",
                  path, body, a.body.data);
    const char *message = json_string_value(json_object_get(error, "message"));
    ck_assert_msg(strncmp(message, param, strlen(param)) == 0, "%s", message);
    json_decref(json);
    answer_fini(&a);
}

static void try_row(uint16_t port, size_t route, const struct field_row *row)
{
    const char *rest = rest_of(g_routes[route].route, row->name);
    struct base_buf body;
    buf_init(&body, MEM_API, BODY_BYTES_MAX);
    for (int i = 0; i <= WRONG_MAX; i++) {
        const char *value = i < WRONG_MAX ? row->wrong[i] : NULL;
        if (!value && (i < WRONG_MAX || !row->kind))
            continue;
        buf_clear(&body);
        buf_printf(&body, "{%s%s\"%s\":", rest ? rest : "", rest ? "," : "", row->name);
        if (value)
            buf_append_str(&body, value);
        else
            append_size(&body, row->kind, row->size);
        buf_printf(&body, "%s}", row->with ? row->with : "");
        expect_about(port, g_routes[route].path, row->name, body.data);
    }
    buf_fini(&body);
}

/* A field that is added without a row here fails, and so does a row without a field. */
START_TEST(each_field_has_a_row)
{
    unsigned routes;
    const char *name;
    for (size_t i = 0; (name = params_field(i, &routes)); i++) {
        size_t k = 0;
        while (k < ROW_COUNT && strcmp(g_rows[k].name, name) != 0)
            k++;
        ck_assert_msg(k < ROW_COUNT, "%s has no row of wrong values", name);
        ck_assert_msg(routes != 0, "%s belongs nowhere", name);
    }
    for (size_t k = 0; k < ROW_COUNT; k++) {
        size_t i = 0;
        while ((name = params_field(i, &routes)) && strcmp(g_rows[k].name, name) != 0)
            i++;
        ck_assert_msg(name != NULL, "%s is not a field", g_rows[k].name);
        ck_assert_ptr_nonnull(g_rows[k].wrong[0]);
    }
}
END_TEST

START_TEST(each_wrong_value_is_refused_by_its_name)
{
    struct rig r;
    struct park_stats stats;
    unsigned routes;
    const char *name;
    rig_start(&r, &g_options, SCRIPT_ECHO);
    for (size_t k = 0; k < ROW_COUNT; k++) {
        for (size_t i = 0; (name = params_field(i, &routes)); i++) {
            if (strcmp(g_rows[k].name, name) == 0 && (routes & g_routes[_i].route))
                try_row(r.port, (size_t)_i, &g_rows[k]);
        }
    }
    park_stats(r.pool, &stats);
    ck_assert_uint_eq(stats.submitted, 0);
    rig_stop(&r);
}
END_TEST

/* ---- bodies that are none ---- */

START_TEST(a_body_that_is_no_json_is_invalid_json)
{
    static const struct {
        const char *body;
        const char *has;
    } rows[] = {
        { "", "not valid JSON" },
        { "{", "not valid JSON" },
        { "null", "not valid JSON" },
        { "[]", "expected a JSON object" },
        { "{\"model\":\"\xc3\"}", "line 1" },
        { "{\"model\":\"\xed\xa0\x80\"}", "line 1" },
        { "{\"\xff\":1}", "line 1" },
        { "{\"model\":\"\\ud800\"}", "line 1" },
        { "{\"seed\":1,\"seed\":2}", "duplicate" },
        { "{\"metadata\":{\"a\":1,\"a\":2}}", "duplicate" },
        { "{\"seed\":1}}", "line 1" },
        { "{\"seed\":01}", "line 1" },
        { "{\"seed\":NaN}", "line 1" },
        { "{'seed':1}", "line 1" },
        { "{\"seed\":1,}", "line 1" },
    };
    struct rig r;
    rig_start(&r, &g_options, SCRIPT_ECHO);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer a;
        client_once(r.port, "POST", g_routes[_i].path, JSON_TYPE, rows[i].body, &a);
        ck_assert_msg(a.status == 400, "%s: %s", rows[i].body, a.body.data);
        ck_assert_msg(strstr(a.body.data, rows[i].has) != NULL, "%s: %s", rows[i].body,
                      a.body.data);
        answer_error(&a, 400, "invalid_json");
    }
    rig_stop(&r);
}
END_TEST

static void append_times(struct base_buf *out, char c, size_t count)
{
    ck_assert_int_eq(buf_reserve(out, count), OK);
    memset(out->data + out->len, c, count);
    out->len += count;
}

/* {"metadata": depth - 1 brackets } */
static int post_nested(uint16_t port, const char *path, size_t depth)
{
    struct base_buf body;
    struct answer a;
    buf_init(&body, MEM_API, BODY_BYTES_MAX);
    buf_append_str(&body, "{\"colour\":");
    append_times(&body, '[', depth - 1);
    append_times(&body, ']', depth - 1);
    buf_append_str(&body, "}");
    client_once(port, "POST", path, JSON_TYPE, body.data, &a);
    int status = strstr(a.body.data, "invalid_json") ? 1 : 0;
    ck_assert_int_eq(a.status, 400); /* deep, or without what the route needs */
    answer_fini(&a);
    buf_fini(&body);
    return status;
}

START_TEST(nesting_is_bounded)
{
    struct rig r;
    rig_start(&r, &g_options, SCRIPT_ECHO);
    ck_assert_int_eq(post_nested(r.port, g_routes[_i].path, API_JSON_DEPTH_MAX), 0);
    ck_assert_int_eq(post_nested(r.port, g_routes[_i].path, API_JSON_DEPTH_MAX + 1), 1);
    ck_assert_int_eq(post_nested(r.port, g_routes[_i].path, 1000000), 1);
    rig_stop(&r);
}
END_TEST

/* {"colour":"xxx…"} of exactly so many bytes. */
static void post_large(uint16_t port, const char *path, size_t bytes, struct answer *out)
{
    static const char before[] = "{\"colour\":\"";
    struct base_buf body;
    buf_init(&body, MEM_API, BODY_BYTES_MAX + 16);
    buf_append_str(&body, before);
    append_times(&body, 'x', bytes - (sizeof before - 1) - 2);
    buf_append_str(&body, "\"}");
    ck_assert_uint_eq(body.len, bytes);
    client_once(port, "POST", path, JSON_TYPE, body.data, out);
    buf_fini(&body);
}

START_TEST(a_body_of_8_mib_is_read_and_a_larger_one_is_not)
{
    struct rig r;
    struct answer a;
    rig_start(&r, &g_options, SCRIPT_ECHO);
    post_large(r.port, g_routes[_i].path, BODY_BYTES_MAX, &a);
    answer_error(&a, 400, "missing_required_parameter");
    struct client c;
    char fields[128];
    snprintf(fields, sizeof fields, "%sContent-Length: %d\r\n", JSON_TYPE, BODY_BYTES_MAX + 1);
    client_open(&c, r.port, 0);
    client_send(&c, "POST", g_routes[_i].path, fields, NULL);
    client_read(&c, false, &a);
    answer_error(&a, 413, "body_too_large");
    client_close(&c);
    rig_stop(&r);
}
END_TEST

START_TEST(unknown_fields_are_ignored_and_counted)
{
    static const char *const bodies[ROUTE_COUNT] = {
        "{\"colour\":1,\"smell\":null," MESSAGES "}",
        "{\"colour\":1,\"smell\":null," MESSAGES "}",
        "{\"colour\":1,\"messages\":[],\"prompt\":\"x\"}", /* not a field of completions */
        "{\"colour\":1,\"tokens\":[1],\"prompt\":\"x\"}",
        "{\"colour\":1,\"prompt\":\"x\",\"tokens\":[65]}",
        "{\"colour\":1,\"prompt\":\"x\"," MESSAGES "}",
    };
    struct rig r;
    struct answer a;
    struct api_stats stats;
    rig_start(&r, &g_options, SCRIPT_ECHO);
    client_once(r.port, "POST", g_routes[_i].path, JSON_TYPE, bodies[_i], &a);
    ck_assert_msg(a.status == 200, "%s", a.body.data);
    answer_fini(&a);
    rig_stop_with_stats(&r, &stats);
    ck_assert_uint_eq(stats.unknown_fields, 2);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("fields");
    tcase_set_timeout(tcase, 100);
    tcase_add_test(tcase, each_field_has_a_row);
    tcase_add_loop_test(tcase, each_wrong_value_is_refused_by_its_name, 0, ROUTE_COUNT);
    tcase_add_loop_test(tcase, a_body_that_is_no_json_is_invalid_json, 0, ROUTE_COUNT);
    tcase_add_loop_test(tcase, nesting_is_bounded, 0, ROUTE_COUNT);
    tcase_add_loop_test(tcase, a_body_of_8_mib_is_read_and_a_larger_one_is_not, 0, ROUTE_COUNT);
    tcase_add_loop_test(tcase, unknown_fields_are_ignored_and_counted, 0, ROUTE_COUNT);
    return suite_run("fields", tcase);
}
