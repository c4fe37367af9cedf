#ifndef PARK_TREE_H
#define PARK_TREE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A sorted tree whose nodes lie in what they sort: tickets by (due, order), timers by time. Each
 * subtree knows its sums, so that what lies before a key is counted without a walk over it. A
 * treap: the priorities of the heap are mixed from `order` and a random salt, so that nobody
 * outside can choose keys that make it deep. Every operation is O(log n) expected steps.
 */
struct park_weight {
    uint64_t tasks;
    uint64_t cost;
};

struct park_node {
    uint64_t key;
    uint64_t order; /* unique; decides between equal keys */
    uint64_t priority;
    struct park_weight own;
    struct park_weight sum; /* of the subtree */
    struct park_node *parent;
    struct park_node *left;
    struct park_node *right;
};

struct park_tree {
    struct park_node *root;
    struct park_node *first; /* the smallest; NULL: the tree is empty */
    uint64_t salt;           /* set before the first insertion, constant afterwards */
    uint64_t steps;          /* nodes looked at so far, for tests */
};

/* `key`, `order` and `own` of the node are set; it is in no tree. */
void park_tree_insert(struct park_tree *tree, struct park_node *node);
void park_tree_remove(struct park_tree *tree, struct park_node *node);

/* Changes the weight of a node of the tree. */
void park_tree_weigh(struct park_tree *tree, struct park_node *node, struct park_weight weight);

/* The sum of all nodes before (key, order), and of all. */
struct park_weight park_tree_before(struct park_tree *tree, uint64_t key, uint64_t order);
struct park_weight park_tree_sum(const struct park_tree *tree);

/* The next node in order, or NULL. */
struct park_node *park_tree_next(const struct park_node *node);

/* Aborts if order, heap, links or sums are broken. Returns how many nodes there are. */
uint64_t park_tree_check(const struct park_tree *tree);

#endif
