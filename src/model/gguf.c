/*
 * Maps a GGUF file and checks all of it before anyone reads it.
 *
 * The file: magic, version, tensor_count, kv_count · kv_count entries (key, kind, value) ·
 * tensor_count entries (name, dims, type, offset) · padding to the alignment · data.
 *
 * A cursor walks it from front to back. Nothing is taken without comparing its size with the
 * bytes left, and no size is multiplied or added without looking for overflow. Counts are
 * compared with the bytes that so many entries need at least before memory is asked for, so a
 * short file cannot ask for much. Every error names the entry and the byte at which it stands.
 *
 * A file must not be cut while it is mapped: the system answers reads behind the new end with
 * SIGBUS.
 */
#include "model/gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "model/gguf_int.h"
#include "tensor/types.h"

enum {
    VERSION_MIN = 2,
    VERSION_MAX = 3,

    KEY_LEN_MAX = 65535, /* the format's own limits */
    NAME_LEN_MAX = 64,
    DIM_COUNT_MAX = 4,

    KV_BYTES_MIN = 8 + 1 + 4 + 1,             /* key of one byte, kind, value of one byte */
    TENSOR_BYTES_MIN = 8 + 1 + 4 + 8 + 4 + 8, /* name of one byte, one dim, type, offset */

    /* Ours, far above any model: it bounds what a large file of nonsense can cost. */
    KV_COUNT_MAX = 1 << 16,
    DIM_MAX = INT32_MAX,

    ALIGNMENT_DEFAULT = 32,
    ALIGNMENT_MIN = 8,
    ALIGNMENT_MAX = 65536
};

/* A place in the file, and the entry it is in for messages. */
struct cursor {
    const uint8_t *data;
    size_t size;
    size_t at; /* <= size */

    const char *part;     /* "header", "key", "tensor" */
    size_t number;        /* of the entry, from 0 */
    struct gguf_str name; /* of the entry; empty until it is known */
    struct base_err_info *info;
};

static size_t bytes_left(const struct cursor *c)
{
    return c->size - c->at;
}

static void enter(struct cursor *c, const char *part, size_t number)
{
    c->part = part;
    c->number = number;
    c->name = (struct gguf_str){ NULL, 0 };
}

/* Fills info with "<entry>: <message>" at a byte of the file and returns `code`. */
__attribute__((format(printf, 4, 5))) static enum base_err
fail(const struct cursor *c, enum base_err code, size_t byte, const char *format, ...)
{
    char message[160];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    char shown[GGUF_SHOWN_BYTES];
    if (c->name.len)
        return base_err_set_at(c->info, code, (int64_t)byte, "%s '%s': %s", c->part,
                               gguf_shown(c->name, shown), message);
    if (c->number == SIZE_MAX)
        return base_err_set_at(c->info, code, (int64_t)byte, "%s: %s", c->part, message);
    return base_err_set_at(c->info, code, (int64_t)byte, "%s number %zu: %s", c->part, c->number,
                           message);
}

/*
 * The take functions move the cursor over what they give, or fail with E_CORRUPT and give zero.
 * `what` is what the bytes hold, for the message.
 */

static enum base_err take(struct cursor *c, uint64_t n, const char *what, const uint8_t **out)
{
    *out = NULL;
    if (n > bytes_left(c))
        return fail(c, E_CORRUPT, c->at,
                    "the file ends early: %s takes %" PRIu64 " bytes, %zu are left", what, n,
                    bytes_left(c));
    *out = c->data + c->at;
    c->at += (size_t)n;
    return OK;
}

static enum base_err take_u32(struct cursor *c, const char *what, uint32_t *out)
{
    *out = 0;
    const uint8_t *p;
    enum base_err rc = take(c, sizeof *out, what, &p);
    if (!rc)
        *out = gguf_read_u32(p);
    return rc;
}

static enum base_err take_u64(struct cursor *c, const char *what, uint64_t *out)
{
    *out = 0;
    const uint8_t *p;
    enum base_err rc = take(c, sizeof *out, what, &p);
    if (!rc)
        *out = gguf_read_u64(p);
    return rc;
}

static enum base_err take_str(struct cursor *c, const char *what, struct gguf_str *out)
{
    *out = (struct gguf_str){ NULL, 0 };
    uint64_t len;
    const uint8_t *p;
    enum base_err rc = take_u64(c, what, &len);
    if (!rc)
        rc = take(c, len, what, &p);
    if (!rc)
        *out = (struct gguf_str){ (const char *)p, (size_t)len };
    return rc;
}

