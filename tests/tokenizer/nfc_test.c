/* Normalisation form C: equal to utf8proc's own, where that is right. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "tokenizer/nfc.h"

enum {
    CODE_POINT_COUNT = 0x110000,
    HANGUL_NO_TAIL = 0x11a7 /* lost by utf8proc 2.8 behind a syllable */
};

static bool is_surrogate(int32_t c)
{
    return c >= 0xd800 && c < 0xe000;
}

static size_t put(char *out, int32_t c)
{
    return (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)out);
}

static void expect(const char *text, size_t len, const char *want, size_t want_len)
{
    struct tokenizer_nfc_work w = { 0 };
    struct base_buf out;
    buf_init(&out, MEM_BASE, 1 << 24);
    ck_assert_int_eq(tokenizer_nfc_append(&out, (struct tokenizer_text){ text, len }, &w), OK);
    ck_assert_uint_eq(out.len, want_len);
    ck_assert_int_eq(memcmp(out.data, want, want_len), 0);
    buf_fini(&out);
    tokenizer_nfc_work_fini(&w);
}

static void expect_text(const char *text, const char *want)
{
    expect(text, strlen(text), want, strlen(want));
}

START_TEST(texts_are_composed)
{
    expect_text("e\xcc\x81", "\xc3\xa9");
    expect_text("xe\xcc\x81y", "x\xc3\xa9y");
    expect_text("\xcc\x81", "\xcc\x81");
    expect_text("a\xcc\x87\xcc\xa3", "\xe1\xba\xa1\xcc\x87");
    expect_text("\xe2\x84\xab", "\xc3\x85"); /* the angstrom sign */
    expect_text("\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c");
    expect_text("\xea\xb0\x80\xe1\x86\xa8", "\xea\xb0\x81");
    expect_text("\xea\xb0\x80\xe1\x86\xa7", "\xea\xb0\x80\xe1\x86\xa7");
    expect_text("\xe0\xa5\x98", "\xe0\xa4\x95\xe0\xa4\xbc"); /* never composed */
}
END_TEST

START_TEST(text_in_form_c_is_seen_at_a_glance)
{
    static const char text[] = "plain \xc3\xa9 \xd0\xb6 \xe4\xb8\xad \xe3\x81\x8b \xed\x95\x9c";
    struct tokenizer_text t = { text, sizeof text - 1 };
    ck_assert_uint_eq(tokenizer_nfc_first(t), t.len);
    t = (struct tokenizer_text){ "abe\xcc\x81", 5 };
    ck_assert_uint_eq(tokenizer_nfc_first(t), 2);
}
END_TEST

/* A character that counts as settled is its own form C and never the second half of a pair. */
START_TEST(settled_characters_stay)
{
    static bool second[CODE_POINT_COUNT];
    for (int32_t c = 0; c < CODE_POINT_COUNT; c++) {
        int32_t parts[8];
        int boundary = 0;
        utf8proc_ssize_t n =
            is_surrogate(c) ? 0
                            : utf8proc_decompose_char(c, parts, 8, UTF8PROC_DECOMPOSE, &boundary);
        for (utf8proc_ssize_t i = 1; i < n; i++)
            second[parts[i]] = true;
    }
    int settled = 0;
    for (int32_t c = 0; c < CODE_POINT_COUNT; c++) {
        char text[4];
        size_t len = is_surrogate(c) ? 0 : put(text, c);
        if (len == 0 || tokenizer_nfc_first((struct tokenizer_text){ text, len }) != len)
            continue;
        settled++;
        if (second[c] || utf8proc_get_property(c)->combining_class)
            ck_abort_msg("U+%04X joins what is before it", (unsigned)c);
        utf8proc_uint8_t z[5] = { 0 };
        memcpy(z, text, len);
        utf8proc_uint8_t *same = c ? utf8proc_NFC(z) : NULL;
        if (same && strcmp((const char *)same, (const char *)z) != 0)
            ck_abort_msg("U+%04X changes", (unsigned)c);
        free(same);
    }
    ck_assert_int_gt(settled, 40000);
}
END_TEST

static uint32_t g_state = 1;

static int32_t below(int32_t n)
{
    g_state = g_state * 1664525u + 1013904223u;
    return (int32_t)((uint64_t)g_state * (uint32_t)n >> 32);
}

static int32_t random_char(void)
{
    static const int32_t ranges[][2] = {
        { 1, 0x7f },        { 0xc0, 0x17f },    { 0x300, 0x345 },     { 0x370, 0x3ff },
        { 0x900, 0xd7f },   { 0x1100, 0x1112 }, { 0x1161, 0x1175 },   { 0x11a6, 0x11c3 },
        { 0x1e00, 0x1fff }, { 0x2000, 0x22ff }, { 0x3040, 0x30ff },   { 0xac00, 0xac40 },
        { 0xf900, 0xfa6d }, { 0x1dc0, 0x1dff }, { 0x11080, 0x110ff }, { 1, 0x1ffff },
    };
    for (;;) {
        const int32_t *range = ranges[below(sizeof ranges / sizeof ranges[0])];
        int32_t c = range[0] + below(range[1] - range[0] + 1);
        if (!is_surrogate(c) && c != HANGUL_NO_TAIL)
            return c;
    }
}

START_TEST(random_texts_are_as_utf8proc_has_them)
{
    for (int round = 0; round < 30000; round++) {
        char text[256];
        size_t len = 0;
        int count = 1 + below(round % 100 == 0 ? 60 : 8);
        for (int i = 0; i < count; i++)
            len += put(text + len, random_char());
        text[len] = '\0';
        utf8proc_uint8_t *want = utf8proc_NFC((const utf8proc_uint8_t *)text);
        ck_assert_ptr_nonnull(want);
        expect(text, len, (const char *)want, strlen((const char *)want));
        free(want);
    }
}
END_TEST

/* utf8proc's own ordering would take hours. */
START_TEST(long_runs_of_marks_take_no_quadratic_time)
{
    enum {
        PAIRS = 300000
    };
    char *text = mem_alloc(MEM_BASE, 4 * PAIRS + 1);
    char *want = mem_alloc(MEM_BASE, 4 * PAIRS + 1);
    ck_assert(text && want);
    text[0] = 'x';
    want[0] = 'x';
    for (size_t i = 0; i < PAIRS; i++) {
        memcpy(text + 1 + 4 * i, "\xcc\x82\xcc\xa4", 4); /* above, below: below comes first */
        memcpy(want + 1 + 2 * i, "\xcc\xa4", 2);
        memcpy(want + 1 + 2 * (PAIRS + i), "\xcc\x82", 2);
    }
    expect(text, 4 * PAIRS + 1, want, 4 * PAIRS + 1);
    mem_free(text);
    mem_free(want);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer.nfc");
    TCase *tc = tcase_create("nfc");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, texts_are_composed);
    tcase_add_test(tc, text_in_form_c_is_seen_at_a_glance);
    tcase_add_test(tc, settled_characters_stay);
    tcase_add_test(tc, random_texts_are_as_utf8proc_has_them);
    tcase_add_test(tc, long_runs_of_marks_take_no_quadratic_time);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
