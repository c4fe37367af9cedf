/* What AMX can do at most: full tiles, multiplied in registers. */
#include "tensor/x86/amx.h"

#include "tensor/x86/kernels.h"

enum {
    CHAINS = 4,
    REPEATS = 64
};

uint64_t limit_tiles_amx(uint64_t rounds)
{
    struct amx_config config = { .palette = 1 };
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = 16;
    }
    AMX_START(config); /* which makes every tile zero */
    for (uint64_t n = 0; n < rounds * REPEATS; n++) {
        AMX_DOT(0, 4, 6);
        AMX_DOT(1, 5, 6);
        AMX_DOT(2, 4, 7);
        AMX_DOT(3, 5, 7);
    }
    AMX_END();
    return rounds * REPEATS * CHAINS * 16 * 16 * 64 * 2;
}
