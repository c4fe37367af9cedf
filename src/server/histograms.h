#ifndef SERVER_HISTOGRAMS_H
#define SERVER_HISTOGRAMS_H

#include "api/api.h"
#include "base/buf.h"
#include "base/err.h"
#include "park/park.h"

/*
 * Appends what clients wait for to the text of /metrics: by class under the own names, and the
 * same of all classes together under the names that dashboards for vLLM look for. `labels` and
 * `alias_labels` are those of every sample. E_NOMEM, E_TOO_BIG.
 */
enum base_err histograms_write(struct base_buf *out, const char *labels, const char *alias_labels,
                               const struct park_stats *pool, const struct api *api);

#endif
