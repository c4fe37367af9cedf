#ifndef API_FORMAT_H
#define API_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/api.h"
#include "api/errors.h"
#include "api/job.h"
#include "api/json_out.h"
#include "api/params.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "valet/event.h"

/*
 * Events to JSON and SSE: functions of the state and the event alone, one event at a time,
 * never merging. What chats and completions share; each of them is a struct format_kind.
 * Everything that appends to a buffer appends all or nothing: E_NOMEM or E_TOO_BIG.
 */

enum format_parts {
    FORMAT_PARTS = 4 /* lists that logprobs consist of: tokens, logprobs, tops, offsets */
};

/* One choice: what one task of the ticket made so far. */
struct format_choice {
    /* set at the start, constant afterwards */
    bool continues; /* as in its request */

    /* moved by format_note */
    int32_t generated; /* tokens */
    int32_t cached;    /* tokens of the prompt */
    enum valet_finish finish;
    enum valet_stop_kind stop_kind;
    uint32_t stop_index;
    int32_t last_id;
    double logprob_sum;

    /* moved by the kind */
    bool started;        /* chats: the role chunk is out */
    int32_t prompt_seen; /* VALET_EVENT_PROMPT events */
    int64_t chars;       /* of the text of all tokens so far */
    struct tokenizer_decoder decoder;

    /* a plain answer: JSON without the brackets around it, and the text */
    struct base_buf text;
    struct base_buf ids;
    struct base_buf parts[FORMAT_PARTS];
};

/* A prompt that is repeated in the answer. */
struct format_prompt {
    const char *text;
    size_t len;
    int32_t count;   /* tokens */
    bool hide_first; /* its first token is not part of the text */
};

struct format {
    /* set at the start, constant afterwards */
    char id[40];              /* "chatcmpl-…" */
    int64_t created;          /* seconds since 1970 */
    const char *model;        /* borrowed */
    const char *fingerprint;  /* borrowed */
    const char *service_tier; /* that it has, a literal; NULL: nobody asked */
    const struct tokenizer *tokenizer;
    bool include_usage;
    bool continuous_usage;
    bool logprobs;
    bool token_ids;
    bool prompt_events; /* VALET_EVENT_PROMPT events come */
    const struct valet_stop *stops;
    uint32_t stop_count;
    uint32_t prompt_count;
    uint32_t made;                       /* choices of each prompt: tasks */
    uint32_t shown;                      /* of those, in the answer */
    int32_t prompt_tokens;               /* all prompts */
    const struct format_prompt *prompts; /* [prompt_count] with echo, else NULL */
    char *piece;                         /* scratch for the text of a token */
    struct arena arena;

    /* moved by events */
    struct format_choice *choices; /* [prompt_count * made] */
    size_t collected;              /* bytes that a plain answer holds, of all choices */
};

struct format_kind {
    const char *id_prefix;
    const char *length_field; /* of the body */
    /* A stream: the frames of one event, behind format_note; none is fine. */
    enum base_err (*event)(struct format *f, const struct valet_event *event, struct base_buf *out);
    /* A stream: what comes when all choices have ended, [DONE] included. */
    enum base_err (*end)(struct format *f, struct base_buf *out);
    /* A plain answer: keeps what one event says, behind format_note. */
    enum base_err (*collect)(struct format *f, const struct valet_event *event);
    /* The plain answer. */
    enum base_err (*whole)(struct format *f, struct base_buf *out);
};

extern const struct format_kind chat_kind;
extern const struct format_kind completion_kind;

/* `prompts` are only read. Gives: format_fini. E_NOMEM. */
enum base_err format_init(struct format *f, const struct api_model *model,
                          const struct api_params *params, const struct api_prompt *prompts,
                          const struct api_job *job);
void format_fini(struct format *f);

/* Notes what an event says about its choice. E_CORRUPT: it names no choice or no token. */
enum base_err format_note(struct format *f, const struct valet_event *event);

/* Keeps what an event says in a plain answer, which is bounded: E_TOO_BIG. */
enum base_err format_collect(struct format *f, const struct format_kind *kind,
                             const struct valet_event *event);

/* Whether each choice has its finish reason. */
bool format_is_complete(const struct format *f);

/* Whether an event brings a token that was generated. */
bool format_has_token(const struct valet_event *event);

/* ---- parts of answers ---- */

/* "stop", "length"; NULL while more follows. */
const char *format_finish(enum valet_finish finish);

/* {"id":…,"object":…,"created":…,"model":…,"system_fingerprint":… and, if asked, a service_tier */
void format_head(struct api_out *o, const struct format *f, const char *object);

/* The object of prompts, choices and their sums. */
void format_usage(struct api_out *o, const struct format *f);

/* "finish_reason":…,"stop_reason":… */
void format_reasons(struct api_out *o, const struct format *f, const struct format_choice *c);

/* One frame around the text of its choices. */
void format_chunk_begin(struct api_out *o, const struct format *f, const char *object);
void format_chunk_end(struct api_out *o, const struct format *f);

/* What ends a stream behind the finish chunks: usage if asked for, and [DONE]. */
void format_stream_end(struct api_out *o, const struct format *f, const char *object);

/* An error instead of the end, and [DONE]. */
enum base_err format_error(const struct api_error *error, struct base_buf *out);

/* A comma if `list` holds something already. */
void format_comma(struct api_out *o, const struct base_buf *list);

#endif
