#ifndef CLI_STATS_VIEW_H
#define CLI_STATS_VIEW_H

#include <stdbool.h>

#include "base/buf.h"
#include "server_stats.h"

struct stats_view {
    const char *server; /* its name, for people */
    const struct server_stats *stats;
    struct server_speed speed;
    bool is_mean;      /* `speed` is that of the time with work */
    const char *fault; /* why the numbers are old; NULL: they are not */
};

/* Appends lines for people. E_NOMEM. */
enum base_err stats_view_write(const struct stats_view *view, struct base_buf *out);

#endif
