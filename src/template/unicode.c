/*
 * What Python knows of single characters: case, white space, what repr() shows.
 */
#include "template/text.h"

struct case_range {
    uint32_t first;
    uint32_t last;
    uint32_t step;
    int32_t delta;
};

struct code_range {
    uint32_t first;
    uint32_t last;
};

#include "template/unicode_table.h"

static uint32_t map_case(const struct case_range *table, size_t count, uint32_t c)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct case_range *row = &table[middle];
        if (c < row->first)
            high = middle;
        else if (c > row->last)
            low = middle + 1;
        else if ((c - row->first) % row->step == 0)
            return (uint32_t)((int32_t)c + row->delta);
        else
            return c;
    }
    return c;
}

uint32_t text_upper(uint32_t c)
{
    if (c < 0x80)
        return c >= 'a' && c <= 'z' ? c - 32 : c;
    return map_case(to_upper, sizeof to_upper / sizeof to_upper[0], c);
}

uint32_t text_lower(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return map_case(to_lower, sizeof to_lower / sizeof to_lower[0], c);
}

bool text_is_upper(uint32_t c)
{
    return text_lower(c) != c;
}

bool text_is_lower(uint32_t c)
{
    return text_upper(c) != c || c == 0xdf;
}

bool text_is_space(uint32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x1f);
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool text_is_printable(uint32_t c)
{
    if (c < 0x7f)
        return c >= 0x20;
    size_t low = 0;
    size_t high = sizeof hidden / sizeof hidden[0];
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c < hidden[middle].first)
            high = middle;
        else if (c > hidden[middle].last)
            low = middle + 1;
        else
            return false;
    }
    return true;
}
