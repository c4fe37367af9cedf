/* What the configuration changes in the answers: lengths, times to come back, names. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "client.h"
#include "rig.h"
#include "suite.h"

#define JSON_TYPE "Content-Type: application/json\r\n"
#define CHAT_PATH "/v1/chat/completions"
#define COMPLETION_PATH "/v1/completions"
#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

enum {
    HI_TOKENS = 21 /* of the prompt that HI makes */
};

static const char *const g_aliases[] = { "short", "org/long.er" };
static const char *const g_short[] = { "short" };

static const struct rig_key g_keys[] = {
    { "one-a-minute", { .tenant = "a", .scopes = API_SCOPE_INFER, .requests_per_min = 1 } },
    { "by-alias",
      { .tenant = "b", .scopes = API_SCOPE_INFER, .models = g_short, .model_count = 1 } },
};

static const struct rig_options g_options = {
    .slots = 2,
    .blocks = 512,
    .queue_count_max = 8,
};

static void post(struct rig *r, const char *path, const char *body, struct answer *out)
{
    client_once(r->port, "POST", path, JSON_TYPE, body, out);
}

static void expect_param(const struct answer *a, const char *param)
{
    json_t *json = answer_json(a);
    ck_assert_str_eq(json_string_at(json_object_get(json, "error"), "param"), param);
    json_decref(json);
}

START_TEST(a_length_that_does_not_fit_is_shortened_or_refused)
{
    static const struct {
        const char *field;
        int length;
        bool fits;
    } rows[] = {
        { "max_tokens", RIG_CONTEXT - HI_TOKENS, true },
        { "max_tokens", RIG_CONTEXT - HI_TOKENS + 1, false },
        { "max_completion_tokens", RIG_CONTEXT, false },
    };
    for (int strict = 0; strict <= 1; strict++) {
        struct rig r;
        struct rig_options options = g_options;
        options.settings.strict_max_tokens = strict;
        rig_start(&r, &options, SCRIPT_ECHO);
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            struct answer a;
            char body[256];
            snprintf(body, sizeof body, "{\"%s\":%d," HI "}", rows[i].field, rows[i].length);
            post(&r, CHAT_PATH, body, &a);
            if (strict && !rows[i].fits) {
                expect_param(&a, rows[i].field);
                answer_error(&a, 400, "context_length_exceeded");
                continue;
            }
            ck_assert_int_eq(a.status, 200);
            ck_assert_int_eq(rig_counts(&r).last_max_new, RIG_CONTEXT - HI_TOKENS);
            answer_fini(&a);
        }
        rig_stop(&r);
    }
}
END_TEST

