/*
 * The methods of str.
 */
#include <string.h>

#include "template/change.h"
#include "template/run.h"

#define METHOD(name)                                                                               \
    static bool name(struct run *r, struct jinja_value self, const struct jinja_value *args,       \
                     const struct call_args *raw, struct jinja_value *out)

static bool is_given(struct jinja_value v)
{
    return v.kind != JINJA_MISSING && v.kind != JINJA_NONE;
}

/* ---- Case and white space ---- */

#define CASE_METHOD(name, how)                                                                     \
    METHOD(name)                                                                                   \
    {                                                                                              \
        (void)args;                                                                                \
        (void)raw;                                                                                 \
        return text_change_case(r, self.as.string, how, out);                                      \
    }

CASE_METHOD(str_upper, CASE_UPPER)
CASE_METHOD(str_lower, CASE_LOWER)
CASE_METHOD(str_capitalize, CASE_CAPITAL)
CASE_METHOD(str_title, CASE_TITLE)
CASE_METHOD(str_swapcase, CASE_SWAPPED)

static bool strip(struct run *r, struct jinja_value self, const struct jinja_value *args, bool left,
                  bool right, struct jinja_value *out)
{
    const struct jinja_string *chars = NULL;
    return (!is_given(args[0]) || arg_string(r, args[0], &chars)) &&
           text_strip(r, self.as.string, chars, left, right, out);
}

METHOD(str_strip)
{
    (void)raw;
    return strip(r, self, args, true, true, out);
}

METHOD(str_lstrip)
{
    (void)raw;
    return strip(r, self, args, true, false, out);
}

METHOD(str_rstrip)
{
    (void)raw;
    return strip(r, self, args, false, true, out);
}

/* ---- split ---- */

static bool push_part(struct run *r, struct jinja_list *list, const struct jinja_string *s,
                      size_t from, size_t end)
{
    struct jinja_value part;
    return text_part(r, s, from, end - from, &part) && value_list_push(r, list, part);
}

static size_t skip_chars(const struct jinja_string *s, size_t at, bool space)
{
    while (at < s->len) {
        size_t n;
        if (text_is_space(text_decode(s->data + at, s->len - at, &n)) != space)
            break;
        at += n;
    }
    return at;
}

static bool split_space(struct run *r, const struct jinja_string *s, int64_t max,
                        struct jinja_list *list)
{
    size_t at = skip_chars(s, 0, true);
    for (int64_t i = 0; at < s->len; i++) {
        if (max >= 0 && i == max)
            return push_part(r, list, s, at, s->len);
        size_t end = skip_chars(s, at, false);
        if (!push_part(r, list, s, at, end))
            return false;
        at = skip_chars(s, end, true);
    }
    return true;
}

static bool split_at(struct run *r, const struct jinja_string *s,
                     const struct jinja_string *separator, int64_t max, struct jinja_list *list)
{
    size_t at = 0;
    for (int64_t i = 0; max < 0 || i < max; i++) {
        size_t found = text_find(s, separator, at);
        if (found == SIZE_MAX)
            break;
        if (!push_part(r, list, s, at, found))
            return false;
        at = found + separator->len;
    }
    return push_part(r, list, s, at, s->len);
}

static void reverse_items(struct jinja_list *list)
{
    for (size_t i = 0; i < list->count / 2; i++) {
        struct jinja_value v = list->items[i];
        list->items[i] = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = v;
    }
}

/* From the right; the parts come out in reverse. */
static bool rsplit_at(struct run *r, const struct jinja_string *s,
                      const struct jinja_string *separator, int64_t max, struct jinja_list *list)
{
    size_t end = s->len;
    for (int64_t i = 0; i < max; i++) {
        size_t found;
        if (!text_find_last(r, s, separator, end, &found))
            return false;
        if (found == SIZE_MAX)
            break;
        if (!push_part(r, list, s, found + separator->len, end))
            return false;
        end = found;
    }
    if (!push_part(r, list, s, 0, end))
        return false;
    reverse_items(list);
    return true;
}

static bool separator_arg(struct run *r, struct jinja_value v, const struct jinja_string **out)
{
    if (!arg_string(r, v, out))
        return false;
    return (*out)->len > 0 || run_fail(r, E_INVALID, "empty separator");
}

