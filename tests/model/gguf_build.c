#include "model/gguf_build.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum {
    PART_BYTES_MAX = 1 << 30
};

static void put(struct base_buf *buf, const void *data, size_t bytes)
{
    enum base_err rc = buf_append(buf, data, bytes);
    ASSERT(rc == OK);
}

static void put_u32(struct base_buf *buf, uint32_t v)
{
    put(buf, &v, sizeof v);
}

static void put_u64(struct base_buf *buf, uint64_t v)
{
    put(buf, &v, sizeof v);
}

static void put_str(struct base_buf *buf, const char *s)
{
    put_u64(buf, strlen(s));
    put(buf, s, strlen(s));
}

static void pad(struct base_buf *buf, uint32_t alignment)
{
    while (buf->len % alignment)
        put(buf, "", 1);
}

void gguf_build_init(struct gguf_build *b, uint32_t version, uint32_t alignment)
{
    *b = (struct gguf_build){ .version = version, .alignment = alignment };
    buf_init(&b->kvs, MEM_MODEL, PART_BYTES_MAX);
    buf_init(&b->tensors, MEM_MODEL, PART_BYTES_MAX);
    buf_init(&b->data, MEM_MODEL, PART_BYTES_MAX);
}

void *gguf_build_finish(struct gguf_build *b, size_t *size)
{
    struct base_buf out;
    buf_init(&out, MEM_MODEL, PART_BYTES_MAX);
    put(&out, "GGUF", 4);
    put_u32(&out, b->version);
    put_u64(&out, b->tensor_count);
    put_u64(&out, b->kv_count);
    put(&out, b->kvs.data, b->kvs.len);
    put(&out, b->tensors.data, b->tensors.len);
    if (b->data.len) {
        pad(&out, b->alignment);
        put(&out, b->data.data, b->data.len);
    }
    buf_fini(&b->kvs);
    buf_fini(&b->tensors);
    buf_fini(&b->data);

    void *file = aligned_alloc(64, (out.len + 63) & ~(size_t)63);
    ASSERT(file);
    memcpy(file, out.data, out.len);
    *size = out.len;
    buf_fini(&out);
    return file;
}

void gguf_build_kv(struct gguf_build *b, const char *key, uint32_t kind, const void *value,
                   size_t bytes)
{
    put_str(&b->kvs, key);
    put_u32(&b->kvs, kind);
    put(&b->kvs, value, bytes);
    b->kv_count++;
}

void gguf_build_u32(struct gguf_build *b, const char *key, uint32_t v)
{
    gguf_build_kv(b, key, GGUF_U32, &v, sizeof v);
}

void gguf_build_f32(struct gguf_build *b, const char *key, float v)
{
    gguf_build_kv(b, key, GGUF_F32, &v, sizeof v);
}

void gguf_build_bool(struct gguf_build *b, const char *key, bool v)
{
    gguf_build_kv(b, key, GGUF_BOOL, v ? "\1" : "\0", 1);
}

void gguf_build_str(struct gguf_build *b, const char *key, const char *v)
{
    gguf_build_kv(b, key, GGUF_STRING, NULL, 0);
    put_str(&b->kvs, v);
}

void gguf_build_array(struct gguf_build *b, const char *key, enum gguf_kind element_kind,
                      uint64_t count, const void *values, size_t bytes)
{
    gguf_build_kv(b, key, GGUF_ARRAY, NULL, 0);
    put_u32(&b->kvs, element_kind);
    put_u64(&b->kvs, count);
    put(&b->kvs, values, bytes);
}

void gguf_build_strs(struct gguf_build *b, const char *key, uint64_t count,
                     const char *const *values)
{
    gguf_build_array(b, key, GGUF_STRING, count, NULL, 0);
    for (uint64_t i = 0; i < count; i++)
        put_str(&b->kvs, values[i]);
}

void gguf_build_tensor(struct gguf_build *b, const char *name, uint32_t type, uint32_t dim_count,
                       const int64_t *dims, const void *data, size_t bytes)
{
    pad(&b->data, b->alignment);
    gguf_build_tensor_at(b, name, type, dim_count, dims, b->data.len);
    put(&b->data, data, bytes);
}

void gguf_build_tensor_at(struct gguf_build *b, const char *name, uint32_t type, uint32_t dim_count,
                          const int64_t *dims, uint64_t offset)
{
    put_str(&b->tensors, name);
    put_u32(&b->tensors, dim_count);
    for (uint32_t i = 0; i < dim_count; i++)
        put_u64(&b->tensors, (uint64_t)dims[i]);
    put_u32(&b->tensors, type);
    put_u64(&b->tensors, offset);
    b->tensor_count++;
}
