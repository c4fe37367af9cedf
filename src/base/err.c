#include "base/err.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

const char *base_strerror(enum base_err code)
{
    switch (code) {
#define X(name, number, text)                                                                      \
    case name:                                                                                     \
        return text;
        BASE_ERR_LIST(X)
#undef X
    }
    return "unknown error";
}

/*
 * What came may hold anything, and may be cut within a character: no value makes a second line,
 * moves a terminal's cursor or is no UTF-8.
 */
static void make_one_line(char *message)
{
    size_t len = strlen(message);
    for (size_t i = 0; i < len;) {
        int n = utf8_char_len(message + i, len - i);
        bool is_control = (unsigned char)message[i] < 0x20 || message[i] == 0x7f;
        if (n == 0 || is_control)
            message[i] = '?';
        i += n ? (size_t)n : 1;
    }
}

__attribute__((format(printf, 5, 0))) static void fill(struct base_err_info *info,
                                                       enum base_err code, int sys_errno,
                                                       int64_t byte, const char *format,
                                                       va_list args)
{
    info->code = code;
    info->sys_errno = sys_errno;
    info->byte = byte;
    int n = vsnprintf(info->message, sizeof info->message, format, args);
    make_one_line(info->message);
    if (sys_errno == 0 || n < 0 || (size_t)n >= sizeof info->message)
        return;
    char text[96];
    const char *reason = strerror_r(sys_errno, text, sizeof text);
    snprintf(info->message + n, sizeof info->message - (size_t)n, ": %s", reason);
}

enum base_err base_err_set(struct base_err_info *info, enum base_err code, const char *format, ...)
{
    if (!info)
        return code;
    va_list args;
    va_start(args, format);
    fill(info, code, 0, -1, format, args);
    va_end(args);
    return code;
}

enum base_err base_err_set_at(struct base_err_info *info, enum base_err code, int64_t byte,
                              const char *format, ...)
{
    if (!info)
        return code;
    va_list args;
    va_start(args, format);
    fill(info, code, 0, byte, format, args);
    va_end(args);
    return code;
}

enum base_err base_err_set_errno(struct base_err_info *info, enum base_err code, int sys_errno,
                                 const char *format, ...)
{
    if (!info)
        return code;
    va_list args;
    va_start(args, format);
    fill(info, code, sys_errno, -1, format, args);
    va_end(args);
    return code;
}
