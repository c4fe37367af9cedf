/* What holds for every text and every kind of vocabulary. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "base/text.h"
#include "vocab_file.h"

/* Vocabularies in which every text has tokens. */
static const struct {
    const char *path;
    bool nfc;
} g_kinds[] = {
    { "tests/golden/tokenizer_family_gpt-2.txt", false },
    { "tests/golden/tokenizer_family_command-r.txt", true },
    { "tests/golden/tokenizer_family_llama-bpe.txt", false },
    { "tests/golden/tokenizer_family_qwen2.txt", true },
    { "tests/golden/tokenizer_family_qwen35.txt", true },
    { "tests/golden/tokenizer_family_gpt-4o.txt", false },
    { "tests/golden/tokenizer_family_tekken.txt", false },
    { "tests/golden/tokenizer_family_kimi-k2.txt", false },
    { "tests/golden/tokenizer_family_deepseek-v3.txt", false },
    { "tests/golden/tokenizer_family_deepseek-llm.txt", false },
    { "tests/golden/tokenizer_family_deepseek-coder.txt", false },
    { "tests/golden/tokenizer_family_viking.txt", false },
    { "tests/golden/tokenizer_spm_llama.txt", false },
    { "tests/golden/tokenizer_spm_gemma.txt", false },
    { "tests/golden/tokenizer_spm_phrases.txt", false },
};

enum {
    KIND_COUNT = sizeof g_kinds / sizeof g_kinds[0],
    ROUNDS = 500,
    TEXT_MAX = 600
};

static struct vocab_file g_file;
static struct tokenizer *g_tokenizer;
static int32_t g_specials[64]; /* the tokens that are neither normal nor bytes */
static size_t g_special_count;
static uint32_t g_state;

static size_t below(size_t n)
{
    g_state = g_state * 1664525u + 1013904223u;
    return (size_t)((uint64_t)g_state * n >> 32);
}

static void open_kind(int kind)
{
    struct base_err_info info = { 0 };
    vocab_file_open(&g_file, g_kinds[kind].path);
    ck_assert_msg(tokenizer_create(&g_file.source, &g_tokenizer, &info) == OK, "%s", info.message);
    g_state = (uint32_t)kind + 1;
    g_special_count = 0;
    for (int32_t id = 0; id < g_file.source.token_count; id++) {
        if (g_file.types[id] != TOKENIZER_NORMAL && g_file.types[id] != TOKENIZER_BYTE)
            g_specials[g_special_count++] = id;
    }
}

static void close_kind(void)
{
    tokenizer_destroy(g_tokenizer);
    vocab_file_close(&g_file);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

/* No U+2581, which SentencePiece does not tell from a space, nor U+11A7 (see nfc.c). */
static int32_t random_char(void)
{
    static const int32_t ranges[][2] = {
        { 'a', 'z' },       { ' ', ';' },       { 0, 0x7f },          { 0xa0, 0x24f },
        { 0x300, 0x36f },   { 0x370, 0x52f },   { 0x590, 0x6ff },     { 0x900, 0xd7f },
        { 0x1100, 0x11ff }, { 0x2000, 0x206f }, { 0x3000, 0x30ff },   { 0x4e00, 0x4eff },
        { 0xac00, 0xacff }, { 0xff00, 0xffef }, { 0x1f600, 0x1f64f }, { 0, 0x10ffff },
    };
    for (;;) {
        const int32_t *range = ranges[below(sizeof ranges / sizeof ranges[0])];
        int32_t c = range[0] + (int32_t)below((size_t)(range[1] - range[0] + 1));
        if (!(c >= 0xd800 && c < 0xe000) && c != 0x2581 && c != 0x11a7)
            return c;
    }
}

static size_t random_unicode(char *out)
{
    size_t len = 0;
    for (size_t n = below(60); n > 0; n--) {
        int32_t c = random_char();
        for (size_t times = below(8) == 0 ? 1 + below(6) : 1; times > 0; times--)
            len += (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)out + len);
    }
    return len < TEXT_MAX ? len : 0;
}

static size_t random_bytes(char *out)
{
    static const char often[] = "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\xed\xa0\xff a\n\xcc\x81";
    size_t len = below(120);
    for (size_t i = 0; i < len; i++)
        out[i] = below(2) ? (char)below(256) : often[below(sizeof often - 1)];
    return len;
}

static void encode(const struct tokenizer_span *spans, size_t count, struct tokenizer_ids *ids)
{
    ids->count = 0;
    ck_assert_int_eq(tokenizer_encode(g_tokenizer, spans, count, ids), OK);
}

/* The text with U+FFFD for what is ill-formed, in form C if the family wants that. */
static void expected_text(const char *text, size_t len, bool nfc, struct base_buf *out)
{
    buf_clear(out);
    for (size_t at = 0; at < len;) {
        int n = utf8_char_len(text + at, len - at);
        ck_assert_int_eq(
            n ? buf_append(out, text + at, (size_t)n) : buf_append(out, "\xef\xbf\xbd", 3), OK);
        at += (size_t)(n ? n : utf8_bad_len(text + at, len - at));
    }
    if (!nfc || out->len == 0)
        return;
    utf8proc_uint8_t *mapped;
    utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)out->data, (utf8proc_ssize_t)out->len, &mapped,
                     UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    ck_assert_int_ge(n, 0);
    buf_clear(out);
    ck_assert_int_eq(buf_append(out, mapped, (size_t)n), OK);
    free(mapped);
}

