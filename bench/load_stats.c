#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

const char *load_outcome_name(enum load_outcome outcome)
{
    static const char *const names[LOAD_OUTCOME_COUNT] = {
        [LOAD_DONE] = "done", [LOAD_REFUSED] = "refused",       [LOAD_ERROR_EVENT] = "error_event",
        [LOAD_CUT] = "cut",   [LOAD_UNANSWERED] = "unanswered", [LOAD_UNREACHABLE] = "unreachable",
        [LOAD_BAD] = "bad",   [LOAD_UNFINISHED] = "unfinished",
    };
    return names[outcome];
}

void load_stats_code(struct load_stats *s, int status, const char *code)
{
    for (int i = 0; i < s->code_count; i++) {
        struct load_code *known = &s->codes[i];
        if (known->status == status && strcmp(known->code, code) == 0) {
            known->count++;
            return;
        }
    }
    if (s->code_count < LOAD_CODES_MAX) {
        struct load_code *new = &s->codes[s->code_count++];
        new->status = status;
        snprintf(new->code, sizeof new->code, "%s", code);
        new->count = 1;
    }
}

void load_stats_retry(struct load_stats *s, int64_t retry_ms)
{
    if (retry_ms < 0)
        return;
    int64_t seconds = (retry_ms + 999) / 1000;
    s->retry_seconds[seconds < LOAD_RETRY_SECONDS - 1 ? seconds : LOAD_RETRY_SECONDS - 1]++;
}

/* Fields 14 and 15 of /proc/PID/stat, counted behind the name, which may hold anything. */
double load_cpu_of(pid_t pid)
{
    char path[64];
    char text[1024];
    unsigned long user;
    unsigned long system;
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    const char *end = strrchr(text, ')');
    if (!end ||
        sscanf(end, ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu", &user, &system) != 2)
        return -1;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

double load_cpu_own(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}
