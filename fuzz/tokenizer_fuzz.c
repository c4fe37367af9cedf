/*
 * Any bytes are either a vocabulary or an error with a message. Every text has ids with it
 * that do not depend on how it is cut into spans, give no control token that nobody trusts,
 * and decode to the same text as a whole and as a stream; where every byte has a token, the
 * text comes back.
 *
 * The input: a byte of flags, a byte that picks the family, a byte that says how many tokens
 * follow, each as type, score, length, text; likewise merges; the rest is text. A vocabulary
 * of letters or byte tokens may be put before them, so that most inputs are vocabularies. With
 * REPEAT in the family's byte the text is repeated to 64 KiB, so that quadratic work shows.
 */
#include <stdio.h>

#include "text_oracle.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/family.h"

enum {
    SPM = 1,         /* the bits of the flags */
    BASE = 2,        /* a token for each byte comes first */
    PREFIX = 4,      /* add_space_prefix */
    MARKS = 8,       /* add_bos, add_eos */
    NO_UNKNOWN = 16, /* unknown_id -1 */
    TRUSTED = 32,
    REPEAT = 0xa0, /* the upper half of the family's byte */
    REPEATED_BYTES = 64 << 10,
    TOKENS_MAX = 256 + 255,
    MERGES_MAX = 255,
    IDS_MAX = 4096,
    TEXT_BYTES_MAX = 1 << 24
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const g_families[] = { "gpt-2",          "smollm",       "llama-bpe", "qwen2",
                                          "qwen35",         "gpt-4o",       "tekken",    "kimi-k2",
                                          "deepseek-v3",    "deepseek-llm", "viking",    "default",
                                          "deepseek-coder", "bloom",        "command-r", "olmo" };

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

static void read_source(struct input *in, uint8_t flags, uint8_t pick,
                        struct tokenizer_source *source)
{
    const char *family = g_families[pick % (sizeof g_families / sizeof g_families[0])];
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

/* ---- what must hold ---- */

static void encode(const struct tokenizer *t, const struct tokenizer_span *spans, size_t count,
                   struct tokenizer_ids *ids)
{
    enum base_err rc = tokenizer_encode(t, spans, count, ids);
    ASSERT(rc == OK || (rc == E_TOO_BIG && ids->count == 0));
    for (size_t i = 0; i < ids->count; i++)
        ASSERT(ids->ids[i] >= 0 && ids->ids[i] < tokenizer_count(t));
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
    tokenizer_ids_init(&ids, whole->count_max);
    encode(t, spans, 4, &ids);
    ASSERT(ids.count == whole->count);
    for (size_t i = 0; i < ids.count; i++)
        ASSERT(ids.ids[i] == whole->ids[i]);
    tokenizer_ids_fini(&ids);
}

static bool is_reserved(const struct tokenizer *t, int32_t id)
{
    enum tokenizer_type type = tokenizer_type(t, id);
    return type == TOKENIZER_CONTROL || type == TOKENIZER_UNKNOWN;
}

/* The stream is the raw bytes of all visible tokens, repaired, less a space that a prefix put. */
static void check_decode(const struct tokenizer *t, const struct tokenizer_ids *ids, bool show,
                         bool prefix)
{
    struct base_buf raw;
    struct base_buf want;
    struct base_buf got;
    buf_init(&raw, MEM_BASE, TEXT_BYTES_MAX);
    buf_init(&want, MEM_BASE, TEXT_BYTES_MAX);
    buf_init(&got, MEM_BASE, TEXT_BYTES_MAX);
    bool first = true;
    for (size_t i = 0; i < ids->count; i++) {
        int32_t id = ids->ids[i];
        struct tokenizer_text bytes = tokenizer_bytes(t, id);
        if (bytes.len == 0 || (is_reserved(t, id) && !show))
            continue;
        bool cut = first && prefix && bytes.data[0] == ' ' && !is_reserved(t, id) &&
                   tokenizer_type(t, id) != TOKENIZER_BYTE;
        oracle_put(&raw, bytes.data + cut, bytes.len - cut);
        first = false;
    }
    oracle_repair(raw.data, raw.len, &want);
    oracle_stream(t, ids, show, &got);
    oracle_same(&got, &want);
    buf_fini(&raw);
    buf_fini(&want);
    buf_fini(&got);
}

/* Whether a token's raw bytes are its text with nothing undone. */
static bool is_verbatim(struct tokenizer_text text)
{
    char raw[256];
    int64_t n = tokenizer_alphabet_decode(text.data, text.len, raw);
    return n < 0 || ((size_t)n == text.len && (!n || memcmp(raw, text.data, text.len) == 0));
}

/*
 * Whether every text comes back: all bytes have a token, and none that is matched as a whole
 * changes what is around it, is found within a character, or can also be merged from letters that
 * mean something else.
 */
static bool is_complete(const struct tokenizer *t, const struct tokenizer_source *source,
                        uint8_t flags, bool nfc)
{
    if (!(flags & BASE))
        return false;
    bool prefix = source->kind == TOKENIZER_SPM && source->add_space_prefix;
    for (int32_t id = 256; id < source->token_count; id++) {
        bool whole = g_types[id] == TOKENIZER_USER_DEFINED;
        bool unused = g_types[id] == TOKENIZER_UNUSED;
        if (whole && (nfc || prefix || !utf8_is_valid(g_tokens[id].data, g_tokens[id].len)))
            return false;
        if ((whole || unused) && source->kind == TOKENIZER_BPE && !is_verbatim(g_tokens[id]))
            return false;
    }
    if (source->kind == TOKENIZER_BPE)
        return true;
    /* As in sentencepiece, a space without a token becomes the bytes of U+2581. */
    int32_t space = tokenizer_find(t, "\xe2\x96\x81", 3);
    return space >= 0 && tokenizer_type(t, space) == TOKENIZER_NORMAL;
}

/* The text as it must come back. Not known of U+2581 in SPM nor of U+11A7. */
static void check_round_trip(const struct tokenizer *t, struct tokenizer_text text,
                             const struct tokenizer_ids *ids, bool spm, bool nfc)
{
    struct base_buf want;
    struct base_buf got;
    if (oracle_has(text.data, text.len, spm ? "\xe2\x96\x81" : "\xe1\x86\xa7"))
        return;
    buf_init(&want, MEM_BASE, TEXT_BYTES_MAX);
    buf_init(&got, MEM_BASE, TEXT_BYTES_MAX);
    oracle_repair(text.data, text.len, &want);
    if (nfc)
        oracle_normalise(&want);
    oracle_stream(t, ids, false, &got);
    oracle_same(&got, &want);
    buf_fini(&want);
    buf_fini(&got);
}

/* Every token, also those that no text has. */
static void check_decode_all(const struct tokenizer *t, bool prefix)
{
    int32_t all[TOKENS_MAX];
    const struct tokenizer_ids ids = { .ids = all, .count = (size_t)tokenizer_count(t) };
    for (size_t i = 0; i < ids.count; i++)
        all[i] = (int32_t)(ids.count - 1 - i);
    check_decode(t, &ids, false, prefix);
    check_decode(t, &ids, true, prefix);
}

static void use(const struct tokenizer *t, const struct tokenizer_source *source,
                struct tokenizer_text text, uint8_t flags)
{
    bool spm = source->kind == TOKENIZER_SPM;
    bool nfc = !spm && tokenizer_family_find(source->pre)->flags & TOKENIZER_FAMILY_NFC;
    bool trusted = flags & TRUSTED;
    bool prefix = spm && source->add_space_prefix;
    /* SPM gives the unknown token for what has none, and its type is the file's own. */
    bool gives_unknown = spm && source->unknown_id >= 0 && !(flags & BASE);
    struct tokenizer_ids ids;
    struct tokenizer_span span = { text.data, text.len, trusted };
    tokenizer_ids_init(&ids, IDS_MAX);
    encode(t, &span, 1, &ids);
    for (size_t i = 0; i < ids.count && !trusted; i++)
        ASSERT(!is_reserved(t, ids.ids[i]) || (gives_unknown && ids.ids[i] == source->unknown_id));
    if (!trusted)
        check_spans(t, text, &ids);
    check_decode(t, &ids, trusted, prefix);
    if (!trusted && ids.count && is_complete(t, source, flags, nfc))
        check_round_trip(t, text, &ids, spm, nfc);
    ids.count = 0;
    enum base_err rc = tokenizer_encode_marked(t, &span, 1, &ids);
    ASSERT(rc == OK || rc == E_TOO_BIG);
    check_decode(t, &ids, true, prefix);
    check_decode_all(t, prefix);
    tokenizer_ids_fini(&ids);
}

/* A long text: only that it takes no time and no memory to speak of. */
static void use_long(const struct tokenizer *t, struct tokenizer_text text)
{
    struct tokenizer_ids ids;
    char *copy = malloc(REPEATED_BYTES);
    ASSERT(copy);
    size_t len = 0;
    for (; text.len && len + text.len <= REPEATED_BYTES; len += text.len)
        memcpy(copy + len, text.data, text.len);
    struct tokenizer_span span = { copy, len, false };
    tokenizer_ids_init(&ids, REPEATED_BYTES * 3 + 3); /* broken bytes and a prefix: three each */
    ASSERT(tokenizer_encode(t, &span, 1, &ids) == OK);
    tokenizer_ids_fini(&ids);
    free(copy);
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
    uint8_t pick = take(&in);
    read_source(&in, flags, pick, &source);
    struct tokenizer *t;
    struct base_err_info info = { .code = OK };
    enum base_err rc = tokenizer_create(&source, &t, &info);
    struct tokenizer_text text = { (const char *)in.at, (size_t)(in.end - in.at) };
    if (rc)
        ASSERT(!t && info.code == rc && info.message[0]);
    else if ((pick & 0xf0) == REPEAT)
        use_long(t, text);
    else
        use(t, &source, text, flags);
    tokenizer_destroy(t);
    ASSERT(mem_live_blocks() == 0);
    free(copy);
    return 0;
}
