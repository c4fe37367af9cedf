#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static uint64_t monotonic_ns(void *arg)
{
    (void)arg;
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

const struct base_clock base_clock_monotonic = { monotonic_ns, NULL };

int64_t clock_wall_seconds(void)
{
    return (int64_t)time(NULL);
}
