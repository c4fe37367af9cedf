#include "base/mem.h"

#include <check.h>
#include <stdint.h>
#include <string.h>

#include "base/base_test.h"
#include "base/fault.h"

/* A size no compiler sees through, so that it does not warn of what the test is about. */
static volatile size_t g_huge = SIZE_MAX;

START_TEST(blocks_and_bytes_are_counted_by_tag)
{
    uint64_t allocs = mem_alloc_count();
    void *a = mem_alloc(MEM_PARK, 100);
    void *b = mem_calloc(MEM_HTTP, 10, 7);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
    ck_assert_uint_eq((uintptr_t)a % 16, 0);
    ck_assert_uint_eq((uintptr_t)b % 16, 0);
    ck_assert_uint_eq(mem_live_blocks(), 2);
    ck_assert_uint_eq(mem_live_bytes(MEM_PARK), 100);
    ck_assert_uint_eq(mem_live_bytes(MEM_HTTP), 70);
    ck_assert_uint_eq(mem_live_bytes(MEM_BASE), 0);
    ck_assert_uint_eq(mem_alloc_count(), allocs + 2);

    a = mem_realloc(MEM_PARK, a, 1000);
    ck_assert_ptr_nonnull(a);
    ck_assert_uint_eq(mem_live_blocks(), 2);
    ck_assert_uint_eq(mem_live_bytes(MEM_PARK), 1000);
    a = mem_realloc(MEM_PARK, a, 10);
    ck_assert_uint_eq(mem_live_bytes(MEM_PARK), 10);

    mem_free(a);
    mem_free(b);
    mem_free(NULL);
    ck_assert_uint_eq(mem_live_blocks(), 0);
    for (int tag = 0; tag < MEM_TAG_COUNT; tag++)
        ck_assert_uint_eq(mem_live_bytes((enum mem_tag)tag), 0);
}
END_TEST

