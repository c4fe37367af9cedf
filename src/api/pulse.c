#include "api/pulse.h"

#include <stddef.h>

void pulse_list_init(struct pulse_list *list, uint64_t delay_ms)
{
    list->ends = (struct pulse){ .next = &list->ends, .prev = &list->ends };
    list->delay_ns = delay_ms * UINT64_C(1000000);
}

void pulse_clear(struct pulse *pulse)
{
    if (!pulse->next)
        return;
    pulse->next->prev = pulse->prev;
    pulse->prev->next = pulse->next;
    pulse->next = pulse->prev = NULL;
}

void pulse_set(struct pulse_list *list, struct pulse *pulse, uint64_t now_ns)
{
    pulse_clear(pulse);
    if (!list->delay_ns)
        return;
    pulse->due_ns = now_ns + list->delay_ns;
    pulse->next = &list->ends;
    pulse->prev = list->ends.prev;
    pulse->prev->next = pulse;
    list->ends.prev = pulse;
}

struct pulse *pulse_due(const struct pulse_list *list, uint64_t now_ns)
{
    struct pulse *first = list->ends.next;
    return first != &list->ends && first->due_ns <= now_ns ? first : NULL;
}

uint64_t pulse_next_ns(const struct pulse_list *list)
{
    return list->ends.next != &list->ends ? list->ends.next->due_ns : UINT64_MAX;
}
