#ifndef API_PULSE_H
#define API_PULSE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Timers that all run equally long: whoever was set last is due last, so a list in the order of
 * setting is a list in the order of time. Set, clear and look: O(1), no memory of its own.
 *
 * Threads: the loop.
 */
struct pulse {
    struct pulse *next; /* NULL: not set */
    struct pulse *prev;
    uint64_t due_ns;
};

struct pulse_list {
    struct pulse ends; /* next: the first, prev: the last; itself when empty */
    uint64_t delay_ns; /* 0: nothing is ever set */
};

void pulse_list_init(struct pulse_list *list, uint64_t delay_ms);

/* Due at `now_ns` and the delay; one that was set, in whichever list, is set anew. */
void pulse_set(struct pulse_list *list, struct pulse *pulse, uint64_t now_ns);
void pulse_clear(struct pulse *pulse);

/* The first that is due, or NULL. It stays set. */
struct pulse *pulse_due(const struct pulse_list *list, uint64_t now_ns);

/* When the first is due; UINT64_MAX: none is set. */
uint64_t pulse_next_ns(const struct pulse_list *list);

#endif
