#include "letters.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

/* The byte-level alphabet: printable bytes stand for themselves, the rest for U+0100 on. */
static struct tokenizer_text letter(char out[3], int byte, int *next)
{
    bool itself = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    int code = itself ? byte : 0x100 + (*next)++;
    if (code < 0x80) {
        out[0] = (char)code;
        return (struct tokenizer_text){ out, 1 };
    }
    out[0] = (char)(0xc0 | code >> 6);
    out[1] = (char)(0x80 | (code & 0x3f));
    return (struct tokenizer_text){ out, 2 };
}

static struct tokenizer *create(const struct tokenizer_source *source)
{
    struct tokenizer *t;
    struct base_err_info info;
    ck_assert_msg(tokenizer_create(source, &t, &info) == OK, "%s", info.message);
    return t;
}

static const char *const g_control[] = { "<|im_start|>", "<|im_end|>", "<s>" };

static struct tokenizer *make(int32_t bos_id, bool add_bos)
{
    char letters[256][3];
    struct tokenizer_text tokens[LETTERS_COUNT];
    int32_t types[LETTERS_COUNT];
    int next = 0;
    for (int b = 0; b < 256; b++) {
        tokens[b] = letter(letters[b], b, &next);
        types[b] = TOKENIZER_NORMAL;
    }
    for (int i = 0; i < LETTERS_COUNT - 256; i++) {
        tokens[256 + i] = (struct tokenizer_text){ g_control[i], strlen(g_control[i]) };
        types[256 + i] = TOKENIZER_CONTROL;
    }
    const struct tokenizer_source source = {
        .kind = TOKENIZER_BPE,
        .pre = { "smollm", 6 },
        .tokens = tokens,
        .types = types,
        .token_count = LETTERS_COUNT,
        .bos_id = bos_id,
        .eos_id = LETTERS_END,
        .add_bos = add_bos,
    };
    return create(&source);
}

struct tokenizer *letters_create(bool add_bos)
{
    return make(LETTERS_BOS, add_bos);
}

struct tokenizer *letters_create_without_bos(void)
{
    return make(-1, false);
}

struct tokenizer *letters_create_spm(void)
{
    static const char *const pieces[] = { "\xe2\x96\x81", "\xe2\x96\x81"
                                                          "a" };
    char bytes[256][8];
    struct tokenizer_text tokens[LETTERS_SPM_COUNT];
    int32_t types[LETTERS_SPM_COUNT];
    float scores[LETTERS_SPM_COUNT] = { 0 };
    for (int i = 0; i < LETTERS_SPM_COUNT; i++) {
        const char *text = bytes[i % 256];
        types[i] = i < 256             ? TOKENIZER_BYTE
                   : i < LETTERS_COUNT ? TOKENIZER_CONTROL
                                       : TOKENIZER_NORMAL;
        if (i < 256)
            snprintf(bytes[i], sizeof bytes[i], "<0x%02X>", (unsigned)i);
        else
            text = i < LETTERS_COUNT ? g_control[i - 256] : pieces[i - LETTERS_COUNT];
        tokens[i] = (struct tokenizer_text){ text, strlen(text) };
    }
    const struct tokenizer_source source = {
        .kind = TOKENIZER_SPM,
        .tokens = tokens,
        .types = types,
        .scores = scores,
        .token_count = LETTERS_SPM_COUNT,
        .bos_id = LETTERS_BOS,
        .eos_id = LETTERS_END,
        .unknown_id = -1,
        .add_space_prefix = true,
    };
    return create(&source);
}
