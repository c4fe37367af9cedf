#ifndef TESTS_API_RIG_H
#define TESTS_API_RIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/thread.h"

/*
 * A server on 127.0.0.1 with everything real but the engine: a loop thread with http and
 * api, a pool, and a thread that takes tasks and emits what the script says.
 */
enum script {
    SCRIPT_ECHO,       /* START, "n=<prompt>", "é", nothing, "😀"; stop */
    SCRIPT_LENGTH,     /* START, "cut"; length */
    SCRIPT_FAIL_EARLY, /* failed before any event */
    SCRIPT_FAIL_LATE,  /* START, "a", failed */
    SCRIPT_NO_FINISH,  /* START, completed without a finish reason */
    SCRIPT_BAD_EVENT,  /* START, bytes that are no event, until cancelled */
    SCRIPT_HANG,       /* START, "a", until cancelled */
    SCRIPT_SILENT,     /* nothing, until cancelled */
    SCRIPT_LETTERS,    /* what the request asks for, all tasks in turns; see rig.c */
    SCRIPT_FAIL_ONE,   /* START, "a"; stop. Task 1: START, failed */
    SCRIPT_FLOOD       /* START, RIG_FLOOD_COUNT tokens of 4 KiB, waiting for room; stop */
};

enum {
    RIG_STUCK = 10, /* as many tries in vain, 20 ms apart: nobody reads */
    RIG_FLOOD_BYTES = 4096,
    RIG_FLOOD_COUNT = 4096,
    RIG_CONTEXT = 4096,
    RIG_LETTERS = 4, /* tokens of SCRIPT_LETTERS, if as many are asked for */
    RIG_CACHED = 16  /* and prompt tokens that it says were cached, plus the index of the task */
};

struct rig_options {
    uint64_t slots;
    uint64_t blocks;
    uint64_t queue_count_max;
    bool held;                 /* the engine takes nothing before rig_release */
    const char *chat_template; /* NULL: ChatML */
    bool add_bos;              /* the tokenizer puts <s> in front */

    bool fake_clock;            /* of the pool and the api: only rig_pass moves it */
    const struct rig_key *keys; /* NULL: no keys */
    size_t key_count;
    bool metrics_public;
    const char *unix_path; /* a socket to listen on besides; NULL: none */
    uint64_t early_headers_ms;
    uint64_t heartbeat_ms;
    uint64_t queue_timeout_ms; /* of all classes; 0: none */
    uint64_t run_timeout_ms;
    uint64_t low_count_max; /* tasks of class low that may wait; 0: no limit of its own */
    struct api_settings settings;
    const char *const *aliases; /* [alias_count] of the model */
    size_t alias_count;
};

/* A key; NULL: whoever sends none. */
struct rig_key {
    const char *key;
    struct api_caller caller;
};

struct rig_counts {
    unsigned arrivals; /* requests about to be submitted */
    unsigned starts;   /* tasks taken */
    unsigned fulls;    /* longest run of tries in vain to emit one event: the ring stays full */
    unsigned ends;     /* tasks finished */
    enum park_reason last_reason;
    uint64_t last_seed;
    int32_t last_max_new;
    struct park_units last_units; /* of the pool, while the task runs */
    uint64_t last_salt;
    enum park_class last_class;
};

struct rig {
    uint16_t port;
    park_pool *pool;
    struct api *api;
    struct http_server *server;

    /* private */
    struct rig_options options;
    _Atomic uint64_t now_ns; /* of the fake clock */
    struct base_clock clock;
    uv_prepare_t before_sleep;
    uv_timer_t tick_timer;
    uv_async_t passed_async;
    struct tokenizer *tokenizer;
    park_inbox *inbox;
    uv_loop_t loop;
    uv_poll_t poll;
    uv_async_t stop_async;
    struct base_thread loop_thread;
    struct base_thread engine_thread;
    struct base_lock lock;
    struct base_cond cond;

    /* under lock */
    enum script script;
    bool held;
    bool stop;
    bool unhealthy;
    const char *not_ready;
    struct rig_counts counts;
};

void rig_start(struct rig *r, const struct rig_options *options, enum script script);

/* Stops the engine, closes the server, destroys everything and checks that no memory is left. */
void rig_stop(struct rig *r);

/* The same; what the api counted is in `out`. */
void rig_stop_with_stats(struct rig *r, struct api_stats *out);

void rig_release(struct rig *r);

/* For what comes from now on. */
void rig_script(struct rig *r, enum script script);
void rig_not_ready(struct rig *r, const char *word);
void rig_unhealthy(struct rig *r, bool unhealthy);

struct rig_counts rig_counts(struct rig *r);

/* Moves the fake clock; what is due then is done before the next request is looked at. */
void rig_pass(struct rig *r, uint64_t ms);

/* Blocks until one of r->counts has reached `count`; 20 s without that fail the test. */
void rig_wait(struct rig *r, const unsigned *counter, unsigned count);

/* What the pool counts once it is empty. The pool takes no more work afterwards. */
void rig_wait_empty(struct rig *r, struct park_stats *out);

#endif
