/* Which kernels of x86-64 the CPU can run. */
#include <asm/prctl.h>
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tensor/x86/x86.h"

static bool has_f16c(void)
{
    unsigned a;
    unsigned b;
    unsigned c;
    unsigned d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C); /* clang 14 lacks the name below */
}

bool tensor_x86_has_avx2(void)
{
    __builtin_cpu_init(); /* reads CPUID and which registers the system saves */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

bool tensor_x86_has_avx512vnni(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
}

#ifndef ARCH_REQ_XCOMP_PERM
#define ARCH_REQ_XCOMP_PERM 0x1023 /* Linux 5.16 */
#endif

/* The system lends the state of tiles, 8 KiB a thread, to processes that ask. */
bool tensor_x86_has_amx(void)
{
    enum {
        AMX_TILE = 1 << 24,
        AMX_INT8 = 1 << 25,
        TILE_DATA = 18
    };
    unsigned a;
    unsigned b;
    unsigned c;
    unsigned d;
    if (!tensor_x86_has_avx512vnni() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) ||
        (~d & (AMX_TILE | AMX_INT8)))
        return false;
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0;
}
