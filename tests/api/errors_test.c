#include "api/errors.h"

#include <string.h>

#include "api/json.h"
#include "base/mem.h"
#include "suite.h"

static const struct {
    int status;
    const char *type;
    const char *code;
} g_rows[] = {
    { 400, "invalid_request_error", "invalid_json" },
    { 400, "invalid_request_error", "invalid_value" },
    { 400, "invalid_request_error", "missing_required_parameter" },
    { 400, "invalid_request_error", "unsupported_parameter" },
    { 400, "invalid_request_error", "context_length_exceeded" },
    { 400, "invalid_request_error", "oversize" },
    { 400, "invalid_request_error", "deadline_past" },
    { 401, "authentication_error", "missing_api_key" },
    { 401, "authentication_error", "invalid_api_key" },
    { 403, "permission_error", "scope_denied" },
    { 403, "permission_error", "model_denied" },
    { 403, "permission_error", "host_denied" },
    { 404, "invalid_request_error", "model_not_found" },
    { 404, "not_found_error", "not_found" },
    { 405, "invalid_request_error", "method_not_allowed" },
    { 408, "timeout_error", "request_timeout" },
    { 410, "not_found_error", "result_expired" },
    { 410, "not_found_error", "event_gap" },
    { 413, "invalid_request_error", "body_too_large" },
    { 414, "invalid_request_error", "uri_too_long" },
    { 415, "invalid_request_error", "unsupported_media_type" },
    { 431, "invalid_request_error", "headers_too_large" },
    { 429, "rate_limit_error", "rate_limit_exceeded" },
    { 429, "rate_limit_error", "concurrency_limit" },
    { 429, "rate_limit_error", "class_queue_full" },
    { 429, "rate_limit_error", "queue_full" },
    { 503, "overloaded_error", "server_full" },
    { 503, "overloaded_error", "draining" },
    { 503, "overloaded_error", "not_ready" },
    { 503, "overloaded_error", "queue_timeout" },
    { 503, "overloaded_error", "deadline_expired" },
    { 500, "server_error", "internal_error" },
    { 504, "timeout_error", "run_timeout" },
};

static const char *text_at(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json_object_get(json, "error"), key));
}

START_TEST(each_row_has_its_status_type_code_and_body)
{
    enum api_code code = (enum api_code)_i;
    ck_assert_uint_eq(sizeof g_rows / sizeof g_rows[0], API_CODE_COUNT);
    ck_assert_int_eq(api_error_status(code), g_rows[_i].status);
    ck_assert_str_eq(api_error_type(code), g_rows[_i].type);
    ck_assert_str_eq(api_error_name(code), g_rows[_i].code);

    struct api_error error;
    ck_assert_int_eq(api_error_set(&error, code, "field", "message %d", 7), E_INVALID);
    json_t *body = api_error_json(&error, true);
    const json_t *inner = json_object_get(body, "error");
    ck_assert_uint_eq(json_object_size(body), 1);
    ck_assert_str_eq(text_at(body, "message"), "message 7");
    ck_assert_str_eq(text_at(body, "type"), g_rows[_i].type);
    ck_assert_str_eq(text_at(body, "code"), g_rows[_i].code);
    ck_assert_str_eq(text_at(body, "param"), "field");
    bool comes_back = g_rows[_i].status == 429 || g_rows[_i].status == 503;
    ck_assert_uint_eq(json_object_size(inner), comes_back ? 7 : 4);
    if (comes_back) {
        ck_assert_int_ge(json_integer_value(json_object_get(inner, "retry_after_ms")), 1);
        ck_assert(json_is_integer(json_object_get(inner, "queue_depth")));
        ck_assert(json_is_null(json_object_get(inner, "position")));
    }
    json_decref(body);
    ck_assert_int_eq(api_error_is_final(&error), strcmp(g_rows[_i].code, "run_timeout") == 0);
}
END_TEST

START_TEST(a_row_that_http_refuses_by_keeps_its_code)
{
    char out[1024];
    enum api_code code = (enum api_code)_i;
    size_t len = api_error_http_body(api_error_status(code), api_error_name(code), "why", 7, out,
                                     sizeof out);
    json_t *body = json_loadb(out, len, 0, NULL);
    const json_t *retry = json_object_get(json_object_get(body, "error"), "retry_after_ms");
    ck_assert_int_eq(json_integer_value(retry), 7);
    int status = api_error_status(code);
    ck_assert_int_eq(api_error_http_retry_ms(status, api_error_name(code)) > 0,
                     status == 429 || status == 503);
    ck_assert_str_eq(text_at(body, "type"), api_error_type(code));
    ck_assert_str_eq(text_at(body, "code"), api_error_name(code));
    ck_assert_str_eq(text_at(body, "message"), "why");
    json_decref(body);
}
END_TEST

