/* Which kernels of x86-64 the CPU can run. */
#include <cpuid.h>

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
