#ifndef TESTS_HTTP_DIFFER_H
#define TESTS_HTTP_DIFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The parser beside llhttp, another implementation: what llhttp refuses in its strict mode,
 * the parser must not accept; and of what both accept they must see the same.
 */
enum differ_outcome {
    DIFFER_REFUSED,  /* by the parser, whatever llhttp says */
    DIFFER_MORE,     /* the parser waits for more */
    DIFFER_ACCEPTED, /* by both, as the same request */
    DIFFER_UNEQUAL   /* a finding */
};

/* Looks at the first request in `data`. `why` says what differs. Any thread. */
enum differ_outcome differ_compare(const char *data, size_t len, char *why, size_t why_size);

/*
 * Makes a request out of valid and hostile parts and damages some of them; a pure function
 * of `seed`. Returns its length, at most `size`.
 */
size_t differ_make(uint64_t seed, char *out, size_t size);

#endif
