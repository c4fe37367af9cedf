#ifndef MODEL_ARCH_ARCH_H
#define MODEL_ARCH_ARCH_H

#include "model/model.h"

/*
 * What an architecture is, and what loading it is made of. A file of this folder has one or more
 * struct model_arch; parts.c and rope.c have what several of them share, forward.c computes.
 */
struct model_arch {
    const char *name; /* general.architecture; also the prefix of its keys */
    enum tensor_rope_kind rope_kind;
    enum tensor_gate gate; /* of the feed-forward part */

    /*
     * Reads what only this architecture has and loads all layers. The model's params, its ends
     * and `layers`, all zero, are there. E_CORRUPT, E_UNSUPPORTED, E_NOMEM; model_close
     * releases what was loaded.
     */
    enum base_err (*load)(struct model *m, struct base_err_info *info);
};

extern const struct model_arch model_arch_llama;
extern const struct model_arch model_arch_qwen2;
extern const struct model_arch model_arch_qwen3;
extern const struct model_arch model_arch_gemma3;

/* ---- keys ---- */

/*
 * The key "<arch>.<key>" if the file has it, else *out stays: the caller's default. One number,
 * or one per layer, all equal. E_UNSUPPORTED: out of range, or not equal. E_CORRUPT: of a wrong
 * kind; or not there, and the default is out of range too.
 */
enum base_err model_key_i32(const struct model *m, const char *key, int32_t min, int32_t max,
                            int32_t *out, struct base_err_info *info);
enum base_err model_key_f32(const struct model *m, const char *key, float min, float max,
                            float *out, struct base_err_info *info);

/* E_UNSUPPORTED if the number "<arch>.<key>" is there and neither 0 nor `neutral`. */
enum base_err model_key_refuse(const struct model *m, const char *key, float neutral,
                               struct base_err_info *info);

/* The entry "<arch>.<key>", or NULL. */
const struct gguf_kv *model_key_find(const struct model *m, const char *key);

/* ---- tensors ---- */

/* A vector in f32; `name` in full, as "rope_freqs.weight". Gives: mem_free. */
enum base_err model_load_vector(struct model *m, const char *name, int64_t n, float **out,
                                struct base_err_info *info);

/* Part "attn_norm.weight" of layer 3 is the tensor "blk.3.attn_norm.weight". */
enum base_err model_load_layer_vector(struct model *m, int32_t layer, const char *part, int64_t n,
                                      float **out, struct base_err_info *info);
enum base_err model_load_layer_matrix(struct model *m, int32_t layer, const char *part,
                                      int64_t n_out, int64_t n_in, struct tensor_matrix *out,
                                      struct base_err_info *info);

/* The same if the file has it; else *out stays NULL. */
enum base_err model_load_layer_vector_if(struct model *m, int32_t layer, const char *part,
                                         int64_t n, float **out, struct base_err_info *info);

/* ---- rotations ---- */

/*
 * Adds a rope to the model. Pair i turns by base^(-2i/rope_dim) from one position to the next,
 * divided by factors[i] ([rope_dim/2], or NULL), and scaled as `scaling` says (NULL: not).
 * E_NOMEM.
 */
enum base_err arch_rope_add(struct model *m, float base, const float *factors,
                            const struct model_rope_scaling *scaling, struct base_err_info *info);

/* Fills s->rot for all ropes of the model. */
void arch_rope_rotations(const struct model *m, struct model_state *s,
                         const struct tensor_rows *rows);

/* ---- parts ---- */

/*
 * attn_norm, attn_q, attn_k, attn_v and attn_output of a layer, and those of their biases that
 * the file has; with_qk_norm: attn_q_norm and attn_k_norm, too.
 */
enum base_err arch_load_attention(struct model *m, int32_t layer, bool with_qk_norm,
                                  struct base_err_info *info);

/* ffn_norm, ffn_gate, ffn_up and ffn_down of a layer. */
enum base_err arch_load_ffn(struct model *m, int32_t layer, struct base_err_info *info);

#endif
