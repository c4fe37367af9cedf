/*
 * Any bytes are either a model that can be used or an error with one line: the container read
 * in full, the model as `valet inspect` and `valet serve` open it, its tokenizer, its chat
 * template, and a forward pass of a few rows.
 *
 * The input: a GGUF file; where GGUF and a version stand once more at a multiple of 32, the next
 * part of a split model begins. gguf_mutate.c changes files so that most stay files.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/loaded.h"
#include "gguf_parts.h"
#include "model/gguf_walk.h"
#include "template/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    ROWS = 3,
    NAME_BYTES = 128
};

static char g_folder[64];

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

/* One line that a terminal can show. */
static void check_line(const char *message)
{
    ASSERT(message[0] && utf8_is_valid(message, strlen(message)));
    for (; *message; message++)
        ASSERT((unsigned char)*message >= 0x20 && *message != 0x7f);
}

static void check_container(const struct part *part)
{
    /* Tensors are read behind a 64-byte aligned start; the end is exact, so that one byte too
     * far is seen. */
    void *copy = NULL;
    int failed = posix_memalign(&copy, 64, part->size ? part->size : 1);
    ASSERT(!failed);
    memcpy(copy, part->data, part->size);

    struct gguf *g;
    struct base_err_info info = { .code = OK };
    enum base_err rc = gguf_parse(copy, part->size, &g, &info);
    if (rc) {
        ASSERT(!g && info.code == rc && rc != E_NOMEM);
        ASSERT(info.byte >= 0 && (size_t)info.byte <= part->size);
        check_line(info.message);
    } else {
        volatile uint64_t sum = gguf_walk(g);
        (void)sum;
        look_up(g);
        gguf_close(g);
    }
    ASSERT(mem_live_blocks() == 0);
    free(copy);
}

static void part_path(size_t index, size_t count, char out[static NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "%s/m-%05zu-of-%05zu.gguf", g_folder, index + 1, count);
}

static void write_parts(const struct part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char path[NAME_BYTES];
        part_path(i, count, path);
        FILE *f = fopen(path, "wb");
        ASSERT(f && fwrite(parts[i].data, 1, parts[i].size, f) == parts[i].size);
        int failed = fclose(f);
        ASSERT(!failed);
    }
}

static void remove_parts(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char path[NAME_BYTES];
        part_path(i, count, path);
        unlink(path);
    }
}

/* As `valet inspect`: without a team, so that nothing is packed. */
static void check_inspect(const char *path)
{
    const struct tensor_isa *isa;
    struct model *m;
    struct base_err_info info = { .code = OK };
    ASSERT(tensor_isa_find(NULL, &isa, NULL) == OK);
    enum base_err rc = model_open(path, isa, NULL, &m, &info);
    ASSERT(rc == OK || (!m && info.code == rc && rc != E_NOMEM));
    if (rc)
        check_line(info.message);
    model_close(m);
}

static void check_tokenizer(const struct tokenizer *t)
{
    static const char text[] = " The <s>\n 12 caf\xc3\xa9 \xff";
    const struct tokenizer_span span = { text, sizeof text - 1, true };
    struct tokenizer_ids ids;
    tokenizer_ids_init(&ids, 1 << 16);
    enum base_err rc = tokenizer_encode_marked(t, &span, 1, &ids);
    ASSERT(rc == OK);
    for (size_t i = 0; i < ids.count; i++)
        ASSERT(ids.ids[i] >= 0 && ids.ids[i] < tokenizer_count(t));
    tokenizer_ids_fini(&ids);
}

static void check_template(const char *text)
{
    struct jinja_limits limits;
    jinja_template *t;
    struct base_err_info info = { .code = OK };
    jinja_limits_init(&limits);
    enum base_err rc = jinja_compile(text, strlen(text), &limits, &t, &info);
    if (rc)
        check_line(info.message);
    jinja_destroy(t);
}

/* The last tokens of the vocabulary, and their logits into memory of just their size. */
static void check_forward(const struct model *m)
{
    const struct model_params *p = &m->params;
    static const uint32_t table[] = { 0 };
    const uint32_t *blocks[ROWS];
    int32_t pos[ROWS];
    int32_t ids[ROWS];
    int32_t out[ROWS];
    struct model_state state;
    struct tensor_kv kv;
    enum base_err rc = model_state_init(&state, m, ROWS, ROWS);
    ASSERT(rc == OK);
    rc = tensor_kv_init(&kv, m->isa, p->layers, p->kv_heads, p->head_dim, 1);
    ASSERT(rc == OK);
    float *logits = malloc(ROWS * (size_t)p->vocab * sizeof *logits);
    ASSERT(logits);
    for (int i = 0; i < ROWS; i++) {
        blocks[i] = table;
        pos[i] = i;
        out[i] = i;
        ids[i] = (p->vocab - 1 + i) % p->vocab;
    }
    const struct model_batch batch = { .rows = { .n_rows = ROWS, .pos = pos, .blocks = blocks },
                                       .ids = ids,
                                       .out_count = ROWS,
                                       .out_rows = out };
    model_forward(m, &state, &kv, &batch, logits);
    free(logits);
    tensor_kv_fini(&kv);
    model_state_fini(&state);
}

/* As `valet serve`; the kernels vary with the size, so that an input always has the same. */
static void check_serve(const char *path, size_t size)
{
    struct valet_model_options options;
    struct valet_error error = { .code = VALET_OK };
    valet_model *m;
    valet_model_options_init(&options);
    options.threads = 1;
    options.isa = size % 4 ? "ref" : NULL;
    enum valet_err rc = valet_model_load(path, &options, &m, &error);
    if (rc) {
        ASSERT(!m && error.code == rc && rc != VALET_E_NOMEM);
        check_line(error.message);
        return;
    }
    for (int32_t i = 0; i < m->end_count; i++)
        ASSERT(m->end_ids[i] >= 0 && m->end_ids[i] < m->model->params.vocab);
    check_tokenizer(m->tokenizer);
    check_template(m->chat_template);
    check_forward(m->model);
    valet_model_free(m);
}

static void remove_folder(void)
{
    rmdir(g_folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct part parts[PARTS_MAX];
    char path[NAME_BYTES];
    if (!g_folder[0]) {
        const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
        snprintf(g_folder, sizeof g_folder, "%s/valet-fuzz-XXXXXX", dir);
        ASSERT(mkdtemp(g_folder));
        atexit(remove_folder);
    }
    size_t count = parts_find(data, size, parts);
    for (size_t i = 0; i < count; i++)
        check_container(&parts[i]);
    write_parts(parts, count);
    part_path(0, count, path);
    check_inspect(path);
    check_serve(path, size);
    remove_parts(count);
    ASSERT(mem_live_blocks() == 0);
    return 0;
}
