/* Encoding, with a vocabulary small enough to work out the ids by hand. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "small_vocab.h"

enum {
    IDS_MAX = 64
};

static struct small_vocab g_vocab;
static struct tokenizer *g_tokenizer;

static struct tokenizer *create(const struct tokenizer_source *source)
{
    struct tokenizer *t;
    struct base_err_info info = { 0 };
    ck_assert_msg(tokenizer_create(source, &t, &info) == OK, "%s", info.message);
    return t;
}

static void setup(void)
{
    small_vocab_init(&g_vocab);
    g_tokenizer = create(&g_vocab.source);
}

static void teardown(void)
{
    tokenizer_destroy(g_tokenizer);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

static struct tokenizer_span span(const char *text, bool trusted)
{
    return (struct tokenizer_span){ text, strlen(text), trusted };
}

static void expect_spans(const struct tokenizer *t, const struct tokenizer_span *spans,
                         size_t span_count, const int32_t *ids, size_t count)
{
    struct tokenizer_ids got;
    tokenizer_ids_init(&got, IDS_MAX);
    ck_assert_int_eq(tokenizer_encode(t, spans, span_count, &got), OK);
    ck_assert_uint_eq(got.count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(got.ids[i] == ids[i], "id %zu is %d, expected %d", i, (int)got.ids[i],
                      (int)ids[i]);
    tokenizer_ids_fini(&got);
}

static void expect_text(const char *text, bool trusted, const int32_t *ids, size_t count)
{
    struct tokenizer_span s = span(text, trusted);
    expect_spans(g_tokenizer, &s, 1, ids, count);
}

#define IDS(...) (const int32_t[]){ __VA_ARGS__ }, sizeof((const int32_t[]){ __VA_ARGS__ }) / 4
#define EXPECT(text, ...) expect_text(text, false, IDS(__VA_ARGS__))
#define EXPECT_TRUSTED(text, ...) expect_text(text, true, IDS(__VA_ARGS__))
#define EXPECT_SPANS(spans, ...)                                                                   \
    expect_spans(g_tokenizer, spans, sizeof(spans) / sizeof(spans)[0], IDS(__VA_ARGS__))

START_TEST(best_rank_is_merged_first)
{
    /* "h e" is better than "t h"; then "t he" is left. */
    EXPECT("the", SMALL_THE);
    EXPECT("th", SMALL_TH);
    EXPECT("he", SMALL_HE);
    EXPECT("thth", SMALL_TH, SMALL_TH);
    EXPECT("thhe", SMALL_TH, SMALL_HE);
}
END_TEST

START_TEST(ties_go_to_the_leftmost)
{
    EXPECT("aaa", SMALL_AA, 'a');
    EXPECT("aaaa", SMALL_AAAA);
    EXPECT("aaaaa", SMALL_AAAA, 'a');
    EXPECT("aaaaaaa", SMALL_AAAA, SMALL_AA, 'a');
    EXPECT("aab", SMALL_AA, 'b');
    EXPECT("aaab", SMALL_AA, SMALL_AB);
}
END_TEST

START_TEST(a_token_that_no_merge_makes_is_not_used)
{
    EXPECT("   b", ' ', ' ', ' ', 'b');
}
END_TEST

START_TEST(long_pieces_are_merged_as_short_ones)
{
    /* Both ways of merging on the same text: alone, and as the tail of a long piece. */
    char text[200];
    unsigned state = 1;
    for (int round = 0; round < 2000; round++) {
        size_t tail = 1 + (size_t)round % 31;
        memset(text, 'z', 64);
        for (size_t i = 0; i < tail; i++) {
            state = state * 1103515245u + 12345u;
            text[64 + i] = "thaeb"[(state >> 16) % 5];
        }
        struct tokenizer_ids all;
        struct tokenizer_ids alone;
        tokenizer_ids_init(&all, 200);
        tokenizer_ids_init(&alone, 200);
        struct tokenizer_span s = { text, 64 + tail, false };
        ck_assert_int_eq(tokenizer_encode(g_tokenizer, &s, 1, &all), OK);
        s = (struct tokenizer_span){ text + 64, tail, false };
        ck_assert_int_eq(tokenizer_encode(g_tokenizer, &s, 1, &alone), OK);
        ck_assert_uint_eq(all.count, 64 + alone.count);
        ck_assert_int_eq(memcmp(all.ids + 64, alone.ids, alone.count * sizeof *alone.ids), 0);
        tokenizer_ids_fini(&all);
        tokenizer_ids_fini(&alone);
    }
}
END_TEST

