#ifndef TEMPLATE_CHANGE_H
#define TEMPLATE_CHANGE_H

#include "template/text.h"

/* What the filters and the methods of the same name share. */

enum text_case {
    CASE_UPPER,
    CASE_LOWER,
    CASE_CAPITAL, /* the first character upper, the others lower */
    CASE_TITLE,   /* str.title: a word begins behind what has no case */
    CASE_WORDS,   /* the filter title: a word begins behind white space and -({[< */
    CASE_SWAPPED
};

bool text_change_case(struct run *r, const struct jinja_string *s, enum text_case how,
                      struct jinja_value *out);

/* str.strip: white space, or with `chars` not NULL its characters. */
bool text_strip(struct run *r, const struct jinja_string *s, const struct jinja_string *chars,
                bool left, bool right, struct jinja_value *out);

/* str.replace; `count` < 0: all. */
bool text_replace(struct run *r, const struct jinja_string *s, const struct jinja_string *from,
                  const struct jinja_string *to, int64_t count, struct jinja_value *out);

/* str.splitlines */
bool text_split_lines(struct run *r, const struct jinja_string *s, bool keep_ends,
                      struct jinja_list **out);

/* `separator`.join(items as str()); with `strict` an item that is no string fails. */
bool text_join(struct run *r, const struct jinja_string *separator, const struct value_items *items,
               bool strict, struct jinja_value *out);

/* An argument that must be a string, or an integer; false: failed. */
bool arg_string(struct run *r, struct jinja_value v, const struct jinja_string **out);
bool arg_integer(struct run *r, struct jinja_value v, int64_t otherwise, int64_t *out);

#endif
