#include "rig.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "letters.h"
#include "valet/event.h"
#include "valet/request.h"

enum {
    WAIT_S = 20,
    AGAIN_MS = 20, /* a ring without memory gives no sign when there is some again */
    TAKE_MAX = 16,
    RING_BYTES = 64 << 10,
    QUEUE_BYTES = 1 << 20
};

/* ---- what the api asks of the program ---- */

static uint64_t on_blocks_start(void *arg, int32_t prompt_count, int32_t max_new)
{
    (void)arg;
    (void)max_new;
    return (uint64_t)(prompt_count + 31) / 32;
}

static uint64_t on_blocks(void *arg, int32_t prompt_count, int32_t max_new)
{
    struct rig *r = arg;
    lock_take(&r->lock);
    r->counts.arrivals++;
    cond_broadcast(&r->cond);
    lock_give(&r->lock);
    return (uint64_t)(prompt_count + max_new + 31) / 32;
}

static enum base_err on_metrics(void *arg, struct base_buf *out)
{
    (void)arg;
    return buf_append_str(out, "valet_up 1\n");
}

static bool on_healthy(void *arg)
{
    struct rig *r = arg;
    lock_take(&r->lock);
    bool healthy = !r->unhealthy;
    lock_give(&r->lock);
    return healthy;
}

static const char *on_not_ready(void *arg)
{
    struct rig *r = arg;
    lock_take(&r->lock);
    const char *word = r->not_ready;
    lock_give(&r->lock);
    return word;
}

static bool on_authenticate(void *arg, const struct http_str *key, struct api_caller *out)
{
    const struct rig *r = arg;
    for (size_t i = 0; i < r->options.key_count; i++) {
        const struct rig_key *row = &r->options.keys[i];
        if (key ? row->key && http_str_is(*key, row->key) : !row->key) {
            *out = row->caller;
            return true;
        }
    }
    return false;
}

static uint64_t on_now(void *arg)
{
    struct rig *r = arg;
    return atomic_load(&r->now_ns);
}

static void on_random(void *arg, void *out, size_t len)
{
    (void)arg;
    base_random_system.fill(base_random_system.arg, out, len);
}

/* ---- the engine ---- */

static const struct valet_request *request_of(const park_task *task)
{
    uint32_t choice;
    return api_task_request(park_task_payload(task), park_task_index(task), &choice);
}

static void note_full(struct rig *r, unsigned tries)
{
    lock_take(&r->lock);
    if (tries > r->counts.fulls)
        r->counts.fulls = tries;
    cond_broadcast(&r->cond);
    lock_give(&r->lock);
}

static bool stopping(struct rig *r)
{
    lock_take(&r->lock);
    bool stop = r->stop;
    lock_give(&r->lock);
    return stop;
}

static bool wanted(struct rig *r, park_task *task)
{
    return !park_task_cancelled(task) && !stopping(r);
}

/* Emits an event, waiting for room; false once nobody wants it. */
static bool emit(struct rig *r, park_task *task, const struct valet_event *event)
{
    char bytes[RIG_FLOOD_BYTES + 512];
    size_t len = valet_event_encode(event, bytes, sizeof bytes);
    ASSERT(len > 0);
    for (unsigned tries = 1; wanted(r, task); tries++) {
        enum park_err rc = park_emit(task, (uint32_t)event->type, bytes, len);
        if (rc == PARK_OK)
            return true;
        ASSERT(rc == PARK_E_AGAIN);
        note_full(r, tries);
        park_take_wait(r->pool, AGAIN_MS);
    }
    return false;
}

static bool emit_start(struct rig *r, park_task *task)
{
    const struct valet_event event = { .type = VALET_EVENT_START,
                                       .choice = park_task_index(task),
                                       .id = -1,
                                       .cached = RIG_CACHED + (int32_t)park_task_index(task) };
    return emit(r, task, &event);
}

static bool emit_text(struct rig *r, park_task *task, int32_t generated, const char *text,
                      enum valet_finish finish)
{
    const struct valet_event event = { .type = VALET_EVENT_TOKEN,
                                       .choice = park_task_index(task),
                                       .id = 65,
                                       .finish = finish,
                                       .generated = generated,
                                       .text_len = (uint32_t)strlen(text),
                                       .text = text };
    return emit(r, task, &event);
}

static void wait_cancelled(struct rig *r, park_task *task)
{
    while (wanted(r, task))
        park_take_wait(r->pool, -1);
}

