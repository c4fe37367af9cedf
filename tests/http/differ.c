#include "http/differ.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <llhttp.h>

#include "http/parser.h"

enum {
    FIELDS_MAX = 100,
    TEXT_MAX = 64 * 1024,
    BODY_MAX = 64 * 1024
};

static const struct http_limits g_limits = {
    .request_line_bytes_max = 8 * 1024,
    .header_bytes_max = 16 * 1024,
    .field_count_max = FIELDS_MAX,
    .body_bytes_max = BODY_MAX,
};

/* ---- ours ---- */

struct ours {
    enum http_parse state;
    size_t used;
    size_t head_len;
    struct http_head head;
    struct http_field fields[FIELDS_MAX];
    char body[BODY_MAX];
    size_t body_len;
};

static void parse_body(struct ours *o, const char *data, size_t len)
{
    struct http_framing framing;
    http_framing_init(&framing, &o->head);
    o->state = HTTP_PARSE_MORE;
    while (o->state == HTTP_PARSE_MORE && o->used < len) {
        size_t used;
        struct http_str piece;
        o->state =
            http_framing_feed(&framing, &g_limits, data + o->used, len - o->used, &used, &piece);
        memcpy(o->body + o->body_len, piece.data, piece.len);
        o->body_len += piece.len;
        o->used += used;
    }
}

static void parse_ours(struct ours *o, const char *data, size_t len)
{
    struct http_scan scan;
    http_scan_init(&scan);
    o->used = 0;
    o->body_len = 0;
    o->state = http_scan_feed(&scan, &g_limits, data, len, &o->used);
    if (o->state != HTTP_PARSE_DONE)
        return;
    o->head_len = o->used;
    if (http_head_parse(data, o->head_len, &g_limits, o->fields, &o->head))
        o->state = HTTP_PARSE_REFUSED;
    else if (http_head_has_body(&o->head))
        parse_body(o, data, len);
}

/* ---- theirs ---- */

struct text {
    size_t at; /* in theirs.text */
    size_t len;
};

struct theirs {
    struct text url;
    struct text names[FIELDS_MAX + 1];
    struct text values[FIELDS_MAX + 1];
    size_t field_count;
    bool is_head_done;
    bool is_done;
    size_t text_len;
    size_t body_len;
    char text[TEXT_MAX];
    char body[BODY_MAX];
};

/* Pieces of one text follow each other. */
static int add(struct theirs *t, struct text *to, const char *data, size_t len)
{
    if (to->len == 0)
        to->at = t->text_len;
    if (t->text_len + len > sizeof t->text)
        return -1;
    memcpy(t->text + t->text_len, data, len);
    t->text_len += len;
    to->len += len;
    return 0;
}

static int on_url(llhttp_t *p, const char *data, size_t len)
{
    struct theirs *t = p->data;
    return add(t, &t->url, data, len);
}

static int on_name(llhttp_t *p, const char *data, size_t len)
{
    struct theirs *t = p->data;
    return t->is_head_done ? 0 : add(t, &t->names[t->field_count], data, len);
}

static int on_value(llhttp_t *p, const char *data, size_t len)
{
    struct theirs *t = p->data;
    return t->is_head_done ? 0 : add(t, &t->values[t->field_count], data, len);
}

static int on_value_complete(llhttp_t *p)
{
    struct theirs *t = p->data;
    if (!t->is_head_done && ++t->field_count > FIELDS_MAX)
        return -1;
    return 0;
}

static int on_head(llhttp_t *p)
{
    struct theirs *t = p->data;
    t->is_head_done = true;
    return 0;
}

static int on_body(llhttp_t *p, const char *data, size_t len)
{
    struct theirs *t = p->data;
    if (t->body_len + len > sizeof t->body)
        return -1;
    memcpy(t->body + t->body_len, data, len);
    t->body_len += len;
    return 0;
}

static int on_message(llhttp_t *p)
{
    struct theirs *t = p->data;
    t->is_done = true;
    return HPE_PAUSED;
}

