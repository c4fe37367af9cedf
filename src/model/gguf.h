#ifndef MODEL_GGUF_H
#define MODEL_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * GGUF files (versions 2 and 3, little endian): mapped, read only, nothing trusted. Every
 * size is checked in 64 bits against the file before it is used, so what this interface
 * gives can be read without further checks.
 *
 * A model may be split over files, "name-00001-of-00003.gguf" and so on, each with its part of
 * the tensors; the first has the keys. Opened by the first, they look like one file.
 *
 * Threads: immutable once open; any thread.
 */

enum gguf_kind {
    GGUF_U8 = 0,
    GGUF_I8 = 1,
    GGUF_U16 = 2,
    GGUF_I16 = 3,
    GGUF_U32 = 4,
    GGUF_I32 = 5,
    GGUF_F32 = 6,
    GGUF_BOOL = 7,
    GGUF_STRING = 8,
    GGUF_ARRAY = 9,
    GGUF_U64 = 10,
    GGUF_I64 = 11,
    GGUF_F64 = 12
};

struct gguf_str {
    const char *data; /* in the mapping; not terminated */
    size_t len;
};

/* One metadata entry. */
struct gguf_kv {
    struct gguf_str key;
    enum gguf_kind kind;
    enum gguf_kind element_kind; /* of an array, never GGUF_ARRAY; else the same as kind */
    uint64_t count;              /* elements of an array, else 1 */
    const uint8_t *value;        /* in the mapping, unaligned: first byte behind kind and count */
    int64_t byte;                /* position in the file, for messages */
};

struct gguf_tensor {
    struct gguf_str name;
    uint32_t type;       /* the file's number (tensor/types.h names the known ones) */
    uint32_t dim_count;  /* 1..4 */
    int64_t dims[4];     /* dims[0] is contiguous (columns); unused ones are 1; product > 0 */
    const uint8_t *data; /* in the mapping, aligned to the file's alignment (8 or more) */
    uint64_t bytes;      /* of data; row length is a whole number of blocks */
    int64_t byte;        /* position of the tensor's entry in its file, for messages */
};

struct gguf;

/*
 * Opens and checks a whole file, or all files of a split model, of which `path` is the first.
 * E_IO: cannot be opened or mapped, or a part is missing. E_CORRUPT: cut, or not what the
 * format allows; `info` names the key or tensor and the byte, and the part if it is not the
 * first. E_UNSUPPORTED: a version or tensor type that is not known, big-endian, or more than
 * 65536 keys, 2^20 tensors or 1024 parts. E_INVALID: another part than the first. E_NOMEM.
 * No file may be cut while it is open. Gives: gguf_close.
 */
enum base_err gguf_open(const char *path, struct gguf **out, struct base_err_info *info);

/*
 * The same for one file's bytes in memory, borrowed until gguf_close. They are 64-byte aligned where
 * tensor data is to be used; the reader itself takes them as they lie.
 */
enum base_err gguf_parse(const void *data, size_t size, struct gguf **out,
                         struct base_err_info *info);
void gguf_close(struct gguf *g);

uint32_t gguf_version(const struct gguf *g);
uint64_t gguf_file_bytes(const struct gguf *g); /* of all files */

size_t gguf_kv_count(const struct gguf *g);
const struct gguf_kv *gguf_kv_at(const struct gguf *g, size_t index);
const struct gguf_kv *gguf_kv_find(const struct gguf *g, const char *key); /* or NULL */

size_t gguf_tensor_count(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t index);
const struct gguf_tensor *gguf_tensor_find(const struct gguf *g, const char *name); /* or NULL */

/*
 * Typed reading. Any integer kind is accepted where an integer is wanted if the value fits,
 * any float or integer kind for a float, which is finite. Every error leaves *out as it was
 * (a default). E_NOT_FOUND; E_CORRUPT: wrong kind or out of range, with the key in `info`.
 */
enum base_err gguf_get_u64(const struct gguf *g, const char *key, uint64_t *out,
                           struct base_err_info *info);
enum base_err gguf_get_f32(const struct gguf *g, const char *key, float *out,
                           struct base_err_info *info);
enum base_err gguf_get_bool(const struct gguf *g, const char *key, bool *out,
                            struct base_err_info *info);
enum base_err gguf_get_str(const struct gguf *g, const char *key, struct gguf_str *out,
                           struct base_err_info *info);

/*
 * Element i of an array that gguf_kv_find gave, or i = 0 of a single value. The caller has
 * looked at element_kind: integers or bools for i64 (a u64 beyond INT64_MAX gives INT64_MAX),
 * any of these or floats for f64 (NaN and infinities as they lie). A string array is walked in
 * order: start with *cursor = kv->value.
 */
struct gguf_str gguf_array_next_str(const uint8_t **cursor);
int64_t gguf_array_i64(const struct gguf_kv *kv, uint64_t index);
double gguf_array_f64(const struct gguf_kv *kv, uint64_t index);

/* Gives the pages that lie wholly inside [data, data+bytes) back to the system; they are read
 * again from the file when touched. For tensors that were repacked. No-op for gguf_parse. */
void gguf_drop_pages(const struct gguf *g, const void *data, size_t bytes);

#endif
