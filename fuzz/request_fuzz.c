/*
 * Any body on any route with a body is either refused, with an error that names its field, or
 * answered, or becomes requests that the engine can take: every value in its range. Whatever
 * goes out is JSON, or frames of it, and nothing stays behind.
 *
 * The input: a byte that picks the route, a byte that picks the model, the body. The api is the
 * real one, above a lot of its own; request_http.c stands in for http, this file for the engine.
 */
#include <math.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"
#include "request_check.h"
#include "request_http.h"
#include "tokenizer/alphabet.h"
#include "valet/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    SLOTS = 128,
    BLOCKS = 1 << 16,
    CONTEXT = 256, /* small, so that a prompt can be too long */
    LETTERS = 256,
    RING_BYTES = 64 << 10,
    EVENT_BYTES = 4096,
    PROMPT_EVENTS_MAX = 4096, /* of a request; above it the engine breaks */
    MODELS = 2
};

static const char *const g_routes[] = { "/v1/chat/completions", "/v1/completions", "/tokenize",
                                        "/detokenize", "/apply-template" };

static const char *const g_controls[] = { "<|im_start|>", "<|im_end|>", "<s>" };

/* Reads what kwargs and messages can set. */
static const char g_template[] =
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content|trim }}"
    "{{ m.name }}{{ m.tool_call_id }}{{ m.reasoning_content }}{% endfor %}"
    "{{ enable_thinking }}{{ thinking }}{{ reasoning_effort }}{{ x|tojson }}{{ y|length }}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}";

static struct tokenizer *g_tokenizer;
static park_pool *g_pool;
static park_inbox *g_inbox;
static struct api *g_apis[MODELS];
static uint64_t g_live; /* blocks that stay */

/* ---- the server ---- */

static uint64_t blocks_of(void *arg, int32_t prompt_count, int32_t max_new)
{
    (void)arg;
    return (uint64_t)(prompt_count + max_new + 31) / 32;
}

static enum base_err no_metrics(void *arg, struct base_buf *out)
{
    (void)arg;
    (void)out;
    return OK;
}

static bool healthy(void *arg)
{
    (void)arg;
    return true;
}

static const char *ready(void *arg)
{
    (void)arg;
    return NULL;
}

static void tokenizer_start(void)
{
    char letters[LETTERS][2];
    struct tokenizer_text tokens[LETTERS + 3];
    int32_t types[LETTERS + 3];
    struct base_err_info info;
    for (int i = 0; i < LETTERS; i++) {
        size_t len = (size_t)tokenizer_alphabet_letter((uint8_t)i, letters[i]);
        tokens[i] = (struct tokenizer_text){ letters[i], len };
        types[i] = TOKENIZER_NORMAL;
    }
    for (int i = 0; i < 3; i++) {
        tokens[LETTERS + i] = (struct tokenizer_text){ g_controls[i], strlen(g_controls[i]) };
        types[LETTERS + i] = TOKENIZER_CONTROL;
    }
    const struct tokenizer_source source = { .kind = TOKENIZER_BPE,
                                             .pre = { "smollm", 6 },
                                             .tokens = tokens,
                                             .types = types,
                                             .token_count = LETTERS + 3,
                                             .bos_id = LETTERS + 2,
                                             .eos_id = LETTERS + 1,
                                             .add_bos = true };
    ASSERT(tokenizer_create(&source, &g_tokenizer, &info) == OK);
}

static void pool_start(void)
{
    struct park_options options;
    park_options_init(&options);
    options.name = "m";
    options.dim_count = 2;
    options.dim_names[0] = "kv_blocks";
    options.dim_names[1] = "slots";
    options.capacity.n[0] = BLOCKS;
    options.capacity.n[1] = SLOTS;
    options.queue_count_max = SLOTS;
    options.queue_bytes_max = 64 << 20;
    options.running_max = SLOTS;
    options.events_bytes_max = RING_BYTES;
    ASSERT(park_pool_create(&options, &g_pool) == PARK_OK);
    ASSERT(park_inbox_create(&g_inbox) == PARK_OK);
}

static struct api *api_start(const char *chat_template)
{
    struct api *api;
    const struct api_options options = { .model = { .id = "m",
                                                    .fingerprint = "b0",
                                                    .context = CONTEXT,
                                                    .tokenizer = g_tokenizer,
                                                    .chat_template = chat_template,
                                                    .bos_text = "<s>",
                                                    .eos_text = "<|im_end|>" },
                                         .pool = g_pool,
                                         .inbox = g_inbox,
                                         .clock = &base_clock_monotonic,
                                         .random = &base_random_system,
                                         .blocks_start = blocks_of,
                                         .blocks = blocks_of,
                                         .metrics = no_metrics,
                                         .healthy = healthy,
                                         .not_ready = ready };
    ASSERT(api_create(&options, &api, NULL) == OK);
    return api;
}

static void start(void)
{
    tokenizer_start();
    pool_start();
    g_apis[0] = api_start(NULL);
    g_apis[1] = api_start(g_template);
    g_live = mem_live_blocks();
}

/* ---- the engine ---- */

struct engine {
    struct api *api;
    struct http_exchange *x;
    bool broke; /* on purpose */
};

