/*  tool_options.c - reads a command's options from a table, which also makes its --help */

#include "certificate.h"
#include "tool.h"
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 32
#define COMMON 5

bool tool_number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
    if (*text == '\0' || strspn(text, "0123456789") != strlen(text))
        return false;
    errno = 0;
    *value = strtoull(text, NULL, 10);
    return errno == 0 && *value >= min && *value <= max;
}

char *tool_client_id(const char *name, uint64_t number, uint64_t count)
{
    char *id = NULL;
    int size = count ? asprintf(&id, "%s-%llu", name, (unsigned long long)number)
                     : asprintf(&id, "%s", name);
    if (size >= 1 && size <= SEQPUSH_ID_MAX)
        return id;
    if (size >= 0)
        free(id);
    return NULL;
}

_Noreturn void tool_misused(const tool_command_t *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("seqpush: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    bool of_tool = strcmp(command->name, "seqpush") == 0;
    fprintf(stderr, "\nTry 'seqpush %s%s--help'.\n", of_tool ? "" : command->name,
            of_tool ? "" : " ");
    exit(TOOL_USAGE);
}

static void s_help_option(const tool_option_t *option)
{
    char left[64];
    snprintf(left, sizeof left, "--%s%s%s", option->name, option->argument ? " " : "",
             option->argument ? option->argument : "");
    printf("  %-20s %s\n", left, option->help);
}

static void s_help(const tool_command_t *command, const tool_option_t *options, size_t count)
{
    printf("Usage: seqpush %s %s\n\n%s\n\nOptions:\n", command->name, command->usage,
           command->description);
    for (size_t i = 0; i < count; i++)
        s_help_option(&options[i]);
    printf("  %-20s %s\n\nExit status:\n%s\n", "-h, --help", "print this", command->statuses);
    exit(TOOL_OK);
}

static void s_append(tool_list_t *list, const char *item)
{
    const char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (!items)
        abort();
    list->items = items;
    list->items[list->count++] = item;
}

static void s_set(const tool_command_t *command, const tool_option_t *option, const char *text)
{
    switch (option->kind) {
    case TOOL_FLAG:
        *(bool *)option->value = true;
        break;
    case TOOL_STRING:
        *(const char **)option->value = text;
        break;
    case TOOL_LIST:
        s_append(option->value, text);
        break;
    case TOOL_NUMBER:
        if (!tool_number(text, option->min, option->max, option->value))
            tool_misused(command, "--%s: '%s' is not a whole number from %llu to %llu",
                         option->name, text, (unsigned long long)option->min,
                         (unsigned long long)option->max);
    }
}

//  The table of getopt_long: it returns an option's place + 256, beyond all characters.
static void s_make_table(struct option *table, const tool_option_t *options, size_t count)
{
    for (size_t i = 0; i < count; i++)
        table[i] = (struct option){options[i].name,
                                   options[i].kind == TOOL_FLAG ? no_argument : required_argument,
                                   NULL, (int)i + 256};
    table[count] = (struct option){"help", no_argument, NULL, 'h'};
    table[count + 1] = (struct option){NULL, 0, NULL, 0};
}

//  The common options behind the command's own. Returns how many there are together.
static size_t s_join(tool_option_t *all, tool_t *tool, const tool_option_t *options, size_t count)
{
    const tool_option_t common[COMMON] = {
        {"broker", TOOL_STRING, &tool->broker, 0, 0, "ENDPOINT",
         "the broker's front (tcp://127.0.0.1:5570)"},
        {"http", TOOL_STRING, &tool->http, 0, 0, "ADDRESS",
         "the broker's http address (127.0.0.1:5580)"},
        {"key", TOOL_STRING, &tool->key, 0, 0, "FILE", "the own CURVE keys, of seqpush keygen"},
        {"server-key", TOOL_STRING, &tool->server_key, 0, 0, "KEY", "the broker's public key"},
        {"json", TOOL_FLAG, &tool->json, 0, 0, NULL, "print results as JSON"},
    };
    assert(count + COMMON <= OPTIONS_MAX);
    if (count)
        memcpy(all, options, count * sizeof *all);
    memcpy(all + count, common, sizeof common);
    return count + COMMON;
}

//  getopt's own messages start with argv[0]: it gets the whole name of the command.
static void s_read(const tool_command_t *command, const tool_option_t *all, size_t count, int argc,
                   char **argv)
{
    struct option table[OPTIONS_MAX + 2];
    s_make_table(table, all, count);
    char name[32];
    snprintf(name, sizeof name, "seqpush %s", command->name);
    argv[0] = name;
    int option;
    while ((option = getopt_long(argc, argv, "h", table, NULL)) != -1) {
        if (option == 'h')
            s_help(command, all, count);
        if (option == '?') {
            fprintf(stderr, "Try '%s --help'.\n", name);
            exit(TOOL_USAGE);
        }
        s_set(command, &all[option - 256], optarg);
    }
    argv[0] = NULL;
}

//  The library would only say that it cannot; here is what is wrong.
static void s_check_keys(const tool_t *tool, const tool_command_t *command)
{
    if (!tool->key != !tool->server_key)
        tool_misused(command, "--key and --server-key go together");
    if (!tool->key)
        return;
    if (!certificate_is_key(tool->server_key))
        tool_misused(command, "--server-key: '%s' is no public key", tool->server_key);
    certificate_t certificate;
    const char *wrong = certificate_read(&certificate, tool->key);
    certificate_forget(&certificate);
    if (wrong)
        tool_misused(command, "--key: %s %s, expected a file of seqpush keygen", tool->key, wrong);
}

size_t tool_parse(tool_t *tool, const tool_command_t *command, const tool_option_t *options,
                  size_t option_count, int argc, char ***argv)
{
    tool_option_t all[OPTIONS_MAX];
    size_t count = s_join(all, tool, options, option_count);
    s_read(command, all, count, argc, *argv);
    s_check_keys(tool, command);
    size_t operands = (size_t)(argc - optind);
    if (operands < command->operands_min)
        tool_misused(command, "%s %s: something is missing", command->name, command->usage);
    if (operands > command->operands_max)
        tool_misused(command, "'%s' is one too many", argv[0][argc - 1]);
    *argv += optind;
    return operands;
}

size_t tool_read_id(const tool_command_t *command, const char *what, const char *text, bool base64,
                    uint8_t id[SEQPUSH_ID_MAX])
{
    size_t size = strlen(text);
    if (base64 && sodium_base642bin(id, SEQPUSH_ID_MAX, text, size, NULL, &size, NULL,
                                    sodium_base64_VARIANT_ORIGINAL) != 0)
        tool_misused(command, "'%s' is not base64 of at most %d bytes", text, SEQPUSH_ID_MAX);
    if (size < 1 || size > SEQPUSH_ID_MAX)
        tool_misused(command, "a %s's id has 1 to %d bytes", what, SEQPUSH_ID_MAX);
    if (!base64)
        memcpy(id, text, size);
    return size;
}
