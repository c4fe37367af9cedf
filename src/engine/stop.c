#include "engine/stop.h"

#include <string.h>

#include "base/assert.h"

size_t engine_stop_bytes(size_t piece_max)
{
    return VALET_STOP_BYTES_MAX + piece_max;
}

void engine_stop_init(struct engine_stop *s, const struct valet_stop *stops, uint32_t count,
                      char *buffer, size_t piece_max)
{
    *s = (struct engine_stop){
        .stops = stops, .count = count, .text = buffer, .cap = engine_stop_bytes(piece_max)
    };
}

/*
 * The stop string that is complete first, the longest of those that end there. What follows
 * has no say, so the cut does not depend on how the text came in pieces.
 */
static struct engine_stop_result find_match(const struct engine_stop *s)
{
    struct engine_stop_result first = { .release = s->len, .match_end = s->len + 1 };
    for (uint32_t i = 0; i < s->count; i++) {
        const char *at = memmem(s->text, s->len, s->stops[i].text, s->stops[i].len);
        if (!at)
            continue;
        size_t begin = (size_t)(at - s->text);
        size_t end = begin + s->stops[i].len;
        if (end < first.match_end || (end == first.match_end && begin < first.release))
            first = (struct engine_stop_result){
                .release = begin, .matched = true, .index = i, .match_end = end
            };
    }
    return first;
}

/* The length of the longest end of the text that is a proper beginning of a stop string. */
static size_t held_len(const struct engine_stop *s)
{
    size_t longest = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        size_t max = s->stops[i].len - 1 < s->len ? s->stops[i].len - 1 : s->len;
        for (size_t n = max; n > longest; n--) {
            if (memcmp(s->text + s->len - n, s->stops[i].text, n) == 0) {
                longest = n;
                break;
            }
        }
    }
    return longest;
}

struct engine_stop_result engine_stop_add(struct engine_stop *s, const char *piece, size_t len)
{
    ASSERT(len <= s->cap - s->len);
    memcpy(s->text + s->len, piece, len);
    s->len += len;
    struct engine_stop_result result = find_match(s);
    if (!result.matched)
        result.release = s->len - held_len(s);
    return result;
}

void engine_stop_released(struct engine_stop *s, size_t n)
{
    ASSERT(n <= s->len);
    memmove(s->text, s->text + n, s->len - n);
    s->len -= n;
}
