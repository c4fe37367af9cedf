#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Signals while a person talks to the program. Ctrl-C is noted instead of ending it; so are
 * SIGTERM and SIGHUP, for the terminal is to be put in order first.
 *
 * Threads: one, which waits and asks; all others block signals (base/thread.h).
 */

/* Notes signals from now on, until signals_stop. */
void signals_start(void);

/* Back to what was before. A noted SIGTERM or SIGHUP ends the program here. */
void signals_stop(void);

/* Whether Ctrl-C came, or what ends the program. */
bool signals_seen(void);

/* Forgets Ctrl-C. */
void signals_clear(void);

enum signals_event {
    SIGNALS_INPUT,     /* the descriptor is readable, or at its end */
    SIGNALS_TIMEOUT,   /* the time is up */
    SIGNALS_INTERRUPT, /* Ctrl-C; it is forgotten now */
    SIGNALS_END,       /* SIGTERM or SIGHUP */
    SIGNALS_REDRAW     /* the terminal changed its size, or the program goes on after a stop */
};

/* Blocks until one of them; a signal that came before counts. -1: no limit; fd -1: no input. */
enum signals_event signals_wait(int fd, int64_t timeout_ms);

#endif
