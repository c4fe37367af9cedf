#include "base/arena.h"

#include <stdint.h>
#include <string.h>

enum {
    ALIGN = 16,
    CHUNK_BYTES = 4096
};

struct arena_chunk {
    struct arena_chunk *next;
    size_t size; /* of `data` */
    size_t used;
    size_t pad;
    _Alignas(ALIGN) char data[];
};

void arena_init(struct arena *arena, enum mem_tag tag, size_t bytes_max)
{
    *arena = (struct arena){ .tag = tag, .bytes_max = bytes_max };
}

void arena_fini(struct arena *arena)
{
    while (arena->chunks) {
        struct arena_chunk *next = arena->chunks->next;
        mem_free(arena->chunks);
        arena->chunks = next;
    }
    arena->bytes = 0;
}

static struct arena_chunk *chunk_add(struct arena *arena, size_t need)
{
    size_t room = arena->bytes_max - arena->bytes;
    if (room < sizeof(struct arena_chunk) || need > room - sizeof(struct arena_chunk))
        return NULL;
    size_t total = room < CHUNK_BYTES ? room : CHUNK_BYTES;
    if (need > total - sizeof(struct arena_chunk))
        total = sizeof(struct arena_chunk) + need;
    struct arena_chunk *c = mem_alloc(arena->tag, total);
    if (!c)
        return NULL;
    c->size = total - sizeof(struct arena_chunk);
    c->used = 0;
    c->next = arena->chunks;
    arena->chunks = c;
    arena->bytes += total;
    return c;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > PTRDIFF_MAX / 2)
        return NULL;
    size_t need = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct arena_chunk *c = arena->chunks;
    if (!c || need > c->size - c->used) {
        c = chunk_add(arena, need);
        if (!c)
            return NULL;
    }
    void *p = c->data + c->used;
    c->used += need;
    memset(p, 0, need);
    return p;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    return arena_alloc(arena, total);
}

char *arena_strndup(struct arena *arena, const char *s, size_t size)
{
    if (size == SIZE_MAX)
        return NULL;
    char *p = arena_alloc(arena, size + 1);
    if (p && size)
        memcpy(p, s, size);
    return p;
}
