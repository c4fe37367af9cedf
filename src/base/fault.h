#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>

/*
 * Fault points: a test refuses the n-th allocation or the n-th write and looks at
 * what the code does. They exist in builds with VALET_CHECKS; elsewhere fault_hit
 * is a constant. State is process-wide; arm it from one thread only.
 */
enum fault_kind {
    FAULT_ALLOC,
    FAULT_WRITE,
    FAULT_KIND_COUNT
};

#if VALET_CHECKS
/* The n-th hit from now on fails, once. n counts from 1. */
void fault_arm(enum fault_kind kind, unsigned n);

/* Disarms every kind and says whether an armed fault has fired since it was armed. */
bool fault_disarm(void);

/* Counts a hit; true if this one must fail. Any thread. */
bool fault_hit(enum fault_kind kind);
#else
static inline bool fault_hit(enum fault_kind kind)
{
    (void)kind;
    return false;
}
#endif

#endif
