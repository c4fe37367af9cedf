#include <string.h>

#include "api/params.h"

enum {
    BREAKERS_MAX = 64,
    BREAKER_BYTES_MAX = 64
};

struct breakers {
    struct tokenizer_text texts[BREAKERS_MAX];
    size_t count;
    bool first[256]; /* bytes that one of them begins with */
};

static enum base_err breakers_read(const json_t *list, struct breakers *out,
                                   struct api_error *error)
{
    struct api_path path = { .key = "dry_sequence_breakers" };
    if (!json_is_array(list) || json_array_size(list) > BREAKERS_MAX)
        return api_wrong(error, &path, "an array of at most 64 strings", list);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *text = json_array_get(list, i);
        struct api_path item = { .up = &path, .index = i };
        size_t len = json_string_length(text);
        if (!json_is_string(text) || len < 1 || len > BREAKER_BYTES_MAX)
            return api_wrong(error, &item, "a string of 1 to 64 bytes", text);
        out->texts[out->count++] = (struct tokenizer_text){ json_string_value(text), len };
    }
    return OK;
}

static void breakers_default(struct breakers *out)
{
    static const char *const texts[] = { "\n", ":", "\"", "*" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        out->texts[out->count++] = (struct tokenizer_text){ texts[i], 1 };
}

static bool starts_with_one(const struct breakers *b, const char *s, size_t len)
{
    for (size_t i = 0; i < b->count; i++) {
        size_t n = b->texts[i].len;
        if (n <= len && memcmp(s, b->texts[i].data, n) == 0)
            return true;
    }
    return false;
}

static bool contains_one(const struct breakers *b, struct tokenizer_text text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (b->first[(unsigned char)text.data[i]] &&
            starts_with_one(b, text.data + i, text.len - i))
            return true;
    }
    return false;
}

/* The ids to `out`, or only their number if it is NULL. */
static uint32_t breakers_match(const struct breakers *b, const struct tokenizer *tokenizer,
                               int32_t *out)
{
    uint32_t count = 0;
    for (int32_t id = 0; id < tokenizer_count(tokenizer); id++) {
        if (!contains_one(b, tokenizer_bytes(tokenizer, id)))
            continue;
        if (out)
            out[count] = id;
        count++;
    }
    return count;
}

enum base_err params_find_breakers(const json_t *list, const struct tokenizer *tokenizer,
                                   struct arena *arena, const int32_t **ids, uint32_t *count,
                                   struct api_error *error)
{
    struct breakers b = { .count = 0 };
    enum base_err rc = OK;
    if (list)
        rc = breakers_read(list, &b, error);
    else
        breakers_default(&b);
    if (rc)
        return rc;
    for (size_t i = 0; i < b.count; i++)
        b.first[(unsigned char)b.texts[i].data[0]] = true;
    uint32_t n = breakers_match(&b, tokenizer, NULL);
    int32_t *found = arena_calloc(arena, n ? n : 1, sizeof *found);
    if (!found)
        return api_error_nomem(error);
    breakers_match(&b, tokenizer, found);
    *ids = found;
    *count = n;
    return OK;
}
