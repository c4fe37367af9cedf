/* The instruction set AVX2 with FMA and F16C: packed.h has the forms, avx2_*.c the kernels. */
#include "tensor/packed.h"
#include "tensor/x86/kernels.h"
#include "tensor/x86/x86.h"

static size_t pack_bytes(enum tensor_type type, int64_t n_out, int64_t n_in)
{
    return tensor_pack_bytes(type, n_out, n_in, AVX2_TILE);
}

static void pack_tile(struct tensor_matrix *m, int64_t tile)
{
    tensor_pack_tile(m, tile, AVX2_TILE, true);
}

const struct tensor_isa tensor_isa_avx2 = {
    .name = "avx2",
    .is_available = tensor_x86_has_avx2,
    .supports = tensor_pack_supports,
    .tile_len = AVX2_TILE,
    .pack_bytes = pack_bytes,
    .pack_tile = pack_tile,
    .act_row_bytes = tensor_act_row_bytes,
    .act_prepare = act_prepare_avx2,
    .matmul = matmul_avx2,
    .rmsnorm = rmsnorm_avx2,
    .add = add_avx2,
    .gated = gated_avx2,
    .rope = rope_avx2,
    .kv_head_bytes = kv_head_bytes_avx2,
    .kv_write = kv_write_avx2,
    .attention = attention_avx2,
    .attention_rows = 8,
    .limit_int8 = limit_int8_avx2,
    .limit_f32 = limit_f32_avx2,
    .limit_read = limit_read_avx2,
};
