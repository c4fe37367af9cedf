#include "tokenizer/tokenizer.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/random.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/tokenizer_int.h"

static enum base_err check_id(const char *name, int32_t id, int32_t count,
                              struct base_err_info *info)
{
    if (id >= -1 && id < count)
        return OK;
    return base_err_set(info, E_CORRUPT, "%s token: id %d of %d tokens", name, (int)id, (int)count);
}

/* Whether a token may stand for one byte of any text: never a control token (README, rule 2). */
static bool is_byte(const struct tokenizer_vocab *v, int32_t id, int byte)
{
    if (id < 0 || tokenizer_vocab_is_reserved(v, id))
        return false;
    struct tokenizer_text raw = tokenizer_vocab_bytes(v, id);
    return raw.len == 1 && (unsigned char)raw.data[0] == byte;
}

static enum base_err find_letters(struct tokenizer *t, struct base_err_info *info)
{
    int known = 0;
    for (int byte = 0; byte < 256; byte++) {
        char letter[2];
        int len = tokenizer_alphabet_letter((uint8_t)byte, letter);
        int32_t id = tokenizer_vocab_find(&t->vocab, letter, (size_t)len);
        bool found = is_byte(&t->vocab, id, byte);
        t->byte_ids[byte] = found ? id : -1;
        known += found;
    }
    if (known == 0)
        return base_err_set(info, E_CORRUPT, "vocabulary: no token stands for a single byte");
    return OK;
}

/* SentencePiece: the tokens "<0x00>" to "<0xFF>"; of two for one byte the first counts. */
static void find_byte_tokens(struct tokenizer *t)
{
    for (int byte = 0; byte < 256; byte++)
        t->byte_ids[byte] = -1;
    for (int32_t id = t->vocab.count - 1; id >= 0; id--) {
        struct tokenizer_text raw = tokenizer_vocab_bytes(&t->vocab, id);
        if (t->vocab.types[id] == TOKENIZER_BYTE && raw.len == 1)
            t->byte_ids[(unsigned char)raw.data[0]] = id;
    }
}

static enum base_err fill_bpe(struct tokenizer *t, const struct tokenizer_source *source,
                              uint64_t seed, struct base_err_info *info)
{
    const struct tokenizer_family *family = tokenizer_family_find(source->pre);
    if (!family)
        return base_err_set(info, E_UNSUPPORTED, "pre-tokenizer \"%.*s\" is not known",
                            source->pre.len < 64 ? (int)source->pre.len : 64,
                            source->pre.len ? source->pre.data : "");
    t->nfc = family->flags & TOKENIZER_FAMILY_NFC;
    enum base_err rc = find_letters(t, info);
    if (!rc)
        rc = tokenizer_merges_init(&t->merges, &t->vocab, source, seed, info);
    if (!rc && (family->flags & TOKENIZER_FAMILY_WHOLE)) {
        rc = tokenizer_vocab_index_bytes(&t->vocab);
        if (rc)
            rc = base_err_set(info, rc, "vocabulary: out of memory");
    }
    return rc ? rc : tokenizer_splitter_init(&t->splitter, family, info);
}

static enum base_err fill_spm(struct tokenizer *t, const struct tokenizer_source *source,
                              uint64_t seed, struct base_err_info *info)
{
    find_byte_tokens(t);
    t->unknown_id = source->unknown_id;
    t->add_space_prefix = source->add_space_prefix;
    enum base_err rc = check_id("unknown", t->unknown_id, t->vocab.count, info);
    if (rc)
        return rc;
    return tokenizer_spm_init(&t->spm, &t->merges, &t->vocab, source, t->byte_ids, seed, info);
}

static enum base_err fill(struct tokenizer *t, const struct tokenizer_source *source,
                          struct base_err_info *info)
{
    uint64_t seed = random_u64(&base_random_system);
    t->kind = source->kind;
    t->bos_id = source->bos_id;
    t->eos_id = source->eos_id;
    t->add_bos = source->add_bos;
    t->add_eos = source->add_eos;
    enum base_err rc = tokenizer_vocab_init(&t->vocab, source, seed, info);
    if (!rc)
        rc = source->kind == TOKENIZER_SPM ? fill_spm(t, source, random_mix(seed), info)
                                           : fill_bpe(t, source, random_mix(seed), info);
    if (!rc)
        rc = check_id("bos", source->bos_id, source->token_count, info);
    if (!rc)
        rc = check_id("eos", source->eos_id, source->token_count, info);
    return rc ? rc : tokenizer_specials_init(&t->specials, &t->vocab, info);
}

enum base_err tokenizer_create(const struct tokenizer_source *source, struct tokenizer **out,
                               struct base_err_info *info)
{
    *out = NULL;
    if (source->kind != TOKENIZER_BPE && source->kind != TOKENIZER_SPM)
        return base_err_set(info, E_UNSUPPORTED, "tokenizer kind %d", (int)source->kind);
    struct tokenizer *t = mem_calloc(MEM_TOKENIZER, 1, sizeof *t);
    if (!t)
        return base_err_set(info, E_NOMEM, "tokenizer: out of memory");
    enum base_err rc = fill(t, source, info);
    if (rc) {
        tokenizer_destroy(t);
        return rc;
    }
    *out = t;
    return OK;
}

void tokenizer_destroy(struct tokenizer *t)
{
    if (!t)
        return;
    tokenizer_splitter_fini(&t->splitter);
    tokenizer_specials_fini(&t->specials);
    tokenizer_spm_fini(&t->spm);
    tokenizer_merges_fini(&t->merges);
    tokenizer_vocab_fini(&t->vocab);
    mem_free(t);
}

int32_t tokenizer_count(const struct tokenizer *t)
{
    return t->vocab.count;
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
    return t->bos_id;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
    return t->eos_id;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    return t->add_bos;
}

bool tokenizer_adds_eos(const struct tokenizer *t)
{
    return t->add_eos;
}

int32_t tokenizer_find(const struct tokenizer *t, const char *text, size_t len)
{
    return tokenizer_vocab_find(&t->vocab, text, len);
}

enum tokenizer_type tokenizer_type(const struct tokenizer *t, int32_t id)
{
    ASSERT(id >= 0 && id < t->vocab.count);
    return (enum tokenizer_type)t->vocab.types[id];
}

struct tokenizer_text tokenizer_bytes(const struct tokenizer *t, int32_t id)
{
    ASSERT(id >= 0 && id < t->vocab.count);
    return tokenizer_vocab_bytes(&t->vocab, id);
}
