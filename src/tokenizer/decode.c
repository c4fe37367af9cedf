#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "tokenizer/tokenizer_int.h"

enum {
    HELD_MAX = 3, /* bytes of a character that is not whole yet */
    FFFD_BYTES = 3
};

void tokenizer_decoder_init(struct tokenizer_decoder *d, const struct tokenizer *t,
                            bool show_control)
{
    *d = (struct tokenizer_decoder){ .tokenizer = t,
                                     .show_control = show_control,
                                     .at_start = true };
}

size_t tokenizer_piece_bytes_max(const struct tokenizer *t)
{
    return (t->vocab.bytes_max + HELD_MAX) * FFFD_BYTES;
}

static size_t put_fffd(char *out)
{
    memcpy(out, "\xef\xbf\xbd", FFFD_BYTES);
    return FFFD_BYTES;
}

/* Releases what can be known of the held bytes; what could still become a character stays. */
static size_t release(struct tokenizer_decoder *d, char *out)
{
    size_t n = 0;
    while (d->held_len > 0 && !utf8_is_cut(d->held, d->held_len)) {
        int whole = utf8_char_len(d->held, d->held_len);
        int used = whole ? whole : utf8_bad_len(d->held, d->held_len);
        if (whole) {
            memcpy(out + n, d->held, (size_t)whole);
            n += (size_t)whole;
        } else {
            n += put_fffd(out + n);
        }
        d->held_len = (uint8_t)(d->held_len - used);
        memmove(d->held, d->held + used, d->held_len);
    }
    return n;
}

size_t tokenizer_decode(struct tokenizer_decoder *d, int32_t id, char *out)
{
    const struct tokenizer *t = d->tokenizer;
    struct tokenizer_text bytes = tokenizer_bytes(t, id);
    bool reserved = tokenizer_vocab_is_reserved(&t->vocab, id);
    if (bytes.len == 0 || (reserved && !d->show_control))
        return 0;
    if (d->at_start && t->add_space_prefix && !reserved && bytes.data[0] == ' ' &&
        t->vocab.types[id] != TOKENIZER_BYTE) {
        bytes.data++;
        bytes.len--;
    }
    d->at_start = false;
    size_t n = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        DCHECK(d->held_len <= HELD_MAX);
        d->held[d->held_len++] = bytes.data[i];
        n += release(d, out + n);
    }
    return n;
}

size_t tokenizer_decode_end(struct tokenizer_decoder *d, char *out)
{
    /* What is held is the beginning of one character: one maximal subpart. */
    size_t n = d->held_len > 0 ? put_fffd(out) : 0;
    d->held_len = 0;
    return n;
}
