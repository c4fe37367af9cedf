#ifndef CLI_SERVER_STATS_H
#define CLI_SERVER_STATS_H

#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "park/types.h"

/* What the metrics of a server say. Numbers that they do not have are NAN. */
struct server_stats {
    char model[128];

    /* now */
    double running;
    double waiting;
    double waiting_max;
    double oldest_wait_s;
    double class_waiting[PARK_CLASS_COUNT];
    double class_running[PARK_CLASS_COUNT];
    double rows;
    double rows_max;
    double kv_used; /* blocks; so are these */
    double kv_booked;
    double kv_cached;
    double kv_total;
    double connections;
    double resident_bytes;

    /* since the server's start */
    double prompt_tokens;
    double generated_tokens;
    double prefix_queries; /* tokens */
    double prefix_hits;
    double preemptions;
    double step_seconds;
    double completed;
    double failed;
    double cancelled;
    double dropped;
    double expired;
    double refused_queue_full;
    double refused_class_full;
    double refused_draining;
    double refused_other;
    double refused_limits;
    double refused_keys;
};

/* Reads the text of /metrics; what is unknown there is passed over. */
void server_stats_read(const char *text, struct server_stats *out);

/* Tokens in a second. */
struct server_speed {
    double prompt;
    double generated;
};

/* Between two looks that are `seconds` apart. */
struct server_speed server_stats_speed(const struct server_stats *before,
                                       const struct server_stats *now, double seconds);

/* The mean over the time in which the engine had work; 0: it had none. */
struct server_speed server_stats_mean_speed(const struct server_stats *s);

/* As an object. NULL: no memory. Gives: json_decref. */
json_t *server_stats_json(const struct server_stats *s, const struct server_speed *speed);

#endif
