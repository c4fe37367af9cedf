#ifndef TESTS_MODEL_GGUF_BUILD_H
#define TESTS_MODEL_GGUF_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "model/gguf.h"

/*
 * Writes GGUF files in memory, wrong ones too: it checks nothing. Aborts without memory.
 *
 *     struct gguf_build b;
 *     gguf_build_init(&b, 3, 32);
 *     gguf_build_str(&b, "general.architecture", "llama");
 *     gguf_build_tensor(&b, "output_norm.weight", TENSOR_F32, 1, (int64_t[]){ 64 }, w, sizeof w);
 *     void *file = gguf_build_finish(&b, &size);
 *     ... free(file);
 */
struct gguf_build {
    uint32_t version;
    uint32_t alignment; /* of tensor data; the key general.alignment is the caller's */
    uint64_t kv_count;
    uint64_t tensor_count;
    struct base_buf kvs;
    struct base_buf tensors;
    struct base_buf data;
};

void gguf_build_init(struct gguf_build *b, uint32_t version, uint32_t alignment);

/* The file, 64-byte aligned and from libc, so that the counters of base/mem.h do not see it.
 * Releases the builder. Gives: free. */
void *gguf_build_finish(struct gguf_build *b, size_t *size);

/* A key with any value: `value` is what follows the kind. */
void gguf_build_kv(struct gguf_build *b, const char *key, uint32_t kind, const void *value,
                   size_t bytes);
void gguf_build_u32(struct gguf_build *b, const char *key, uint32_t v);
void gguf_build_f32(struct gguf_build *b, const char *key, float v);
void gguf_build_bool(struct gguf_build *b, const char *key, bool v);
void gguf_build_str(struct gguf_build *b, const char *key, const char *v);

/* An array of `count` numbers or bools that take `bytes`. */
void gguf_build_array(struct gguf_build *b, const char *key, enum gguf_kind element_kind,
                      uint64_t count, const void *values, size_t bytes);
void gguf_build_strs(struct gguf_build *b, const char *key, uint64_t count,
                     const char *const *values);

/* A tensor with its data, which starts at a multiple of the alignment. */
void gguf_build_tensor(struct gguf_build *b, const char *name, uint32_t type, uint32_t dim_count,
                       const int64_t *dims, const void *data, size_t bytes);

/* A tensor's entry alone. */
void gguf_build_tensor_at(struct gguf_build *b, const char *name, uint32_t type, uint32_t dim_count,
                          const int64_t *dims, uint64_t offset);

#endif
