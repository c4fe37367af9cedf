/* "did you mean": the nearest known key. */
#include <stdio.h>
#include <string.h>

#include "config/config_int.h"

enum {
    WORD_MAX = 64 /* longer words are near to nothing */
};

/* Insertions, deletions and replacements (Levenshtein 1966), a row of the table at a time. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t row[WORD_MAX + 1];
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t above = row[j];
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[b_len];
}

bool config_is_near(const char *word, const char *candidate, size_t *distance)
{
    size_t a = strlen(word);
    size_t b = strlen(candidate);
    if (a == 0 || a > WORD_MAX || b > WORD_MAX)
        return false;
    size_t limit = a / 3 > 2 ? a / 3 : 2;
    *distance = edit_distance(word, a, candidate, b);
    return *distance <= limit && *distance < a && *distance < b;
}

/* The part of a key behind "section.", up to the next dot; false if it is not in there. */
static bool child_of(const char *key, const char *section, char out[CONFIG_KEY_BYTES])
{
    size_t len = strlen(section);
    if (len > 0) {
        if (strncmp(key, section, len) != 0 || key[len] != '.')
            return false;
        key += len + 1;
    }
    size_t n = strcspn(key, ".[");
    snprintf(out, CONFIG_KEY_BYTES, "%.*s", (int)n, key);
    return true;
}

static void nearest_below(const char *section, const char *key, size_t *best,
                          char out[CONFIG_KEY_BYTES])
{
    for (size_t i = 0; i < config_option_count(); i++) {
        char child[CONFIG_KEY_BYTES];
        size_t distance;
        if (child_of(config_option_at(i)->key, section, child) &&
            config_is_near(key, child, &distance) && distance < *best) {
            *best = distance;
            memcpy(out, child, CONFIG_KEY_BYTES);
        }
    }
}

static void same_elsewhere(const char *key, char out[CONFIG_KEY_BYTES])
{
    for (size_t i = 0; i < config_option_count(); i++) {
        const char *known = config_option_at(i)->key;
        const char *dot = strrchr(known, '.');
        if (dot && strcmp(dot + 1, key) == 0) {
            snprintf(out, CONFIG_KEY_BYTES, "%s", known);
            return;
        }
    }
}

const struct config_option *config_option_nearest_flag(const char *flag)
{
    const struct config_option *found = NULL;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *o = config_option_at(i);
        size_t distance;
        if (o->flag && config_is_near(flag, o->flag, &distance) && distance < best) {
            best = distance;
            found = o;
        }
    }
    return found;
}

void config_suggest_key(const char *section, const char *key, char out[CONFIG_KEY_BYTES])
{
    size_t best = SIZE_MAX;
    out[0] = '\0';
    nearest_below(section, key, &best, out);
    if (strcmp(section, "models[]") == 0)
        nearest_below("model_defaults", key, &best, out);
    if (best > 1) /* one letter off is the better guess, two are not */
        same_elsewhere(key, out);
}
