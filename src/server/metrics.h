#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "api/api.h"
#include "base/buf.h"
#include "http/http.h"
#include "park/park.h"
#include "valet/engine.h"

/* Where the numbers come from. */
struct metrics_source {
    const char *model_id;
    park_pool *pool;
    valet_engine *engine;
    struct http_server *http;
    struct api *api;
};

/* Appends the text of /metrics (Prometheus text format 0.0.4). E_NOMEM, E_TOO_BIG. */
enum base_err metrics_write(const struct metrics_source *source, struct base_buf *out);

#endif
