#ifndef API_LIMITS_H
#define API_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#include "api/api.h"
#include "api/errors.h"
#include "base/err.h"

/*
 * What each tenant has used of its limits. A bucket is one minute deep: what was used flows
 * off at the limit's rate, and there is room while less than a minute's worth is in it. What
 * is asked beyond the whole limit is granted when the bucket is empty.
 *
 * Threads: the loop. Cost: O(1), one look into a table of tenants.
 */
enum {
    LIMITS_TENANTS_MAX = 10000, /* the rest share one entry; idle ones are forgotten first */
    LIMITS_BUCKETS = 1024       /* a power of two */
};

struct limits_bucket {
    double used; /* at at_ns */
    uint64_t at_ns;
};

struct limits_tenant {
    char name[PARK_TENANT_BYTES_MAX + 1];
    struct limits_tenant *next; /* in its bucket of the table */
    struct limits_tenant *newer;
    struct limits_tenant *older; /* by the last use; idle ones only */
    struct limits_bucket requests;
    struct limits_bucket tokens;
    uint64_t in_flight;   /* tickets; while there are any it is not forgotten */
    double ticket_ms;     /* mean time of a ticket; 0: none has ended */
    double output_tokens; /* mean length of an answer; 0: none has ended */
};

struct limits {
    const struct base_random *random; /* spreads the times to come back */
    double retry_ms_min;
    double retry_ms_max;
    double retry_jitter;
    struct limits_tenant *table[LIMITS_BUCKETS];
    struct limits_tenant *newest; /* idle tenants by the last use */
    struct limits_tenant *oldest;
    struct limits_tenant other; /* of all that found no entry */
    size_t count;
    double output_tokens; /* mean of all tenants; 0: none has ended */
};

/* A caller's limits and what its tenant has used. Zeros: unlimited, of nobody. */
struct limits_use {
    struct limits_tenant *tenant; /* NULL: not looked up */
    int64_t requests_per_min;
    int64_t tokens_per_min;
    int64_t in_flight_max;
    int64_t running_max; /* which the lot sees to */
};

void limits_init(struct limits *limits, const struct base_random *random);
void limits_fini(struct limits *limits);

/* The bounds of the times to come back, at first those of api_settings_init. */
void limits_set_retry(struct limits *limits, const struct api_settings *settings);

/*
 * The use of a caller's tenant. It lasts until the next call of this function, and between
 * limits_begin and limits_end.
 */
void limits_find(struct limits *limits, const struct api_caller *caller, struct limits_use *out);

/* Counts a request, or refuses it: API_RATE_LIMIT. E_INVALID. */
enum base_err limits_request(struct limits *limits, const struct limits_use *use, uint64_t now_ns,
                             struct api_error *error);

/*
 * Whether a ticket that costs `tokens` is within the limits of tokens and tickets:
 * API_RATE_LIMIT, API_CONCURRENCY. E_INVALID. Counts nothing.
 */
enum base_err limits_ticket(struct limits *limits, const struct limits_use *use, uint64_t tokens,
                            uint64_t now_ns, struct api_error *error);

/* How long the answer of a ticket is expected to be, at most `max`. */
int32_t limits_output(const struct limits *limits, const struct limits_use *use, int32_t max);

/* A ticket begins and is charged what it is expected to cost. */
void limits_begin(struct limits *limits, const struct limits_use *use, uint64_t tokens,
                  uint64_t now_ns);

/* What a ticket was. */
struct limits_end {
    uint64_t charged;      /* by limits_begin */
    uint64_t tokens;       /* prompt and answers */
    uint64_t output;       /* tokens of the answers */
    uint32_t output_count; /* answers; 0: it did not run to its end */
    uint64_t ms;
};

/* It ends, and what it did not need is given back. */
void limits_end(struct limits *limits, const struct limits_use *use, const struct limits_end *end,
                uint64_t now_ns);

/* A limit for people: how much, what is left, when all of it is there again. */
struct limits_left {
    int64_t limit; /* 0: none */
    int64_t remaining;
    uint64_t reset_ms;
};

struct limits_left limits_requests_left(const struct limits_use *use, uint64_t now_ns);
struct limits_left limits_tokens_left(const struct limits_use *use, uint64_t now_ns);

#endif
