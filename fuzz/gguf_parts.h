#ifndef FUZZ_GGUF_PARTS_H
#define FUZZ_GGUF_PARTS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* An input of the target gguf as the files of a split model, mostly one. */
enum {
    PARTS_MAX = 3,
    PART_ALIGN = 32
};

struct part {
    const uint8_t *data;
    size_t size;
};

/* Returns how many there are, at least 1. */
static inline size_t parts_find(const uint8_t *data, size_t size, struct part parts[PARTS_MAX])
{
    static const char head[8] = { 'G', 'G', 'U', 'F', 3, 0, 0, 0 };
    size_t count = 1;
    parts[0] = (struct part){ data, size };
    for (size_t at = PART_ALIGN; at + sizeof head <= size && count < PARTS_MAX; at += PART_ALIGN) {
        if (memcmp(data + at, head, sizeof head) != 0)
            continue;
        struct part *last = &parts[count - 1];
        parts[count++] = (struct part){ data + at, size - at };
        last->size = (size_t)(data + at - last->data);
    }
    return count;
}

#endif
