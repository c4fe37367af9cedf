#ifndef TENSOR_DEQUANT_H
#define TENSOR_DEQUANT_H

#include <stdint.h>

#include "tensor/types.h"

/*
 * y [n] = the f32 values of n elements in blocks of `type`; bit-equal to the gguf package.
 * n is a multiple of the block length; blocks may be unaligned. Pure.
 */
void tensor_dequant(enum tensor_type type, const void *blocks, int64_t n, float *y);

#endif
