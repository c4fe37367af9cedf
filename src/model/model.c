/*
 * Loading a model: which architecture, which sizes, which tensors; then packing. Everything
 * that later code takes for granted about shapes is checked here, once.
 */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "model/arch/llama.h"
#include "tensor/dequant.h"

/* ---- sizes ---- */

/* Reads "<arch>.<key>" into *out if it is there, and checks the range. */
static enum base_err param(const struct gguf *file, const char *arch, const char *key, int32_t min,
                           int32_t max, int32_t *out, struct base_err_info *info)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    uint64_t value = 0;
    enum base_err rc = gguf_get_u64(file, name, &value, info);
    if (rc == E_NOT_FOUND) {
        if (*out >= min)
            return OK; /* the caller's default */
        return base_err_set(info, E_CORRUPT, "model file lacks the key '%s'", name);
    }
    if (rc)
        return rc;
    if (value < (uint64_t)min || value > (uint64_t)max)
        return base_err_set(info, E_UNSUPPORTED, "'%s' is %llu, expected %d to %d", name,
                            (unsigned long long)value, min, max);
    *out = (int32_t)value;
    return OK;
}

static enum base_err param_f32(const struct gguf *file, const char *arch, const char *key,
                               float min, float max, float *out, struct base_err_info *info)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    enum base_err rc = gguf_get_f32(file, name, out, info);
    if (rc && rc != E_NOT_FOUND)
        return rc;
    if (!(*out >= min && *out <= max))
        return base_err_set(info, E_UNSUPPORTED, "'%s' is %g, expected %g to %g", name,
                            (double)*out, (double)min, (double)max);
    return OK;
}

/* A key that changes the computation in a way that is not built. */
static enum base_err refuse_key(const struct gguf *file, const char *arch, const char *key,
                                struct base_err_info *info)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    const struct gguf_kv *kv = gguf_kv_find(file, name);
    if (!kv)
        return OK;
    if (kv->kind == GGUF_STRING) {
        struct gguf_str s = { 0 };
        if (gguf_get_str(file, name, &s, NULL) == OK && s.len == 4 && memcmp(s.data, "none", 4) == 0)
            return OK;
    }
    return base_err_set_at(info, E_UNSUPPORTED, kv->byte, "'%s' is not supported yet", name);
}

static enum base_err read_params(const struct gguf *file, const char *arch, struct model_params *p,
                                 struct base_err_info *info)
{
    *p = (struct model_params){ .rope_base = 10000.0f, .norm_eps = 1e-5f };
    enum base_err rc = param(file, arch, "block_count", 1, MODEL_LAYERS_MAX, &p->layers, info);
    if (!rc)
        rc = param(file, arch, "embedding_length", 1, MODEL_WIDTH_MAX, &p->width, info);
    if (!rc)
        rc = param(file, arch, "feed_forward_length", 1, MODEL_FFN_MAX, &p->ffn, info);
    if (!rc)
        rc = param(file, arch, "context_length", 1, MODEL_CONTEXT_MAX, &p->context, info);
    if (!rc)
        rc = param(file, arch, "attention.head_count", 1, MODEL_HEADS_MAX, &p->heads, info);
    if (rc)
        return rc;
    p->kv_heads = p->heads;
    rc = param(file, arch, "attention.head_count_kv", 1, p->heads, &p->kv_heads, info);
    if (rc)
        return rc;
    p->head_dim = p->width / p->heads;
    rc = param(file, arch, "attention.key_length", 1, MODEL_HEAD_DIM_MAX, &p->head_dim, info);
    int32_t value_dim = p->head_dim;
    if (!rc)
        rc = param(file, arch, "attention.value_length", 1, MODEL_HEAD_DIM_MAX, &value_dim, info);
    if (rc)
        return rc;
    p->rope_dim = p->head_dim;
    rc = param(file, arch, "rope.dimension_count", 2, p->head_dim, &p->rope_dim, info);
    if (!rc)
        rc = param_f32(file, arch, "rope.freq_base", 1.0f, 1e12f, &p->rope_base, info);
    if (!rc)
        rc = param_f32(file, arch, "attention.layer_norm_rms_epsilon", 0.0f, 1.0f, &p->norm_eps,
                       info);
    if (!rc)
        rc = refuse_key(file, arch, "rope.scaling.type", info);
    if (rc)
        return rc;
    if (p->heads % p->kv_heads != 0)
        return base_err_set(info, E_CORRUPT, "%d query heads cannot share %d KV heads", p->heads,
                            p->kv_heads);
    if (value_dim != p->head_dim || p->head_dim > MODEL_HEAD_DIM_MAX || p->rope_dim % 2 != 0)
        return base_err_set(info, E_UNSUPPORTED,
                            "head dimensions %d (keys), %d (values), %d (rope) are not supported",
                            p->head_dim, value_dim, p->rope_dim);
    return OK;
}

