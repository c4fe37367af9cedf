/* `valet stats`: what a running server does, from its /metrics; live on a terminal. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "commands.h"
#include "options.h"
#include "remote.h"
#include "signals.h"
#include "server_stats.h"
#include "stats_view.h"
#include "terminal.h"

struct stats_options {
    struct remote_options remote;
    float interval; /* seconds, 0: not said */
    int32_t json;
};

static const struct option_spec g_options[] = {
    REMOTE_OPTIONS(stats_options, remote),
    { "interval", OPTION_F32, "S", offsetof(struct stats_options, interval), 0.1, 3600,
      "seconds between two looks (default 1); with --json: go on until Ctrl-C" },
    { "json", OPTION_FLAG, NULL, offsetof(struct stats_options, json), 0, 0,
      "print a line of JSON, with --interval one for each look" },
};

static const struct command g_command = {
    .usage = "valet stats [options]",
    .about = "Shows what a running server does: requests by class, tokens per second, KV cache,\n"
             "prefix cache, refusals. On a terminal the numbers are renewed in place until q or\n"
             "Ctrl-C; elsewhere they are printed once. With API keys the key needs the scope\n"
             "metrics.",
    .options = g_options,
    .option_count = sizeof g_options / sizeof g_options[0],
    .operands_min = 0,
    .operands_max = 0,
};

/* Two looks at a server. */
struct watch {
    struct remote remote;
    struct server_stats before;
    struct server_stats now;
    uint64_t before_ns;
    uint64_t now_ns; /* 0: not looked yet */
    char why[REMOTE_WHY_BYTES];
};

static bool look(struct watch *w)
{
    struct base_buf text;
    buf_init(&text, MEM_SERVER, REMOTE_BODY_BYTES_MAX);
    bool ok = remote_get(&w->remote, "/metrics", &text, w->why);
    if (ok) {
        w->before = w->now;
        w->before_ns = w->now_ns;
        w->now_ns = clock_now_ns(&base_clock_monotonic);
        server_stats_read(text.len ? text.data : "", &w->now);
    }
    buf_fini(&text);
    return ok;
}

/* Between the two looks; of the time with work where there was one only. */
static struct server_speed speed_of(const struct watch *w)
{
    if (w->before_ns == 0)
        return server_stats_mean_speed(&w->now);
    return server_stats_speed(&w->before, &w->now, (double)(w->now_ns - w->before_ns) * 1e-9);
}

/* ---- printing ---- */

static int print_json(const struct watch *w)
{
    struct server_speed speed = speed_of(w);
    json_t *root = server_stats_json(&w->now, &speed);
    if (!root)
        return command_failed("out of memory");
    int rc = json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    json_decref(root);
    if (rc != 0 || putchar('\n') == EOF || fflush(stdout) != 0)
        return command_failed("stdout cannot be written");
    return EXIT_OK;
}

static int write_view(const struct watch *w, const char *fault, struct base_buf *out)
{
    const struct stats_view view = { .server = remote_name(&w->remote),
                                     .stats = &w->now,
                                     .speed = speed_of(w),
                                     .is_mean = w->before_ns == 0,
                                     .fault = fault };
    return stats_view_write(&view, out) == OK ? EXIT_OK : command_failed("out of memory");
}

static int print_once(const struct watch *w)
{
    struct base_buf text;
    buf_init(&text, MEM_SERVER, REMOTE_BODY_BYTES_MAX);
    int rc = write_view(w, NULL, &text);
    if (rc == EXIT_OK)
        terminal_write(stdout, text.data, text.len);
    buf_fini(&text);
    return rc;
}

/* ---- on a terminal ---- */

/* Bytes of the first `columns` characters of a line; each is taken to be one column wide. */
static size_t cut(const char *line, size_t len, int columns)
{
    size_t at = 0;
    while (at < len && columns-- > 0) {
        int n = utf8_char_len(line + at, len - at);
        at += n > 0 ? (size_t)n : 1;
    }
    return at;
}

/* Draws over the `*drawn` lines that were drawn before; lines that do not fit are left out. */
static void draw(const char *text, int *drawn)
{
    int columns;
    int rows;
    terminal_size(stdout, &columns, &rows);
    if (*drawn > 0)
        printf("\033[%dA", *drawn);
    *drawn = 0;
    while (*text && *drawn < rows - 1) {
        size_t len = strcspn(text, "\n");
        terminal_write(stdout, text, cut(text, len, columns - 1));
        fputs("\033[K\r\n", stdout);
        ++*drawn;
        text += len + (text[len] == '\n');
    }
    fputs("\033[J", stdout);
    fflush(stdout);
}

/* Waits for the next look. False: the person has seen enough. */
static bool pause_between(double seconds)
{
    int fd = terminal_is(stdin) ? fileno(stdin) : -1;
    for (;;) {
        int key;
        switch (signals_wait(fd, (int64_t)(seconds * 1e3))) {
        case SIGNALS_INPUT:
            key = terminal_key();
            if (key == 'q' || key < 0)
                return false;
            continue;
        case SIGNALS_INTERRUPT:
        case SIGNALS_END:
            return false;
        case SIGNALS_TIMEOUT:
        case SIGNALS_REDRAW:
            return true;
        }
    }
}

static int watch_live(struct watch *w, double seconds)
{
    struct base_buf text;
    int drawn = 0;
    bool is_fresh = true;
    int rc;
    buf_init(&text, MEM_SERVER, REMOTE_BODY_BYTES_MAX);
    do {
        buf_clear(&text);
        rc = write_view(w, is_fresh ? NULL : w->why, &text);
        if (rc != EXIT_OK)
            break;
        draw(text.data, &drawn);
        if (!pause_between(seconds))
            break;
        is_fresh = look(w);
    } while (!ferror(stdout));
    buf_fini(&text);
    return rc;
}

static int live(struct watch *w, double seconds)
{
    signals_start();
    terminal_keys_start();
    int rc = watch_live(w, seconds);
    terminal_keys_stop();
    signals_stop();
    return rc;
}

/* ---- the command ---- */

/* A line for each look until Ctrl-C or an error. */
static int follow_json(struct watch *w, double seconds)
{
    int rc;
    signals_start();
    do {
        rc = print_json(w);
        if (rc != EXIT_OK || signals_wait(-1, (int64_t)(seconds * 1e3)) == SIGNALS_INTERRUPT ||
            signals_seen())
            break;
        rc = look(w) ? EXIT_OK : command_failed(w->why);
    } while (rc == EXIT_OK);
    signals_stop();
    return rc;
}

static int show(struct watch *w, const struct stats_options *o)
{
    double interval = o->interval > 0 ? (double)o->interval : 1;
    if (!look(w))
        return command_failed(w->why);
    if (o->json)
        return o->interval > 0 ? follow_json(w, interval) : print_json(w);
    return terminal_is(stdout) ? live(w, interval) : print_once(w);
}

int command_stats(int argc, char **argv)
{
    struct stats_options options = { 0 };
    static struct watch w;
    int operand_count;
    int rc = options_parse(&g_command, argc, argv, &options, NULL, &operand_count);
    if (rc != OPTIONS_GO)
        return rc;
    rc = remote_open(&w.remote, &options.remote);
    if (rc != EXIT_OK)
        return rc;
    rc = show(&w, &options);
    remote_close(&w.remote);
    return rc;
}
