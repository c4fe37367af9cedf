#ifndef CLI_METRICS_TEXT_H
#define CLI_METRICS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* The text of /metrics (Prometheus text format 0.0.4), read sample by sample. */
struct metrics_sample {
    const char *name; /* borrowed from the text */
    size_t name_len;
    const char *labels; /* what stands between the braces; "" with length 0: none */
    size_t labels_len;
    double value;
};

/* The next sample behind *at, which moves on; lines that are none are passed over. False: end. */
bool metrics_text_next(const char **at, struct metrics_sample *out);

/* Whether a sample has the label `pair`, as state="completed". NULL: any sample has. */
bool metrics_text_has(const struct metrics_sample *sample, const char *pair);

/* Copies the value of a label, without its escapes undone; false: there is none, or no room. */
bool metrics_text_label(const struct metrics_sample *sample, const char *key, char *out,
                        size_t size);

#endif
