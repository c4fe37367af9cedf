/*
 * Invariants (park_tree_check walks them):
 *   1. Sorted by (key, order) from left to right; no two nodes are equal.
 *   2. No node has a greater priority than its parent.
 *   3. `sum` is `own` and the sums of both children.
 *   4. `first` is the leftmost node.
 *
 * Threads: the caller's.
 */
#include "park/tree.h"

#include <stddef.h>

#include "base/assert.h"
#include "base/random.h"

static bool is_before(const struct park_node *a, uint64_t key, uint64_t order)
{
    return a->key != key ? a->key < key : a->order < order;
}

static void add(struct park_weight *sum, struct park_weight more)
{
    sum->tasks += more.tasks;
    sum->cost += more.cost;
}

static void sum_up(struct park_node *node)
{
    node->sum = node->own;
    if (node->left)
        add(&node->sum, node->left->sum);
    if (node->right)
        add(&node->sum, node->right->sum);
}

static void sum_up_to_root(struct park_tree *tree, struct park_node *node)
{
    for (; node; node = node->parent) {
        sum_up(node);
        tree->steps++;
    }
}

/* Puts `child` (may be NULL) where `node` hangs. */
static void replace(struct park_tree *tree, const struct park_node *node, struct park_node *child)
{
    struct park_node *parent = node->parent;
    if (!parent)
        tree->root = child;
    else if (parent->left == node)
        parent->left = child;
    else
        parent->right = child;
    if (child)
        child->parent = parent;
}

/* Makes `node` the parent of its parent. */
static void rotate_up(struct park_tree *tree, struct park_node *node)
{
    struct park_node *parent = node->parent;
    replace(tree, parent, node);
    struct park_node *moved;
    if (parent->left == node) {
        moved = node->right;
        parent->left = moved;
        node->right = parent;
    } else {
        moved = node->left;
        parent->right = moved;
        node->left = parent;
    }
    if (moved)
        moved->parent = parent;
    parent->parent = node;
    sum_up(parent);
    sum_up(node);
    tree->steps++;
}

void park_tree_insert(struct park_tree *tree, struct park_node *node)
{
    struct park_node *parent = NULL;
    struct park_node **link = &tree->root;
    while (*link) {
        parent = *link;
        link = is_before(parent, node->key, node->order) ? &parent->right : &parent->left;
        tree->steps++;
    }
    *link = node;
    node->parent = parent;
    node->left = NULL;
    node->right = NULL;
    node->priority = random_mix(node->order ^ tree->salt);
    sum_up_to_root(tree, node);
    while (node->parent && node->parent->priority < node->priority)
        rotate_up(tree, node);
    if (!tree->first || is_before(node, tree->first->key, tree->first->order))
        tree->first = node;
}

struct park_node *park_tree_next(const struct park_node *node)
{
    if (node->right) {
        struct park_node *next = node->right;
        while (next->left)
            next = next->left;
        return next;
    }
    while (node->parent && node->parent->right == node)
        node = node->parent;
    return node->parent;
}

void park_tree_remove(struct park_tree *tree, struct park_node *node)
{
    if (tree->first == node)
        tree->first = park_tree_next(node);
    while (node->left && node->right) {
        bool is_left = node->left->priority > node->right->priority;
        rotate_up(tree, is_left ? node->left : node->right);
    }
    struct park_node *parent = node->parent;
    replace(tree, node, node->left ? node->left : node->right);
    sum_up_to_root(tree, parent);
}

void park_tree_weigh(struct park_tree *tree, struct park_node *node, struct park_weight weight)
{
    node->own = weight;
    sum_up_to_root(tree, node);
}

struct park_weight park_tree_before(struct park_tree *tree, uint64_t key, uint64_t order)
{
    struct park_weight sum = { 0, 0 };
    const struct park_node *node = tree->root;
    while (node) {
        tree->steps++;
        if (!is_before(node, key, order)) {
            node = node->left;
            continue;
        }
        add(&sum, node->own);
        if (node->left)
            add(&sum, node->left->sum);
        node = node->right;
    }
    return sum;
}

struct park_weight park_tree_sum(const struct park_tree *tree)
{
    return tree->root ? tree->root->sum : (struct park_weight){ 0, 0 };
}

uint64_t park_tree_check(const struct park_tree *tree)
{
    uint64_t count = 0;
    const struct park_node *prev = NULL;
    for (const struct park_node *node = tree->first; node; node = park_tree_next(node)) {
        struct park_weight sum = node->own;
        for (int side = 0; side < 2; side++) {
            const struct park_node *child = side ? node->right : node->left;
            if (!child)
                continue;
            ASSERT(child->parent == node && child->priority <= node->priority);
            add(&sum, child->sum);
        }
        ASSERT(sum.tasks == node->sum.tasks && sum.cost == node->sum.cost);
        ASSERT(!prev || is_before(prev, node->key, node->order));
        prev = node;
        count++;
    }
    ASSERT(!tree->root == !tree->first && (!tree->root || !tree->root->parent));
    ASSERT(!tree->first || !tree->first->left);
    return count;
}
