/*
 * The instruction sets AVX-512 with VNNI, and that with AMX: packed.h has the forms, avx512_*.c and
 * amx_*.c the kernels.
 */
#include "tensor/packed.h"
#include "tensor/x86/kernels.h"
#include "tensor/x86/x86.h"

static size_t pack_bytes(enum tensor_type type, int64_t n_out, int64_t n_in)
{
    return tensor_pack_bytes(type, n_out, n_in, AVX512_TILE);
}

static void pack_tile(struct tensor_matrix *m, int64_t tile)
{
    tensor_pack_tile(m, tile, AVX512_TILE, false);
}

/* What both sets have. */
#define SHARED                                                                                     \
    .supports = tensor_pack_supports, .tile_len = AVX512_TILE, .pack_bytes = pack_bytes,           \
    .pack_tile = pack_tile, .act_row_bytes = tensor_act_row_bytes,                                 \
    .act_prepare = act_prepare_avx512, .rmsnorm = rmsnorm_avx512, .add = add_avx512,               \
    .gated = gated_avx512, .rope = rope_avx512, .kv_head_bytes = kv_head_bytes_avx512,             \
    .kv_write = kv_write_avx512, .attention = attention_avx512, .attention_rows = 8,               \
    .limit_int8 = limit_int8_avx512, .limit_f32 = limit_f32_avx512,                                \
    .limit_read = limit_read_avx512

const struct tensor_isa tensor_isa_avx512vnni = {
    SHARED,
    .name = "avx512vnni",
    .is_available = tensor_x86_has_avx512vnni,
    .matmul = matmul_avx512,
};

const struct tensor_isa tensor_isa_amx = {
    SHARED,
    .name = "amx",
    .is_available = tensor_x86_has_amx,
    .matmul = matmul_amx,
    .limit_tiles = limit_tiles_amx,
};
