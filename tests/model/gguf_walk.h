#ifndef TESTS_MODEL_GGUF_WALK_H
#define TESTS_MODEL_GGUF_WALK_H

#include <stdint.h>

#include "model/gguf.h"

/*
 * Reads every byte of every key, value and tensor through the interface, so that a wrong size
 * runs into a guard page or a sanitizer. Gives a sum that keeps the reads alive.
 */
static inline uint64_t gguf_walk_bytes(const void *data, uint64_t bytes)
{
    const uint8_t *p = data;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < bytes; i++)
        sum += p[i];
    return sum;
}

static inline uint64_t gguf_walk_kv(const struct gguf_kv *kv)
{
    uint64_t sum = gguf_walk_bytes(kv->key.data, kv->key.len);
    const uint8_t *cursor = kv->value;
    for (uint64_t i = 0; i < kv->count; i++) {
        if (kv->element_kind == GGUF_STRING) {
            struct gguf_str s = gguf_array_next_str(&cursor);
            sum += gguf_walk_bytes(s.data, s.len);
            continue;
        }
        sum += gguf_array_f64(kv, i) > 0;
        if (kv->element_kind != GGUF_F32 && kv->element_kind != GGUF_F64)
            sum += (uint64_t)gguf_array_i64(kv, i);
    }
    return sum;
}

static inline uint64_t gguf_walk(const struct gguf *g)
{
    uint64_t sum = gguf_version(g) + gguf_file_bytes(g);
    for (size_t i = 0; i < gguf_kv_count(g); i++)
        sum += gguf_walk_kv(gguf_kv_at(g, i));
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        sum += gguf_walk_bytes(t->name.data, t->name.len);
        sum += gguf_walk_bytes(t->data, t->bytes);
    }
    return sum;
}

#endif
