#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdint.h>

#include "base/err.h"

/* What `valet serve` may be told. */
struct server_options {
    const char *model_path;
    const char *host;        /* numeric address or "localhost" (127.0.0.1 and ::1) */
    uint16_t port;           /* 0: any free one */
    int32_t threads;         /* 0: the CPUs this process may use */
    int32_t context;         /* 0: the model's */
    uint64_t kv_bytes;       /* 0: chosen */
    int32_t rows_max;        /* requests in the batch */
    int32_t chunk_max;       /* prompt tokens of one step */
    int32_t itl_target_ms;   /* bound of steps that also decode */
    int32_t no_prefix_cache; /* 1: off */
    uint64_t queue_count_max;
    uint64_t drain_ms;       /* what running work gets after SIGTERM */
};

void server_options_init(struct server_options *options);

/*
 * Loads the model, serves until SIGTERM or SIGINT, drains, and returns OK; or fails at the
 * start with one line in `info`. Blocks; the calling thread is the loop thread.
 */
enum base_err server_run(const struct server_options *options, struct base_err_info *info);

#endif
