/* SentencePiece, with a vocabulary small enough to work out the ids by hand. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/mem.h"
#include "tokenizer/tokenizer.h"

#define SPACE "\xe2\x96\x81"
#define RI "\xe6\x97\xa5"
#define BEN "\xe6\x9c\xac"

enum {
    UNK,
    BOS,
    EOS,
    BYTE,        /* the first of 256 */
    SP = 259,    /* "▁" */
    A,           /* "a" */
    B,           /* "b" */
    C,           /* "c" */
    AB,          /* "ab", -1 */
    BC,          /* "bc", -0.5 */
    SP_A,        /* "▁a", -3 */
    AA,          /* "aa", -2 */
    AAAA,        /* "aaaa", -4 */
    RIBEN,       /* "日本", whose characters are no tokens, -1 */
    LT,          /* "<" */
    S_GT,        /* "s>", made of two that are no tokens, -1 */
    USER,        /* user-defined "[u]" */
    USER_SPACES, /* user-defined, three spaces */
    UNUSED,      /* unused "cc" */
    CA,          /* "ca", as good as "ac" */
    AC,          /* "ac" */
    COUNT,
    IDS_MAX = 64
};

static struct tokenizer_text g_tokens[COUNT];
static int32_t g_types[COUNT];
static float g_scores[COUNT];
static char g_bytes[256][7];
static struct tokenizer_source g_source;

static void put(int32_t id, const char *text, enum tokenizer_type type, float score)
{
    g_tokens[id] = (struct tokenizer_text){ text, strlen(text) };
    g_types[id] = (int32_t)type;
    g_scores[id] = score;
}

static void setup(void)
{
    put(UNK, "<unk>", TOKENIZER_UNKNOWN, 0);
    put(BOS, "<s>", TOKENIZER_CONTROL, 0);
    put(EOS, "</s>", TOKENIZER_CONTROL, 0);
    for (int b = 0; b < 256; b++) {
        snprintf(g_bytes[b], sizeof g_bytes[b], "<0x%02X>", b);
        put(BYTE + b, g_bytes[b], TOKENIZER_BYTE, 0);
    }
    put(SP, SPACE, TOKENIZER_NORMAL, -9);
    put(A, "a", TOKENIZER_NORMAL, -9);
    put(B, "b", TOKENIZER_NORMAL, -9);
    put(C, "c", TOKENIZER_NORMAL, -9);
    put(AB, "ab", TOKENIZER_NORMAL, -1);
    put(BC, "bc", TOKENIZER_NORMAL, -0.5f);
    put(SP_A, SPACE "a", TOKENIZER_NORMAL, -3);
    put(AA, "aa", TOKENIZER_NORMAL, -2);
    put(AAAA, "aaaa", TOKENIZER_NORMAL, -4);
    put(RIBEN, RI BEN, TOKENIZER_NORMAL, -1);
    put(LT, "<", TOKENIZER_NORMAL, -9);
    put(S_GT, "s>", TOKENIZER_NORMAL, -1);
    put(USER, "[u]", TOKENIZER_USER_DEFINED, 0);
    put(USER_SPACES, SPACE SPACE SPACE, TOKENIZER_USER_DEFINED, 0);
    put(UNUSED, "cc", TOKENIZER_UNUSED, 0);
    put(CA, "ca", TOKENIZER_NORMAL, -5);
    put(AC, "ac", TOKENIZER_NORMAL, -5);
    g_source = (struct tokenizer_source){
        .kind = TOKENIZER_SPM,
        .tokens = g_tokens,
        .types = g_types,
        .token_count = COUNT,
        .bos_id = BOS,
        .eos_id = EOS,
        .scores = g_scores,
    };
}

static struct tokenizer *create(void)
{
    struct tokenizer *t;
    struct base_err_info info = { 0 };
    ck_assert_msg(tokenizer_create(&g_source, &t, &info) == OK, "%s", info.message);
    return t;
}

