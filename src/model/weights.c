/*
 * The tensors of a model: finding them, checking their shapes, copying vectors, packing
 * matrices for the kernels.
 */
#include <stdio.h>

#include "base/mem.h"
#include "model/arch/arch.h"
#include "model/model_int.h"
#include "tensor/dequant.h"

enum {
    NAME_BYTES = 96
};

/* Finds a tensor and checks its shape: `rows` x `columns`, rows 1 for a vector. */
static enum base_err find(struct model *m, const char *name, int64_t rows, int64_t columns,
                          const struct gguf_tensor **out, struct base_err_info *info)
{
    const struct gguf_tensor *t = gguf_tensor_find(m->file, name);
    if (!t)
        return base_err_set(info, E_CORRUPT, "model file lacks the tensor '%s'", name);
    if (t->dims[0] != columns || t->dims[1] != rows || t->dims[2] != 1 || t->dims[3] != 1)
        return base_err_set_at(
            info, E_CORRUPT, t->byte, "tensor '%s' is %lld x %lld, expected %lld x %lld", name,
            (long long)t->dims[0], (long long)t->dims[1], (long long)columns, (long long)rows);
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
enum base_err model_check_all_used(const struct model *m, struct base_err_info *info)
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

enum base_err model_load_vector(struct model *m, const char *name, int64_t n, float **out,
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
static enum base_err pack(struct model *m, struct tensor_matrix *matrix, struct base_err_info *info)
{
    if (!m->team) {
        m->packed_bytes += tensor_matrix_packed_bytes(matrix, m->isa);
        return OK;
    }
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

static const char *layer_name(int32_t layer, const char *part, char out[static NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "blk.%d.%s", layer, part);
    return out;
}

enum base_err model_load_layer_vector(struct model *m, int32_t layer, const char *part, int64_t n,
                                      float **out, struct base_err_info *info)
{
    char name[NAME_BYTES];
    return model_load_vector(m, layer_name(layer, part, name), n, out, info);
}

enum base_err model_load_layer_vector_if(struct model *m, int32_t layer, const char *part,
                                         int64_t n, float **out, struct base_err_info *info)
{
    char name[NAME_BYTES];
    if (!gguf_tensor_find(m->file, layer_name(layer, part, name)))
        return OK;
    return model_load_vector(m, name, n, out, info);
}

enum base_err model_load_layer_matrix(struct model *m, int32_t layer, const char *part,
                                      int64_t n_out, int64_t n_in, struct tensor_matrix *out,
                                      struct base_err_info *info)
{
    char name[NAME_BYTES];
    return load_matrix(m, layer_name(layer, part, name), n_out, n_in, out, info);
}

enum base_err model_load_ends(struct model *m, struct base_err_info *info)
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
        rc = model_load_vector(m, "output_norm.weight", m->params.width, &m->out_norm, info);
    if (rc)
        return rc;
    if (gguf_tensor_find(m->file, "output.weight"))
        return load_matrix(m, "output.weight", m->params.vocab, m->params.width, &m->head, info);
    m->head = m->embed;
    return pack(m, &m->head, info);
}