START_TEST(http_refusals_without_a_row_still_have_a_body)
{
    char out[1024];
    size_t len = api_error_http_body(400, "invalid_request", "bad \xff line", 0, out, sizeof out);
    ck_assert_uint_gt(len, 0);
    ck_assert_int_eq(strncmp(out,
                             "{\"error\":{\"message\":\"bad ? line\","
                             "\"type\":\"invalid_request_error\",\"param\":null,"
                             "\"code\":\"invalid_request\"}}",
                             len),
                     0);
    len = api_error_http_body(505, "version_not_supported", "x", 0, out, sizeof out);
    json_t *body = json_loadb(out, len, 0, NULL);
    ck_assert_str_eq(text_at(body, "type"), "server_error");
    json_decref(body);
    ck_assert_uint_eq(api_error_http_body(400, "x", "does not fit", 0, out, 20), 0);
    ck_assert_uint_eq(api_error_http_retry_ms(505, "version_not_supported"), 0);
    ck_assert_uint_gt(api_error_http_retry_ms(503, "overloaded"), 0);
}
END_TEST

/* Every code of the lot; those that no submission can be refused by are errors of ours. */
static const struct {
    enum park_err err;
    enum api_code code;
} g_refusals[] = {
    { PARK_OK, API_INTERNAL },
    { PARK_E_NOMEM, API_SERVER_FULL },
    { PARK_E_INVALID, API_INTERNAL },
    { PARK_E_TIMEOUT, API_INTERNAL },
    { PARK_E_CLOSED, API_DRAINING },
    { PARK_E_NOT_FOUND, API_NOT_FOUND },
    { PARK_E_AGAIN, API_INTERNAL },
    { PARK_E_OVERSIZE, API_OVERSIZE },
    { PARK_E_QUEUE_FULL, API_QUEUE_FULL },
    { PARK_E_DRAINING, API_DRAINING },
    { PARK_E_GAP, API_EVENT_GAP },
    { PARK_E_LIMIT, API_INTERNAL },
    { PARK_E_DEADLINE, API_DEADLINE_PAST },
    { PARK_E_CLASS_FULL, API_CLASS_FULL },
    { PARK_E_NOT_READY, API_NOT_READY },
    { PARK_E_GONE, API_RESULT_EXPIRED },
};

/* Whether libpark has a text of its own for a number: then the number is one of its codes. */
static bool is_park_code(int number)
{
    return strcmp(park_strerror((enum park_err)number), park_strerror((enum park_err) - 9999)) != 0;
}

START_TEST(each_refusal_of_the_lot_has_a_row)
{
    size_t count = sizeof g_refusals / sizeof g_refusals[0];
    size_t known = 0;
    for (int number = 0; number > -200; number--)
        known += is_park_code(number);
    ck_assert_uint_eq(count, known);
    for (size_t i = 0; i < count; i++) {
        struct park_refusal refusal = { .code = g_refusals[i].err,
                                        .requested = 9,
                                        .available = 4,
                                        .queue_count = 3,
                                        .position = 4 };
        struct api_error error;
        ck_assert_int_eq(api_code_of_park(g_refusals[i].err), g_refusals[i].code);
        api_error_of_refusal(&error, &refusal, "blocks", "max_tokens");
        ck_assert_int_eq(error.code, g_refusals[i].code);
        int status = api_error_status(error.code);
        bool comes_back = status == 429 || status == 503;
        ck_assert_int_eq(error.retry_after_ms > 0, comes_back);
        ck_assert_uint_eq(error.position, comes_back ? 4 : 0);
        ck_assert_uint_eq(error.queue_depth, comes_back ? 3 : 0);
        ck_assert_uint_gt(strlen(error.message), 0);
    }
}
END_TEST

