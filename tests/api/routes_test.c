#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "client.h"
#include "rig.h"
#include "suite.h"

static const struct rig_options g_options = { .slots = 2, .blocks = 256, .queue_count_max = 4 };

struct row {
    const char *method;
    const char *path;
    const char *fields;
    int status;
    const char *has; /* a part of the body */
    const char *allow;
};

#define JSON_TYPE "Content-Type: application/json\r\n"
#define CHAT_PATH "/v1/chat/completions"

static const struct row g_rows[] = {
    { "GET", "/health", "", 200, "{\"status\":\"ok\"}", NULL },
    { "GET", "/v1/health", "", 200, "{\"status\":\"ok\"}", NULL },
    { "GET", "/health?x=1", "", 200, "ok", NULL },
    { "GET", "/ready", "", 200, "{\"status\":\"ready\"}", NULL },
    { "GET", "/version", "", 200, "{\"version\":\"1.2.3\",\"commit\":null,\"build\":\"release\"}",
      NULL },
    { "GET", "/metrics", "", 200, "valet_up 1\n", NULL },
    { "GET", "/v1/models", "", 200,
      "{\"object\":\"list\",\"data\":[{\"id\":\"org/m\",\"object\":\"model\","
      "\"created\":1763900000,\"owned_by\":\"valet\",\"max_model_len\":4096,"
      "\"capabilities\":[],\"status\":\"loaded\",\"default\":true,\"aliases\":[]}]}",
      NULL },
    { "GET", "/v1/models/org/m", "", 200, "{\"id\":\"org/m\"", NULL },
    { "GET", "/v1/models/org%2fm", "", 200, "{\"id\":\"org/m\"", NULL },
    { "GET", "/v1/models/org%2Fm", "", 200, "{\"id\":\"org/m\"", NULL },
    { "GET", "/v1/models/org", "", 404, "\"param\":\"model\",\"code\":\"model_not_found\"", NULL },
    { "GET", "/v1/models/org/m2", "", 404, "model_not_found", NULL },
    { "GET", "/v1/models/", "", 404, "\"type\":\"not_found_error\"", NULL },
    { "GET", "/pools", "", 200,
      "{\"pools\":[{\"poolId\":\"chat\",\"state\":\"active\","
      "\"capacity\":{\"kv_blocks\":256,\"slots\":2},\"used\":{\"kv_blocks\":0,\"slots\":0},"
      "\"highWater\":{\"kv_blocks\":0,\"slots\":0},\"queued\":0,\"running\":0,\"queueMax\":4,"
      "\"queueHighWater\":0,\"oldestQueuedMs\":0,\"counters\":{\"submitted\":0,\"rejected\":0,"
      "\"completed\":0,\"failed\":0,\"cancelled\":0,\"dropped\":0}}]}",
      NULL },
    { "GET", "/pools/chat", "", 200, "{\"poolId\":\"chat\"", NULL },
    { "GET", "/pools/ch%61t", "", 200, "{\"poolId\":\"chat\"", NULL },
    { "GET", "/pools/other", "", 404, "\"code\":\"not_found\"", NULL },
    { "HEAD", "/health", "", 200, NULL, NULL },
    { "HEAD", "/v1/models/org/m", "", 200, NULL, NULL },
    { "GET", "/", "", 404, "\"code\":\"not_found\"", NULL },
    { "GET", "/v1/audio/speech", "", 404, "there is no route /v1/audio/speech", NULL },
    { "GET", "/health/", "", 404, "not_found", NULL },
    { "GET", "/Health", "", 404, "not_found", NULL },
    { "GET", CHAT_PATH "/x", "", 404, "not_found", NULL },
    { "DELETE", "/health", "", 405, "\"code\":\"method_not_allowed\"", "GET, HEAD" },
    { "POST", "/v1/models", JSON_TYPE, 405, "method_not_allowed", "GET, HEAD" },
    { "GET", CHAT_PATH, "", 405, "expected POST, got GET", "POST" },
    { "HEAD", CHAT_PATH, "", 405, NULL, "POST" },
    { "POST", CHAT_PATH, "", 415, "expected application/json, got none", NULL },
    { "POST", CHAT_PATH, "Content-Type: text/plain\r\n", 415, "unsupported_media_type", NULL },
    { "POST", CHAT_PATH, "Content-Type: application/json5\r\n", 415, "unsupported", NULL },
    { "POST", CHAT_PATH, "Content-Type: Application/JSON;charset=utf-8\r\n", 400, "invalid_json",
      NULL },
    { "POST", CHAT_PATH, JSON_TYPE, 400, "invalid_json", NULL },
    { "POST", "/chat/completions", JSON_TYPE, 400, "invalid_json", NULL },
    { "POST", "/v1/completions", JSON_TYPE, 400, "invalid_json", NULL },
    { "POST", "/tokenize", JSON_TYPE, 400, "invalid_json", NULL },
    { "POST", "/detokenize", JSON_TYPE, 400, "invalid_json", NULL },
    { "POST", "/apply-template", JSON_TYPE, 400, "invalid_json", NULL },
    { "GET", "/v1/completions", "", 405, "expected POST, got GET", "POST" },
    { "GET", "/tokenize", "", 405, "expected POST, got GET", "POST" },
};

