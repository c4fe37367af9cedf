#include "park/park_int.h"

#include "base/assert.h"

void park_list_insert(struct park_list *list, park_task *after, park_task *task)
{
    DCHECK(!task->prev && !task->next && list->first != task);
    park_task *before = after ? after->next : list->first;
    task->prev = after;
    task->next = before;
    if (after)
        after->next = task;
    else
        list->first = task;
    if (before)
        before->prev = task;
    else
        list->last = task;
    list->count++;
}

void park_list_push(struct park_list *list, park_task *task)
{
    park_list_insert(list, list->last, task);
}

void park_list_remove(struct park_list *list, park_task *task)
{
    ASSERT(list->count > 0);
    if (task->prev)
        task->prev->next = task->next;
    else
        list->first = task->next;
    if (task->next)
        task->next->prev = task->prev;
    else
        list->last = task->prev;
    task->prev = NULL;
    task->next = NULL;
    list->count--;
}
