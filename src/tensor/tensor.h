#ifndef TENSOR_TENSOR_H
#define TENSOR_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tensor/team.h"
#include "tensor/types.h"

/*
 * The operations of a forward pass, over a batch of rows. A row is one token of one
 * sequence; what a row gets depends on that row alone, bit for bit, never on the other
 * rows of the batch, on the number of threads or on how a prompt was cut into chunks.
 *
 * A context binds the kernels for one instruction set to a team. All arrays are row-major
 * f32 unless said otherwise. Sizes are the caller's to get right: they are ASSERTed.
 *
 * Threads: one thread at a time for a context; it is member 0 of the team.
 */

struct tensor_isa; /* tensor/isa.h */

/*
 * The kernels by name ("ref", "avx2", "avx512vnni", "amx", "neon"), or the best this CPU has for NULL or "".
 * E_UNSUPPORTED with a line that lists what there is.
 */
enum base_err tensor_isa_find(const char *name, const struct tensor_isa **out,
                              struct base_err_info *info);
const char *tensor_isa_name(const struct tensor_isa *isa);

/* ---- weights ---- */

/*
 * W [n_out][n_in]. `rows` is the matrix as it lies in the file (borrowed, may be unaligned
 * to more than a byte); `packed` is the kernels' own arrangement of it.
 */
struct tensor_matrix {
    enum tensor_type type;
    int64_t n_out;
    int64_t n_in;
    const void *rows;
    void *packed; /* NULL: the kernels read `rows` */
    size_t packed_bytes;
};

struct tensor_ctx {
    const struct tensor_isa *isa;
    struct team *team; /* NULL: work in the calling thread */
    /* Prepared activations of the current input; see tensor_act_set. */
    void *act;
    size_t act_bytes;
    size_t act_row_max; /* bytes of its longest row */
    const float *act_x;
    int64_t act_rows;
    int64_t act_n;
    int64_t piece_row; /* of buffers for pieces the first row of this one: see tensor_each_piece */
};

/* Room for batches of `rows_max` rows of at most `n_in_max` inputs. Gives: tensor_ctx_fini. */
enum base_err tensor_ctx_init(struct tensor_ctx *ctx, const struct tensor_isa *isa,
                              struct team *team, int64_t rows_max, int64_t n_in_max);
void tensor_ctx_fini(struct tensor_ctx *ctx);

/* Bytes that tensor_ctx_init would take; 0 also where they do not fit a size_t. */
size_t tensor_ctx_bytes(const struct tensor_isa *isa, int members, int64_t rows_max,
                        int64_t n_in_max);

/* Whether the kernels can take this matrix: its type, and n_in a multiple of the block. */
bool tensor_matrix_is_supported(const struct tensor_isa *isa, enum tensor_type type, int64_t n_in);

/* Arranges the matrix for the kernels if they want that. E_NOMEM. Gives: tensor_matrix_unpack. */
enum base_err tensor_matrix_pack(struct tensor_matrix *m, const struct tensor_isa *isa,
                                 struct team *team);
void tensor_matrix_unpack(struct tensor_matrix *m);

/* Bytes that tensor_matrix_pack would take; 0: the kernels read the file's own rows. */
size_t tensor_matrix_packed_bytes(const struct tensor_matrix *m, const struct tensor_isa *isa);

/* y [n_in] = row `row` of the matrix in f32, from `rows`. The same bits on every path. */
void tensor_matrix_row(const struct tensor_matrix *m, int64_t row, float *y);

/* ---- operations over rows ---- */

/*
 * Several operations in one go, where each alone is too little to be worth splitting: calls `fn`
 * for pieces of the n_rows rows in the threads of the team. Its context has no team: operations over
 * rows happen in its thread, and products and attention are not for it. It touches no other rows. n: floats of a row.
 */
typedef void (*tensor_rows_fn)(struct tensor_ctx *ctx, void *arg, int64_t first, int64_t n_rows);
void tensor_each_rows(struct tensor_ctx *ctx, int64_t n_rows, int64_t n, tensor_rows_fn fn,
                      void *arg);

/*
 * Whole parts of a forward pass in one go, products too, but not attention: calls `fn` for pieces
 * of the n_rows rows, each in one thread of the team, whose context has no team and room for the
 * prepared activations of the piece, from row 0 on. What a piece leaves stays in that thread's cache for
 * its next part. Where the rows are too few for this, it is one piece and the context is `ctx`.
 *
 * What nobody reads after the piece belongs in buffers of tensor_piece_rows rows, from row
 * `piece_row` of the piece's context on: the next piece of that thread finds them in its cache.
 */
void tensor_each_piece(struct tensor_ctx *ctx, int64_t n_rows, tensor_rows_fn fn, void *arg);

/* Rows of such buffers, where no batch is longer than `rows_max`. members: of the team. */
int64_t tensor_piece_rows(int members, int64_t rows_max);

/* y [n_rows][n] = x / sqrt(mean(x^2) + eps) * w, for each row. y may be x. */
void tensor_rmsnorm(struct tensor_ctx *ctx, float *y, const float *x, const float *w,
                    int64_t n_rows, int64_t n, float eps);

/*
 * Names x [n_rows][n] as the input of the next multiplications and prepares it (quantises
 * each row to int8 in blocks of 32 where the kernels want that). x is borrowed until the
 * next tensor_act_set.
 */
