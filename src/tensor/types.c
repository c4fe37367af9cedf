#include "tensor/types.h"

#include "base/assert.h"

const struct tensor_type_info *tensor_type_info(uint32_t type)
{
    static const struct tensor_type_info f32 = { "f32", 1, 4 };
    static const struct tensor_type_info f16 = { "f16", 1, 2 };
    static const struct tensor_type_info q4_1 = { "q4_1", 32, sizeof(struct tensor_q4_1) };
    static const struct tensor_type_info q8_0 = { "q8_0", 32, sizeof(struct tensor_q8_0) };
    switch (type) {
    case TENSOR_F32:
        return &f32;
    case TENSOR_F16:
        return &f16;
    case TENSOR_Q4_1:
        return &q4_1;
    case TENSOR_Q8_0:
        return &q8_0;
    default:
        return NULL;
    }
}

size_t tensor_row_bytes(enum tensor_type type, int64_t n)
{
    const struct tensor_type_info *info = tensor_type_info(type);
    ASSERT(info && n % info->block_len == 0);
    return (size_t)(n / info->block_len) * (size_t)info->block_bytes;
}