/* ---- tensors ---- */

/* Finds a tensor and checks its shape: `rows` x `columns`, rows 1 for a vector. */
static enum base_err find(struct model *m, const char *name, int64_t rows, int64_t columns,
                          const struct gguf_tensor **out, struct base_err_info *info)
{
    const struct gguf_tensor *t = gguf_tensor_find(m->file, name);
    if (!t)
        return base_err_set(info, E_CORRUPT, "model file lacks the tensor '%s'", name);
    if (t->dims[0] != columns || t->dims[1] != rows || t->dims[2] != 1 || t->dims[3] != 1)
        return base_err_set_at(info, E_CORRUPT, t->byte,
                               "tensor '%s' is %lld x %lld, expected %lld x %lld", name,
                               (long long)t->dims[0], (long long)t->dims[1], (long long)columns,
                               (long long)rows);
    if (!tensor_matrix_is_supported(m->isa, (enum tensor_type)t->type, columns))
        return base_err_set_at(info, E_UNSUPPORTED, t->byte,
                               "tensor '%s' has a type (%u) without kernels for %s", name, t->type,
                               tensor_isa_name(m->isa));
    m->used[t - gguf_tensor_at(m->file, 0)] = true;
    *out = t;
    return OK;
}

/*
 * A tensor that nobody asked for changes the computation in a way that is not built (biases,
 * factors of rotations): better refused than computed wrongly.
 */
static enum base_err check_all_used(const struct model *m, struct base_err_info *info)
{
    for (size_t i = 0; i < gguf_tensor_count(m->file); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(m->file, i);
        if (!m->used[i])
            return base_err_set_at(info, E_UNSUPPORTED, t->byte,
                                   "tensor '%.*s' is not supported yet", (int)t->name.len,
                                   t->name.data);
    }
    return OK;
}

/* A vector as f32, whatever its type in the file. Gives: mem_free. */
static enum base_err load_vector(struct model *m, const char *name, int64_t n, float **out,
                                 struct base_err_info *info)
{
    const struct gguf_tensor *t;
    enum base_err rc = find(m, name, 1, n, &t, info);
    if (rc)
        return rc;
    float *v = mem_alloc(MEM_MODEL, (size_t)n * sizeof *v);
    if (!v)
        return base_err_set(info, E_NOMEM, "out of memory for tensor '%s'", name);
    tensor_dequant((enum tensor_type)t->type, t->data, n, v);
    m->parameters += (uint64_t)n;
    m->weight_bytes += t->bytes;
    *out = v;
    return OK;
}

static enum base_err map_matrix(struct model *m, const char *name, int64_t n_out, int64_t n_in,
                                struct tensor_matrix *out, struct base_err_info *info)
{
    const struct gguf_tensor *t;
    enum base_err rc = find(m, name, n_out, n_in, &t, info);
    if (rc)
        return rc;
    *out = (struct tensor_matrix){
        .type = (enum tensor_type)t->type, .n_out = n_out, .n_in = n_in, .rows = t->data
    };
    m->parameters += (uint64_t)n_out * (uint64_t)n_in;
    m->weight_bytes += t->bytes;
    return OK;
}

