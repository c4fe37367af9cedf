#ifndef API_LATENCY_H
#define API_LATENCY_H

#include <stdint.h>

#include "api/api.h"
#include "valet/event.h"

/*
 * How long clients wait for what, by class: struct api_histogram. Times are those at which the
 * loop meets an event, so they hold what a client sees.
 *
 * Threads: the loop. Cost: a look at some twenty bounds for each token.
 */
struct latency {
    struct api_histogram histograms[API_LATENCY_COUNT][PARK_CLASS_COUNT];
};

void latency_init(struct latency *latency);

/* One choice of an answer. */
struct latency_choice {
    uint64_t first_ns; /* of its tokens; 0: there was none */
    uint64_t last_ns;
    uint32_t count;
};

/* One answer. Times on the api's clock; 0: it has not come to that. */
struct latency_answer {
    enum park_class klass;
    uint64_t arrived_ns;
    uint64_t start_ns; /* the first prefill */
    uint64_t first_ns; /* the first token, of whatever choice */
    uint64_t last_ns;
    struct latency_choice *choices; /* [number of choices] */
};

/* An event of an answer, whose choice is one of its choices. */
void latency_note(struct latency *latency, struct latency_answer *answer,
                  const struct valet_event *event, uint64_t now_ns);

/* The answer is complete. */
void latency_end(struct latency *latency, const struct latency_answer *answer,
                 uint32_t choice_count, uint64_t now_ns);

#endif
