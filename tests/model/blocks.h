#ifndef TESTS_MODEL_BLOCKS_H
#define TESTS_MODEL_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

/* Blocks of weights made of random numbers, for every type that has blocks. */
enum {
    BLOCK_WORDS_MAX = 28
};

/* The random words that a block of this type is made of: the first for its scale, the others
 * for its bytes. */
size_t block_words(uint32_t type);

/*
 * Random bytes under a scale and a minimum such that the values have about the deviation
 * `spread` and the mean 0. As in tests/golden/arch_make.py, bit for bit.
 */
void block_make(uint32_t type, const uint64_t *words, double spread, uint8_t *block);

/* x cut to half precision. */
uint16_t block_half(float x);

#endif
