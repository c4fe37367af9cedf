#include "tiny_vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum {
    NAME_BYTES = 64
};

/* ---- byte-level BPE ---- */

static const char *const g_merges[TINY_MERGE_COUNT] = { "t h",        "th e", "i n", "e r",
                                                        "\xc4\xa0 a", "o n",  "a n", "in g" };

static bool stands_for_itself(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte != 0xad);
}

/* The character that stands for a byte in such vocabularies. */
static void put_letter(char *out, int byte)
{
    int letter = byte;
    if (!stands_for_itself(byte)) {
        letter = 256;
        for (int b = 0; b < byte; b++)
            letter += !stands_for_itself(b);
    }
    if (letter < 0x80)
        snprintf(out, NAME_BYTES, "%c", letter);
    else
        snprintf(out, NAME_BYTES, "%c%c", 0xc0 | letter >> 6, 0x80 | (letter & 0x3f));
}

static void put_bpe(char *out, int32_t id)
{
    if (id < TINY_MERGE_FIRST) {
        put_letter(out, id);
        return;
    }
    const char *merge = g_merges[id - TINY_MERGE_FIRST];
    const char *gap = strchr(merge, ' ');
    snprintf(out, NAME_BYTES, "%.*s%s", (int)(gap - merge), merge, gap + 1);
}

/* ---- SentencePiece ---- */

#define SPACE "\xe2\x96\x81"

static const char *const g_pieces[TINY_MERGE_COUNT] = { SPACE, SPACE "a",  "th", SPACE "the",
                                                        "in",  SPACE "in", "a",  "n" };

static void put_spm(char *out, int32_t id)
{
    if (id < TINY_MERGE_FIRST)
        snprintf(out, NAME_BYTES, "<0x%02X>", (unsigned)id);
    else
        snprintf(out, NAME_BYTES, "%s", g_pieces[id - TINY_MERGE_FIRST]);
}

/* ---- both ---- */

enum {
    CONTROL_COUNT = 3,
    TYPE_NORMAL = 1,
    TYPE_CONTROL = 3,
    TYPE_BYTE = 6
};

static void put_token(char *out, const struct tiny_shape *s, int32_t id)
{
    static const char *const control[CONTROL_COUNT] = { "<|endoftext|>", "<|im_start|>",
                                                        "<|im_end|>" };
    if (id < TINY_MERGE_FIRST + TINY_MERGE_COUNT)
        s->spm ? put_spm(out, id) : put_bpe(out, id);
    else if (id < s->vocab - CONTROL_COUNT)
        snprintf(out, NAME_BYTES, "%s<x%d>", s->spm && id % 2 ? SPACE : "", id);
    else
        snprintf(out, NAME_BYTES, "%s", control[id - (s->vocab - CONTROL_COUNT)]);
}

static int32_t type_of(const struct tiny_shape *s, int32_t id)
{
    if (id >= s->vocab - CONTROL_COUNT)
        return TYPE_CONTROL;
    return s->spm && id < TINY_MERGE_FIRST ? TYPE_BYTE : TYPE_NORMAL;
}

/* Scores or merges, and the kind's name. */
static void add_kind(struct gguf_build *g, const struct tiny_shape *s)
{
    if (!s->spm) {
        gguf_build_str(g, "tokenizer.ggml.model", "gpt2");
        gguf_build_str(g, "tokenizer.ggml.pre", "smollm");
        gguf_build_strs(g, "tokenizer.ggml.merges", TINY_MERGE_COUNT, g_merges);
        return;
    }
    size_t count = (size_t)s->vocab;
    float *scores = calloc(count, sizeof *scores);
    ASSERT(scores);
    for (size_t i = 0; i < count; i++)
        scores[i] = -(float)i;
    gguf_build_str(g, "tokenizer.ggml.model", "llama");
    gguf_build_bool(g, "tokenizer.ggml.add_space_prefix", true);
    gguf_build_array(g, "tokenizer.ggml.scores", GGUF_F32, count, scores, count * sizeof *scores);
    free(scores);
}

void tiny_vocab_add(struct gguf_build *g, const struct tiny_shape *s)
{
    size_t count = (size_t)s->vocab;
    char(*texts)[NAME_BYTES] = calloc(count, sizeof *texts);
    const char **tokens = calloc(count, sizeof *tokens);
    int32_t *types = calloc(count, sizeof *types);
    ASSERT(texts && tokens && types);
    for (int32_t i = 0; i < s->vocab; i++) {
        put_token(texts[i], s, i);
        tokens[i] = texts[i];
        types[i] = type_of(s, i);
    }
    add_kind(g, s);
    gguf_build_strs(g, "tokenizer.ggml.tokens", count, tokens);
    gguf_build_array(g, "tokenizer.ggml.token_type", GGUF_I32, count, types, count * sizeof *types);
    gguf_build_u32(g, "tokenizer.ggml.bos_token_id", (uint32_t)(s->vocab - 2));
    gguf_build_u32(g, "tokenizer.ggml.eos_token_id",
                   (uint32_t)(s->eos_id >= 0 ? s->eos_id : s->vocab - 1));
    free(texts);
    free(tokens);
    free(types);
}