START_TEST(each_route_answers)
{
    struct rig r;
    rig_start(&r, &g_options, SCRIPT_ECHO);
    for (size_t i = 0; i < sizeof g_rows / sizeof g_rows[0]; i++) {
        const struct row *row = &g_rows[i];
        struct answer a;
        char value[64];
        client_once(r.port, row->method, row->path, row->fields,
                    strcmp(row->method, "POST") == 0 ? "{" : NULL, &a);
        ck_assert_msg(a.status == row->status, "%s %s: %d %s", row->method, row->path, a.status,
                      a.body.data);
        ck_assert_msg(!row->has || strstr(a.body.data, row->has), "%s: %s", row->path, a.body.data);
        ck_assert(answer_field(&a, "X-Request-Id", value, sizeof value));
        ck_assert_int_eq(strncmp(value, "req_", 4), 0);
        ck_assert(!answer_field(&a, "X-Valet-Ticket", value, sizeof value));
        bool has_allow = answer_field(&a, "Allow", value, sizeof value);
        ck_assert_int_eq(has_allow, row->allow != NULL);
        if (has_allow)
            ck_assert_str_eq(value, row->allow);
        answer_fini(&a);
    }
    rig_stop(&r);
}
END_TEST

START_TEST(types_are_said)
{
    struct rig r;
    struct answer a;
    char value[64];
    rig_start(&r, &g_options, SCRIPT_ECHO);
    client_once(r.port, "GET", "/metrics", "", NULL, &a);
    ck_assert(answer_field(&a, "Content-Type", value, sizeof value));
    ck_assert_str_eq(value, "text/plain; version=0.0.4; charset=utf-8");
    answer_fini(&a);
    client_once(r.port, "GET", "/health", "", NULL, &a);
    ck_assert(answer_field(&a, "Content-Type", value, sizeof value));
    ck_assert_str_eq(value, "application/json");
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

START_TEST(a_valid_request_id_comes_back)
{
    static const struct {
        const char *sent;
        bool echoed;
    } rows[] = { { "my id-1", true }, { "", false }, { "caf\xc3\xa9", false } };
    struct rig r;
    rig_start(&r, &g_options, SCRIPT_ECHO);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer a;
        char field[256];
        char value[256];
        snprintf(field, sizeof field, "X-Request-Id: %s\r\n", rows[i].sent);
        client_once(r.port, "GET", "/health", field, NULL, &a);
        ck_assert(answer_field(&a, "X-Request-Id", value, sizeof value));
        ck_assert_int_eq(strcmp(value, rows[i].sent) == 0, rows[i].echoed);
        answer_fini(&a);
    }
    for (int len = 128; len <= 129; len++) {
        struct answer a;
        char field[256];
        char value[256];
        snprintf(field, sizeof field, "x-request-id: %0*d\r\n", len, 0);
        client_once(r.port, "GET", "/health", field, NULL, &a);
        ck_assert(answer_field(&a, "X-Request-Id", value, sizeof value));
        ck_assert_uint_eq(strlen(value), len == 128 ? 128 : 30);
        answer_fini(&a);
    }
    rig_stop(&r);
}
END_TEST

START_TEST(probes_say_why_not)
{
    struct rig r;
    struct answer a;
    char value[64];
    rig_start(&r, &g_options, SCRIPT_ECHO);
    rig_not_ready(&r, "loading");
    client_once(r.port, "GET", "/ready", "", NULL, &a);
    ck_assert_int_eq(a.status, 503);
    ck_assert_str_eq(a.body.data, "{\"status\":\"loading\"}");
    ck_assert(answer_field(&a, "Retry-After", value, sizeof value));
    answer_fini(&a);
    client_once(r.port, "GET", "/health", "", NULL, &a);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    client_once(r.port, "GET", "/v1/models", "", NULL, &a);
    ck_assert_ptr_nonnull(strstr(a.body.data, "\"status\":\"loading\""));
    answer_fini(&a);
    rig_unhealthy(&r, true);
    client_once(r.port, "GET", "/health", "", NULL, &a);
    ck_assert_int_eq(a.status, 503);
    answer_fini(&a);
    rig_stop(&r);
}
END_TEST

START_TEST(refusals_below_the_routes_have_the_same_body)
{
    struct rig r;
    struct answer a;
    struct client c;
    rig_start(&r, &g_options, SCRIPT_ECHO);
    client_open(&c, r.port, 0);
    client_send(&c, "POST", CHAT_PATH, JSON_TYPE "Content-Length: 99999999\r\n", NULL);
    client_read(&c, false, &a);
    ck_assert_int_eq(a.status, 413);
    json_t *body = json_loads(a.body.data, 0, NULL);
    json_t *error = json_object_get(body, "error");
    ck_assert_str_eq(json_string_value(json_object_get(error, "code")), "body_too_large");
    ck_assert_str_eq(json_string_value(json_object_get(error, "type")), "invalid_request_error");
    json_decref(body);
    answer_fini(&a);
    client_close(&c);
    rig_stop(&r);
}
END_TEST

START_TEST(each_request_is_counted_once_by_its_status)
{
    struct rig r;
    struct api_stats stats;
    static const char *const paths[] = { "/health", "/nowhere", "/ready", "/nowhere" };
    rig_start(&r, &g_options, SCRIPT_ECHO);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct answer a;
        client_once(r.port, "GET", paths[i], "", NULL, &a);
        answer_fini(&a);
    }
    rig_stop_with_stats(&r, &stats);
    ck_assert_uint_eq(stats.requests, 4);
    ck_assert_uint_eq(stats.status[2], 2);
    ck_assert_uint_eq(stats.status[4], 2);
    ck_assert_uint_eq(stats.disconnects, 0);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("routes");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, each_route_answers);
    tcase_add_test(tcase, types_are_said);
    tcase_add_test(tcase, a_valid_request_id_comes_back);
    tcase_add_test(tcase, probes_say_why_not);
    tcase_add_test(tcase, refusals_below_the_routes_have_the_same_body);
    tcase_add_test(tcase, each_request_is_counted_once_by_its_status);
    return suite_run("routes", tcase);
}
