#ifndef MODEL_GGUF_INT_H
#define MODEL_GGUF_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "model/gguf.h"

/* What gguf.c (mapping and checking), gguf_read.c (looking up) and gguf_split.c share. */

/*
 * Names to entries. An entry starts with its name, so a slot points at both. Open addressing,
 * at most half full; the hash is keyed by a random seed, so no file can make a chain long.
 */
struct gguf_index {
    const struct gguf_str **slots; /* [mask + 1], NULL where free */
    size_t mask;
    uint64_t seed;
};

/* Constant once gguf_open or gguf_parse has returned. */
struct gguf {
    const uint8_t *data;
    size_t size;    /* bytes of the file */
    bool is_mapped; /* by gguf_open; else borrowed */
    uint32_t version;

    struct gguf_kv *kvs; /* [kv_count], in the file's order */
    size_t kv_count;
    struct gguf_tensor *tensors; /* [tensor_count], in the file's order */
    size_t tensor_count;
    struct gguf_index kv_index;
    struct gguf_index tensor_index;

    /* Of a split model's first file: the other files. Their tensors stand in `tensors`, too. */
    struct gguf **others; /* [other_count] in order; NULL where not open yet */
    size_t other_count;
};

enum {
    GGUF_KIND_COUNT = GGUF_F64 + 1,
    GGUF_TENSOR_COUNT_MAX = 1 << 20, /* far above any model: bounds what nonsense can cost */
    GGUF_SHOWN_BYTES = 68            /* a name in a message, its dots and zero byte included */
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are read as they lie");

static inline uint32_t gguf_read_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t gguf_read_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* The name of a known kind, as "u32". */
const char *gguf_kind_name(enum gguf_kind kind);

/* Bytes of one value; 0 for strings and arrays, whose values say it themselves. */
size_t gguf_kind_bytes(enum gguf_kind kind);

/* `s` fit for a message: cut, and '?' for what does not print. Returns `out`. */
const char *gguf_shown(struct gguf_str s, char out[static GGUF_SHOWN_BYTES]);

/* Opens one file. As gguf_open, but a part of a split model is only that part. */
enum base_err gguf_open_one(const char *path, struct gguf **out, struct base_err_info *info);

/*
 * If g, opened from `path`, is the first file of a split model, opens the others and takes
 * their tensors into g. E_INVALID: it is another file than the first. E_IO, E_CORRUPT,
 * E_UNSUPPORTED, E_NOMEM; g is as good as closed then.
 */
enum base_err gguf_split_join(struct gguf *g, const char *path, struct base_err_info *info);

/* Room for `count` names. E_NOMEM. Gives: gguf_index_fini, which a zeroed index allows too. */
enum base_err gguf_index_init(struct gguf_index *index, size_t count);
void gguf_index_fini(struct gguf_index *index);

/* Adds an entry by its name, borrowed until gguf_index_fini. False: the name is there already. */
bool gguf_index_add(struct gguf_index *index, const struct gguf_str *name);

/* The entry's name as it was added, or NULL. */
const struct gguf_str *gguf_index_find(const struct gguf_index *index, struct gguf_str name);

#endif