static void run_echo(struct rig *r, park_task *task)
{
    const struct valet_request *request = request_of(task);
    char text[32];
    snprintf(text, sizeof text, "n=%d ", request->prompt_count);
    emit_start(r, task);
    emit_text(r, task, 1, text, VALET_FINISH_NONE);
    emit_text(r, task, 2, "\xc3\xa9", VALET_FINISH_NONE);
    emit_text(r, task, 3, "", VALET_FINISH_NONE);
    emit_text(r, task, 4, "\xf0\x9f\x98\x80", VALET_FINISH_STOP);
}

static void run_flood(struct rig *r, park_task *task)
{
    char text[RIG_FLOOD_BYTES + 1];
    memset(text, 'x', RIG_FLOOD_BYTES);
    text[RIG_FLOOD_BYTES] = '\0';
    bool more = emit_start(r, task);
    for (int i = 1; more && i <= RIG_FLOOD_COUNT; i++)
        more = emit_text(r, task, i, text,
                         i == RIG_FLOOD_COUNT ? VALET_FINISH_STOP : VALET_FINISH_NONE);
}

/*
 * SCRIPT_LETTERS: as long as an answer of RIG_LETTERS tokens. Token i of task k is letter
 * k + i of the alphabet, its logprob is -(k + 1) / 2 - i / 4; the likeliest are z, y, x, …
 * with -1/8, -2/8, …. Prompt token i has logprob -i. An answer that is not cut by its length
 * ends with the end token, at no cost.
 */
static uint32_t letters_tops(const struct valet_request *request,
                             struct valet_top out[VALET_TOP_LOGPROBS_MAX])
{
    uint32_t count = (uint32_t)request->top_logprobs;
    for (uint32_t i = 0; i < count; i++)
        out[i] = (struct valet_top){ 'z' - (int32_t)i, -(float)(i + 1) / 8 };
    return count;
}

static bool letters_prompt(struct rig *r, park_task *task, int32_t index)
{
    const struct valet_request *request = request_of(task);
    struct valet_top tops[VALET_TOP_LOGPROBS_MAX];
    const struct valet_event event = { .type = VALET_EVENT_PROMPT,
                                       .choice = park_task_index(task),
                                       .id = request->prompt[index],
                                       .logprob = index ? -(float)index : NAN,
                                       .top = tops,
                                       .top_count = index ? letters_tops(request, tops) : 0 };
    return emit(r, task, &event);
}

static bool letters_token(struct rig *r, park_task *task, int32_t index)
{
    const struct valet_request *request = request_of(task);
    uint32_t k = park_task_index(task);
    int32_t id = 'a' + (int32_t)k + index;
    char text[1] = { (char)id };
    struct valet_top tops[VALET_TOP_LOGPROBS_MAX];
    struct valet_event event = { .type = VALET_EVENT_TOKEN,
                                 .choice = k,
                                 .id = id,
                                 .generated = index + 1,
                                 .logprob = NAN,
                                 .top = tops,
                                 .text_len = 1,
                                 .text = text };
    if (index == RIG_LETTERS) {
        event.id = LETTERS_END;
        event.text_len = 0;
        event.finish = VALET_FINISH_STOP;
        event.stop_kind = VALET_STOP_END;
    } else if (index + 1 >= request->max_new) {
        event.finish = VALET_FINISH_LENGTH;
    }
    if (request->max_new == 0) {
        event.id = -1;
        event.generated = 0;
        event.text_len = 0;
    } else if (request->logprobs) {
        event.logprob = index == RIG_LETTERS ? 0 : -(float)(k + 1) / 2 - (float)index / 4;
        event.top_count = letters_tops(request, tops);
    }
    return emit(r, task, &event) && event.finish == VALET_FINISH_NONE;
}

/* Emits one event; false behind the last. */
static bool letters_step(struct rig *r, park_task *task, int step)
{
    const struct valet_request *request = request_of(task);
    int32_t prompt = request->prompt_logprobs ? request->prompt_count : 0;
    if (step == 0)
        return emit_start(r, task);
    if (step <= prompt)
        return letters_prompt(r, task, step - 1);
    return letters_token(r, task, step - 1 - prompt);
}

