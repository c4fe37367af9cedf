#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include <stddef.h>

/* Exit codes of every command. */
enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2
};

/* "valet: ..." to stderr; the exit code. A wrong usage is told where to read about it. */
int command_failed(const char *message);
__attribute__((format(printf, 1, 2))) int command_wrong(const char *format, ...);

/* Each takes the arguments behind "valet", argv[0] being the command's name. */
int command_serve(int argc, char **argv);
int command_run(int argc, char **argv);
int command_inspect(int argc, char **argv);
int command_tokenize(int argc, char **argv);
int command_ps(int argc, char **argv);
int command_stats(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_perplexity(int argc, char **argv);
int command_config(int argc, char **argv);
int command_keys(int argc, char **argv);
int command_man(int argc, char **argv);
int command_completion(int argc, char **argv);

struct command_entry {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
};

extern const struct command_entry g_commands[];
extern const size_t g_command_count;

#endif
