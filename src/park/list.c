#include "park/park_int.h"

#include "base/assert.h"

void park_list_push(struct park_list *list, park_ticket *ticket)
{
    DCHECK(!ticket->prev && !ticket->next && list->first != ticket);
    ticket->prev = list->last;
    if (list->last)
        list->last->next = ticket;
    else
        list->first = ticket;
    list->last = ticket;
    list->count++;
}

void park_list_remove(struct park_list *list, park_ticket *ticket)
{
    ASSERT(list->count > 0);
    if (ticket->prev)
        ticket->prev->next = ticket->next;
    else
        list->first = ticket->next;
    if (ticket->next)
        ticket->next->prev = ticket->prev;
    else
        list->last = ticket->prev;
    ticket->prev = NULL;
    ticket->next = NULL;
    list->count--;
}

park_ticket *park_list_pop(struct park_list *list)
{
    park_ticket *ticket = list->first;
    if (ticket)
        park_list_remove(list, ticket);
    return ticket;
}
