/*
 * `valet man` and `valet completion`: written from the tables that the commands read their
 * options by. Each command is asked for its help and hands its table over.
 */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "options.h"

#ifndef VALET_VERSION
#define VALET_VERSION "0"
#endif

/* Calls `help` with the table of each command, in their order. */
static void visit_commands(options_help_fn help)
{
    char name[64];
    char flag[] = "--help";
    options_set_help(help, NULL);
    for (size_t i = 0; i < g_command_count; i++) {
        char *argv[] = { name, flag, NULL };
        snprintf(name, sizeof name, "%s", g_commands[i].name);
        g_commands[i].run(2, argv);
    }
    options_set_help(NULL, NULL);
}

/* ---- the manual page ---- */

/* Text for roff: a backslash, and a dot or quote at the start of a line, are its own. */
static void put_roff(const char *text)
{
    bool is_start = true;
    for (; *text; text++) {
        if (is_start && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
        is_start = *text == '\n';
    }
}

static void man_option(void *arg, const char *name, const char *value_name, const char *help)
{
    (void)arg;
    fputs(".TP\n.B ", stdout);
    put_roff("--");
    put_roff(name);
    if (value_name)
        printf(" \\fI%s\\fR", value_name);
    putchar('\n');
    put_roff(help);
    putchar('\n');
}

static void man_command(const struct command *c, void *arg)
{
    (void)arg;
    fputs(".SS ", stdout);
    put_roff(c->usage);
    fputs("\n.nf\n", stdout);
    put_roff(c->about);
    fputs("\n.fi\n", stdout);
    options_describe(c, man_option, NULL);
}

static const struct command g_man = {
    .usage = "valet man",
    .about = "Writes the manual page valet(1).",
};

int command_man(int argc, char **argv)
{
    int operand_count;
    int rc = options_parse(&g_man, argc, argv, NULL, NULL, &operand_count);
    if (rc != OPTIONS_GO)
        return rc;
    puts(".TH VALET 1 \"\" \"valet " VALET_VERSION "\" \"User Commands\"\n"
         ".SH NAME\nvalet \\- LLM inference server for CPUs\n"
         ".SH SYNOPSIS\n.B valet\n.I COMMAND\n[options]\n"
         ".SH COMMANDS");
    visit_commands(man_command);
    puts(".SH CONFIGURATION\n"
         "Values come from flags, then from variables\n.B VALET_*\nof the environment, then from "
         "the file: that of\n.B \\-\\-config\nor\n.BR VALET_CONFIG ,\nelse the first of\n"
         ".IR ./valet.yaml ,\n.I $XDG_CONFIG_HOME/valet/valet.yaml\n(or "
         "\\fI~/.config\\fR) and\n.IR /etc/valet/valet.yaml .\n"
         ".B valet config keys\nlists all keys.\n"
         ".SH ENVIRONMENT\n.TP\n.B VALET_API_KEY\nthe key that\n.B valet ps\nand\n"
         ".B valet stats\nsend.\n.TP\n.B NO_COLOR\nno colours, if it is not empty.\n"
         ".SH FILES\n.TP\n.I $XDG_STATE_HOME/valet/history\n(or \\fI~/.local/state\\fR): what "
         "was typed in chats, the last 1000 entries.\n"
         ".SH EXIT STATUS\n0: it went well. 1: it failed. 2: wrong usage.");
    return EXIT_OK;
}

/* ---- completion ---- */

static void bash_option(void *arg, const char *name, const char *value_name, const char *help)
{
    (void)arg;
    (void)value_name;
    (void)help;
    printf(" --%s", name);
}

static void bash_command(const struct command *c, void *arg)
{
    (void)arg;
    const char *name = c->usage + strlen("valet ");
    printf("    %.*s) words=\"", (int)strcspn(name, " "), name);
    options_describe(c, bash_option, NULL);
    puts("\" ;;");
}

static const struct command g_completion = {
    .usage = "valet completion bash",
    .about = "Writes a completion script for the shell.",
    .operands_min = 1,
    .operands_max = 1,
};

int command_completion(int argc, char **argv)
{
    const char *shell;
    int operand_count;
    int rc = options_parse(&g_completion, argc, argv, NULL, &shell, &operand_count);
    if (rc != OPTIONS_GO)
        return rc;
    if (strcmp(shell, "bash") != 0)
        return command_wrong("completion: '%s' is not bash", shell);
    puts("# bash completion for valet, written by 'valet completion bash'\n"
         "_valet()\n{\n"
         "    local word=${COMP_WORDS[COMP_CWORD]} words=\n"
         "    COMPREPLY=()\n"
         "    if [ \"$COMP_CWORD\" -eq 1 ]; then");
    fputs("        words=\"--help --version", stdout);
    for (size_t i = 0; i < g_command_count; i++)
        printf(" %s", g_commands[i].name);
    puts("\"\n        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n        return\n    fi\n"
         "    case ${COMP_WORDS[1]} in");
    visit_commands(bash_command);
    puts("    esac\n"
         "    case $word in\n"
         "    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$word\")) ;;\n"
         "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
         "    esac\n}\n"
         "complete -o filenames -F _valet valet");
    return EXIT_OK;
}
