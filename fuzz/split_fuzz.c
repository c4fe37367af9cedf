/*
 * Any bytes, in every family of pre-tokenizers: the pieces are whole characters and together
 * the text, no limit of PCRE2 is reached, and with a vocabulary of letters the text comes back,
 * wherever it is cut into spans.
 *
 * The input: a byte that picks the family, a byte that is REPEAT for a text that is repeated to
 * 64 KiB, so that quadratic work shows; the rest is text.
 */
#include <stdio.h>

#include "text_oracle.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/family.h"
#include "tokenizer/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One of each kind of pattern, and of flags. */
static const char *const g_families[] = {
    "default",      "gpt-2",          "olmo",   "smollm", "command-r", "llama-bpe",
    "qwen2",        "qwen35",         "gpt-4o", "tekken", "kimi-k2",   "deepseek-v3",
    "deepseek-llm", "deepseek-coder", "bloom",  "viking", "grok-2",
};

enum {
    FAMILY_COUNT = sizeof g_families / sizeof g_families[0],
    REPEAT = 0xaa, /* seldom: such an input takes as long as hundreds of others */
    REPEATED_BYTES = 64 << 10,
    TEXT_BYTES_MAX = 1 << 20,
    IDS_MAX = 1 << 20
};

/* Made when an input asks for it first. */
struct kind {
    const struct tokenizer_family *family; /* NULL: not made yet */
    struct tokenizer_splitter splitter;
    struct tokenizer *tokenizer;
};

static struct kind g_kinds[FAMILY_COUNT];
static uint64_t g_live; /* blocks that stay */

/* The vocabulary of all bytes, and a control token. */
static struct tokenizer *letters(const char *family)
{
    char texts[256][2];
    struct tokenizer_text tokens[257] = { [256] = { "<c>", 3 } };
    int32_t types[257] = { [256] = TOKENIZER_CONTROL };
    struct tokenizer *t;
    struct base_err_info info;
    for (int byte = 0; byte < 256; byte++) {
        size_t len = (size_t)tokenizer_alphabet_letter((uint8_t)byte, texts[byte]);
        tokens[byte] = (struct tokenizer_text){ texts[byte], len };
        types[byte] = TOKENIZER_NORMAL;
    }
    const struct tokenizer_source source = { .kind = TOKENIZER_BPE,
                                             .pre = { family, strlen(family) },
                                             .tokens = tokens,
                                             .types = types,
                                             .token_count = 257,
                                             .bos_id = -1,
                                             .eos_id = -1,
                                             .unknown_id = -1 };
    ASSERT(tokenizer_create(&source, &t, &info) == OK);
    return t;
}

static const struct kind *kind_get(int index)
{
    struct kind *k = &g_kinds[index];
    const char *name = g_families[index];
    struct base_err_info info;
    if (k->family)
        return k;
    k->family = tokenizer_family_find((struct tokenizer_text){ name, strlen(name) });
    ASSERT(k->family);
    ASSERT(tokenizer_splitter_init(&k->splitter, k->family, &info) == OK);
    k->tokenizer = letters(name);
    g_live = mem_live_blocks();
    return k;
}

static void check_split(const struct tokenizer_splitter *splitter, struct tokenizer_text text)
{
    struct tokenizer_split walk;
    struct tokenizer_text piece;
    ASSERT(tokenizer_split_init(&walk, splitter) == OK);
    tokenizer_split_start(&walk, text);
    size_t at = 0;
    for (;;) {
        ASSERT(tokenizer_split_next(&walk, &piece) == OK);
        if (piece.len == 0)
            break;
        ASSERT(piece.data == text.data + at && piece.len <= text.len - at);
        ASSERT(utf8_is_valid(piece.data, piece.len));
        at += piece.len;
    }
    ASSERT(at == text.len);
    tokenizer_split_fini(&walk);
}

static void check_spans(const struct tokenizer *t, const char *text, size_t len,
                        const struct tokenizer_ids *whole)
{
    struct tokenizer_ids ids;
    size_t cut = len / 2;
    const struct tokenizer_span spans[] = { { text, cut, false },
                                            { text + cut, len - cut, false } };
    tokenizer_ids_init(&ids, IDS_MAX);
    ASSERT(tokenizer_encode(t, spans, 2, &ids) == OK);
    ASSERT(ids.count == whole->count);
    for (size_t i = 0; i < ids.count; i++)
        ASSERT(ids.ids[i] == whole->ids[i]);
    tokenizer_ids_fini(&ids);
}

static void encode(const struct tokenizer *t, const char *text, size_t len,
                   struct tokenizer_ids *ids)
{
    struct tokenizer_span span = { text, len, false };
    tokenizer_ids_init(ids, IDS_MAX);
    ASSERT(tokenizer_encode(t, &span, 1, ids) == OK);
}

/* A long text: only that it takes no time to speak of. */
static void check_long(const struct tokenizer *t, const char *text, size_t len)
{
    struct tokenizer_ids ids;
    encode(t, text, len, &ids);
    tokenizer_ids_fini(&ids);
}

static void check_short(const struct kind *k, const char *text, size_t len)
{
    struct tokenizer_ids ids;
    struct base_buf want;
    struct base_buf got;
    buf_init(&want, MEM_BASE, TEXT_BYTES_MAX);
    buf_init(&got, MEM_BASE, TEXT_BYTES_MAX);
    oracle_repair(text, len, &want);
    if (k->family->flags & TOKENIZER_FAMILY_NFC)
        oracle_normalise(&want);
    check_split(&k->splitter, (struct tokenizer_text){ want.data, want.len });
    encode(k->tokenizer, text, len, &ids);
    oracle_stream(k->tokenizer, &ids, false, &got);
    if (!oracle_has(text, len, "\xe1\x86\xa7")) /* U+11A7, which the oracle loses */
        oracle_same(&got, &want);
    check_spans(k->tokenizer, text, len, &ids);
    tokenizer_ids_fini(&ids);
    buf_fini(&want);
    buf_fini(&got);
}

/* The text on the heap, once or many times; its end is exact, so that one byte too far is seen. */
static char *text_make(const uint8_t *data, size_t size, bool repeat, size_t *len)
{
    *len = repeat && size ? REPEATED_BYTES - REPEATED_BYTES % size : size;
    char *text = malloc(*len ? *len : 1);
    ASSERT(text);
    for (size_t at = 0; at < *len; at += size)
        memcpy(text + at, data, size);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const struct kind *k = kind_get(data[0] % FAMILY_COUNT);
    bool repeat = data[1] == REPEAT;
    size_t len;
    char *text = text_make(data + 2, size - 2, repeat, &len);
    if (repeat)
        check_long(k->tokenizer, text, len);
    else
        check_short(k, text, len);
    free(text);
    ASSERT(mem_live_blocks() == g_live);
    return 0;
}
