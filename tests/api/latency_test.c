#include "api/latency.h"

#include <math.h>
#include <string.h>

#include "suite.h"

#define MS UINT64_C(1000000)

static struct valet_event start_of(uint32_t choice)
{
    return (struct valet_event){ .type = VALET_EVENT_START, .choice = choice, .id = -1 };
}

static struct valet_event token_of(uint32_t choice)
{
    return (struct valet_event){ .type = VALET_EVENT_TOKEN, .choice = choice, .id = 7 };
}

static void note(struct latency *l, struct latency_answer *a, struct valet_event event,
                 uint64_t at_ms)
{
    latency_note(l, a, &event, at_ms * MS);
}

static void expect(const struct latency *l, enum api_latency kind, enum park_class klass,
                   uint64_t count, double sum_ms)
{
    const struct api_histogram *h = &l->histograms[kind][klass];
    uint64_t all = 0;
    for (size_t i = 0; i <= API_BOUNDS_MAX; i++)
        all += h->buckets[i];
    ck_assert_uint_eq(h->count, count);
    ck_assert_uint_eq(all, count);
    ck_assert_msg(fabs(h->sum_s * 1e3 - sum_ms) < 1e-6, "kind %d: %f ms, not %f", kind,
                  h->sum_s * 1e3, sum_ms);
}

START_TEST(each_time_of_an_answer_is_measured)
{
    struct latency l;
    struct latency_choice choices[2] = { { 0 } };
    struct latency_answer a = { .klass = PARK_CLASS_HIGH,
                                .arrived_ns = 100 * MS,
                                .choices = choices };
    latency_init(&l);
    note(&l, &a, start_of(0), 150);
    note(&l, &a, token_of(0), 200);
    expect(&l, API_LATENCY_FIRST, PARK_CLASS_HIGH, 1, 100);
    note(&l, &a, start_of(1), 205); /* the first start is the answer's */
    note(&l, &a, token_of(1), 210); /* and so is the first token */
    note(&l, &a, token_of(0), 230);
    note(&l, &a, token_of(1), 260);
    note(&l, &a, token_of(0), 240);
    expect(&l, API_LATENCY_BETWEEN, PARK_CLASS_HIGH, 3, 30 + 50 + 10);
    expect(&l, API_LATENCY_WHOLE, PARK_CLASS_HIGH, 0, 0); /* it may still fail */
    latency_end(&l, &a, 2, 300 * MS);
    expect(&l, API_LATENCY_FIRST, PARK_CLASS_HIGH, 1, 100);
    expect(&l, API_LATENCY_WHOLE, PARK_CLASS_HIGH, 1, 200);
    expect(&l, API_LATENCY_PREFILL, PARK_CLASS_HIGH, 1, 50);
    expect(&l, API_LATENCY_DECODE, PARK_CLASS_HIGH, 1, 40);
    expect(&l, API_LATENCY_PER_TOKEN, PARK_CLASS_HIGH, 2, 20 + 50);
    for (int k = 0; k < API_LATENCY_COUNT; k++)
        expect(&l, (enum api_latency)k, PARK_CLASS_NORMAL, 0, 0);
}
END_TEST

START_TEST(an_answer_without_tokens_has_an_end_alone)
{
    struct latency l;
    struct latency_choice choice = { 0 };
    struct latency_answer a = { .klass = PARK_CLASS_LOW, .arrived_ns = MS, .choices = &choice };
    struct valet_event prompt = { .type = VALET_EVENT_PROMPT, .id = 7 };
    struct valet_event end = { .type = VALET_EVENT_TOKEN, .id = -1 };
    latency_init(&l);
    note(&l, &a, start_of(0), 2);
    note(&l, &a, prompt, 3);
    note(&l, &a, end, 4);
    latency_end(&l, &a, 1, 5 * MS);
    for (int k = 0; k < API_LATENCY_COUNT; k++)
        expect(&l, (enum api_latency)k, PARK_CLASS_LOW, k == API_LATENCY_WHOLE,
               k == API_LATENCY_WHOLE ? 4 : 0);
}
END_TEST

START_TEST(one_token_has_nothing_between)
{
    struct latency l;
    struct latency_choice choice = { 0 };
    struct latency_answer a = { .arrived_ns = MS, .choices = &choice };
    latency_init(&l);
    note(&l, &a, token_of(0), 4);
    latency_end(&l, &a, 1, 5 * MS);
    expect(&l, API_LATENCY_FIRST, PARK_CLASS_CRITICAL, 1, 3);
    expect(&l, API_LATENCY_BETWEEN, PARK_CLASS_CRITICAL, 0, 0);
    expect(&l, API_LATENCY_PER_TOKEN, PARK_CLASS_CRITICAL, 0, 0);
    expect(&l, API_LATENCY_DECODE, PARK_CLASS_CRITICAL, 1, 0);
}
END_TEST

START_TEST(a_bound_belongs_to_the_bucket_below_it)
{
    struct latency l;
    latency_init(&l);
    for (int k = 0; k < API_LATENCY_COUNT; k++) {
        const struct api_histogram *h = &l.histograms[k][0];
        ck_assert_uint_le(h->bound_count, API_BOUNDS_MAX);
        for (size_t i = 1; i < h->bound_count; i++)
            ck_assert(h->bounds[i] > h->bounds[i - 1]);
    }
    static const struct {
        uint64_t ms;
        size_t bucket;
    } rows[] = {
        { 0, 0 }, { 1, 0 }, { 2, 1 }, { 5, 1 }, { 6, 2 }, { 2560000, 21 }, { 2560001, 22 }
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct latency_choice choice = { 0 };
        struct latency_answer a = { .arrived_ns = MS, .choices = &choice };
        latency_init(&l);
        note(&l, &a, token_of(0), 1 + rows[i].ms);
        ck_assert_uint_eq(l.histograms[API_LATENCY_FIRST][0].buckets[rows[i].bucket], 1);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("latency");
    tcase_add_test(tcase, each_time_of_an_answer_is_measured);
    tcase_add_test(tcase, an_answer_without_tokens_has_an_end_alone);
    tcase_add_test(tcase, one_token_has_nothing_between);
    tcase_add_test(tcase, a_bound_belongs_to_the_bucket_below_it);
    return suite_run("latency", tcase);
}
