/* What a tokenizer takes from a model file, and what it refuses. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "small_vocab.h"

static struct small_vocab g_vocab;

static void setup(void)
{
    small_vocab_init(&g_vocab);
}

static void expect_refused(enum base_err code, const char *says)
{
    struct tokenizer *t = (struct tokenizer *)&g_vocab;
    struct base_err_info info = { 0 };
    ck_assert_int_eq(tokenizer_create(&g_vocab.source, &t, &info), code);
    ck_assert_ptr_null(t);
    ck_assert_int_eq(info.code, code);
    ck_assert_msg(strstr(info.message, says) != NULL, "%s", info.message);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

static struct tokenizer *create(void)
{
    struct tokenizer *t;
    ck_assert_int_eq(tokenizer_create(&g_vocab.source, &t, NULL), OK);
    return t;
}

static struct tokenizer_text text(const char *s)
{
    return (struct tokenizer_text){ s, strlen(s) };
}

START_TEST(source_is_kept)
{
    g_vocab.source.add_bos = true;
    struct tokenizer *t = create();
    ck_assert_int_eq(tokenizer_count(t), SMALL_COUNT);
    ck_assert_int_eq(tokenizer_bos(t), SMALL_START);
    ck_assert_int_eq(tokenizer_eos(t), -1);
    ck_assert(tokenizer_adds_bos(t));
    ck_assert_int_eq(tokenizer_type(t, SMALL_START), TOKENIZER_CONTROL);
    ck_assert_int_eq(tokenizer_type(t, SMALL_USER), TOKENIZER_USER_DEFINED);
    ck_assert_int_eq(tokenizer_type(t, SMALL_THE), TOKENIZER_NORMAL);
    tokenizer_destroy(t);
    tokenizer_destroy(NULL);
}
END_TEST

START_TEST(every_token_is_found_by_its_text)
{
    struct tokenizer *t = create();
    for (int32_t id = 0; id < SMALL_COUNT; id++)
        ck_assert_int_eq(tokenizer_find(t, g_vocab.tokens[id].data, g_vocab.tokens[id].len), id);
    ck_assert_int_eq(tokenizer_find(t, "th ", 3), -1);
    ck_assert_int_eq(tokenizer_find(t, " ", 1), -1);
    ck_assert_int_eq(tokenizer_find(t, "", 0), -1);
    ck_assert_int_eq(tokenizer_find(t, NULL, 0), -1);
    tokenizer_destroy(t);
}
END_TEST

static void expect_bytes(const struct tokenizer *t, int32_t id, const char *bytes, size_t len)
{
    struct tokenizer_text got = tokenizer_bytes(t, id);
    ck_assert_uint_eq(got.len, len);
    ck_assert_int_eq(memcmp(got.data, bytes, len), 0);
}

START_TEST(raw_bytes_undo_the_alphabet)
{
    struct tokenizer *t = create();
    for (int byte = 0; byte < 256; byte++) {
        char raw = (char)byte;
        expect_bytes(t, byte, &raw, 1);
    }
    expect_bytes(t, SMALL_SPACE_A, " a", 2);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(added_tokens_stand_for_themselves)
{
    /* Both texts could be read in the alphabet; one of them is not. */
    g_vocab.tokens[SMALL_START2] = text("<\xc4\xa0>");
    struct tokenizer *t = create();
    expect_bytes(t, SMALL_START2, "<\xc4\xa0>", 4);
    expect_bytes(t, SMALL_LITERAL, "\xc3\xa9\xc3\xa9", 4);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(text_outside_the_alphabet_stands_for_itself)
{
    static const char *const texts[] = { "a b", "\xe4\xb8\xad", "x\xc3", "\xff\xff", "\xc5\x84" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        g_vocab.tokens[SMALL_SPACES] = text(texts[i]);
        struct tokenizer *t = create();
        expect_bytes(t, SMALL_SPACES, texts[i], strlen(texts[i]));
        tokenizer_destroy(t);
    }
}
END_TEST

