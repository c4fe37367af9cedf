#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/gguf.h"
#include "tensor/tensor.h"

/*
 * A model: the mapped file, what it says about itself, its weights, and the forward pass.
 *
 * Threads: constant once loaded. A forward pass uses the team and a model_state, both of
 * which one thread owns at a time.
 */

/* Sizes that a file may ask for; more is E_UNSUPPORTED. */
enum {
    MODEL_LAYERS_MAX = 1024,
    MODEL_WIDTH_MAX = 1 << 17,
    MODEL_HEADS_MAX = 1024,
    MODEL_HEAD_DIM_MAX = 256,
    MODEL_FFN_MAX = 1 << 20,
    MODEL_VOCAB_MAX = 1 << 20,
    MODEL_CONTEXT_MAX = 1 << 24
};

struct model_params {
    int32_t layers;
    int32_t width;    /* floats of a row between layers */
    int32_t heads;    /* query heads */
    int32_t kv_heads; /* divides heads */
    int32_t head_dim;
    int32_t ffn; /* floats inside the feed-forward part */
    int32_t vocab;
    int32_t context; /* longest sequence it was made for */
    int32_t rope_dim; /* dimensions of a head that rotate; even, <= head_dim */
    float rope_base;
    float norm_eps;
};

/* Weights of a layer; matrices [n_out][n_in], norms f32. All borrowed from the file or packed. */
struct model_layer {
    float *attn_norm;            /* [width] */
    struct tensor_matrix attn_q; /* [heads*head_dim][width] */
    struct tensor_matrix attn_k; /* [kv_heads*head_dim][width] */
    struct tensor_matrix attn_v; /* [kv_heads*head_dim][width] */
    struct tensor_matrix attn_o; /* [width][heads*head_dim] */
    float *ffn_norm;             /* [width] */
    struct tensor_matrix ffn_gate; /* [ffn][width] */
    struct tensor_matrix ffn_up;   /* [ffn][width] */
    struct tensor_matrix ffn_down; /* [width][ffn] */
};

struct model {
    struct gguf *file;
    const struct tensor_isa *isa;
    struct team *team;
    struct model_params params;
    struct tensor_matrix embed;  /* [vocab][width]; rows are looked up in the file */
    struct tensor_matrix head;   /* [vocab][width]; the embedding once more if tied */
    float *out_norm;             /* [width] */
    struct model_layer *layers;  /* [params.layers] */
    bool *used;                  /* [tensors of the file] that the loader asked for */
    uint64_t parameters;
    uint64_t weight_bytes;       /* in the file */
    uint64_t packed_bytes;
};

/*
 * Opens the file, checks that it is a whole model of a known architecture, and packs its
 * weights for `isa`. E_IO, E_CORRUPT, E_UNSUPPORTED, E_NOMEM, with one line in `info`.
 * `isa` and `team` are borrowed until model_close. Gives: model_close.
 */
enum base_err model_open(const char *path, const struct tensor_isa *isa, struct team *team,
                         struct model **out, struct base_err_info *info);
void model_close(struct model *m);

/* Rows of one forward pass: neighbours of one sequence stand in ascending positions. */
struct model_batch {
    struct tensor_rows rows;
    const int32_t *ids;      /* [rows.n_rows] tokens */
    int64_t out_count;
    const int32_t *out_rows; /* [out_count] rows whose logits are wanted, ascending */
};

/* The buffers of a forward pass. */
struct model_state {
    struct tensor_ctx ctx;
    int64_t rows_max;
    int64_t out_max;
    float *buffer; /* all of the below */
    size_t buffer_bytes;
    float *x;    /* [rows_max][width] the residual stream */
    float *h;    /* [rows_max][width] normed rows; also what a part adds to x */
    float *q;    /* [rows_max][heads*head_dim] */
    float *k;    /* [rows_max][kv_heads*head_dim] */
    float *v;    /* [rows_max][kv_heads*head_dim] */
    float *attn; /* [rows_max][heads*head_dim] */
    float *gate; /* [rows_max][ffn] */
    float *up;   /* [rows_max][ffn] */
    float *rot;  /* [rows_max][rope_dim/2][2] cosine, sine */
};

/* Gives: model_state_fini. E_NOMEM. */
enum base_err model_state_init(struct model_state *s, const struct model *m, int64_t rows_max,
                               int64_t out_max);
void model_state_fini(struct model_state *s);

/*
 * One forward pass: keys and values of all rows go to `kv`, logits [out_count][vocab] f32.
 * Calls the team; no allocation.
 */
void model_forward(const struct model *m, struct model_state *s, struct tensor_kv *kv,
                   const struct model_batch *batch, float *logits);

#endif
