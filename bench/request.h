#ifndef BENCH_REQUEST_H
#define BENCH_REQUEST_H

#include <stddef.h>

#include "load.h"

/* Bytes that a request needs at most. */
size_t request_bytes_max(const struct load_options *o);

/*
 * Writes head and body of request `number` into `out`, which has request_bytes_max bytes.
 * `prompt` is scratch of prompt_words * PROMPT_WORD_BYTES + 1 bytes. Gives the length.
 */
size_t request_write(char *out, size_t size, const struct load_options *o, uint64_t number,
                     char *prompt);

#endif
