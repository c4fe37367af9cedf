/*
 * libyaml's events to a tree. The tree is built without recursion: `stack` holds the maps and
 * lists that are open. libyaml allocates on its own, within a small multiple of the text.
 */
#include "config/yaml.h"

#include <string.h>

#include <yaml.h>

#include "base/assert.h"

struct level {
    struct yaml_node *node;
    struct yaml_node *last; /* child */
    size_t count;
    const char *key; /* of a map: the key whose value comes next */
    int key_line;
    int key_column;
};

struct builder {
    const char *name;
    const char *source;
    size_t source_len;
    struct arena *arena;
    struct config_report *report;
    struct yaml_node *root;
    size_t document_count;
    struct level stack[YAML_DEPTH_MAX];
    size_t depth;
};

static enum base_err refuse(struct builder *b, const yaml_mark_t *mark, const char *what)
{
    config_error(b->report, "%s:%zu:%zu: %s", b->name, mark->line + 1, mark->column + 1, what);
    return E_INVALID;
}

/* Whether the line of a mark begins with blanks of which one is a tab. */
static bool is_tab_indented(const struct builder *b, const yaml_mark_t *mark)
{
    const char *p = b->source;
    const char *end = p + b->source_len;
    for (size_t line = 0; line < mark->line; line++) {
        p = memchr(p, '\n', (size_t)(end - p));
        if (!p)
            return false;
        p++;
    }
    while (p < end && *p == ' ')
        p++;
    return p < end && *p == '\t';
}

/* libyaml's own message, and a plainer one for the tab it stumbles over. */
static enum base_err refuse_syntax(struct builder *b, const yaml_parser_t *p)
{
    if (p->error == YAML_MEMORY_ERROR)
        return E_NOMEM;
    const char *problem = p->problem ? p->problem : "not readable";
    if (p->error == YAML_READER_ERROR) {
        config_error(b->report, "%s: byte %zu: %s", b->name, p->problem_offset, problem);
        return E_INVALID;
    }
    const yaml_mark_t *mark = &p->problem_mark;
    if (is_tab_indented(b, mark))
        return refuse(b, mark, "a tab where YAML wants spaces");
    if (p->context)
        config_error(b->report, "%s:%zu:%zu: %s %s", b->name, mark->line + 1, mark->column + 1,
                     problem, p->context);
    else
        return refuse(b, mark, problem);
    return E_INVALID;
}

static bool has_key(const struct level *map, const char *key)
{
    for (const struct yaml_node *n = map->node->first; n; n = n->next) {
        if (strcmp(n->key, key) == 0)
            return true;
    }
    return false;
}

/* Hangs a node into the innermost open map or list, or makes it the root. */
static enum base_err attach(struct builder *b, struct yaml_node *node, const yaml_mark_t *mark)
{
    if (b->depth == 0) {
        ASSERT(!b->root); /* libyaml gives one root for each document */
        b->root = node;
        return OK;
    }
    struct level *top = &b->stack[b->depth - 1];
    if (top->node->kind == YAML_MAP) {
        ASSERT(top->key);
        node->key = top->key;
        node->key_line = top->key_line;
        node->key_column = top->key_column;
        top->key = NULL;
    }
    if (++top->count > YAML_KEYS_MAX)
        return refuse(b, mark, "more than 1000 entries");
    if (top->last)
        top->last->next = node;
    else
        top->node->first = node;
    top->last = node;
    return OK;
}

static bool wants_key(const struct builder *b)
{
    const struct level *top = b->depth > 0 ? &b->stack[b->depth - 1] : NULL;
    return top && top->node->kind == YAML_MAP && !top->key;
}

static enum base_err take_key(struct builder *b, const char *text, const yaml_event_t *e)
{
    struct level *top = &b->stack[b->depth - 1];
    bool is_plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (is_plain && strcmp(text, "<<") == 0)
        return refuse(b, &e->start_mark, "merge keys ('<<') are not supported");
    if (has_key(top, text)) {
        config_error(b->report, "%s:%zu:%zu: the key '%.60s' is there twice", b->name,
                     e->start_mark.line + 1, e->start_mark.column + 1, text);
        return E_INVALID;
    }
    top->key = text;
    top->key_line = (int)e->start_mark.line + 1;
    top->key_column = (int)e->start_mark.column + 1;
    return OK;
}

