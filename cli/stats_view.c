#include "stats_view.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "park/types.h"

enum {
    NUMBER_BYTES = 32
};

struct number {
    char text[NUMBER_BYTES];
};

/* "1234", "-" where there is none. */
static struct number whole(double value)
{
    struct number n;
    if (isfinite(value))
        snprintf(n.text, sizeof n.text, "%.0f", value);
    else
        snprintf(n.text, sizeof n.text, "-");
    return n;
}

static struct number tenths(double value)
{
    struct number n;
    if (isfinite(value))
        snprintf(n.text, sizeof n.text, "%.1f", value);
    else
        snprintf(n.text, sizeof n.text, "-");
    return n;
}

/* "12.5 %" of a whole that may be nothing. */
static struct number percent(double part, double all)
{
    struct number n;
    if (isfinite(part) && all > 0)
        snprintf(n.text, sizeof n.text, "%.1f %%", 100 * part / all);
    else
        snprintf(n.text, sizeof n.text, "-");
    return n;
}

static enum base_err write_now(const struct server_stats *s, struct base_buf *out)
{
    enum base_err rc =
        buf_printf(out, "requests   running %s, waiting %s of %s, oldest %s s; connections %s\n",
                   whole(s->running).text, whole(s->waiting).text, whole(s->waiting_max).text,
                   tenths(s->oldest_wait_s).text, whole(s->connections).text);
    for (int c = 0; c < PARK_CLASS_COUNT && !rc; c++)
        rc = buf_printf(out, "  %-9srunning %s, waiting %s\n", park_class_name((enum park_class)c),
                        whole(s->class_running[c]).text, whole(s->class_waiting[c]).text);
    return rc;
}

static enum base_err write_engine(const struct stats_view *view, struct base_buf *out)
{
    const struct server_stats *s = view->stats;
    enum base_err rc =
        buf_printf(out, "tokens/s   prompt %s, generated %s%s; rows %s of %s\n",
                   tenths(view->speed.prompt).text, tenths(view->speed.generated).text,
                   view->is_mean ? " (mean of the time with work)" : "", whole(s->rows).text,
                   whole(s->rows_max).text);
    if (!rc)
        rc = buf_printf(out, "KV cache   %s used, %s booked, %s cached; %s blocks\n",
                        percent(s->kv_used, s->kv_total).text,
                        percent(s->kv_booked, s->kv_total).text,
                        percent(s->kv_cached, s->kv_total).text, whole(s->kv_total).text);
    if (!rc)
        rc = buf_printf(out, "prefixes   %s of %s prompt tokens found\n",
                        percent(s->prefix_hits, s->prefix_queries).text,
                        whole(s->prefix_queries).text);
    return rc;
}

static enum base_err write_totals(const struct server_stats *s, struct base_buf *out)
{
    enum base_err rc = buf_printf(
        out, "ended      completed %s, failed %s, cancelled %s, expired %s, dropped %s\n",
        whole(s->completed).text, whole(s->failed).text, whole(s->cancelled).text,
        whole(s->expired).text, whole(s->dropped).text);
    if (!rc)
        rc = buf_printf(out,
                        "refused    queue full %s, class full %s, limits %s, keys %s, "
                        "draining %s, other %s\n",
                        whole(s->refused_queue_full).text, whole(s->refused_class_full).text,
                        whole(s->refused_limits).text, whole(s->refused_keys).text,
                        whole(s->refused_draining).text, whole(s->refused_other).text);
    if (!rc)
        rc = buf_printf(out,
                        "in all     prompt %s and generated %s tokens, %s preemptions; "
                        "memory %s MiB\n",
                        whole(s->prompt_tokens).text, whole(s->generated_tokens).text,
                        whole(s->preemptions).text, whole(s->resident_bytes / (1 << 20)).text);
    return rc;
}

enum base_err stats_view_write(const struct stats_view *view, struct base_buf *out)
{
    const struct server_stats *s = view->stats;
    enum base_err rc = buf_printf(out, "%s  %s\n", view->server, s->model);
    if (!rc && view->fault)
        rc = buf_printf(out, "%s\n", view->fault);
    if (!rc)
        rc = write_now(s, out);
    if (!rc)
        rc = write_engine(view, out);
    return rc ? rc : write_totals(s, out);
}
