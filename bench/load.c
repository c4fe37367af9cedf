/*
 * valet-load: load for an HTTP server of language models on this machine, and what it does to
 * its clients. README.md in this folder says how the figures are taken.
 */
#include <stdlib.h>

#include "load.h"

int main(int argc, char **argv)
{
    struct load_options options;
    static struct load_stats stats;
    load_options_parse(&options, argc, argv);
    if (!load_run(&options, &stats) || !load_report(&options, &stats))
        return EXIT_FAILURE;
    return EXIT_SUCCESS;
}
