#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

/*
 * Counted memory. Every allocation of the program goes through here and carries the
 * folder it belongs to. A refused allocation returns NULL; nothing aborts.
 * All functions: any thread.
 */
enum mem_tag {
    MEM_BASE,
    MEM_CONFIG,
    MEM_PARK,
    MEM_TENSOR,
    MEM_MODEL,
    MEM_TOKENIZER,
    MEM_TEMPLATE,
    MEM_ENGINE,
    MEM_HTTP,
    MEM_API,
    MEM_SERVER,
    MEM_TAG_COUNT
};

/* `size` bytes, aligned for any type, contents undefined. NULL if refused. Gives: mem_free. */
__attribute__((malloc, alloc_size(2))) void *mem_alloc(enum mem_tag tag, size_t size);

/* `count` * `size` zeroed bytes; NULL if refused or if the product overflows. Gives: mem_free. */
__attribute__((malloc, alloc_size(2, 3))) void *mem_calloc(enum mem_tag tag, size_t count,
                                                           size_t size);

/* Resizes; NULL leaves `p` as it was. `p` NULL: mem_alloc. Gives: mem_free. */
__attribute__((alloc_size(3))) void *mem_realloc(enum mem_tag tag, void *p, size_t size);

/* A copy of `size` bytes followed by a zero byte. Gives: mem_free. */
char *mem_strndup(enum mem_tag tag, const char *s, size_t size);

/* Releases; NULL is allowed. */
void mem_free(void *p);

/*
 * `size` zeroed bytes from the system, page aligned, touched lazily, for large arrays.
 * NULL if refused. Gives: mem_unmap with the same size.
 */
void *mem_map(enum mem_tag tag, size_t size);
void mem_unmap(enum mem_tag tag, void *p, size_t size);

/* What is held now, and how many allocations there have been since the start. */
uint64_t mem_live_blocks(void);
uint64_t mem_live_bytes(enum mem_tag tag);
uint64_t mem_alloc_count(void);

/* The lower-case name of a tag. */
const char *mem_tag_name(enum mem_tag tag);

/* Memory of this machine in bytes, 0: unknown. */
uint64_t mem_machine_bytes(void);

#endif