void tensor_act_set(struct tensor_ctx *ctx, const float *x, int64_t n_rows, int64_t n);

/* The same by pieces: names the input, then prepares some rows of it, from row `first` on. */
void tensor_act_begin(struct tensor_ctx *ctx, const float *x, int64_t n_rows, int64_t n);
void tensor_act_fill(struct tensor_ctx *ctx, int64_t first, int64_t n_rows);

/*
 * y [n_rows][W->n_out] = W x for each row of the input set last.
 *
 * Numerics: the order of summation depends on n_in alone.
 * Cost: reads the weights once for every few rows.
 */
void tensor_matmul(struct tensor_ctx *ctx, float *y, const struct tensor_matrix *W);

/* Several matrices over the same input in one go; each y as in tensor_matmul. count <= 4. */
void tensor_matmul_many(struct tensor_ctx *ctx, float *const *y,
                        const struct tensor_matrix *const *W, int count);

/* x [n_rows][n] += y. */
void tensor_add(struct tensor_ctx *ctx, float *x, const float *y, int64_t n_rows, int64_t n);

/* x [n_rows][n] += bias [n] in every row. */
void tensor_add_bias(struct tensor_ctx *ctx, float *x, const float *bias, int64_t n_rows,
                     int64_t n);

/*
 * y [n_rows][n] = act(gate) * up; y may be gate.
 * SILU: g / (1 + e^-g). GELU: g/2 (1 + tanh(sqrt(2/pi) (g + 0.044715 g^3))).
 */
enum tensor_gate {
    TENSOR_GATE_SILU,
    TENSOR_GATE_GELU
};

void tensor_gated(struct tensor_ctx *ctx, enum tensor_gate kind, float *y, const float *gate,
                  const float *up, int64_t n_rows, int64_t n);

/*
 * Rotates pairs among the first 2*n_pairs dimensions of each head (Su et al. 2021): neighbours
 * (2i, 2i+1) for NORM, the halves (i, i + n_pairs) for NEOX.
 *
 * x       in/out [n_rows][n_heads][head_dim]
 * rot     in     [n_rows][n_pairs][2]: cosine and sine for the row's position
 */
enum tensor_rope_kind {
    TENSOR_ROPE_NORM,
    TENSOR_ROPE_NEOX
};

void tensor_rope(struct tensor_ctx *ctx, enum tensor_rope_kind kind, float *x, const float *rot,
                 int64_t n_rows, int64_t n_heads, int64_t head_dim, int64_t n_pairs);

/* ---- the KV cache ---- */

enum {
    TENSOR_KV_BLOCK = 32 /* tokens in a block */
};

/*
 * Keys and values of all layers, in blocks of 32 tokens. A block holds, for each layer and
 * KV head, 32 keys and 32 values; their layout and element type are the kernels' own.
 */
struct tensor_kv {
    const struct tensor_isa *isa;
    int64_t n_layers;
    int64_t n_kv;
    int64_t head_dim;
    uint64_t block_count;
    size_t head_bytes;  /* keys and values of one head in one block; a multiple of 64 */
    size_t block_bytes; /* n_layers * n_kv * head_bytes */
    uint8_t *data;      /* touched lazily */
};

size_t tensor_kv_block_bytes(const struct tensor_isa *isa, int64_t n_layers, int64_t n_kv,
                             int64_t head_dim);
enum base_err tensor_kv_init(struct tensor_kv *kv, const struct tensor_isa *isa, int64_t n_layers,
                             int64_t n_kv, int64_t head_dim, uint64_t block_count);
void tensor_kv_fini(struct tensor_kv *kv);

/* Copies all keys and values of block `from` to block `to`. */
void tensor_kv_copy(struct tensor_kv *kv, uint32_t to, uint32_t from);

/* Where a batch's rows stand. Rows of one sequence are neighbours, positions ascending by 1. */
struct tensor_rows {
    int64_t n_rows;
    const int32_t *pos;            /* [n_rows] position in the sequence, from 0 */
    const uint32_t *const *blocks; /* [n_rows] the sequence's block table */
};

/*
 * Writes keys and values of the rows first..first+n_rows-1 of a batch at their positions; k, v
 * [rows->n_rows][n_kv][head_dim].
 */
void tensor_kv_write(struct tensor_ctx *ctx, struct tensor_kv *kv, int64_t layer, const float *k,
                     const float *v, const struct tensor_rows *rows, int64_t first, int64_t n_rows);

/*
 * out [n_rows][n_heads][head_dim] = softmax(scale q k^T) v over the keys 0..pos of the row's
 * sequence, or the last `window` of them (0: all), q [n_rows][n_heads][head_dim]; query head h
 * reads KV head h / (n_heads / n_kv).
 *
 * Numerics: keys in tiles of 32 from position 0, softmax rescaled after each tile
 * (Milakov, Gimelshein 2018), so the bits do not depend on chunking or on the batch.
 */
struct tensor_attention_args {
    int64_t layer;
    int64_t n_heads;
    float scale;    /* 1/sqrt(head_dim), unless the model says otherwise */
    int64_t window; /* keys a row sees, itself included; 0: all */
};

void tensor_attention(struct tensor_ctx *ctx, float *out, const float *q,
                      const struct tensor_kv *kv, const struct tensor_attention_args *args,
                      const struct tensor_rows *rows);

#endif