START_TEST(only_a_length_that_was_asked_for_is_refused)
{
    struct rig r;
    struct answer a;
    static char body[RIG_CONTEXT + 256];
    struct rig_options options = g_options;
    options.settings.strict_max_tokens = true;
    rig_start(&r, &options, SCRIPT_LENGTH);
    /* a completion has 16 tokens unless it says something, and there is room for 6 */
    snprintf(body, sizeof body, "{\"prompt\":\"%0*d\"}", RIG_CONTEXT - 6, 0);
    post(&r, COMPLETION_PATH, body, &a);
    ck_assert_int_eq(a.status, 200);
    ck_assert_int_eq(rig_counts(&r).last_max_new, 6);
    answer_fini(&a);
    snprintf(body, sizeof body, "{\"max_tokens\":7,\"prompt\":[\"a\",\"%0*d\"]}", RIG_CONTEXT - 6,
             0);
    post(&r, COMPLETION_PATH, body, &a);
    expect_param(&a, "max_tokens");
    answer_error(&a, 400, "context_length_exceeded");
    post(&r, CHAT_PATH, "{" HI "}", &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

static void expect_retry(struct answer *a, int status, const char *code, long ms)
{
    char value[32];
    ck_assert(answer_field(a, "retry-after-ms", value, sizeof value));
    ck_assert_int_eq(atol(value), ms);
    ck_assert(answer_field(a, "Retry-After", value, sizeof value));
    ck_assert_int_eq(atol(value), (ms + 999) / 1000);
    char part[64];
    snprintf(part, sizeof part, "\"retry_after_ms\":%ld", ms);
    ck_assert_ptr_nonnull(strstr(a->body.data, part));
    answer_error(a, status, code);
}

START_TEST(times_to_come_back_have_their_bounds_in_every_refusal)
{
    struct rig r;
    struct answer a;
    struct rig_options options = g_options;
    options.keys = g_keys;
    options.key_count = sizeof g_keys / sizeof g_keys[0];
    options.settings.retry_after_min_ms = 7000;
    options.settings.retry_after_max_ms = 9000;
    rig_start(&r, &options, SCRIPT_ECHO);
    for (int i = 0; i < 2; i++) {
        client_once(r.port, "POST", CHAT_PATH, JSON_TYPE "Authorization: Bearer one-a-minute\r\n",
                    "{" HI "}", &a);
        if (i == 0)
            answer_fini(&a);
    }
    expect_retry(&a, 429, "rate_limit_exceeded", 9000);
    rig_not_ready(&r, "draining"); /* the server's own guess of 5 s */
    client_once(r.port, "POST", CHAT_PATH, JSON_TYPE "Authorization: Bearer by-alias\r\n",
                "{" HI "}", &a);
    expect_retry(&a, 503, "draining", 7000);
    rig_stop(&r);
}
END_TEST

START_TEST(an_alias_is_another_name_of_the_model)
{
    struct rig r;
    struct answer a;
    struct rig_options options = g_options;
    options.aliases = g_aliases;
    options.alias_count = 2;
    rig_start(&r, &options, SCRIPT_ECHO);
    static const char *const names[] = { "org/m", "short", "org/long.er" };
    for (size_t i = 0; i < 3; i++) {
        char body[256];
        snprintf(body, sizeof body, "{\"model\":\"%s\"," HI "}", names[i]);
        post(&r, CHAT_PATH, body, &a);
        ck_assert_int_eq(a.status, 200);
        json_t *json = answer_json(&a);
        ck_assert_str_eq(json_string_at(json, "model"), "org/m");
        json_decref(json);
        answer_fini(&a);
        char path[64];
        snprintf(path, sizeof path, "/v1/models/%s", names[i]);
        client_once(r.port, "GET", path, "", NULL, &a);
        ck_assert_int_eq(a.status, 200);
        ck_assert_ptr_nonnull(
            strstr(a.body.data, "{\"id\":\"org/m\"")); /* the same model by any name */
        answer_fini(&a);
    }
    client_once(r.port, "GET", "/v1/models/org%2Flong.er", "", NULL, &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    client_once(r.port, "GET", "/v1/models", "", NULL, &a);
    ck_assert_ptr_nonnull(strstr(a.body.data, "\"aliases\":[\"short\",\"org/long.er\"]"));
    answer_fini(&a);
    post(&r, CHAT_PATH, "{\"model\":\"shor\"," HI "}", &a);
    answer_error(&a, 404, "model_not_found");
    post(&r, "/tokenize", "{\"model\":\"short\",\"prompt\":\"x\"}", &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

START_TEST(a_key_may_name_its_model_by_an_alias)
{
    for (size_t count = 0; count <= 1; count++) {
        struct rig r;
        struct answer a;
        struct rig_options options = g_options;
        options.keys = g_keys;
        options.key_count = sizeof g_keys / sizeof g_keys[0];
        options.aliases = g_short;
        options.alias_count = count;
        rig_start(&r, &options, SCRIPT_ECHO);
        client_once(r.port, "POST", CHAT_PATH, JSON_TYPE "Authorization: Bearer by-alias\r\n",
                    "{\"model\":\"org/m\"," HI "}", &a);
        ck_assert_int_eq(a.status, count ? 200 : 403);
        answer_fini(&a);
        rig_stop(&r);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("settings");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_length_that_does_not_fit_is_shortened_or_refused);
    tcase_add_test(tcase, only_a_length_that_was_asked_for_is_refused);
    tcase_add_test(tcase, times_to_come_back_have_their_bounds_in_every_refusal);
    tcase_add_test(tcase, an_alias_is_another_name_of_the_model);
    tcase_add_test(tcase, a_key_may_name_its_model_by_an_alias);
    return suite_run("settings", tcase);
}
