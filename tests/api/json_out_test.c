#include "api/json_out.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "suite.h"

static struct base_buf g_buf;

static void setup(void)
{
    buf_init(&g_buf, MEM_API, 1 << 16);
}

static void teardown(void)
{
    buf_fini(&g_buf);
}

START_TEST(strings_are_escaped_and_repaired)
{
    static const struct {
        const char *text;
        size_t len;
        const char *json;
    } rows[] = {
        { "", 0, "\"\"" },
        { "plain", 5, "\"plain\"" },
        { "a\"b\\c/\x7f", 7, "\"a\\\"b\\\\c/\x7f\"" },
        { "\b\f\n\r\t\x01\x1f", 7, "\"\\b\\f\\n\\r\\t\\u0001\\u001F\"" },
        { "a\0b", 3, "\"a\\u0000b\"" },
        { "\xc3\xa9\xf0\x9f\x98\x80", 6, "\"\xc3\xa9\xf0\x9f\x98\x80\"" },
        { "x\xff\xfey", 4, "\"x\xef\xbf\xbd\xef\xbf\xbdy\"" },
        { "\xf0\x9f\x98", 3, "\"\xef\xbf\xbd\"" },
        { "\xc3\"", 2, "\"\xef\xbf\xbd\\\"\"" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct api_out o = api_out_begin(&g_buf);
        buf_clear(&g_buf);
        api_out_string(&o, rows[i].text, rows[i].len);
        ck_assert_int_eq(api_out_end(&o), OK);
        ck_assert_str_eq(g_buf.data, rows[i].json);
        json_t *json = json_loads(g_buf.data, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        ck_assert_ptr_nonnull(json);
        json_decref(json);
    }
}
END_TEST

START_TEST(a_float_is_the_shortest_text_that_reads_back)
{
    static const struct {
        float x;
        const char *json;
    } rows[] = {
        { 0, "0" },
        { -1.2f, "-1.2" },
        { -0.1f, "-0.1" },
        { -12.25f, "-12.25" },
        { -1e-7f, "-1e-07" },
        { -0.33333334f, "-0.33333334" },
        { -INFINITY, "-9999.0" },
        { NAN, "-9999.0" },
        { -16.123457f, "-16.123457" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct api_out o = api_out_begin(&g_buf);
        buf_clear(&g_buf);
        api_out_float(&o, rows[i].x);
        ck_assert_int_eq(api_out_end(&o), OK);
        ck_assert_str_eq(g_buf.data, rows[i].json);
    }
    uint32_t bits = 0x80000001u;
    for (int i = 0; i < 20000; i++) {
        float x;
        struct api_out o = api_out_begin(&g_buf);
        bits = bits * 1664525u + 1013904223u;
        memcpy(&x, &bits, sizeof x);
        if (!isfinite(x))
            continue;
        buf_clear(&g_buf);
        api_out_float(&o, x);
        float back = strtof(g_buf.data, NULL);
        ck_assert_mem_eq(&back, &x, sizeof x);
    }
}
END_TEST

START_TEST(what_does_not_fit_is_taken_back)
{
    for (size_t max = 0; max < 20; max++) {
        struct base_buf small;
        buf_init(&small, MEM_API, max);
        bool kept = buf_append_str(&small, "ab") == OK;
        struct api_out o = api_out_begin(&small);
        api_out_raw(&o, "{\"a\":");
        api_out_int(&o, -1234);
        api_out_raw(&o, ",\"b\":");
        api_out_str(&o, NULL);
        api_out_raw(&o, "}");
        ck_assert_int_eq(api_out_end(&o), E_TOO_BIG);
        ck_assert_uint_eq(small.len, kept ? 2 : 0);
        buf_fini(&small);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("json_out");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, strings_are_escaped_and_repaired);
    tcase_add_test(tcase, a_float_is_the_shortest_text_that_reads_back);
    tcase_add_test(tcase, what_does_not_fit_is_taken_back);
    return suite_run("json_out", tcase);
}
