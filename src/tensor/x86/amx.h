#ifndef TENSOR_AMX_H
#define TENSOR_AMX_H

/*
 * The instructions of AMX on its eight registers of 16 rows of 64 bytes, which are numbered by
 * literals. Compilers' own intrinsics say nothing of the memory they read.
 */
#include <stddef.h>
#include <stdint.h>

/* How many rows, and bytes of them, registers have: Intel SDM, TILECFG. */
struct amx_config {
    uint8_t palette; /* 1 */
    uint8_t start_row;
    uint8_t zero[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

#define AMX_TEXT_(x) #x
#define AMX_TEXT(x) AMX_TEXT_(x)

#define AMX_START(config) __asm__ volatile("ldtilecfg %0" : : "m"(config))
#define AMX_END() __asm__ volatile("tilerelease")

#define AMX_LOAD(tile, from, stride)                                                               \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" AMX_TEXT(tile)                                   \
                     :                                                                             \
                     : "r"(from), "r"((size_t)(stride))                                            \
                     : "memory")
#define AMX_STORE(tile, to, stride)                                                                \
    __asm__ volatile("tilestored %%tmm" AMX_TEXT(tile) ", (%0,%1,1)"                               \
                     :                                                                             \
                     : "r"(to), "r"((size_t)(stride))                                              \
                     : "memory")
#define AMX_ZERO(tile) __asm__ volatile("tilezero %tmm" AMX_TEXT(tile))
/* sum [16][16] int32 += a [16][64] int8 times b [16][16][4] int8, or less of each. */
#define AMX_DOT(sum, a, b)                                                                         \
    __asm__ volatile("tdpbssd %tmm" AMX_TEXT(b) ", %tmm" AMX_TEXT(a) ", %tmm" AMX_TEXT(sum))

#endif