/* Runs a script; true: failed. */
static bool run_script(struct rig *r, park_task *task, enum script script)
{
    switch (script) {
    case SCRIPT_ECHO:
        run_echo(r, task);
        break;
    case SCRIPT_LENGTH:
        emit_start(r, task);
        emit_text(r, task, 1, "cut", VALET_FINISH_LENGTH);
        break;
    case SCRIPT_FAIL_EARLY:
        return true;
    case SCRIPT_FAIL_LATE:
        emit_start(r, task);
        emit_text(r, task, 1, "a", VALET_FINISH_NONE);
        return true;
    case SCRIPT_NO_FINISH:
        emit_start(r, task);
        break;
    case SCRIPT_BAD_EVENT:
        emit_start(r, task);
        ASSERT(park_emit(task, 9, "junk", 4) == PARK_OK);
        wait_cancelled(r, task);
        break;
    case SCRIPT_HANG:
        emit_start(r, task);
        emit_text(r, task, 1, "a", VALET_FINISH_NONE);
        wait_cancelled(r, task);
        break;
    case SCRIPT_SILENT:
        wait_cancelled(r, task);
        break;
    case SCRIPT_FAIL_ONE:
        emit_start(r, task);
        if (park_task_index(task) == 1)
            return true;
        emit_text(r, task, 1, "a", VALET_FINISH_STOP);
        break;
    case SCRIPT_LETTERS: /* run_letters */
        break;
    case SCRIPT_FLOOD:
        run_flood(r, task);
        break;
    }
    return false;
}

static void note_start(struct rig *r, park_task *task)
{
    const struct valet_request *request = request_of(task);
    struct park_stats stats;
    struct park_status status;
    park_stats(r->pool, &stats);
    park_status(park_task_ticket(task), &status);
    lock_take(&r->lock);
    r->counts.starts++;
    r->counts.last_salt = request->cache_salt;
    r->counts.last_class = status.klass;
    r->counts.last_seed = request->sampling.seed;
    r->counts.last_max_new = request->max_new;
    r->counts.last_units = stats.used;
    cond_broadcast(&r->cond);
    lock_give(&r->lock);
}

static void end_task(struct rig *r, park_task *task, bool failed)
{
    struct park_outcome outcome = { .state = PARK_COMPLETED };
    if (failed)
        outcome = (struct park_outcome){ .state = PARK_FAILED,
                                         .error_code = 7,
                                         .error_text = "the kv cache broke" };
    else if (!wanted(r, task))
        outcome.state = PARK_CANCELLED;
    enum park_reason reason = park_task_reason(task);
    park_finish(task, &outcome);

    lock_take(&r->lock);
    r->counts.last_reason = reason;
    r->counts.ends++;
    cond_broadcast(&r->cond);
    lock_give(&r->lock);
}

/* All tasks that could be taken at once, an event of each in turn. */
static void run_letters(struct rig *r, park_task **tasks, size_t count)
{
    int steps[TAKE_MAX] = { 0 };
    for (size_t left = count; left > 0;) {
        for (size_t i = 0; i < count; i++) {
            if (!tasks[i] || letters_step(r, tasks[i], steps[i]++))
                continue;
            end_task(r, tasks[i], false);
            tasks[i] = NULL;
            left--;
        }
    }
}

