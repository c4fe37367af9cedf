#include "park/park_int.h"

uint64_t park_deadline_ns(int64_t timeout_ms)
{
    if (timeout_ms < 0)
        return PARK_NEVER;
    if (timeout_ms == 0)
        return 0;
    uint64_t wait_ns;
    uint64_t deadline_ns;
    if (__builtin_mul_overflow((uint64_t)timeout_ms, (uint64_t)1000000, &wait_ns) ||
        __builtin_add_overflow(clock_now_ns(&base_clock_monotonic), wait_ns, &deadline_ns))
        return PARK_NEVER;
    return deadline_ns;
}

bool park_cond_wait(struct base_cond *cond, struct base_lock *lock, uint64_t deadline_ns)
{
    if (deadline_ns == 0)
        return false;
    if (deadline_ns == PARK_NEVER) {
        cond_wait(cond, lock);
        return true;
    }
    return cond_wait_until(cond, lock, deadline_ns);
}
