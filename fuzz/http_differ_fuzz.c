/*
 * Fuzzes the HTTP parser beside llhttp through libFuzzer's entry point: what llhttp refuses
 * must not be accepted, and what both accept must mean the same. Half of the mutations are
 * requests made by grammar.
 */
#include <stdio.h>

#include "base/assert.h"
#include "http/differ.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[128];
    enum differ_outcome outcome = differ_compare((const char *)data, size, why, sizeof why);
    if (outcome == DIFFER_UNEQUAL)
        fprintf(stderr, "the parsers differ: %s\n", why);
    ASSERT(outcome != DIFFER_UNEQUAL);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    if (seed % 2)
        return LLVMFuzzerMutate(data, size, size_max);
    return differ_make(seed, (char *)data, size_max);
}
