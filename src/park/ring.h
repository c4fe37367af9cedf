#ifndef PARK_RING_H
#define PARK_RING_H

#include "park/park.h"

/* One ticket's events, a ring of bytes; the caller locks. */
struct park_ring {
    unsigned char *data; /* [cap]; NULL until the first event */
    size_t bytes_max;    /* cap never grows beyond it */
    size_t cap;
    size_t head;       /* index of the oldest kept record */
    size_t used;       /* bytes of the kept records */
    uint64_t first;    /* seq of the oldest kept event; last + 1 if none is kept */
    uint64_t last;     /* seq of the newest event ever; 0: none yet */
    uint64_t read;     /* events up to here are read and may be dropped */
    size_t read_bytes; /* bytes of the kept records up to `read` */
    size_t wanted;     /* bytes of the record that found no room; 0: none */
};

void park_ring_init(struct park_ring *ring, size_t bytes_max);
void park_ring_fini(struct park_ring *ring);

/* Whether an event of `len` bytes could be held by an empty ring. */
bool park_ring_can_hold(const struct park_ring *ring, size_t len);

/* Appends: OK, AGAIN (full of unread events) or NOMEM (the ring could not grow). */
enum park_err park_ring_push(struct park_ring *ring, uint32_t type, const void *data, size_t len);

/* As park_events_read. OK also marks the events up to `after` as read. */
enum park_err park_ring_read(struct park_ring *ring, uint64_t after, void *buffer,
                             size_t buffer_size, struct park_event *events, size_t count_max,
                             size_t *count);

/* True once after a push was answered AGAIN and reading has made room for that record. */
bool park_ring_room_came(struct park_ring *ring);
void park_ring_check(const struct park_ring *ring);

#endif
