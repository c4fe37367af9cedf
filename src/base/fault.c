#include "base/fault.h"

#if VALET_CHECKS

#include <stdatomic.h>

/* Hits left until the fault fires: 0 = not armed. */
static atomic_uint g_left[FAULT_KIND_COUNT];
static atomic_bool g_fired;

void fault_arm(enum fault_kind kind, unsigned n)
{
    atomic_store(&g_fired, false);
    atomic_store(&g_left[kind], n);
}

bool fault_disarm(void)
{
    for (int i = 0; i < FAULT_KIND_COUNT; i++)
        atomic_store(&g_left[i], 0);
    return atomic_exchange(&g_fired, false);
}

bool fault_hit(enum fault_kind kind)
{
    unsigned left = atomic_load(&g_left[kind]);
    while (left != 0) {
        if (!atomic_compare_exchange_weak(&g_left[kind], &left, left - 1))
            continue;
        if (left != 1)
            return false;
        atomic_store(&g_fired, true);
        return true;
    }
    return false;
}

#else
/* ISO C forbids an empty translation unit. */
typedef int fault_unused;
#endif
