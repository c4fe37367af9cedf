/*
 * Two sums that forget: the cost that was finished and the time that work was running,
 * both losing half of their weight in 30 s of that time. Their quotient is the rate.
 * README rule 13. While nothing runs neither sum changes, so an idle night does not lower the rate.
 *
 * Threads: the caller holds the pool's lock.
 */
#include "park/rate.h"

#include <math.h>

#include "base/random.h"

#define HALF_LIFE_S 30.0
#define LN2 0.69314718055994530942
#define WARM_UP_S 2.0 /* what runs before the first sample is taken to last this long */
#define RETRY_MS_MAX 9007199254740992.0 /* where nothing else is said: what a double counts */

void park_rate_advance(struct park_rate *rate, uint64_t now_ns, bool busy)
{
    if (now_ns <= rate->at_ns)
        return;
    double passed_s = (double)(now_ns - rate->at_ns) / 1e9;
    rate->at_ns = now_ns;
    if (!busy)
        return;
    double keep = exp2(-passed_s / HALF_LIFE_S);
    rate->cost *= keep;
    /* The integral of the weight over the time that passed. */
    rate->busy_s = rate->busy_s * keep + (1.0 - keep) * (HALF_LIFE_S / LN2);
}

void park_rate_finished(struct park_rate *rate, uint64_t cost)
{
    rate->cost += (double)cost;
}

double park_rate_per_s(const struct park_rate *rate, uint64_t running_cost)
{
    if (rate->cost > 0.0 && rate->busy_s > 0.0)
        return rate->cost / rate->busy_s;
    return (double)running_cost / WARM_UP_S;
}

uint64_t park_retry_after_ms(const struct park_retry *retry, double base_ms, uint64_t random)
{
    /* The minimum comes before the jitter: short waits must be spread, too. */
    double ms = base_ms > retry->min_ms ? base_ms : retry->min_ms;
    double max_ms = retry->max_ms > 0.0 ? retry->max_ms : RETRY_MS_MAX;
    ms *= 1.0 + retry->jitter * random_unit(random);
    ms = ms < max_ms ? ms : max_ms;
    return ms > 1.0 ? (uint64_t)ms : 1;
}
