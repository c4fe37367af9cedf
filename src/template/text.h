#ifndef TEMPLATE_TEXT_H
#define TEMPLATE_TEXT_H

#include "template/value.h"

/* Characters, and strings with marks. Positions and lengths are in bytes unless said. */

/* The length of the character at `s`; a byte that begins none is one by itself. len >= 1. */
size_t text_char_len(const char *s, size_t len);

/* The code point at `s` and its length; a byte that begins none is given as 0xDC00 + byte. */
uint32_t text_decode(const char *s, size_t len, size_t *char_len);
size_t text_encode(uint32_t c, char out[4]);

int64_t text_char_count(const char *s, size_t len);

/* Python's str.isspace for one code point. */
bool text_is_space(uint32_t c);

/* Simple case mappings of Unicode; the code point itself where it has none. */
uint32_t text_upper(uint32_t c);
uint32_t text_lower(uint32_t c);

/* Whether it has case and is upper or lower case. */
bool text_is_upper(uint32_t c);
bool text_is_lower(uint32_t c);

/* Whether repr() shows it as it is. */
bool text_is_printable(uint32_t c);

/* Where `needle` first is in `s` at or after `from`; SIZE_MAX: nowhere. Linear. */
size_t text_find(const struct jinja_string *s, const struct jinja_string *needle, size_t from);

/* Where it is last within the first `end` bytes. Quadratic at worst, so it takes steps. */
bool text_find_last(struct run *r, const struct jinja_string *s, const struct jinja_string *needle,
                    size_t end, size_t *at);

bool text_equal(const struct jinja_string *a, const struct jinja_string *b);
int text_compare(const struct jinja_string *a, const struct jinja_string *b);
bool text_is(const struct jinja_string *s, const char *text);

/* A part of a string, marks included. Does not copy. */
bool text_part(struct run *r, const struct jinja_string *s, size_t from, size_t len,
               struct jinja_value *out);

/* A string of constants of this program; trusted. Not copied. */
bool text_constant(struct run *r, const char *text, struct jinja_value *out);

/* a + b */
bool text_concat(struct run *r, const struct jinja_string *a, const struct jinja_string *b,
                 const struct jinja_string **out);

/* Collects a string. `r` and zeroes are a good start; failures are those of the run. */
struct text_builder {
    struct run *r;
    char *data;
    uint8_t *marks; /* NULL while all bytes have one mark */
    size_t len;
    size_t cap;
    bool trusted; /* the mark, while `marks` is NULL */
};

bool text_put(struct text_builder *b, const char *data, size_t len, bool trusted);
bool text_put_part(struct text_builder *b, const struct jinja_string *s, size_t from, size_t len);
bool text_put_marked(struct text_builder *b, const char *data, const uint8_t *marks, size_t len,
                     bool trusted);

/* The same text over and over. */
bool text_put_repeated(struct text_builder *b, const struct jinja_string *s, size_t times);

static inline bool text_put_string(struct text_builder *b, const struct jinja_string *s)
{
    return text_put_part(b, s, 0, s->len);
}

static inline bool text_mark_at(const struct jinja_string *s, size_t i)
{
    return s->marks ? s->marks[i] != 0 : s->trusted;
}

bool text_finish(const struct text_builder *b, struct jinja_value *out);

#endif
