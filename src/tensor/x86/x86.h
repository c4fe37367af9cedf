#ifndef TENSOR_X86_H
#define TENSOR_X86_H

/* Which kernels of x86-64 the CPU can run. */
#include <stdbool.h>

/* By CPUID and by what the system saves. */
bool tensor_x86_has_avx2(void); /* with FMA and F16C */
bool tensor_x86_has_avx512vnni(void);
/* Asks the system for the state of the tiles, for all threads of the process. */
bool tensor_x86_has_amx(void);

#endif
