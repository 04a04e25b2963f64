/*  tool.c - the seqpush command line tool: picks the command and lends it what all of them need */

#include "tool.h"
#include <errno.h>
#include <sodium.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(tool_t *tool, int argc, char **argv);
    const char *help;
} s_commands[] = {
    {"push", push_run, "push the lines of a file or of standard input"},
    {"receive", receive_run, "receive clients' pushes and print them"},
    {"status", status_run, "print the broker's figures"},
    {"top", top_run, "show what the broker does, again and again"},
    {"clients", clients_run, "list clients, those that do not move first"},
    {"explain", explain_run, "tell why a client does not move"},
    {"skip", skip_run, "give up seqs that are missing"},
    {"reset", reset_run, "start a client's sequence over in a new epoch"},
    {"detach", detach_run, "take clients from a receiver"},
    {"keygen", keygen_run, "make a CURVE key pair"},
    {"journal", journal_run, "look into the store of a broker that does not run"},
    {"bench", bench_run, "put load on a broker and check every push"},
};

#define COMMANDS (sizeof s_commands / sizeof *s_commands)

static const tool_command_t s_usage = {.name = "seqpush", .operands_max = SIZE_MAX};

static void s_help(void)
{
    puts(
        "Usage: seqpush COMMAND [OPTION...]\n\nThe tool of seqpushd, the broker for ordered push.\n"
        "\nCommands:");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-10s%s\n", s_commands[i].name, s_commands[i].help);
    puts("\nOptions of all commands, before or after the command:\n"
         "  --broker ENDPOINT  the broker's front (tcp://127.0.0.1:5570)\n"
         "  --http ADDRESS     the broker's http address (127.0.0.1:5580)\n"
         "  --key FILE         the own CURVE keys, of seqpush keygen\n"
         "  --server-key KEY   the broker's public key\n"
         "  --json             print results as JSON\n"
         "  -h, --help         print help, of the command if there is one\n"
         "  -V, --version      print the version\n"
         "\n'seqpush COMMAND --help' tells about a command.");
}

static bool s_takes_argument(const char *option)
{
    static const char *const options[] = {"--broker", "--http", "--key", "--server-key"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (strcmp(option, options[i]) == 0)
            return true;
    return false;
}

//  Skips the common options before the command's name: they are read again with the command's own.
//  Returns the place of the name, or argc.
static int s_find_command(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (s_takes_argument(argv[i]))
            i++;
        else if (argv[i][0] != '-')
            return i;
    }
    return argc;
}

static bool s_has(int argc, char **argv, const char *brief, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], brief) == 0 || strcmp(argv[i], name) == 0)
            return true;
    return false;
}

static int s_run(const char *name, int argc, char **argv)
{
    tool_t tool = {.broker = "tcp://127.0.0.1:5570", .http = "127.0.0.1:5580"};
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(name, s_commands[i].name) == 0)
            return s_commands[i].run(&tool, argc, argv);
    tool_misused(&s_usage, "no such command: %s", name);
}

//  What was printed may be with nobody yet.
static int s_finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    tool_say("standard output: %s", strerror(errno));
    return status ? status : TOOL_BAD;
}

int main(int argc, char **argv)
{
    int at = s_find_command(argc, argv);
    if (s_has(at, argv, "-V", "--version")) {
        puts("seqpush " SEQPUSH_VERSION);
        return s_finish(TOOL_OK);
    }
    if (at >= argc && s_has(at, argv, "-h", "--help")) {
        s_help();
        return s_finish(TOOL_OK);
    }
    if (at >= argc)
        tool_misused(&s_usage, "which command?");
    if (sodium_init() < 0) {
        tool_say("libsodium cannot be used");
        return TOOL_UNABLE;
    }
    //  The name moves to the front, the options that stood before it behind it.
    char *name = argv[at];
    memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof *argv);
    argv[1] = name;
    return s_finish(s_run(name, argc - 1, argv + 1));
}
