/*
 * Ids and texts of every kind of vocabulary against those of the packages "tokenizers" and
 * "sentencepiece" (tests/golden/tokenizer_families_make.py). With arguments: other files.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tokenizer/split.h"
#include "vocab_file.h"

static const char *const g_default_paths[] = {
    "tests/golden/tokenizer_family_command-r.txt",
    "tests/golden/tokenizer_family_deepseek-coder.txt",
    "tests/golden/tokenizer_family_deepseek-llm.txt",
    "tests/golden/tokenizer_family_deepseek-v3.txt",
    "tests/golden/tokenizer_family_default.txt",
    "tests/golden/tokenizer_family_gpt-2.txt",
    "tests/golden/tokenizer_family_gpt-4o.txt",
    "tests/golden/tokenizer_family_kimi-k2.txt",
    "tests/golden/tokenizer_family_llama-bpe.txt",
    "tests/golden/tokenizer_family_qwen2.txt",
    "tests/golden/tokenizer_family_qwen35.txt",
    "tests/golden/tokenizer_family_tekken.txt",
    "tests/golden/tokenizer_family_viking.txt",
    "tests/golden/tokenizer_spm_gemma.txt",
    "tests/golden/tokenizer_spm_llama.txt",
    "tests/golden/tokenizer_spm_phrases.txt",
    "tests/golden/tokenizer_spm_plain.txt",
};

static const char *const *g_paths = g_default_paths;
static size_t g_path_count = sizeof g_default_paths / sizeof g_default_paths[0];
static struct vocab_file g_file;
static struct tokenizer *g_tokenizer;
static struct tokenizer_splitter g_splitter; /* of its family */

static void expect_ids(const char *path, const struct tokenizer_span *spans, size_t count)
{
    const struct vocab_case *c = &g_file.next;
    struct tokenizer_ids ids;
    tokenizer_ids_init(&ids, VOCAB_FILE_IDS_MAX);
    ck_assert_msg(tokenizer_encode(g_tokenizer, spans, count, &ids) == OK, "%s: line %ld", path,
                  c->line);
    size_t same = 0;
    while (same < ids.count && same < c->id_count && ids.ids[same] == c->ids[same])
        same++;
    if (same != ids.count || same != c->id_count)
        ck_abort_msg("%s: line %ld, %zu spans: id %zu is %d, expected %d", path, c->line, count,
                     same, same < ids.count ? (int)ids.ids[same] : -1,
                     same < c->id_count ? (int)c->ids[same] : -1);
    tokenizer_ids_fini(&ids);
}

/* The ids of a case decoded one by one. */
static void decode(struct base_buf *out, bool show_control)
{
    struct tokenizer_decoder d;
    char end[12];
    char *piece = mem_alloc(MEM_BASE, tokenizer_piece_bytes_max(g_tokenizer));
    ck_assert_ptr_nonnull(piece);
    tokenizer_decoder_init(&d, g_tokenizer, show_control);
    for (size_t i = 0; i < g_file.next.id_count; i++) {
        size_t n = tokenizer_decode(&d, g_file.next.ids[i], piece);
        ck_assert_int_eq(buf_append(out, piece, n), OK);
    }
    ck_assert_int_eq(buf_append(out, end, tokenizer_decode_end(&d, end)), OK);
    mem_free(piece);
}

/* The "ids" of the case are the lengths of the pieces. */
static void expect_pieces(const char *path)
{
    const struct vocab_case *c = &g_file.next;
    struct tokenizer_split walk;
    struct tokenizer_text piece;
    ck_assert_int_eq(tokenizer_split_init(&walk, &g_splitter), OK);
    tokenizer_split_start(&walk, (struct tokenizer_text){ c->text.data, c->text.len });
    for (size_t i = 0; i <= c->id_count; i++) {
        size_t want = i < c->id_count ? (size_t)c->ids[i] : 0;
        ck_assert_int_eq(tokenizer_split_next(&walk, &piece), OK);
        if (piece.len != want)
            ck_abort_msg("%s: line %ld: piece %zu has %zu bytes, expected %zu", path, c->line, i,
                         piece.len, want);
    }
    tokenizer_split_fini(&walk);
}

static void check_case(const char *path)
{
    const struct vocab_case *c = &g_file.next;
    const char *text = c->text.data;
    size_t len = c->text.len;
    if (c->kind == 'P' || c->kind == 'T') {
        struct tokenizer_span whole = { text, len, c->kind == 'T' };
        expect_ids(path, &whole, 1);
    }
    if (c->kind == 'P') {
        /* Cut anywhere, and whoever wrote the parts as long as no control token fits in. */
        struct tokenizer_span cut[] = { { text, len / 3, false },
                                        { text + len / 3, len ? 1 : 0, false },
                                        { text + len / 3, 0, true },
                                        { NULL, 0, false } };
        size_t rest = len / 3 + cut[1].len;
        cut[3] = (struct tokenizer_span){ text + rest, len - rest, false };
        expect_ids(path, cut, 4);
    }
    if (c->kind == 'S')
        expect_pieces(path);
    if (c->kind == 'D' || c->kind == 'H') {
        struct base_buf out;
        buf_init(&out, MEM_BASE, 1 << 20);
        decode(&out, c->kind == 'D');
        ck_assert_msg(out.len == len && memcmp(out.data, text, len) == 0,
                      "%s: line %ld: got \"%s\"", path, c->line, out.data);
        buf_fini(&out);
    }
}

START_TEST(ids_and_texts_are_those_of_the_official_packages)
{
    const char *path = g_paths[_i];
    struct base_err_info info = { 0 };
    vocab_file_open(&g_file, path);
    ck_assert_msg(tokenizer_create(&g_file.source, &g_tokenizer, &info) == OK, "%s: %s", path,
                  info.message);
    bool bpe = g_file.source.kind == TOKENIZER_BPE;
    if (bpe)
        ck_assert_int_eq(
            tokenizer_splitter_init(&g_splitter, tokenizer_family_find(g_file.source.pre), NULL),
            OK);
    long count = 0;
    while (vocab_file_next(&g_file)) {
        check_case(path);
        count++;
    }
    ck_assert_int_ge(count, 200);
    if (bpe)
        tokenizer_splitter_fini(&g_splitter);
    tokenizer_destroy(g_tokenizer);
    vocab_file_close(&g_file);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc > 1) {
        g_paths = (const char *const *)argv + 1;
        g_path_count = (size_t)argc - 1;
    }
    Suite *suite = suite_create("tokenizer.families");
    TCase *tc = tcase_create("families");
    tcase_set_timeout(tc, 100);
    tcase_add_loop_test(tc, ids_and_texts_are_those_of_the_official_packages, 0, (int)g_path_count);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