START_TEST(contents_are_what_the_call_says)
{
    unsigned char *p = mem_calloc(MEM_BASE, 50, 3);
    for (int i = 0; i < 150; i++)
        ck_assert_uint_eq(p[i], 0);
    memset(p, 0x5a, 150);
    p = mem_realloc(MEM_BASE, p, 100000);
    for (int i = 0; i < 150; i++)
        ck_assert_uint_eq(p[i], 0x5a);
    mem_free(p);
    p = mem_realloc(MEM_BASE, NULL, 5);
    ck_assert_ptr_nonnull(p);
    mem_free(p);

    char *s = mem_strndup(MEM_BASE, "hello world", 5);
    ck_assert_str_eq(s, "hello");
    mem_free(s);
    s = mem_strndup(MEM_BASE, NULL, 0);
    ck_assert_str_eq(s, "");
    mem_free(s);
    p = mem_alloc(MEM_BASE, 0);
    ck_assert_ptr_nonnull(p);
    mem_free(p);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(sizes_that_cannot_be_are_refused)
{
    size_t huge = g_huge;
    ck_assert_ptr_null(mem_alloc(MEM_BASE, huge));
    ck_assert_ptr_null(mem_alloc(MEM_BASE, huge / 2));
    ck_assert_ptr_null(mem_calloc(MEM_BASE, huge / 2, 3));
    ck_assert_ptr_null(mem_calloc(MEM_BASE, (huge >> 32) + 1, (huge >> 32) + 1));
    ck_assert_ptr_null(mem_strndup(MEM_BASE, "", huge));
    ck_assert_ptr_null(mem_map(MEM_BASE, 0));
    ck_assert_ptr_null(mem_map(MEM_BASE, huge / 2));
    char *p = mem_strndup(MEM_BASE, "kept", 4);
    ck_assert_ptr_null(mem_realloc(MEM_BASE, p, huge));
    ck_assert_str_eq(p, "kept");
    ck_assert_uint_eq(mem_live_bytes(MEM_BASE), 5);
    mem_free(p);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(maps_are_zeroed_and_counted)
{
    size_t size = (size_t)3 << 20;
    unsigned char *p = mem_map(MEM_ENGINE, size);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq((uintptr_t)p % 4096, 0);
    for (size_t i = 0; i < size; i += 4096)
        ck_assert_uint_eq(p[i], 0);
    p[size - 1] = 1;
    ck_assert_uint_eq(mem_live_bytes(MEM_ENGINE), size);
    ck_assert_uint_eq(mem_live_blocks(), 1);
    mem_unmap(MEM_ENGINE, p, size);
    mem_unmap(MEM_ENGINE, NULL, size);
    ck_assert_uint_eq(mem_live_blocks(), 0);
    ck_assert_uint_eq(mem_live_bytes(MEM_ENGINE), 0);
}
END_TEST

START_TEST(tags_have_names)
{
    ck_assert_str_eq(mem_tag_name(MEM_BASE), "base");
    ck_assert_str_eq(mem_tag_name(MEM_MODEL), "model");
    ck_assert_str_eq(mem_tag_name(MEM_SERVER), "server");
    for (int tag = 0; tag < MEM_TAG_COUNT; tag++)
        ck_assert_ptr_nonnull(mem_tag_name((enum mem_tag)tag));
}
END_TEST

#if VALET_CHECKS
START_TEST(a_fault_fires_once_at_its_number)
{
    fault_arm(FAULT_ALLOC, 3);
    for (int i = 1; i <= 6; i++) {
        void *p = mem_alloc(MEM_BASE, 8);
        ck_assert_int_eq(p == NULL, i == 3);
        mem_free(p);
    }
    ck_assert(fault_disarm());
    ck_assert(!fault_disarm());
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(a_fault_that_was_not_reached_has_not_fired)
{
    fault_arm(FAULT_ALLOC, 2);
    void *p = mem_alloc(MEM_BASE, 8);
    ck_assert_ptr_nonnull(p);
    ck_assert(!fault_disarm());
    void *q = mem_alloc(MEM_BASE, 8); /* would have been the second */
    ck_assert_ptr_nonnull(q);
    mem_free(p);
    mem_free(q);
}
END_TEST

START_TEST(faults_of_one_kind_leave_the_other_alone)
{
    fault_arm(FAULT_WRITE, 1);
    void *p = mem_alloc(MEM_BASE, 8);
    ck_assert_ptr_nonnull(p);
    mem_free(p);
    ck_assert(!fault_hit(FAULT_ALLOC));
    ck_assert(fault_hit(FAULT_WRITE));
    ck_assert(!fault_hit(FAULT_WRITE));
    ck_assert(fault_disarm());
}
END_TEST

START_TEST(every_way_to_memory_can_be_refused)
{
    fault_arm(FAULT_ALLOC, 1);
    ck_assert_ptr_null(mem_calloc(MEM_BASE, 1, 8));
    fault_arm(FAULT_ALLOC, 1);
    ck_assert_ptr_null(mem_strndup(MEM_BASE, "x", 1));
    fault_arm(FAULT_ALLOC, 1);
    ck_assert_ptr_null(mem_map(MEM_BASE, 4096));
    fault_arm(FAULT_ALLOC, 1);
    ck_assert_ptr_null(mem_realloc(MEM_BASE, NULL, 8));
    ck_assert(fault_disarm());
    char *p = mem_strndup(MEM_BASE, "kept", 4);
    fault_arm(FAULT_ALLOC, 1);
    ck_assert_ptr_null(mem_realloc(MEM_BASE, p, 8));
    ck_assert(fault_disarm());
    ck_assert_str_eq(p, "kept");
    mem_free(p);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("mem");
    TCase *tc = tcase_create("mem");
    tcase_add_test(tc, blocks_and_bytes_are_counted_by_tag);
    tcase_add_test(tc, contents_are_what_the_call_says);
    tcase_add_test(tc, sizes_that_cannot_be_are_refused);
    tcase_add_test(tc, maps_are_zeroed_and_counted);
    tcase_add_test(tc, tags_have_names);
#if VALET_CHECKS
    tcase_add_test(tc, a_fault_fires_once_at_its_number);
    tcase_add_test(tc, a_fault_that_was_not_reached_has_not_fired);
    tcase_add_test(tc, faults_of_one_kind_leave_the_other_alone);
    tcase_add_test(tc, every_way_to_memory_can_be_refused);
#endif
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
