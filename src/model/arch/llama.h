#ifndef MODEL_ARCH_LLAMA_H
#define MODEL_ARCH_LLAMA_H

#include "model/model.h"

/* What an architecture file asks of the loader: part "attn_q" is tensor "blk.N.attn_q.weight". */
enum base_err model_load_layer_vector(struct model *m, int32_t layer, const char *part, int64_t n,
                                      float **out, struct base_err_info *info);
enum base_err model_load_layer_matrix(struct model *m, int32_t layer, const char *part,
                                      int64_t n_out, int64_t n_in, struct tensor_matrix *out,
                                      struct base_err_info *info);

/* The llama family: RMSNorm, rotary positions (NORM), grouped queries, SwiGLU. */
enum base_err llama_load_layer(struct model *m, int32_t layer, struct base_err_info *info);
void llama_forward(const struct model *m, struct model_state *s, struct tensor_kv *kv,
                   const struct model_batch *batch, float *logits);

#endif
