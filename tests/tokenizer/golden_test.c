/*
 * Ids and texts of the default model's tokenizer against those of Hugging Face's package
 * "tokenizers" (tests/golden/tokenizer_make.py). With an argument: another file of cases.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "model/gguf.h"
#include "tokenizer/tokenizer.h"

#define MODEL_PATH "models/smollm2-135m-instruct-q4_1.gguf"
#define CASES_PATH "tests/golden/tokenizer_smollm.txt"

enum {
    IDS_MAX = 4096
};

static const char *g_cases_path = CASES_PATH;
static struct tokenizer *g_tokenizer;
static struct tokenizer *g_gpt2; /* the same vocabulary, split as gpt-2 */

/* One line of the file. */
struct golden {
    long line;
    char kind; /* P, T, G, D, H: see the head of the file */
    struct base_buf text;
    int32_t ids[IDS_MAX];
    size_t id_count;
};

static struct tokenizer_text *strings(const struct gguf *g, const char *key, int32_t *count)
{
    const struct gguf_kv *kv = gguf_kv_find(g, key);
    ck_assert_ptr_nonnull(kv);
    ck_assert_int_eq(kv->kind, GGUF_ARRAY);
    ck_assert_int_eq(kv->element_kind, GGUF_STRING);
    struct tokenizer_text *all = mem_calloc(MEM_MODEL, kv->count, sizeof *all);
    ck_assert_ptr_nonnull(all);
    const uint8_t *cursor = kv->value;
    for (uint64_t i = 0; i < kv->count; i++) {
        struct gguf_str s = gguf_array_next_str(&cursor);
        all[i] = (struct tokenizer_text){ s.data, s.len };
    }
    *count = (int32_t)kv->count;
    return all;
}

static int32_t *token_types(const struct gguf *g)
{
    const struct gguf_kv *kv = gguf_kv_find(g, "tokenizer.ggml.token_type");
    ck_assert_ptr_nonnull(kv);
    int32_t *types = mem_calloc(MEM_MODEL, kv->count, sizeof *types);
    ck_assert_ptr_nonnull(types);
    for (uint64_t i = 0; i < kv->count; i++)
        types[i] = (int32_t)gguf_array_i64(kv, i);
    return types;
}

static void load(void)
{
    struct base_err_info info = { 0 };
    struct gguf *g;
    ck_assert_msg(gguf_open(MODEL_PATH, &g, &info) == OK, "%s", info.message);
    struct gguf_str pre;
    ck_assert_int_eq(gguf_get_str(g, "tokenizer.ggml.pre", &pre, &info), OK);
    struct tokenizer_source source = {
        .kind = TOKENIZER_BPE,
        .pre = { pre.data, pre.len },
        .bos_id = 1,
        .eos_id = 2,
    };
    struct tokenizer_text *tokens = strings(g, "tokenizer.ggml.tokens", &source.token_count);
    struct tokenizer_text *merges = strings(g, "tokenizer.ggml.merges", &source.merge_count);
    int32_t *types = token_types(g);
    source.tokens = tokens;
    source.merges = merges;
    source.types = types;
    ck_assert_msg(tokenizer_create(&source, &g_tokenizer, &info) == OK, "%s", info.message);
    source.pre = (struct tokenizer_text){ "gpt-2", 5 };
    ck_assert_msg(tokenizer_create(&source, &g_gpt2, &info) == OK, "%s", info.message);
    mem_free(tokens);
    mem_free(merges);
    mem_free(types);
    gguf_close(g);
}

static void unload(void)
{
    tokenizer_destroy(g_tokenizer);
    tokenizer_destroy(g_gpt2);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

static void unescape(const char *s, size_t len, struct base_buf *out)
{
    buf_clear(out);
    ck_assert_int_eq(buf_reserve(out, len), OK);
    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        if (c == '\\') {
            char hex[3] = { s[i + 2], s[i + 3], '\0' };
            c = (char)strtoul(hex, NULL, 16);
            i += 3;
        }
        out->data[out->len++] = c;
    }
}

static void parse_ids(struct golden *c, const char *s)
{
    c->id_count = 0;
    if (*s == '-')
        return;
    while (*s && *s != '\n') {
        char *end;
        long id = strtol(s, &end, 10);
        if (c->id_count == IDS_MAX || end == s)
            ck_abort_msg("line %ld: bad ids", c->line);
        c->ids[c->id_count++] = (int32_t)id;
        s = *end == ' ' ? end + 1 : end;
    }
}

/* Reads the next case; false at the end of the file. */
static bool next_case(FILE *f, char **line, size_t *cap, struct golden *c)
{
    ssize_t len;
    do {
        len = getline(line, cap, f);
        c->line++;
    } while (len > 0 && (*line)[0] == '#');
    if (len <= 0)
        return false;
    c->kind = (*line)[0];
    const char *text = *line + 2;
    const char *tab = strchr(text, '\t');
    ck_assert_msg(len > 3 && tab, "line %ld", c->line);
    unescape(text, (size_t)(tab - text), &c->text);
    parse_ids(c, tab + 1);
    return true;
}