/* Parses exactly these bytes. */
static llhttp_errno_t parse_theirs(struct theirs *t, llhttp_t *p, const char *data, size_t len)
{
    static const llhttp_settings_t settings = {
        .on_url = on_url,
        .on_header_field = on_name,
        .on_header_value = on_value,
        .on_header_value_complete = on_value_complete,
        .on_headers_complete = on_head,
        .on_body = on_body,
        .on_message_complete = on_message,
    };
    memset(t, 0, offsetof(struct theirs, text));
    llhttp_init(p, HTTP_REQUEST, &settings);
    p->data = t;
    return llhttp_execute(p, data, len);
}

/* ---- side by side ---- */

static bool same(const struct theirs *t, struct text text, struct http_str ours)
{
    while (text.len && strchr(" \t", t->text[text.at + text.len - 1]))
        text.len--; /* llhttp leaves blanks behind a value */
    return text.len == ours.len && memcmp(t->text + text.at, ours.data, ours.len) == 0;
}

/*
 * llhttp knows a list of methods; any other token is shown to it as POST. Gives whether the
 * name was kept.
 */
static bool rename_method(struct http_str method, const char *data, size_t len, char *out,
                          size_t *out_len)
{
    static const char *const known[] = {
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (http_str_is(method, known[i])) {
            memcpy(out, data, len);
            *out_len = len;
            return true;
        }
    }
    memcpy(out, "POST", 4);
    memcpy(out + 4, data + method.len, len - method.len);
    *out_len = len - method.len + 4;
    return false;
}

static const char *compare_fields(const struct ours *o, const struct theirs *t)
{
    if (o->head.field_count != t->field_count)
        return "number of fields";
    for (size_t i = 0; i < t->field_count; i++) {
        if (!same(t, t->names[i], o->fields[i].name))
            return "a field's name";
        if (!same(t, t->values[i], o->fields[i].value))
            return "a field's value";
    }
    return NULL;
}

/* The target is what stands between the first two spaces. */
static struct http_str target_of(const struct ours *o, const char *data)
{
    const char *from = data + o->head.method.len + 1;
    const char *to = memchr(from, ' ', o->head_len - o->head.method.len - 1);
    return (struct http_str){ from, (size_t)(to - from) };
}

static const char *compare_all(const struct ours *o, const struct theirs *t, const llhttp_t *p,
                               const char *data, bool knows_method)
{
    const char *method = llhttp_method_name((llhttp_method_t)p->method);
    if (knows_method && !http_str_is(o->head.method, method))
        return "method";
    if (p->http_major != 1 || p->http_minor != !o->head.is_http_1_0)
        return "version";
    if (!same(t, t->url, target_of(o, data)))
        return "target";
    const char *differs = compare_fields(o, t);
    if (differs)
        return differs;
    if (o->body_len != t->body_len || memcmp(o->body, t->body, o->body_len) != 0)
        return "body";
    return NULL;
}

enum differ_outcome differ_compare(const char *data, size_t len, char *why, size_t why_size)
{
    static _Thread_local struct ours o;
    static _Thread_local struct theirs t;
    static _Thread_local char text[TEXT_MAX];
    snprintf(why, why_size, "none");
    if (len > sizeof text - 4)
        return DIFFER_REFUSED;
    parse_ours(&o, data, len);
    if (o.state != HTTP_PARSE_DONE)
        return o.state == HTTP_PARSE_MORE ? DIFFER_MORE : DIFFER_REFUSED;

    size_t text_len;
    bool knows_method = rename_method(o.head.method, data, o.used, text, &text_len);
    llhttp_t p;
    llhttp_errno_t rc = parse_theirs(&t, &p, text, text_len - 1);
    if (t.is_done || (rc != HPE_OK && rc != HPE_PAUSED_UPGRADE)) {
        snprintf(why, why_size, "%s before the last byte: %s", llhttp_errno_name(rc),
                 p.reason ? p.reason : "the end");
        return DIFFER_UNEQUAL;
    }
    rc = parse_theirs(&t, &p, text, text_len);
    if (!t.is_done) {
        snprintf(why, why_size, "%s: %s", llhttp_errno_name(rc), p.reason ? p.reason : "no end");
        return DIFFER_UNEQUAL;
    }
    const char *differs = compare_all(&o, &t, &p, data, knows_method);
    if (differs)
        snprintf(why, why_size, "%s", differs);
    return differs ? DIFFER_UNEQUAL : DIFFER_ACCEPTED;
}
