/*
 * Operators with Python's meaning. Integers have 64 bits: more is an error.
 */
#include <math.h>
#include <string.h>

#include "template/run.h"
#include "template/text.h"

static const char *const op_text[] = {
    [OP_NONE] = "", [OP_ADD] = "+", [OP_SUB] = "-",       [OP_MUL] = "*",
    [OP_DIV] = "/", [OP_MOD] = "%", [OP_FLOORDIV] = "//", [OP_POW] = "**",
    [OP_EQ] = "==", [OP_NE] = "!=", [OP_LT] = "<",        [OP_LE] = "<=",
    [OP_GT] = ">",  [OP_GE] = ">=", [OP_IN] = "in",       [OP_NOT_IN] = "not in",
};

static bool fail_operands(struct run *r, enum node_op op, struct jinja_value a,
                          struct jinja_value b)
{
    if (a.kind == JINJA_UNDEFINED)
        return run_fail_undefined(r, a);
    if (b.kind == JINJA_UNDEFINED)
        return run_fail_undefined(r, b);
    return run_fail(r, E_INVALID, "'%s' %s '%s' is not possible", value_type_name(a), op_text[op],
                    value_type_name(b));
}

/* ---- Integers ---- */

static bool fail_overflow(struct run *r)
{
    return run_fail(r, E_UNSUPPORTED, "an integer has more than 63 bits");
}

static bool floor_div(struct run *r, int64_t a, int64_t b, int64_t *quotient, int64_t *rest)
{
    if (b == 0)
        return run_fail(r, E_INVALID, "division by zero");
    if (a == INT64_MIN && b == -1) {
        *rest = 0;
        return fail_overflow(r);
    }
    *quotient = a / b;
    *rest = a % b;
    if (*rest != 0 && (*rest < 0) != (b < 0)) {
        *quotient -= 1;
        *rest += b;
    }
    return true;
}

static bool integer_power(struct run *r, int64_t base, int64_t exponent, int64_t *out)
{
    int64_t result = 1;
    for (uint64_t left = (uint64_t)exponent; left > 0; left >>= 1) {
        if ((left & 1) && __builtin_mul_overflow(result, base, &result))
            return fail_overflow(r);
        if (left > 1 && __builtin_mul_overflow(base, base, &base))
            return fail_overflow(r);
    }
    *out = result;
    return true;
}

static bool integer_op(struct run *r, enum node_op op, int64_t a, int64_t b, int64_t *out)
{
    int64_t other;
    bool overflow = false;
    if (op == OP_ADD)
        overflow = __builtin_add_overflow(a, b, out);
    else if (op == OP_SUB)
        overflow = __builtin_sub_overflow(a, b, out);
    else if (op == OP_MUL)
        overflow = __builtin_mul_overflow(a, b, out);
    else if (op == OP_FLOORDIV)
        return floor_div(r, a, b, out, &other);
    else if (op == OP_MOD)
        return floor_div(r, a, b, &other, out);
    else
        return integer_power(r, a, b, out);
    return !overflow || fail_overflow(r);
}

/* ---- Floats ---- */

/* As CPython's float_divmod. */
static void float_floor_div(double a, double b, double *quotient, double *rest)
{
    double mod = fmod(a, b);
    double div = (a - mod) / b;
    if (mod != 0) {
        if ((b < 0) != (mod < 0)) {
            mod += b;
            div -= 1;
        }
    } else {
        mod = copysign(0, b);
    }
    if (div != 0) {
        double whole = floor(div);
        *quotient = div - whole > 0.5 ? whole + 1 : whole;
    } else {
        *quotient = copysign(0, a / b);
    }
    *rest = mod;
}

static bool float_power(struct run *r, double a, double b, double *out)
{
    if (a == 0 && b < 0)
        return run_fail(r, E_INVALID, "0 to a negative power");
    *out = pow(a, b);
    if (isnan(*out) && !isnan(a) && !isnan(b))
        return run_fail(r, E_UNSUPPORTED, "a complex number");
    if (isinf(*out) && isfinite(a) && isfinite(b))
        return run_fail(r, E_INVALID, "a float is too large");
    return true;
}

static bool float_op(struct run *r, enum node_op op, double a, double b, double *out)
{
    double other;
    bool divides = op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD;
    if (divides && b == 0)
        return run_fail(r, E_INVALID, "division by zero");
    if (op == OP_ADD)
        *out = a + b;
    else if (op == OP_SUB)
        *out = a - b;
    else if (op == OP_MUL)
        *out = a * b;
    else if (op == OP_DIV)
        *out = a / b;
    else if (op == OP_FLOORDIV)
        float_floor_div(a, b, out, &other);
    else if (op == OP_MOD)
        float_floor_div(a, b, &other, out);
    else
        return float_power(r, a, b, out);
    return true;
}