/* The name of the entry the cursor has entered. */
static enum base_err take_name(struct cursor *c, size_t len_max)
{
    size_t byte = c->at;
    struct gguf_str name;
    enum base_err rc = take_str(c, "its name", &name);
    if (rc)
        return rc;
    if (name.len == 0 || name.len > len_max)
        return fail(c, E_CORRUPT, byte, "its name has %zu bytes, expected 1 to %zu", name.len,
                    len_max);
    c->name = name;
    return OK;
}

static enum base_err take_kind(struct cursor *c, const char *what, enum gguf_kind *out)
{
    *out = GGUF_U8;
    size_t byte = c->at;
    uint32_t number;
    enum base_err rc = take_u32(c, what, &number);
    if (rc)
        return rc;
    if (number >= GGUF_KIND_COUNT)
        return fail(c, E_CORRUPT, byte, "%s is %" PRIu32 ", which is no known kind", what, number);
    *out = (enum gguf_kind)number;
    return OK;
}

/* `count` values of a kind, one behind the other. */
static enum base_err take_values(struct cursor *c, enum gguf_kind kind, uint64_t count)
{
    size_t each_min = kind == GGUF_STRING ? sizeof(uint64_t) : gguf_kind_bytes(kind);
    if (count > bytes_left(c) / each_min)
        return fail(c, E_CORRUPT, c->at,
                    "the file ends early: %" PRIu64 " values of kind %s, %zu bytes are left", count,
                    gguf_kind_name(kind), bytes_left(c));
    if (kind == GGUF_STRING) {
        for (uint64_t i = 0; i < count; i++) {
            struct gguf_str s;
            enum base_err rc = take_str(c, "a string", &s);
            if (rc)
                return rc;
        }
        return OK;
    }
    size_t byte = c->at;
    const uint8_t *values;
    enum base_err rc = take(c, count * each_min, "its value", &values);
    if (rc || kind != GGUF_BOOL)
        return rc;
    for (size_t i = 0; i < count; i++) {
        if (values[i] > 1)
            return fail(c, E_CORRUPT, byte + i, "a bool is %d, expected 0 or 1", values[i]);
    }
    return OK;
}

static enum base_err take_kv(struct cursor *c, struct gguf_kv *kv)
{
    size_t start = c->at;
    enum base_err rc = take_name(c, KEY_LEN_MAX);
    if (rc)
        return rc;
    enum gguf_kind kind;
    rc = take_kind(c, "its kind", &kind);
    if (rc)
        return rc;
    enum gguf_kind element_kind = kind;
    uint64_t count = 1;
    if (kind == GGUF_ARRAY) {
        size_t byte = c->at;
        rc = take_kind(c, "its element kind", &element_kind);
        if (!rc && element_kind == GGUF_ARRAY)
            rc = fail(c, E_CORRUPT, byte, "an array of arrays is not allowed");
        if (!rc)
            rc = take_u64(c, "its element count", &count);
        if (rc)
            return rc;
    }
    const uint8_t *value = c->data + c->at;
    rc = take_values(c, element_kind, count);
    if (rc)
        return rc;
    *kv = (struct gguf_kv){ c->name, kind, element_kind, count, value, (int64_t)start };
    return OK;
}

static enum base_err take_kvs(struct cursor *c, struct gguf *g)
{
    for (size_t i = 0; i < g->kv_count; i++) {
        enter(c, "key", i);
        enum base_err rc = take_kv(c, &g->kvs[i]);
        if (rc)
            return rc;
        if (!gguf_index_add(&g->kv_index, &g->kvs[i].key))
            return fail(c, E_CORRUPT, (size_t)g->kvs[i].byte, "the key is there twice");
    }
    return OK;
}

/* Sets dims and bytes from what the entry says. `byte`: of the entry's dims. */
static enum base_err measure_tensor(const struct cursor *c, struct gguf_tensor *t, size_t byte)
{
    const struct tensor_type_info *type = tensor_type_info(t->type);
    if (!type)
        return fail(c, E_UNSUPPORTED, byte + 8 * t->dim_count,
                    "tensor type %" PRIu32 " is not supported", t->type);
    if (t->dims[0] % type->block_len)
        return fail(c, E_CORRUPT, byte,
                    "rows of %" PRId64 " elements are no whole number of %s blocks of %" PRId32,
                    t->dims[0], type->name, type->block_len);
    int64_t elements = 1;
    for (uint32_t i = 0; i < t->dim_count; i++) {
        if (__builtin_mul_overflow(elements, t->dims[i], &elements))
            return fail(c, E_CORRUPT, byte, "the product of its dimensions is too large");
    }
    if (__builtin_mul_overflow((uint64_t)(elements / type->block_len), (uint64_t)type->block_bytes,
                               &t->bytes))
        return fail(c, E_CORRUPT, byte, "the product of its dimensions is too large");
    return OK;
}

