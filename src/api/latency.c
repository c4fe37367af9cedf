#include "api/latency.h"

#include "api/format.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* The bounds that dashboards for LLM servers are made for. */
static const double g_first[] = { .001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
                                  1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560 };
static const double g_between[] = { .01, .025, .05, .075, .1,  .15, .2, .3, .4, .5,
                                    .75, 1,    2.5, 5,    7.5, 10,  20, 40, 80 };
static const double g_whole[] = { .3, .5, .8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                  30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680 };

_Static_assert(COUNT(g_first) <= API_BOUNDS_MAX, "room for all");
_Static_assert(COUNT(g_between) <= API_BOUNDS_MAX, "room for all");
_Static_assert(COUNT(g_whole) <= API_BOUNDS_MAX, "room for all");

static const struct {
    const double *bounds;
    size_t count;
} g_kinds[API_LATENCY_COUNT] = {
    [API_LATENCY_FIRST] = { g_first, COUNT(g_first) },
    [API_LATENCY_BETWEEN] = { g_between, COUNT(g_between) },
    [API_LATENCY_PER_TOKEN] = { g_between, COUNT(g_between) },
    [API_LATENCY_WHOLE] = { g_whole, COUNT(g_whole) },
    [API_LATENCY_PREFILL] = { g_whole, COUNT(g_whole) },
    [API_LATENCY_DECODE] = { g_whole, COUNT(g_whole) },
};

void latency_init(struct latency *latency)
{
    for (int k = 0; k < API_LATENCY_COUNT; k++) {
        for (int c = 0; c < PARK_CLASS_COUNT; c++)
            latency->histograms[k][c] = (struct api_histogram){ .bounds = g_kinds[k].bounds,
                                                                .bound_count = g_kinds[k].count };
    }
}

static void add(struct latency *latency, enum api_latency kind, enum park_class klass, double s)
{
    struct api_histogram *h = &latency->histograms[kind][klass];
    size_t i = 0;
    while (i < h->bound_count && s > h->bounds[i])
        i++;
    h->buckets[i]++;
    h->count++;
    h->sum_s += s;
}

/* From a to b, or 0. */
static double seconds(uint64_t a_ns, uint64_t b_ns)
{
    return b_ns > a_ns ? (double)(b_ns - a_ns) * 1e-9 : 0;
}

static void note_token(struct latency *latency, struct latency_answer *a,
                       struct latency_choice *choice, uint64_t now_ns)
{
    if (!a->first_ns) {
        a->first_ns = now_ns;
        add(latency, API_LATENCY_FIRST, a->klass, seconds(a->arrived_ns, now_ns));
    }
    a->last_ns = now_ns;
    if (choice->count == 0)
        choice->first_ns = now_ns;
    else
        add(latency, API_LATENCY_BETWEEN, a->klass, seconds(choice->last_ns, now_ns));
    choice->last_ns = now_ns;
    choice->count++;
}

void latency_note(struct latency *latency, struct latency_answer *a,
                  const struct valet_event *event, uint64_t now_ns)
{
    if (event->type == VALET_EVENT_START && !a->start_ns)
        a->start_ns = now_ns;
    if (format_has_token(event))
        note_token(latency, a, &a->choices[event->choice], now_ns);
}

void latency_end(struct latency *latency, const struct latency_answer *a, uint32_t choice_count,
                 uint64_t now_ns)
{
    add(latency, API_LATENCY_WHOLE, a->klass, seconds(a->arrived_ns, now_ns));
    if (!a->first_ns)
        return;
    if (a->start_ns)
        add(latency, API_LATENCY_PREFILL, a->klass, seconds(a->start_ns, a->first_ns));
    add(latency, API_LATENCY_DECODE, a->klass, seconds(a->first_ns, a->last_ns));
    for (uint32_t i = 0; i < choice_count; i++) {
        const struct latency_choice *c = &a->choices[i];
        if (c->count > 1)
            add(latency, API_LATENCY_PER_TOKEN, a->klass,
                seconds(c->first_ns, c->last_ns) / (c->count - 1));
    }
}
