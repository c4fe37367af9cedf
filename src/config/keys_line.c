/* One line of a keys file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "config/keys_int.h"

enum {
    FIELDS_MAX = 16
};

static const char *const g_class_words[] = { "critical", "high", "normal", "low" };

bool keys_is_key(const char *s, size_t len)
{
    if (len < KEYS_KEY_MIN || len > KEYS_KEY_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] <= ' ' || s[i] > '~')
            return false;
    }
    return true;
}

bool keys_is_tenant(const char *name)
{
    size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return len > 0 && len <= KEYS_TENANT_MAX && name[len] == '\0';
}

static unsigned scope_bit(const char *word, size_t len)
{
    static const struct {
        const char *name;
        unsigned bit;
    } scopes[] = { { "infer", KEYS_INFER }, { "admin", KEYS_ADMIN }, { "metrics", KEYS_METRICS } };
    for (size_t i = 0; i < sizeof scopes / sizeof scopes[0]; i++) {
        if (strlen(scopes[i].name) == len && memcmp(scopes[i].name, word, len) == 0)
            return scopes[i].bit;
    }
    return 0;
}

unsigned keys_parse_scopes(const char *text)
{
    unsigned bits = 0;
    for (;;) {
        size_t len = strcspn(text, ",");
        unsigned bit = scope_bit(text, len);
        if (!bit)
            return 0;
        bits |= bit;
        if (text[len] == '\0')
            return bits;
        text += len + 1;
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool parse_hash(const char *hex, unsigned char out[KEYS_SHA256_BYTES])
{
    if (strlen(hex) != 2 * KEYS_SHA256_BYTES)
        return false;
    for (size_t i = 0; i < KEYS_SHA256_BYTES; i++) {
        int high = hex_digit(hex[2 * i]);
        int low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static bool parse_key(const char *text, struct key *key, char why[VALUE_WHY_BYTES])
{
    if (strncmp(text, "sha256:", 7) == 0) {
        if (parse_hash(text + 7, key->sha256))
            return true;
        snprintf(why, VALUE_WHY_BYTES, "'sha256:' wants 64 hex digits");
        return false;
    }
    if (keys_is_key(text, strlen(text)) && keys_hash(text, strlen(text), key->sha256))
        return true;
    snprintf(why, VALUE_WHY_BYTES, "a key has %d to %d printable characters", KEYS_KEY_MIN,
             KEYS_KEY_MAX);
    return false;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar (Hinnant, days_from_civil). */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static bool parse_digits(const char *s, size_t n, int64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        *out = *out * 10 + (s[i] - '0');
    }
    return true;
}

/* The last day on which the key is good, UTC; so it is void from the next midnight on. */
static bool parse_date(const char *s, int64_t *out)
{
    static const int month_days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int64_t year;
    int64_t month;
    int64_t day;
    if (strlen(s) != 10 || s[4] != '-' || s[7] != '-' || !parse_digits(s, 4, &year) ||
        !parse_digits(s + 5, 2, &month) || !parse_digits(s + 8, 2, &day))
        return false;
    if (year < 1970 || month < 1 || month > 12 || day < 1)
        return false;
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > month_days[month - 1] + (month == 2 && is_leap))
        return false;
    *out = (days_of(year, month, day) + 1) * 86400;
    return true;
}

static bool parse_weight(const char *s, double *out)
{
    char *end;
    if (*s < '0' || *s > '9')
        return false;
    double x = strtod(s, &end);
    if (*end != '\0' || !(x >= 0.001 && x <= 1000) || strpbrk(s, "xX"))
        return false;
    *out = x;
    return true;
}

static bool parse_class(const char *s, enum config_class_id *out)
{
    for (int i = 0; i < CONFIG_CLASS_COUNT; i++) {
        if (strcmp(s, g_class_words[i]) == 0) {
            *out = (enum config_class_id)i;
            return true;
        }
    }
    return false;
}

static enum base_err parse_models(const char *s, struct arena *arena, struct config_list *out)
{
    size_t commas = 0;
    for (const char *p = s; (p = strchr(p, ',')); p++)
        commas++;
    char *copy = arena_strndup(arena, s, strlen(s));
    const char **items = arena_calloc(arena, commas + 1, sizeof *items);
    size_t count = 0;
    if (!copy || !items)
        return E_NOMEM;
    for (char *p = copy; p;) {
        char *comma = strchr(p, ',');
        if (comma)
            *comma++ = '\0';
        if (*p == '\0')
            return E_INVALID;
        items[count++] = p;
        p = comma;
    }
    *out = (struct config_list){ items, count };
    return OK;
}