START_TEST(merges_stay_inside_pieces)
{
    /* smollm: digits alone, a space goes with the word behind it. */
    EXPECT("b a", 'b', SMALL_SPACE_A);
    EXPECT("1a", '1', 'a');
    EXPECT("  a", ' ', SMALL_SPACE_A);
    EXPECT("a!a", 'a', '!', 'a');
}
END_TEST

/* Adds a token "11" with its merge in the place of "ab". */
static struct tokenizer *create_digits(const char *pre)
{
    static struct small_vocab v;
    small_vocab_init(&v);
    v.tokens[SMALL_AB] = (struct tokenizer_text){ "11", 2 };
    v.merges[5] = (struct tokenizer_text){ "1 1", 3 };
    v.source.pre = (struct tokenizer_text){ pre, strlen(pre) };
    return create(&v.source);
}

START_TEST(families_differ_in_digits)
{
    struct tokenizer_span s = span("a11", false);
    struct tokenizer *t = create_digits("smollm");
    expect_spans(t, &s, 1, IDS('a', '1', '1'));
    tokenizer_destroy(t);
    t = create_digits("gpt-2");
    expect_spans(t, &s, 1, IDS('a', SMALL_AB));
    tokenizer_destroy(t);
}
END_TEST

static void expect_run(const char *unit, size_t times)
{
    size_t len = strlen(unit);
    char *text = mem_alloc(MEM_TOKENIZER, len * times);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < times; i++)
        memcpy(text + i * len, unit, len);
    struct tokenizer_span s = { text, len * times, false };
    struct tokenizer_ids ids;
    tokenizer_ids_init(&ids, len * times);
    ck_assert_int_eq(tokenizer_encode(g_tokenizer, &s, 1, &ids), OK);
    size_t bytes = 0;
    for (size_t i = 0; i < ids.count; i++)
        bytes += tokenizer_bytes(g_tokenizer, ids.ids[i]).len;
    ck_assert_uint_eq(bytes, len * times);
    tokenizer_ids_fini(&ids);
    mem_free(text);
}

static struct tokenizer *create_family(const char *pre)
{
    g_vocab.source.pre = (struct tokenizer_text){ pre, strlen(pre) };
    return create(&g_vocab.source);
}

START_TEST(some_families_take_whole_pieces_first)
{
    struct tokenizer *t = create_family("llama-bpe");
    struct tokenizer_span s = span("  ", false);
    expect_spans(t, &s, 1, IDS(SMALL_SPACES));
    s = span("   ", false);
    expect_spans(t, &s, 1, IDS(' ', ' ', ' '));
    /* A control token is never a piece, a user-defined one only by itself. */
    s = span("<->", false);
    expect_spans(t, &s, 1, IDS(SMALL_ARROW, '>'));
    tokenizer_destroy(t);
    /* Texts that are not in the alphabet are no pieces either. */
    g_vocab.tokens[SMALL_SPACES] = (struct tokenizer_text){ " x", 2 };
    t = create_family("llama-bpe");
    s = span(" x", false);
    expect_spans(t, &s, 1, IDS(' ', 'x'));
    tokenizer_destroy(t);
}
END_TEST

START_TEST(some_families_normalise)
{
    struct tokenizer_span s = span("e\xcc\x81[[u]]\xcc\x81", false);
    struct tokenizer *t = create_family("qwen2");
    expect_spans(t, &s, 1, IDS(0xc3, 0xa9, SMALL_USER, 0xcc, 0x81));
    /* Special tokens are found first; repaired text is normalised. */
    s = span("\xc3\xa9\xc3\xa9", false);
    expect_spans(t, &s, 1, IDS(SMALL_LITERAL));
    s = span("e\xcc\x81\xcc", false);
    expect_spans(t, &s, 1, IDS(0xc3, 0xa9, 0xef, 0xbf, 0xbd));
    tokenizer_destroy(t);
    t = create_family("hunyuan");
    s = span("e\xcc\x81", false);
    expect_spans(t, &s, 1, IDS('e', 0xcc, 0x81));
    tokenizer_destroy(t);
}
END_TEST

