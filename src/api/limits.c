#include "api/limits.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/random.h"

#define WINDOW_MS 60000.0
#define TICKET_MS_DEFAULT 1000.0
#define MEAN_WEIGHT 0.125 /* of the newest value */
#define ROUNDING 1e-6     /* of a request or a token, which sums of doubles may be off */

enum {
    OUTPUT_DEFAULT = 256
};

/* ---- buckets ---- */

/* What is still in it. */
static double bucket_used(const struct limits_bucket *b, int64_t limit, uint64_t now_ns)
{
    double passed_ms = now_ns > b->at_ns ? (double)(now_ns - b->at_ns) / 1e6 : 0;
    double left = b->used - passed_ms * (double)limit / WINDOW_MS;
    return left > 0 ? left : 0;
}

static void bucket_add(struct limits_bucket *b, int64_t limit, double amount, uint64_t now_ns)
{
    double used = bucket_used(b, limit, now_ns) + amount;
    *b = (struct limits_bucket){ used > 0 ? used : 0, now_ns };
}

/* How long until `amount`, or all there can be, fits; 0: it does. */
static double bucket_wait_ms(const struct limits_bucket *b, int64_t limit, double amount,
                             uint64_t now_ns)
{
    double need = amount < (double)limit ? amount : (double)limit;
    double over = bucket_used(b, limit, now_ns) + need - (double)limit;
    return over > ROUNDING ? over * WINDOW_MS / (double)limit : 0;
}

static struct limits_left bucket_left(const struct limits_bucket *b, int64_t limit, uint64_t now_ns)
{
    double used = bucket_used(b, limit, now_ns);
    double left = (double)limit - used;
    return (struct limits_left){
        .limit = limit,
        .remaining = left > 0 ? (int64_t)left : 0,
        .reset_ms = (uint64_t)(used * WINDOW_MS / (double)limit),
    };
}

static void mean_add(double *mean, double value)
{
    *mean = *mean > 0 ? *mean + MEAN_WEIGHT * (value - *mean) : value;
}

/* ---- the table ---- */

static uint64_t name_hash(const char *name)
{
    uint64_t hash = 0;
    for (; *name; name++)
        hash = random_mix(hash + (unsigned char)*name + 1);
    return hash;
}

static struct limits_tenant **bucket_of(struct limits *l, const char *name)
{
    return &l->table[name_hash(name) & (LIMITS_BUCKETS - 1)];
}

static bool is_idle(const struct limits *l, const struct limits_tenant *t)
{
    return t != &l->other && t->in_flight == 0;
}

static void idle_add(struct limits *l, struct limits_tenant *t)
{
    t->older = l->newest;
    t->newer = NULL;
    if (l->newest)
        l->newest->newer = t;
    else
        l->oldest = t;
    l->newest = t;
}

static void idle_remove(struct limits *l, struct limits_tenant *t)
{
    *(t->newer ? &t->newer->older : &l->newest) = t->older;
    *(t->older ? &t->older->newer : &l->oldest) = t->newer;
    t->newer = t->older = NULL;
}

static void forget(struct limits *l, struct limits_tenant *t)
{
    struct limits_tenant **at = bucket_of(l, t->name);
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    idle_remove(l, t);
    l->count--;
    mem_free(t);
}

static struct limits_tenant *tenant_add(struct limits *l, const char *name)
{
    if (l->count >= LIMITS_TENANTS_MAX && l->oldest)
        forget(l, l->oldest);
    struct limits_tenant *t = NULL;
    if (l->count < LIMITS_TENANTS_MAX)
        t = mem_calloc(MEM_API, 1, sizeof *t);
    if (!t)
        return &l->other;
    memcpy(t->name, name, strlen(name));
    t->next = *bucket_of(l, name);
    *bucket_of(l, name) = t;
    l->count++;
    idle_add(l, t);
    return t;
}

static struct limits_tenant *tenant_get(struct limits *l, const char *name)
{
    struct limits_tenant *t = *bucket_of(l, name);
    while (t && strcmp(t->name, name) != 0)
        t = t->next;
    if (!t)
        return tenant_add(l, name);
    if (is_idle(l, t)) {
        idle_remove(l, t);
        idle_add(l, t);
    }
    return t;
}

void limits_init(struct limits *l, const struct base_random *random)
{
    struct api_settings settings;
    *l = (struct limits){ .random = random };
    api_settings_init(&settings);
    limits_set_retry(l, &settings);
}

void limits_set_retry(struct limits *l, const struct api_settings *settings)
{
    l->retry_ms_min = (double)settings->retry_after_min_ms;
    l->retry_ms_max = (double)settings->retry_after_max_ms;
    l->retry_jitter = settings->retry_after_jitter;
}

void limits_fini(struct limits *l)
{
    while (l->oldest)
        forget(l, l->oldest);
    ASSERT(l->count == 0);
}

