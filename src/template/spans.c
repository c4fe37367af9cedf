/*
 * What a body writes is kept as pieces of strings; at its end they become one string (a macro,
 * a captured block) or the spans of the text.
 */
#include <string.h>

#include "template/run.h"
#include "template/text.h"

enum {
    PIECES_MIN = 16,
    CHUNK_BYTES = 4096 /* what an arena may take beyond a request */
};

static bool sink_grow(struct run *r, struct sink *sink)
{
    size_t room = sink->room < PIECES_MIN ? PIECES_MIN : sink->room * 2;
    struct sink_piece *pieces = run_alloc(r, room, sizeof *pieces);
    if (!pieces)
        return false;
    if (sink->count > 0)
        memcpy(pieces, sink->pieces, sink->count * sizeof *pieces);
    sink->pieces = pieces;
    sink->room = room;
    return true;
}

bool sink_put(struct run *r, struct sink *sink, const struct jinja_string *s)
{
    if (s->len == 0)
        return true;
    if (s->len > r->limits->output_bytes_max - sink->len)
        return run_fail(r, E_TOO_BIG, "the text is longer than %zu bytes",
                        r->limits->output_bytes_max);
    if (!run_charge_bytes(r, s->len) || (sink->count == sink->room && !sink_grow(r, sink)))
        return false;
    sink->pieces[sink->count++] = (struct sink_piece){ s->data, s->marks, s->len, s->trusted };
    sink->len += s->len;
    return true;
}

bool sink_string(struct run *r, const struct sink *sink, struct jinja_value *out)
{
    struct text_builder b = { .r = r };
    for (size_t i = 0; i < sink->count; i++) {
        const struct sink_piece *p = &sink->pieces[i];
        if (!text_put_marked(&b, p->data, p->marks, p->len, p->trusted))
            return false;
    }
    return text_finish(&b, out);
}

/* ---- Spans ---- */

/* The bytes from `from` on that have one mark. */
static size_t run_length(const struct sink_piece *p, size_t from, bool *trusted)
{
    if (!p->marks) {
        *trusted = p->trusted;
        return p->len - from;
    }
    size_t end = from + 1;
    while (end < p->len && p->marks[end] == p->marks[from])
        end++;
    *trusted = p->marks[from];
    return end - from;
}

/* Walks the runs of one mark; with `spans` NULL only counts them. */
static size_t cut(const struct sink *sink, char *text, struct template_span *spans)
{
    size_t count = 0;
    bool last = false;
    for (size_t i = 0; i < sink->count; i++) {
        const struct sink_piece *p = &sink->pieces[i];
        for (size_t at = 0; at < p->len;) {
            bool trusted;
            size_t n = run_length(p, at, &trusted);
            if (count == 0 || trusted != last) {
                if (spans)
                    spans[count] = (struct template_span){ text, 0, trusted };
                count++;
                last = trusted;
            }
            if (spans) {
                memcpy(text, p->data + at, n);
                text += n;
                spans[count - 1].len += n;
            }
            at += n;
        }
    }
    return count;
}

bool sink_spans(struct run *r, const struct sink *sink, struct arena *arena,
                struct template_span **spans, size_t *count)
{
    size_t n = cut(sink, NULL, NULL);
    if (n == 0)
        return true;
    struct template_span *all = arena_calloc(arena, n, sizeof *all);
    char *text = arena_alloc(arena, sink->len);
    if (!all || !text) {
        size_t left = arena->bytes_max - arena->bytes;
        bool full = n * sizeof *all + sink->len + CHUNK_BYTES > left;
        return run_fail(r, full ? E_TOO_BIG : E_NOMEM, "no room for the text");
    }
    cut(sink, text, all);
    *spans = all;
    *count = n;
    return true;
}
