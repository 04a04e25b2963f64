/*  tool.h - what the commands of the seqpush tool share

    A command reads its options with tool_parse, does its work with the client library, and returns
    an exit status. Everything here is for the main thread, unless it says otherwise. */

#ifndef SEQPUSH_TOOL_H
#define SEQPUSH_TOOL_H

#include "seqpush.h"
#include <jansson.h>
#include <stdio.h>

//  Exit statuses; --help of a command says what they mean there.
enum { TOOL_OK = 0, TOOL_BAD = 1, TOOL_USAGE = 2, TOOL_UNABLE = 3 };

//  What the options that all commands have are set to.
typedef struct {
    const char *broker; //  front endpoint
    const char *http; //  the broker's http address
    const char *key; //  file with the own CURVE keys; NULL: plaintext
    const char *server_key; //  the broker's
    bool json; //  results as JSON
} tool_t;

//  ---- options -----------------------------------------------------------------------------------

typedef struct {
    const char **items; //  borrowed from argv
    size_t count;
} tool_list_t;

typedef enum { TOOL_FLAG, TOOL_NUMBER, TOOL_STRING, TOOL_LIST } tool_kind_t;

//  One long option and where its value goes, by kind: bool, uint64_t, const char *, tool_list_t.
typedef struct {
    const char *name;
    tool_kind_t kind;
    void *value;
    uint64_t min, max; //  numbers
    const char *argument; //  as --help names it; NULL for a flag
    const char *help;
} tool_option_t;

//  What a command is called with; all but the name is for --help.
typedef struct {
    const char *name;
    const char *usage; //  what follows the name
    const char *description; //  lines
    const char *statuses; //  lines on the exit status
    size_t operands_min, operands_max;
} tool_command_t;

//  Reads options wherever they stand, the common ones too, and leaves the operands: `*argv` is
//  moved to the first of them. Returns how many there are. Wrong use ends the process with a
//  message and status 2, --help with status 0. Lists must be freed by the caller, their items not.
size_t tool_parse(tool_t *tool, const tool_command_t *command, const tool_option_t *options,
                  size_t option_count, int argc, char ***argv);

