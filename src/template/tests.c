/*
 * Tests: what stands behind `is`.
 */
#include "template/change.h"
#include "template/run.h"

#define TEST(name)                                                                                 \
    static bool name(struct run *r, struct jinja_value self, const struct jinja_value *args,       \
                     const struct call_args *raw, struct jinja_value *out)

/* A test that only looks at the value. */
#define PLAIN_TEST(name, condition)                                                                \
    TEST(name)                                                                                     \
    {                                                                                              \
        (void)r;                                                                                   \
        (void)self;                                                                                \
        (void)args;                                                                                \
        (void)raw;                                                                                 \
        *out = jinja_bool(condition);                                                              \
        return true;                                                                               \
    }

/* Python's own types say yes to more than one would think: an undefined value can be walked,
 * measured and called. */
static bool is_sequence(struct jinja_value v)
{
    return v.kind == JINJA_UNDEFINED || v.kind == JINJA_STRING || v.kind == JINJA_MAP ||
           value_is_sequence(v);
}

static bool is_callable(struct jinja_value v)
{
    return v.kind == JINJA_UNDEFINED || v.kind == JINJA_MACRO || v.kind == JINJA_FUNCTION ||
           v.kind == JINJA_METHOD || v.kind == JINJA_LOOP ||
           (v.kind == JINJA_COUNTER && !v.as.counter->items);
}

PLAIN_TEST(test_defined, self.kind != JINJA_UNDEFINED)
PLAIN_TEST(test_undefined, self.kind == JINJA_UNDEFINED)
PLAIN_TEST(test_none, self.kind == JINJA_NONE)
PLAIN_TEST(test_boolean, self.kind == JINJA_BOOL)
PLAIN_TEST(test_true, self.kind == JINJA_BOOL && self.as.boolean)
PLAIN_TEST(test_false, self.kind == JINJA_BOOL && !self.as.boolean)
PLAIN_TEST(test_integer, self.kind == JINJA_INT)
PLAIN_TEST(test_float, self.kind == JINJA_FLOAT)
PLAIN_TEST(test_number, value_is_number(self))
PLAIN_TEST(test_string, self.kind == JINJA_STRING)
PLAIN_TEST(test_mapping, self.kind == JINJA_MAP)
PLAIN_TEST(test_iterable, value_is_iterable(self) || self.kind == JINJA_LOOP)
PLAIN_TEST(test_sequence, is_sequence(self))
PLAIN_TEST(test_callable, is_callable(self))
PLAIN_TEST(test_escaped, false)

/* ---- Numbers ---- */

static bool has_rest(struct run *r, struct jinja_value self, struct jinja_value by, int64_t rest,
                     struct jinja_value *out)
{
    struct jinja_value mod;
    bool equal;
    if (!op_binary(r, OP_MOD, self, by, &mod) || !value_equal(r, mod, jinja_int(rest), &equal))
        return false;
    *out = jinja_bool(equal);
    return true;
}

TEST(test_odd)
{
    (void)args;
    (void)raw;
    return has_rest(r, self, jinja_int(2), 1, out);
}

TEST(test_even)
{
    (void)args;
    (void)raw;
    return has_rest(r, self, jinja_int(2), 0, out);
}

TEST(test_divisibleby)
{
    (void)raw;
    return has_rest(r, self, args[0], 0, out);
}

/* ---- Strings ---- */

/* At least one character with case, and none of the other case. */
static bool has_case(struct run *r, struct jinja_value v, bool upper, struct jinja_value *out)
{
    const struct jinja_string *s;
    bool any = false;
    bool other = false;
    if (!value_str(r, v, &s) || !run_charge_bytes(r, s->len))
        return false;
    for (size_t at = 0; at < s->len;) {
        size_t n;
        uint32_t c = text_decode(s->data + at, s->len - at, &n);
        any |= upper ? text_is_upper(c) : text_is_lower(c);
        other |= upper ? text_is_lower(c) : text_is_upper(c);
        at += n;
    }
    *out = jinja_bool(any && !other);
    return true;
}

