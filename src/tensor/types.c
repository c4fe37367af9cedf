#include "tensor/types.h"

#include "base/assert.h"

enum {
    TYPE_COUNT = TENSOR_MXFP4 + 1
};

/* By number; gaps have no name. */
static const struct tensor_type_info g_types[TYPE_COUNT] = {
    [TENSOR_F32] = { "f32", 1, 4 },
    [TENSOR_F16] = { "f16", 1, 2 },
    [TENSOR_BF16] = { "bf16", 1, 2 },
    [TENSOR_Q4_0] = { "q4_0", 32, sizeof(struct tensor_q4_0) },
    [TENSOR_Q4_1] = { "q4_1", 32, sizeof(struct tensor_q4_1) },
    [TENSOR_Q5_0] = { "q5_0", 32, sizeof(struct tensor_q5_0) },
    [TENSOR_Q5_1] = { "q5_1", 32, sizeof(struct tensor_q5_1) },
    [TENSOR_Q8_0] = { "q8_0", 32, sizeof(struct tensor_q8_0) },
    [TENSOR_Q2_K] = { "q2_k", 256, sizeof(struct tensor_q2_k) },
    [TENSOR_Q3_K] = { "q3_k", 256, sizeof(struct tensor_q3_k) },
    [TENSOR_Q4_K] = { "q4_k", 256, sizeof(struct tensor_q4_k) },
    [TENSOR_Q5_K] = { "q5_k", 256, sizeof(struct tensor_q5_k) },
    [TENSOR_Q6_K] = { "q6_k", 256, sizeof(struct tensor_q6_k) },
    [TENSOR_IQ4_NL] = { "iq4_nl", 32, sizeof(struct tensor_iq4_nl) },
    [TENSOR_IQ4_XS] = { "iq4_xs", 256, sizeof(struct tensor_iq4_xs) },
    [TENSOR_MXFP4] = { "mxfp4", 32, sizeof(struct tensor_mxfp4) },
};

const struct tensor_type_info *tensor_type_info(uint32_t type)
{
    return type < TYPE_COUNT && g_types[type].name ? &g_types[type] : NULL;
}

size_t tensor_row_bytes(enum tensor_type type, int64_t n)
{
    const struct tensor_type_info *info = tensor_type_info(type);
    ASSERT(info && n % info->block_len == 0);
    return (size_t)(n / info->block_len) * (size_t)info->block_bytes;
}
