/*
 * Any bytes are either a vocabulary or an error with a message. Every text has ids with it
 * that do not depend on how it is cut into spans, gives no control token that nobody
 * trusts, and comes back as well-formed pieces.
 *
 * The input: a byte of flags, a byte that picks the family, a byte that says how many tokens
 * follow, each as type, score, length, text; likewise merges; the rest is text. A vocabulary
 * of letters or byte tokens may be put before them, so that most inputs are vocabularies.
 *
 * clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -DVALET_CHECKS=1 -Isrc \
 *     fuzz/tokenizer_fuzz.c src/tokenizer/[a-z]*.c src/base/[a-z]*.c -lpcre2-8 -lutf8proc -lm \
 *     -pthread
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/tokenizer.h"

enum {
    SPM = 1,         /* the bits of the flags */
    BASE = 2,        /* a token for each byte comes first */
    PREFIX = 4,      /* add_space_prefix */
    MARKS = 8,       /* add_bos, add_eos */
    NO_UNKNOWN = 16, /* unknown_id -1 */
    TRUSTED = 32,
    TOKENS_MAX = 256 + 255,
    MERGES_MAX = 255,
    IDS_MAX = 4096
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const g_families[] = { "gpt-2",       "smollm",       "llama-bpe", "qwen2",
                                          "qwen35",      "gpt-4o",       "tekken",    "kimi-k2",
                                          "deepseek-v3", "deepseek-llm", "viking",    "default" };

struct input {
    const uint8_t *at;
    const uint8_t *end;
};

static struct tokenizer_text g_tokens[TOKENS_MAX];
static struct tokenizer_text g_merges[MERGES_MAX];
static int32_t g_types[TOKENS_MAX];
static float g_scores[TOKENS_MAX];
static char g_base[256][7];

static uint8_t take(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static struct tokenizer_text take_text(struct input *in)
{
    size_t len = take(in);
    size_t left = (size_t)(in->end - in->at);
    len = len < left ? len : left;
    struct tokenizer_text text = { (const char *)in->at, len };
    in->at += len;
    return text;
}

static void add_base(struct tokenizer_source *source, bool spm)
{
    for (int byte = 0; byte < 256; byte++) {
        size_t len = 6;
        if (spm)
            snprintf(g_base[byte], sizeof g_base[byte], "<0x%02X>", (unsigned)byte);
        else
            len = (size_t)tokenizer_alphabet_letter((uint8_t)byte, g_base[byte]);
        g_tokens[byte] = (struct tokenizer_text){ g_base[byte], len };
        g_types[byte] = spm ? TOKENIZER_BYTE : TOKENIZER_NORMAL;
        g_scores[byte] = 0;
    }
    source->token_count = 256;
}

static void read_source(struct input *in, uint8_t flags, struct tokenizer_source *source)
{
    const char *family = g_families[take(in) % (sizeof g_families / sizeof g_families[0])];
    *source = (struct tokenizer_source){
        .kind = flags & SPM ? TOKENIZER_SPM : TOKENIZER_BPE,
        .pre = { family, strlen(family) },
        .tokens = g_tokens,
        .types = g_types,
        .scores = g_scores,
        .merges = g_merges,
        .add_bos = flags & MARKS,
        .add_eos = flags & MARKS,
        .add_space_prefix = flags & PREFIX,
        .unknown_id = flags & NO_UNKNOWN ? -1 : 0,
    };
    if (flags & BASE)
        add_base(source, flags & SPM);
    for (int count = take(in); count > 0; count--) {
        int32_t id = source->token_count++;
        g_types[id] = take(in) % 8;
        g_scores[id] = (float)(int8_t)take(in);
        g_tokens[id] = take_text(in);
    }
    for (int count = take(in); count > 0; count--)
        g_merges[source->merge_count++] = take_text(in);
    source->bos_id = source->token_count - 1;
    source->eos_id = source->token_count - 2;
}

static void encode(const struct tokenizer *t, const struct tokenizer_span *spans, size_t count,
                   struct tokenizer_ids *ids)
{
    enum base_err rc = tokenizer_encode(t, spans, count, ids);
    ASSERT(rc == OK || (rc == E_TOO_BIG && ids->count == 0));
}

static void check_spans(const struct tokenizer *t, struct tokenizer_text text,
                        const struct tokenizer_ids *whole)
{
    size_t third = text.len / 3;
    const struct tokenizer_span spans[] = { { text.data, third, false },
                                            { text.data + third, third, false },
                                            { text.data, 0, true },
                                            { text.data + 2 * third, text.len - 2 * third,
                                              false } };
    struct tokenizer_ids ids;
    tokenizer_ids_init(&ids, IDS_MAX);
    encode(t, spans, 4, &ids);
    ASSERT(ids.count == whole->count);
    for (size_t i = 0; i < ids.count; i++)
        ASSERT(ids.ids[i] == whole->ids[i]);
    tokenizer_ids_fini(&ids);
}

static void check_decode(const struct tokenizer *t, const struct tokenizer_ids *ids, bool show)
{
    struct tokenizer_decoder d;
    char end[12];
    size_t max = tokenizer_piece_bytes_max(t);
    char *piece = mem_alloc(MEM_BASE, max);
    ASSERT(piece);
    tokenizer_decoder_init(&d, t, show);
    for (size_t i = 0; i < ids->count; i++) {
        size_t n = tokenizer_decode(&d, ids->ids[i], piece);
        ASSERT(n <= max && utf8_is_valid(piece, n));
    }
    ASSERT(tokenizer_decode_end(&d, end) <= sizeof end);
    mem_free(piece);
}

static void use(const struct tokenizer *t, struct tokenizer_text text, bool trusted)
{
    struct tokenizer_ids ids;
    struct tokenizer_span span = { text.data, text.len, trusted };
    tokenizer_ids_init(&ids, IDS_MAX);
    encode(t, &span, 1, &ids);
    for (size_t i = 0; i < ids.count; i++)
        ASSERT(trusted || tokenizer_type(t, ids.ids[i]) != TOKENIZER_CONTROL);
    if (!trusted)
        check_spans(t, text, &ids);
    check_decode(t, &ids, trusted);
    enum base_err rc = tokenizer_encode_marked(t, &span, 1, &ids);
    ASSERT(rc == OK || rc == E_TOO_BIG);
    for (int32_t id = 0; id < tokenizer_count(t); id++) {
        const struct tokenizer_ids one = { .ids = &id, .count = 1 };
        check_decode(t, &one, true);
    }
    tokenizer_ids_fini(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* The end is exact, so that one byte too far is seen. */
    uint8_t *copy = malloc(size ? size : 1);
    ASSERT(copy);
    memcpy(copy, data, size);
    struct input in = { copy, copy + size };
    uint8_t flags = take(&in);
    struct tokenizer_source source;
    read_source(&in, flags, &source);
    struct tokenizer *t;
    struct base_err_info info = { .code = OK };
    enum base_err rc = tokenizer_create(&source, &t, &info);
    if (rc) {
        ASSERT(!t && info.code == rc && info.message[0]);
    } else {
        /* A vocabulary that names an unknown token of another type asks for that token. */
        bool odd = source.unknown_id == 0 && g_types[0] == TOKENIZER_CONTROL;
        struct tokenizer_text text = { (const char *)in.at, (size_t)(in.end - in.at) };
        use(t, text, odd || (flags & TRUSTED));
        tokenizer_destroy(t);
    }
    ASSERT(mem_live_blocks() == 0);
    free(copy);
    return 0;
}
