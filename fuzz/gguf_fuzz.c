/*
 * Any bytes are either a GGUF file that can be read in full or an error with a message.
 *
 * clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -DVALET_CHECKS=1 -Isrc -Itests \
 *     fuzz/gguf_fuzz.c src/model/gguf*.c src/tensor/types.c src/base/[a-z]*.c -lm -pthread
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "model/gguf.h"
#include "model/gguf_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const struct gguf *g)
{
    for (size_t i = 0; i < gguf_kv_count(g); i++) {
        const struct gguf_kv *kv = gguf_kv_at(g, i);
        char *key = mem_strndup(MEM_BASE, kv->key.data, kv->key.len);
        ASSERT(key);
        const struct gguf_kv *found = gguf_kv_find(g, key);
        ASSERT(found == kv || strlen(key) < kv->key.len); /* a zero byte hides the rest */
        uint64_t u = 0;
        float f = 0;
        bool b = false;
        struct gguf_str s = { NULL, 0 };
        struct base_err_info info;
        (void)gguf_get_u64(g, key, &u, &info);
        (void)gguf_get_f32(g, key, &f, &info);
        (void)gguf_get_bool(g, key, &b, &info);
        (void)gguf_get_str(g, key, &s, &info);
        mem_free(key);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Tensors are read behind a 64-byte aligned start; the end is exact, so that one byte too
     * far is seen. */
    void *copy = NULL;
    int failed = posix_memalign(&copy, 64, size ? size : 1);
    ASSERT(!failed);
    memcpy(copy, data, size);

    struct gguf *g;
    struct base_err_info info = { .code = OK };
    enum base_err rc = gguf_parse(copy, size, &g, &info);
    if (rc) {
        ASSERT(!g && info.code == rc && info.message[0]);
        ASSERT(info.byte >= 0 && (size_t)info.byte <= size);
    } else {
        volatile uint64_t sum = gguf_walk(g);
        (void)sum;
        look_up(g);
        gguf_close(g);
    }
    ASSERT(mem_live_blocks() == 0);
    free(copy);
    return 0;
}
