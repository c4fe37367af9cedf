#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

#include "base/err.h"

struct base_thread {
    pthread_t handle;
};

/* Starts a thread called `name` (at most 15 bytes are shown). All signals are blocked in it. */
enum base_err thread_start(struct base_thread *thread, const char *name, void *(*run)(void *),
                           void *arg);
void thread_join(struct base_thread *thread);

/* CPUs this process may use: affinity mask, then the cgroup's quota, at least 1. */
int thread_cpu_count(void);

#endif
