#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Time as a parameter, so that a test can turn it. Any thread. */
struct base_clock {
    uint64_t (*now_ns)(void *arg);
    void *arg;
};

/* CLOCK_MONOTONIC, in nanoseconds. */
extern const struct base_clock base_clock_monotonic;

static inline uint64_t clock_now_ns(const struct base_clock *clock)
{
    return clock->now_ns(clock->arg);
}

/* Seconds since 1970. For what people read; no rule looks at it. */
int64_t clock_wall_seconds(void);

#endif