METHOD(str_split)
{
    const struct jinja_string *separator = NULL;
    struct jinja_list *list;
    int64_t max;
    (void)raw;
    if ((is_given(args[0]) && !separator_arg(r, args[0], &separator)) ||
        !arg_integer(r, args[1], -1, &max) || !value_new_list(r, LIST_LIST, 0, &list) ||
        !run_charge_bytes(r, self.as.string->len))
        return false;
    *out = value_list(list);
    return separator ? split_at(r, self.as.string, separator, max, list)
                     : split_space(r, self.as.string, max, list);
}

METHOD(str_rsplit)
{
    const struct jinja_string *separator = NULL;
    struct jinja_list *list;
    int64_t max;
    (void)raw;
    if (!arg_integer(r, args[1], -1, &max))
        return false;
    if (max < 0)
        return str_split(r, self, args, raw, out);
    if (!is_given(args[0]))
        return run_fail(r, E_UNSUPPORTED, "rsplit() by white space with a count");
    if (!separator_arg(r, args[0], &separator) || !value_new_list(r, LIST_LIST, 0, &list))
        return false;
    *out = value_list(list);
    return rsplit_at(r, self.as.string, separator, max, list);
}

METHOD(str_splitlines)
{
    struct jinja_list *list;
    (void)raw;
    bool keep = args[0].kind != JINJA_MISSING && value_truth(args[0]);
    if (!text_split_lines(r, self.as.string, keep, &list))
        return false;
    *out = value_list(list);
    return true;
}

/* head, separator, tail */
static bool partition(struct run *r, struct jinja_value self, const struct jinja_value *args,
                      bool last, struct jinja_value *out)
{
    const struct jinja_string *s = self.as.string;
    const struct jinja_string *separator;
    struct jinja_list *list;
    size_t found;
    if (!separator_arg(r, args[0], &separator) || !value_new_list(r, LIST_TUPLE, 3, &list) ||
        !run_charge_bytes(r, s->len))
        return false;
    found = text_find(s, separator, 0);
    if (last && !text_find_last(r, s, separator, s->len, &found))
        return false;
    bool missing = found == SIZE_MAX;
    size_t from = missing ? (last ? 0 : s->len) : found;
    size_t end = missing ? from : found + separator->len;
    *out = value_list(list);
    return push_part(r, list, s, 0, from) && push_part(r, list, s, from, end) &&
           push_part(r, list, s, end, s->len);
}

METHOD(str_partition)
{
    (void)raw;
    return partition(r, self, args, false, out);
}

METHOD(str_rpartition)
{
    (void)raw;
    return partition(r, self, args, true, out);
}

/* ---- Looking for something ---- */

/* The part of the string that start and end arguments leave, and where it begins. */
static bool window(struct run *r, struct jinja_value self, const struct jinja_value *args,
                   const struct jinja_string **out, int64_t *start)
{
    struct jinja_value bounds[3] = { args[1], args[2], jinja_none() };
    struct jinja_value part;
    *out = self.as.string;
    *start = 0;
    if (!is_given(args[1]) && !is_given(args[2]))
        return true;
    for (int i = 0; i < 2; i++) {
        if (bounds[i].kind == JINJA_MISSING)
            bounds[i] = jinja_none();
    }
    int64_t count = text_char_count(self.as.string->data, self.as.string->len);
    if (!lookup_slice(r, self, bounds, &part))
        return false;
    if (bounds[0].kind != JINJA_NONE) {
        int64_t i = value_integer(bounds[0]);
        *start = i >= 0 ? i : i + count > 0 ? i + count : 0;
    }
    *out = *start > count ? NULL : part.as.string; /* not even "" is found there */
    return true;
}

/* The character where the needle is, -1 where it is not. */
static bool locate(struct run *r, struct jinja_value self, const struct jinja_value *args,
                   bool last, int64_t *out)
{
    const struct jinja_string *s;
    const struct jinja_string *needle;
    int64_t start;
    *out = -1;
    if (!arg_string(r, args[0], &needle) || !window(r, self, args, &s, &start) ||
        !run_charge_bytes(r, s ? s->len : 0))
        return false;
    size_t at = s ? text_find(s, needle, 0) : SIZE_MAX;
    if (s && last && !text_find_last(r, s, needle, s->len, &at))
        return false;
    if (at != SIZE_MAX)
        *out = start + text_char_count(s->data, at);
    return true;
}

METHOD(str_find)
{
    int64_t at;
    (void)raw;
    if (!locate(r, self, args, false, &at))
        return false;
    *out = jinja_int(at);
    return true;
}