static bool number_op(struct run *r, enum node_op op, struct jinja_value a, struct jinja_value b,
                      struct jinja_value *out)
{
    bool whole = value_is_integer(a) && value_is_integer(b) && op != OP_DIV &&
                 !(op == OP_POW && value_integer(b) < 0);
    if (whole) {
        int64_t i = 0;
        bool ok = integer_op(r, op, value_integer(a), value_integer(b), &i);
        *out = jinja_int(i);
        return ok;
    }
    double d = 0;
    bool ok = float_op(r, op, value_real(a), value_real(b), &d);
    *out = jinja_float(d);
    return ok;
}

/* ---- Sequences ---- */

static bool list_add(struct run *r, const struct jinja_list *a, const struct jinja_list *b,
                     struct jinja_value *out)
{
    struct jinja_list *sum;
    if (!value_new_list(r, a->flavour, a->count + b->count, &sum))
        return false;
    if (a->count > 0)
        memcpy(sum->items, a->items, a->count * sizeof *a->items);
    if (b->count > 0)
        memcpy(sum->items + a->count, b->items, b->count * sizeof *b->items);
    sum->count = a->count + b->count;
    *out = value_list(sum);
    return true;
}

static bool list_repeat(struct run *r, const struct jinja_list *list, int64_t times,
                        struct jinja_value *out)
{
    size_t n = times > 0 ? (size_t)times : 0;
    size_t total;
    struct jinja_list *all;
    if (__builtin_mul_overflow(n, list->count, &total))
        return run_fail(r, E_TOO_BIG, "a list is too long");
    if (!value_new_list(r, list->flavour, total, &all))
        return false;
    for (; all->count < total; all->count += list->count)
        memcpy(all->items + all->count, list->items, list->count * sizeof *list->items);
    *out = value_list(all);
    return true;
}

static bool repeat(struct run *r, struct jinja_value v, int64_t times, struct jinja_value *out)
{
    if (v.kind == JINJA_LIST)
        return list_repeat(r, v.as.list, times, out);
    struct text_builder b = { .r = r };
    return text_put_repeated(&b, v.as.string, times > 0 ? (size_t)times : 0) &&
           text_finish(&b, out);
}

/* What + joins and * repeats. */
static bool is_joinable(struct jinja_value v)
{
    return v.kind == JINJA_STRING || value_has_flavour(v, LIST_LIST) ||
           value_has_flavour(v, LIST_TUPLE);
}

static bool join(struct run *r, struct jinja_value a, struct jinja_value b, struct jinja_value *out)
{
    if (a.kind == JINJA_LIST)
        return list_add(r, a.as.list, b.as.list, out);
    const struct jinja_string *s;
    if (!text_concat(r, a.as.string, b.as.string, &s))
        return false;
    *out = value_string(s);
    return true;
}

bool op_binary(struct run *r, enum node_op op, struct jinja_value a, struct jinja_value b,
               struct jinja_value *out)
{
    if (value_is_number(a) && value_is_number(b))
        return number_op(r, op, a, b, out);
    if (op == OP_ADD && is_joinable(a) && a.kind == b.kind &&
        (a.kind == JINJA_STRING || a.as.list->flavour == b.as.list->flavour))
        return join(r, a, b, out);
    if (op == OP_MUL && is_joinable(a) && value_is_integer(b))
        return repeat(r, a, value_integer(b), out);
    if (op == OP_MUL && value_is_integer(a) && is_joinable(b))
        return repeat(r, b, value_integer(a), out);
    if (op == OP_MOD && a.kind == JINJA_STRING)
        return format_percent(r, a.as.string, b, out);
    return fail_operands(r, op, a, b);
}

bool op_negate(struct run *r, struct jinja_value v, bool minus, struct jinja_value *out)
{
    if (!value_is_number(v))
        return fail_operands(r, minus ? OP_SUB : OP_ADD, jinja_int(0), v);
    if (v.kind == JINJA_FLOAT)
        *out = jinja_float(minus ? -v.as.real : v.as.real);
    else if (!minus)
        *out = jinja_int(value_integer(v));
    else if (value_integer(v) == INT64_MIN)
        return fail_overflow(r);
    else
        *out = jinja_int(-value_integer(v));
    return true;
}

/* ---- Comparisons ---- */

static bool compare_order(struct run *r, enum node_op op, struct jinja_value a,
                          struct jinja_value b, bool *out)
{
    int order;
    if (!value_order(r, a, b, &order))
        return false;
    bool known = order != 2;
    *out = known && (op == OP_LT   ? order < 0
                     : op == OP_LE ? order <= 0
                     : op == OP_GT ? order > 0
                                   : order >= 0);
    return true;
}

bool op_compare(struct run *r, enum node_op op, struct jinja_value a, struct jinja_value b,
                bool *out)
{
    bool holds;
    if (op == OP_EQ || op == OP_NE) {
        if (!value_equal(r, a, b, &holds))
            return false;
        *out = holds == (op == OP_EQ);
        return true;
    }
    if (op == OP_IN || op == OP_NOT_IN) {
        if (!value_contains(r, b, a, &holds))
            return false;
        *out = holds == (op == OP_IN);
        return true;
    }
    return compare_order(r, op, a, b, out);
}
