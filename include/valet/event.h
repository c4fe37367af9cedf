/* What the engine reports: one event for each token, in order. */
#ifndef VALET_EVENT_H
#define VALET_EVENT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

enum valet_event_type {
    VALET_EVENT_START = 1, /* the request has joined the batch; its prefill begins */
    VALET_EVENT_TOKEN = 2, /* a token was generated, or the answer ends */
    VALET_EVENT_PROMPT = 3 /* a token of the prompt and its logprob (prompt_logprobs) */
};

enum valet_finish {
    VALET_FINISH_NONE = 0,  /* more follows */
    VALET_FINISH_STOP = 1,  /* end token or stop string */
    VALET_FINISH_LENGTH = 2 /* max_new reached */
};

/* What ended an answer with VALET_FINISH_STOP, for clients that ask. */
enum valet_stop_kind {
    VALET_STOP_NONE = 0,
    VALET_STOP_END = 1,   /* an end token of the model */
    VALET_STOP_ID = 2,    /* stop_ids: the event's id */
    VALET_STOP_STRING = 3 /* stops[stop_index] */
};

struct valet_top {
    int32_t id;
    float logprob;
};

struct valet_event {
    enum valet_event_type type;
    uint32_t choice;
    int32_t id; /* the token; -1 in VALET_EVENT_START and where none was generated */
    enum valet_finish finish;
    enum valet_stop_kind stop_kind;
    uint32_t stop_index;
    int32_t generated; /* tokens generated so far, this one included */
    int32_t cached;    /* START: prompt tokens whose keys and values were there already */
    float logprob;     /* of the token, from the raw logits; NaN: not asked for, or the first */
    uint32_t top_count;
    const struct valet_top *top; /* [top_count] the most likely, falling; ties: lower id first */
    uint32_t text_len; /* bytes of text released by this event: whole characters, may be 0 */
    const char *text;  /* not terminated */
};

/* An event as bytes: this header, then the tops, then the text. Same process, same build. */
struct valet_event_wire {
    uint32_t type;
    uint32_t choice;
    int32_t id;
    uint32_t finish;
    uint32_t stop_kind;
    uint32_t stop_index;
    int32_t generated;
    int32_t cached;
    float logprob;
    uint32_t top_count;
    uint32_t text_len;
};

/* Bytes of the longest event whose text has at most `text_max` bytes. */
static inline size_t valet_event_bytes_max(size_t text_max, uint32_t top_max)
{
    return sizeof(struct valet_event_wire) + top_max * sizeof(struct valet_top) + text_max;
}

/* Writes the event to `out`; returns its length, or 0 if `size` does not suffice. */
static inline size_t valet_event_encode(const struct valet_event *event, void *out, size_t size)
{
    struct valet_event_wire w;
    size_t top_bytes = event->top_count * sizeof(struct valet_top);
    char *p = (char *)out;
    if (size < sizeof w + top_bytes + event->text_len)
        return 0;
    w.type = (uint32_t)event->type;
    w.choice = event->choice;
    w.id = event->id;
    w.finish = (uint32_t)event->finish;
    w.stop_kind = (uint32_t)event->stop_kind;
    w.stop_index = event->stop_index;
    w.generated = event->generated;
    w.cached = event->cached;
    w.logprob = event->logprob;
    w.top_count = event->top_count;
    w.text_len = event->text_len;
    memcpy(p, &w, sizeof w);
    p += sizeof w;
    if (top_bytes)
        memcpy(p, event->top, top_bytes);
    p += top_bytes;
    if (event->text_len)
        memcpy(p, event->text, event->text_len);
    return sizeof w + top_bytes + event->text_len;
}

/*
 * Reads an event; its tops and text point into `data`, which is aligned to 4 bytes. 0 on
 * success, -1 if the bytes are none.
 */
static inline int valet_event_decode(struct valet_event *event, const void *data, size_t len)
{
    struct valet_event_wire w;
    const char *p = (const char *)data;
    if (len < sizeof w)
        return -1;
    memcpy(&w, p, sizeof w);
    p += sizeof w;
    len -= sizeof w;
    if (w.top_count > len / sizeof(struct valet_top) ||
        len - w.top_count * sizeof(struct valet_top) != w.text_len)
        return -1;
    event->type = (enum valet_event_type)w.type;
    event->choice = w.choice;
    event->id = w.id;
    event->finish = (enum valet_finish)w.finish;
    event->stop_kind = (enum valet_stop_kind)w.stop_kind;
    event->stop_index = w.stop_index;
    event->generated = w.generated;
    event->cached = w.cached;
    event->logprob = w.logprob;
    event->top_count = w.top_count;
    event->top = (const struct valet_top *)(const void *)p;
    event->text_len = w.text_len;
    event->text = p + w.top_count * sizeof(struct valet_top);
    return 0;
}

#ifdef __cplusplus
}
#endif

#endif
