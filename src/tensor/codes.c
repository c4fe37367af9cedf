#include "tensor/codes.h"

#include <string.h>

#include "base/assert.h"

const int8_t tensor_table_iq4[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113 };
const int8_t tensor_table_mxfp4[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

/* Low nibbles are elements 0..15, high nibbles 16..31. */
static void read_n4(uint8_t *q, const uint8_t *n4)
{
    for (int i = 0; i < 16; i++) {
        q[i] = n4[i] & 15;
        q[i + 16] = n4[i] >> 4;
    }
}

/* Bit i of the number is the fifth bit of element i. */
static void read_fifth_bits(uint8_t *q, const uint8_t qh[4])
{
    for (int i = 0; i < 32; i++)
        q[i] |= (uint8_t)((qh[i / 8] >> i % 8 & 1) << 4);
}

/* The two bits of element i: byte 32*(i/128) + i%32, from bit 2*(i%128/32) on. */
static void read_pairs(uint8_t *q, const uint8_t *qs)
{
    for (int part = 0; part < 8; part++)
        for (int i = 0; i < 32; i++)
            q[32 * part + i] = qs[32 * (part / 4) + i] >> 2 * (part % 4) & 3;
}

/* A further bit for each element, `to` bits up: bit i/32 of byte i%32. */
static void read_high_bits(uint8_t *q, const uint8_t *qh, int to)
{
    for (int part = 0; part < 8; part++)
        for (int i = 0; i < 32; i++)
            q[32 * part + i] |= (uint8_t)((qh[i] >> part & 1) << to);
}

/* Nibble j%2 of byte 32*(j/2) + i%32, j = i/32. */
static void read_nibbles(uint8_t *q, const uint8_t *qs)
{
    for (int j = 0; j < 4; j++) {
        for (int i = 0; i < 32; i++) {
            q[64 * j + i] = qs[32 * j + i] & 15;
            q[64 * j + 32 + i] = qs[32 * j + i] >> 4;
        }
    }
}

/* Scales and minima of q4_k and q5_k, 6 bits each. */
static void read_scales_and_minima(struct tensor_codes *c, const uint8_t s[12])
{
    for (int j = 0; j < 4; j++) {
        c->sc[j] = (int8_t)(s[j] & 63);
        c->mn[j] = s[j + 4] & 63;
        c->sc[j + 4] = (int8_t)((s[j + 8] & 15) | s[j] >> 6 << 4);
        c->mn[j + 4] = (uint8_t)(s[j + 8] >> 4 | s[j + 4] >> 6 << 4);
    }
}

static void read_q2_k(struct tensor_codes *c, const struct tensor_q2_k *b)
{
    read_pairs(c->q, b->qs);
    for (int j = 0; j < 16; j++) {
        c->sc[j] = b->scales[j] & 15;
        c->mn[j] = b->scales[j] >> 4;
    }
    c->d = b->d;
    c->m = b->dmin;
}

static void read_q3_k(struct tensor_codes *c, const struct tensor_q3_k *b)
{
    read_pairs(c->q, b->qs);
    read_high_bits(c->q, b->hmask, 2);
    for (int j = 0; j < 16; j++) {
        int low = j < 8 ? b->scales[j] & 15 : b->scales[j - 8] >> 4;
        int high = b->scales[8 + j % 4] >> 2 * (j / 4) & 3;
        c->sc[j] = (int8_t)((low | high << 4) - 32);
    }
    c->d = b->d;
}

/* Of 128 elements, element i: nibble i/64 of ql[i%64], bits 2*(i/32).. of qh[i%32]. */
static void read_q6_k(struct tensor_codes *c, const struct tensor_q6_k *b)
{
    for (int part = 0; part < 8; part++) {
        const uint8_t *ql = b->ql + 64 * (part / 4) + 32 * (part % 2);
        const uint8_t *qh = b->qh + 32 * (part / 4);
        int nibble = 4 * (part % 4 / 2);
        for (int i = 0; i < 32; i++)
            c->q[32 * part + i] =
                (uint8_t)((ql[i] >> nibble & 15) | (qh[i] >> 2 * (part % 4) & 3) << 4);
    }
    memcpy(c->sc, b->scales, sizeof b->scales);
    c->d = b->d;
}

static void read_iq4_xs(struct tensor_codes *c, const struct tensor_iq4_xs *b)
{
    for (int j = 0; j < 8; j++) {
        int low = b->scales_low[j / 2] >> 4 * (j % 2) & 15;
        int high = b->scales_high >> 2 * j & 3;
        c->sc[j] = (int8_t)((low | high << 4) - 32);
        read_n4(c->q + 32 * j, b->n4[j]);
    }
    c->d = b->d;
}

/* A block of any type, copied to where it is aligned. */
union block {
    struct tensor_q4_0 q4_0;
    struct tensor_q4_1 q4_1;
    struct tensor_q5_0 q5_0;
    struct tensor_q5_1 q5_1;
    struct tensor_q8_0 q8_0;
    struct tensor_q2_k q2_k;
    struct tensor_q3_k q3_k;
    struct tensor_q4_k q4_k;
    struct tensor_q5_k q5_k;
    struct tensor_q6_k q6_k;
    struct tensor_iq4_nl iq4_nl;
    struct tensor_iq4_xs iq4_xs;
    struct tensor_mxfp4 mxfp4;
};
_Static_assert(sizeof(union block) == TENSOR_BLOCK_BYTES_MAX, "the longest block");

/* Blocks of 32: no sc and mn in the file. */
static void read_block_of_32(enum tensor_type type, const union block *b, struct tensor_codes *c)
{
    c->sc[0] = 1;
    c->mn[0] = 1;
    c->m = 0;
    switch ((int)type) {
    case TENSOR_Q4_0:
        read_n4(c->q, b->q4_0.n4);
        c->d = b->q4_0.d;
        return;
    case TENSOR_Q4_1:
        read_n4(c->q, b->q4_1.n4);
        c->d = b->q4_1.d;
        c->m = b->q4_1.m ^ 0x8000;
        return;
    case TENSOR_Q5_0:
        read_n4(c->q, b->q5_0.n4);
        read_fifth_bits(c->q, b->q5_0.qh);
        c->d = b->q5_0.d;
        return;
    case TENSOR_Q5_1:
        read_n4(c->q, b->q5_1.n4);
        read_fifth_bits(c->q, b->q5_1.qh);
        c->d = b->q5_1.d;
        c->m = b->q5_1.m ^ 0x8000;
        return;
    case TENSOR_Q8_0:
        for (int i = 0; i < 32; i++)
            c->q[i] = (uint8_t)(b->q8_0.qs[i] ^ 0x80);
        c->d = b->q8_0.d;
        return;
    case TENSOR_IQ4_NL:
        read_n4(c->q, b->iq4_nl.n4);
        c->d = b->iq4_nl.d;
        return;
    case TENSOR_MXFP4:
        read_n4(c->q, b->mxfp4.n4);
        c->d = b->mxfp4.e;
        return;
    default:
        ASSERT(0 && "type in blocks of 32");
    }
}

void tensor_codes_read(enum tensor_type type, const void *block, struct tensor_codes *c)
{
    const struct tensor_type_info *info = tensor_type_info(type);
    union block b;
    memcpy(&b, block, (size_t)info->block_bytes);
    if (info->block_len == 32) {
        read_block_of_32(type, &b, c);
        return;
    }
    c->m = 0;
    switch ((int)type) {
    case TENSOR_Q2_K:
        read_q2_k(c, &b.q2_k);
        return;
    case TENSOR_Q3_K:
        read_q3_k(c, &b.q3_k);
        return;
    case TENSOR_Q4_K:
        read_nibbles(c->q, b.q4_k.qs);
        read_scales_and_minima(c, b.q4_k.scales);
        c->d = b.q4_k.d;
        c->m = b.q4_k.dmin;
        return;
    case TENSOR_Q5_K:
        read_nibbles(c->q, b.q5_k.qs);
        read_high_bits(c->q, b.q5_k.qh, 4);
        read_scales_and_minima(c, b.q5_k.scales);
        c->d = b.q5_k.d;
        c->m = b.q5_k.dmin;
        return;
    case TENSOR_Q6_K:
        read_q6_k(c, &b.q6_k);
        return;
    case TENSOR_IQ4_XS:
        read_iq4_xs(c, &b.iq4_xs);
        return;
    default:
        ASSERT(0 && "type in blocks of 256");
    }
}