static void check_round_trip(const char *text, size_t len, bool nfc, struct tokenizer_ids *ids)
{
    static char pieces[64 * TEXT_MAX];
    struct tokenizer_span s = { text, len, false };
    struct tokenizer_decoder d;
    struct base_buf want;
    size_t n = 0;
    buf_init(&want, MEM_BASE, 1 << 20);
    expected_text(text, len, nfc, &want);
    encode(&s, 1, ids);
    tokenizer_decoder_init(&d, g_tokenizer, false);
    for (size_t i = 0; i < ids->count; i++) {
        size_t piece = tokenizer_decode(&d, ids->ids[i], pieces + n);
        if (!utf8_is_valid(pieces + n, piece))
            ck_abort_msg("a piece of \"%.*s\" is not well-formed", (int)len, text);
        n += piece;
    }
    n += tokenizer_decode_end(&d, pieces + n);
    if (n != want.len || memcmp(pieces, want.data ? want.data : "", n) != 0)
        ck_abort_msg("\"%.*s\" came back as \"%.*s\"", (int)len, text, (int)n, pieces);
    buf_fini(&want);
}

START_TEST(encoded_text_comes_back)
{
    char text[4 * TEXT_MAX];
    struct tokenizer_ids ids;
    open_kind(_i);
    tokenizer_ids_init(&ids, 1 << 20);
    for (int round = 0; round < ROUNDS; round++) {
        size_t len = round % 2 ? random_bytes(text) : random_unicode(text);
        check_round_trip(text, len, g_kinds[_i].nfc, &ids);
    }
    tokenizer_ids_fini(&ids);
    close_kind();
}
END_TEST

/* Pieces of the special tokens, so that they meet in every way. */
static size_t random_specials(char *out)
{
    size_t len = 0;
    for (size_t n = below(30); n > 0; n--) {
        int32_t id = below(8) ? g_specials[below(g_special_count)]
                              : (int32_t)below((size_t)g_file.source.token_count);
        struct tokenizer_text t = g_file.tokens[id];
        size_t from = below(3) ? 0 : below(t.len);
        size_t to = below(3) ? t.len : from + below(t.len - from + 1);
        if (len + t.len > TEXT_MAX)
            break;
        memcpy(out + len, t.data + from, to - from);
        len += to - from;
    }
    return len;
}

static size_t cut(const char *text, size_t len, struct tokenizer_span *spans)
{
    size_t count = 0;
    for (size_t at = 0; at < len || count == 0; count++) {
        size_t n = below(3) ? below(4) : below(len - at + 1);
        n = n < len - at ? n : len - at;
        spans[count] = (struct tokenizer_span){ text + at, n, false };
        at += n;
        if (count == 99) {
            spans[count].len += len - at;
            at = len;
        }
    }
    return count;
}

START_TEST(every_cut_into_spans_gives_the_same_ids)
{
    char text[4 * TEXT_MAX];
    struct tokenizer_span spans[100];
    struct tokenizer_ids whole;
    struct tokenizer_ids parts;
    open_kind(_i);
    tokenizer_ids_init(&whole, 1 << 20);
    tokenizer_ids_init(&parts, 1 << 20);
    for (int round = 0; round < ROUNDS; round++) {
        size_t len = round % 3 == 0   ? random_bytes(text)
                     : round % 3 == 1 ? random_unicode(text)
                                      : random_specials(text);
        struct tokenizer_span s = { text, len, false };
        encode(&s, 1, &whole);
        encode(spans, cut(text, len, spans), &parts);
        ck_assert_uint_eq(parts.count, whole.count);
        if (whole.count && memcmp(parts.ids, whole.ids, whole.count * sizeof *whole.ids) != 0)
            ck_abort_msg("\"%.*s\"", (int)len, text);
    }
    tokenizer_ids_fini(&whole);
    tokenizer_ids_fini(&parts);
    close_kind();
}
END_TEST

START_TEST(text_that_nobody_trusts_gives_no_control_token)
{
    char text[4 * TEXT_MAX];
    struct tokenizer_ids ids;
    open_kind(_i);
    tokenizer_ids_init(&ids, 1 << 20);
    int trusted = 0;
    for (int round = 0; round < 2 * ROUNDS; round++) {
        size_t len = random_specials(text);
        struct tokenizer_span s = { text, len, false };
        encode(&s, 1, &ids);
        for (size_t i = 0; i < ids.count; i++) {
            enum tokenizer_type type = tokenizer_type(g_tokenizer, ids.ids[i]);
            if (type == TOKENIZER_CONTROL || type == TOKENIZER_UNKNOWN)
                ck_abort_msg("id %d from \"%.*s\"", (int)ids.ids[i], (int)len, text);
        }
        s.trusted = true;
        encode(&s, 1, &ids);
        for (size_t i = 0; i < ids.count; i++)
            trusted += tokenizer_type(g_tokenizer, ids.ids[i]) == TOKENIZER_CONTROL;
    }
    ck_assert_int_gt(trusted, ROUNDS / 2); /* the texts are worth something */
    tokenizer_ids_fini(&ids);
    close_kind();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer.property");
    TCase *tc = tcase_create("property");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, encoded_text_comes_back, 0, KIND_COUNT);
    tcase_add_loop_test(tc, every_cut_into_spans_gives_the_same_ids, 0, KIND_COUNT);
    tcase_add_loop_test(tc, text_that_nobody_trusts_gives_no_control_token, 0, KIND_COUNT);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