/* Packs a matrix and gives its pages of the file back. */
static enum base_err pack(struct model *m, struct tensor_matrix *matrix,
                          struct base_err_info *info)
{
    enum base_err rc = tensor_matrix_pack(matrix, m->isa, m->team);
    if (rc)
        return base_err_set(info, rc, "out of memory for the weights");
    if (matrix->packed)
        gguf_drop_pages(m->file, matrix->rows,
                        (size_t)matrix->n_out * tensor_row_bytes(matrix->type, matrix->n_in));
    m->packed_bytes += matrix->packed_bytes;
    return OK;
}

static enum base_err load_matrix(struct model *m, const char *name, int64_t n_out, int64_t n_in,
                                 struct tensor_matrix *out, struct base_err_info *info)
{
    enum base_err rc = map_matrix(m, name, n_out, n_in, out, info);
    return rc ? rc : pack(m, out, info);
}

enum base_err model_load_layer_vector(struct model *m, int32_t layer, const char *part, int64_t n,
                                      float **out, struct base_err_info *info)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s.weight", layer, part);
    return load_vector(m, name, n, out, info);
}

enum base_err model_load_layer_matrix(struct model *m, int32_t layer, const char *part,
                                      int64_t n_out, int64_t n_in, struct tensor_matrix *out,
                                      struct base_err_info *info)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s.weight", layer, part);
    return load_matrix(m, name, n_out, n_in, out, info);
}

static enum base_err load_ends(struct model *m, struct base_err_info *info)
{
    const struct gguf_tensor *t = gguf_tensor_find(m->file, "token_embd.weight");
    if (!t)
        return base_err_set(info, E_CORRUPT, "model file lacks the tensor 'token_embd.weight'");
    if (t->dims[1] < 1 || t->dims[1] > MODEL_VOCAB_MAX)
        return base_err_set_at(info, E_UNSUPPORTED, t->byte, "a vocabulary of %lld tokens",
                               (long long)t->dims[1]);
    m->params.vocab = (int32_t)t->dims[1];
    enum base_err rc =
        map_matrix(m, "token_embd.weight", m->params.vocab, m->params.width, &m->embed, info);
    if (!rc)
        rc = load_vector(m, "output_norm.weight", m->params.width, &m->out_norm, info);
    if (rc)
        return rc;
    if (gguf_tensor_find(m->file, "output.weight"))
        return load_matrix(m, "output.weight", m->params.vocab, m->params.width, &m->head, info);
    m->head = m->embed;
    return pack(m, &m->head, info);
}

/* ---- open and close ---- */

static enum base_err load(struct model *m, struct base_err_info *info)
{
    struct gguf_str arch = { 0 };
    enum base_err rc = gguf_get_str(m->file, "general.architecture", &arch, info);
    if (rc == E_NOT_FOUND)
        return base_err_set(info, E_CORRUPT, "model file lacks the key 'general.architecture'");
    if (rc)
        return rc;
    if (arch.len != 5 || memcmp(arch.data, "llama", 5) != 0)
        return base_err_set(info, E_UNSUPPORTED,
                            "model architecture '%.*s' is not supported; supported: llama",
                            (int)(arch.len < 40 ? arch.len : 40), arch.data);
    m->used = mem_calloc(MEM_MODEL, gguf_tensor_count(m->file) + 1, sizeof *m->used);
    if (!m->used)
        return base_err_set(info, E_NOMEM, "out of memory");
    rc = read_params(m->file, "llama", &m->params, info);
    if (!rc)
        rc = load_ends(m, info);
    if (rc)
        return rc;
    m->layers = mem_calloc(MEM_MODEL, (size_t)m->params.layers, sizeof *m->layers);
    if (!m->layers)
        return base_err_set(info, E_NOMEM, "out of memory for %d layers", m->params.layers);
    for (int32_t i = 0; i < m->params.layers; i++) {
        rc = llama_load_layer(m, i, info);
        if (rc)
            return rc;
    }
    return check_all_used(m, info);
}

