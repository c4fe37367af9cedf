#ifndef TEMPLATE_AST_H
#define TEMPLATE_AST_H

#include "template/value.h"

/* The tree of a template; immutable once compiled. */

enum node_kind {
    /* expressions */
    NODE_CONSTANT,
    NODE_NAME,
    NODE_TUPLE,
    NODE_LIST,
    NODE_DICT, /* key, value, key, value, … */
    NODE_CONCAT,
    NODE_AND,
    NODE_OR,
    NODE_NOT,
    NODE_NEGATE,
    NODE_PLUS,
    NODE_BINARY,
    NODE_COMPARE,
    NODE_CONDITION, /* a if b else c */
    NODE_ATTRIBUTE,
    NODE_ITEM,
    NODE_SLICE,
    NODE_CALL,
    NODE_FILTER,
    NODE_TEST,

    /* statements */
    NODE_TEXT,
    NODE_OUTPUT,
    NODE_IF,
    NODE_FOR,
    NODE_BREAK,
    NODE_CONTINUE,
    NODE_SET,
    NODE_SET_BLOCK,
    NODE_MACRO,
    NODE_CALL_BLOCK,
    NODE_FILTER_BLOCK,
    NODE_GENERATION,

    /* targets of assignments; also NODE_NAME and NODE_TUPLE */
    NODE_NAMESPACE_ATTRIBUTE
};

enum node_op {
    OP_NONE,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOORDIV,
    OP_MOD,
    OP_POW,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_IN,
    OP_NOT_IN
};

enum arg_kind {
    ARG_VALUE,
    ARG_NAMED,
    ARG_LIST, /* *list */
    ARG_MAP   /* **map */
};

struct node_arg {
    struct node_arg *next;
    enum arg_kind kind;
    const struct jinja_string *name; /* ARG_NAMED */
    struct node *value;
};

struct node_args {
    struct node_arg *first;
    size_t count;
};

/* A parameter of a macro. */
struct node_param {
    struct node_param *next;
    uint32_t id;
    const struct jinja_string *name;
    struct node *value; /* used where no argument is given, or NULL */
};

/* A macro, or what a call block hands over as `caller`. */
struct node_macro {
    const char *name;
    struct node_param *params;
    size_t param_count;
    struct node *body;
    bool reads_caller;
    bool reads_varargs;
    bool reads_kwargs;
};

/* One `op right` of a comparison; `a < b < c` has two. */
struct node_operand {
    struct node_operand *next;
    enum node_op op;
    struct node *right;
};

struct node {
    struct node *next; /* in a body, or in a list of expressions */
    enum node_kind kind;
    uint32_t pos; /* byte in the source */
    union {
        struct jinja_value constant; /* NODE_CONSTANT */
        struct {
            uint32_t id;
            const char *text;
        } name;
        struct {
            struct node *first;
            size_t count;
        } list; /* TUPLE, LIST, DICT, CONCAT */
        struct {
            struct node *left; /* NOT, NEGATE, PLUS: the only one */
            struct node *right;
            enum node_op op;
        } binary;
        struct {
            struct node *left;
            struct node_operand *operands;
        } compare;
        struct {
            struct node *test;
            struct node *yes;
            struct node *no; /* NULL: undefined */
        } condition;
        struct {
            struct node *object;
            const struct jinja_string *name;
        } attribute;
        struct {
            struct node *object;
            struct node *index;
        } item;
        struct {
            struct node *object;
            struct node *start; /* each may be NULL */
            struct node *stop;
            struct node *step;
        } slice;
        struct {
            struct node *callee;
            struct node_args args;
        } call;
        struct {
            struct node *value; /* NULL: what a block wrote */
            const char *name;
            const struct jinja_callable *def; /* NULL: unknown, an error when it is reached */
            struct node_args args;
        } filter; /* and TEST */
        const struct jinja_string *text;
        struct {
            struct node *test;
            struct node *body;
            struct node *otherwise; /* a body; elif: one NODE_IF */
        } branch;
        struct {
            struct node *target;
            struct node *iterable;
            struct node *test; /* may be NULL */
            struct node *body;
            struct node *otherwise;
        } loop;
        struct {
            struct node *target;
            struct node *value;
        } set;
        struct {
            struct node *target; /* NULL for a filter block */
            struct node *filter; /* may be NULL for a set block */
            struct node *body;
        } block;
        struct {
            struct node_macro *macro;
            uint32_t id;       /* MACRO: the name it is bound to */
            struct node *call; /* CALL_BLOCK */
        } macro;
        struct node *body; /* GENERATION; OUTPUT: the value */
        struct {
            uint32_t id;
            const char *text;
            const struct jinja_string *attribute;
        } ns; /* NAMESPACE_ATTRIBUTE */
    } as;
};

struct jinja_template {
    struct arena arena; /* holds everything below */
    const char *source;
    size_t source_len;
    const char **names; /* [name_count], by id */
    bool *reads;        /* [name_count]: occurs as a variable */
    uint32_t name_count;
    uint32_t loop_id; /* of the name "loop" */
    uint32_t caller_id;
    uint32_t varargs_id;
    uint32_t kwargs_id;
    struct node *body;
};

/* Line and column (both from 1, columns in characters) of a byte of a source. */
void template_place(const char *source, size_t len, size_t byte, int *line, int *column);

/* A copy of `text` on one line and as well-formed text, cut to `out_size`. */
void template_one_line(char *out, size_t out_size, const char *text, size_t len);

#endif
