/* Ids back to text, a token at a time. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "small_vocab.h"

#define FFFD "\xef\xbf\xbd"

static struct small_vocab g_vocab;
static struct tokenizer *g_tokenizer;
static struct tokenizer_decoder g_decoder;

static void setup(void)
{
    small_vocab_init(&g_vocab);
    ck_assert_int_eq(tokenizer_create(&g_vocab.source, &g_tokenizer, NULL), OK);
    tokenizer_decoder_init(&g_decoder, g_tokenizer, false);
}

static void teardown(void)
{
    tokenizer_destroy(g_tokenizer);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

static void expect(int32_t id, const char *text)
{
    char out[256];
    size_t n = tokenizer_decode(&g_decoder, id, out);
    ck_assert_uint_le(n, tokenizer_piece_bytes_max(g_tokenizer));
    ck_assert_msg(n == strlen(text) && memcmp(out, text, n) == 0, "token %d: \"%.*s\"", (int)id,
                  (int)n, out);
}

static void expect_end(const char *text)
{
    char out[12];
    size_t n = tokenizer_decode_end(&g_decoder, out);
    ck_assert_msg(n == strlen(text) && memcmp(out, text, n) == 0, "end: \"%.*s\"", (int)n, out);
}

START_TEST(whole_characters_come_at_once)
{
    expect(SMALL_THE, "the");
    expect(SMALL_SPACE_A, " a");
    expect(SMALL_LITERAL, "\xc3\xa9\xc3\xa9");
    expect_end("");
}
END_TEST

START_TEST(cut_characters_are_held_back)
{
    expect(0xf0, "");
    expect(0x9f, "");
    expect(0x98, "");
    expect(0x80, "\xf0\x9f\x98\x80");
    expect(0xc3, "");
    expect(0xa9, "\xc3\xa9");
    expect_end("");
}
END_TEST

START_TEST(what_cannot_become_a_character_is_replaced)
{
    expect(0x80, FFFD);
    expect(0xff, FFFD);
    expect(0xe4, "");
    expect(0xb8, "");
    expect('a', FFFD "a");
    expect(0xe4, "");
    expect(0xe4, FFFD);
    expect(0xb8, "");
    expect(0xad, "\xe4\xb8\xad");
    expect(0xed, "");
    expect(0xa0, FFFD FFFD); /* half of a surrogate */
    expect_end("");
}
END_TEST

START_TEST(the_end_flushes_what_is_held)
{
    expect(0xf0, "");
    expect_end(FFFD);
    expect_end("");
    expect(0xf0, "");
    expect(0x9f, "");
    expect(0x98, "");
    expect_end(FFFD);
    expect('a', "a");
}
END_TEST

START_TEST(control_tokens_give_text_on_request)
{
    expect('a', "a");
    expect(SMALL_START, "");
    tokenizer_decoder_init(&g_decoder, g_tokenizer, true);
    expect(SMALL_START, "<|s|>");
    expect(SMALL_USER, "[[u]]");
    expect(0xc3, "");
    expect(SMALL_START, FFFD "<|s|>");
}
END_TEST

START_TEST(a_hidden_token_does_not_cut_a_character)
{
    expect(0xc3, "");
    expect(SMALL_START, "");
    expect(0xa9, "\xc3\xa9");
}
END_TEST

/* The ids of any bytes, one token a byte: the pieces together are the bytes, repaired. */
START_TEST(pieces_are_always_whole_characters)
{
    unsigned state = 7;
    for (int round = 0; round < 20000; round++) {
        char bytes[12];
        char whole[64];
        char pieces[64];
        size_t whole_len = 0;
        size_t pieces_len = 0;
        for (size_t i = 0; i < sizeof bytes; i++) {
            static const unsigned char often[] = { 0xc3, 0xe0, 0xe4, 0xed, 0xf0, 0xf4, 0x80, 0x8f,
                                                   0x90, 0x9f, 0xa0, 0xbf, 0xb8, 'a',  0xff, 0xc0 };
            state = state * 1103515245u + 12345u;
            bytes[i] = (char)often[state >> 20 & 15];
        }
        for (size_t i = 0; i < sizeof bytes;) {
            int n = utf8_char_len(bytes + i, sizeof bytes - i);
            if (n)
                memcpy(whole + whole_len, bytes + i, (size_t)n);
            else
                memcpy(whole + whole_len, FFFD, 3);
            whole_len += n ? (size_t)n : 3;
            i += (size_t)(n ? n : utf8_bad_len(bytes + i, sizeof bytes - i));
        }
        for (size_t i = 0; i < sizeof bytes; i++) {
            char *piece = pieces + pieces_len;
            size_t n = tokenizer_decode(&g_decoder, (unsigned char)bytes[i], piece);
            if (!utf8_is_valid(piece, n))
                ck_abort_msg("round %d: a piece is not well-formed", round);
            pieces_len += n;
        }
        pieces_len += tokenizer_decode_end(&g_decoder, pieces + pieces_len);
        if (pieces_len != whole_len || memcmp(pieces, whole, whole_len) != 0)
            ck_abort_msg("round %d: the pieces differ from the whole", round);
    }
}
END_TEST

START_TEST(encoded_text_comes_back)
{
    static const char text[] = "the a 12\n\t[[u]] \xe4\xb8\xad\xf0\x9f\x98\x80 <|s|> aaaa b";
    struct tokenizer_span s = { text, sizeof text - 1, false };
    struct tokenizer_ids ids;
    tokenizer_ids_init(&ids, 100);
    ck_assert_int_eq(tokenizer_encode(g_tokenizer, &s, 1, &ids), OK);
    char out[256];
    size_t n = 0;
    for (size_t i = 0; i < ids.count; i++)
        n += tokenizer_decode(&g_decoder, ids.ids[i], out + n);
    ck_assert_uint_eq(n, s.len);
    ck_assert_int_eq(memcmp(out, text, n), 0);
    tokenizer_ids_fini(&ids);
}
END_TEST

START_TEST(the_longest_piece_fits)
{
    /* Ill-formed bytes triple; what is held comes with them. */
    g_vocab.tokens[SMALL_USER2] = (struct tokenizer_text){ "\xff\xff\xff\xff\xff\xff\xff\xff", 8 };
    tokenizer_destroy(g_tokenizer);
    ck_assert_int_eq(tokenizer_create(&g_vocab.source, &g_tokenizer, NULL), OK);
    tokenizer_decoder_init(&g_decoder, g_tokenizer, false);
    expect(0xf0, "");
    expect(0x9f, "");
    expect(0x98, "");
    expect(SMALL_USER2, FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer.decode");
    TCase *tc = tcase_create("decode");
    tcase_set_timeout(tc, 30);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, whole_characters_come_at_once);
    tcase_add_test(tc, cut_characters_are_held_back);
    tcase_add_test(tc, what_cannot_become_a_character_is_replaced);
    tcase_add_test(tc, the_end_flushes_what_is_held);
    tcase_add_test(tc, control_tokens_give_text_on_request);
    tcase_add_test(tc, a_hidden_token_does_not_cut_a_character);
    tcase_add_test(tc, pieces_are_always_whole_characters);
    tcase_add_test(tc, encoded_text_comes_back);
    tcase_add_test(tc, the_longest_piece_fits);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