/* Encodes the text cut into spans of `step` bytes; 0: one span. */
static void check_encode(const struct golden *c, size_t step)
{
    struct tokenizer_span spans[4096];
    size_t count = 0;
    for (size_t at = 0; at < c->text.len; count++) {
        size_t left = c->text.len - at;
        size_t len = step && step < left && count < 4095 ? step : left;
        spans[count] = (struct tokenizer_span){ c->text.data + at, len, c->kind == 'T' };
        at += len;
    }
    const struct tokenizer *t = c->kind == 'G' ? g_gpt2 : g_tokenizer;
    struct tokenizer_ids ids;
    tokenizer_ids_init(&ids, IDS_MAX);
    ck_assert_msg(tokenizer_encode(t, spans, count, &ids) == OK, "line %ld", c->line);
    size_t same = 0;
    while (same < ids.count && same < c->id_count && ids.ids[same] == c->ids[same])
        same++;
    ck_assert_msg(same == ids.count && same == c->id_count,
                  "line %ld, span step %zu: id %zu is %d, expected %d (%zu ids, expected %zu)",
                  c->line, step, same, same < ids.count ? (int)ids.ids[same] : -1,
                  same < c->id_count ? (int)c->ids[same] : -1, ids.count, c->id_count);
    tokenizer_ids_fini(&ids);
}

static void check_decode(const struct golden *c)
{
    struct tokenizer_decoder d;
    struct base_buf out;
    char end[12];
    char *piece = mem_alloc(MEM_BASE, tokenizer_piece_bytes_max(g_tokenizer));
    ck_assert_ptr_nonnull(piece);
    buf_init(&out, MEM_BASE, 1 << 20);
    tokenizer_decoder_init(&d, g_tokenizer, c->kind == 'D');
    for (size_t i = 0; i < c->id_count; i++) {
        size_t n = tokenizer_decode(&d, c->ids[i], piece);
        ck_assert_int_eq(buf_append(&out, piece, n), OK);
    }
    ck_assert_int_eq(buf_append(&out, end, tokenizer_decode_end(&d, end)), OK);
    ck_assert_msg(out.len == c->text.len && memcmp(out.data, c->text.data, out.len) == 0,
                  "line %ld: got \"%s\"", c->line, out.data);
    buf_fini(&out);
    mem_free(piece);
}

static void run_cases(const char *kinds, void (*check)(const struct golden *), long count_min)
{
    static struct golden c;
    c.line = 0;
    buf_init(&c.text, MEM_BASE, 1 << 20);
    FILE *f = fopen(g_cases_path, "r");
    ck_assert_msg(f != NULL, "%s", g_cases_path);
    char *line = NULL;
    size_t cap = 0;
    long count = 0;
    while (next_case(f, &line, &cap, &c)) {
        if (!strchr(kinds, c.kind))
            continue;
        check(&c);
        count++;
    }
    ck_assert_int_ge(count, count_min);
    free(line);
    fclose(f);
    buf_fini(&c.text);
}

static void check_one_span(const struct golden *c)
{
    check_encode(c, 0);
}

/* Text that is not trusted gives the same ids however it is cut. */
static void check_many_spans(const struct golden *c)
{
    check_encode(c, 1);
    check_encode(c, 3);
}

START_TEST(ids_of_text_are_those_of_tokenizers)
{
    run_cases("PT", check_one_span, 1000);
}
END_TEST

START_TEST(ids_of_family_gpt2_are_those_of_tokenizers)
{
    run_cases("G", check_one_span, 100);
}
END_TEST

START_TEST(ids_of_untrusted_text_do_not_depend_on_spans)
{
    run_cases("P", check_many_spans, 500);
}
END_TEST

START_TEST(text_of_ids_is_that_of_tokenizers)
{
    run_cases("DH", check_decode, 100);
}
END_TEST

START_TEST(control_tokens_are_known)
{
    ck_assert_int_eq(tokenizer_count(g_tokenizer), 49152);
    ck_assert_int_eq(tokenizer_find(g_tokenizer, "<|im_start|>", 12), 1);
    ck_assert_int_eq(tokenizer_find(g_tokenizer, "<|im_end|>", 10), 2);
    ck_assert_int_eq(tokenizer_type(g_tokenizer, 2), TOKENIZER_CONTROL);
    ck_assert_int_eq(tokenizer_type(g_tokenizer, 17), TOKENIZER_NORMAL);
}
END_TEST

int main(int argc, char **argv)
{
    if (access(MODEL_PATH, R_OK) != 0) {
        printf("skipped: %s is missing\n", MODEL_PATH);
        return 77;
    }
    if (argc > 1)
        g_cases_path = argv[1];
    Suite *suite = suite_create("tokenizer.golden");
    TCase *tc = tcase_create("golden");
    tcase_set_timeout(tc, 100);
    tcase_add_unchecked_fixture(tc, load, unload);
    tcase_add_test(tc, ids_of_text_are_those_of_tokenizers);
    tcase_add_test(tc, ids_of_family_gpt2_are_those_of_tokenizers);
    tcase_add_test(tc, ids_of_untrusted_text_do_not_depend_on_spans);
    tcase_add_test(tc, text_of_ids_is_that_of_tokenizers);
    tcase_add_test(tc, control_tokens_are_known);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