void limits_find(struct limits *l, const struct api_caller *caller, struct limits_use *out)
{
    ASSERT(strlen(caller->tenant) <= PARK_TENANT_BYTES_MAX);
    *out = (struct limits_use){ .tenant = tenant_get(l, caller->tenant),
                                .requests_per_min = caller->requests_per_min,
                                .tokens_per_min = caller->tokens_per_min,
                                .in_flight_max = caller->in_flight_max,
                                .running_max = caller->running_max };
}

/* ---- decisions ---- */

/* Within the bounds, spread so that those who were refused together do not come together. */
static uint64_t retry_ms(const struct limits *l, double base_ms)
{
    double ms = base_ms > l->retry_ms_min ? base_ms : l->retry_ms_min;
    ms *= 1 + l->retry_jitter * random_unit(random_u64(l->random));
    ms = ms < l->retry_ms_max ? ms : l->retry_ms_max;
    return ms > 1 ? (uint64_t)ms : 1;
}

static enum base_err refuse_rate(const struct limits *l, int64_t limit, const char *what,
                                 double wait_ms, struct api_error *error)
{
    api_error_set(error, API_RATE_LIMIT, NULL,
                  "the limit of %" PRId64 " %s a minute is reached; there is room in %.0f ms",
                  limit, what, wait_ms);
    error->retry_after_ms = retry_ms(l, wait_ms);
    return E_INVALID;
}

enum base_err limits_request(struct limits *l, const struct limits_use *use, uint64_t now_ns,
                             struct api_error *error)
{
    int64_t limit = use->requests_per_min;
    struct limits_bucket *b = &use->tenant->requests;
    if (!limit)
        return OK;
    double wait_ms = bucket_wait_ms(b, limit, 1, now_ns);
    if (wait_ms > 0)
        return refuse_rate(l, limit, "requests", wait_ms, error);
    bucket_add(b, limit, 1, now_ns);
    return OK;
}

enum base_err limits_ticket(struct limits *l, const struct limits_use *use, uint64_t tokens,
                            uint64_t now_ns, struct api_error *error)
{
    const struct limits_tenant *t = use->tenant;
    int64_t limit = use->tokens_per_min;
    if (limit) {
        double wait_ms = bucket_wait_ms(&t->tokens, limit, (double)tokens, now_ns);
        if (wait_ms > 0)
            return refuse_rate(l, limit, "tokens", wait_ms, error);
    }
    if (!use->in_flight_max || t->in_flight < (uint64_t)use->in_flight_max)
        return OK;
    double ticket_ms = t->ticket_ms > 0 ? t->ticket_ms : TICKET_MS_DEFAULT;
    api_error_set(error, API_CONCURRENCY, NULL,
                  "%" PRIu64 " requests are being worked on, which is as many as may be",
                  t->in_flight);
    error->retry_after_ms = retry_ms(l, ticket_ms / (double)t->in_flight);
    return E_INVALID;
}

int32_t limits_output(const struct limits *l, const struct limits_use *use, int32_t max)
{
    double mean = use->tenant->output_tokens;
    if (mean <= 0)
        mean = l->output_tokens;
    if (mean <= 0)
        mean = OUTPUT_DEFAULT;
    return mean < (double)max ? (int32_t)mean : max;
}

void limits_begin(struct limits *l, const struct limits_use *use, uint64_t tokens, uint64_t now_ns)
{
    struct limits_tenant *t = use->tenant;
    if (is_idle(l, t))
        idle_remove(l, t);
    t->in_flight++;
    if (use->tokens_per_min)
        bucket_add(&t->tokens, use->tokens_per_min, (double)tokens, now_ns);
}

void limits_end(struct limits *l, const struct limits_use *use, const struct limits_end *end,
                uint64_t now_ns)
{
    struct limits_tenant *t = use->tenant;
    ASSERT(t->in_flight > 0);
    t->in_flight--;
    if (is_idle(l, t))
        idle_add(l, t);
    if (use->tokens_per_min)
        bucket_add(&t->tokens, use->tokens_per_min, (double)end->tokens - (double)end->charged,
                   now_ns);
    mean_add(&t->ticket_ms, (double)end->ms);
    if (end->output_count == 0)
        return;
    mean_add(&t->output_tokens, (double)end->output / end->output_count);
    mean_add(&l->output_tokens, (double)end->output / end->output_count);
}

struct limits_left limits_requests_left(const struct limits_use *use, uint64_t now_ns)
{
    if (!use->tenant || !use->requests_per_min)
        return (struct limits_left){ 0 };
    return bucket_left(&use->tenant->requests, use->requests_per_min, now_ns);
}

struct limits_left limits_tokens_left(const struct limits_use *use, uint64_t now_ns)
{
    if (!use->tenant || !use->tokens_per_min)
        return (struct limits_left){ 0 };
    return bucket_left(&use->tenant->tokens, use->tokens_per_min, now_ns);
}
