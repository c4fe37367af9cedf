#include "base/random.h"

#include <check.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_test.h"

enum {
    ID_BYTES = 5 + 26 + 1
};

static void fill_with(void *arg, void *out, size_t len)
{
    memset(out, *(int *)arg, len);
}

START_TEST(an_id_spells_its_bits)
{
    char id[ID_BYTES];
    int byte = 0;
    const struct base_random fixed = { fill_with, &byte };
    random_id(&fixed, "", id, sizeof id);
    ck_assert_str_eq(id, "aaaaaaaaaaaaaaaaaaaaaaaaaa");
    byte = 0xff; /* 128 ones and two zeros */
    random_id(&fixed, "cmpl-", id, sizeof id);
    ck_assert_str_eq(id, "cmpl-77777777777777777777777774");
    byte = 0x08; /* 00001000 00001000 ... */
    random_id(&fixed, "x", id, sizeof id);
    ck_assert_str_eq(id, "xbaeaqcaibaeaqcaibaeaqcaiba");
}
END_TEST

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, ID_BYTES);
}

START_TEST(ids_have_one_shape_and_differ)
{
    enum {
        COUNT = 20000
    };
    char(*ids)[ID_BYTES] = calloc(COUNT, ID_BYTES);
    unsigned seen[256] = { 0 };
    for (int i = 0; i < COUNT; i++) {
        random_id(&base_random_system, "req_-", ids[i], ID_BYTES);
        ck_assert_uint_eq(strlen(ids[i]), ID_BYTES - 1);
        ck_assert_int_eq(memcmp(ids[i], "req_-", 5), 0);
        ck_assert_uint_eq(strspn(ids[i] + 5, "abcdefghijklmnopqrstuvwxyz234567"), 26);
        for (int k = 5; k < ID_BYTES - 2; k++)
            seen[(unsigned char)ids[i][k]]++;
    }
    /* each letter comes about COUNT * 25 / 32 times; 1000 is 8 standard deviations */
    for (const char *c = "abcdefghijklmnopqrstuvwxyz234567"; *c; c++) {
        ck_assert_uint_gt(seen[(unsigned char)*c], COUNT * 25 / 32 - 1000);
        ck_assert_uint_lt(seen[(unsigned char)*c], COUNT * 25 / 32 + 1000);
    }
    qsort(ids, COUNT, ID_BYTES, compare_ids);
    for (int i = 1; i < COUNT; i++)
        ck_assert_str_ne(ids[i - 1], ids[i]);
    free(ids);
}
END_TEST

START_TEST(an_id_without_room_aborts)
{
    char id[26];
    random_id(&base_random_system, "", id, sizeof id);
}
END_TEST

START_TEST(numbers_come_from_the_source)
{
    int byte = 0x5a;
    const struct base_random fixed = { fill_with, &byte };
    ck_assert_uint_eq(random_u64(&fixed), 0x5a5a5a5a5a5a5a5au);
    ck_assert_uint_ne(random_u64(&base_random_system), random_u64(&base_random_system));
    unsigned char large[100000] = { 0 };
    base_random_system.fill(base_random_system.arg, large, sizeof large);
    unsigned zeros = 0;
    for (size_t i = sizeof large - 1000; i < sizeof large; i++)
        zeros += large[i] == 0;
    ck_assert_uint_lt(zeros, 100); /* filled to its end */
}
END_TEST

START_TEST(mixing_spreads_every_bit)
{
    ck_assert_uint_eq(random_mix(0), 0);
    /* the first number of SplitMix64 from seed 0 */
    ck_assert_uint_eq(random_mix(0x9e3779b97f4a7c15u), 0xe220a8397b1dcdafu);
    for (int bit = 0; bit < 64; bit++) {
        int changed = 0;
        for (uint64_t i = 0; i < 1000; i++) {
            uint64_t x = i * 0x9e3779b97f4a7c15u;
            changed += __builtin_popcountll(random_mix(x) ^ random_mix(x ^ (uint64_t)1 << bit));
        }
        ck_assert_int_gt(changed, 31000);
        ck_assert_int_lt(changed, 33000);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random");
    TCase *tc = tcase_create("random");
    tcase_add_test(tc, an_id_spells_its_bits);
    tcase_add_test(tc, ids_have_one_shape_and_differ);
    tcase_add_test_raise_signal(tc, an_id_without_room_aborts, SIGABRT);
    tcase_add_test(tc, numbers_come_from_the_source);
    tcase_add_test(tc, mixing_spreads_every_bit);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
