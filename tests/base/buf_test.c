#include "base/buf.h"

#include <check.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

#include "base/base_test.h"
#include "base/fault.h"

START_TEST(appended_bytes_are_a_string)
{
    struct base_buf b;
    buf_init(&b, MEM_HTTP, 1000);
    ck_assert_ptr_null(b.data);
    ck_assert_int_eq(buf_append(&b, NULL, 0), OK);
    ck_assert_str_eq(b.data, "");
    ck_assert_int_eq(buf_append(&b, "abc", 3), OK);
    ck_assert_int_eq(buf_append_str(&b, "def"), OK);
    ck_assert_int_eq(buf_append(&b, "\0g", 2), OK);
    ck_assert_uint_eq(b.len, 8);
    ck_assert_int_eq(memcmp(b.data, "abcdef\0g", 9), 0);
    buf_clear(&b);
    ck_assert_uint_eq(b.len, 0);
    ck_assert_str_eq(b.data, "");
    ck_assert_uint_gt(b.cap, 0);
    buf_fini(&b);
    ck_assert_ptr_null(b.data);
    ck_assert_uint_eq(b.len_max, 1000);
    buf_clear(&b);
    buf_consume(&b, 0);
    buf_fini(&b);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(growth_keeps_the_contents)
{
    struct base_buf b;
    buf_init(&b, MEM_HTTP, 1 << 20);
    for (int i = 0; i < 50000; i++)
        ck_assert_int_eq(buf_append(&b, &(char){ (char)(i % 251) }, 1), OK);
    for (int i = 0; i < 50000; i++)
        ck_assert_int_eq((unsigned char)b.data[i], i % 251);
    ck_assert_uint_lt(mem_alloc_count(), 20); /* it doubles */
    buf_fini(&b);
}
END_TEST

START_TEST(the_maximum_is_reached_and_never_passed)
{
    static const size_t maxima[] = { 0, 1, 63, 64, 65, 100, 1000, 5000 };
    char bytes[5001];
    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 0; i < sizeof maxima / sizeof maxima[0]; i++) {
        size_t max = maxima[i];
        struct base_buf b;
        buf_init(&b, MEM_HTTP, max);
        ck_assert_int_eq(buf_append(&b, bytes, max + 1), E_TOO_BIG);
        ck_assert_uint_eq(b.len, 0);
        for (size_t k = 0; k < max; k++)
            ck_assert_int_eq(buf_append(&b, "y", 1), OK);
        ck_assert_int_eq(buf_append(&b, "z", 1), E_TOO_BIG);
        ck_assert_int_eq(buf_append_str(&b, "z"), E_TOO_BIG);
        ck_assert_int_eq(buf_printf(&b, "%d", 5), E_TOO_BIG);
        ck_assert_int_eq(buf_append(&b, "", 0), OK);
        ck_assert_uint_eq(b.len, max);
        ck_assert_uint_eq(strlen(b.data), max);
        ck_assert_uint_le(b.cap, max + 1 > 64 ? max + 1 : 64);
        buf_fini(&b);
    }
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(impossible_sizes_are_refused)
{
    struct base_buf b;
    buf_init(&b, MEM_HTTP, SIZE_MAX);
    ck_assert_int_eq(buf_append_str(&b, "kept"), OK);
    ck_assert_int_eq(buf_reserve(&b, SIZE_MAX), E_TOO_BIG);
    ck_assert_int_eq(buf_reserve(&b, SIZE_MAX - 4), E_TOO_BIG);
    ck_assert_int_eq(buf_reserve(&b, SIZE_MAX - 5), E_NOMEM);
    ck_assert_str_eq(b.data, "kept");
    buf_fini(&b);
    ck_assert_int_eq(buf_reserve(&b, SIZE_MAX), E_TOO_BIG);
}
END_TEST

START_TEST(printf_appends_all_or_nothing)
{
    struct base_buf b;
    buf_init(&b, MEM_HTTP, 10);
    ck_assert_int_eq(buf_printf(&b, "%s-%03d", "ab", 7), OK);
    ck_assert_str_eq(b.data, "ab-007");
    ck_assert_int_eq(buf_printf(&b, "%s", "12345"), E_TOO_BIG);
    ck_assert_str_eq(b.data, "ab-007");
    ck_assert_int_eq(buf_printf(&b, "%s", "1234"), OK);
    ck_assert_str_eq(b.data, "ab-0071234");
    ck_assert_int_eq(buf_printf(&b, "%s", ""), OK);
    ck_assert_uint_eq(b.len, 10);
    buf_fini(&b);

    buf_init(&b, MEM_HTTP, 10000);
    char text[3001];
    memset(text, 't', 3000);
    text[3000] = '\0';
    ck_assert_int_eq(buf_printf(&b, "[%s]", text), OK);
    ck_assert_uint_eq(b.len, 3002);
    ck_assert_str_eq(b.data + 3000, "t]");
    buf_fini(&b);
}
END_TEST

START_TEST(consume_drops_the_front)
{
    struct base_buf b;
    buf_init(&b, MEM_HTTP, 100);
    buf_append_str(&b, "headbody");
    buf_consume(&b, 4);
    ck_assert_str_eq(b.data, "body");
    buf_consume(&b, 0);
    ck_assert_str_eq(b.data, "body");
    buf_consume(&b, 4);
    ck_assert_uint_eq(b.len, 0);
    ck_assert_str_eq(b.data, "");
    buf_fini(&b);
}
END_TEST

START_TEST(consume_beyond_the_end_aborts)
{
    struct base_buf b;
    buf_init(&b, MEM_HTTP, 100);
    buf_append_str(&b, "abc");
    buf_consume(&b, 4);
}
END_TEST

#if VALET_CHECKS
START_TEST(refused_memory_changes_nothing)
{
    struct base_buf b;
    buf_init(&b, MEM_HTTP, 10000);
    fault_arm(FAULT_ALLOC, 1);
    ck_assert_int_eq(buf_append_str(&b, "x"), E_NOMEM);
    ck_assert_ptr_null(b.data);
    ck_assert_int_eq(buf_append_str(&b, "kept"), OK);
    fault_arm(FAULT_ALLOC, 1);
    ck_assert_int_eq(buf_printf(&b, "%500d", 1), E_NOMEM);
    ck_assert_str_eq(b.data, "kept");
    ck_assert(fault_disarm());
    buf_fini(&b);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("buf");
    TCase *tc = tcase_create("buf");
    tcase_add_test(tc, appended_bytes_are_a_string);
    tcase_add_test(tc, growth_keeps_the_contents);
    tcase_add_test(tc, the_maximum_is_reached_and_never_passed);
    tcase_add_test(tc, impossible_sizes_are_refused);
    tcase_add_test(tc, printf_appends_all_or_nothing);
    tcase_add_test(tc, consume_drops_the_front);
    tcase_add_test_raise_signal(tc, consume_beyond_the_end_aborts, SIGABRT);
#if VALET_CHECKS
    tcase_add_test(tc, refused_memory_changes_nothing);
#endif
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