/* All of an entry but `data`, which needs the end of the last entry. */
static enum base_err take_tensor(struct cursor *c, struct gguf_tensor *t, uint64_t *offset)
{
    *t = (struct gguf_tensor){ .byte = (int64_t)c->at, .dims = { 1, 1, 1, 1 } };
    enum base_err rc = take_name(c, NAME_LEN_MAX);
    if (rc)
        return rc;
    t->name = c->name;
    size_t byte = c->at;
    rc = take_u32(c, "its dimension count", &t->dim_count);
    if (rc)
        return rc;
    if (t->dim_count < 1 || t->dim_count > DIM_COUNT_MAX)
        return fail(c, E_CORRUPT, byte, "it has %" PRIu32 " dimensions, expected 1 to 4",
                    t->dim_count);
    size_t dims_byte = c->at;
    for (uint32_t i = 0; i < t->dim_count; i++) {
        byte = c->at;
        uint64_t dim;
        rc = take_u64(c, "a dimension", &dim);
        if (rc)
            return rc;
        if (dim < 1 || dim > DIM_MAX)
            return fail(c, E_CORRUPT, byte,
                        "dimension %" PRIu32 " is %" PRIu64 ", expected 1 to %d", i, dim, DIM_MAX);
        t->dims[i] = (int64_t)dim;
    }
    rc = take_u32(c, "its type", &t->type);
    if (!rc)
        rc = take_u64(c, "its offset", offset);
    return rc ? rc : measure_tensor(c, t, dims_byte);
}

static enum base_err take_tensors(struct cursor *c, struct gguf *g, uint64_t *offsets)
{
    for (size_t i = 0; i < g->tensor_count; i++) {
        enter(c, "tensor", i);
        enum base_err rc = take_tensor(c, &g->tensors[i], &offsets[i]);
        if (rc)
            return rc;
        if (!gguf_index_add(&g->tensor_index, &g->tensors[i].name))
            return fail(c, E_CORRUPT, (size_t)g->tensors[i].byte, "the tensor is there twice");
    }
    return OK;
}

/*
 * Sets `data` of every tensor. The cursor stands behind the last entry. Together they are no
 * larger than the file: a small one cannot have the same bytes copied for thousands of tensors.
 */
static enum base_err place_tensors(struct cursor *c, struct gguf *g, uint64_t alignment,
                                   const uint64_t *offsets)
{
    uint64_t start = ((uint64_t)c->at + alignment - 1) & ~(alignment - 1);
    uint64_t room = start < c->size ? c->size - start : 0;
    uint64_t total = 0;
    for (size_t i = 0; i < g->tensor_count; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        enter(c, "tensor", i);
        c->name = t->name;
        size_t byte = (size_t)t->byte;
        if (offsets[i] % alignment)
            return fail(c, E_CORRUPT, byte,
                        "its offset %" PRIu64 " is no multiple of the alignment %" PRIu64,
                        offsets[i], alignment);
        uint64_t end;
        if (__builtin_add_overflow(offsets[i], t->bytes, &end) || end > room)
            return fail(c, E_CORRUPT, byte,
                        "the file ends early: %" PRIu64 " bytes at offset %" PRIu64 " of %" PRIu64
                        " bytes of data",
                        t->bytes, offsets[i], room);
        total += t->bytes; /* no overflow: each is at most the file */
        if (total > room)
            return fail(c, E_CORRUPT, byte,
                        "it overlaps others: the tensors up to it have %" PRIu64
                        " bytes, the file %" PRIu64,
                        total, room);
        t->data = c->data + start + offsets[i];
    }
    return OK;
}

static enum base_err find_alignment(struct cursor *c, const struct gguf *g, uint64_t *out)
{
    static const char key[] = "general.alignment";
    uint64_t alignment = ALIGNMENT_DEFAULT;
    *out = 0;
    enum base_err rc = gguf_get_u64(g, key, &alignment, c->info);
    if (rc && rc != E_NOT_FOUND)
        return rc;
    if (alignment < ALIGNMENT_MIN || alignment > ALIGNMENT_MAX || (alignment & (alignment - 1))) {
        enter(c, "key", 0);
        c->name = (struct gguf_str){ key, sizeof key - 1 };
        return fail(c, E_CORRUPT, (size_t)gguf_kv_find(g, key)->byte,
                    "the alignment is %" PRIu64 ", expected a power of two from %d to %d",
                    alignment, ALIGNMENT_MIN, ALIGNMENT_MAX);
    }
    *out = alignment;
    return OK;
}

