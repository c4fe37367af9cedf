#include "base/thread.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>

#include "base/assert.h"

enum base_err thread_start(struct base_thread *thread, const char *name, void *(*run)(void *),
                           void *arg)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread->handle, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return E_NOMEM;
    char shown[16];
    snprintf(shown, sizeof shown, "%s", name);
    pthread_setname_np(thread->handle, shown);
    return OK;
}

void thread_join(struct base_thread *thread)
{
    int rc = pthread_join(thread->handle, NULL);
    ASSERT(rc == 0);
}

/* The quota of cgroup v2 in whole CPUs, rounded up; 0 where there is none. */
static int cgroup_cpus(void)
{
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!f)
        return 0;
    long quota = 0;
    long period = 0;
    int n = fscanf(f, "%ld %ld", &quota, &period);
    fclose(f);
    if (n != 2 || quota <= 0 || period <= 0)
        return 0;
    return (int)((quota + period - 1) / period);
}

int thread_cpu_count(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    int quota = cgroup_cpus();
    if (quota > 0 && quota < n)
        n = quota;
    return n > 0 ? n : 1;
}
