#ifndef PARK_RATE_H
#define PARK_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* How fast cost is worked off, and when to come back. */
struct park_rate {
    double cost;    /* finished, weighted by age */
    double busy_s;  /* time with work running, weighted the same way */
    uint64_t at_ns; /* when both were brought up to date */
};

/* Brings the sums up to `now_ns`; `busy`: work was running since the last call. */
void park_rate_advance(struct park_rate *rate, uint64_t now_ns, bool busy);
void park_rate_finished(struct park_rate *rate, uint64_t cost);

/* Cost per second; 0: nothing is known. `running_cost` stands in before the first sample. */
double park_rate_per_s(const struct park_rate *rate, uint64_t running_cost);

/* The bounds of a time to come back, and how far it is spread. */
struct park_retry {
    double min_ms;
    double max_ms; /* 0: none */
    double jitter; /* up to this share of the time is added */
};

/*
 * `base_ms` within bounds and spread by `random`, so that callers do not return in step; at
 * least 1, because 0 would mean never.
 */
uint64_t park_retry_after_ms(const struct park_retry *retry, double base_ms, uint64_t random);

#endif
