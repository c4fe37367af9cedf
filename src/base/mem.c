/*
 * Counted memory on top of libc. Each block carries a 16-byte header with its size and
 * tag, so that freeing needs neither. The counters are relaxed atomics: they are read
 * for statistics and, in tests, when no other thread allocates.
 */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fault.h"

struct header {
    size_t size;
    size_t tag;
};

_Static_assert(sizeof(struct header) % _Alignof(max_align_t) == 0, "blocks stay aligned");

static atomic_uint_least64_t g_live_blocks;
static atomic_uint_least64_t g_alloc_count;
static atomic_uint_least64_t g_live_bytes[MEM_TAG_COUNT];

static void count_in(enum mem_tag tag, size_t size)
{
    atomic_fetch_add_explicit(&g_live_blocks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&g_alloc_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&g_live_bytes[tag], size, memory_order_relaxed);
}

static void count_out(enum mem_tag tag, size_t size)
{
    atomic_fetch_sub_explicit(&g_live_blocks, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&g_live_bytes[tag], size, memory_order_relaxed);
}

static void *alloc(enum mem_tag tag, size_t size, bool zeroed)
{
    if (size > PTRDIFF_MAX - sizeof(struct header) || fault_hit(FAULT_ALLOC))
        return NULL;
    struct header *h = zeroed ? calloc(1, sizeof *h + size) : malloc(sizeof *h + size);
    if (!h)
        return NULL;
    h->size = size;
    h->tag = tag;
    count_in(tag, size);
    return h + 1;
}

void *mem_alloc(enum mem_tag tag, size_t size)
{
    return alloc(tag, size, false);
}

/* Large blocks take no memory before they are touched: they come zeroed from the system. */
void *mem_calloc(enum mem_tag tag, size_t count, size_t size)
{
    size_t total;
    return __builtin_mul_overflow(count, size, &total) ? NULL : alloc(tag, total, true);
}

void *mem_realloc(enum mem_tag tag, void *p, size_t size)
{
    if (!p)
        return mem_alloc(tag, size);
    if (size > PTRDIFF_MAX - sizeof(struct header) || fault_hit(FAULT_ALLOC))
        return NULL;
    struct header *h = (struct header *)p - 1;
    size_t old_size = h->size;
    DCHECK(h->tag == (size_t)tag);
    h = realloc(h, sizeof *h + size);
    if (!h)
        return NULL;
    h->size = size;
    count_out(tag, old_size);
    count_in(tag, size);
    return h + 1;
}

char *mem_strndup(enum mem_tag tag, const char *s, size_t size)
{
    if (size == SIZE_MAX)
        return NULL;
    char *p = mem_alloc(tag, size + 1);
    if (!p)
        return NULL;
    if (size)
        memcpy(p, s, size);
    p[size] = '\0';
    return p;
}

void mem_free(void *p)
{
    if (!p)
        return;
    struct header *h = (struct header *)p - 1;
    DCHECK(h->tag < MEM_TAG_COUNT);
    count_out((enum mem_tag)h->tag, h->size);
    free(h);
}

void *mem_map(enum mem_tag tag, size_t size)
{
    if (size == 0 || fault_hit(FAULT_ALLOC))
        return NULL;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    count_in(tag, size);
    return p;
}

void mem_unmap(enum mem_tag tag, void *p, size_t size)
{
    if (!p)
        return;
    int rc = munmap(p, size);
    ASSERT(rc == 0);
    count_out(tag, size);
}

uint64_t mem_live_blocks(void)
{
    return atomic_load_explicit(&g_live_blocks, memory_order_relaxed);
}

uint64_t mem_live_bytes(enum mem_tag tag)
{
    return atomic_load_explicit(&g_live_bytes[tag], memory_order_relaxed);
}

uint64_t mem_alloc_count(void)
{
    return atomic_load_explicit(&g_alloc_count, memory_order_relaxed);
}

const char *mem_tag_name(enum mem_tag tag)
{
    static const char *const names[MEM_TAG_COUNT] = {
        "base",     "config", "park", "tensor", "model",  "tokenizer",
        "template", "engine", "http", "api",    "server",
    };
    return names[tag];
}

uint64_t mem_machine_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_bytes = sysconf(_SC_PAGE_SIZE);
    return pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
}
