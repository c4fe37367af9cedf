#ifndef MODEL_MODEL_INT_H
#define MODEL_MODEL_INT_H

#include "model/model.h"

/* The parts of loading: params.c reads the keys, weights.c the tensors, model.c calls both. */

/*
 * Reads and checks the params that all architectures have. `file` and `arch` are set.
 * E_CORRUPT, E_UNSUPPORTED.
 */
enum base_err model_params_read(struct model *m, struct base_err_info *info);

/* Embedding, last norm and head; sets params.vocab. */
enum base_err model_load_ends(struct model *m, struct base_err_info *info);

/* E_UNSUPPORTED: a tensor that no load function has asked for. */
enum base_err model_check_all_used(const struct model *m, struct base_err_info *info);

#endif
