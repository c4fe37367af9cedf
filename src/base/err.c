#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

__attribute__((format(printf, 5, 0))) static void fill(struct base_err_info *info,
                                                       enum base_err code, int sys_errno,
                                                       int64_t byte, const char *format,
                                                       va_list args)
{
    info->code = code;
    info->sys_errno = sys_errno;
    info->byte = byte;
    int n = vsnprintf(info->message, sizeof info->message, format, args);
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