enum base_err model_open(const char *path, const struct tensor_isa *isa, struct team *team,
                         struct model **out, struct base_err_info *info)
{
    *out = NULL;
    struct model *m = mem_calloc(MEM_MODEL, 1, sizeof *m);
    if (!m)
        return base_err_set(info, E_NOMEM, "out of memory");
    m->isa = isa;
    m->team = team;
    enum base_err rc = gguf_open(path, &m->file, info);
    if (!rc)
        rc = load(m, info);
    if (rc) {
        model_close(m);
        return rc;
    }
    *out = m;
    return OK;
}

static void free_layer(struct model_layer *l)
{
    mem_free(l->attn_norm);
    mem_free(l->ffn_norm);
    tensor_matrix_unpack(&l->attn_q);
    tensor_matrix_unpack(&l->attn_k);
    tensor_matrix_unpack(&l->attn_v);
    tensor_matrix_unpack(&l->attn_o);
    tensor_matrix_unpack(&l->ffn_gate);
    tensor_matrix_unpack(&l->ffn_up);
    tensor_matrix_unpack(&l->ffn_down);
}

void model_close(struct model *m)
{
    if (!m)
        return;
    for (int32_t i = 0; m->layers && i < m->params.layers; i++)
        free_layer(&m->layers[i]);
    mem_free(m->layers);
    mem_free(m->out_norm);
    mem_free(m->used);
    tensor_matrix_unpack(&m->head);
    gguf_close(m->file);
    mem_free(m);
}

/* ---- forward ---- */

enum base_err model_state_init(struct model_state *s, const struct model *m, int64_t rows_max,
                               int64_t out_max)
{
    const struct model_params *p = &m->params;
    *s = (struct model_state){ .rows_max = rows_max, .out_max = out_max };
    size_t q = (size_t)p->heads * (size_t)p->head_dim;
    size_t kv = (size_t)p->kv_heads * (size_t)p->head_dim;
    const struct {
        float **array;
        size_t row;
    } arrays[] = {
        { &s->x, (size_t)p->width }, { &s->h, (size_t)p->width }, { &s->q, q },
        { &s->k, kv },               { &s->v, kv },               { &s->attn, q },
        { &s->gate, (size_t)p->ffn }, { &s->up, (size_t)p->ffn }, { &s->rot, (size_t)p->rope_dim },
    };
    enum {
        COUNT = sizeof arrays / sizeof arrays[0]
    };
    size_t floats = 0;
    for (int i = 0; i < COUNT; i++)
        floats += (arrays[i].row * (size_t)rows_max + 15) & ~(size_t)15;
    s->buffer_bytes = floats * sizeof(float);
    s->buffer = mem_map(MEM_MODEL, s->buffer_bytes);
    if (!s->buffer)
        return E_NOMEM;
    float *next = s->buffer;
    for (int i = 0; i < COUNT; i++) {
        *arrays[i].array = next;
        next += (arrays[i].row * (size_t)rows_max + 15) & ~(size_t)15;
    }
    int64_t widest = p->ffn > p->width ? p->ffn : p->width;
    widest = widest > (int64_t)q ? widest : (int64_t)q;
    enum base_err rc = tensor_ctx_init(&s->ctx, m->isa, m->team, rows_max, widest);
    if (rc)
        model_state_fini(s);
    return rc;
}

void model_state_fini(struct model_state *s)
{
    tensor_ctx_fini(&s->ctx);
    mem_unmap(MEM_MODEL, s->buffer, s->buffer_bytes);
    *s = (struct model_state){ 0 };
}

void model_forward(const struct model *m, struct model_state *s, struct tensor_kv *kv,
                   const struct model_batch *batch, float *logits)
{
    ASSERT(batch->rows.n_rows <= s->rows_max && batch->out_count <= s->out_max);
    llama_forward(m, s, kv, batch, logits);
}
