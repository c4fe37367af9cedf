/* Packing weights into the form of packed.h. */
#include "tensor/packed.h"

#include <string.h>

bool tensor_pack_supports(enum tensor_type type)
{
    return tensor_type_info(type) != NULL;
}

size_t tensor_act_row_bytes(int64_t n)
{
    return act_layout_of(n).row_bytes;
}

size_t tensor_pack_bytes(enum tensor_type type, int64_t n_out, int64_t n_in, int lanes)
{
    size_t tiles = (size_t)((n_out + lanes - 1) / lanes);
    return packed_round_64(tiles * packed_tile_bytes(type, n_in, lanes));
}

/* Elements of `size` bytes: [n_in][lanes]. */
static void pack_plain(uint8_t *out, const uint8_t *row, int64_t n_in, int lanes, size_t size)
{
    for (int64_t k = 0; k < n_in; k++)
        memcpy(out + (size_t)(k * lanes) * size, row + (size_t)k * size, size);
}

/* The same byte four times. */
static uint32_t four(uint32_t byte)
{
    return byte * 0x01010101u;
}

/* The words of one lane from those of 8-bit codes; returns how many: `bits`. */
static int pack_words(uint32_t out[8], const uint32_t w[8], int bits)
{
    int at = 0;
    if (bits == 8) {
        memcpy(out, w, 8 * sizeof *w);
        return 8;
    }
    if (bits >= 4) {
        for (; at < 4; at++)
            out[at] = (w[at] & four(15)) | (w[at + 4] & four(15)) << 4;
    }
    int width = bits == 2 || bits == 3 ? 2 : bits - 4; /* of the bits not yet taken ... */
    int from = bits >= 4 ? 4 : 0;                      /* ... and where they begin */
    if (width == 2) {
        for (int half = 0; half < 2; half++, at++) {
            out[at] = 0;
            for (int j = 0; j < 4; j++)
                out[at] |= (w[4 * half + j] >> from & four(3)) << 2 * j;
        }
        from += 2;
    }
    if (bits == 5 || bits == 3) {
        out[at] = 0;
        for (int j = 0; j < 8; j++)
            out[at] |= (w[j] >> from & four(1)) << j;
        at++;
    }
    return at;
}

/* Block `b` of a group: its codes at `codes`, its scales at `sc`, both of this lane. */
static void pack_block(uint8_t *codes, uint8_t *sc, const struct tensor_codes *c, int b,
                       struct tensor_form form, int lanes, bool signed_bytes)
{
    uint32_t w[8];
    uint32_t words[8];
    memcpy(w, c->q + PACKED_BLOCK * b, sizeof w);
    if (form.bits == 8 && signed_bytes)
        for (int j = 0; j < 8; j++)
            w[j] ^= four(0x80);
    int count = pack_words(words, w, form.bits);
    for (int i = 0; i < count; i++)
        memcpy(codes + 4 * i * lanes, &words[i], 4);
    if (!form.has_scales)
        return;
    if (form.scale_len == 16) {
        for (int i = 0; i < 2; i++)
            sc[i * lanes] = (uint8_t)(form.has_min ? c->sc[2 * b + i] | c->mn[2 * b + i] << 4
                                                   : c->sc[2 * b + i]);
        return;
    }
    sc[0] = (uint8_t)c->sc[b];
    if (form.has_min)
        sc[lanes] = c->mn[b];
}

/* One row of weights into its lane of a tile, which begins with `group`. */
static void pack_row(uint8_t *group, const uint8_t *row, const struct tensor_matrix *m, int lane,
                     int lanes, bool signed_bytes)
{
    const enum tensor_type type = m->type;
    const struct tensor_type_info *info = tensor_type_info(type);
    const struct tensor_form form = tensor_form(type);
    for (int64_t k = 0; k < m->n_in; k += info->block_len) {
        struct tensor_codes c;
        tensor_codes_read(type, row, &c);
        uint8_t *codes = group + packed_codes_at(type, lanes) + 4 * lane;
        uint8_t *sc = group + packed_sc_at(type, lanes) + lane;
        for (int b = 0; b < info->block_len / PACKED_BLOCK; b++) {
            pack_block(codes, sc, &c, b, form, lanes, signed_bytes);
            codes += packed_codes_bytes(type, lanes);
            sc += packed_sc_bytes(type, lanes);
        }
        uint8_t *d = group + packed_d_at(type, lanes);
        if (type == TENSOR_MXFP4)
            d[lane] = (uint8_t)c.d;
        else
            memcpy(d + 2 * lane, &c.d, 2);
        if (form.has_min)
            memcpy(d + 2 * (lanes + lane), &c.m, 2);
        row += info->block_bytes;
        group += packed_group_bytes(type, lanes);
    }
}

void tensor_pack_tile(struct tensor_matrix *m, int64_t tile, int lanes, bool signed_bytes)
{
    uint8_t *out = (uint8_t *)m->packed + (size_t)tile * packed_tile_bytes(m->type, m->n_in, lanes);
    size_t row_bytes = tensor_row_bytes(m->type, m->n_in);
    const struct tensor_type_info *info = tensor_type_info(m->type);
    for (int lane = 0; lane < lanes && tile * lanes + lane < m->n_out; lane++) {
        const uint8_t *row = (const uint8_t *)m->rows + (size_t)(tile * lanes + lane) * row_bytes;
        if (info->block_len == 1)
            pack_plain(out + lane * info->block_bytes, row, m->n_in, lanes,
                       (size_t)info->block_bytes);
        else
            pack_row(out, row, m, lane, lanes, signed_bytes);
    }
}
