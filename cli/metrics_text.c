#include "metrics_text.h"

#include <stdlib.h>
#include <string.h>

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:"

/* Behind the brace that ends the labels at `p`; NULL: there is none in this line. */
static const char *labels_end(const char *p)
{
    bool in_quotes = false;
    for (; *p && *p != '\n'; p++) {
        if (in_quotes && *p == '\\' && p[1])
            p++;
        else if (*p == '"')
            in_quotes = !in_quotes;
        else if (*p == '}' && !in_quotes)
            return p + 1;
    }
    return NULL;
}

static bool parse_line(const char *line, struct metrics_sample *out)
{
    const char *p = line + strspn(line, NAME_CHARS);
    char *end;
    *out = (struct metrics_sample){ .name = line, .name_len = (size_t)(p - line), .labels = "" };
    if (out->name_len == 0)
        return false;
    if (*p == '{') {
        const char *behind = labels_end(p + 1);
        if (!behind)
            return false;
        out->labels = p + 1;
        out->labels_len = (size_t)(behind - 1 - out->labels);
        p = behind;
    }
    if (*p != ' ')
        return false;
    p += strspn(p, " ");
    out->value = strtod(p, &end);
    return end != p && (*end == '\n' || *end == ' ' || *end == '\0');
}

bool metrics_text_next(const char **at, struct metrics_sample *out)
{
    while (**at) {
        const char *line = *at;
        *at += strcspn(line, "\n");
        *at += **at == '\n';
        if (parse_line(line, out))
            return true;
    }
    return false;
}

/* The next pair at *p, key="value"; false: none. */
static bool next_pair(const char **p, const char *end, const char **pair, size_t *len)
{
    bool in_quotes = false;
    *pair = *p;
    for (; *p < end && (in_quotes || **p != ','); ++*p) {
        if (in_quotes && **p == '\\' && *p + 1 < end)
            ++*p;
        else if (**p == '"')
            in_quotes = !in_quotes;
    }
    *len = (size_t)(*p - *pair);
    *p += *p < end;
    return *len > 0;
}

bool metrics_text_has(const struct metrics_sample *sample, const char *pair)
{
    const char *p = sample->labels;
    const char *found;
    size_t len;
    if (!pair)
        return true;
    while (next_pair(&p, sample->labels + sample->labels_len, &found, &len)) {
        if (strlen(pair) == len && memcmp(pair, found, len) == 0)
            return true;
    }
    return false;
}

bool metrics_text_label(const struct metrics_sample *sample, const char *key, char *out,
                        size_t size)
{
    const char *p = sample->labels;
    const char *found;
    size_t key_len = strlen(key);
    size_t len;
    while (next_pair(&p, sample->labels + sample->labels_len, &found, &len)) {
        if (len < key_len + 3 || memcmp(found, key, key_len) != 0 || found[key_len] != '=')
            continue;
        size_t value_len = len - key_len - 3; /* ="..." */
        if (value_len >= size)
            return false;
        memcpy(out, found + key_len + 2, value_len);
        out[value_len] = '\0';
        return true;
    }
    return false;
}