static bool parse_limit(const char *s, int64_t *out)
{
    return text_parse_i64(s, 1, INT64_C(1000000000000), out);
}

/* "name=value" of a line. */
static enum base_err parse_field(char *name, struct arena *arena, struct key *key,
                                 char why[VALUE_WHY_BYTES])
{
    char *value = strchr(name, '=');
    if (!value) {
        snprintf(why, VALUE_WHY_BYTES, "'%.40s' is no name=value", name);
        return E_INVALID;
    }
    *value++ = '\0';
    enum base_err rc = OK;
    bool ok = true;
    if (strcmp(name, "scopes") == 0)
        ok = (key->scopes = keys_parse_scopes(value)) != 0;
    else if (strcmp(name, "max_class") == 0)
        ok = parse_class(value, &key->max_class);
    else if (strcmp(name, "weight") == 0)
        ok = parse_weight(value, &key->weight);
    else if (strcmp(name, "models") == 0)
        rc = parse_models(value, arena, &key->models);
    else if (strcmp(name, "rpm") == 0)
        ok = parse_limit(value, &key->requests_per_min);
    else if (strcmp(name, "tpm") == 0)
        ok = parse_limit(value, &key->tokens_per_min);
    else if (strcmp(name, "max_running") == 0)
        ok = parse_limit(value, &key->running_max);
    else if (strcmp(name, "max_in_flight") == 0)
        ok = parse_limit(value, &key->in_flight_max);
    else if (strcmp(name, "expires") == 0)
        ok = parse_date(value, &key->expires);
    else {
        snprintf(why, VALUE_WHY_BYTES, "unknown field '%.40s'", name);
        return E_INVALID;
    }
    if (rc == E_NOMEM)
        return rc;
    if (rc || !ok)
        snprintf(why, VALUE_WHY_BYTES, "%s: '%.60s' is not valid", name, value);
    return rc || !ok ? E_INVALID : OK;
}

/* The words of a line up to '#'; more than FIELDS_MAX count as that. */
static size_t split(char *line, char *words[FIELDS_MAX])
{
    size_t count = 0;
    for (char *save = NULL, *w = strtok_r(line, " \t\r", &save); w && count < FIELDS_MAX;
         w = strtok_r(NULL, " \t\r", &save)) {
        if (*w == '#')
            break;
        words[count++] = w;
    }
    return count;
}

static bool is_repeated(char *const words[], size_t i)
{
    for (size_t j = 2; j < i; j++) {
        size_t len = strcspn(words[i], "=");
        if (strncmp(words[i], words[j], len) == 0 && words[j][len] == '\0')
            return true; /* the earlier one was cut at its '=' */
    }
    return false;
}

enum base_err keys_line_parse(char *line, struct arena *arena, struct key *out, bool *is_empty,
                              char why[VALUE_WHY_BYTES])
{
    char *words[FIELDS_MAX];
    size_t count = split(line, words);
    keys_init_key(out);
    *is_empty = count == 0;
    if (count == 0)
        return OK;
    if (!parse_key(words[0], out, why))
        return E_INVALID;
    if (count < 2 || !keys_is_tenant(words[1])) {
        snprintf(why, VALUE_WHY_BYTES, "behind the key comes a tenant of A-Z a-z 0-9 . _ -");
        return E_INVALID;
    }
    if (count == FIELDS_MAX) {
        snprintf(why, VALUE_WHY_BYTES, "too many fields");
        return E_INVALID;
    }
    out->tenant = arena_strndup(arena, words[1], strlen(words[1]));
    enum base_err rc = out->tenant ? OK : E_NOMEM;
    for (size_t i = 2; i < count && !rc; i++) {
        if (is_repeated(words, i)) {
            snprintf(why, VALUE_WHY_BYTES, "'%.40s' is there twice", words[i]);
            return E_INVALID;
        }
        rc = parse_field(words[i], arena, out, why);
    }
    return rc;
}
