#include "model/blocks.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "tensor/types.h"

struct recipe {
    enum tensor_type type;
    size_t scale_at;
    size_t min_at;     /* 0: none */
    double min_scales; /* the minimum, in scales */
    double deviation;  /* of values for a scale of 1 */
};

static const struct recipe g_recipes[] = {
    { TENSOR_Q4_0, 0, 0, 0, 4.61 },   { TENSOR_Q4_1, 0, 2, -7.5, 4.61 },
    { TENSOR_Q5_0, 0, 0, 0, 9.23 },   { TENSOR_Q5_1, 0, 2, -15.5, 9.23 },
    { TENSOR_Q8_0, 0, 0, 0, 73.9 },   { TENSOR_Q2_K, 80, 82, 1.5, 13.9 },
    { TENSOR_Q3_K, 108, 0, 0, 43.3 }, { TENSOR_Q4_K, 0, 2, 7.5, 258 },
    { TENSOR_Q5_K, 0, 2, 15.5, 527 }, { TENSOR_Q6_K, 208, 0, 0, 1365 },
    { TENSOR_IQ4_NL, 0, 0, 0, 67.4 }, { TENSOR_IQ4_XS, 0, 0, 0, 1246 },
    { TENSOR_MXFP4, 0, 0, 0, 4.3 },
};

static const struct recipe *recipe_of(uint32_t type)
{
    for (size_t i = 0; i < sizeof g_recipes / sizeof g_recipes[0]; i++) {
        if (g_recipes[i].type == type)
            return &g_recipes[i];
    }
    ASSERT(false); /* there is no recipe for this type */
    return NULL;
}

uint16_t block_half(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int32_t exponent = (int32_t)(bits >> 23 & 255) - 112;
    uint32_t magnitude = exponent > 0 ? (uint32_t)exponent << 10 | (bits >> 13 & 0x3ff)
                                      : (uint32_t)(fabsf(x) * 0x1p24f);
    return (uint16_t)((bits >> 16 & 0x8000) | magnitude);
}

size_t block_words(uint32_t type)
{
    return 1 + ((size_t)tensor_type_info(type)->block_bytes + 7) / 8;
}

void block_make(uint32_t type, const uint64_t *words, double spread, uint8_t *block)
{
    const struct recipe *recipe = recipe_of(type);
    for (int32_t i = 0; i < tensor_type_info(type)->block_bytes; i++)
        block[i] = (uint8_t)(words[1 + i / 8] >> i % 8 * 8);
    double scale = spread / recipe->deviation * (0.75 + (double)(words[0] >> 11) * 0x1p-54);
    if (type == TENSOR_MXFP4) {
        block[0] = (uint8_t)(128 + ilogb(scale)); /* a power of two */
        return;
    }
    uint16_t half = block_half((float)scale);
    memcpy(block + recipe->scale_at, &half, sizeof half);
    half = block_half((float)(recipe->min_scales * scale));
    if (recipe->min_at)
        memcpy(block + recipe->min_at, &half, sizeof half);
}
