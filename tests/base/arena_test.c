#include "base/arena.h"

#include <check.h>
#include <stdint.h>
#include <string.h>

#include "base/base_test.h"
#include "base/fault.h"

START_TEST(memory_is_zeroed_aligned_and_apart)
{
    struct arena arena;
    arena_init(&arena, MEM_API, 1 << 20);
    enum {
        COUNT = 1000
    };
    unsigned char *p[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = i * 37 % 301 + 1;
        p[i] = arena_alloc(&arena, size);
        ck_assert_ptr_nonnull(p[i]);
        ck_assert_uint_eq((uintptr_t)p[i] % 16, 0);
        for (size_t k = 0; k < size; k++)
            ck_assert_uint_eq(p[i][k], 0);
        memset(p[i], (int)(i % 255 + 1), size);
    }
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = i * 37 % 301 + 1;
        for (size_t k = 0; k < size; k++)
            ck_assert_uint_eq(p[i][k], i % 255 + 1);
    }
    ck_assert_uint_eq(mem_live_bytes(MEM_API), arena.bytes);
    ck_assert_uint_le(arena.bytes, arena.bytes_max);
    arena_fini(&arena);
    ck_assert_uint_eq(arena.bytes, 0);
    ck_assert_uint_eq(mem_live_blocks(), 0);

    ck_assert_ptr_nonnull(arena_alloc(&arena, 1)); /* and again */
    arena_fini(&arena);
    arena_fini(&arena);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(blocks_larger_than_a_chunk_fit)
{
    struct arena arena;
    arena_init(&arena, MEM_API, 1 << 20);
    char *small = arena_strndup(&arena, "small", 5);
    char *large = arena_alloc(&arena, 500000);
    ck_assert_ptr_nonnull(large);
    memset(large, 1, 500000);
    ck_assert_str_eq(small, "small");
    arena_fini(&arena);
}
END_TEST

START_TEST(the_limit_is_kept_and_used)
{
    for (size_t bytes_max = 0; bytes_max < 20000; bytes_max += 397) {
        struct arena arena;
        arena_init(&arena, MEM_API, bytes_max);
        size_t got = 0;
        while (arena_alloc(&arena, 16)) {
            got += 16;
            ck_assert_uint_le(arena.bytes, bytes_max);
            ck_assert_uint_eq(mem_live_bytes(MEM_API), arena.bytes);
        }
        ck_assert_ptr_null(arena_alloc(&arena, 16)); /* and stays refused */
        /* all is given out but chunk headers and rounding */
        ck_assert_uint_ge(got + 64 * (bytes_max / 4096 + 1), bytes_max);
        arena_fini(&arena);
        ck_assert_uint_eq(mem_live_blocks(), 0);
    }
}
END_TEST

START_TEST(a_refusal_changes_nothing)
{
    struct arena arena;
    arena_init(&arena, MEM_API, 8192);
    char *s = arena_strndup(&arena, "kept", 4);
    size_t bytes = arena.bytes;
    volatile size_t huge = SIZE_MAX;
    ck_assert_ptr_null(arena_alloc(&arena, 8192));
    ck_assert_ptr_null(arena_alloc(&arena, huge));
    ck_assert_ptr_null(arena_alloc(&arena, huge - 15));
    ck_assert_ptr_null(arena_alloc(&arena, huge / 2));
    ck_assert_ptr_null(arena_calloc(&arena, huge / 2, 3));
    ck_assert_ptr_null(arena_calloc(&arena, 3, huge / 2));
    ck_assert_ptr_null(arena_strndup(&arena, "", huge));
    ck_assert_uint_eq(arena.bytes, bytes);
    ck_assert_str_eq(s, "kept");
    ck_assert_ptr_nonnull(arena_calloc(&arena, 10, 10));
    arena_fini(&arena);
}
END_TEST

START_TEST(text_is_copied_with_its_end)
{
    struct arena arena;
    arena_init(&arena, MEM_API, 8192);
    ck_assert_str_eq(arena_strndup(&arena, "hello world", 5), "hello");
    ck_assert_str_eq(arena_strndup(&arena, NULL, 0), "");
    char *sixteen = arena_strndup(&arena, "0123456789abcdef", 16);
    char *next = arena_strndup(&arena, "x", 1);
    ck_assert_str_eq(sixteen, "0123456789abcdef");
    ck_assert_str_eq(next, "x");
    arena_fini(&arena);
}
END_TEST

#if VALET_CHECKS
START_TEST(refused_memory_is_an_ordinary_refusal)
{
    struct arena arena;
    arena_init(&arena, MEM_API, 1 << 20);
    fault_arm(FAULT_ALLOC, 1);
    ck_assert_ptr_null(arena_alloc(&arena, 10));
    ck_assert_uint_eq(arena.bytes, 0);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 10));
    ck_assert(fault_disarm());
    arena_fini(&arena);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("arena");
    TCase *tc = tcase_create("arena");
    tcase_add_test(tc, memory_is_zeroed_aligned_and_apart);
    tcase_add_test(tc, blocks_larger_than_a_chunk_fit);
    tcase_add_test(tc, the_limit_is_kept_and_used);
    tcase_add_test(tc, a_refusal_changes_nothing);
    tcase_add_test(tc, text_is_copied_with_its_end);
#if VALET_CHECKS
    tcase_add_test(tc, refused_memory_is_an_ordinary_refusal);
#endif
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