/* Magic and version; the same bytes in all versions. */
static enum base_err take_version(struct cursor *c, struct gguf *g)
{
    static const char magic[4] = { 'G', 'G', 'U', 'F' };
    static const char magic_swapped[4] = { 'F', 'U', 'G', 'G' };
    static const char big_endian[] = "a big-endian GGUF file is not supported";
    if (c->size == 0)
        return base_err_set_at(c->info, E_CORRUPT, 0, "not a GGUF file: it is empty");
    if (c->size >= sizeof magic && memcmp(c->data, magic_swapped, sizeof magic) == 0)
        return base_err_set_at(c->info, E_UNSUPPORTED, 0, "%s", big_endian);
    if (memcmp(c->data, magic, c->size < sizeof magic ? c->size : sizeof magic) != 0)
        return base_err_set_at(c->info, E_CORRUPT, 0,
                               "not a GGUF file: it does not begin with GGUF");
    const uint8_t *p;
    enum base_err rc = take(c, sizeof magic, "the magic", &p);
    if (!rc)
        rc = take_u32(c, "the version", &g->version);
    if (rc)
        return rc;
    if (g->version >= VERSION_MIN && g->version <= VERSION_MAX)
        return OK;
    uint32_t swapped = __builtin_bswap32(g->version);
    if (swapped >= 1 && swapped <= VERSION_MAX)
        return base_err_set_at(c->info, E_UNSUPPORTED, sizeof magic, "%s", big_endian);
    return base_err_set_at(c->info, E_UNSUPPORTED, sizeof magic,
                           "GGUF version %" PRIu32 " is not supported", g->version);
}

static enum base_err check_count(const struct cursor *c, size_t byte, const char *what,
                                 uint64_t count, size_t each_min, uint64_t count_max)
{
    if (count > bytes_left(c) / each_min)
        return fail(c, E_CORRUPT, byte,
                    "the file ends early: %" PRIu64 " %s announced, %zu bytes are left", count,
                    what, bytes_left(c));
    if (count > count_max)
        return fail(c, E_UNSUPPORTED, byte, "%" PRIu64 " %s, more than %" PRIu64, count, what,
                    count_max);
    return OK;
}

static enum base_err take_header(struct cursor *c, struct gguf *g)
{
    enter(c, "header", SIZE_MAX);
    uint64_t tensor_count;
    uint64_t kv_count;
    enum base_err rc = take_version(c, g);
    size_t byte = c->at;
    if (!rc)
        rc = take_u64(c, "the tensor count", &tensor_count);
    if (!rc)
        rc = take_u64(c, "the key count", &kv_count);
    if (!rc)
        rc = check_count(c, byte, "tensors", tensor_count, TENSOR_BYTES_MIN, GGUF_TENSOR_COUNT_MAX);
    if (!rc)
        rc = check_count(c, byte + 8, "keys", kv_count, KV_BYTES_MIN, KV_COUNT_MAX);
    if (rc)
        return rc;
    g->tensor_count = (size_t)tensor_count;
    g->kv_count = (size_t)kv_count;
    return OK;
}

static enum base_err parse_entries(struct cursor *c, struct gguf *g)
{
    uint64_t *offsets = mem_calloc(MEM_MODEL, g->tensor_count, sizeof *offsets);
    g->kvs = mem_calloc(MEM_MODEL, g->kv_count, sizeof *g->kvs);
    g->tensors = mem_calloc(MEM_MODEL, g->tensor_count, sizeof *g->tensors);
    enum base_err rc = offsets && g->kvs && g->tensors ? OK : E_NOMEM;
    if (!rc)
        rc = gguf_index_init(&g->kv_index, g->kv_count);
    if (!rc)
        rc = gguf_index_init(&g->tensor_index, g->tensor_count);
    if (rc) {
        base_err_set(c->info, rc, "no memory for %zu keys and %zu tensors", g->kv_count,
                     g->tensor_count);
        goto out;
    }
    uint64_t alignment;
    rc = take_kvs(c, g);
    if (!rc)
        rc = find_alignment(c, g, &alignment);
    if (!rc)
        rc = take_tensors(c, g, offsets);
    if (!rc)
        rc = place_tensors(c, g, alignment, offsets);
out:
    mem_free(offsets);
    return rc;
}

