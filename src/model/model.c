/*
 * A model as a whole: opening and closing it, and the buffers of a forward pass. Everything
 * that later code takes for granted about sizes and shapes is checked while loading, once.
 */
#include "model/model.h"

#include <string.h>

#include "base/mem.h"
#include "model/arch/arch.h"
#include "model/model_int.h"

/* ---- architectures ---- */

static const struct model_arch *const g_archs[] = {
    &model_arch_gemma3,
    &model_arch_llama,
    &model_arch_qwen2,
    &model_arch_qwen3,
};

enum {
    ARCH_COUNT = sizeof g_archs / sizeof g_archs[0]
};

static enum base_err find_arch(const struct gguf *file, const struct model_arch **out,
                               struct base_err_info *info)
{
    struct gguf_str name = { 0 };
    enum base_err rc = gguf_get_str(file, "general.architecture", &name, info);
    if (rc == E_NOT_FOUND)
        return base_err_set(info, E_CORRUPT, "model file lacks the key 'general.architecture'");
    if (rc)
        return rc;
    char known[128] = "";
    for (int i = 0; i < ARCH_COUNT; i++) {
        const char *known_name = g_archs[i]->name;
        if (name.len == strlen(known_name) && memcmp(name.data, known_name, name.len) == 0) {
            *out = g_archs[i];
            return OK;
        }
        strncat(known, i ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, known_name, sizeof known - strlen(known) - 1);
    }
    return base_err_set(info, E_UNSUPPORTED,
                        "model architecture '%.*s' is not supported; supported: %s",
                        (int)(name.len < 40 ? name.len : 40), name.data, known);
}

/* ---- open and close ---- */

static enum base_err load(struct model *m, struct base_err_info *info)
{
    enum base_err rc = find_arch(m->file, &m->arch, info);
    if (rc)
        return rc;
    m->used = mem_calloc(MEM_MODEL, gguf_tensor_count(m->file) + 1, sizeof *m->used);
    if (!m->used)
        return base_err_set(info, E_NOMEM, "out of memory");
    rc = model_params_read(m, info);
    if (!rc)
        rc = model_load_ends(m, info);
    if (rc)
        return rc;
    m->layers = mem_calloc(MEM_MODEL, (size_t)m->params.layers, sizeof *m->layers);
    if (!m->layers)
        return base_err_set(info, E_NOMEM, "out of memory for %d layers", m->params.layers);
    rc = m->arch->load(m, info);
    return rc ? rc : model_check_all_used(m, info);
}

enum base_err model_open(const char *path, const struct tensor_isa *isa, struct team *team,
                         struct model **out, struct base_err_info *info)
{
    *out = NULL;
    struct model *m = mem_calloc(MEM_MODEL, 1, sizeof *m);
    if (!m)
        return base_err_set(info, E_NOMEM, "out of memory");
    m->embed_scale = 1;
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
    float *const vectors[] = {
        l->attn_norm,   l->attn_q_bias, l->attn_k_bias,    l->attn_v_bias, l->attn_o_bias,
        l->attn_q_norm, l->attn_k_norm, l->attn_post_norm, l->ffn_norm,    l->ffn_post_norm,
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        mem_free(vectors[i]);
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
    for (int32_t i = 0; i < m->rope_count; i++)
        mem_free(m->ropes[i].steps);
    mem_free(m->out_norm);
    mem_free(m->used);
    tensor_matrix_unpack(&m->head);
    gguf_close(m->file);
    mem_free(m);
}

/* ---- buffers of a forward pass ---- */

/* Floats of an array of `row` floats for each of `rows` rows: whole cache lines. */
static size_t array_floats(size_t row, int64_t rows)
{
    return (row * (size_t)rows + 15) & ~(size_t)15;
}

/* Points the arrays of `s` into its buffer; returns the floats they take. */
static size_t lay_out(struct model_state *s, const struct model *m, int members, int64_t rows_max)
{
    const struct model_params *p = &m->params;
    size_t q = (size_t)p->heads * (size_t)p->head_dim;
    size_t kv = (size_t)p->kv_heads * (size_t)p->head_dim;
    int64_t piece_rows = tensor_piece_rows(members, rows_max);
    const struct {
        float **array;
        size_t row;
        int64_t rows;
    } arrays[] = {
        { &s->x, (size_t)p->width, rows_max },
        { &s->h, (size_t)p->width, rows_max },
        { &s->q, q, rows_max },
        { &s->attn, q, rows_max },
        { &s->rot[0], m->rope_count > 0 ? (size_t)p->rope_dim : 0, rows_max },
        { &s->rot[1], m->rope_count > 1 ? (size_t)p->rope_dim : 0, rows_max },
        { &s->k, kv, piece_rows },
        { &s->v, kv, piece_rows },
        { &s->gate, (size_t)p->ffn, piece_rows },
        { &s->up, (size_t)p->ffn, piece_rows },
    };
    size_t floats = 0;
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        *arrays[i].array = s->buffer ? s->buffer + floats : NULL;
        floats += array_floats(arrays[i].row, arrays[i].rows);
    }
    return floats;
}

/* Inputs of the widest multiplication of a layer. */
static int64_t n_in_max(const struct model_params *p)
{
    int64_t widest = p->ffn > p->width ? p->ffn : p->width;
    int64_t q = (int64_t)p->heads * p->head_dim;
    return widest > q ? widest : q;
}

size_t model_state_bytes(const struct model *m, int members, int64_t rows_max)
{
    struct model_state s = { 0 };
    return lay_out(&s, m, members, rows_max) * sizeof(float) +
           tensor_ctx_bytes(m->isa, members, rows_max, n_in_max(&m->params));
}

enum base_err model_state_init(struct model_state *s, const struct model *m, int64_t rows_max,
                               int64_t out_max)
{
    *s = (struct model_state){ .rows_max = rows_max, .out_max = out_max };
    const int members = team_size(m->team);
    s->buffer_bytes = lay_out(s, m, members, rows_max) * sizeof(float);
    s->buffer = mem_map(MEM_MODEL, s->buffer_bytes);
    if (!s->buffer)
        return E_NOMEM;
    lay_out(s, m, members, rows_max);
    enum base_err rc = tensor_ctx_init(&s->ctx, m->isa, m->team, rows_max, n_in_max(&m->params));
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
