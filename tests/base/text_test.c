#include "base/text.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_test.h"

/*
 * The reference: the table of every character's encoding and of every proper prefix of one,
 * made by encoding all of Unicode. The functions under test are compared with what the
 * definitions say about these tables.
 */
enum {
    WHOLE = 1,
    PREFIX = 2
};

static uint8_t *g_table[5]; /* [n]: flags of each sequence of n bytes; none for n = 4 */

static uint32_t number_of(const uint8_t *s, size_t n)
{
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | s[i];
    return v;
}

static size_t encode(uint32_t c, uint8_t s[4])
{
    if (c < 0x80) {
        s[0] = (uint8_t)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        s[i] = (uint8_t)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    static const uint8_t lead[5] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    s[0] = (uint8_t)(lead[n] | c);
    return n;
}

static void make_tables(void)
{
    for (size_t n = 1; n <= 3; n++)
        g_table[n] = calloc((size_t)1 << (8 * n), 1);
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        uint8_t s[4];
        size_t n = encode(c, s);
        if (n < 4)
            g_table[n][number_of(s, n)] |= WHOLE;
        for (size_t k = 1; k < n; k++)
            g_table[k][number_of(s, k)] |= PREFIX;
    }
}

static void free_tables(void)
{
    for (size_t n = 1; n <= 3; n++)
        free(g_table[n]);
}

static bool ref_is_whole(const uint8_t *s, size_t n)
{
    if (n < 4)
        return g_table[n][number_of(s, n)] & WHOLE;
    if (!(g_table[3][number_of(s, 3)] & PREFIX))
        return false;
    return (s[3] & 0xc0) == 0x80; /* the last byte is free once the others stand */
}

static bool ref_is_prefix(const uint8_t *s, size_t n)
{
    return n < 4 && g_table[n][number_of(s, n)] & PREFIX;
}

static int ref_char_len(const uint8_t *s, size_t len)
{
    for (size_t n = 1; n <= len && n <= 4; n++) {
        if (ref_is_whole(s, n))
            return (int)n;
    }
    return 0;
}

static int ref_bad_len(const uint8_t *s, size_t len)
{
    int best = 1;
    for (size_t n = 1; n <= len && n <= 4; n++) {
        if (ref_is_prefix(s, n))
            best = (int)n;
    }
    return best;
}

static bool compare(const uint8_t *s, size_t len)
{
    const char *p = (const char *)s;
    int want = ref_char_len(s, len);
    if (utf8_char_len(p, len) != want)
        return false;
    if (want == 0 && utf8_bad_len(p, len) != ref_bad_len(s, len))
        return false;
    if (utf8_is_cut(p, len) != (len < 4 && ref_is_prefix(s, len)))
        return false;
    bool valid = true;
    for (size_t i = 0; i < len && valid;) {
        int n = ref_char_len(s + i, len - i);
        valid = n > 0;
        i += (size_t)n;
    }
    return utf8_is_valid(p, len) == valid;
}

static void assert_same(const uint8_t *s, size_t len)
{
    if (!compare(s, len))
        ck_abort_msg("%zu bytes %02x %02x %02x %02x", len, s[0], len > 1 ? s[1] : 0,
                     len > 2 ? s[2] : 0, len > 3 ? s[3] : 0);
}

START_TEST(all_sequences_of_one_to_three_bytes_are_as_in_the_tables)
{
    make_tables();
    uint8_t s[4] = { 0 };
    for (uint32_t v = 0; v < 1u << 24; v++) {
        s[0] = (uint8_t)(v >> 16);
        s[1] = (uint8_t)(v >> 8);
        s[2] = (uint8_t)v;
        assert_same(s, 3);
        if (s[2] == 0)
            assert_same(s, 2);
        if (s[1] == 0 && s[2] == 0)
            assert_same(s, 1);
    }
    free_tables();
}
END_TEST

START_TEST(sampled_sequences_of_four_bytes_are_as_in_the_tables)
{
    static const uint8_t edges[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
                                     0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff };
    enum {
        EDGES = sizeof edges
    };
    make_tables();
    for (uint32_t v = 0; v < EDGES * EDGES * EDGES * EDGES; v++) {
        const uint8_t s[4] = { edges[v % EDGES], edges[v / EDGES % EDGES],
                               edges[v / EDGES / EDGES % EDGES], edges[v / EDGES / EDGES / EDGES] };
        assert_same(s, 4);
    }
    for (uint32_t v = 0; v < 6 * 256 * EDGES * EDGES; v++) {
        const uint8_t s[4] = { (uint8_t)(0xf0 + v % 6), (uint8_t)(v / 6),
                               edges[v / 6 / 256 % EDGES], edges[v / 6 / 256 / EDGES] };
        assert_same(s, 4);
    }
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        uint8_t s[4];
        size_t n = encode(c, s);
        assert_same(s, n);
        if (!utf8_is_valid((const char *)s, n))
            ck_abort_msg("U+%04X is refused", c);
    }
    free_tables();
}
END_TEST