static struct yaml_node *new_node(struct builder *b, enum yaml_kind kind, const yaml_mark_t *mark)
{
    struct yaml_node *node = arena_alloc(b->arena, sizeof *node);
    if (!node)
        return NULL;
    node->kind = kind;
    node->line = (int)mark->line + 1;
    node->column = (int)mark->column + 1;
    return node;
}

static enum base_err take_scalar(struct builder *b, const yaml_event_t *e)
{
    if (e->data.scalar.anchor)
        return refuse(b, &e->start_mark, "anchors ('&') are not supported");
    if (e->data.scalar.tag)
        return refuse(b, &e->start_mark, "tags ('!') are not supported");
    const char *value = (const char *)e->data.scalar.value;
    if (memchr(value, '\0', e->data.scalar.length))
        return refuse(b, &e->start_mark, "a text with a zero character");
    const char *text = arena_strndup(b->arena, value, e->data.scalar.length);
    if (!text)
        return E_NOMEM;
    if (wants_key(b))
        return take_key(b, text, e);
    struct yaml_node *node = new_node(b, YAML_SCALAR, &e->start_mark);
    if (!node)
        return E_NOMEM;
    node->text = text;
    node->is_plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return attach(b, node, &e->start_mark);
}

static enum base_err open_level(struct builder *b, enum yaml_kind kind, const yaml_mark_t *mark,
                                bool has_anchor, bool has_tag)
{
    if (has_anchor)
        return refuse(b, mark, "anchors ('&') are not supported");
    if (has_tag)
        return refuse(b, mark, "tags ('!') are not supported");
    if (wants_key(b))
        return refuse(b, mark, "a key must be a text");
    if (b->depth == YAML_DEPTH_MAX)
        return refuse(b, mark, "nested more than 32 deep");
    struct yaml_node *node = new_node(b, kind, mark);
    if (!node)
        return E_NOMEM;
    enum base_err rc = attach(b, node, mark);
    if (!rc)
        b->stack[b->depth++] = (struct level){ .node = node };
    return rc;
}

static enum base_err open_document(struct builder *b, const yaml_event_t *e)
{
    if (e->data.document_start.version_directive ||
        e->data.document_start.tag_directives.start != e->data.document_start.tag_directives.end)
        return refuse(b, &e->start_mark, "directives ('%') are not supported");
    if (++b->document_count > 1)
        return refuse(b, &e->start_mark, "a second document; one file, one document");
    return OK;
}

static enum base_err take(struct builder *b, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return OK;
    case YAML_DOCUMENT_START_EVENT:
        return open_document(b, e);
    case YAML_ALIAS_EVENT:
        return refuse(b, &e->start_mark, "aliases ('*') are not supported");
    case YAML_SCALAR_EVENT:
        return take_scalar(b, e);
    case YAML_SEQUENCE_START_EVENT:
        return open_level(b, YAML_LIST, &e->start_mark, e->data.sequence_start.anchor,
                          e->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return open_level(b, YAML_MAP, &e->start_mark, e->data.mapping_start.anchor,
                          e->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        ASSERT(b->depth > 0);
        b->depth--;
        return OK;
    }
    return OK;
}

static enum base_err take_all(struct builder *b, yaml_parser_t *parser)
{
    for (bool done = false; !done;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return refuse_syntax(b, parser);
        done = event.type == YAML_STREAM_END_EVENT;
        enum base_err rc = take(b, &event);
        yaml_event_delete(&event);
        if (rc)
            return rc;
    }
    return OK;
}

enum base_err config_yaml_parse(const char *name, const char *text, size_t len, struct arena *arena,
                                struct yaml_node **out, struct config_report *report)
{
    *out = NULL;
    if (len > YAML_BYTES_MAX) {
        config_error(report, "%s: larger than 1 MiB", name);
        return E_INVALID;
    }
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return E_NOMEM;
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    struct builder b = {
        .name = name, .source = text, .source_len = len, .arena = arena, .report = report
    };
    enum base_err rc = take_all(&b, &parser);
    yaml_parser_delete(&parser);
    if (!rc)
        *out = b.root;
    return rc;
}
