#ifndef API_CHAT_FORMAT_H
#define API_CHAT_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/errors.h"
#include "base/buf.h"
#include "base/err.h"
#include "valet/event.h"

/*
 * Events to JSON and SSE: functions of the state and the event alone, one event at a time,
 * never merging. Each appends to `out` all or nothing: E_NOMEM or E_TOO_BIG.
 */
struct chat_format {
    /* set at the start, constant afterwards */
    char id[40];             /* "chatcmpl-…" */
    int64_t created;         /* seconds since 1970 */
    const char *model;       /* borrowed */
    const char *fingerprint; /* borrowed */
    bool include_usage;
    int32_t prompt_count; /* tokens */

    /* moved by chat_format_note */
    int32_t generated; /* tokens */
    enum valet_finish finish;
};

/* Notes what an event says about the whole answer. */
void chat_format_note(struct chat_format *f, const struct valet_event *event);

/* "stop", "length"; NULL while more follows. */
const char *chat_format_finish(enum valet_finish finish);

/* The role chunk, which comes first. */
enum base_err chat_format_role(const struct chat_format *f, struct base_buf *out);

/* A content chunk; nothing if the event releases no text. */
enum base_err chat_format_content(const struct chat_format *f, const struct valet_event *event,
                                  struct base_buf *out);

/* The finish chunk, the usage chunk if asked for, and [DONE]. */
enum base_err chat_format_end(const struct chat_format *f, struct base_buf *out);

/* An error instead of the end, and [DONE]. */
enum base_err chat_format_error(const struct api_error *error, struct base_buf *out);

/* The whole answer as one chat.completion object. */
enum base_err chat_format_completion(const struct chat_format *f, const char *text, size_t len,
                                     struct base_buf *out);

#endif
