#ifndef API_ANSWER_INT_H
#define API_ANSWER_INT_H

#include "api/answer.h"

/* What the loop keeps while it answers; see answer.c for its life. */
struct answer {
    struct api *api;
    const struct format_kind *kind;
    struct answer *next; /* in its bucket */
    park_ticket *ticket; /* one reference */
    struct api_peer peer;
    struct format format;
    struct latency_answer latency;
    struct pulse pulse; /* in api->early, then in api->beats */
    uint64_t cursor;    /* event seq */
    uint64_t begin_ns;  /* submitted */
    uint64_t charged;   /* tokens, of the tenant's limit */
    bool settled;       /* what it did not need was given back */
    bool stream;
    bool started; /* stream: headers are out */
    char tenant[PARK_TENANT_BYTES_MAX + 1];
};

struct answer *answer_of_pulse(struct pulse *pulse);

/* The answer of a ticket, NULL: none is left. */
struct answer *answer_find(struct api *api, const park_ticket *ticket);

/* Ends what its tenant is charged. The second call does nothing. */
void answer_settle(struct answer *a);

/* A ticket that is not terminal yet is cancelled: nobody is left who wants its answer. */
void answer_destroy(struct answer *a);

#endif
