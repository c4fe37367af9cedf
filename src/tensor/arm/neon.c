/*
 * The instruction set NEON with the dot product of ARMv8.2: packed.h has the forms, neon_*.c the
 * kernels.
 */
#include <sys/auxv.h>

#include "tensor/arm/kernels.h"
#include "tensor/packed.h"

static bool is_available(void)
{
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
}

static size_t pack_bytes(enum tensor_type type, int64_t n_out, int64_t n_in)
{
    return tensor_pack_bytes(type, n_out, n_in, NEON_TILE);
}

static void pack_tile(struct tensor_matrix *m, int64_t tile)
{
    tensor_pack_tile(m, tile, NEON_TILE, true);
}

const struct tensor_isa tensor_isa_neon = {
    .name = "neon",
    .is_available = is_available,
    .supports = tensor_pack_supports,
    .tile_len = NEON_TILE,
    .pack_bytes = pack_bytes,
    .pack_tile = pack_tile,
    .act_row_bytes = tensor_act_row_bytes,
    .act_prepare = act_prepare_neon,
    .matmul = matmul_neon,
    .rmsnorm = rmsnorm_neon,
    .add = add_neon,
    .gated = gated_neon,
    .rope = rope_neon,
    .kv_head_bytes = kv_head_bytes_neon,
    .kv_write = kv_write_neon,
    .attention = attention_neon,
    .attention_rows = 8,
    .limit_int8 = limit_int8_neon,
    .limit_f32 = limit_f32_neon,
    .limit_read = limit_read_neon,
};