START_TEST(a_refusal_tells_its_numbers)
{
    struct api_error error;
    struct park_refusal full = {
        .code = PARK_E_QUEUE_FULL, .retry_after_ms = 1234, .queue_count = 16, .position = 17
    };
    api_error_of_refusal(&error, &full, "slots", "max_tokens");
    ck_assert_uint_eq(error.retry_after_ms, 1234);
    ck_assert_str_eq(error.message, "the queue is full: 16 requests are waiting");
    json_t *body = api_error_json(&error, true);
    const json_t *inner = json_object_get(body, "error");
    ck_assert_int_eq(json_integer_value(json_object_get(inner, "retry_after_ms")), 1234);
    ck_assert_int_eq(json_integer_value(json_object_get(inner, "queue_depth")), 16);
    ck_assert_int_eq(json_integer_value(json_object_get(inner, "position")), 17);
    json_decref(body);
    struct park_refusal late = { .code = PARK_E_DEADLINE };
    api_error_of_refusal(&error, &late, "slots", "max_tokens");
    ck_assert_str_eq(error.param, "X-Valet-Deadline-Ms");
    struct park_refusal big = { .code = PARK_E_OVERSIZE, .requested = 9, .available = 4 };
    api_error_of_refusal(&error, &big, "blocks", "max_tokens");
    ck_assert_ptr_nonnull(strstr(error.message, "needs 9 blocks, the server has 4"));
    ck_assert_str_eq(error.param, "max_tokens");
}
END_TEST

START_TEST(retry_after_is_rounded_up_and_never_zero)
{
    static const uint64_t rows[][2] = { { 0, 1 },    { 1, 1 },    { 999, 1 }, { 1000, 1 },
                                        { 1001, 2 }, { 2000, 2 }, { 2001, 3 } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_uint_eq(api_retry_after_s(rows[i][0]), rows[i][1]);
}
END_TEST

/* What a state says where its reason does not; reasons that say it whatever the state. */
static enum api_code expected_end(enum park_state state, enum park_reason reason)
{
    static const enum api_code by_reason[PARK_REASON_COUNT] = {
        [PARK_REASON_SHUTDOWN] = API_DRAINING,
        [PARK_REASON_DRAINING] = API_DRAINING,
        [PARK_REASON_QUEUE_TIMEOUT] = API_QUEUE_TIMEOUT,
        [PARK_REASON_DEADLINE] = API_DEADLINE_EXPIRED,
        [PARK_REASON_RUN_TIMEOUT] = API_RUN_TIMEOUT,
        [PARK_REASON_NO_LONGER_FITS] = API_OVERSIZE,
    };
    if (by_reason[reason])
        return by_reason[reason];
    return state == PARK_EXPIRED ? API_QUEUE_TIMEOUT : API_INTERNAL;
}

START_TEST(each_way_to_end_without_an_answer_has_a_row)
{
    for (int s = 0; s < PARK_STATE_COUNT; s++) {
        for (int r = 0; r < PARK_REASON_COUNT; r++) {
            struct park_status status = { .state = (enum park_state)s,
                                          .reason = (enum park_reason)r,
                                          .retry_after_ms = 4321,
                                          .queued_ns = UINT64_C(7000000),
                                          .run_ns = UINT64_C(9000000),
                                          .error_text = "kv broke \xc3" };
            struct api_error error;
            api_error_of_status(&error, &status);
            ck_assert_int_eq(error.code, expected_end(status.state, status.reason));
            int http = api_error_status(error.code);
            ck_assert_uint_eq(error.retry_after_ms, http == 503 ? 4321 : 0);
            if (error.code == API_QUEUE_TIMEOUT || error.code == API_DEADLINE_EXPIRED)
                ck_assert_ptr_nonnull(strstr(error.message, " 7 ms"));
            if (error.code == API_RUN_TIMEOUT)
                ck_assert_ptr_nonnull(strstr(error.message, " 9 ms"));
            if (error.code == API_INTERNAL && s == PARK_FAILED)
                ck_assert_str_eq(error.message, "the request failed: kv broke ?");
        }
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("errors");
    tcase_add_loop_test(tcase, each_row_has_its_status_type_code_and_body, 0, API_CODE_COUNT);
    tcase_add_loop_test(tcase, a_row_that_http_refuses_by_keeps_its_code, 0, API_CODE_COUNT);
    tcase_add_test(tcase, http_refusals_without_a_row_still_have_a_body);
    tcase_add_test(tcase, each_refusal_of_the_lot_has_a_row);
    tcase_add_test(tcase, a_refusal_tells_its_numbers);
    tcase_add_test(tcase, retry_after_is_rounded_up_and_never_zero);
    tcase_add_test(tcase, each_way_to_end_without_an_answer_has_a_row);
    return suite_run("errors", tcase);
}
