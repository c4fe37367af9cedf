/*
 * Normalising with utf8proc, but in stretches: a text is cut before every character that is
 * settled, which is to say it stays what it is and never joins the one before. A stretch is
 * a settled character with the others behind it; one without others is copied.
 *
 * Marks are put in order here, not by utf8proc, which takes quadratic time for long runs.
 */
#include "tokenizer/nfc.h"

#include <string.h>
#include <utf8proc.h>

#include "base/assert.h"
#include "base/text.h"

enum {
    POINTS_PER_CHAR_MAX = 4, /* of one character's canonical decomposition */
    CLASS_COUNT = 256,
    RUN_SHORT = 16
};

/* Ranges of settled characters: Latin, Cyrillic, general punctuation, CJK with kana, Hangul
 * and full-width forms, symbols. Not all there are, but those that texts are made of; and U+11A7,
 * which utf8proc 2.8 loses behind a Hangul syllable. */
static const struct {
    int32_t first;
    int32_t last;
} settled[] = {
    { 0x0000, 0x02ff }, { 0x0400, 0x0482 },   { 0x048a, 0x052f }, { 0x11a7, 0x11a7 },
    { 0x2010, 0x2027 }, { 0x3000, 0x3029 },   { 0x3041, 0x3098 }, { 0x309b, 0x30ff },
    { 0x3400, 0x4dbf }, { 0x4e00, 0x9fff },   { 0xac00, 0xd7a3 }, { 0xff00, 0xffef },
    { 0xfffd, 0xfffd }, { 0x1f000, 0x1faff },
};

static bool is_settled(int32_t c)
{
    for (size_t i = 0; i < sizeof settled / sizeof settled[0]; i++) {
        if (c <= settled[i].last)
            return c >= settled[i].first;
    }
    return false;
}

/* The character at `at`, which is well-formed; moves `at` behind it. */
static int32_t next_char(struct tokenizer_text text, size_t *at)
{
    int32_t c;
    utf8proc_ssize_t len = utf8proc_iterate((const utf8proc_uint8_t *)text.data + *at,
                                            (utf8proc_ssize_t)(text.len - *at), &c);
    ASSERT(len > 0);
    *at += (size_t)len;
    return c;
}

/*
 * The first unsettled character at or behind `from`, or `text.len`; `start`: the settled one
 * before it, or itself where there is none.
 */
static size_t find_unsettled(struct tokenizer_text text, size_t from, size_t *start)
{
    size_t at = from;
    *start = from;
    while (at < text.len) {
        size_t before = at;
        unsigned char byte = (unsigned char)text.data[at];
        if (byte < 0xcc) /* below U+0300 */
            at += byte < 0x80 ? 1 : 2;
        else if (!is_settled(next_char(text, &at)))
            return before;
        *start = before;
    }
    *start = text.len;
    return text.len;
}

/* The first settled character behind the unsettled one at `at`, or `text.len`. */
static size_t find_settled(struct tokenizer_text text, size_t at)
{
    while (at < text.len) {
        size_t before = at;
        if (is_settled(next_char(text, &at)))
            return before;
    }
    return text.len;
}

size_t tokenizer_nfc_first(struct tokenizer_text text)
{
    size_t start;
    find_unsettled(text, 0, &start);
    return start;
}

void tokenizer_nfc_work_fini(struct tokenizer_nfc_work *w)
{
    mem_free(w->points);
    mem_free(w->spare);
    *w = (struct tokenizer_nfc_work){ 0 };
}

static enum base_err reserve(struct tokenizer_nfc_work *w, size_t count)
{
    if (count <= w->cap)
        return OK;
    size_t cap = count < 64 ? 64 : 2 * count;
    size_t bytes;
    if (__builtin_mul_overflow(cap, sizeof *w->points, &bytes))
        return E_NOMEM;
    int32_t *points = mem_realloc(MEM_TOKENIZER, w->points, bytes);
    if (points)
        w->points = points;
    int32_t *spare = mem_realloc(MEM_TOKENIZER, w->spare, bytes);
    if (spare)
        w->spare = spare;
    if (!points || !spare)
        return E_NOMEM;
    w->cap = cap;
    return OK;
}

static int class_of(int32_t c)
{
    return utf8proc_get_property(c)->combining_class;
}

/* Orders marks by class, equal ones as they came: by insertion. */
static void order_short(int32_t *marks, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        int32_t mark = marks[i];
        size_t at = i;
        for (; at > 0 && class_of(marks[at - 1]) > class_of(mark); at--)
            marks[at] = marks[at - 1];
        marks[at] = mark;
    }
}

/* The same by counting. */
static void order_long(int32_t *marks, size_t count, int32_t *spare)
{
    size_t first[CLASS_COUNT + 1] = { 0 };
    for (size_t i = 0; i < count; i++)
        first[class_of(marks[i]) + 1]++;
    for (int class = 0; class < CLASS_COUNT; class ++)
        first[class + 1] += first[class];
    memcpy(spare, marks, count * sizeof *marks);
    for (size_t i = 0; i < count; i++)
        marks[first[class_of(spare[i])]++] = spare[i];
}

static void order_marks(struct tokenizer_nfc_work *w, size_t count)
{
    size_t at = 0;
    while (at < count) {
        size_t run = at;
        while (run < count && class_of(w->points[run]) != 0)
            run++;
        if (run - at > RUN_SHORT)
            order_long(w->points + at, run - at, w->spare);
        else if (run - at > 1)
            order_short(w->points + at, run - at);
        at = run + 1;
    }
}

static enum base_err decompose(struct tokenizer_text text, struct tokenizer_nfc_work *w,
                               size_t *count)
{
    *count = 0;
    for (size_t at = 0; at < text.len;) {
        enum base_err rc = reserve(w, *count + POINTS_PER_CHAR_MAX);
        if (rc)
            return rc;
        int32_t c = next_char(text, &at);
        int boundary = 0;
        utf8proc_ssize_t n = utf8proc_decompose_char(c, w->points + *count, POINTS_PER_CHAR_MAX,
                                                     UTF8PROC_DECOMPOSE, &boundary);
        ASSERT(n > 0 && n <= POINTS_PER_CHAR_MAX);
        *count += (size_t)n;
    }
    return OK;
}

static enum base_err append_stretch(struct base_buf *out, struct tokenizer_text text,
                                    struct tokenizer_nfc_work *w)
{
    size_t count;
    enum base_err rc = decompose(text, w, &count);
    if (rc)
        return rc;
    order_marks(w, count);
    utf8proc_ssize_t n = utf8proc_normalize_utf32(w->points, (utf8proc_ssize_t)count,
                                                  UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    ASSERT(n > 0 && (size_t)n <= count);
    rc = buf_reserve(out, 4 * (size_t)n);
    for (utf8proc_ssize_t i = 0; i < n && !rc; i++)
        out->len +=
            (size_t)utf8proc_encode_char(w->points[i], (utf8proc_uint8_t *)out->data + out->len);
    return rc;
}

enum base_err tokenizer_nfc_append(struct base_buf *out, struct tokenizer_text text,
                                   struct tokenizer_nfc_work *w)
{
    size_t copied = 0;
    for (;;) {
        size_t start;
        size_t end = find_settled(text, find_unsettled(text, copied, &start));
        enum base_err rc = buf_append(out, text.data + copied, start - copied);
        if (!rc && start < end)
            rc = append_stretch(out, (struct tokenizer_text){ text.data + start, end - start }, w);
        if (rc || end == text.len)
            return rc;
        copied = end;
    }
}
