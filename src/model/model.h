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

/* Of rotations: bases a file may ask for. */
#define MODEL_ROPE_BASE_MIN 2.0f
#define MODEL_ROPE_BASE_MAX 1e12f

/* How positions beyond those a model was trained on are reached (`rope.scaling.*`). */
struct model_rope_scaling {
    float factor;     /* positions are divided by this; 1: no scaling */
    bool is_yarn;     /* only for slow pairs (Peng et al. 2023); else for all */
    float context;    /* positions it was trained on */
    float turns_fast; /* pairs that turn at least so often in these positions stay as they are */
    float turns_slow; /* and those that turn at most so often are divided in full */
    float magnitude;  /* of cosines and sines */
};

struct model_params {
    int32_t layers;
    int32_t width;    /* floats of a row between layers */
    int32_t heads;    /* query heads */
    int32_t kv_heads; /* divides heads */
    int32_t head_dim;
    int32_t ffn; /* floats inside the feed-forward part */
    int32_t vocab;
    int32_t context;  /* longest sequence it was made for */
    int32_t rope_dim; /* dimensions of a head that rotate; even, <= head_dim */
    float rope_base;
    struct model_rope_scaling rope_scaling;
    float norm_eps;
    float attn_scale; /* of scores */
};

/* How positions turn the pairs of a head. */
struct model_rope {
    double *steps;   /* [rope_dim/2] angle of each pair from one position to the next */
    float magnitude; /* of cosines and sines */
};

/*
 * A layer. Matrices [n_out][n_in], borrowed from the file or packed; vectors f32, owned. What
 * an architecture or a file does not have is NULL.
 */
struct model_layer {
    float *attn_norm;              /* [width] */
    struct tensor_matrix attn_q;   /* [heads*head_dim][width] */
    struct tensor_matrix attn_k;   /* [kv_heads*head_dim][width] */
    struct tensor_matrix attn_v;   /* [kv_heads*head_dim][width] */
    struct tensor_matrix attn_o;   /* [width][heads*head_dim] */
    float *attn_q_bias;            /* [heads*head_dim] */
    float *attn_k_bias;            /* [kv_heads*head_dim] */
    float *attn_v_bias;            /* [kv_heads*head_dim] */
    float *attn_o_bias;            /* [width] */
    float *attn_q_norm;            /* [head_dim] of each query head */
    float *attn_k_norm;            /* [head_dim] of each key head */
    float *attn_post_norm;         /* [width] of what attention adds */
    float *ffn_norm;               /* [width] */
    struct tensor_matrix ffn_gate; /* [ffn][width] */
    struct tensor_matrix ffn_up;   /* [ffn][width] */
    struct tensor_matrix ffn_down; /* [width][ffn] */
    float *ffn_post_norm;          /* [width] of what the feed-forward part adds */
    int64_t window;                /* keys a row sees, itself included; 0: all */
    int32_t rope;                  /* index in model.ropes */
};

enum {
    MODEL_ROPES_MAX = 2
};

struct model_arch; /* arch/arch.h */

struct model {
    struct gguf *file;
    const struct model_arch *arch;
    const struct tensor_isa *isa;
    struct team *team;
    struct model_params params;
    struct tensor_matrix embed; /* [vocab][width]; rows are looked up in the file */
    float embed_scale;          /* of its rows */
    struct tensor_matrix head;  /* [vocab][width]; the embedding once more if tied */
    float *out_norm;            /* [width] */
    struct model_layer *layers; /* [params.layers] */
    struct model_rope ropes[MODEL_ROPES_MAX];
    int32_t rope_count;
    bool *used; /* [tensors of the file] that the loader asked for */
    uint64_t parameters;
    uint64_t weight_bytes; /* in the file */
    uint64_t packed_bytes;
};

/*
 * Opens the file, checks that it is a whole model of a known architecture, and packs its
 * weights for `isa`. E_IO, E_INVALID, E_CORRUPT, E_UNSUPPORTED, E_NOMEM, with one line in
 * `info`; E_INVALID as gguf_open.
 * `isa` and `team` are borrowed until model_close. Gives: model_close.
 *
 * team NULL: a look at the model. Everything is checked and packed_bytes says what packing would
 * take, but nothing is packed and there is no forward pass.
 */
enum base_err model_open(const char *path, const struct tensor_isa *isa, struct team *team,
                         struct model **out, struct base_err_info *info);
void model_close(struct model *m);

/* Rows of one forward pass: neighbours of one sequence stand in ascending positions. */
struct model_batch {
    struct tensor_rows rows;
    const int32_t *ids; /* [rows.n_rows] tokens */
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
    float *x;                    /* [rows_max][width] the residual stream */
    float *h;                    /* [rows_max][width] normed rows; also what a part adds to x */
    float *q;                    /* [rows_max][heads*head_dim] */
    float *k;                    /* [piece_rows][kv_heads*head_dim] */
    float *v;                    /* [piece_rows][kv_heads*head_dim] */
    float *attn;                 /* [rows_max][heads*head_dim] */
    float *gate;                 /* [piece_rows][ffn] */
    float *up;                   /* [piece_rows][ffn] */
    float *rot[MODEL_ROPES_MAX]; /* [rows_max][rope_dim/2][2] cosine, sine; of each rope */
};

/* Gives: model_state_fini. E_NOMEM. */
enum base_err model_state_init(struct model_state *s, const struct model *m, int64_t rows_max,
                               int64_t out_max);
void model_state_fini(struct model_state *s);

/* Bytes that model_state_init would take with a team of `members`. */
size_t model_state_bytes(const struct model *m, int members, int64_t rows_max);

/*
 * One forward pass: keys and values of all rows go to `kv`, logits [out_count][vocab] f32.
 * Calls the team; no allocation.
 */
void model_forward(const struct model *m, struct model_state *s, struct tensor_kv *kv,
                   const struct model_batch *batch, float *logits);

#endif
