#include "log_sink.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/text.h"

enum {
    LINE_BYTES_MAX = 8192
};

static void make_stamp(char out[48])
{
    struct timespec now;
    struct tm utc;
    char seconds[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out, 48, "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
}

static void write_text(enum log_level level, const char *line)
{
    char stamp[48];
    make_stamp(stamp);
    fprintf(stderr, "%s %s %s\n", stamp, log_level_name(level), line);
}

/* ---- JSON ---- */

/* Control characters have become '?' in base/log.h. */
static enum base_err write_string(const char *s, size_t len, struct base_buf *out)
{
    enum base_err rc = buf_append_str(out, "\"");
    for (size_t i = 0; i < len && !rc;) {
        int n = utf8_char_len(s + i, len - i);
        if (n == 0)
            rc = buf_append_str(out, "?");
        else if (s[i] == '"' || s[i] == '\\')
            rc = buf_printf(out, "\\%c", s[i]);
        else
            rc = buf_append(out, s + i, (size_t)n);
        i += n ? (size_t)n : 1;
    }
    return rc ? rc : buf_append_str(out, "\"");
}

static enum base_err write_pair(const char *key, size_t key_len, const char *value,
                                size_t value_len, struct base_buf *out)
{
    enum base_err rc = buf_append_str(out, ",");
    if (!rc)
        rc = write_string(key, key_len, out);
    if (!rc)
        rc = buf_append_str(out, ":");
    return rc ? rc : write_string(value, value_len, out);
}

static size_t key_len_of(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");
    return s[n] == '=' ? n : 0;
}

/* The end of a value in quotes: a quote at the end of the line or in front of the next pair. */
static const char *quoted_end(const char *s)
{
    for (const char *p = s; (p = strchr(p, '"')); p++) {
        if (p[1] == '\0' || (p[1] == ' ' && key_len_of(p + 2) > 0))
            return p;
    }
    return NULL;
}

/* One pair at *p; false if there is none. */
static bool next_pair(const char **p, const char **key, size_t *key_len, const char **value,
                      size_t *value_len)
{
    *key = *p;
    *key_len = key_len_of(*p);
    if (*key_len == 0)
        return false;
    const char *s = *p + *key_len + 1;
    const char *end = *s == '"' ? quoted_end(s + 1) : NULL;
    if (end) {
        *value = s + 1;
        *value_len = (size_t)(end - s - 1);
        s = end + 1;
    } else {
        *value = s;
        *value_len = strcspn(s, " ");
        s += *value_len;
    }
    *p = s + strspn(s, " ");
    return true;
}

static bool is_pairs(const char *line)
{
    const char *key;
    const char *value;
    size_t key_len;
    size_t value_len;
    do {
        if (!next_pair(&line, &key, &key_len, &value, &value_len))
            return false;
    } while (*line);
    return true;
}

/*
 * Appends an object made of a line of key=value pairs; what is no such line becomes its
 * "message".
 */
static enum base_err write_object(const char *stamp, const char *level, const char *line,
                                  struct base_buf *out)
{
    const char *key = "message";
    const char *value = line;
    size_t key_len = 7;
    size_t value_len = strlen(line);
    enum base_err rc = buf_printf(out, "{\"time\":\"%s\",\"level\":\"%s\"", stamp, level);
    if (!rc && !is_pairs(line)) {
        rc = write_pair(key, key_len, value, value_len, out);
    } else {
        while (!rc && *line && next_pair(&line, &key, &key_len, &value, &value_len))
            rc = write_pair(key, key_len, value, value_len, out);
    }
    return rc ? rc : buf_append_str(out, "}\n");
}

static void write_json(enum log_level level, const char *line)
{
    char stamp[48];
    struct base_buf out;
    make_stamp(stamp);
    buf_init(&out, MEM_SERVER, LINE_BYTES_MAX);
    if (write_object(stamp, log_level_name(level), line, &out) == OK)
        fwrite(out.data, 1, out.len, stderr);
    buf_fini(&out);
}

void log_sink_start(const struct config_log *log)
{
    log_set_sink(log->format == CONFIG_LOG_JSON ? write_json : write_text,
                 (enum log_level)log->level);
}
