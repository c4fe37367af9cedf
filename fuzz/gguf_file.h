#ifndef FUZZ_GGUF_FILE_H
#define FUZZ_GGUF_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "model/gguf.h"

/* A GGUF file taken apart, so that it can be written again with the right counts and offsets. */

enum {
    ENTRIES_MAX = 128, /* of keys, of tensors */
    SCRATCH_BYTES = 4096
};

struct bytes {
    const uint8_t *data; /* borrowed */
    size_t len;
};

struct key {
    struct bytes name;
    uint32_t kind;
    uint32_t element_kind;
    uint64_t count;
    struct bytes value;
};

struct tensor {
    struct bytes name;
    uint32_t type;
    uint32_t dim_count;
    int64_t dims[4];
    struct bytes data;
    uint64_t shift; /* added to its offset */
};

struct file {
    size_t key_count;
    size_t tensor_count;
    uint64_t alignment;
    struct key keys[ENTRIES_MAX];
    struct tensor tensors[ENTRIES_MAX];
    uint8_t scratch[SCRATCH_BYTES]; /* one new name or value */
};

/* Borrows what g reads. At most ENTRIES_MAX keys and as many tensors. */
void file_read(const struct gguf *g, struct file *f);

/* Appends the file; what `out` has no room for is left out. */
void file_write(struct base_buf *out, const struct file *f);

/* These append as much, too. */
void file_put(struct base_buf *out, const void *data, size_t len);
void file_pad(struct base_buf *out, uint64_t alignment);

#endif
