#ifndef TESTS_MODEL_ARCH_RUN_H
#define TESTS_MODEL_ARCH_RUN_H

#include "base/err.h"
#include "model/arch_case.h"
#include "model/model.h"

/* A case as a file and an open model, and its forward pass. */
struct arch_run {
    const struct tensor_isa *isa;
    struct team *team;
    struct model *model;
    struct model_state state;
    struct tensor_kv kv;
};

/* Opens the model for `isa` with two threads. On an error, which is model_open's, nothing stays. */
enum base_err arch_run_open(struct arch_run *r, const struct arch_case *c, const char *isa,
                            struct base_err_info *info);

/* Opens the file `path`, which stays. */
enum base_err arch_run_open_path(struct arch_run *r, const char *path, const char *isa,
                                 struct base_err_info *info);
void arch_run_close(struct arch_run *r);

/* Logits [count][vocab] of all positions, `chunk` rows at a time. */
void arch_run_logits(struct arch_run *r, const struct arch_case *c, int chunk, float *logits);

#endif
