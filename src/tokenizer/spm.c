/*
 * SentencePiece BPE. A text is taken apart into characters, spaces written as U+2581; of the
 * neighbours that together are a normal token, those whose token has the best score become
 * it, the leftmost of equal ones, until none is left. That is merging by rank (bpe.c), with
 * a merge for every way in which a token is made of two: tokens, or characters that are none.
 *
 * No merge reaches across a character that no token holds. Nor, in nearly all vocabularies,
 * across the beginning of a word, because no token has a space behind something else. So a
 * text is merged word by word, and only a vocabulary of another kind needs the whole of it.
 */
#include "tokenizer/spm.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "base/text.h"
#include "tokenizer/tokenizer_int.h"

enum {
    TOKEN_BYTES_MAX = 1024 /* a net: taking tokens apart is quadratic in their length */
};

#define SPACE 0xe2968100u /* the key of U+2581 */
#define FFFD 0xefbfbd00u

/* The key of a well-formed character. */
static uint32_t key_of(const char *s, int len)
{
    uint32_t key = 0;
    for (int i = 0; i < 4; i++)
        key = key << 8 | (i < len ? (unsigned char)s[i] : 0);
    return key;
}

static int key_bytes(uint32_t key, char out[4])
{
    int len = 0;
    while (len < 4 && (len == 0 || (key << 8 * len) != 0)) {
        out[len] = (char)(key >> (24 - 8 * len));
        len++;
    }
    return len;
}

/* The slot that holds this character, or the free one where it belongs. Not for U+0000, whose
 * key says "free": it counts as a character that no token holds. */
static struct tokenizer_char *slot_of(const struct tokenizer_spm *spm, uint32_t key)
{
    for (uint64_t i = random_mix(key ^ spm->seed);; i++) {
        struct tokenizer_char *slot = &spm->slots[i & spm->slot_mask];
        if (slot->key == key || slot->key == 0)
            return slot;
    }
}

/* The symbol of a character, or -1 if no token holds it. */
static int32_t symbol_of(const struct tokenizer_spm *spm, uint32_t key)
{
    const struct tokenizer_char *slot = slot_of(spm, key);
    return key != 0 && slot->key == key ? slot->id : -1;
}

/* Whether a token takes part in merging: normal, and text that can occur. */
static bool is_usable(const struct tokenizer_vocab *v, int32_t id)
{
    struct tokenizer_text text = tokenizer_vocab_text(v, id);
    return v->types[id] == TOKENIZER_NORMAL && text.len > 0 && utf8_is_valid(text.data, text.len) &&
           !memchr(text.data, '\0', text.len);
}

/* Doubles the table when it is half full. */
static enum base_err grow(struct tokenizer_spm *spm)
{
    struct tokenizer_char *old = spm->slots;
    uint64_t old_count = old ? spm->slot_mask + 1 : 0;
    if (2 * ((uint64_t)spm->char_count + 1) <= old_count)
        return OK;
    uint64_t slot_count = old ? 2 * old_count : 256;
    struct tokenizer_char *slots = mem_calloc(MEM_TOKENIZER, slot_count, sizeof *slots);
    if (!slots)
        return E_NOMEM;
    spm->slots = slots;
    spm->slot_mask = slot_count - 1;
    for (uint64_t i = 0; i < old_count; i++) {
        if (old[i].key != 0)
            *slot_of(spm, old[i].key) = old[i];
    }
    mem_free(old);
    return OK;
}

/* The id that a character without a token gets. */
static enum base_err add_lone(struct tokenizer_spm *spm, const struct tokenizer_vocab *v,
                              uint32_t key, int32_t *id)
{
    if (spm->lone_count == spm->lone_cap) {
        int32_t cap = spm->lone_cap ? 2 * spm->lone_cap : 64;
        uint32_t *grown = mem_realloc(MEM_TOKENIZER, spm->lone, (size_t)cap * sizeof *spm->lone);
        if (!grown)
            return E_NOMEM;
        spm->lone = grown;
        spm->lone_cap = cap;
    }
    *id = v->count + spm->lone_count;
    spm->lone[spm->lone_count++] = key;
    return OK;
}

static enum base_err add_char(struct tokenizer_spm *spm, const struct tokenizer_vocab *v,
                              const char *data, int len)
{
    enum base_err rc = grow(spm);
    if (rc)
        return rc;
    uint32_t key = key_of(data, len);
    struct tokenizer_char *slot = slot_of(spm, key);
    if (slot->key == key)
        return OK;
    int32_t id = tokenizer_vocab_find(v, data, (size_t)len);
    if (id < 0 || v->types[id] != TOKENIZER_NORMAL)
        rc = add_lone(spm, v, key, &id);
    if (rc)
        return rc;
    *slot = (struct tokenizer_char){ key, id };
    spm->char_count++;
    return OK;
}