static void expect_ids(const struct tokenizer_ids *got, const int32_t *ids, size_t count)
{
    ck_assert_uint_eq(got->count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(got->ids[i] == ids[i], "id %zu is %d, expected %d", i, (int)got->ids[i],
                      (int)ids[i]);
}

static void expect(const char *text, size_t len, bool trusted, const int32_t *ids, size_t count)
{
    struct tokenizer *t = create();
    struct tokenizer_span s = { text, len, trusted };
    struct tokenizer_ids got;
    tokenizer_ids_init(&got, IDS_MAX);
    ck_assert_int_eq(tokenizer_encode(t, &s, 1, &got), OK);
    expect_ids(&got, ids, count);
    tokenizer_ids_fini(&got);
    tokenizer_destroy(t);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

#define IDS(...) (const int32_t[]){ __VA_ARGS__ }, sizeof((const int32_t[]){ __VA_ARGS__ }) / 4
#define EXPECT(text, ...) expect(text, sizeof(text) - 1, false, IDS(__VA_ARGS__))
#define EXPECT_TRUSTED(text, ...) expect(text, sizeof(text) - 1, true, IDS(__VA_ARGS__))

START_TEST(best_score_is_merged_first)
{
    EXPECT("abc", A, BC);
    EXPECT("ab", AB);
    EXPECT("aab", A, AB);
    EXPECT(" a", SP_A);
    EXPECT(" aa", SP, AA);
}
END_TEST

START_TEST(ties_go_to_the_leftmost)
{
    EXPECT("aaa", AA, A);
    EXPECT("aaaaaa", AAAA, AA);
    EXPECT("cac", CA, C);
    EXPECT("acac", AC, AC);
    EXPECT("caca", CA, CA);
}
END_TEST

START_TEST(any_number_is_a_score)
{
    g_scores[AB] = INFINITY;
    EXPECT("abc", AB, C);
    g_scores[BC] = -INFINITY;
    EXPECT("bcc", BC, C);
    g_scores[AB] = 1e-30f;
    g_scores[BC] = 0.0f;
    EXPECT("abc", AB, C);
    g_scores[AB] = -0.0f; /* a tie */
    EXPECT("abc", AB, C);
    g_scores[AB] = -1e-30f;
    EXPECT("abc", A, BC);
}
END_TEST

START_TEST(characters_without_a_token_are_bytes)
{
    EXPECT("\n", BYTE + '\n');
    EXPECT("a\xc3\xa9", A, BYTE + 0xc3, BYTE + 0xa9);
    EXPECT("\xff", BYTE + 0xef, BYTE + 0xbf, BYTE + 0xbd);
    expect("\0b", 2, false, IDS(BYTE, B));
}
END_TEST

START_TEST(characters_without_a_token_may_be_part_of_one)
{
    EXPECT(RI BEN, RIBEN);
    EXPECT(BEN RI BEN, BYTE + 0xe6, BYTE + 0x9c, BYTE + 0xac, RIBEN);
    EXPECT("s>", S_GT);
    EXPECT("s", BYTE + 's');
}
END_TEST

START_TEST(without_all_byte_tokens_a_run_is_unknown)
{
    g_types[BYTE + 7] = TOKENIZER_NORMAL;
    EXPECT("\xc3\xa9\xc3\xa9" RI "a" BEN BEN " \n", UNK, A, UNK, SP, UNK);
    g_source.unknown_id = -1;
    EXPECT("\xc3\xa9\xc3\xa9" RI "a" BEN, A);
}
END_TEST

START_TEST(a_space_comes_first_if_the_file_says_so)
{
    g_source.add_space_prefix = true;
    EXPECT("a", SP_A);
    EXPECT(" a", SP, SP_A);
    EXPECT("b", SP, B);
    EXPECT(" ", SP, SP);
    expect("", 0, false, NULL, 0);
    EXPECT_TRUSTED("<s>", BOS);
    EXPECT_TRUSTED("<s>a</s>ba", BOS, SP_A, EOS, SP, B, A);
    EXPECT("a[u]a", SP_A, USER, SP_A);
    EXPECT("\n", SP, BYTE + '\n');
}
END_TEST

START_TEST(control_tokens_need_trust)
{
    EXPECT_TRUSTED("a<s>a", A, BOS, A);
    EXPECT_TRUSTED("<unk>", UNK);
    /* "<" and "s>" are neighbours, and together a token of the file. */
    EXPECT("<s>", LT, S_GT);
    const struct tokenizer_span cut[] = { { "<", 1, true }, { "s>", 2, true } };
    struct tokenizer *t = create();
    struct tokenizer_ids got;
    tokenizer_ids_init(&got, IDS_MAX);
    ck_assert_int_eq(tokenizer_encode(t, cut, 2, &got), OK);
    expect_ids(&got, IDS(LT, S_GT));
    tokenizer_ids_fini(&got);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(user_defined_tokens_match_first)
{
    EXPECT("a[u]b", A, USER, B);
    EXPECT("   a", USER_SPACES, A);
    EXPECT("    a", USER_SPACES, SP_A);
}
END_TEST

START_TEST(unused_tokens_are_not_used)
{
    EXPECT("cc", C, C);
}
END_TEST

START_TEST(tokens_across_words_are_found)
{
    EXPECT("a b a", A, SP, B, SP_A);
    put(CA, "a" SPACE "a", TOKENIZER_NORMAL, -0.1f);
    EXPECT("a a", CA);
    put(AC, "a" SPACE, TOKENIZER_NORMAL, -0.1f);
    EXPECT("a b a", AC, B, SP_A);
}
END_TEST

START_TEST(of_two_tokens_for_a_byte_the_first_counts)
{
    put(UNUSED, "<0x0a>", TOKENIZER_BYTE, 0);
    EXPECT("\n", BYTE + '\n');
    put(BYTE + '\n', "x", TOKENIZER_BYTE, 0);
    EXPECT("\n", UNUSED);
}
END_TEST

static void expect_refused(enum base_err code, const char *says)
{
    struct tokenizer *t;
    struct base_err_info info = { 0 };
    ck_assert_int_eq(tokenizer_create(&g_source, &t, &info), code);
    ck_assert_ptr_null(t);
    ck_assert_msg(strstr(info.message, says) != NULL, "%s", info.message);
    ck_assert_uint_eq(mem_live_blocks(), 0);
    setup();
}

START_TEST(bad_sources_are_refused)
{
    static char text[1025];
    memset(text, 'a', sizeof text);
    g_source.scores = NULL;
    expect_refused(E_CORRUPT, "scores");
    g_scores[AB] = NAN;
    expect_refused(E_CORRUPT, "token 263");
    g_source.unknown_id = COUNT;
    expect_refused(E_CORRUPT, "unknown");
    g_source.unknown_id = -2;
    expect_refused(E_CORRUPT, "unknown");
    g_tokens[AB] = (struct tokenizer_text){ text, sizeof text };
    expect_refused(E_TOO_BIG, "1025 bytes");
    g_source.token_count = BYTE;
    expect_refused(E_CORRUPT, "no token stands for text");
    /* Texts that cannot occur do no harm. */
    g_tokens[AB] = (struct tokenizer_text){ text, sizeof text - 1 };
    put(AC, "\xff\xc3", TOKENIZER_NORMAL, 0);
    g_tokens[CA] = (struct tokenizer_text){ "a\0a", 3 };
    g_tokens[BC] = (struct tokenizer_text){ "", 0 };
    EXPECT("abc", A, B, C);
}
END_TEST

static void decode(const int32_t *ids, size_t count, bool show, bool go_on, const char *want)
{
    struct tokenizer *t = create();
    struct tokenizer_decoder d;
    char out[256];
    size_t n = 0;
    tokenizer_decoder_init(&d, t, show);
    d.at_start = !go_on;
    for (size_t i = 0; i < count; i++)
        n += tokenizer_decode(&d, ids[i], out + n);
    n += tokenizer_decode_end(&d, out + n);
    ck_assert_msg(n == strlen(want) && memcmp(out, want, n) == 0, "\"%.*s\"", (int)n, out);
    tokenizer_destroy(t);
}

START_TEST(the_first_space_is_taken_away)
{
    decode(IDS(SP_A, SP_A), false, false, " a a");
    g_source.add_space_prefix = true;
    decode(IDS(SP_A, SP_A), false, false, "a a");
    decode(IDS(SP, SP_A), false, false, " a");
    decode(IDS(BOS, SP_A), false, false, "a");
    decode(IDS(BOS, SP_A), true, false, "<s> a");
    decode(IDS(A, SP_A), false, false, "a a");
    decode(IDS(SP_A), false, true, " a");
    decode(IDS(BYTE + ' ', A), false, false, " a");
    decode(IDS(BYTE + 0xc3, BYTE + 0xa9, SP_A), false, false, "\xc3\xa9 a");
    decode(IDS(USER_SPACES, A), false, false, "  a");
}
END_TEST

START_TEST(bytes_and_unknown_tokens_are_decoded)
{
    decode(IDS(A, UNK, B, UNUSED), false, false, "abcc");
    decode(IDS(A, UNK, EOS), true, false, "a<unk></s>");
    decode(IDS(BYTE + 0xe6, A, BYTE + 0x97), false, false,
           "\xef\xbf\xbd"
           "a"
           "\xef\xbf\xbd");
}
END_TEST

START_TEST(marks_are_added_once)
{
    struct tokenizer_ids ids;
    struct tokenizer_span s = { "a", 1, true };
    tokenizer_ids_init(&ids, IDS_MAX);
    struct tokenizer *t = create();
    ck_assert_int_eq(tokenizer_encode_marked(t, &s, 1, &ids), OK);
    expect_ids(&ids, IDS(A));
    tokenizer_destroy(t);
    g_source.add_bos = true;
    g_source.add_eos = true;
    t = create();
    ck_assert(tokenizer_adds_bos(t) && tokenizer_adds_eos(t));
    ck_assert_int_eq(tokenizer_encode_marked(t, &s, 1, &ids), OK);
    expect_ids(&ids, IDS(A, BOS, A, EOS));
    s = (struct tokenizer_span){ "<s>b</s>", 8, true };
    ck_assert_int_eq(tokenizer_encode_marked(t, &s, 1, &ids), OK);
    expect_ids(&ids, IDS(A, BOS, A, EOS, BOS, B, EOS));
    ck_assert_int_eq(tokenizer_encode_marked(t, NULL, 0, &ids), OK);
    expect_ids(&ids, IDS(A, BOS, A, EOS, BOS, B, EOS, BOS, EOS));
    ids.count_max = 11;
    s = (struct tokenizer_span){ "b", 1, true };
    ck_assert_int_eq(tokenizer_encode_marked(t, &s, 1, &ids), E_TOO_BIG);
    ck_assert_uint_eq(ids.count, 9);
    tokenizer_destroy(t);
    tokenizer_ids_fini(&ids);
}
END_TEST

static void expect_run(const char *unit, size_t times)
{
    size_t len = strlen(unit);
    char *text = mem_alloc(MEM_TOKENIZER, len * times);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < times; i++)
        memcpy(text + i * len, unit, len);
    struct tokenizer *t = create();
    struct tokenizer_span s = { text, len * times, false };
    struct tokenizer_ids ids;
    tokenizer_ids_init(&ids, 4 * len * times);
    ck_assert_int_eq(tokenizer_encode(t, &s, 1, &ids), OK);
    ids.count_max = 1000;
    ids.count = 0;
    ck_assert_int_eq(tokenizer_encode(t, &s, 1, &ids), E_TOO_BIG);
    ck_assert_uint_eq(ids.count, 0);
    tokenizer_ids_fini(&ids);
    tokenizer_destroy(t);
    mem_free(text);
}

START_TEST(long_runs_take_no_quadratic_time)
{
    g_source.add_space_prefix = true;
    expect_run("a", 1 << 20);
    expect_run("ab", 1 << 19);
    expect_run(" ", 1 << 20);
    expect_run(" a", 1 << 19);
    expect_run("\n", 1 << 20);
    expect_run(RI, 1 << 18);
    expect_run("[u", 1 << 19);
    expect_run("a [u]", 1 << 18);
}
END_TEST

#if VALET_CHECKS
static enum base_err create_and_encode(void)
{
    char text[300];
    memset(text, 'a', sizeof text);
    memcpy(text, RI "\xff [u]", 8);
    struct tokenizer_span spans[] = { { "<s>", 3, true }, { text, sizeof text, false } };
    struct tokenizer *t;
    struct tokenizer_ids ids;
    tokenizer_ids_init(&ids, 1000);
    enum base_err rc = tokenizer_create(&g_source, &t, NULL);
    if (!rc) {
        rc = tokenizer_encode(t, spans, 2, &ids);
        ck_assert_uint_eq(ids.count, rc ? 0 : 82);
    }
    tokenizer_ids_fini(&ids);
    tokenizer_destroy(t);
    return rc;
}

START_TEST(refused_allocations_are_survived)
{
    unsigned n = 1;
    for (bool fired = true; fired; n++) {
        fault_arm(FAULT_ALLOC, n);
        enum base_err rc = create_and_encode();
        fired = fault_disarm();
        ck_assert_uint_eq(mem_live_blocks(), 0);
        ck_assert_int_eq(rc, fired ? E_NOMEM : OK);
    }
    ck_assert_uint_ge(n, 15);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("tokenizer.spm");
    TCase *tc = tcase_create("spm");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, best_score_is_merged_first);
    tcase_add_test(tc, ties_go_to_the_leftmost);
    tcase_add_test(tc, any_number_is_a_score);
    tcase_add_test(tc, characters_without_a_token_are_bytes);
    tcase_add_test(tc, characters_without_a_token_may_be_part_of_one);
    tcase_add_test(tc, without_all_byte_tokens_a_run_is_unknown);
    tcase_add_test(tc, a_space_comes_first_if_the_file_says_so);
    tcase_add_test(tc, control_tokens_need_trust);
    tcase_add_test(tc, user_defined_tokens_match_first);
    tcase_add_test(tc, unused_tokens_are_not_used);
    tcase_add_test(tc, tokens_across_words_are_found);
    tcase_add_test(tc, of_two_tokens_for_a_byte_the_first_counts);
    tcase_add_test(tc, bad_sources_are_refused);
    tcase_add_test(tc, the_first_space_is_taken_away);
    tcase_add_test(tc, bytes_and_unknown_tokens_are_decoded);
    tcase_add_test(tc, marks_are_added_once);
    tcase_add_test(tc, long_runs_take_no_quadratic_time);
#if VALET_CHECKS
    tcase_add_test(tc, refused_allocations_are_survived);
#endif
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