START_TEST(long_runs_are_linear_in_every_family)
{
    static const char *const names[] = { "default", "llama-bpe",    "qwen2",          "qwen35",
                                         "gpt-4o",  "tekken",       "kimi-k2",        "deepseek-v3",
                                         "viking",  "deepseek-llm", "deepseek-coder", "command-r" };
    static const char *const units[] = {
        "a",        "A",        " ",  "\n",           " \n", "! ", "1",
        "a1",       "\xcc\x81", "aB", "\xe4\xb8\xad", "'s",  "/",  "\xe1\x84\x80",
        "\xc2\xa0z"
    };
    tokenizer_destroy(g_tokenizer);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        g_tokenizer = create_family(names[i]);
        for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
            expect_run(units[u], 100000 / strlen(units[u]));
        }
        tokenizer_destroy(g_tokenizer);
    }
    g_tokenizer = NULL;
}
END_TEST

START_TEST(control_tokens_need_trust)
{
    EXPECT_TRUSTED("<|s|>", SMALL_START);
    EXPECT_TRUSTED("a<|s|>b", 'a', SMALL_START, 'b');
    EXPECT_TRUSTED("<|s|><|s|>", SMALL_START, SMALL_START);
    EXPECT("<|s|>", '<', '|', 's', '|', '>');
    EXPECT_TRUSTED("<|s|", '<', '|', 's', '|');
    EXPECT_TRUSTED("<|<|s|>", '<', '|', SMALL_START);
}
END_TEST

START_TEST(longest_special_wins)
{
    EXPECT_TRUSTED("<|s|>>", SMALL_START2);
    EXPECT_TRUSTED("<|s|>>>", SMALL_START2, '>');
    EXPECT("[[u]]", SMALL_USER);
    EXPECT("[[u]]!", SMALL_USER2);
}
END_TEST

START_TEST(control_tokens_lie_in_one_trusted_span)
{
    const struct tokenizer_span cut[] = { span("<|s", true), span("|>", true) };
    EXPECT_SPANS(cut, '<', '|', 's', '|', '>');
    const struct tokenizer_span half[] = { span("<|s|", true), span(">", false) };
    EXPECT_SPANS(half, '<', '|', 's', '|', '>');
    const struct tokenizer_span before[] = { span("<", false), span("|s|>", true) };
    EXPECT_SPANS(before, '<', '|', 's', '|', '>');
    /* The longer one would need a byte of the user's. */
    const struct tokenizer_span longer[] = { span("<|s|>", true), span(">", false) };
    EXPECT_SPANS(longer, SMALL_START, '>');
    const struct tokenizer_span chat[] = { span("<|s|>", true), span("<|s|>", false),
                                           span("", true), span("<|s|>", true) };
    EXPECT_SPANS(chat, SMALL_START, '<', '|', 's', '|', '>', SMALL_START);
}
END_TEST

START_TEST(user_text_cannot_merge_to_a_control_token)
{
    EXPECT("<->", SMALL_ARROW, '>');
    EXPECT_TRUSTED("<->", SMALL_FORGED);
}
END_TEST

START_TEST(user_defined_tokens_match_in_any_text)
{
    EXPECT("a[[u]]a", 'a', SMALL_USER, 'a');
    EXPECT_TRUSTED("a[[u]]a", 'a', SMALL_USER, 'a');
    EXPECT("\xc3\xa9\xc3\xa9", SMALL_LITERAL);
    EXPECT("\xc3\xa9", 0xc3, 0xa9);
    const struct tokenizer_span cut[] = { span("[[", false), span("u]]", true) };
    EXPECT_SPANS(cut, SMALL_USER);
}
END_TEST

START_TEST(text_is_merged_across_spans)
{
    const struct tokenizer_span cut[] = { span("t", true), span("h", false), span("", false),
                                          span("e", true) };
    EXPECT_SPANS(cut, SMALL_THE);
    /* A character cut in two is whole again. */
    const struct tokenizer_span halves[] = { span("\xe4\xb8", false), span("\xad", false) };
    EXPECT_SPANS(halves, 0xe4, 0xb8, 0xad);
}
END_TEST

START_TEST(ill_formed_text_becomes_replacement_characters)
{
    EXPECT("\xff", 0xef, 0xbf, 0xbd);
    EXPECT("a\xc3", 'a', 0xef, 0xbf, 0xbd);
    EXPECT("\xe4\xb8z", 0xef, 0xbf, 0xbd, 'z');
    EXPECT("\xc0\x80", 0xef, 0xbf, 0xbd, 0xef, 0xbf, 0xbd);
    EXPECT_TRUSTED("\xe4<|s|>\xb8", 0xef, 0xbf, 0xbd, SMALL_START, 0xef, 0xbf, 0xbd);
}
END_TEST

