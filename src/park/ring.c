/*
 * One ticket's events: a ring of bytes that starts empty and doubles up to its maximum.
 * A record is {type, len} and `len` bytes; its seq follows from its place. Records may
 * wrap around the end of the array, so they are copied in and out in up to two parts.
 *
 *   first              read                  last
 *   │ kept, may be dropped │ unread, never dropped │ free ...
 *   └──── read_bytes ──────┘                       │
 *   └──────────────── used ────────────────────────┘
 *
 * Invariants:
 *   1. used <= cap <= bytes_max, and used is the sum of the kept records.
 *   2. first - 1 <= read <= last; the events first..last are kept.
 *   3. Only events up to `read` are dropped, oldest first, and only to make room.
 *   4. wanted != 0: the last push was refused and nobody has been told of room since.
 *
 * Threads: the caller holds the ticket's events lock.
 */
#include "park/ring.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

struct record {
    uint32_t type;
    uint32_t len;
};

enum {
    CAP_MIN = 256,
    DATA_ALIGN = 8
};

void park_ring_init(struct park_ring *ring, size_t bytes_max)
{
    *ring = (struct park_ring){ .bytes_max = bytes_max, .first = 1 };
}

void park_ring_fini(struct park_ring *ring)
{
    mem_free(ring->data);
    park_ring_init(ring, ring->bytes_max);
}

bool park_ring_can_hold(const struct park_ring *ring, size_t len)
{
    return len <= UINT32_MAX && ring->bytes_max >= sizeof(struct record) &&
           len <= ring->bytes_max - sizeof(struct record);
}

/* Where byte `pos`, counted from the oldest kept record, lies in the array. */
static size_t index_of(const struct park_ring *ring, size_t pos)
{
    size_t left = ring->cap - ring->head;
    return pos < left ? ring->head + pos : pos - left;
}

static void copy_in(struct park_ring *ring, size_t pos, const void *from, size_t len)
{
    if (len == 0)
        return;
    size_t at = index_of(ring, pos);
    size_t part = len < ring->cap - at ? len : ring->cap - at;
    memcpy(ring->data + at, from, part);
    memcpy(ring->data, (const unsigned char *)from + part, len - part);
}

static void copy_out(const struct park_ring *ring, size_t pos, void *to, size_t len)
{
    if (len == 0)
        return;
    size_t at = index_of(ring, pos);
    size_t part = len < ring->cap - at ? len : ring->cap - at;
    memcpy(to, ring->data + at, part);
    memcpy((unsigned char *)to + part, ring->data, len - part);
}

static struct record record_at(const struct park_ring *ring, size_t pos)
{
    struct record record;
    copy_out(ring, pos, &record, sizeof record);
    return record;
}

static void drop_oldest(struct park_ring *ring)
{
    size_t size = sizeof(struct record) + record_at(ring, 0).len;
    DCHECK(ring->first <= ring->read && size <= ring->read_bytes);
    ring->head = index_of(ring, size);
    ring->used -= size;
    ring->read_bytes -= size;
    ring->first++;
}

/* Drops read events until `size` more bytes stay within `limit`; false if they never do. */
static bool make_room(struct park_ring *ring, size_t size, size_t limit)
{
    while (size > limit - ring->used) {
        if (ring->first > ring->read)
            return false;
        drop_oldest(ring);
    }
    return true;
}

static enum park_err grow(struct park_ring *ring, size_t size)
{
    if (size > ring->bytes_max - ring->used)
        return PARK_E_AGAIN;
    size_t cap = ring->cap ? ring->cap : CAP_MIN;
    while (cap < ring->used + size)
        cap = cap > ring->bytes_max / 2 ? ring->bytes_max : cap * 2;
    if (cap > ring->bytes_max)
        cap = ring->bytes_max;
    unsigned char *data = mem_alloc(MEM_PARK, cap);
    if (!data)
        return PARK_E_NOMEM;
    copy_out(ring, 0, data, ring->used);
    mem_free(ring->data);
    ring->data = data;
    ring->cap = cap;
    ring->head = 0;
    return PARK_OK;
}

enum park_err park_ring_push(struct park_ring *ring, uint32_t type, const void *data, size_t len)
{
    DCHECK(park_ring_can_hold(ring, len));
    struct record record = { .type = type, .len = (uint32_t)len };
    size_t size = sizeof record + len;
    if (!make_room(ring, size, ring->cap)) {
        enum park_err rc = grow(ring, size);
        if (rc) {
            ring->wanted = size;
            return rc;
        }
    }
    copy_in(ring, ring->used, &record, sizeof record);
    copy_in(ring, ring->used + sizeof record, data, len);
    ring->used += size;
    ring->last++;
    ring->wanted = 0;
    return PARK_OK;
}

/*
 * Where the event behind `after` begins. Walks from the read mark: a reader that follows
 * the newest events passes each record once.
 */
static size_t find(const struct park_ring *ring, uint64_t after)
{
    uint64_t seq = ring->first - 1;
    size_t pos = 0;
    if (after >= ring->read) {
        seq = ring->read;
        pos = ring->read_bytes;
    }
    for (; seq < after; seq++)
        pos += sizeof(struct record) + record_at(ring, pos).len;
    return pos;
}

static size_t align_up(size_t n)
{
    return (n + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
}

enum park_err park_ring_read(struct park_ring *ring, uint64_t after, void *buffer,
                             size_t buffer_size, struct park_event *events, size_t count_max,
                             size_t *count)
{
    *count = 0;
    if (after > ring->last)
        return PARK_E_INVALID;
    if (after < ring->first - 1)
        return PARK_E_GAP;
    size_t after_pos = find(ring, after);
    size_t pos = after_pos;
    size_t filled = 0;
    size_t n = 0;
    while (n < count_max && after + n < ring->last) {
        struct record record = record_at(ring, pos);
        size_t at = align_up(filled);
        if (at > buffer_size || record.len > buffer_size - at)
            break;
        unsigned char *data = record.len ? (unsigned char *)buffer + at : buffer;
        copy_out(ring, pos + sizeof record, data, record.len);
        events[n] = (struct park_event){
            .seq = after + n + 1,
            .type = record.type,
            .len = record.len,
            .data = data,
        };
        filled = at + record.len;
        pos += sizeof record + record.len;
        n++;
    }
    if (n == 0 && count_max > 0 && after < ring->last)
        return PARK_E_INVALID;
    if (after > ring->read) {
        ring->read = after;
        ring->read_bytes = after_pos;
    }
    *count = n;
    return PARK_OK;
}

bool park_ring_room_came(struct park_ring *ring)
{
    /* Measured against the maximum: the push that follows can grow the ring. */
    if (ring->wanted == 0 || !make_room(ring, ring->wanted, ring->bytes_max))
        return false;
    ring->wanted = 0;
    return true;
}

void park_ring_check(const struct park_ring *ring)
{
    ASSERT(ring->used <= ring->cap && ring->cap <= ring->bytes_max);
    ASSERT(ring->first >= 1 && ring->first - 1 <= ring->read && ring->read <= ring->last);
    ASSERT((ring->data != NULL) == (ring->cap != 0));
    size_t pos = 0;
    for (uint64_t seq = ring->first; seq <= ring->last; seq++) {
        if (seq == ring->read + 1)
            ASSERT(pos == ring->read_bytes);
        pos += sizeof(struct record) + record_at(ring, pos).len;
        ASSERT(pos <= ring->used);
    }
    ASSERT(pos == ring->used);
    if (ring->read == ring->last)
        ASSERT(ring->read_bytes == ring->used);
}