/* Adds the characters of a token; sees whether it has a space behind something else. */
static enum base_err add_chars(struct tokenizer_spm *spm, const struct tokenizer_vocab *v,
                               struct tokenizer_text text)
{
    uint32_t before = SPACE;
    for (size_t at = 0; at < text.len;) {
        int len = utf8_char_len(text.data + at, text.len - at);
        uint32_t key = key_of(text.data + at, len);
        if (key == SPACE && before != SPACE)
            spm->words = false;
        enum base_err rc = add_char(spm, v, text.data + at, len);
        if (rc)
            return rc;
        before = key;
        at += (size_t)len;
    }
    return OK;
}

/* The symbol that a part of a token is: a character or a token, or -1. */
static int32_t symbol_of_part(const struct tokenizer_spm *spm, const struct tokenizer_vocab *v,
                              const char *data, size_t len)
{
    int first = utf8_char_len(data, len);
    if ((size_t)first == len)
        return symbol_of(spm, key_of(data, first));
    int32_t id = tokenizer_vocab_find(v, data, len);
    return id >= 0 && v->types[id] == TOKENIZER_NORMAL ? id : -1;
}

/* Lower is better, in the order of the scores. */
static uint32_t rank_of(float score)
{
    uint32_t bits;
    score += 0.0f; /* one zero for both */
    memcpy(&bits, &score, sizeof bits);
    return bits & 0x80000000u ? bits : 0x7fffffffu - bits;
}

/* The ways to make a token out of two; adds them if `m` is given. */
static uint64_t add_merges(struct tokenizer_merges *m, const struct tokenizer_spm *spm,
                           const struct tokenizer_vocab *v, int32_t id, float score)
{
    struct tokenizer_text text = tokenizer_vocab_text(v, id);
    uint64_t count = 0;
    size_t at = (size_t)utf8_char_len(text.data, text.len);
    while (at < text.len) {
        int32_t left = symbol_of_part(spm, v, text.data, at);
        int32_t right = left < 0 ? -1 : symbol_of_part(spm, v, text.data + at, text.len - at);
        if (right >= 0) {
            if (m)
                tokenizer_merges_add(m, tokenizer_pair(left, right), rank_of(score), id);
            count++;
        }
        at += (size_t)utf8_char_len(text.data + at, text.len - at);
    }
    return count;
}

static enum base_err check(const struct tokenizer_vocab *v, const struct tokenizer_source *source,
                           struct base_err_info *info)
{
    if (!source->scores)
        return base_err_set(info, E_CORRUPT, "vocabulary: no scores");
    for (int32_t id = 0; id < v->count; id++) {
        size_t len = tokenizer_vocab_text(v, id).len;
        if (isnan(source->scores[id]))
            return base_err_set(info, E_CORRUPT, "token %d: its score is no number", (int)id);
        if (v->types[id] == TOKENIZER_NORMAL && len > TOKEN_BYTES_MAX)
            return base_err_set(info, E_TOO_BIG, "token %d: %zu bytes, at most %d", (int)id, len,
                                TOKEN_BYTES_MAX);
    }
    return OK;
}

static enum base_err make_merges(struct tokenizer_merges *m, const struct tokenizer_spm *spm,
                                 const struct tokenizer_vocab *v, const float *scores,
                                 uint64_t seed, struct base_err_info *info)
{
    uint64_t count = 0;
    for (int32_t id = 0; id < v->count; id++)
        count += is_usable(v, id) ? add_merges(NULL, spm, v, id, scores[id]) : 0;
    if (count > TOKENIZER_MERGE_COUNT_MAX)
        return base_err_set(info, E_TOO_BIG, "vocabulary: more than %d merges",
                            TOKENIZER_MERGE_COUNT_MAX);
    enum base_err rc = tokenizer_merges_reserve(m, (int32_t)count, seed);
    if (rc)
        return base_err_set(info, rc, "merges: out of memory");
    for (int32_t id = 0; id < v->count; id++) {
        if (is_usable(v, id))
            add_merges(m, spm, v, id, scores[id]);
    }
    return OK;
}

