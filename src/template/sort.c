/*
 * A stable sort whose comparisons can fail: merging, from pairs up.
 */
#include <string.h>

#include "template/run.h"

/* Whether `b` must come before `a`. */
static bool comes_first(struct run *r, const struct map_entry *a, const struct map_entry *b,
                        bool reverse, bool *first)
{
    int order;
    if (!value_order(r, b->key, a->key, &order))
        return false;
    *first = order != 2 && (reverse ? order > 0 : order < 0);
    return true;
}

/* Merges in[from..middle) and in[middle..end) to out[from..end). */
static bool merge(struct run *r, const struct map_entry *in, struct map_entry *out, size_t from,
                  size_t middle, size_t end, bool reverse)
{
    size_t a = from;
    size_t b = middle;
    for (size_t i = from; i < end; i++) {
        bool second = a == middle;
        if (a < middle && b < end && !comes_first(r, &in[a], &in[b], reverse, &second))
            return false;
        out[i] = second ? in[b++] : in[a++];
    }
    return true;
}

bool sort_entries(struct run *r, struct map_entry *entries, size_t count, bool reverse)
{
    struct map_entry *other = run_alloc(r, count, sizeof *other);
    struct map_entry *in = entries;
    if (!other)
        return false;
    for (size_t width = 1; width < count; width *= 2) {
        struct map_entry *out = in == entries ? other : entries;
        for (size_t from = 0; from < count; from += 2 * width) {
            size_t middle = from + width < count ? from + width : count;
            size_t end = from + 2 * width < count ? from + 2 * width : count;
            if (!run_charge(r, end - from) || !merge(r, in, out, from, middle, end, reverse))
                return false;
        }
        in = out;
    }
    if (in != entries)
        memcpy(entries, in, count * sizeof *entries);
    return true;
}
