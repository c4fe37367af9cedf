#ifndef PARK_LIST_H
#define PARK_LIST_H

#include <stdint.h>

#include "park/types.h"

/* Tasks in order, linked through the tasks themselves. */
struct park_list {
    park_task *first;
    park_task *last;
    uint64_t count;
};

/* `after` NULL: in front. */
void park_list_insert(struct park_list *list, park_task *after, park_task *task);
void park_list_push(struct park_list *list, park_task *task);
void park_list_remove(struct park_list *list, park_task *task);

#endif