enum base_err tokenizer_spm_init(struct tokenizer_spm *spm, struct tokenizer_merges *m,
                                 const struct tokenizer_vocab *v,
                                 const struct tokenizer_source *source, const int32_t byte_ids[256],
                                 uint64_t seed, struct base_err_info *info)
{
    *spm = (struct tokenizer_spm){ .seed = seed, .words = true, .byte_tokens = true };
    for (int byte = 0; byte < 256; byte++)
        spm->byte_tokens = spm->byte_tokens && byte_ids[byte] >= 0;
    enum base_err rc = check(v, source, info);
    if (rc)
        return rc;
    rc = grow(spm);
    for (int32_t id = 0; id < v->count && !rc; id++) {
        if (is_usable(v, id))
            rc = add_chars(spm, v, tokenizer_vocab_text(v, id));
    }
    if (rc)
        return base_err_set(info, rc, "vocabulary: out of memory");
    if (spm->char_count == 0 && !spm->byte_tokens)
        return base_err_set(info, E_CORRUPT, "vocabulary: no token stands for text");
    return make_merges(m, spm, v, source->scores, random_mix(seed), info);
}

void tokenizer_spm_fini(struct tokenizer_spm *spm)
{
    mem_free(spm->slots);
    mem_free(spm->lone);
    *spm = (struct tokenizer_spm){ 0 };
}

/* One text. */
struct spm_walk {
    const struct tokenizer *t;
    struct tokenizer_bpe_work *w;
    struct tokenizer_ids *ids;
    size_t count;      /* symbols in w->ids that are not merged yet */
    uint32_t before;   /* the last of their characters */
    size_t len;        /* bytes of their characters */
    bool unknown_last; /* the last id says "unknown": a run of such characters gives one */
};

/* A character without a token: its bytes, or unknown. */
static enum base_err put_lone(struct spm_walk *walk, uint32_t key)
{
    const struct tokenizer *t = walk->t;
    char bytes[4];
    int len = key_bytes(key, bytes);
    enum base_err rc = OK;
    if (t->spm.byte_tokens) {
        for (int i = 0; i < len && !rc; i++)
            rc = tokenizer_ids_push(walk->ids, t->byte_ids[(unsigned char)bytes[i]]);
    } else if (t->unknown_id >= 0 && !walk->unknown_last) {
        rc = tokenizer_ids_push(walk->ids, t->unknown_id);
        walk->unknown_last = true;
    }
    return rc;
}

/* Merges what there is and appends what it became. */
static enum base_err flush(struct spm_walk *walk)
{
    const struct tokenizer *t = walk->t;
    size_t left = walk->ids->count_max - walk->ids->count;
    /* As for BPE: no room even for longest tokens. Unknown characters share an id. */
    if ((t->spm.byte_tokens || t->spm.lone_count == 0) && walk->len / t->vocab.text_max > left)
        return E_TOO_BIG;
    size_t count = walk->count;
    enum base_err rc = tokenizer_bpe_merge(&t->merges, walk->w, walk->w->ids, &count);
    for (size_t i = 0; i < count && !rc; i++) {
        int32_t id = walk->w->ids[i];
        if (id >= t->vocab.count) {
            rc = put_lone(walk, t->spm.lone[id - t->vocab.count]);
            continue;
        }
        rc = tokenizer_ids_push(walk->ids, id);
        walk->unknown_last = false;
    }
    walk->count = 0;
    walk->len = 0;
    return rc;
}

static enum base_err put_char(struct spm_walk *walk, uint32_t key, size_t len)
{
    enum base_err rc = OK;
    int32_t id = symbol_of(&walk->t->spm, key);
    bool word = key == SPACE && walk->before != SPACE && walk->t->spm.words;
    if (walk->count > 0 && (id < 0 || word))
        rc = flush(walk);
    if (!rc && id < 0)
        rc = put_lone(walk, key);
    if (rc || id < 0)
        return rc;
    if (walk->count == walk->w->ids_cap) {
        rc = tokenizer_bpe_work_ids(walk->w, walk->count ? 2 * walk->count : 64);
        if (rc)
            return rc;
    }
    walk->w->ids[walk->count++] = id;
    walk->len += len;
    walk->before = key;
    return OK;
}

enum base_err tokenizer_spm_encode(const struct tokenizer *t, struct tokenizer_text text,
                                   struct tokenizer_bpe_work *w, struct tokenizer_ids *ids)
{
    struct spm_walk walk = { .t = t, .w = w, .ids = ids };
    enum base_err rc = t->add_space_prefix ? put_char(&walk, SPACE, 3) : OK;
    for (size_t at = 0; at < text.len && !rc;) {
        int len = utf8_char_len(text.data + at, text.len - at);
        if (len == 0) {
            at += (size_t)utf8_bad_len(text.data + at, text.len - at);
            rc = put_char(&walk, FFFD, 3);
            continue;
        }
        bool space = text.data[at] == ' ';
        rc = put_char(&walk, space ? SPACE : key_of(text.data + at, len), space ? 3 : (size_t)len);
        at += (size_t)len;
    }
    return rc ? rc : flush(&walk);
}
