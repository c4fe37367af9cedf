#ifndef TOKENIZER_ALPHABET_H
#define TOKENIZER_ALPHABET_H

#include <stddef.h>
#include <stdint.h>

/*
 * The byte-level alphabet: a vocabulary file writes each byte as one printable character.
 * 0x21-0x7e, 0xa1-0xac and 0xae-0xff stand for themselves; the 68 others are, in their
 * order, U+0100 to U+0143. Pure functions.
 */

/* Writes the letter of a byte in UTF-8; returns its length, 1 or 2. */
int tokenizer_alphabet_letter(uint8_t byte, char out[2]);

/*
 * Undoes the alphabet for a whole text. `out` has room for `len` bytes. Returns the number
 * of bytes, or -1 if a character is no letter.
 */
int64_t tokenizer_alphabet_decode(const char *text, size_t len, char *out);

#endif