METHOD(str_rfind)
{
    int64_t at;
    (void)raw;
    if (!locate(r, self, args, true, &at))
        return false;
    *out = jinja_int(at);
    return true;
}

static bool must_be_there(struct run *r, struct jinja_value at)
{
    return at.as.integer >= 0 || run_fail(r, E_INVALID, "substring not found");
}

METHOD(str_index)
{
    return str_find(r, self, args, raw, out) && must_be_there(r, *out);
}

METHOD(str_rindex)
{
    return str_rfind(r, self, args, raw, out) && must_be_there(r, *out);
}

METHOD(str_count)
{
    const struct jinja_string *s;
    const struct jinja_string *needle;
    int64_t start;
    int64_t count = 0;
    (void)raw;
    if (!arg_string(r, args[0], &needle) || !window(r, self, args, &s, &start) ||
        !run_charge_bytes(r, s ? s->len : 0))
        return false;
    if (s && needle->len == 0) {
        *out = jinja_int(text_char_count(s->data, s->len) + 1);
        return true;
    }
    for (size_t at = 0; s && (at = text_find(s, needle, at)) != SIZE_MAX; at += needle->len) {
        if (!run_charge(r, 1))
            return false;
        count++;
    }
    *out = jinja_int(count);
    return true;
}

static bool has_end(const struct jinja_string *s, const struct jinja_string *part, bool at_start)
{
    if (part->len > s->len)
        return false;
    return memcmp(at_start ? s->data : s->data + s->len - part->len, part->data, part->len) == 0;
}

/* The argument is a string or a tuple of strings. */
static bool affix(struct run *r, struct jinja_value self, const struct jinja_value *args,
                  bool at_start, struct jinja_value *out)
{
    struct value_items options = { &args[0], 1 };
    const struct jinja_string *s;
    int64_t start;
    bool found = false;
    if ((value_has_flavour(args[0], LIST_TUPLE) && !value_walk(r, args[0], &options)) ||
        !window(r, self, args, &s, &start))
        return false;
    for (size_t i = 0; i < options.count && !found; i++) {
        const struct jinja_string *part;
        if (!arg_string(r, options.items[i], &part) || !run_charge_bytes(r, part->len))
            return false;
        found = s && has_end(s, part, at_start);
    }
    *out = jinja_bool(found);
    return true;
}

METHOD(str_startswith)
{
    (void)raw;
    return affix(r, self, args, true, out);
}

METHOD(str_endswith)
{
    (void)raw;
    return affix(r, self, args, false, out);
}

static bool remove_affix(struct run *r, struct jinja_value self, const struct jinja_value *args,
                         bool at_start, struct jinja_value *out)
{
    const struct jinja_string *s = self.as.string;
    const struct jinja_string *part;
    if (!arg_string(r, args[0], &part))
        return false;
    size_t n = has_end(s, part, at_start) ? part->len : 0;
    return text_part(r, s, at_start ? n : 0, s->len - n, out);
}

METHOD(str_removeprefix)
{
    (void)raw;
    return remove_affix(r, self, args, true, out);
}

METHOD(str_removesuffix)
{
    (void)raw;
    return remove_affix(r, self, args, false, out);
}

/* ---- Kinds of characters ---- */

/* A letter that has case. */
static bool is_letter(uint32_t c)
{
    return text_is_upper(c) || text_is_lower(c);
}

