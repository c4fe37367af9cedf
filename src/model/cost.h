#ifndef MODEL_COST_H
#define MODEL_COST_H

#include "model/model.h"
#include "tensor/limits.h"

/*
 * What a forward pass has to do at least, and so the least time that a machine with given
 * limits can take for it: a roofline (Williams et al. 2009). Operations: a multiply-add is two.
 */
struct model_cost {
    double weight_bytes;   /* of layers and head, each read once in a step */
    double layer_int8_ops; /* of the layers' matrices, for each row: on quantised weights */
    double layer_f32_ops;  /* on others */
    double head_int8_ops;  /* for each row whose logits are wanted */
    double head_f32_ops;
    double attention_ops; /* of all layers for each key that a row sees; in f32 */
    double kv_bytes;      /* of keys and values of all layers for each token */
};

void model_cost_of(const struct model *m, struct model_cost *out);

/* A step of `rows` sequences, each with one new token behind `depth` others, in seconds. */
double model_cost_decode(const struct model *m, const struct tensor_limits *limits, int64_t rows,
                         int64_t depth);

/* `tokens` of one prompt behind `depth` others, `chunk` in a step, logits of the last; seconds. */
double model_cost_prefill(const struct model *m, const struct tensor_limits *limits, int64_t tokens,
                          int64_t depth, int64_t chunk);

#endif