TEST(test_upper)
{
    (void)args;
    (void)raw;
    return has_case(r, self, true, out);
}

TEST(test_lower)
{
    (void)args;
    (void)raw;
    return has_case(r, self, false, out);
}

TEST(test_filter)
{
    (void)r;
    (void)args;
    (void)raw;
    const struct jinja_string *s = self.kind == JINJA_STRING ? self.as.string : NULL;
    *out = jinja_bool(s && filter_find(s->data, s->len));
    return true;
}

TEST(test_test)
{
    (void)r;
    (void)args;
    (void)raw;
    const struct jinja_string *s = self.kind == JINJA_STRING ? self.as.string : NULL;
    *out = jinja_bool(s && test_find(s->data, s->len));
    return true;
}

/* ---- Comparisons ---- */

static bool compare(struct run *r, enum node_op op, struct jinja_value a, struct jinja_value b,
                    struct jinja_value *out)
{
    bool holds;
    if (!op_compare(r, op, a, b, &holds))
        return false;
    *out = jinja_bool(holds);
    return true;
}

#define COMPARING_TEST(name, op)                                                                   \
    TEST(name)                                                                                     \
    {                                                                                              \
        (void)raw;                                                                                 \
        return compare(r, op, self, args[0], out);                                                 \
    }

COMPARING_TEST(test_eq, OP_EQ)
COMPARING_TEST(test_ne, OP_NE)
COMPARING_TEST(test_lt, OP_LT)
COMPARING_TEST(test_le, OP_LE)
COMPARING_TEST(test_gt, OP_GT)
COMPARING_TEST(test_ge, OP_GE)
COMPARING_TEST(test_in, OP_IN)

TEST(test_sameas)
{
    bool equal = false;
    struct jinja_value other = args[0];
    (void)raw;
    bool object = self.kind == JINJA_LIST || self.kind == JINJA_MAP;
    if (self.kind == other.kind && object)
        equal = self.as.map == other.as.map;
    else if (self.kind == other.kind && !value_equal(r, self, other, &equal))
        return false;
    *out = jinja_bool(equal);
    return true;
}

static const struct jinja_callable tests[] = {
    { "!=", test_ne, "other!" },
    { "<", test_lt, "other!" },
    { "<=", test_le, "other!" },
    { "==", test_eq, "other!" },
    { ">", test_gt, "other!" },
    { ">=", test_ge, "other!" },
    { "boolean", test_boolean, "" },
    { "callable", test_callable, "" },
    { "defined", test_defined, "" },
    { "divisibleby", test_divisibleby, "num!" },
    { "eq", test_eq, "other!" },
    { "equalto", test_eq, "other!" },
    { "escaped", test_escaped, "" },
    { "even", test_even, "" },
    { "false", test_false, "" },
    { "filter", test_filter, "" },
    { "float", test_float, "" },
    { "ge", test_ge, "other!" },
    { "greaterthan", test_gt, "other!" },
    { "gt", test_gt, "other!" },
    { "in", test_in, "seq!" },
    { "integer", test_integer, "" },
    { "iterable", test_iterable, "" },
    { "le", test_le, "other!" },
    { "lessthan", test_lt, "other!" },
    { "lower", test_lower, "" },
    { "lt", test_lt, "other!" },
    { "mapping", test_mapping, "" },
    { "ne", test_ne, "other!" },
    { "none", test_none, "" },
    { "number", test_number, "" },
    { "odd", test_odd, "" },
    { "sameas", test_sameas, "other!" },
    { "sequence", test_sequence, "" },
    { "string", test_string, "" },
    { "test", test_test, "" },
    { "true", test_true, "" },
    { "undefined", test_undefined, "" },
    { "upper", test_upper, "" },
};

const struct jinja_callable *test_find(const char *name, size_t len)
{
    return callable_find(tests, sizeof tests / sizeof tests[0], name, len);
}