enum base_err gguf_parse(const void *data, size_t size, struct gguf **out,
                         struct base_err_info *info)
{
    *out = NULL;
    struct gguf *g = mem_calloc(MEM_MODEL, 1, sizeof *g);
    if (!g)
        return base_err_set(info, E_NOMEM, "no memory for a GGUF file");
    g->data = data;
    g->size = size;
    struct cursor c = { .data = data, .size = size, .info = info };
    enum base_err rc = take_header(&c, g);
    if (!rc)
        rc = parse_entries(&c, g);
    if (rc) {
        gguf_close(g);
        return rc;
    }
    *out = g;
    return OK;
}

/* Maps a regular file. An empty one gives NULL and 0. Gives: munmap. */
static enum base_err map_file(const char *path, const void **data, size_t *size,
                              struct base_err_info *info)
{
    char shown[GGUF_SHOWN_BYTES];
    gguf_shown((struct gguf_str){ path, strlen(path) }, shown);
    *data = NULL;
    *size = 0;
    /* O_NONBLOCK: opening a pipe that nobody writes would wait for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return base_err_set_errno(info, E_IO, errno, "cannot open '%s'", shown);
    enum base_err rc = OK;
    struct stat st;
    if (fstat(fd, &st) != 0) {
        rc = base_err_set_errno(info, E_IO, errno, "cannot look at '%s'", shown);
        goto out;
    }
    if (S_ISDIR(st.st_mode)) {
        rc = base_err_set(info, E_IO, "'%s' is a directory, not a GGUF file", shown);
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        rc = base_err_set(info, E_IO, "'%s' is not a regular file", shown);
        goto out;
    }
    if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            rc = base_err_set_errno(info, E_IO, errno, "cannot map '%s'", shown);
            goto out;
        }
        *data = p;
        *size = (size_t)st.st_size;
    }
out:
    close(fd);
    return rc;
}

static void unmap_file(const void *data, size_t size)
{
    if (!data)
        return;
    int rc = munmap((void *)(uintptr_t)data, size);
    ASSERT(rc == 0);
}

enum base_err gguf_open_one(const char *path, struct gguf **out, struct base_err_info *info)
{
    *out = NULL;
    const void *data;
    size_t size;
    enum base_err rc = map_file(path, &data, &size, info);
    if (rc)
        return rc;
    rc = gguf_parse(data, size, out, info);
    if (rc) {
        unmap_file(data, size);
        return rc;
    }
    (*out)->is_mapped = true;
    return OK;
}

enum base_err gguf_open(const char *path, struct gguf **out, struct base_err_info *info)
{
    enum base_err rc = gguf_open_one(path, out, info);
    if (rc)
        return rc;
    rc = gguf_split_join(*out, path, info);
    if (rc) {
        gguf_close(*out);
        *out = NULL;
    }
    return rc;
}

void gguf_close(struct gguf *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->other_count; i++)
        gguf_close(g->others[i]);
    mem_free(g->others);
    if (g->is_mapped)
        unmap_file(g->data, g->size);
    gguf_index_fini(&g->kv_index);
    gguf_index_fini(&g->tensor_index);
    mem_free(g->kvs);
    mem_free(g->tensors);
    mem_free(g);
}

/* The file of a model that `data` points into. */
static const struct gguf *file_of(const struct gguf *g, const void *data)
{
    uintptr_t at = (uintptr_t)data;
    for (size_t i = 0; i < g->other_count; i++) {
        uintptr_t start = (uintptr_t)g->others[i]->data;
        if (at >= start && at - start < g->others[i]->size)
            return g->others[i];
    }
    return g;
}

void gguf_drop_pages(const struct gguf *g, const void *data, size_t bytes)
{
    if (!g->is_mapped)
        return;
    const struct gguf *file = file_of(g, data);
    uintptr_t from = (uintptr_t)data;
    uintptr_t start = (uintptr_t)file->data;
    ASSERT(from >= start && from - start <= file->size && bytes <= file->size - (from - start));
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (from + page - 1) & ~(page - 1);
    uintptr_t last = (from + bytes) & ~(page - 1);
    if (first >= last)
        return;
    /* Advice: pages that stay, locked ones say, cost memory and nothing else. */
    (void)madvise((void *)first, last - first, MADV_DONTNEED);
}