START_TEST(a_source_without_types_is_all_normal)
{
    g_vocab.source.types = NULL;
    struct tokenizer *t = create();
    ck_assert_int_eq(tokenizer_type(t, SMALL_START), TOKENIZER_NORMAL);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(a_source_without_merges_gives_bytes)
{
    g_vocab.source.merge_count = 0;
    struct tokenizer *t = create();
    struct tokenizer_ids ids;
    tokenizer_ids_init(&ids, 10);
    struct tokenizer_span s = { "the", 3, false };
    ck_assert_int_eq(tokenizer_encode(t, &s, 1, &ids), OK);
    ck_assert_uint_eq(ids.count, 3);
    tokenizer_ids_fini(&ids);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(unknown_kinds_and_families_are_refused)
{
    g_vocab.source.pre = text("smollm2");
    expect_refused(E_UNSUPPORTED, "smollm2");
    g_vocab.source.pre = text("");
    expect_refused(E_UNSUPPORTED, "pre-tokenizer");
    g_vocab.source.pre = text("smollm");
    g_vocab.source.kind = (enum tokenizer_kind)7;
    expect_refused(E_UNSUPPORTED, "kind");
}
END_TEST

START_TEST(every_family_can_be_made)
{
    static const char *const names[] = {
        "default",       "gpt-2",
        "a.x-4.0",       "exaone4",
        "gigachat",      "granite-docling",
        "jais",          "mellum",
        "mpt",           "olmo",
        "phi-2",         "trillion",
        "smollm",        "codeshell",
        "command-r",     "exaone",
        "mellum2",       "minerva-7b",
        "refact",        "starcoder",
        "llama-bpe",     "falcon-h1",
        "falcon3",       "lfm2",
        "llama-v3",      "llama3",
        "midm-2.0",      "pixtral",
        "chatglm-bpe",   "dbrx",
        "glm4",          "smaug-bpe",
        "qwen2",         "deepseek-r1-qwen",
        "kormo",         "megrez",
        "stablelm2",     "grok-2",
        "hunyuan",       "solar-open",
        "qwen35",        "gpt-4o",
        "kanana2",       "llama4",
        "minimax-m2",    "tekken",
        "kimi-k2",       "deepseek-v3",
        "hunyuan-dense", "joyai-llm",
        "deepseek-llm",  "deepseek-coder",
        "bloom",         "gpt3-finnish",
        "poro-chat",     "viking",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        g_vocab.source.pre = text(names[i]);
        tokenizer_destroy(create());
    }
}
END_TEST

START_TEST(a_file_that_does_not_say_means_the_default)
{
    ck_assert(tokenizer_add_bos_default(TOKENIZER_SPM, text("")));
    ck_assert(tokenizer_add_bos_default(TOKENIZER_BPE, text("llama-bpe")));
    ck_assert(tokenizer_add_bos_default(TOKENIZER_BPE, text("tekken")));
    ck_assert(!tokenizer_add_bos_default(TOKENIZER_BPE, text("qwen2")));
    ck_assert(!tokenizer_add_bos_default(TOKENIZER_BPE, text("no such family")));
}
END_TEST

START_TEST(merges_must_name_tokens)
{
    static const struct {
        const char *merge;
        const char *says;
    } cases[] = {
        { "qq a", "left half" }, { "a qq", "right half" }, { "b a", "result" },
        { "ab", "left right" },  { "a ", "left right" },   { " a", "left right" },
        { "", "left right" },    { " ", "left right" },    { "a b c", "right half" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        g_vocab.merges[3] = text(cases[i].merge);
        expect_refused(E_CORRUPT, cases[i].says);
        expect_refused(E_CORRUPT, "merge 3");
    }
}
END_TEST

START_TEST(of_two_equal_merges_the_first_counts)
{
    g_vocab.merges[8] = text("t h"); /* again, worse */
    g_vocab.merges[0] = text("t h"); /* again, better than "h e", which moves to 1 */
    g_vocab.merges[1] = text("h e");
    struct tokenizer *t = create();
    struct tokenizer_ids ids;
    tokenizer_ids_init(&ids, 10);
    struct tokenizer_span s = { "the", 3, false };
    ck_assert_int_eq(tokenizer_encode(t, &s, 1, &ids), OK);
    ck_assert_uint_eq(ids.count, 2);
    ck_assert_int_eq(ids.ids[0], SMALL_TH);
    tokenizer_ids_fini(&ids);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(ids_and_types_must_be_in_range)
{
    g_vocab.source.bos_id = SMALL_COUNT;
    expect_refused(E_CORRUPT, "bos");
    g_vocab.source.bos_id = -2;
    expect_refused(E_CORRUPT, "bos");
    g_vocab.source.bos_id = -1;
    g_vocab.source.eos_id = SMALL_COUNT;
    expect_refused(E_CORRUPT, "eos");
    g_vocab.source.eos_id = 0;
    g_vocab.types[5] = 0;
    expect_refused(E_CORRUPT, "token 5");
    g_vocab.types[5] = 7;
    expect_refused(E_CORRUPT, "token 5");
}
END_TEST

START_TEST(two_tokens_with_one_text_are_refused)
{
    g_vocab.tokens[SMALL_SPACES] = text("ab");
    expect_refused(E_CORRUPT, "same text");
}
END_TEST

START_TEST(empty_tokens_are_holes)
{
    g_vocab.tokens[SMALL_SPACES] = text("");
    g_vocab.tokens[SMALL_START2] = text("");
    g_vocab.tokens[SMALL_USER2] = text("");
    struct tokenizer *t = create();
    expect_bytes(t, SMALL_USER2, "", 0);
    ck_assert_int_eq(tokenizer_find(t, "", 0), -1);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(a_vocabulary_without_bytes_is_refused)
{
    g_vocab.source.tokens = g_vocab.tokens + 256;
    g_vocab.source.types = NULL;
    g_vocab.source.token_count = SMALL_COUNT - 256;
    g_vocab.source.merge_count = 0;
    expect_refused(E_CORRUPT, "single byte");
    g_vocab.source.token_count = 0;
    expect_refused(E_CORRUPT, "no tokens");
    g_vocab.source.token_count = -1;
    expect_refused(E_CORRUPT, "no tokens");
}
END_TEST

/* Looking for them costs as much at each position of a text. */
START_TEST(special_tokens_have_1024_bytes_at_most)
{
    static char long_text[1025];
    static const int32_t types[] = { TOKENIZER_CONTROL, TOKENIZER_UNKNOWN, TOKENIZER_USER_DEFINED };
    memset(long_text, 'x', sizeof long_text);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        g_vocab.types[SMALL_USER] = types[i];
        g_vocab.tokens[SMALL_USER] = (struct tokenizer_text){ long_text, 1024 };
        tokenizer_destroy(create());
        g_vocab.tokens[SMALL_USER].len = 1025;
        expect_refused(E_TOO_BIG, "1025 bytes, at most 1024");
    }
    g_vocab.types[SMALL_USER] = TOKENIZER_NORMAL;
    tokenizer_destroy(create());
}
END_TEST

START_TEST(counts_have_a_maximum)
{
    g_vocab.source.token_count = INT32_MAX;
    expect_refused(E_TOO_BIG, "tokens");
    small_vocab_init(&g_vocab);
    g_vocab.source.merge_count = INT32_MAX;
    expect_refused(E_TOO_BIG, "merges");
    g_vocab.source.merge_count = -1;
    expect_refused(E_CORRUPT, "merges");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer.create");
    TCase *tc = tcase_create("create");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, source_is_kept);
    tcase_add_test(tc, every_token_is_found_by_its_text);
    tcase_add_test(tc, raw_bytes_undo_the_alphabet);
    tcase_add_test(tc, added_tokens_stand_for_themselves);
    tcase_add_test(tc, text_outside_the_alphabet_stands_for_itself);
    tcase_add_test(tc, a_source_without_types_is_all_normal);
    tcase_add_test(tc, a_source_without_merges_gives_bytes);
    tcase_add_test(tc, unknown_kinds_and_families_are_refused);
    tcase_add_test(tc, every_family_can_be_made);
    tcase_add_test(tc, a_file_that_does_not_say_means_the_default);
    tcase_add_test(tc, merges_must_name_tokens);
    tcase_add_test(tc, of_two_equal_merges_the_first_counts);
    tcase_add_test(tc, ids_and_types_must_be_in_range);
    tcase_add_test(tc, two_tokens_with_one_text_are_refused);
    tcase_add_test(tc, empty_tokens_are_holes);
    tcase_add_test(tc, a_vocabulary_without_bytes_is_refused);
    tcase_add_test(tc, special_tokens_have_1024_bytes_at_most);
    tcase_add_test(tc, counts_have_a_maximum);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
