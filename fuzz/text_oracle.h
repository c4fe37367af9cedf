#ifndef FUZZ_TEXT_ORACLE_H
#define FUZZ_TEXT_ORACLE_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/text.h"
#include "tokenizer/tokenizer.h"

/* What a text is once it went through a tokenizer and back, and what its ids decode to, worked
 * out in a plainer way. */

static inline void oracle_put(struct base_buf *out, const void *data, size_t len)
{
    enum base_err rc = buf_append(out, data, len);
    ASSERT(rc == OK);
}

/* The text with U+FFFD for each maximal subpart that is ill-formed. */
static inline void oracle_repair(const char *text, size_t len, struct base_buf *out)
{
    buf_clear(out);
    for (size_t at = 0; at < len;) {
        int n = utf8_char_len(text + at, len - at);
        if (n)
            oracle_put(out, text + at, (size_t)n);
        else
            oracle_put(out, "\xef\xbf\xbd", 3);
        at += (size_t)(n ? n : utf8_bad_len(text + at, len - at));
    }
}

/* Form C, in place. The text is well-formed and has no U+11A7, which utf8proc 2.8 loses. */
static inline void oracle_normalise(struct base_buf *text)
{
    utf8proc_uint8_t *mapped;
    if (!text->len)
        return;
    utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)text->data, (utf8proc_ssize_t)text->len, &mapped,
                     UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    ASSERT(n >= 0);
    buf_clear(text);
    oracle_put(text, mapped, (size_t)n);
    free(mapped);
}

static inline bool oracle_has(const char *text, size_t len, const char *part)
{
    return len && memmem(text, len, part, strlen(part));
}

/* The text of the ids, piece by piece as a stream gives it; each piece is well-formed. */
static inline void oracle_stream(const struct tokenizer *t, const struct tokenizer_ids *ids,
                                 bool show_control, struct base_buf *out)
{
    struct tokenizer_decoder d;
    size_t max = tokenizer_piece_bytes_max(t);
    char *piece = mem_alloc(MEM_BASE, max); /* exact, so that one byte too many is seen */
    char end[12];
    ASSERT(piece);
    buf_clear(out);
    tokenizer_decoder_init(&d, t, show_control);
    for (size_t i = 0; i < ids->count; i++) {
        size_t n = tokenizer_decode(&d, ids->ids[i], piece);
        ASSERT(n <= max && utf8_is_valid(piece, n));
        oracle_put(out, piece, n);
    }
    oracle_put(out, end, tokenizer_decode_end(&d, end));
    mem_free(piece);
}

static inline void oracle_same(const struct base_buf *got, const struct base_buf *want)
{
    ASSERT(got->len == want->len);
    ASSERT(!want->len || memcmp(got->data, want->data, want->len) == 0);
}

#endif
