#include "small_vocab.h"

#include <string.h>

/* The byte alphabet, written out once more: what stands for itself, then the rest in order. */
static int stands_for_itself(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

static void add_letters(struct small_vocab *v)
{
    int shifted = 256;
    for (int byte = 0; byte < 256; byte++) {
        int letter = stands_for_itself(byte) ? byte : shifted++;
        size_t len = letter < 0x80 ? 1 : 2;
        if (len == 1) {
            v->letters[byte][0] = (char)letter;
        } else {
            v->letters[byte][0] = (char)(0xc0 | letter >> 6);
            v->letters[byte][1] = (char)(0x80 | (letter & 0x3f));
        }
        v->tokens[byte] = (struct tokenizer_text){ v->letters[byte], len };
        v->types[byte] = TOKENIZER_NORMAL;
    }
}

static void add(struct small_vocab *v, enum small_id id, const char *text, enum tokenizer_type type)
{
    v->tokens[id] = (struct tokenizer_text){ text, strlen(text) };
    v->types[id] = (int32_t)type;
}

void small_vocab_init(struct small_vocab *v)
{
    static const char *const merges[SMALL_MERGE_COUNT] = {
        "h e", "t h", "t he", "a a", "aa aa", "a b", "\xc4\xa0 a", "< -", "<- >",
    };
    add_letters(v);
    add(v, SMALL_TH, "th", TOKENIZER_NORMAL);
    add(v, SMALL_HE, "he", TOKENIZER_NORMAL);
    add(v, SMALL_THE, "the", TOKENIZER_NORMAL);
    add(v, SMALL_AA, "aa", TOKENIZER_NORMAL);
    add(v, SMALL_AAAA, "aaaa", TOKENIZER_NORMAL);
    add(v, SMALL_AB, "ab", TOKENIZER_NORMAL);
    add(v, SMALL_SPACE_A,
        "\xc4\xa0"
        "a",
        TOKENIZER_NORMAL);
    add(v, SMALL_SPACES, "\xc4\xa0\xc4\xa0", TOKENIZER_NORMAL);
    add(v, SMALL_FORGED, "<->", TOKENIZER_CONTROL);
    add(v, SMALL_ARROW, "<-", TOKENIZER_NORMAL);
    add(v, SMALL_START, "<|s|>", TOKENIZER_CONTROL);
    add(v, SMALL_START2, "<|s|>>", TOKENIZER_CONTROL);
    add(v, SMALL_USER, "[[u]]", TOKENIZER_USER_DEFINED);
    add(v, SMALL_USER2, "[[u]]!", TOKENIZER_USER_DEFINED);
    add(v, SMALL_LITERAL, "\xc3\xa9\xc3\xa9", TOKENIZER_USER_DEFINED);
    for (int i = 0; i < SMALL_MERGE_COUNT; i++)
        v->merges[i] = (struct tokenizer_text){ merges[i], strlen(merges[i]) };
    v->source = (struct tokenizer_source){
        .kind = TOKENIZER_BPE,
        .pre = { "smollm", 6 },
        .tokens = v->tokens,
        .types = v->types,
        .token_count = SMALL_COUNT,
        .merges = v->merges,
        .merge_count = SMALL_MERGE_COUNT,
        .bos_id = SMALL_START,
        .eos_id = -1,
    };
}
