#include "vocab_file.h"

#include <check.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXTS_MAX = 1 << 24
};

/* Undoes \xNN. */
static void unescape(const char *s, size_t len, struct base_buf *out)
{
    ck_assert_int_eq(buf_reserve(out, len + 1), OK);
    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        if (c == '\\') {
            char hex[3] = { s[i + 2], s[i + 3], '\0' };
            c = (char)strtoul(hex, NULL, 16);
            i += 3;
        }
        out->data[out->len++] = c;
    }
}

/* The next line without its end; false at the end of the file. */
static bool next_line(struct vocab_file *v)
{
    ssize_t len;
    do {
        len = getline(&v->line, &v->line_cap, v->f);
        v->line_number++;
    } while (len > 0 && v->line[0] == '#');
    if (len <= 0)
        return false;
    if (v->line[len - 1] == '\n')
        v->line[len - 1] = '\0';
    return true;
}

/* Keeps a text; `texts` never moves, it has its full size from the start. */
static struct tokenizer_text keep(struct vocab_file *v, const char *s)
{
    size_t at = v->texts.len;
    unescape(s, strlen(s), &v->texts);
    return (struct tokenizer_text){ v->texts.data + at, v->texts.len - at };
}

static void add_token(struct vocab_file *v, struct tokenizer_text text, int32_t type, float score)
{
    int32_t id = v->source.token_count++;
    ck_assert_int_lt(id, VOCAB_FILE_TOKENS_MAX);
    v->tokens[id] = text;
    v->types[id] = type;
    v->scores[id] = score;
}

/* The byte alphabet, written out once more: what stands for itself, then the rest in order. */
static void add_letters(struct vocab_file *v)
{
    int shifted = 256;
    for (int byte = 0; byte < 256; byte++) {
        bool own = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        int letter = own ? byte : shifted++;
        char utf8[3] = { (char)letter, '\0', '\0' };
        if (letter >= 0x80) {
            utf8[0] = (char)(0xc0 | letter >> 6);
            utf8[1] = (char)(0x80 | (letter & 0x3f));
        }
        size_t at = v->texts.len;
        ck_assert_int_eq(buf_append(&v->texts, utf8, strlen(utf8)), OK);
        add_token(v, (struct tokenizer_text){ v->texts.data + at, v->texts.len - at },
                  TOKENIZER_NORMAL, 0);
    }
}

/* A merge, and what it makes if that is not there. */
static void add_merge(struct vocab_file *v, const char *s)
{
    struct tokenizer_text merge = keep(v, s);
    ck_assert_int_lt(v->source.merge_count, VOCAB_FILE_TOKENS_MAX);
    v->merges[v->source.merge_count++] = merge;
    size_t left = (size_t)((const char *)memchr(merge.data, ' ', merge.len) - merge.data);
    size_t at = v->texts.len;
    ck_assert_int_eq(buf_append(&v->texts, merge.data, left), OK);
    ck_assert_int_eq(buf_append(&v->texts, merge.data + left + 1, merge.len - left - 1), OK);
    struct tokenizer_text made = { v->texts.data + at, v->texts.len - at };
    for (int32_t id = 0; id < v->source.token_count; id++) {
        if (v->tokens[id].len == made.len && memcmp(v->tokens[id].data, made.data, made.len) == 0)
            return;
    }
    add_token(v, made, TOKENIZER_NORMAL, 0);
}

static void add_line(struct vocab_file *v)
{
    char *rest = v->line + 2;
    if (strcmp(v->line, "letters") == 0) {
        add_letters(v);
    } else if (v->line[0] == 'm') {
        add_merge(v, rest);
    } else {
        int32_t type = (int32_t)strtol(rest, &rest, 10);
        float score = strtof(rest + 1, &rest);
        add_token(v, keep(v, rest + 1), type, score);
    }
}

static void read_head(struct vocab_file *v)
{
    v->source = (struct tokenizer_source){ .bos_id = -1, .eos_id = -1 };
    ck_assert(next_line(v));
    if (strncmp(v->line, "spm ", 4) == 0) {
        v->source.kind = TOKENIZER_SPM;
        v->source.add_space_prefix = strcmp(v->line + 4, "prefix") == 0;
        return;
    }
    ck_assert_int_eq(strncmp(v->line, "bpe ", 4), 0);
    snprintf(v->pre, sizeof v->pre, "%s", v->line + 4);
    v->source.pre = (struct tokenizer_text){ v->pre, strlen(v->pre) };
}

static void parse_ids(struct vocab_case *c, const char *s)
{
    c->id_count = 0;
    while (*s && *s != '-') {
        char *end;
        long id = strtol(s, &end, 10);
        if (c->id_count == VOCAB_FILE_IDS_MAX || end == s)
            ck_abort_msg("line %ld: bad ids", c->line);
        c->ids[c->id_count++] = (int32_t)id;
        s = *end == ' ' ? end + 1 : end;
    }
}

static bool is_case(const char *line)
{
    return strchr("PTDHS", line[0]) && line[1] == '\t';
}

/* Takes the line that was read last for a case. */
static void parse_case(struct vocab_file *v)
{
    struct vocab_case *c = &v->next;
    c->line = v->line_number;
    c->kind = v->line[0];
    const char *tab = strchr(v->line + 2, '\t');
    ck_assert_msg(tab != NULL, "line %ld", c->line);
    buf_clear(&c->text);
    unescape(v->line + 2, (size_t)(tab - v->line - 2), &c->text);
    parse_ids(c, tab + 1);
}

void vocab_file_open(struct vocab_file *v, const char *path)
{
    memset(v, 0, offsetof(struct vocab_file, tokens));
    v->f = fopen(path, "r");
    ck_assert_msg(v->f != NULL, "%s", path);
    buf_init(&v->texts, MEM_BASE, TEXTS_MAX);
    buf_init(&v->next.text, MEM_BASE, TEXTS_MAX);
    ck_assert_int_eq(buf_reserve(&v->texts, TEXTS_MAX - 1), OK);
    read_head(v);
    bool more;
    while ((more = next_line(v)) && !is_case(v->line))
        add_line(v);
    ck_assert_msg(more, "%s: no cases", path);
    v->source.tokens = v->tokens;
    v->source.types = v->types;
    v->source.scores = v->scores;
    v->source.merges = v->merges;
}

void vocab_file_close(struct vocab_file *v)
{
    fclose(v->f);
    free(v->line);
    buf_fini(&v->texts);
    buf_fini(&v->next.text);
}

bool vocab_file_next(struct vocab_file *v)
{
    if (v->next.line > 0 && !next_line(v))
        return false;
    parse_case(v);
    return true;
}
