#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

/* Exit codes of every command. */
enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2
};

/* Each takes the arguments behind "valet", argv[0] being the command's name. */
int command_serve(int argc, char **argv);
int command_run(int argc, char **argv);
int command_inspect(int argc, char **argv);
int command_tokenize(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_perplexity(int argc, char **argv);

#endif
