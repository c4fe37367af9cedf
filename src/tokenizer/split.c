#include "tokenizer/split.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

/* Far above what the families need: a net under a pattern that goes astray. */
enum {
    MATCH_LIMIT = 10 * 1000 * 1000,
    DEPTH_LIMIT = 100 * 1000,
    HEAP_LIMIT_KIB = 64 * 1024
};

static void *memory_take(size_t size, void *arg)
{
    (void)arg;
    return mem_alloc(MEM_TOKENIZER, size);
}

static void memory_give(void *p, void *arg)
{
    (void)arg;
    mem_free(p);
}

static enum base_err compile(pcre2_compile_context *context, const char *pattern, pcre2_code **code,
                             struct base_err_info *info)
{
    /* PCRE2 10.42 reads a class intersection as something else, without an error. */
    ASSERT(!strstr(pattern, "&&"));
    int error;
    PCRE2_SIZE at;
    *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error,
                          &at, context);
    if (!*code && error == PCRE2_ERROR_HEAP_FAILED)
        return base_err_set(info, E_NOMEM, "pre-tokenizer: out of memory");
    if (!*code) {
        char text[128];
        pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof text);
        return base_err_set(info, E_UNSUPPORTED, "pre-tokenizer pattern, byte %zu: %s", at, text);
    }
    /* Where the system forbids code made at run time, matches are interpreted. */
    (void)pcre2_jit_compile(*code, PCRE2_JIT_COMPLETE);
    return OK;
}

enum base_err tokenizer_splitter_init(struct tokenizer_splitter *s,
                                      const struct tokenizer_family *family,
                                      struct base_err_info *info)
{
    *s = (struct tokenizer_splitter){ 0 };
    s->memory = pcre2_general_context_create(memory_take, memory_give, NULL);
    pcre2_compile_context *context = s->memory ? pcre2_compile_context_create(s->memory) : NULL;
    if (!context)
        return base_err_set(info, E_NOMEM, "pre-tokenizer: out of memory");
    enum base_err rc = OK;
    while (!rc && s->pass_count < TOKENIZER_PASS_COUNT_MAX && family->patterns[s->pass_count]) {
        rc = compile(context, family->patterns[s->pass_count], &s->passes[s->pass_count], info);
        if (!rc)
            s->pass_count++;
    }
    pcre2_compile_context_free(context);
    return rc;
}

void tokenizer_splitter_fini(struct tokenizer_splitter *s)
{
    for (int i = 0; i < s->pass_count; i++)
        pcre2_code_free(s->passes[i]);
    pcre2_general_context_free(s->memory);
    *s = (struct tokenizer_splitter){ 0 };
}

enum base_err tokenizer_split_init(struct tokenizer_split *walk, const struct tokenizer_splitter *s)
{
    *walk = (struct tokenizer_split){ .splitter = s };
    walk->match = pcre2_match_data_create(1, s->memory);
    walk->limits = pcre2_match_context_create(s->memory);
    if (!walk->match || !walk->limits)
        return E_NOMEM;
    pcre2_set_match_limit(walk->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(walk->limits, DEPTH_LIMIT);
    pcre2_set_heap_limit(walk->limits, HEAP_LIMIT_KIB);
    return OK;
}

void tokenizer_split_fini(struct tokenizer_split *walk)
{
    pcre2_match_data_free(walk->match);
    pcre2_match_context_free(walk->limits);
    *walk = (struct tokenizer_split){ 0 };
}

void tokenizer_split_start(struct tokenizer_split *walk, struct tokenizer_text text)
{
    memset(walk->levels, 0, sizeof walk->levels);
    walk->levels[0].text = text;
}

/* Finds the next match of a pass at or behind `at`; at the end of its text if there is none. */
static enum base_err match_next(struct tokenizer_split *walk, int pass)
{
    struct tokenizer_split_level *l = &walk->levels[pass];
    const pcre2_code *code = walk->splitter->passes[pass];
    PCRE2_SPTR text = (PCRE2_SPTR)l->text.data;
    int rc =
        pcre2_match(code, text, l->text.len, l->at, PCRE2_NO_UTF_CHECK, walk->match, walk->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(code, text, l->text.len, l->at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                         walk->match, walk->limits);
    if (rc == PCRE2_ERROR_NOMATCH) {
        l->match_start = l->text.len;
        l->match_end = l->text.len;
        return OK;
    }
    if (rc < 0)
        return rc == PCRE2_ERROR_NOMEMORY ? E_NOMEM : E_TOO_BIG;
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(walk->match);
    l->match_start = found[0];
    l->match_end = found[1];
    ASSERT(l->match_end > l->match_start);
    return OK;
}

/* The next piece of one pass: what lies before its next match, or the match itself. */
static enum base_err level_next(struct tokenizer_split *walk, int pass,
                                struct tokenizer_text *piece)
{
    struct tokenizer_split_level *l = &walk->levels[pass];
    if (l->at >= l->match_end) {
        enum base_err rc = match_next(walk, pass);
        if (rc)
            return rc;
    }
    size_t end = l->at < l->match_start ? l->match_start : l->match_end;
    *piece = (struct tokenizer_text){ l->text.data + l->at, end - l->at };
    l->at = end;
    return OK;
}

enum base_err tokenizer_split_next(struct tokenizer_split *walk, struct tokenizer_text *piece)
{
    int last = walk->splitter->pass_count - 1;
    int pass = last;
    for (;;) {
        while (pass >= 0 && walk->levels[pass].at == walk->levels[pass].text.len)
            pass--;
        if (pass < 0) {
            *piece = (struct tokenizer_text){ NULL, 0 };
            return OK;
        }
        enum base_err rc = level_next(walk, pass, piece);
        if (rc || pass == last)
            return rc;
        pass++;
        walk->levels[pass] = (struct tokenizer_split_level){ .text = *piece };
    }
}
