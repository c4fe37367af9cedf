#include "signals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

static const int g_numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT };

enum {
    NUMBER_COUNT = sizeof g_numbers / sizeof g_numbers[0]
};

static struct sigaction g_before[NUMBER_COUNT];

/* Written by the handler. */
static volatile sig_atomic_t g_interrupted;
static volatile sig_atomic_t g_end; /* the number of what ends the program, 0: nothing */
static volatile sig_atomic_t g_redraw;

static void on_signal(int number)
{
    if (number == SIGINT)
        g_interrupted = 1;
    else if (number == SIGTERM || number == SIGHUP)
        g_end = number;
    else
        g_redraw = 1;
}

void signals_start(void)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    g_interrupted = 0;
    g_end = 0;
    g_redraw = 0;
    for (int i = 0; i < NUMBER_COUNT; i++)
        sigaction(g_numbers[i], &action, &g_before[i]);
}

void signals_stop(void)
{
    for (int i = 0; i < NUMBER_COUNT; i++)
        sigaction(g_numbers[i], &g_before[i], NULL);
    if (g_end)
        raise(g_end);
}

bool signals_seen(void)
{
    return g_interrupted || g_end;
}

void signals_clear(void)
{
    g_interrupted = 0;
}

/* One that was noted; false: none. Signals are blocked. */
static bool take_noted(enum signals_event *event)
{
    if (g_end) {
        *event = SIGNALS_END;
    } else if (g_interrupted) {
        g_interrupted = 0;
        *event = SIGNALS_INTERRUPT;
    } else if (g_redraw) {
        g_redraw = 0;
        *event = SIGNALS_REDRAW;
    } else {
        return false;
    }
    return true;
}

/* Signals are blocked but while ppoll sleeps, so none comes between a look and the sleep. */
enum signals_event signals_wait(int fd, int64_t timeout_ms)
{
    sigset_t noted;
    sigset_t before;
    struct pollfd input = { .fd = fd, .events = POLLIN };
    struct timespec time = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000 };
    enum signals_event event = SIGNALS_TIMEOUT;
    sigemptyset(&noted);
    for (int i = 0; i < NUMBER_COUNT; i++)
        sigaddset(&noted, g_numbers[i]);
    pthread_sigmask(SIG_BLOCK, &noted, &before);
    while (!take_noted(&event)) {
        int n = ppoll(&input, 1, timeout_ms < 0 ? NULL : &time, &before);
        if (n < 0 && errno == EINTR)
            continue;
        event = n == 0 ? SIGNALS_TIMEOUT : SIGNALS_INPUT;
        break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return event;
}
