#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The length in bytes of the UTF-8 character at `s` (1..4), or 0 if the bytes there are no
 * complete, well-formed character (Unicode 15, table 3-7). `len` >= 1.
 */
int utf8_char_len(const char *s, size_t len);

/*
 * The length in bytes (1..len) of the ill-formed sequence at `s` that one U+FFFD stands for:
 * a maximal subpart (Unicode 15, section 3.9, U+FFFD substitution), as Python's "replace".
 */
int utf8_bad_len(const char *s, size_t len);

/* Whether `s` starts with 1..3 bytes that could begin a character but are cut short by `len`. */
bool utf8_is_cut(const char *s, size_t len);

/* Whether the whole text is well-formed. */
bool utf8_is_valid(const char *s, size_t len);

/* A whole decimal number within the range; false changes nothing. */
bool text_parse_i64(const char *s, int64_t min, int64_t max, int64_t *out);

/* "4096", "512KiB", "64MiB", "2GiB", "1GB" (KB, MB, GB: powers of 1000) in bytes. */
bool text_parse_size(const char *s, uint64_t *out);

#endif
