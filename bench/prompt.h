#ifndef BENCH_PROMPT_H
#define BENCH_PROMPT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Prompts of plain English words that are one token each with most vocabularies. The prompt of
 * a number is a function of (seed, number, words, shared), so two programs ask the same.
 */
enum {
    PROMPT_WORDS_MAX = 16384,
    PROMPT_WORD_BYTES = 9 /* a blank and the longest word */
};

/*
 * Writes `words` words with blanks between them, the first `shared` of which are those of every
 * prompt of this seed, and a zero byte. Gives the length; `size` is at least
 * words * PROMPT_WORD_BYTES + 1.
 */
size_t prompt_write(char *out, size_t size, uint64_t seed, uint64_t number, int words, int shared);

/* The next of a row of evenly spread numbers; any start will do (SplitMix64). */
uint64_t prompt_random(uint64_t *state);

#endif