/* Writes 'c' for each character and '?' for each U+FFFD. */
static void shape(const char *s, size_t len, char *out)
{
    for (size_t i = 0; i < len;) {
        int n = utf8_char_len(s + i, len - i);
        *out++ = n ? 'c' : '?';
        i += (size_t)(n ? n : utf8_bad_len(s + i, len - i));
        ck_assert_uint_le(i, len);
    }
    *out = '\0';
}

START_TEST(ill_formed_text_is_replaced_as_unicode_shows)
{
    static const struct {
        const char *text;
        const char *shape;
    } cases[] = {
        /* Unicode 15, tables 3-8 to 3-11 */
        { "\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", "????????c" },
        { "\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", "????????c" },
        { "\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", "?????c??c" },
        { "\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", "????c" },
        /* cut at the end */
        { "a\xE2\x82", "c?" },
        { "\xF0\x9F\x98\x80\xF0\x9F\x98", "c?" },
        { "\xF0\x9F\x98 ", "?c" },
        { "", "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char got[16];
        shape(cases[i].text, strlen(cases[i].text), got);
        ck_assert_str_eq(got, cases[i].shape);
    }
}
END_TEST

START_TEST(cut_text_is_not_valid_and_nothing_is_not_cut)
{
    ck_assert(utf8_is_valid("", 0));
    ck_assert(utf8_is_valid("a\0b", 3));
    ck_assert(utf8_is_valid("gr\xC3\xBC\xC3\x9F", 6));
    ck_assert(!utf8_is_valid("gr\xC3", 3));
    ck_assert(!utf8_is_cut("", 0));
    ck_assert(!utf8_is_cut("a", 1));
    ck_assert(!utf8_is_cut("\x80", 1));
    ck_assert(utf8_is_cut("\xC3", 1));
    ck_assert(utf8_is_cut("\xF0\x9F\x98", 3));
    ck_assert(!utf8_is_cut("\xF0\x9F\x98\x80", 4));
    ck_assert(!utf8_is_cut("\xE2\x41", 2));
}
END_TEST

START_TEST(whole_numbers_are_read)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {
        { "0", 0 },
        { "-0", 0 },
        { "7", 7 },
        { "-12", -12 },
        { "007", 7 },
        { "9223372036854775807", INT64_MAX },
        { "-9223372036854775808", INT64_MIN },
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t v = 42;
        ck_assert_msg(text_parse_i64(good[i].text, INT64_MIN, INT64_MAX, &v), "%s", good[i].text);
        ck_assert_int_eq(v, good[i].value);
    }
    static const char *const bad[] = {
        "",
        " ",
        "-",
        "+",
        "--1",
        "+1",
        "-+1",
        "- 1",
        " 1",
        "\t1",
        "\n1",
        "1 ",
        "1\n",
        "1.0",
        "1e3",
        "0x10",
        "1,000",
        "abc",
        "1a",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999999",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t v = 42;
        ck_assert_msg(!text_parse_i64(bad[i], INT64_MIN, INT64_MAX, &v), "%s", bad[i]);
        ck_assert_int_eq(v, 42);
    }
    int64_t v = 42;
    ck_assert(!text_parse_i64("0", 1, 10, &v));
    ck_assert(!text_parse_i64("11", 1, 10, &v));
    ck_assert(!text_parse_i64("-1", 0, 10, &v));
    ck_assert_int_eq(v, 42);
    ck_assert(text_parse_i64("1", 1, 10, &v));
    ck_assert(text_parse_i64("10", 1, 10, &v));
    ck_assert_int_eq(v, 10);
}
END_TEST

START_TEST(sizes_are_read_with_their_unit)
{
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {
        { "0", 0 },
        { "4096", 4096 },
        { "12B", 12 },
        { "512KiB", 512 * 1024 },
        { "64MiB", 64 << 20 },
        { "2GiB", 2ull << 30 },
        { "1KB", 1000 },
        { "3MB", 3000000 },
        { "1GB", 1000000000 },
        { "1gib", 1 << 30 },
        { "18446744073709551615", UINT64_MAX },
        { "17179869183GiB", 17179869183ull << 30 },
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t v = 42;
        ck_assert_msg(text_parse_size(good[i].text, &v), "%s", good[i].text);
        ck_assert_uint_eq(v, good[i].value);
    }
    static const char *const bad[] = {
        "",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1 MiB",
        "MiB",
        "1K",
        "1M",
        "1TiB",
        "1.5GiB",
        "0x10",
        "1e3",
        "1MiBx",
        "18446744073709551616",
        "17179869184GiB",
        "18446744073709552KB",
        "99999999999999999999GiB",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t v = 42;
        ck_assert_msg(!text_parse_size(bad[i], &v), "%s", bad[i]);
        ck_assert_uint_eq(v, 42);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("text");
    TCase *tc = tcase_create("text");
    tcase_set_timeout(tc, 100);
    tcase_add_test(tc, all_sequences_of_one_to_three_bytes_are_as_in_the_tables);
    tcase_add_test(tc, sampled_sequences_of_four_bytes_are_as_in_the_tables);
    tcase_add_test(tc, ill_formed_text_is_replaced_as_unicode_shows);
    tcase_add_test(tc, cut_text_is_not_valid_and_nothing_is_not_cut);
    tcase_add_test(tc, whole_numbers_are_read);
    tcase_add_test(tc, sizes_are_read_with_their_unit);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
