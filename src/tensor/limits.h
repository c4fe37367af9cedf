#ifndef TENSOR_LIMITS_H
#define TENSOR_LIMITS_H

#include <stddef.h>

#include "base/err.h"
#include "tensor/tensor.h"

/*
 * What this machine can do at most with these kernels' instructions and this team, for judging
 * a measured speed. Measured at the same time as what it judges: machines that are shared
 * change from minute to minute.
 */
struct tensor_limits {
    double read_bytes_s; /* of memory, in order, by all members together */
    double int8_ops_s;   /* products of bytes in vectors, a multiply-add counting as two */
    double f32_ops_s;
    double tile_ops_s; /* products of bytes in full tile registers; 0: there are none */
};

/*
 * Reads `bytes` of memory over and over: as much as a step reads, so that a cache helps as
 * much as it helps the step. Takes a few tenths of a second. E_NOMEM.
 */
enum base_err tensor_limits_measure(const struct tensor_isa *isa, struct team *team, size_t bytes,
                                    struct tensor_limits *out);

#endif