static void emit(struct engine *e, park_task *task, const struct valet_event *event)
{
    char bytes[EVENT_BYTES];
    size_t len = valet_event_encode(event, bytes, sizeof bytes);
    ASSERT(len > 0);
    while (park_emit(task, (uint32_t)event->type, bytes, len) != PARK_OK) {
        ASSERT(!e->x->ended); /* a full ring has a reader */
        api_inbox_ready(e->api);
    }
}

static void emit_prompt(struct engine *e, park_task *task, const struct valet_request *r,
                        struct valet_event *event)
{
    event->type = VALET_EVENT_PROMPT;
    for (int32_t i = 0; i < r->prompt_count; i++) {
        event->id = r->prompt[i];
        event->logprob = i ? -0.5f : NAN;
        event->top_count = i ? (uint32_t)r->top_logprobs : 0;
        emit(e, task, event);
    }
}

/* One token that ends the answer. */
static void emit_end(struct engine *e, park_task *task, const struct valet_request *r,
                     struct valet_event *event)
{
    bool some = r->max_new > 0;
    event->type = VALET_EVENT_TOKEN;
    event->id = some ? 'a' : -1;
    event->generated = some;
    event->finish = r->max_new > 1 ? VALET_FINISH_STOP : VALET_FINISH_LENGTH;
    event->stop_kind = r->max_new > 1 ? VALET_STOP_END : VALET_STOP_NONE;
    event->logprob = some && r->logprobs ? -1 : NAN;
    event->top_count = some && r->logprobs ? (uint32_t)r->top_logprobs : 0;
    event->text = "a";
    event->text_len = some;
    emit(e, task, event);
}

static void run_task(struct engine *e, park_task *task)
{
    uint32_t choice;
    const struct valet_request *r =
        api_task_request(park_task_payload(task), park_task_index(task), &choice);
    struct valet_top tops[VALET_TOP_LOGPROBS_MAX];
    struct valet_event event = {
        .type = VALET_EVENT_START, .choice = park_task_index(task), .id = -1, .top = tops
    };
    struct park_outcome outcome = { .state = PARK_COMPLETED };
    request_check(r, CONTEXT, LETTERS + 3);
    for (int32_t i = 0; i < VALET_TOP_LOGPROBS_MAX; i++)
        tops[i] = (struct valet_top){ 'a' + i, -(float)(i + 1) / 8 };
    emit(e, task, &event);
    if (r->prompt_logprobs &&
        (uint32_t)r->prompt_count * (park_task_index(task) + 1) > PROMPT_EVENTS_MAX) {
        e->broke = true;
        outcome = (struct park_outcome){ .state = PARK_FAILED, .error_text = "broke" };
    } else {
        if (r->prompt_logprobs)
            emit_prompt(e, task, r, &event);
        emit_end(e, task, r, &event);
    }
    park_finish(task, &outcome);
}

static void run_engine(struct engine *e)
{
    park_task *task;
    while (park_take(g_pool, &task, 1) == 1)
        run_task(e, task);
    for (int i = 0; !e->x->ended; i++) {
        ASSERT(i < 2 * SLOTS);
        api_inbox_ready(e->api);
    }
}

/* ---- what goes out ---- */

static void check_error(const json_t *body, int status)
{
    const json_t *error = json_object_get(body, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    const json_t *param = json_object_get(error, "param");
    ASSERT(json_string_length(json_object_get(error, "message")) > 0);
    ASSERT(json_is_string(json_object_get(error, "type")) && code && param);
    ASSERT(status == 400 || status == 404);
    ASSERT(json_string_length(param) > 0 || strcmp(code, "invalid_json") == 0);
}

static void check_answer(const struct engine *e)
{
    const struct http_exchange *x = e->x;
    if (e->broke) {
        ASSERT(x->status == 500 || x->streamed);
        return;
    }
    ASSERT(utf8_is_valid(x->body.data, x->body.len));
    if (x->streamed) {
        ASSERT(x->status == 200 && !x->aborted && x->body.len > 14);
        ASSERT(memcmp(x->body.data + x->body.len - 14, "data: [DONE]\n\n", 14) == 0);
        return;
    }
    json_error_t why;
    json_t *body = json_loadb(x->body.data, x->body.len, JSON_ALLOW_NUL, &why);
    if (!body && json_error_code(&why) == json_error_null_byte_in_key)
        return; /* a token's text is a key of top_logprobs; jansson does not read that one */
    ASSERT(json_is_object(body));
    if (x->status != 200)
        check_error(body, x->status);
    json_decref(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!g_tokenizer)
        start();
    if (size < 2)
        return 0;
    const char *route = g_routes[data[0] % (sizeof g_routes / sizeof g_routes[0])];
    struct http_exchange x;
    struct engine e = { .api = g_apis[data[1] % MODELS], .x = &x };
    char *body = mem_alloc(MEM_BASE, size - 2); /* exact, so that one byte too far is seen */
    ASSERT(body);
    memcpy(body, data + 2, size - 2);
    request_http_post(e.api, &x, route, body, size - 2);
    run_engine(&e);
    check_answer(&e);
    request_http_fini(&x);
    mem_free(body);
    park_check(g_pool);
    return 0;
}
