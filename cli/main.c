/* `valet`: one program, a command for each use. */
#include <stdio.h>
#include <string.h>

#include "commands.h"

#ifndef VALET_VERSION
#define VALET_VERSION "0"
#endif

const struct command_entry g_commands[] = {
    { "serve", command_serve, "serve a model over HTTP, with the OpenAI routes" },
    { "run", command_run, "answer one prompt, or chat" },
    { "ps", command_ps, "list the requests of a running server" },
    { "stats", command_stats, "show what a running server does" },
    { "bench", command_bench, "measure speed beside the machine's limits" },
    { "inspect", command_inspect, "show what is in a model file" },
    { "tokenize", command_tokenize, "show the token ids of a text" },
    { "perplexity", command_perplexity, "measure how well a model predicts a text" },
    { "config", command_config, "show and check the configuration" },
    { "keys", command_keys, "make an API key" },
    { "man", command_man, "write the manual page" },
    { "completion", command_completion, "write a shell's completion script" },
};

const size_t g_command_count = sizeof g_commands / sizeof g_commands[0];

static void print_usage(FILE *out)
{
    fputs("usage: valet COMMAND [options]\n\ncommands:\n", out);
    for (size_t i = 0; i < g_command_count; i++)
        fprintf(out, "  %-10s %s\n", g_commands[i].name, g_commands[i].about);
    fputs("\n'valet COMMAND --help' shows the options of a command; 'valet --version' the "
          "version.\n",
          out);
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("valet " VALET_VERSION);
        return EXIT_OK;
    }
    for (size_t i = 0; i < g_command_count; i++) {
        if (strcmp(argv[1], g_commands[i].name) == 0)
            return g_commands[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "valet: no command '%s'; 'valet --help' lists them\n", argv[1]);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    int code = run(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_OK) {
        fputs("valet: the output could not be written\n", stderr);
        code = EXIT_FAILED;
    }
    return code;
}
