/*  config_file.c - a configuration file as a run of items; see config_file.h

    Every line is scanned before zconfig sees it. What the scan lets through zconfig reads too, and
    since zconfig's tree in pre-order is the order of the file, the scan's notes on the lines go
    with the items of the tree one by one.                                                        */

#include "config_file.h"
#include <assert.h>
#include <ctype.h>
#include <czmq.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_SIZE_MAX (1 << 20)
#define LINE_SIZE_MAX 1000 //  bytes; zconfig cuts what is beyond 1,024
#define ENTRIES_MAX 10000 //  zconfig frees its tree by recursion, a level for each sibling

//  A line of the file that is an item of zconfig's tree.
typedef struct {
    unsigned line;
    bool assigned; //  has an =
} entry_t;

typedef struct {
    config_take_t *take;
    void *taker;
    config_error_t *error;
    int level; //  of the last entry
    entry_t *entries;
    size_t entry_count;
    size_t entry_next;
} reader_t;

static char *s_read_text(config_error_t *error, size_t *size)
{
    char *text = malloc(FILE_SIZE_MAX + 1);
    FILE *in = text ? fopen(error->source, "re") : NULL;
    if (in)
        *size = fread(text, 1, FILE_SIZE_MAX + 1, in);
    bool was_read = in && !ferror(in), fits = was_read && *size <= FILE_SIZE_MAX;
    if (!was_read)
        config_error_set(error, NULL, "%s, expected a file that can be read", strerror(errno));
    else if (!fits)
        config_error_set(error, NULL, "is too large, expected at most %d bytes", FILE_SIZE_MAX);
    else
        text[*size] = '\0';
    if (in)
        fclose(in);
    if (!fits)
        free(text);
    return fits ? text : NULL;
}

//  ---- the lines, before zconfig -----------------------------------------------------------------

//  Checks what follows the = of a line.
static bool s_scan_value(reader_t *self, const char *value)
{
    value += strspn(value, " \t");
    if (*value == '#')
        return config_error_set(self->error, NULL,
                                "a comment in place of the value, expected \"\" for an empty one");
    if (*value != '"' && *value != '\'') {
        const char *hash = strchr(value, '#');
        if (hash && !isspace((unsigned char)hash[-1]))
            return config_error_set(self->error, NULL,
                                    "an unquoted # starts a comment, expected the value in quotes");
        return true;
    }
    const char *end = strchr(value + 1, *value);
    if (!end)
        return config_error_set(self->error, NULL, "a quote is not closed, expected another %c",
                                *value);
    end += 1 + strspn(end + 1, " \t");
    if (*end && *end != '#')
        return config_error_set(self->error, NULL,
                                "\"%.40s\" after the quote, expected the end of the line", end);
    return true;
}

//  Notes a line that makes an item of zconfig's tree.
static bool s_scan_entry(reader_t *self, int level, bool assigned)
{
    if (level > self->level + 1)
        return config_error_set(self->error, NULL, "indented too far, expected at most %d spaces",
                                4 * (self->level + 1));
    if (self->entry_count == ENTRIES_MAX)
        return config_error_set(self->error, NULL, "too much, expected at most %d names",
                                ENTRIES_MAX);
    self->level = level;
    self->entries[self->entry_count++] = (entry_t){self->error->line, assigned};
    return true;
}

//  Checks a line without its end. What is let through here zconfig must read, in the same way.
static bool s_scan_line(reader_t *self, const char *line)
{
    size_t indent = strspn(line, " ");
    const char *name = line + indent;
    if (!*name)
        return true;
    if (*name == '\t')
        return config_error_set(self->error, NULL,
                                "indented by a tab, expected four spaces a level");
    if (indent % 4)
        return config_error_set(self->error, NULL, "indented by %zu spaces, expected four a level",
                                indent);
    if (*name == '#')
        return true;
    size_t size = strspn(name, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-");
    const char *rest = name + size + strspn(name + size, " \t");
    if (size == 0 || (*rest && *rest != '=' && *rest != '#'))
        return config_error_set(self->error, NULL,
                                "\"%.40s\", expected NAME = VALUE, or NAME alone for a section",
                                name);
    return s_scan_entry(self, (int)(indent / 4), *rest == '=') &&
           (*rest != '=' || s_scan_value(self, rest + 1));
}

static bool s_is_text(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (iscntrl((unsigned char)bytes[i]) && bytes[i] != '\t')
            return false;
    return true;
}

//  Scans the file line by line, each without white space at its end, as zconfig does.
static bool s_scan(reader_t *self, const char *text, size_t size)
{
    const char *end = text + size;
    while (text < end) {
        self->error->line++;
        const char *next = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((next ? next : end) - text);
        if (length > LINE_SIZE_MAX)
            return config_error_set(self->error, NULL, "line too long, expected at most %d bytes",
                                    LINE_SIZE_MAX);
        char line[LINE_SIZE_MAX + 1];
        memcpy(line, text, length);
        while (length && isspace((unsigned char)line[length - 1]))
            length--;
        line[length] = '\0';
        if (!s_is_text(line, length))
            return config_error_set(self->error, NULL, "a control character, expected text");
        if (!s_scan_line(self, line))
            return false;
        text = next ? next + 1 : end;
    }
    self->error->line = 0;
    return true;
}

//  ---- the tree that zconfig makes ---------------------------------------------------------------

//  Walks the tree in pre-order, and the entries along with it.
static bool s_walk(reader_t *self, zconfig_t *parent, const char *section)
{
    for (zconfig_t *node = zconfig_child(parent); node; node = zconfig_next(node)) {
        assert(self->entry_next < self->entry_count);
        const entry_t *entry = &self->entries[self->entry_next++];
        char path[2 * LINE_SIZE_MAX];
        snprintf(path, sizeof path, "%s%s%s", section, *section ? "/" : "", zconfig_name(node));
        config_item_t item = {path, zconfig_value(node), entry->assigned, entry->line};
        if (!self->take(self->taker, &item) || !s_walk(self, node, path))
            return false;
    }
    return true;
}

static bool s_walk_text(reader_t *self, const char *text)
{
    zconfig_t *root = zconfig_str_load(text);
    if (!root)
        return config_error_set(self->error, NULL, "zconfig cannot read it");
    bool ok = s_walk(self, root, "");
    zconfig_destroy(&root);
    return ok;
}

bool config_file_read(config_take_t *take, void *taker, config_error_t *error)
{
    size_t size = 0;
    char *text = s_read_text(error, &size);
    if (!text)
        return false;
    reader_t self = {.take = take, .taker = taker, .error = error, .level = -1};
    self.entries = calloc(ENTRIES_MAX, sizeof *self.entries);
    bool ok = self.entries ? s_scan(&self, text, size) && s_walk_text(&self, text)
                           : config_error_set(error, NULL, "no memory");
    free(self.entries);
    free(text);
    return ok;
}