START_TEST(bytes_without_a_token_are_left_out)
{
    /* Byte 4 loses its letter; its neighbours then meet, as in the vocabularies' own tools. */
    g_vocab.tokens[4] = (struct tokenizer_text){ "unused text", 11 };
    struct tokenizer *t = create(&g_vocab.source);
    struct tokenizer_span s = span("!\x04!", false);
    expect_spans(t, &s, 1, IDS('!', '!'));
    char text[100];
    memset(text, 4, sizeof text);
    s = (struct tokenizer_span){ text, sizeof text, false };
    expect_spans(t, &s, 1, NULL, 0);
    text[99] = '!';
    expect_spans(t, &s, 1, IDS('!'));
    tokenizer_destroy(t);
}
END_TEST

START_TEST(no_text_gives_no_ids)
{
    expect_spans(g_tokenizer, NULL, 0, NULL, 0);
    const struct tokenizer_span none[] = { { NULL, 0, true }, { NULL, 0, false } };
    expect_spans(g_tokenizer, none, 1, NULL, 0);
    expect_spans(g_tokenizer, none, 2, NULL, 0);
}
END_TEST

/* Each beginning of a text, placed before a page that must not be read. */
START_TEST(nothing_behind_the_text_is_read)
{
    static const char text[] = "the <|s|> 12  [[u]]!\n \xe4\xb8\xad \xf0\x9f\x98\x80 <|s|>>";
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(pages, MAP_FAILED);
    ck_assert_int_eq(mprotect(pages + page, page, PROT_NONE), 0);
    for (size_t len = 0; len < sizeof text; len++) {
        char *at = pages + page - len;
        memcpy(at, text, len);
        struct tokenizer_span s = { at, len, true };
        struct tokenizer_ids ids;
        tokenizer_ids_init(&ids, 100);
        ck_assert_int_eq(tokenizer_encode(g_tokenizer, &s, 1, &ids), OK);
        tokenizer_find(g_tokenizer, at, len);
        tokenizer_ids_fini(&ids);
    }
    munmap(pages, 2 * page);
}
END_TEST

START_TEST(long_runs_take_no_quadratic_time)
{
    expect_run("a", 1 << 20);
    expect_run(" ", 1 << 20);
    expect_run("the", 1 << 19);
    expect_run("!", 1 << 20);
    expect_run("1", 1 << 20);
    expect_run("\n", 1 << 20);
    expect_run(" \t", 1 << 19);
    expect_run("<|s|", 1 << 18);
    expect_run("[[u]", 1 << 18);
    expect_run("'s", 1 << 19);
    expect_run("\xcc\x81", 1 << 19);
}
END_TEST

START_TEST(too_many_ids_leave_the_list_as_it_was)
{
    struct tokenizer_ids ids;
    struct tokenizer_span s = span("abc", false);
    tokenizer_ids_init(&ids, 5);
    ck_assert_int_eq(tokenizer_encode(g_tokenizer, &s, 1, &ids), OK);
    ck_assert_uint_eq(ids.count, 2);
    s = span("b<|s|>bb", true);
    ck_assert_int_eq(tokenizer_encode(g_tokenizer, &s, 1, &ids), E_TOO_BIG);
    ck_assert_uint_eq(ids.count, 2);
    ck_assert_int_eq(ids.ids[0], SMALL_AB);
    ck_assert_int_eq(ids.ids[1], 'c');
    /* A long piece that cannot fit. */
    s = span("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", false);
    ck_assert_int_eq(tokenizer_encode(g_tokenizer, &s, 1, &ids), E_TOO_BIG);
    ck_assert_uint_eq(ids.count, 2);
    s = span("<|s|>bb", true);
    ck_assert_int_eq(tokenizer_encode(g_tokenizer, &s, 1, &ids), OK);
    ck_assert_uint_eq(ids.count, 5);
    tokenizer_ids_fini(&ids);
    tokenizer_ids_init(&ids, 0);
    ck_assert_int_eq(tokenizer_encode(g_tokenizer, &s, 1, &ids), E_TOO_BIG);
    tokenizer_ids_fini(&ids);
}
END_TEST

