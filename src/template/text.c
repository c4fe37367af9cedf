/*
 * Characters, and strings whose bytes know who wrote them.
 */
#include "template/text.h"

#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "template/run.h"

enum {
    BUILDER_BYTES_MIN = 64,
    ROOM_BYTES_MIN = 64
};

size_t text_char_len(const char *s, size_t len)
{
    if ((unsigned char)s[0] < 0x80)
        return 1;
    int n = utf8_char_len(s, len);
    return n > 0 ? (size_t)n : 1;
}

uint32_t text_decode(const char *s, size_t len, size_t *char_len)
{
    const unsigned char *u = (const unsigned char *)s;
    size_t n = text_char_len(s, len);
    *char_len = n;
    switch (n) {
    case 2:
        return (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
    case 3:
        return (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
    case 4:
        return (u[0] & 0x07u) << 18 | (u[1] & 0x3fu) << 12 | (u[2] & 0x3fu) << 6 | (u[3] & 0x3fu);
    default:
        return u[0] < 0x80 ? u[0] : 0xdc00u + u[0];
    }
}

size_t text_encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

int64_t text_char_count(const char *s, size_t len)
{
    int64_t count = 0;
    for (size_t i = 0; i < len; i += text_char_len(s + i, len - i))
        count++;
    return count;
}

size_t text_find(const struct jinja_string *s, const struct jinja_string *needle, size_t from)
{
    if (from > s->len)
        return SIZE_MAX;
    if (needle->len == 0)
        return from;
    const char *p = memmem(s->data + from, s->len - from, needle->data, needle->len);
    return p ? (size_t)(p - s->data) : SIZE_MAX;
}

bool text_find_last(struct run *r, const struct jinja_string *s, const struct jinja_string *needle,
                    size_t end, size_t *at)
{
    *at = SIZE_MAX;
    if (needle->len > end)
        return true;
    for (size_t i = end - needle->len + 1; i > 0; i--) {
        if (needle->len == 0 || (s->data[i - 1] == needle->data[0] &&
                                 memcmp(s->data + i - 1, needle->data, needle->len) == 0)) {
            *at = i - 1;
            return true;
        }
        if ((i & 63) == 0 && !run_charge(r, 1 + needle->len))
            return false;
    }
    return true;
}

bool text_equal(const struct jinja_string *a, const struct jinja_string *b)
{
    return a->len == b->len && (a->data == b->data || memcmp(a->data, b->data, a->len) == 0);
}

int text_compare(const struct jinja_string *a, const struct jinja_string *b)
{
    size_t n = a->len < b->len ? a->len : b->len;
    int order = n > 0 ? memcmp(a->data, b->data, n) : 0;
    if (order != 0)
        return order < 0 ? -1 : 1;
    return a->len == b->len ? 0 : a->len < b->len ? -1 : 1;
}

bool text_is(const struct jinja_string *s, const char *text)
{
    return s->len == strlen(text) && memcmp(s->data, text, s->len) == 0;
}

static struct jinja_string *new_string(struct run *r, const char *data, size_t len)
{
    struct jinja_string *s = run_alloc(r, 1, sizeof *s);
    if (s)
        *s = (struct jinja_string){ .data = data ? data : "", .len = len, .trusted = true };
    return s;
}

bool text_part(struct run *r, const struct jinja_string *s, size_t from, size_t len,
               struct jinja_value *out)
{
    DCHECK(from <= s->len && len <= s->len - from);
    if (len == s->len) {
        *out = value_string(s);
        return true;
    }
    struct jinja_string *part = new_string(r, s->data + from, len);
    if (!part)
        return false;
    part->marks = s->marks ? s->marks + from : NULL;
    part->trusted = s->trusted;
    *out = value_string(part);
    return true;
}

bool text_constant(struct run *r, const char *text, struct jinja_value *out)
{
    struct jinja_string *s = new_string(r, text, strlen(text));
    if (!s)
        return false;
    *out = value_string(s);
    return true;
}

/* ---- a + b ---- */

static void fill_marks(uint8_t *marks, const struct jinja_string *s)
{
    if (s->marks)
        memcpy(marks, s->marks, s->len);
    else
        memset(marks, s->trusted, s->len);
}

static struct string_room *new_room(struct run *r, const struct jinja_string *s, size_t cap)
{
    struct string_room *room = run_alloc(r, 1, sizeof *room);
    char *data = run_alloc(r, cap, 1);
    uint8_t *marks = run_alloc(r, cap, 1);
    if (!room || !data || !marks)
        return NULL;
    *room = (struct string_room){ .data = data, .marks = marks, .used = s->len, .cap = cap };
    memcpy(data, s->data, s->len);
    fill_marks(marks, s);
    return room;
}

/* The room to write b into, right behind a. */
static struct string_room *room_behind(struct run *r, const struct jinja_string *a, size_t b_len)
{
    struct string_room *room = a->room;
    if (room && a->data + a->len == room->data + room->used && b_len <= room->cap - room->used)
        return room;
    size_t len = a->len + b_len;
    return new_room(r, a, len + len / 2 + ROOM_BYTES_MIN);
}

bool text_concat(struct run *r, const struct jinja_string *a, const struct jinja_string *b,
                 const struct jinja_string **out)
{
    if (a->len == 0 || b->len == 0) {
        *out = a->len == 0 ? b : a;
        return true;
    }
    struct string_room *room =
        run_charge_bytes(r, a->len + b->len) ? room_behind(r, a, b->len) : NULL;
    struct jinja_string *s = room ? new_string(r, NULL, a->len + b->len) : NULL;
    if (!s)
        return false;
    memcpy(room->data + room->used, b->data, b->len);
    fill_marks(room->marks + room->used, b);
    room->used += b->len;
    s->data = room->data + room->used - s->len;
    s->room = room;
    s->trusted = a->trusted;
    if (a->marks || b->marks || a->trusted != b->trusted)
        s->marks = room->marks + room->used - s->len;
    *out = s;
    return true;
}

/* ---- Builder ---- */

static bool builder_reserve(struct text_builder *b, size_t more)
{
    if (more <= b->cap - b->len)
        return true;
    size_t cap = b->cap < BUILDER_BYTES_MIN ? BUILDER_BYTES_MIN : b->cap;
    while (cap - b->len < more) {
        if (cap > b->r->limits->memory_bytes_max)
            return run_fail(b->r, E_TOO_BIG, "a string is too long");
        cap *= 2;
    }
    char *data = run_alloc(b->r, cap, 1);
    uint8_t *marks = b->marks ? run_alloc(b->r, cap, 1) : NULL;
    if (!data || (b->marks && !marks))
        return false;
    if (b->len > 0)
        memcpy(data, b->data, b->len);
    if (b->marks)
        memcpy(marks, b->marks, b->len);
    b->data = data;
    b->marks = marks;
    b->cap = cap;
    return true;
}

/* Makes room for marks where the first byte with another mark comes. */
static bool builder_mark(struct text_builder *b, const uint8_t *marks, size_t len, bool trusted)
{
    if (b->len == 0 && !b->marks && !marks) {
        b->trusted = trusted;
        return true;
    }
    if (!b->marks && (marks || trusted != b->trusted)) {
        b->marks = run_alloc(b->r, b->cap, 1);
        if (!b->marks)
            return false;
        memset(b->marks, b->trusted, b->len);
    }
    if (!b->marks)
        return true;
    if (marks)
        memcpy(b->marks + b->len, marks, len);
    else
        memset(b->marks + b->len, trusted, len);
    return true;
}

bool text_put_marked(struct text_builder *b, const char *data, const uint8_t *marks, size_t len,
                     bool trusted)
{
    if (len == 0)
        return true;
    if (!run_charge_bytes(b->r, len) || !builder_reserve(b, len) ||
        !builder_mark(b, marks, len, trusted))
        return false;
    memcpy(b->data + b->len, data, len);
    b->len += len;
    return true;
}

bool text_put(struct text_builder *b, const char *data, size_t len, bool trusted)
{
    return text_put_marked(b, data, NULL, len, trusted);
}

bool text_put_part(struct text_builder *b, const struct jinja_string *s, size_t from, size_t len)
{
    return text_put_marked(b, s->data + from, s->marks ? s->marks + from : NULL, len, s->trusted);
}

bool text_put_repeated(struct text_builder *b, const struct jinja_string *s, size_t times)
{
    if (s->len == 0 || times == 0)
        return true;
    if (times > b->r->limits->memory_bytes_max / s->len)
        return run_fail(b->r, E_TOO_BIG, "a string is too long");
    if (!builder_reserve(b, s->len * times))
        return false;
    for (size_t i = 0; i < times; i++) {
        if (!text_put_string(b, s))
            return false;
    }
    return true;
}

bool text_finish(const struct text_builder *b, struct jinja_value *out)
{
    struct jinja_string *s = new_string(b->r, b->data, b->len);
    if (!s)
        return false;
    s->marks = b->marks;
    s->trusted = b->len == 0 || b->trusted;
    *out = value_string(s);
    return true;
}
