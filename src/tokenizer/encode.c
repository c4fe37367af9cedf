/*
 * Text to ids: the spans become one text; special tokens are cut out of it; what lies
 * between is made well-formed, normalised if the family wants that, split into pieces and
 * merged piece by piece. SentencePiece goes its own way from the special tokens on (spm.c).
 */
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "tokenizer/tokenizer_int.h"

/* One call. Nothing of it is shared. */
struct encoding {
    const struct tokenizer *t;
    struct tokenizer_ids *ids;
    struct tokenizer_text text; /* all spans; in `joined` or in the only span */
    char *joined;
    struct base_buf clean;  /* text between special tokens, if it had to be repaired */
    struct base_buf normal; /* the same, if it had to be normalised */
    struct tokenizer_nfc_work nfc;
    struct tokenizer_split split;
    struct tokenizer_bpe_work bpe;
};

static enum base_err join_spans(struct encoding *e, const struct tokenizer_span *spans,
                                size_t span_count)
{
    size_t len = 0;
    for (size_t i = 0; i < span_count; i++) {
        if (spans[i].len > PTRDIFF_MAX - len)
            return E_TOO_BIG;
        len += spans[i].len;
    }
    e->text.len = len;
    if (span_count == 1)
        e->text.data = spans[0].data;
    if (span_count <= 1 || len == 0)
        return OK;
    char *to = mem_alloc(MEM_TOKENIZER, len);
    if (!to)
        return E_NOMEM;
    e->joined = to;
    e->text.data = to;
    for (size_t i = 0; i < span_count; i++) {
        if (spans[i].len)
            memcpy(to, spans[i].data, spans[i].len);
        to += spans[i].len;
    }
    return OK;
}

/* Copies `text` to `clean` with U+FFFD for each ill-formed sequence. */
static enum base_err repair(struct base_buf *clean, struct tokenizer_text text)
{
    enum base_err rc = OK;
    size_t at = 0;
    size_t good = 0; /* bytes before `at` that are well-formed and not copied yet */
    buf_clear(clean);
    while (at < text.len && !rc) {
        int n = utf8_char_len(text.data + at, text.len - at);
        at += (size_t)n;
        good += (size_t)n;
        if (n > 0)
            continue;
        rc = buf_append(clean, text.data + at - good, good);
        if (!rc)
            rc = buf_append(clean, "\xef\xbf\xbd", 3);
        at += (size_t)utf8_bad_len(text.data + at, text.len - at);
        good = 0;
    }
    return rc ? rc : buf_append(clean, text.data + at - good, good);
}

static enum base_err normalise(struct encoding *e, struct tokenizer_text *text)
{
    if (tokenizer_nfc_first(*text) == text->len)
        return OK;
    buf_clear(&e->normal);
    enum base_err rc = tokenizer_nfc_append(&e->normal, *text, &e->nfc);
    *text = (struct tokenizer_text){ e->normal.data, e->normal.len };
    return rc;
}

static enum base_err encode_pieces(struct encoding *e, struct tokenizer_text text)
{
    tokenizer_split_start(&e->split, text);
    for (;;) {
        struct tokenizer_text piece;
        enum base_err rc = tokenizer_split_next(&e->split, &piece);
        if (rc || piece.len == 0)
            return rc;
        rc = tokenizer_bpe_encode(e->t, piece, &e->bpe, e->ids);
        if (rc)
            return rc;
    }
}

/* The text between two special tokens. */
static enum base_err encode_plain(struct encoding *e, struct tokenizer_text text)
{
    if (text.len == 0)
        return OK;
    if (e->t->kind == TOKENIZER_SPM)
        return tokenizer_spm_encode(e->t, text, &e->bpe, e->ids);
    enum base_err rc = OK;
    if (!utf8_is_valid(text.data, text.len)) {
        rc = repair(&e->clean, text);
        text = (struct tokenizer_text){ e->clean.data, e->clean.len };
    }
    if (!rc && e->t->nfc)
        rc = normalise(e, &text);
    return rc ? rc : encode_pieces(e, text);
}

static enum base_err encode_text(struct encoding *e, const struct tokenizer_span *spans)
{
    const char *data = e->text.data;
    size_t len = e->text.len;
    size_t at = 0;
    size_t plain = 0; /* where the text since the last special token begins */
    size_t span = 0;  /* the one that holds `at` */
    size_t span_end = spans[0].len;
    while (at < len) {
        while (at >= span_end)
            span_end += spans[++span].len;
        size_t control_len = spans[span].trusted ? span_end - at : 0;
        const struct tokenizer_special *special =
            tokenizer_specials_match(&e->t->specials, data + at, len - at, control_len);
        if (!special) {
            at++;
            continue;
        }
        enum base_err rc = encode_plain(e, (struct tokenizer_text){ data + plain, at - plain });
        if (!rc)
            rc = tokenizer_ids_push(e->ids, special->id);
        if (rc)
            return rc;
        at += special->len;
        plain = at;
    }
    return encode_plain(e, (struct tokenizer_text){ data + plain, len - plain });
}

enum base_err tokenizer_encode(const struct tokenizer *t, const struct tokenizer_span *spans,
                               size_t span_count, struct tokenizer_ids *ids)
{
    size_t count_before = ids->count;
    struct encoding e = { .t = t, .ids = ids };
    buf_init(&e.clean, MEM_TOKENIZER, PTRDIFF_MAX);
    buf_init(&e.normal, MEM_TOKENIZER, PTRDIFF_MAX);
    enum base_err rc = join_spans(&e, spans, span_count);
    if (!rc && e.text.len > 0) {
        if (t->kind == TOKENIZER_BPE)
            rc = tokenizer_split_init(&e.split, &t->splitter);
        if (!rc)
            rc = encode_text(&e, spans);
        tokenizer_split_fini(&e.split);
    }
    if (rc)
        ids->count = count_before;
    tokenizer_bpe_work_fini(&e.bpe);
    tokenizer_nfc_work_fini(&e.nfc);
    buf_fini(&e.normal);
    buf_fini(&e.clean);
    mem_free(e.joined);
    return rc;
}

enum base_err tokenizer_encode_marked(const struct tokenizer *t, const struct tokenizer_span *spans,
                                      size_t span_count, struct tokenizer_ids *ids)
{
    size_t before = ids->count;
    bool bos = t->add_bos && t->bos_id >= 0;
    enum base_err rc = bos ? tokenizer_ids_push(ids, t->bos_id) : OK;
    if (!rc)
        rc = tokenizer_encode(t, spans, span_count, ids);
    if (!rc && bos && ids->count > before + 1 && ids->ids[before + 1] == t->bos_id) {
        ids->count--;
        memmove(ids->ids + before, ids->ids + before + 1, (ids->count - before) * sizeof *ids->ids);
    }
    bool eos = t->add_eos && t->eos_id >= 0;
    if (!rc && eos && (ids->count == before || ids->ids[ids->count - 1] != t->eos_id))
        rc = tokenizer_ids_push(ids, t->eos_id);
    if (rc)
        ids->count = before;
    return rc;
}
