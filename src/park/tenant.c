/*
 * Tenants with statistics of their own: a fixed number of entries, made at the creation of the
 * pool. When all are used, the one whose last use is longest ago and that has no live ticket
 * gives its entry up and its counts to the others; where none can, a newcomer counts there.
 *
 * Threads: the caller holds the pool's lock.
 */
#include "park/park_int.h"

#include <string.h>

#include "base/assert.h"

#define TENANTS_MAX 65536

bool park_tenants_init(struct park_tenants *tenants, uint64_t count_max)
{
    if (count_max == 0)
        return true;
    if (count_max > TENANTS_MAX)
        return false;
    tenants->count_max = count_max;
    tenants->bucket_count = 16;
    while (tenants->bucket_count < count_max)
        tenants->bucket_count *= 2;
    tenants->entries = mem_calloc(MEM_PARK, count_max, sizeof *tenants->entries);
    tenants->buckets = mem_calloc(MEM_PARK, tenants->bucket_count, sizeof *tenants->buckets);
    if (tenants->entries && tenants->buckets)
        return true;
    park_tenants_fini(tenants);
    return false;
}

void park_tenants_fini(struct park_tenants *tenants)
{
    mem_free(tenants->entries);
    mem_free(tenants->buckets);
    tenants->entries = NULL;
    tenants->buckets = NULL;
}

/* FNV-1a and a mix with the pool's salt: names may come from outside. */
static struct park_tenant **bucket_of(park_pool *pool, const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ pool->timers.salt;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return &pool->tenants.buckets[random_mix(hash) & (pool->tenants.bucket_count - 1)];
}

static void use_unlink(struct park_tenants *tenants, struct park_tenant *tenant)
{
    if (tenant->prev)
        tenant->prev->next = tenant->next;
    else
        tenants->oldest = tenant->next;
    if (tenant->next)
        tenant->next->prev = tenant->prev;
    else
        tenants->newest = tenant->prev;
}

static void use_push(struct park_tenants *tenants, struct park_tenant *tenant)
{
    tenant->prev = tenants->newest;
    tenant->next = NULL;
    if (tenants->newest)
        tenants->newest->next = tenant;
    else
        tenants->oldest = tenant;
    tenants->newest = tenant;
}

static void add_counts(struct park_counts *sum, const struct park_counts *more)
{
    sum->submitted += more->submitted;
    sum->rejected += more->rejected;
    sum->completed += more->completed;
    sum->failed += more->failed;
    sum->cancelled += more->cancelled;
    sum->dropped += more->dropped;
    sum->expired += more->expired;
}

/* The least recently used entry without live tickets, taken out; NULL: there is none. */
static struct park_tenant *forget_one(park_pool *pool)
{
    struct park_tenants *tenants = &pool->tenants;
    struct park_tenant *tenant = tenants->oldest;
    while (tenant && tenant->live_count > 0)
        tenant = tenant->next;
    if (!tenant)
        return NULL;
    struct park_tenant **link = bucket_of(pool, tenant->name);
    while (*link != tenant)
        link = &(*link)->chain;
    *link = tenant->chain;
    use_unlink(tenants, tenant);
    add_counts(&tenants->others.counts, &tenant->counts);
    *tenant = (struct park_tenant){ 0 };
    return tenant;
}

struct park_tenant *park_tenant_of_locked(park_pool *pool, const char *name)
{
    struct park_tenants *tenants = &pool->tenants;
    if (!*name || tenants->count_max == 0)
        return &tenants->others;
    struct park_tenant *tenant = *bucket_of(pool, name);
    while (tenant && strcmp(tenant->name, name) != 0)
        tenant = tenant->chain;
    if (tenant) {
        use_unlink(tenants, tenant);
        use_push(tenants, tenant);
        return tenant;
    }
    if (tenants->count < tenants->count_max)
        tenant = &tenants->entries[tenants->count++];
    else
        tenant = forget_one(pool);
    if (!tenant)
        return &tenants->others;
    memcpy(tenant->name, name, strlen(name));
    struct park_tenant **bucket = bucket_of(pool, name);
    tenant->chain = *bucket;
    *bucket = tenant;
    use_push(tenants, tenant);
    return tenant;
}

static void copy_out(struct park_tenant_stats *out, const struct park_tenant *tenant)
{
    memcpy(out->name, tenant->name, sizeof out->name);
    out->counts = tenant->counts;
}

/* Insertion into out[1..*n), most submissions first. */
static void insert(struct park_tenant_stats *out, size_t *n, size_t count_max,
                   const struct park_tenant *tenant)
{
    size_t at = *n;
    while (at > 1 && out[at - 1].counts.submitted < tenant->counts.submitted)
        at--;
    if (at >= count_max)
        return;
    if (*n < count_max)
        (*n)++;
    memmove(&out[at + 1], &out[at], (*n - at - 1) * sizeof *out);
    copy_out(&out[at], tenant);
}

size_t park_tenants(park_pool *pool, struct park_tenant_stats *out, size_t count_max)
{
    size_t n = 0;
    if (count_max == 0)
        return 0;
    lock_take(&pool->lock);
    copy_out(&out[n++], &pool->tenants.others);
    for (uint64_t i = 0; i < pool->tenants.count; i++)
        insert(out, &n, count_max, &pool->tenants.entries[i]);
    lock_give(&pool->lock);
    return n;
}
