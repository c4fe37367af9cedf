#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "event.h"
#include "histogram.h"

/*
 * The parts of valet-load: options (load_options.c), what is measured (load_stats.c), the loop
 * (load_run.c) over its clients (client.c), the report (load_report.c). One thread.
 * Times are nanoseconds of CLOCK_MONOTONIC.
 */

enum {
    LOAD_CLIENTS_MAX = 4096,
    LOAD_EXTRAS_MAX = 8,
    LOAD_CODES_MAX = 16,
    LOAD_RETRY_SECONDS = 62 /* 0..60 s and more */
};

struct load_options {
    int port; /* of 127.0.0.1 */
    bool is_chat;
    bool is_plain; /* no streaming */
    int clients;   /* connections at most; in a closed loop each is a client */
    double rate;   /* requests/s of the open loop; 0: closed loop */
    bool is_poisson;
    bool waits_not;    /* a refused client of a closed loop does not wait as Retry-After says */
    int64_t requests;  /* sent at most, 0: no limit */
    double duration_s; /* of sending, 0: no limit */
    double warmup_s;
    double limit_s; /* of everything; what is in flight then is given up */
    int prompt_words;
    int shared_words;
    int max_tokens;
    uint64_t seed;
    pid_t pid; /* of the server, 0: not told */
    bool is_json;
    const char *model; /* NULL: not named */
    const char *priority;
    const char *headers[LOAD_EXTRAS_MAX]; /* "Name: value" */
    int header_count;
    const char *fields[LOAD_EXTRAS_MAX]; /* "\"name\":value", for the body */
    int field_count;
};

/* Reads the command line. Prints what is wrong and ends with status 2, or the help with 0. */
void load_options_parse(struct load_options *o, int argc, char **argv);

enum load_outcome {
    LOAD_DONE,        /* the whole answer */
    LOAD_REFUSED,     /* a whole answer of status 400 or above */
    LOAD_ERROR_EVENT, /* a stream that ended with an error event */
    LOAD_CUT,         /* an answer that began and did not come to its end */
    LOAD_UNANSWERED,  /* the connection ended before a byte of the answer */
    LOAD_UNREACHABLE, /* no connection */
    LOAD_BAD,         /* no HTTP, no JSON, or over a limit */
    LOAD_UNFINISHED,  /* still running at the end */
    LOAD_OUTCOME_COUNT
};

const char *load_outcome_name(enum load_outcome outcome);

struct load_code {
    int status;
    char code[EVENT_CODE_MAX];
    uint64_t count;
};

struct load_stats {
    uint64_t sent;
    uint64_t unsent; /* due in the open loop, but no connection was free */
    uint64_t outcomes[LOAD_OUTCOME_COUNT];
    struct load_code codes[LOAD_CODES_MAX]; /* of refusals and error events */
    int code_count;
    uint64_t prompt_tokens;
    uint64_t output_tokens;
    uint64_t steady_tokens; /* between the end of the warm-up and the end of sending */
    uint64_t retry_seconds[LOAD_RETRY_SECONDS];

    /* Requests sent after the warm-up. "due": counted from when the open loop was to send. */
    struct histogram first_token;
    struct histogram first_token_due;
    struct histogram between_tokens;
    struct histogram whole;
    struct histogram whole_due;
    struct histogram refusal; /* from the last byte sent to the first byte that came */
    struct histogram refusal_due;
    struct histogram late; /* reading behind the arrival of the bytes */

    uint64_t start_ns;
    uint64_t steady_ns;      /* end of the warm-up */
    uint64_t sending_end_ns; /* 0: still sending */
    uint64_t end_ns;         /* of the last answer */
    double cpu_s;            /* of this process */
    double server_cpu_s;     /* -1: unknown */
};

/* Counts a refusal or an error event; `code` may be empty. */
void load_stats_code(struct load_stats *s, int status, const char *code);
void load_stats_retry(struct load_stats *s, int64_t retry_ms);

/* CPU seconds of a process so far, -1 if there is none. */
double load_cpu_of(pid_t pid);
double load_cpu_own(void);

/* Runs it. False: the system refused something, after one line on stderr. */
bool load_run(const struct load_options *options, struct load_stats *stats);

/* Prints to stdout. False if that did not work. */
bool load_report(const struct load_options *options, const struct load_stats *stats);

#endif
