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
    VALET_EVENT_TOKEN = 2  /* a token was generated, or the answer ends */
};

enum valet_finish {
    VALET_FINISH_NONE = 0,  /* more follows */
    VALET_FINISH_STOP = 1,  /* end token or stop string */
    VALET_FINISH_LENGTH = 2 /* max_new reached */
};

struct valet_event {
    enum valet_event_type type;
    uint32_t choice;
    int32_t id; /* the token; -1 in VALET_EVENT_START */
    enum valet_finish finish;
    int32_t generated; /* tokens generated so far, this one included */
    uint32_t text_len; /* bytes of text released by this event: whole characters, may be 0 */
    const char *text;  /* not terminated */
};

/* An event as bytes: this header, then the text. Same process, same build. */
struct valet_event_wire {
    uint32_t type;
    uint32_t choice;
    int32_t id;
    uint32_t finish;
    int32_t generated;
    uint32_t text_len;
};

/* Writes the event to `out`; returns its length, or 0 if `size` does not suffice. */
static inline size_t valet_event_encode(const struct valet_event *event, void *out, size_t size)
{
    struct valet_event_wire w;
    if (size < sizeof w + event->text_len)
        return 0;
    w.type = (uint32_t)event->type;
    w.choice = event->choice;
    w.id = event->id;
    w.finish = (uint32_t)event->finish;
    w.generated = event->generated;
    w.text_len = event->text_len;
    memcpy(out, &w, sizeof w);
    if (event->text_len)
        memcpy((char *)out + sizeof w, event->text, event->text_len);
    return sizeof w + event->text_len;
}

/* Reads an event; its text points into `data`. 0 on success, -1 if the bytes are none. */
static inline int valet_event_decode(struct valet_event *event, const void *data, size_t len)
{
    struct valet_event_wire w;
    if (len < sizeof w)
        return -1;
    memcpy(&w, data, sizeof w);
    if (len != sizeof w + w.text_len)
        return -1;
    event->type = (enum valet_event_type)w.type;
    event->choice = w.choice;
    event->id = w.id;
    event->finish = (enum valet_finish)w.finish;
    event->generated = w.generated;
    event->text_len = w.text_len;
    event->text = (const char *)data + sizeof w;
    return 0;
}

#ifdef __cplusplus
}
#endif

#endif
