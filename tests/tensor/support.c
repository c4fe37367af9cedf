#include "tensor/support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/random.h"

/* ---- instruction sets ---- */

int isas_find(const struct tensor_isa *isas[ISAS_MAX])
{
    static const char *const names[] = { "ref", "avx2", "avx512vnni", "amx", "neon" };
    int count = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (tensor_isa_find(names[i], &isas[count], NULL) == OK)
            count++;
    ASSERT(count >= 1 && strcmp(tensor_isa_name(isas[0]), "ref") == 0);
    return count;
}

bool isas_share_bits(const struct tensor_isa *a, const struct tensor_isa *b)
{
    return strcmp(tensor_isa_name(a), "ref") != 0 && strcmp(tensor_isa_name(b), "ref") != 0;
}

/* ---- seeded numbers ---- */

static uint64_t seed(void)
{
    const char *text = getenv("VALET_TEST_SEED");
    return text ? strtoull(text, NULL, 0) : 20250801;
}

void numbers_announce(void)
{
    const struct tensor_isa *isas[ISAS_MAX];
    int count = isas_find(isas);
    printf("seed %llu, instruction sets:", (unsigned long long)seed());
    for (int i = 0; i < count; i++)
        printf(" %s", tensor_isa_name(isas[i]));
    printf("\n");
    fflush(stdout);
}

struct numbers numbers_start(uint64_t stream)
{
    return (struct numbers){ random_mix(seed() ^ random_mix(stream)) };
}

uint64_t numbers_next(struct numbers *n)
{
    n->state += 0x9e3779b97f4a7c15u;
    return random_mix(n->state);
}

int64_t numbers_below(struct numbers *n, int64_t bound)
{
    return (int64_t)(numbers_next(n) % (uint64_t)bound);
}

float numbers_unit(struct numbers *n)
{
    return (float)((int64_t)(numbers_next(n) >> 40) - (INT64_C(1) << 23)) * 0x1p-23f;
}

void numbers_fill(struct numbers *n, float *x, int64_t count, float scale)
{
    for (int64_t i = 0; i < count; i++)
        x[i] = numbers_unit(n) * scale;
}

/* ---- half precision ---- */

double half_value(uint16_t h)
{
    double sign = h & 0x8000 ? -1.0 : 1.0;
    int exponent = h >> 10 & 31;
    int fraction = h & 1023;
    if (exponent == 31)
        return fraction ? NAN : sign * INFINITY;
    if (exponent == 0)
        return sign * ldexp(fraction, -24);
    return sign * ldexp(1024 + fraction, exponent - 25);
}

double half_round(double x)
{
    if (!isfinite(x) || x == 0)
        return x;
    int exponent;
    frexp(x, &exponent);
    double quantum = ldexp(1.0, exponent - 11 > -24 ? exponent - 11 : -24);
    double y = nearbyint(x / quantum) * quantum;
    return fabs(y) >= 65536.0 ? copysign(INFINITY, x) : y;
}

uint16_t half_random(struct numbers *n, int low, int high)
{
    uint64_t r = numbers_next(n);
    uint64_t exponent = (uint64_t)(low + numbers_below(n, high - low + 1));
    return (uint16_t)((r & 0x8000) | exponent << 10 | (r >> 16 & 0x3ff));
}

/* ---- guarded memory ---- */

enum {
    PAGE = 4096
};

struct guarded guarded_take(size_t bytes, enum guard_side side)
{
    size_t inner = (bytes + PAGE - 1) / PAGE * PAGE;
    struct guarded g = { .bytes = bytes, .map_bytes = inner + 2 * PAGE };
    g.map = mmap(NULL, g.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || (inner && mprotect(g.map + PAGE, inner, PROT_READ | PROT_WRITE)))
        ck_abort_msg("no memory for a guarded block of %zu bytes", bytes);
    memset(g.map + PAGE, 0xff, inner);
    g.p = side == GUARD_BEFORE ? g.map + PAGE : g.map + PAGE + inner - bytes;
    return g;
}

void guarded_give(struct guarded *g)
{
    const uint8_t *p = g->map + PAGE;
    const uint8_t *end = g->map + g->map_bytes - PAGE;
    const uint8_t *own = g->p;
    for (; p < end; p++) {
        if (p >= own && p < own + g->bytes)
            p = own + g->bytes;
        if (p < end && *p != 0xff)
            ck_abort_msg("byte %td of a block of %zu was written", p - own, g->bytes);
    }
    munmap(g->map, g->map_bytes);
    *g = (struct guarded){ 0 };
}

/* ---- comparing ---- */

int64_t bits_differ(const float *a, const float *b, int64_t count)
{
    if (memcmp(a, b, (size_t)count * sizeof *a) == 0)
        return -1;
    int64_t i = 0;
    while (memcmp(a + i, b + i, sizeof *a) == 0)
        i++;
    return i;
}
