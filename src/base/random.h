#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Randomness as a parameter. Any thread. */
struct base_random {
    void (*fill)(void *arg, void *out, size_t len);
    void *arg;
};

/* The system's generator (getrandom). */
extern const struct base_random base_random_system;

/* A 64-bit number from `random`. */
uint64_t random_u64(const struct base_random *random);

/*
 * Mixes 64 bits so that each bit of the input changes half of the output
 * (the finaliser of SplitMix64, Steele et al. 2014).
 */
static inline uint64_t random_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* A number in [0, 1) from the upper 53 bits of `x`. */
static inline double random_unit(uint64_t x)
{
    return (double)(x >> 11) * 0x1p-53;
}

/*
 * An unguessable name: `prefix` followed by 26 characters base32 (a–z, 2–7) that carry
 * 128 bits of `random`, and a zero byte. `out_size` >= strlen(prefix) + 27.
 */
void random_id(const struct base_random *random, const char *prefix, char *out, size_t out_size);

#endif
