#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

/*
 * Counts of times in buckets that are at most 0.4 % wide: any number of samples in fixed
 * memory. Times below 256 have a bucket each. Any unit; here nanoseconds.
 */
enum {
    HISTOGRAM_SUB_BITS = 8,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS
};

struct histogram {
    uint64_t count;
    uint64_t min; /* exact, as max; 0 without samples */
    uint64_t max;
    double sum;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);

/*
 * The smallest value that at least `percent` (0..100) of the samples do not exceed, rounded up
 * to the end of its bucket, at most max. 0 without samples.
 */
uint64_t histogram_percentile(const struct histogram *h, double percent);

double histogram_mean(const struct histogram *h);

#endif
