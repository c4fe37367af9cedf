#include "generation.h"

#include <jansson.h>
#include <stdio.h>

#include "base/clock.h"

enum {
    TEXT_BYTES_MAX = 64 << 20
};

/* The source of one request. */
struct work {
    const struct valet_request *request; /* NULL once taken */
    const struct generation_sink *sink;
    struct generation *out;
    struct base_err_info *info;
    uint64_t begin_ns;
    uint64_t first_ns; /* 0: no token yet */
    enum base_err rc;
};

static uint64_t now_ns(void)
{
    return clock_now_ns(&base_clock_monotonic);
}

static size_t work_take(void *arg, struct valet_start *starts, size_t room)
{
    struct work *w = arg;
    if (!w->request || room == 0)
        return 0;
    starts[0] = (struct valet_start){
        .work = w,
        .request = w->request,
        .blocks = valet_engine_blocks(w->request->prompt_count, w->request->max_new),
    };
    w->request = NULL;
    return 1;
}

static bool work_wait(void *arg)
{
    (void)arg;
    return false; /* nothing more comes */
}

static bool work_cancelled(void *arg, void *work)
{
    struct work *w = work;
    (void)arg;
    return w->rc != OK || w->sink->should_stop(w->sink->arg);
}

static void note_token(struct work *w, const struct valet_event *event)
{
    if (w->first_ns == 0)
        w->first_ns = now_ns();
    w->out->generated_tokens = event->generated;
    if (event->finish == VALET_FINISH_STOP)
        w->out->finish = GENERATION_STOP;
    else if (event->finish == VALET_FINISH_LENGTH)
        w->out->finish = GENERATION_LENGTH;
}

static bool work_emit(void *arg, void *work, const struct valet_event *event)
{
    struct work *w = work;
    (void)arg;
    if (event->type == VALET_EVENT_START)
        w->out->cached_tokens = event->cached;
    else if (event->type == VALET_EVENT_TOKEN)
        note_token(w, event);
    if (event->text_len == 0)
        return true;
    if (!w->sink->write(w->sink->arg, event->text, event->text_len))
        w->rc = E_IO;
    else
        w->rc = buf_append(&w->out->text, event->text, event->text_len);
    return true;
}

static void work_end(void *arg, void *work, enum valet_end end, const char *error)
{
    struct work *w = work;
    (void)arg;
    if (end == VALET_END_FAILED)
        w->rc = base_err_set(w->info, E_INVALID, "%s", error);
}

enum base_err generation_run(valet_engine *engine, const struct valet_request *request,
                             const struct generation_sink *sink, struct generation *out,
                             struct base_err_info *info)
{
    *out = (struct generation){ .finish = GENERATION_INTERRUPTED,
                                .prompt_tokens = request->prompt_count };
    buf_init(&out->text, MEM_SERVER, TEXT_BYTES_MAX);
    struct work w = {
        .request = request, .sink = sink, .out = out, .info = info, .begin_ns = now_ns()
    };
    const struct valet_engine_source source = {
        .arg = &w,
        .take = work_take,
        .wait = work_wait,
        .cancelled = work_cancelled,
        .emit = work_emit,
        .end = work_end,
    };
    valet_engine_run(engine, &source);
    uint64_t end_ns = now_ns();
    uint64_t first_ns = w.first_ns ? w.first_ns : end_ns;
    out->prompt_ns = first_ns - w.begin_ns;
    out->answer_ns = end_ns - first_ns;
    return w.rc;
}

void generation_fini(struct generation *g)
{
    buf_fini(&g->text);
}

const char *generation_finish_name(enum generation_finish finish)
{
    static const char *const names[] = { [GENERATION_STOP] = "stop",
                                         [GENERATION_LENGTH] = "length",
                                         [GENERATION_INTERRUPTED] = "interrupted" };
    return names[finish];
}

static double speed(int32_t tokens, uint64_t ns)
{
    return tokens > 0 && ns > 0 ? tokens / ((double)ns * 1e-9) : 0;
}

double generation_prompt_speed(const struct generation *g)
{
    return speed(g->prompt_tokens - g->cached_tokens, g->prompt_ns);
}

/* The first token comes with the prompt. */
double generation_answer_speed(const struct generation *g)
{
    return speed(g->generated_tokens - 1, g->answer_ns);
}

static json_t *usage_json(const struct generation *g)
{
    return json_pack("{s:i,s:i,s:i,s:{s:i}}", "prompt_tokens", g->prompt_tokens,
                     "completion_tokens", g->generated_tokens, "total_tokens",
                     g->prompt_tokens + g->generated_tokens, "prompt_tokens_details",
                     "cached_tokens", g->cached_tokens);
}

static json_t *timings_json(const struct generation *g)
{
    return json_pack("{s:i,s:i,s:f,s:f,s:i,s:f,s:f}", "cache_n", g->cached_tokens, "prompt_n",
                     g->prompt_tokens - g->cached_tokens, "prompt_ms", (double)g->prompt_ns * 1e-6,
                     "prompt_per_second", generation_prompt_speed(g), "predicted_n",
                     g->generated_tokens, "predicted_ms", (double)g->answer_ns * 1e-6,
                     "predicted_per_second", generation_answer_speed(g));
}

enum base_err generation_print_json(const struct generation *g, uint64_t seed)
{
    const char *text = g->text.data ? g->text.data : "";
    json_t *root = json_pack("{s:s%,s:s,s:I,s:o,s:o}", "text", text, g->text.len, "finish_reason",
                             generation_finish_name(g->finish), "seed", (json_int_t)seed, "usage",
                             usage_json(g), "timings", timings_json(g));
    if (!root)
        return E_NOMEM;
    int rc = json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    json_decref(root);
    return rc == 0 && putchar('\n') != EOF && fflush(stdout) == 0 ? OK : E_IO;
}
