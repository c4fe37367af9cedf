#include "base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "base/lock.h"

static log_sink_fn g_sink;
static enum log_level g_level_max = LOG_INFO;

void log_set_sink(log_sink_fn sink, enum log_level level_max)
{
    g_sink = sink;
    g_level_max = level_max;
}

bool log_enabled(enum log_level level)
{
    return g_sink && level <= g_level_max;
}

const char *log_level_name(enum log_level level)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    return names[level];
}

void log_line(enum log_level level, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    lock_check_none_held();
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (char *p = line; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
    g_sink(level, line);
}