static void run_tasks(struct rig *r, park_task **tasks, size_t count)
{
    lock_take(&r->lock);
    enum script script = r->script;
    lock_give(&r->lock);
    for (size_t i = 0; i < count; i++)
        note_start(r, tasks[i]);
    if (script == SCRIPT_LETTERS) {
        run_letters(r, tasks, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        end_task(r, tasks[i], run_script(r, tasks[i], script));
}

/* How many tasks the engine takes at once. */
static size_t script_takes(struct rig *r)
{
    lock_take(&r->lock);
    size_t count = r->script == SCRIPT_LETTERS ? TAKE_MAX : 1;
    lock_give(&r->lock);
    return count;
}

static void *engine_run(void *arg)
{
    struct rig *r = arg;
    for (;;) {
        lock_take(&r->lock);
        while (r->held && !r->stop)
            cond_wait(&r->cond, &r->lock);
        bool stop = r->stop;
        lock_give(&r->lock);
        if (stop)
            return NULL;
        park_task *tasks[TAKE_MAX];
        size_t count = park_take(r->pool, tasks, script_takes(r));
        if (count)
            run_tasks(r, tasks, count);
        else
            park_take_wait(r->pool, -1);
    }
}

/* ---- the loop ---- */

static void on_inbox(uv_poll_t *poll, int status, int events)
{
    struct rig *r = poll->data;
    (void)status;
    (void)events;
    api_inbox_ready(r->api);
}

static void on_tick_timer(uv_timer_t *timer)
{
    (void)timer;
}

static void on_passed(uv_async_t *async)
{
    struct rig *r = async->data;
    park_tick(r->pool);
}

static void on_before_sleep(uv_prepare_t *prepare)
{
    struct rig *r = prepare->data;
    uint64_t next_ns = api_tick(r->api);
    uint64_t now_ns = clock_now_ns(&base_clock_monotonic);
    if (r->options.fake_clock || next_ns == UINT64_MAX)
        uv_timer_stop(&r->tick_timer);
    else
        uv_timer_start(&r->tick_timer, on_tick_timer,
                       next_ns > now_ns ? (next_ns - now_ns) / 1000000 + 1 : 0, 0);
}

static void on_server_closed(void *arg)
{
    struct rig *r = arg;
    uv_close((uv_handle_t *)&r->before_sleep, NULL);
    uv_close((uv_handle_t *)&r->tick_timer, NULL);
    uv_close((uv_handle_t *)&r->passed_async, NULL);
    uv_close((uv_handle_t *)&r->poll, NULL);
    uv_close((uv_handle_t *)&r->stop_async, NULL);
}

static void on_stop(uv_async_t *async)
{
    struct rig *r = async->data;
    http_server_close(r->server, on_server_closed, r);
}

static void *loop_run(void *arg)
{
    struct rig *r = arg;
    uv_run(&r->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void server_start(struct rig *r)
{
    struct http_options options;
    struct http_handler handler;
    http_options_init(&options);
    api_http_handler(r->api, &handler);
    ck_assert_int_eq(uv_loop_init(&r->loop), 0);
    ck_assert_int_eq(uv_poll_init(&r->loop, &r->poll, park_inbox_fd(r->inbox)), 0);
    ck_assert_int_eq(uv_async_init(&r->loop, &r->stop_async, on_stop), 0);
    ck_assert_int_eq(uv_async_init(&r->loop, &r->passed_async, on_passed), 0);
    ck_assert_int_eq(uv_prepare_init(&r->loop, &r->before_sleep), 0);
    ck_assert_int_eq(uv_timer_init(&r->loop, &r->tick_timer), 0);
    r->poll.data = r;
    r->stop_async.data = r;
    r->passed_async.data = r;
    r->before_sleep.data = r;
    ck_assert_int_eq(uv_prepare_start(&r->before_sleep, on_before_sleep), 0);
    ck_assert_int_eq(uv_poll_start(&r->poll, UV_READABLE, on_inbox), 0);
    ck_assert_int_eq(http_server_create(&r->loop, &options, &handler, &r->server), OK);
    ck_assert_int_eq(http_server_listen(r->server, "127.0.0.1", 0, &r->port, NULL), OK);
    if (r->options.unix_path)
        ck_assert_int_eq(http_server_listen_unix(r->server, r->options.unix_path, NULL), OK);
}

static void pool_start(struct rig *r, const struct rig_options *o)
{
    struct park_options options;
    park_options_init(&options);
    options.name = "chat";
    options.dim_count = 2;
    options.dim_names[0] = "kv_blocks";
    options.dim_names[1] = "slots";
    options.capacity.n[0] = o->blocks;
    options.capacity.n[1] = o->slots;
    options.queue_count_max = o->queue_count_max;
    options.queue_bytes_max = QUEUE_BYTES;
    options.running_max = o->slots;
    options.events_bytes_max = RING_BYTES;
    options.tenant_count_max = 8;
    options.run_timeout_ms = o->run_timeout_ms;
    for (int i = 0; i < PARK_CLASS_COUNT; i++)
        options.classes[i].queue_timeout_ms = o->queue_timeout_ms;
    options.classes[PARK_CLASS_LOW].queue_count_max = o->low_count_max;
    if (o->fake_clock)
        options.env = (struct park_env){ .now_ns = on_now, .random = on_random, .arg = r };
    ck_assert_int_eq(park_pool_create(&options, &r->pool), PARK_OK);
    ck_assert_int_eq(park_inbox_create(&r->inbox), PARK_OK);
}

void rig_start(struct rig *r, const struct rig_options *options, enum script script)
{
    *r = (struct rig){ .script = script, .held = options->held, .options = *options };
    atomic_init(&r->now_ns, UINT64_C(1000000000));
    r->clock = options->fake_clock ? (struct base_clock){ on_now, r } : base_clock_monotonic;
    lock_init(&r->lock, LOCK_RANK_TEAM);
    cond_init(&r->cond);
    r->tokenizer = letters_create(options->add_bos);
    pool_start(r, options);
    const struct api_options api = {
        .model = { .id = "org/m",
                   .aliases = options->aliases,
                   .alias_count = options->alias_count,
                   .fingerprint = "b0",
                   .created = 1763900000,
                   .context = RIG_CONTEXT,
                   .tokenizer = r->tokenizer,
                   .chat_template = options->chat_template,
                   .bos_text = "<s>",
                   .eos_text = "<|im_end|>" },
        .version = { .version = "1.2.3", .build = "release" },
        .pool = r->pool,
        .inbox = r->inbox,
        .clock = &r->clock,
        .random = &base_random_system,
        .arg = r,
        .blocks_start = on_blocks_start,
        .blocks = on_blocks,
        .metrics = on_metrics,
        .healthy = on_healthy,
        .not_ready = on_not_ready,
        .authenticate = options->keys ? on_authenticate : NULL,
        .metrics_public = options->metrics_public,
        .settings = options->settings,
        .early_headers_ms = options->early_headers_ms,
        .heartbeat_ms = options->heartbeat_ms,
    };
    ck_assert_int_eq(api_create(&api, &r->api, NULL), OK);
    server_start(r);
    ck_assert_int_eq(thread_start(&r->engine_thread, "engine", engine_run, r), OK);
    ck_assert_int_eq(thread_start(&r->loop_thread, "loop", loop_run, r), OK);
}

void rig_stop(struct rig *r)
{
    struct api_stats stats;
    rig_stop_with_stats(r, &stats);
}

void rig_stop_with_stats(struct rig *r, struct api_stats *out)
{
    lock_take(&r->lock);
    r->stop = true;
    cond_broadcast(&r->cond);
    lock_give(&r->lock);
    park_wake(r->pool);
    thread_join(&r->engine_thread);
    uv_async_send(&r->stop_async);
    thread_join(&r->loop_thread);
    ck_assert_int_eq(uv_loop_close(&r->loop), 0);
    api_stats(r->api, out);
    api_destroy(r->api);
    park_check(r->pool);
    park_pool_destroy(r->pool);
    park_inbox_destroy(r->inbox);
    tokenizer_destroy(r->tokenizer);
    cond_fini(&r->cond);
    lock_fini(&r->lock);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

void rig_release(struct rig *r)
{
    lock_take(&r->lock);
    r->held = false;
    cond_broadcast(&r->cond);
    lock_give(&r->lock);
}

void rig_script(struct rig *r, enum script script)
{
    lock_take(&r->lock);
    r->script = script;
    lock_give(&r->lock);
}

void rig_not_ready(struct rig *r, const char *word)
{
    lock_take(&r->lock);
    r->not_ready = word;
    lock_give(&r->lock);
}

void rig_unhealthy(struct rig *r, bool unhealthy)
{
    lock_take(&r->lock);
    r->unhealthy = unhealthy;
    lock_give(&r->lock);
}

void rig_pass(struct rig *r, uint64_t ms)
{
    atomic_fetch_add(&r->now_ns, ms * UINT64_C(1000000));
    uv_async_send(&r->passed_async);
}

struct rig_counts rig_counts(struct rig *r)
{
    lock_take(&r->lock);
    struct rig_counts counts = r->counts;
    lock_give(&r->lock);
    return counts;
}

void rig_wait(struct rig *r, const unsigned *counter, unsigned n)
{
    uint64_t deadline = clock_now_ns(&base_clock_monotonic) + WAIT_S * UINT64_C(1000000000);
    bool in_time = true;
    lock_take(&r->lock);
    while (*counter < n && in_time)
        in_time = cond_wait_until(&r->cond, &r->lock, deadline);
    unsigned reached = *counter;
    lock_give(&r->lock);
    ck_assert_uint_ge(reached, n);
}

void rig_wait_empty(struct rig *r, struct park_stats *out)
{
    ck_assert_int_eq(park_drain(r->pool, PARK_DRAIN_FINISH_ALL, WAIT_S * 1000), PARK_OK);
    park_stats(r->pool, out);
    park_check(r->pool);
    ck_assert_uint_eq(out->used.n[0], 0);
    ck_assert_uint_eq(out->used.n[1], 0);
}
