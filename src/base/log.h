#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

/*
 * One event per line: "event=server.listen host=127.0.0.1 port=2000". Libraries are
 * silent until the program sets a sink. Never from kernels, never under a lock, never
 * with prompts or generated text above debug. Any thread.
 */
enum log_level {
    LOG_ERROR,
    LOG_WARN,
    LOG_INFO,
    LOG_DEBUG
};

typedef void (*log_sink_fn)(enum log_level level, const char *line);

/* Set once at start, before other threads exist. NULL: silent. */
void log_set_sink(log_sink_fn sink, enum log_level level_max);

bool log_enabled(enum log_level level);
const char *log_level_name(enum log_level level);

/* Formats one line (cut at 1 KiB, control characters shown as '?') and hands it to the sink. */
__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

#endif
