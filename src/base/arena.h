#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/mem.h"

/*
 * An arena: memory of one request, released as a whole. Not for several threads at once.
 * Every arena has a maximum; reaching it is an ordinary refusal.
 */
struct arena {
    enum mem_tag tag;
    size_t bytes_max;           /* of all chunks together, headers included */
    size_t bytes;               /* held now */
    struct arena_chunk *chunks; /* newest first */
};

void arena_init(struct arena *arena, enum mem_tag tag, size_t bytes_max);

/* Releases everything. The arena may be used again. */
void arena_fini(struct arena *arena);

/* `size` zeroed bytes aligned to 16; NULL if refused. Lives until arena_fini. */
void *arena_alloc(struct arena *arena, size_t size);

/* `count` * `size` zeroed bytes, overflow checked. */
void *arena_calloc(struct arena *arena, size_t count, size_t size);

/* A copy of `size` bytes followed by a zero byte. */
char *arena_strndup(struct arena *arena, const char *s, size_t size);

#endif
