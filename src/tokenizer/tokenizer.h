#ifndef TOKENIZER_TOKENIZER_H
#define TOKENIZER_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Text to token ids and back, for byte-level BPE and for SentencePiece vocabularies.
 * A tokenizer is immutable once made: any thread, at the same time.
 */

enum tokenizer_kind {
    TOKENIZER_BPE, /* tokenizer.ggml.model "gpt2": byte-level BPE */
    TOKENIZER_SPM  /* tokenizer.ggml.model "llama": SentencePiece BPE, merged by score */
};

/* The numbers of tokenizer.ggml.token_type in GGUF files. */
enum tokenizer_type {
    TOKENIZER_NORMAL = 1,
    TOKENIZER_UNKNOWN = 2,      /* as control; SPM also gives it for what has no token */
    TOKENIZER_CONTROL = 3,      /* special: invisible, only from trusted text */
    TOKENIZER_USER_DEFINED = 4, /* added: visible, matched as a whole in any text */
    TOKENIZER_UNUSED = 5,
    TOKENIZER_BYTE = 6 /* SPM: "<0x0A>" is that byte */
};

struct tokenizer_text {
    const char *data; /* not terminated */
    size_t len;
};

/*
 * What a model file says. Borrowed for the call. `pre` and `merges` are for BPE, `scores`,
 * `unknown_id` and `add_space_prefix` for SPM; the other kind ignores them.
 */
struct tokenizer_source {
    enum tokenizer_kind kind;
    struct tokenizer_text pre;           /* name of the pre-tokenizer family, "smollm" */
    const struct tokenizer_text *tokens; /* [token_count], as the file writes them */
    const int32_t *types;                /* [token_count] enum tokenizer_type, NULL: all normal */
    int32_t token_count;
    const struct tokenizer_text *merges; /* [merge_count], "left right", best first */
    int32_t merge_count;
    int32_t bos_id; /* -1: none */
    int32_t eos_id;
    bool add_bos;
    bool add_eos;
    bool add_space_prefix; /* a space before text at the start and behind special tokens */
    int32_t unknown_id;    /* -1: none */
    const float *scores;   /* [token_count], higher is merged first */
};

struct tokenizer;

/*
 * E_UNSUPPORTED: unknown kind or pre-tokenizer family. E_CORRUPT: a merge that names no
 * token, an id or type out of range, two tokens with one text, BPE without a token for any
 * byte, SPM without scores or without a token for any character. E_TOO_BIG: more than 2^24
 * tokens or merges, special or SPM tokens of more than 1,024 bytes. E_NOMEM. Gives: tokenizer_destroy.
 */
enum base_err tokenizer_create(const struct tokenizer_source *source, struct tokenizer **out,
                               struct base_err_info *info);
void tokenizer_destroy(struct tokenizer *t);

int32_t tokenizer_count(const struct tokenizer *t); /* ids are 0..count-1 */
int32_t tokenizer_bos(const struct tokenizer *t);   /* -1: none */
int32_t tokenizer_eos(const struct tokenizer *t);
bool tokenizer_adds_bos(const struct tokenizer *t);
bool tokenizer_adds_eos(const struct tokenizer *t);

/*
 * Whether a file of this kind and family that does not say `add_bos` means true: Llama 3,
 * Tekken and all of SPM. For whoever reads the file.
 */
bool tokenizer_add_bos_default(enum tokenizer_kind kind, struct tokenizer_text pre);

/* The id of the token with exactly this text as it stands in the file, or -1. */
int32_t tokenizer_find(const struct tokenizer *t, const char *text, size_t len);

enum tokenizer_type tokenizer_type(const struct tokenizer *t, int32_t id);

/*
 * The raw bytes a token stands for (byte-level alphabet undone, U+2581 as a space; not
 * always whole UTF-8). Borrowed from the tokenizer. ASSERTs 0 <= id < count.
 */
struct tokenizer_text tokenizer_bytes(const struct tokenizer *t, int32_t id);

/* A part of a text. Control tokens are recognised in trusted parts only. */
struct tokenizer_span {
    const char *data;
    size_t len;
    bool trusted; /* written by the template, not by a user */
};

/* Token ids; grows up to a maximum. */
struct tokenizer_ids {
    int32_t *ids;
    size_t count;
    size_t cap;
    size_t count_max; /* beyond: E_TOO_BIG */
};

void tokenizer_ids_init(struct tokenizer_ids *ids, size_t count_max);
void tokenizer_ids_fini(struct tokenizer_ids *ids);

/*
 * Appends the ids of the spans, read as one text: control tokens only where their whole
 * text lies in one trusted span, everything else is split and merged across span borders.
 * Ill-formed UTF-8 counts as U+FFFD (one for each maximal subpart). What no token stands
 * for is left out, or unknown where the vocabulary has a token for that. No BOS is added.
 * E_TOO_BIG: more ids than count_max, or a limit of the splitter. E_NOMEM. On an error
 * `ids` is as it was.
 * Cost: O(bytes * log(longest piece)).
 */
enum base_err tokenizer_encode(const struct tokenizer *t, const struct tokenizer_span *spans,
                               size_t span_count, struct tokenizer_ids *ids);

/*
 * The same, with BOS before and EOS behind if the file asks for them; what the text has
 * there by itself is not doubled.
 */
enum base_err tokenizer_encode_marked(const struct tokenizer *t, const struct tokenizer_span *spans,
                                      size_t span_count, struct tokenizer_ids *ids);

/*
 * Ids back to text as they come. Whole UTF-8 characters only: what could still become one
 * is held back. Control and unknown tokens give no text unless `show_control`.
 *
 * Where the vocabulary puts a space before text, the space that the first visible token
 * begins with is taken away again: one space, from that token only, so the pieces of a
 * stream and the text of all its ids are the same. Set `at_start` to false after init to go
 * on behind ids that were decoded before.
 */
struct tokenizer_decoder {
    const struct tokenizer *tokenizer;
    bool show_control;
    bool at_start;
    uint8_t held_len;
    char held[4];
};

void tokenizer_decoder_init(struct tokenizer_decoder *d, const struct tokenizer *t,
                            bool show_control);

/* The longest text one token can release, held bytes included; sizes `out` below. */
size_t tokenizer_piece_bytes_max(const struct tokenizer *t);

/* Text released by the next token; returns its length. Ill-formed bytes become U+FFFD. */
size_t tokenizer_decode(struct tokenizer_decoder *d, int32_t id, char *out);

/* What is still held, as U+FFFD, at the end of a text; returns its length (at most 12). */
size_t tokenizer_decode_end(struct tokenizer_decoder *d, char *out);

#endif
