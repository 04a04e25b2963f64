/*  tool_positions.c - the positions of clients, in memory and in the file of `receive --positions`

    Ids come from outside, so the table's hash is keyed. */

#include "tool.h"
#include <curl/curl.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint8_t s_key[crypto_shorthash_KEYBYTES];

static unsigned s_hash(const void *id, size_t size)
{
    uint8_t hash[crypto_shorthash_BYTES];
    crypto_shorthash(hash, id, size, s_key);
    unsigned value;
    memcpy(&value, hash, sizeof value);
    return value;
}

#define HASH_FUNCTION(id, size, value) ((value) = s_hash((id), (size)))
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

typedef struct {
    tool_position_t position;
    UT_hash_handle hh;
    char id[];
} entry_t;

struct tool_positions {
    entry_t *entries;
};

tool_positions_t *tool_positions_new(void)
{
    randombytes_buf(s_key, sizeof s_key);
    return calloc(1, sizeof(tool_positions_t));
}

void tool_positions_destroy(tool_positions_t **self_p)
{
    if (!*self_p)
        return;
    entry_t *entry, *next;
    HASH_ITER (hh, (*self_p)->entries, entry, next) {
        HASH_DEL((*self_p)->entries, entry);
        free(entry);
    }
    free(*self_p);
    *self_p = NULL;
}

static entry_t *s_add(tool_positions_t *self, const void *id, size_t id_size)
{
    entry_t *entry = calloc(1, sizeof *entry + id_size);
    if (!entry)
        return NULL;
    memcpy(entry->id, id, id_size);
    entry->position.id = entry->id;
    entry->position.id_size = id_size;
    HASH_ADD_KEYPTR(hh, self->entries, entry->id, id_size, entry);
    if (entry->hh.tbl)
        return entry;
    free(entry);
    return NULL;
}

tool_position_t *tool_positions_at(tool_positions_t *self, const void *id, size_t id_size)
{
    entry_t *entry;
    HASH_FIND(hh, self->entries, id, id_size, entry);
    if (!entry)
        entry = s_add(self, id, id_size);
    return entry ? &entry->position : NULL;
}

void tool_positions_each(const tool_positions_t *self,
                         void (*each)(void *arg, const tool_position_t *position), void *arg)
{
    for (const entry_t *entry = self->entries; entry; entry = entry->hh.next)
        each(arg, &entry->position);
}

//  ---- the file ----------------------------------------------------------------------------------

static bool s_read_id(tool_positions_t *self, const char *escaped, uint64_t epoch, uint64_t seq)
{
    int size = 0;
    char *id = curl_easy_unescape(NULL, escaped, 0, &size);
    tool_position_t *position = NULL;
    if (id && size >= 1 && size <= SEQPUSH_ID_MAX)
        position = tool_positions_at(self, id, (size_t)size);
    curl_free(id);
    if (!position)
        return false;
    position->epoch = epoch;
    position->seq = seq;
    position->known = true;
    return true;
}

static bool s_read_line(tool_positions_t *self, char *line)
{
    char *at = line;
    const char *epoch_text = strsep(&at, " ");
    const char *seq_text = strsep(&at, " ");
    uint64_t epoch, seq;
    return at && tool_number(epoch_text, 0, UINT64_MAX, &epoch) &&
           tool_number(seq_text, 0, UINT64_MAX, &seq) && s_read_id(self, at, epoch, seq);
}

static int s_read_lines(tool_positions_t *self, FILE *file, size_t *number)
{
    char *line = NULL;
    size_t room = 0;
    int result = 0;
    *number = 0;
    while (result == 0 && getline(&line, &room, file) > 0) {
        ++*number;
        line[strcspn(line, "\n")] = '\0';
        if (!s_read_line(self, line))
            result = -EINVAL;
    }
    if (ferror(file))
        result = -EIO;
    free(line);
    return result;
}

int tool_positions_load(tool_positions_t *self, const char *path, size_t *line)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return errno == ENOENT ? 0 : -errno;
    int result = s_read_lines(self, file, line);
    fclose(file);
    return result;
}

static bool s_write_line(FILE *file, const tool_position_t *position)
{
    char *escaped = curl_easy_escape(NULL, position->id, (int)position->id_size);
    if (escaped)
        fprintf(file, "%llu %llu %s\n", (unsigned long long)position->epoch,
                (unsigned long long)position->seq, escaped);
    curl_free(escaped);
    return escaped != NULL;
}

static int s_write(const tool_positions_t *self, FILE *file)
{
    for (const entry_t *entry = self->entries; entry; entry = entry->hh.next)
        if (entry->position.known && !s_write_line(file, &entry->position))
            return -ENOMEM;
    return fflush(file) == 0 && fsync(fileno(file)) == 0 ? 0 : -errno;
}

int tool_positions_save(const tool_positions_t *self, const char *path)
{
    char *temporary;
    if (asprintf(&temporary, "%s.tmp", path) < 0)
        return -ENOMEM;
    FILE *file = fopen(temporary, "w");
    int result = file ? s_write(self, file) : -errno;
    if (file && fclose(file) != 0 && result == 0)
        result = -errno;
    if (result == 0 && rename(temporary, path) != 0)
        result = -errno;
    free(temporary);
    return result;
}