//  Ends the process with a message on wrong use of the command and status 2.
_Noreturn void tool_misused(const tool_command_t *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

//  Reads a whole unsigned decimal number. False if `text` is anything else or out of range.
bool tool_number(const char *text, uint64_t min, uint64_t max, uint64_t *value);

//  Reads an id, a client's or a receiver's as `what` says, out of an operand, which may be base64. Returns
//  its size; wrong use ends the process.
size_t tool_read_id(const tool_command_t *command, const char *what, const char *text, bool base64,
                    uint8_t id[SEQPUSH_ID_MAX]);

//  Makes the id of client `number` (from 1) of `count` that share a name: NAME-number, or the name
//  alone where count is 0. The caller frees it. NULL if it would be longer than an id may be.
char *tool_client_id(const char *name, uint64_t number, uint64_t count);

//  ---- messages and results ----------------------------------------------------------------------

//  Writes "seqpush: message" and a newline to standard error. Any thread.
void tool_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

//  Says that the broker's front does not answer, and what to look at.
void tool_say_silent(const tool_t *tool);

//  Says why there is no publisher for the broker, by `error` of seqpush_publisher_new.
void tool_say_unusable(const tool_t *tool, int error);

//  Says why the broker has not done what a publisher asked for, by `error`; `right` is what the key needs.
void tool_say_refused(const tool_t *tool, int error, const char *right);

//  Does so for the first few of many complaints; `*count` is how many there have been.
void tool_complain(uint64_t *count, const char *format, ...) __attribute__((format(printf, 2, 3)));

//  Writes `object` as one line and releases it. NULL, for want of memory, ends the process.
void tool_print_json(FILE *out, json_t *object);

//  Bytes as a JSON member: as text under `name` if they are UTF-8, else as base64 under
//  `name`_base64.
void tool_set_bytes(json_t *object, const char *name, const void *bytes, size_t size);

//  ---- time and signals --------------------------------------------------------------------------

//  Monotonic ns. Any thread.
int64_t tool_now(void);

//  Sleeps until monotonic `when` ns, or a signal. Any thread.
void tool_sleep_until(int64_t when);

//  From here on SIGINT and SIGTERM set what tool_interrupted returns, and SIGPIPE is ignored.
void tool_catch_signals(void);

//  Any thread.
bool tool_interrupted(void);

//  ---- the broker's figures ----------------------------------------------------------------------

//  Gets `path` from the broker's http address, and `*status`, the status of the answer. Returns the
//  body, which the caller frees, or NULL with `*error` set to a sentence that the caller frees.
char *tool_http_get(const tool_t *tool, const char *path, long *status, char **error);

//  The same as JSON. The caller has the reference. NULL: it was said why not.
json_t *tool_api_get(const tool_t *tool, const char *path);

//  Bytes of an id as a part of a path. The caller frees it. NULL: no memory.
char *tool_api_encode(const void *id, size_t size);

//  What stands at a path of members, separated by slashes; NULL if nothing does.
const json_t *tool_find(const json_t *from, const char *path);

#define TOOL_FIGURE_MAX 32
#define TOOL_HEADING_MAX 128

//  Seconds from which on a list of the broker is old, so that it is said how old.
#define TOOL_OLD 2.5

typedef enum { TOOL_COUNT, TOOL_BYTES, TOOL_AGE, TOOL_RATE } tool_form_t;

//  A figure as a person reads it; "-" if it is no number. Ages are in seconds. Returns `text`, or a
//  constant.
const char *tool_figure(char text[TOOL_FIGURE_MAX], const json_t *figure, tool_form_t form);

//  The heading of a list that /api/status has: `some` or `none`, and from when it is if that is long ago; or
//  that it is not known. Returns `text`.
const char *tool_heading(char text[TOOL_HEADING_MAX], const json_t *list, const char *rows,
                         const char *some, const char *none);

#define TOOL_ID_TEXT (4 * SEQPUSH_ID_MAX + 8)

//  The id `name` of an object as it can be printed: what would move the cursor is escaped. Bytes that
//  are no text are in base64, with "base64:" before them; "-" if there is no id.
const char *tool_id_text(char text[TOOL_ID_TEXT], const json_t *object, const char *name);

//  The same of an id as bytes.
const char *tool_id_show(char text[TOOL_ID_TEXT], const void *id, size_t size);

//  An epoch or a seq as a JSON number, which jansson has up to 2^63 - 1; rounded beyond that.
json_t *tool_json_number(uint64_t number);

//  ---- lines of input ----------------------------------------------------------------------------

typedef struct tool_lines tool_lines_t;

typedef enum {
    LINES_LINE,
    LINES_TOO_LONG,
    LINES_WAIT,
    LINES_END,
    LINES_FAILED
} tool_lines_result_t;

//  Reads `fd`, which stays the caller's, line by line. NULL: no memory.
tool_lines_t *tool_lines_new(int fd, size_t limit);
void tool_lines_destroy(tool_lines_t **self_p);

//  The next line, of any bytes, without its newline; it is valid until the next call. A line longer
//  than the limit is passed over (LINES_TOO_LONG). Waits up to `timeout_ms` for input (LINES_WAIT).
//  LINES_FAILED sets errno.
tool_lines_result_t tool_lines_next(tool_lines_t *self, int timeout_ms, const char **line,
                                    size_t *size);

//  ---- lines in a scrambled order ----------------------------------------------------------------

typedef struct tool_block tool_block_t;

typedef struct {
    const char *bytes;
    size_t size;
    uint64_t number; //  as it was added
} tool_line_t;

//  A block of at most `max` lines. NULL: no memory.
tool_block_t *tool_block_new(size_t max, uint64_t seed);
void tool_block_destroy(tool_block_t **self_p);

//  Empties it.
void tool_block_clear(tool_block_t *self);

//  True if it has as many lines, or bytes, as it may have.
bool tool_block_is_full(const tool_block_t *self);

//  Adds a copy of a line; the block is not full. False: no memory.
bool tool_block_add(tool_block_t *self, const char *bytes, size_t size, uint64_t number);

void tool_block_scramble(tool_block_t *self);

//  The line at a place, which is valid until the block changes. False beyond the last.
bool tool_block_at(const tool_block_t *self, size_t index, tool_line_t *line);

//  ---- several publishers ------------------------------------------------------------------------

#define TOOL_OUTCOMES 12

typedef struct tool_connections tool_connections_t;

//  As many publishers with the same options. NULL with errno set, as seqpush_publisher_new does.
tool_connections_t *tool_connections_new(const seqpush_publisher_options_t *options, size_t count);
void tool_connections_destroy(tool_connections_t **self_p);

//  Pushes by one of them, as seqpush_publisher_push does.
int tool_connections_push(tool_connections_t *self, size_t way, const seqpush_push_t *push);

//  Polls all of them, and waits up to `timeout_ms` for the one that is busy. Returns 0 or a negative
//  errno.
int tool_connections_turn(tool_connections_t *self, size_t busy, int timeout_ms);

//  Their figures together.
void tool_connections_stats(const tool_connections_t *self, seqpush_publisher_stats_t *sum);

//  Pushes with an outcome.
uint64_t tool_decided(const seqpush_publisher_stats_t *stats);

//  ---- positions of clients ----------------------------------------------------------------------

typedef struct tool_positions tool_positions_t;

typedef struct {
    uint64_t epoch, seq;
    size_t id_size;
    bool known; //  epoch and seq mean something
    const char *id;
} tool_position_t;

//  NULL: no memory.
tool_positions_t *tool_positions_new(void);
void tool_positions_destroy(tool_positions_t **self_p);

//  The client's position, made (not known) if it has none. Owned by the table. NULL: no memory.
tool_position_t *tool_positions_at(tool_positions_t *self, const void *id, size_t id_size);

//  Calls `each` with every position.
void tool_positions_each(const tool_positions_t *self,
                         void (*each)(void *arg, const tool_position_t *position), void *arg);

//  ---- commands ----------------------------------------------------------------------------------

//  Each gets its own name as argv[0] and returns the exit status.
int push_run(tool_t *tool, int argc, char **argv);
int receive_run(tool_t *tool, int argc, char **argv);
int status_run(tool_t *tool, int argc, char **argv);
int explain_run(tool_t *tool, int argc, char **argv);
int clients_run(tool_t *tool, int argc, char **argv);
int top_run(tool_t *tool, int argc, char **argv);
int detach_run(tool_t *tool, int argc, char **argv);
int skip_run(tool_t *tool, int argc, char **argv);
int keygen_run(tool_t *tool, int argc, char **argv);
int reset_run(tool_t *tool, int argc, char **argv);
int journal_run(tool_t *tool, int argc, char **argv);
int bench_run(tool_t *tool, int argc, char **argv);

#endif
