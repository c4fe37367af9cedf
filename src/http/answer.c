#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "http/http_int.h"

/* RFC 9110, 5.6.7: always English, whatever the locale. Once a second. */
static const char *date_now(struct http_server *server)
{
    static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    int64_t second = clock_wall_seconds();
    if (server->date[0] && second == server->date_second)
        return server->date;
    time_t t = (time_t)second;
    struct tm tm;
    if (!gmtime_r(&t, &tm))
        return "Thu, 01 Jan 1970 00:00:00 GMT";
    snprintf(server->date, sizeof server->date, "%s, %02u %s %04u %02u:%02u:%02u GMT",
             days[tm.tm_wday % 7], (unsigned)tm.tm_mday % 100, months[tm.tm_mon % 12],
             ((unsigned)tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
             (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
    server->date_second = second;
    return server->date;
}

static void check_header(const struct http_header *header)
{
    static const char *const own[] = { "content-length", "transfer-encoding", "connection" };
    struct http_str name = { header->name, strlen(header->name) };
    ASSERT(name.len > 0);
    for (size_t i = 0; i < name.len; i++)
        ASSERT(http_char_is_token(name.data[i]));
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        ASSERT(!http_str_is_nocase(name, own[i]));
    ASSERT(!strpbrk(header->value, "\r\n"));
}

enum base_err http_answer_head(struct http_server *server, struct base_buf *out,
                               const struct http_answer *answer)
{
    enum base_err rc = buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", answer->status,
                                  http_status_text(answer->status), date_now(server));
    if (!rc && server->options.server_name)
        rc = buf_printf(out, "Server: %s\r\n", server->options.server_name);
    if (!rc)
        rc = http_policy_headers(&server->options.policy, answer->cors_origin, answer->is_preflight,
                                 out);
    for (size_t i = 0; i < answer->header_count && !rc; i++) {
        check_header(&answer->headers[i]);
        rc = buf_printf(out, "%s: %s\r\n", answer->headers[i].name, answer->headers[i].value);
    }
    if (!rc && answer->is_chunked)
        rc = buf_append_str(out, "Transfer-Encoding: chunked\r\n");
    else if (!rc && answer->has_length)
        rc = buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)answer->length);
    if (!rc)
        rc = buf_printf(out, "Connection: %s\r\n\r\n", answer->keep_alive ? "keep-alive" : "close");
    return rc;
}