static bool is_digit(uint32_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(uint32_t c)
{
    return is_letter(c) || is_digit(c);
}

/* Beyond ASCII only white space and letters with case are known: anything else is an error. */
static bool all_chars(struct run *r, struct jinja_value self, bool (*is)(uint32_t),
                      struct jinja_value *out)
{
    const struct jinja_string *s = self.as.string;
    bool all = s->len > 0;
    if (!run_charge_bytes(r, s->len))
        return false;
    for (size_t at = 0; at < s->len && all;) {
        size_t n;
        uint32_t c = text_decode(s->data + at, s->len - at, &n);
        if (c >= 0x80 && !text_is_space(c) && !is_letter(c) && is != text_is_space)
            return run_fail(r, E_UNSUPPORTED, "this kind of character is not known");
        all = is(c);
        at += n;
    }
    *out = jinja_bool(all);
    return true;
}

#define KIND_METHOD(name, is)                                                                      \
    METHOD(name)                                                                                   \
    {                                                                                              \
        (void)args;                                                                                \
        (void)raw;                                                                                 \
        return all_chars(r, self, is, out);                                                        \
    }

KIND_METHOD(str_isdigit, is_digit)
KIND_METHOD(str_isalpha, is_letter)
KIND_METHOD(str_isalnum, is_alnum)
KIND_METHOD(str_isspace, text_is_space)

static bool call_test(struct run *r, const char *name, struct jinja_value self,
                      struct jinja_value *out)
{
    const struct call_args none = { 0 };
    return call_builtin(r, test_find(name, strlen(name)), self, &none, out);
}

METHOD(str_isupper)
{
    (void)args;
    (void)raw;
    return call_test(r, "upper", self, out);
}

METHOD(str_islower)
{
    (void)args;
    (void)raw;
    return call_test(r, "lower", self, out);
}

/* ---- The rest ---- */

METHOD(str_replace)
{
    const struct jinja_string *from;
    const struct jinja_string *to;
    int64_t count;
    (void)raw;
    return arg_string(r, args[0], &from) && arg_string(r, args[1], &to) &&
           arg_integer(r, args[2], -1, &count) &&
           text_replace(r, self.as.string, from, to, count, out);
}

METHOD(str_join)
{
    struct value_items walk;
    (void)raw;
    return value_walk(r, args[0], &walk) && text_join(r, self.as.string, &walk, true, out);
}

METHOD(str_format)
{
    (void)args;
    return format_braces(r, self.as.string, raw, out);
}

static bool justify(struct run *r, struct jinja_value self, const struct jinja_value *args,
                    bool left, struct jinja_value *out)
{
    const struct jinja_string space = { .data = " ", .len = 1, .trusted = true };
    const struct jinja_string *s = self.as.string;
    const struct jinja_string *fill = &space;
    int64_t width;
    struct text_builder b = { .r = r };
    if (!arg_integer(r, args[0], 0, &width) ||
        (args[1].kind != JINJA_MISSING && !arg_string(r, args[1], &fill)))
        return false;
    if (fill->len == 0 || text_char_len(fill->data, fill->len) != fill->len)
        return run_fail(r, E_INVALID, "the fill character must be one character");
    int64_t missing = width - text_char_count(s->data, s->len);
    size_t times = missing > 0 ? (size_t)missing : 0;
    return (left || text_put_repeated(&b, fill, times)) && text_put_string(&b, s) &&
           (!left || text_put_repeated(&b, fill, times)) && text_finish(&b, out);
}

METHOD(str_ljust)
{
    (void)raw;
    return justify(r, self, args, true, out);
}

METHOD(str_rjust)
{
    (void)raw;
    return justify(r, self, args, false, out);
}

static const struct jinja_callable methods[] = {
    { "capitalize", str_capitalize, "" },
    { "count", str_count, "sub! start end" },
    { "endswith", str_endswith, "suffix! start end" },
    { "find", str_find, "sub! start end" },
    { "format", str_format, "*" },
    { "index", str_index, "sub! start end" },
    { "isalnum", str_isalnum, "" },
    { "isalpha", str_isalpha, "" },
    { "isdigit", str_isdigit, "" },
    { "islower", str_islower, "" },
    { "isspace", str_isspace, "" },
    { "isupper", str_isupper, "" },
    { "join", str_join, "iterable!" },
    { "ljust", str_ljust, "width! fillchar" },
    { "lower", str_lower, "" },
    { "lstrip", str_lstrip, "chars" },
    { "partition", str_partition, "sep!" },
    { "removeprefix", str_removeprefix, "prefix!" },
    { "removesuffix", str_removesuffix, "suffix!" },
    { "replace", str_replace, "old! new! count" },
    { "rfind", str_rfind, "sub! start end" },
    { "rindex", str_rindex, "sub! start end" },
    { "rjust", str_rjust, "width! fillchar" },
    { "rpartition", str_rpartition, "sep!" },
    { "rsplit", str_rsplit, "sep maxsplit" },
    { "rstrip", str_rstrip, "chars" },
    { "split", str_split, "sep maxsplit" },
    { "splitlines", str_splitlines, "keepends" },
    { "startswith", str_startswith, "prefix! start end" },
    { "strip", str_strip, "chars" },
    { "swapcase", str_swapcase, "" },
    { "title", str_title, "" },
    { "upper", str_upper, "" },
};

const struct jinja_callable *method_text_find(const char *name, size_t len)
{
    return callable_find(methods, sizeof methods / sizeof methods[0], name, len);
}
