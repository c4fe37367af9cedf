#include "gguf_file.h"

#include <string.h>

#include "base/assert.h"
#include "model/gguf_int.h"

static size_t value_len(const struct gguf_kv *kv)
{
    const uint8_t *end = kv->value;
    if (kv->element_kind != GGUF_STRING)
        return (size_t)kv->count * gguf_kind_bytes(kv->element_kind);
    for (uint64_t i = 0; i < kv->count; i++)
        (void)gguf_array_next_str(&end);
    return (size_t)(end - kv->value);
}

void file_read(const struct gguf *g, struct file *f)
{
    uint64_t alignment = 32;
    (void)gguf_get_u64(g, "general.alignment", &alignment, NULL);
    *f = (struct file){ .key_count = gguf_kv_count(g),
                        .tensor_count = gguf_tensor_count(g),
                        .alignment = alignment };
    for (size_t i = 0; i < f->key_count; i++) {
        const struct gguf_kv *kv = gguf_kv_at(g, i);
        f->keys[i] = (struct key){ { (const uint8_t *)kv->key.data, kv->key.len },
                                   kv->kind,
                                   kv->element_kind,
                                   kv->count,
                                   { kv->value, value_len(kv) } };
    }
    for (size_t i = 0; i < f->tensor_count; i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        f->tensors[i] = (struct tensor){ .name = { (const uint8_t *)t->name.data, t->name.len },
                                         .type = t->type,
                                         .dim_count = t->dim_count,
                                         .data = { t->data, (size_t)t->bytes } };
        memcpy(f->tensors[i].dims, t->dims, sizeof t->dims);
    }
}

void file_put(struct base_buf *out, const void *data, size_t len)
{
    enum base_err rc = buf_append(out, data, len);
    ASSERT(rc == OK || rc == E_TOO_BIG); /* an input that is cut is an input, too */
}

static void put_u32(struct base_buf *out, uint32_t v)
{
    file_put(out, &v, sizeof v);
}

static void put_u64(struct base_buf *out, uint64_t v)
{
    file_put(out, &v, sizeof v);
}

static void put_name(struct base_buf *out, struct bytes name)
{
    put_u64(out, name.len);
    file_put(out, name.data, name.len);
}

static void put_key(struct base_buf *out, const struct key *k)
{
    put_name(out, k->name);
    put_u32(out, k->kind);
    if (k->kind == GGUF_ARRAY) {
        put_u32(out, k->element_kind);
        put_u64(out, k->count);
    }
    file_put(out, k->value.data, k->value.len);
}

/* `offset`: where the tensor's data begins; moves it behind them. */
static void put_tensor(struct base_buf *out, const struct file *f, const struct tensor *t,
                       uint64_t *offset)
{
    put_name(out, t->name);
    put_u32(out, t->dim_count);
    for (uint32_t i = 0; i < t->dim_count && i < 4; i++)
        put_u64(out, (uint64_t)t->dims[i]);
    put_u32(out, t->type);
    put_u64(out, *offset + t->shift);
    *offset = (*offset + t->data.len + f->alignment - 1) / f->alignment * f->alignment;
}

void file_pad(struct base_buf *out, uint64_t alignment)
{
    while (out->len % alignment && out->len < out->len_max)
        file_put(out, "", 1);
}

void file_write(struct base_buf *out, const struct file *f)
{
    uint64_t offset = 0;
    file_put(out, "GGUF\3\0\0\0", 8);
    put_u64(out, f->tensor_count);
    put_u64(out, f->key_count);
    for (size_t i = 0; i < f->key_count; i++)
        put_key(out, &f->keys[i]);
    for (size_t i = 0; i < f->tensor_count; i++)
        put_tensor(out, f, &f->tensors[i], &offset);
    for (size_t i = 0; i < f->tensor_count; i++) {
        file_pad(out, f->alignment);
        file_put(out, f->tensors[i].data.data, f->tensors[i].data.len);
    }
}
