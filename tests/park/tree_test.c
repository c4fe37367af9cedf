/* The sorted tree against a plain sorted array; how many nodes its operations look at. */
#include "helper.h"

#include <stdlib.h>
#include <string.h>

#include "park/tree.h"

enum {
    MANY = 10000,
    /* A treap of 10,000 nodes is about 2 ln n = 19 deep on average, hardly ever 60. */
    STEPS_MAX = 60
};

static struct park_node g_nodes[MANY];

static int compare_nodes(const void *a, const void *b)
{
    const struct park_node *x = *(const struct park_node *const *)a;
    const struct park_node *y = *(const struct park_node *const *)b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* The tree holds just the nodes whose `priority` is not 0 in `is_in`, in order. */
static void compare(struct park_tree *tree, const bool *is_in, int count)
{
    static struct park_node *sorted[200];
    int n = 0;
    for (int i = 0; i < count; i++) {
        if (is_in[i])
            sorted[n++] = &g_nodes[i];
    }
    qsort(sorted, (size_t)n, sizeof sorted[0], compare_nodes);
    SAME(park_tree_check(tree), (uint64_t)n);
    struct park_node *node = tree->first;
    struct park_weight sum = { 0, 0 };
    for (int i = 0; i < n; i++) {
        SAME(node, sorted[i]);
        struct park_weight before = park_tree_before(tree, node->key, node->order);
        SAME(before.tasks, sum.tasks);
        SAME(before.cost, sum.cost);
        sum.tasks += node->own.tasks;
        sum.cost += node->own.cost;
        node = park_tree_next(node);
    }
    SAME(node, NULL);
    SAME(park_tree_sum(tree).tasks, sum.tasks);
    SAME(park_tree_sum(tree).cost, sum.cost);
}

START_TEST(random_changes_leave_the_tree_sorted_with_the_right_sums)
{
    struct world world = { .seed = 7 };
    struct park_tree tree = { .salt = 99 };
    bool is_in[200] = { false };
    for (int step = 0; step < 5000; step++) {
        int i = (int)world_below(&world, 200);
        struct park_node *node = &g_nodes[i];
        struct park_weight weight = { world_below(&world, 5), world_below(&world, 1000) };
        if (!is_in[i]) {
            *node = (struct park_node){ .key = world_below(&world, 20), .own = weight };
            node->order = (uint64_t)step;
            park_tree_insert(&tree, node);
            is_in[i] = true;
        } else if (world_below(&world, 3) == 0) {
            park_tree_weigh(&tree, node, weight);
        } else {
            park_tree_remove(&tree, node);
            is_in[i] = false;
        }
        compare(&tree, is_in, 200);
    }
}
END_TEST

/* Keys that rise, fall, are all the same, or are random: none of them makes the tree deep. */
START_TEST(no_order_of_keys_makes_an_operation_long)
{
    for (int kind = 0; kind < 4; kind++) {
        struct world world = { .seed = (uint64_t)kind + 1 };
        struct park_tree tree = { .salt = world_random(&world) };
        uint64_t steps_max = 0;
        for (uint64_t i = 0; i < MANY; i++) {
            uint64_t keys[] = { i, MANY - i, 5, world_below(&world, 1000) };
            g_nodes[i] = (struct park_node){ .key = keys[kind], .order = i + 1 };
            uint64_t before = tree.steps;
            park_tree_insert(&tree, &g_nodes[i]);
            /* down, and up again for the sums */
            if (tree.steps - before > steps_max)
                steps_max = tree.steps - before;
        }
        ck_assert_uint_le(steps_max, 3 * STEPS_MAX);
        uint64_t before = tree.steps;
        while (tree.first)
            park_tree_remove(&tree, tree.first);
        ck_assert_uint_le((tree.steps - before) / MANY, STEPS_MAX);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tree");
    TCase *tc = add_case(suite, "tree", 30);
    tcase_add_test(tc, random_changes_leave_the_tree_sorted_with_the_right_sums);
    tcase_add_test(tc, no_order_of_keys_makes_an_operation_long);
    return run_suite(suite);
}
