#include "config/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

void config_report_init(struct config_report *report)
{
    report->error_count = 0;
    report->warning_count = 0;
}

static size_t kept(size_t count)
{
    return count < CONFIG_MESSAGES_MAX ? count : CONFIG_MESSAGES_MAX;
}

size_t config_report_errors(const struct config_report *report)
{
    return kept(report->error_count);
}

size_t config_report_warnings(const struct config_report *report)
{
    return kept(report->warning_count);
}

/* Quotes from a file may hold anything; a message is one line of well-formed text. */
static void make_plain(char *s)
{
    size_t len = strlen(s);
    for (size_t i = 0; i < len;) {
        int n = utf8_char_len(s + i, len - i);
        if (n == 0 || (unsigned char)s[i] < 0x20 || s[i] == 0x7f) {
            s[i] = '?';
            n = 1;
        }
        i += (size_t)n;
    }
}

__attribute__((format(printf, 3, 0))) static void
add(char lines[CONFIG_MESSAGES_MAX][CONFIG_MESSAGE_BYTES], size_t *count, const char *format,
    va_list args)
{
    if (*count < CONFIG_MESSAGES_MAX) {
        vsnprintf(lines[*count], CONFIG_MESSAGE_BYTES, format, args);
        make_plain(lines[*count]);
    }
    ++*count;
}

void config_error(struct config_report *report, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(report->errors, &report->error_count, format, args);
    va_end(args);
}

void config_warning(struct config_report *report, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(report->warnings, &report->warning_count, format, args);
    va_end(args);
}
