#include "template/chatml.h"

#include <stdint.h>
#include <string.h>

#include "base/assert.h"

#define START "<|im_start|>"
#define END "<|im_end|>\n"

/*
 * What the template writes between two contents is one constant: the end of the message
 * before, which is skipped for the first one, and the head of the next.
 */
#define HEAD(role) END START role "\n"

enum {
    END_LEN = sizeof END - 1
};

static const struct {
    const char *role;
    const char *text;
} heads[] = {
    { "system", HEAD("system") },
    { "user", HEAD("user") },
    { "assistant", HEAD("assistant") },
    { "tool", HEAD("tool") },
};

static const char *const head_assistant = HEAD("assistant");
static const char *const head_open = END START;

enum {
    SPANS_PER_MESSAGE_MAX = 4
}; /* head, role, "\n", content */

struct rendering {
    struct template_span *spans;
    size_t count;
    bool begun; /* a message is open: the next constant ends it */
};

static void put(struct rendering *r, const char *data, size_t len, bool trusted)
{
    if (len > 0)
        r->spans[r->count++] = (struct template_span){ data, len, trusted };
}

/* A constant that begins with END. */
static void put_template(struct rendering *r, const char *text)
{
    size_t skip = r->begun ? 0 : END_LEN;
    put(r, text + skip, strlen(text) - skip, true);
}

static bool is_role(const struct template_message *m, const char *role)
{
    return m->role_len == strlen(role) && memcmp(m->role, role, m->role_len) == 0;
}

/* The constant that opens a message of this role, or NULL for a role unknown to the template. */
static const char *find_head(const struct template_message *m)
{
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        if (is_role(m, heads[i].role))
            return heads[i].text;
    }
    return NULL;
}

static void put_message(struct rendering *r, const struct template_message *m)
{
    const char *head = find_head(m);
    put_template(r, head ? head : head_open);
    if (!head) {
        put(r, m->role, m->role_len, false);
        put(r, "\n", 1, true);
    }
    put(r, m->content, m->content_len, false);
    r->begun = true;
}

enum base_err template_chatml(struct arena *arena, const struct template_message *messages,
                              size_t count, const char *default_system, bool add_generation_prompt,
                              struct template_span **spans, size_t *span_count)
{
    *spans = NULL;
    *span_count = 0;
    if (count > SIZE_MAX / SPANS_PER_MESSAGE_MAX - 2)
        return E_NOMEM;
    size_t room = (count + 1) * SPANS_PER_MESSAGE_MAX + 1; /* the default system, the last head */
    struct rendering r = { .spans = arena_calloc(arena, room, sizeof *r.spans) };
    if (!r.spans)
        return E_NOMEM;
    if (default_system && count > 0 && !is_role(&messages[0], "system")) {
        struct template_message system = { "system", 6, default_system, strlen(default_system) };
        put_message(&r, &system);
    }
    for (size_t i = 0; i < count; i++)
        put_message(&r, &messages[i]);
    if (add_generation_prompt)
        put_template(&r, head_assistant);
    else if (r.begun)
        put(&r, END, END_LEN, true);
    DCHECK(r.count <= room);
    if (r.count > 0) {
        *spans = r.spans;
        *span_count = r.count;
    }
    return OK;
}