static void *encode_often(void *arg)
{
    (void)arg;
    static const int32_t want[] = { SMALL_THE, SMALL_SPACE_A, '1', SMALL_USER };
    for (int i = 0; i < 500; i++) {
        struct tokenizer_span s = span("the a1[[u]]", false);
        struct tokenizer_ids ids;
        tokenizer_ids_init(&ids, IDS_MAX);
        if (tokenizer_encode(g_tokenizer, &s, 1, &ids) || ids.count != 4 ||
            memcmp(ids.ids, want, sizeof want) != 0)
            return g_tokenizer;
        tokenizer_ids_fini(&ids);
    }
    return NULL;
}

START_TEST(threads_share_a_tokenizer)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, encode_often, NULL), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        ck_assert_int_eq(pthread_join(threads[i], &wrong), 0);
        ck_assert_ptr_null(wrong);
    }
}
END_TEST

#if VALET_CHECKS
/* Everything that allocates: joining, repairing, a long piece, growing ids. */
static enum base_err create_and_encode(void)
{
    char text[300];
    memset(text, 'b', sizeof text);
    memcpy(text,
           "\xff"
           "a\xcc\x85\xcc\xa6",
           6); /* to be repaired, and put in order */
    struct tokenizer_span spans[] = { span("<|s|>the", true), { text, sizeof text, false } };
    struct tokenizer *t;
    struct tokenizer_ids ids;
    tokenizer_ids_init(&ids, 1000);
    enum base_err rc = tokenizer_create(&g_vocab.source, &t, NULL);
    if (!rc) {
        rc = tokenizer_encode(t, spans, 2, &ids);
        ck_assert_uint_eq(ids.count, rc ? 0 : 304);
    } else {
        ck_assert_ptr_null(t);
    }
    tokenizer_ids_fini(&ids);
    tokenizer_destroy(t);
    return rc;
}

static void check_refusals(const char *pre)
{
    g_vocab.source.pre = (struct tokenizer_text){ pre, strlen(pre) };
    uint64_t live = mem_live_blocks();
    unsigned refused = 0;
    for (unsigned n = 1;; n++) {
        fault_arm(FAULT_ALLOC, n);
        enum base_err rc = create_and_encode();
        bool fired = fault_disarm();
        ck_assert_uint_eq(mem_live_blocks(), live);
        /* Without memory for machine code, patterns are interpreted: no error. */
        ck_assert(rc == OK || (fired && rc == E_NOMEM));
        refused += rc == E_NOMEM;
        if (!fired)
            break;
    }
    ck_assert_uint_ge(refused, 20);
}

START_TEST(refused_allocations_are_survived)
{
    check_refusals("smollm");
    check_refusals("qwen2");
    check_refusals("llama-bpe");
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("tokenizer.bpe");
    TCase *tc = tcase_create("bpe");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, best_rank_is_merged_first);
    tcase_add_test(tc, ties_go_to_the_leftmost);
    tcase_add_test(tc, a_token_that_no_merge_makes_is_not_used);
    tcase_add_test(tc, long_pieces_are_merged_as_short_ones);
    tcase_add_test(tc, merges_stay_inside_pieces);
    tcase_add_test(tc, families_differ_in_digits);
    tcase_add_test(tc, some_families_take_whole_pieces_first);
    tcase_add_test(tc, some_families_normalise);
    tcase_add_test(tc, long_runs_are_linear_in_every_family);
    tcase_add_test(tc, control_tokens_need_trust);
    tcase_add_test(tc, longest_special_wins);
    tcase_add_test(tc, control_tokens_lie_in_one_trusted_span);
    tcase_add_test(tc, user_text_cannot_merge_to_a_control_token);
    tcase_add_test(tc, user_defined_tokens_match_in_any_text);
    tcase_add_test(tc, text_is_merged_across_spans);
    tcase_add_test(tc, ill_formed_text_becomes_replacement_characters);
    tcase_add_test(tc, bytes_without_a_token_are_left_out);
    tcase_add_test(tc, no_text_gives_no_ids);
    tcase_add_test(tc, nothing_behind_the_text_is_read);
    tcase_add_test(tc, long_runs_take_no_quadratic_time);
    tcase_add_test(tc, too_many_ids_leave_the_list_as_it_was);
    tcase_add_test(tc, threads_share_a_tokenizer);
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
