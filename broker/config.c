/*  config.c - one table of keys, which drives loading, --set, checking and printing

    zconfig reads ZPL but lets much pass: it tells a missing file from a wrong one by nothing,
   prints its complaints to standard output, cuts long lines, keeps no line numbers, and does not
   know a key without a value from an empty one. So every line is scanned before zconfig sees it.
   What the scan lets through zconfig reads too, and since zconfig's tree in pre-order is the order
   of the file, the scan's notes on the lines go with the items of the tree one by one. */

#include "config.h"
#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <czmq.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define FILE_SIZE_MAX (1 << 20)
#define LINE_SIZE_MAX 1000 //  bytes; zconfig cuts what is beyond 1,024
#define ENTRIES_MAX 10000 //  zconfig frees its tree by recursion, a level for each sibling
#define TEXT_SIZE_MAX 512 //  bytes of a value, so that it can be printed in one line
#define ENCODING_ROOM 1024 //  bytes around a payload that count as kept with it, and some to spare
#define PAYLOADS_MIN 8 //  an eighth of the memory is the reserve, and must hold one payload

//  The policies, levels and formats that a configuration may name.
static const char *const s_policies[] = {"strict", NULL};
static const char *const s_levels[] = {"error", "warning", "info", "debug", NULL};
static const char *const s_formats[] = {"text", "json", NULL};

typedef enum { UINT32, UINT64, FLAG, TEXT, LIST, ROUTES } config_type_t;

//  What a text is about.
typedef enum { ANY, BIND, CONNECT, PATTERN, ADDRESS } config_form_t;

static const char *const s_forms[] = {
    [ANY] = "a text",
    [BIND] = "tcp://ADDRESS:PORT or ipc://PATH",
    [CONNECT] = "tcp://ADDRESS:PORT or ipc:///PATH",
    [PATTERN] = "tcp://ADDRESS:PORT with * for any, or ipc://GLOB",
    [ADDRESS] = "ADDRESS:PORT, [ADDRESS]:PORT or nothing",
};

typedef struct {
    const char *path;
    size_t offset; //  of the field in config_t, or in config_route_t
    config_type_t type;
    bool in_route;
    bool optional; //  may be empty
    const char *initial; //  default, as a file would have it; NULL: not a constant, or none
    uint64_t min, max; //  of a number
    const char *unit; //  of a number; NULL: none
    const char *const *names; //  the texts that there are; NULL: any of its form
    config_form_t form; //  of a text
    const char *help; //  of a route's key: NULL, the section has it
} config_key_t;

//  ---- the table ---------------------------------------------------------------------------------

//  A key and the field that it fills have one name, and the field's type is the key's.
#define FIELD(record, field) \
    .offset = offsetof(record, field), .type = _Generic(((record *)0)->field,                      \
        uint32_t: UINT32,                                                                          \
        uint64_t: UINT64,                                                                          \
        bool: FLAG,                                                                                \
        char *: TEXT,                                                                              \
        config_list_t: LIST)
#define KEY(section, key) .path = #section "/" #key, FIELD(config_t, section.key)
#define ROUTE_KEY(key) .path = "delivery/route/" #key, .in_route = true, FIELD(config_route_t, key)
#define RANGE(low, high, of) .min = (low), .max = (high), .unit = (of)

#define MIB (1 << 20)
#define MINUTE 60000
#define DAY 86400000

static const config_key_t s_keys[] = {
    {KEY(broker, drain_timeout), .initial = "5000", RANGE(0, 60 * MINUTE, "ms"),
     .help = "how long a stop waits for what was released to be acknowledged"},

    {KEY(front, bind), .initial = "tcp://127.0.0.1:5570", .form = BIND,
     .help = "where publishers and receivers connect; may repeat"},
    {KEY(front, max_payload), .initial = "1048576", RANGE(1, 64 * MIB, "bytes"),
     .help = "largest payload of a push"},
    {KEY(front, publisher_credit), .initial = "65536", RANGE(1, MIB, "pushes"),
     .help = "pushes that a publisher may have undecided"},

    {KEY(ordering, policy), .initial = "strict", .names = s_policies,
     .help = "what decides which push a client may receive next"},
    {KEY(ordering, window), .initial = "1024", RANGE(1, MIB, "seqs"),
     .help = "how far ahead of the next expected seq a push may be held"},
    {KEY(ordering, first_seq), .initial = "1", RANGE(1, INT64_MAX, NULL),
     .help = "first seq of a client without state"},
    {KEY(ordering, gap_alarm), .initial = "1000", RANGE(0, DAY, "ms"),
     .help = "how long a hole may be open before it is reported; 0: never reported"},
    {KEY(ordering, max_clients), .initial = "1000000", RANGE(1, 100000000, "clients"),
     .help = "clients with state"},
    {KEY(ordering, client_idle_timeout), .initial = "86400000", RANGE(1, UINT64_C(30) * DAY, "ms"),
     .help = "how long an idle client of which nothing is kept has state"},
    {KEY(ordering, memory_max), .initial = "268435456", RANGE(65536, UINT64_C(1) << 40, "bytes"),
     .help = "what is kept in all"},

    {KEY(workers, count), RANGE(1, 64, "workers"),
     .help = "sender workers; default: half the processors"},
    {KEY(workers, batch_max), .initial = "64", RANGE(1, 4096, "pushes"),
     .help = "most pushes of one delivery"},
    {KEY(workers, batch_bytes), .initial = "65536", RANGE(1, 16 * MIB, "bytes"),
     .help = "most bytes of one delivery; a larger push travels alone"},
    {KEY(workers, send_hwm), .initial = "64", RANGE(1, 65536, "frames"),
     .help = "high-water mark of an endpoint's socket"},

    {KEY(delivery, max_unacked), .initial = "1024", RANGE(1, MIB, "pushes"),
     .help = "most pushes of a client on their way"},
    {KEY(delivery, ack_timeout), .initial = "1000", RANGE(10, 10 * MINUTE, "ms"),
     .help = "how long to wait for an acknowledgement before going back"},
    {KEY(delivery, receiver_timeout), .initial = "10000", RANGE(100, 60 * MINUTE, "ms"),
     .help = "silence after which a receiver is taken as gone"},
    {KEY(delivery, backlog), .initial = "4096", RANGE(2, 16 * MIB, "pushes"),
     .help = "most pushes kept for a client, held or released"},
    {KEY(delivery, backlog_bytes), .initial = "4194304", RANGE(1024, 1024 * MIB, "bytes"),
     .help = "most bytes kept for a client"},
    {KEY(delivery, allow_endpoint), .initial = "tcp://127.0.0.1:*", .form = PATTERN,
     .help = "endpoints that receivers may name; may repeat"},
    {.path = "delivery/route",
     .type = ROUTES,
     .help = "clients whose id matches a glob go to a fixed endpoint, unacknowledged; may repeat"},
    {ROUTE_KEY(match)},
    {ROUTE_KEY(endpoint), .form = CONNECT},

    {KEY(http, bind), .initial = "127.0.0.1:5580", .optional = true, .form = ADDRESS,
     .help = "metrics and status; empty: off"},

    {KEY(security, allow_plaintext), .initial = "0", RANGE(0, 1, NULL),
     .help = "1: front and http may bind addresses off loopback, unencrypted"},

    {KEY(log, level), .initial = "info", .names = s_levels, .help = "least of what is logged"},
    {KEY(log, format), .initial = "text", .names = s_formats, .help = "of a line"},
};

#define KEYS (sizeof s_keys / sizeof *s_keys)
#define KEYS_END (s_keys + KEYS)

static const config_key_t *s_find(const char *path)
{
    for (const config_key_t *key = s_keys; key < KEYS_END; key++)
        if (strcmp(key->path, path) == 0)
            return key;
    return NULL;
}

//  True if `path` lies under `section`, a path of `size` bytes; none is the root.
static bool s_is_under(const char *path, const char *section, size_t size)
{
    return size == 0 || (strncmp(path, section, size) == 0 && path[size] == '/');
}

static bool s_is_section(const char *path, size_t size)
{
    for (const config_key_t *key = s_keys; key < KEYS_END; key++)
        if (size && s_is_under(key->path, path, size))
            return true;
    return false;
}

static uint64_t s_number(const config_t *config, const config_key_t *key)
{
    const void *field = (const char *)config + key->offset;
    switch (key->type) {
    case UINT32:
        return *(const uint32_t *)field;
    case UINT64:
        return *(const uint64_t *)field;
    default:
        assert(key->type == FLAG);
        return *(const bool *)field;
    }
}

//  ---- what a load knows -------------------------------------------------------------------------

//  Where a value comes from; a later layer takes the place of an earlier one.
typedef enum { LAYER_DEFAULT, LAYER_FILE, LAYER_SET } layer_t;

typedef struct {
    layer_t layer;
    unsigned line; //  of the file; 0: all of it
} place_t;

//  A line of the file that is an item of zconfig's tree.
typedef struct {
    unsigned line;
    bool assigned; //  has an =
} entry_t;

//  One value that was taken.
typedef struct {
    const config_key_t *key;
    size_t index; //  in a list
    place_t place;
} setting_t;

typedef struct {
    config_t *config;
    const char *file;
    char **error;
    size_t error_size;
    place_t place; //  of what is being read
    int level; //  of the last entry
    entry_t *entries;
    size_t entry_count;
    size_t entry_next;
    setting_t *settings; //  in the order taken
    size_t setting_count;
} loader_t;

//  The last setting of a key, or of one item of a list; NULL: none.
static const setting_t *s_setting(const loader_t *self, const config_key_t *key, size_t index)
{
    for (size_t i = self->setting_count; i > 0; i--)
        if (self->settings[i - 1].key == key && self->settings[i - 1].index == index)
            return &self->settings[i - 1];
    return NULL;
}

//  ---- errors ------------------------------------------------------------------------------------

//  Starts the error with the place, and the key if there is one. NULL if there is no memory.
static FILE *s_error_begin(loader_t *self, const char *path)
{
    FILE *out = open_memstream(self->error, &self->error_size);
    if (!out)
        return NULL;
    if (self->place.layer == LAYER_SET)
        fputs("--set: ", out);
    else if (self->place.line)
        fprintf(out, "%s:%u: ", self->file, self->place.line);
    else
        fprintf(out, "%s: ", self->file);
    if (path)
        fprintf(out, "%.200s: ", path);
    return out;
}

//  Ends it, as one line whatever was quoted in it.
static bool s_error_end(loader_t *self, FILE *out)
{
    if (fclose(out) != 0)
        return false;
    for (char *at = *self->error; *at; at++)
        if (iscntrl((unsigned char)*at))
            *at = '?';
    return false;
}

//  Sets the error; always false.
__attribute__((format(printf, 3, 4))) static bool s_fail(loader_t *self, const char *path,
                                                         const char *format, ...)
{
    FILE *out = s_error_begin(self, path);
    if (!out)
        return false;
    va_list arguments;
    va_start(arguments, format);
    vfprintf(out, format, arguments);
    va_end(arguments);
    return s_error_end(self, out);
}

static void s_put_names(FILE *out, const char *const *names)
{
    for (size_t i = 0; names[i]; i++)
        fprintf(out, "%s%s", i ? ", " : "", names[i]);
}

//  Says what a value of the key may be.
static void s_put_expected(FILE *out, const config_key_t *key)
{
    if (key->names)
        s_put_names(out, key->names);
    else if (key->type == TEXT || key->type == LIST)
        fputs(s_forms[key->form], out);
    else
        fprintf(out, "a whole number%s%s from %" PRIu64 " to %" PRIu64, key->unit ? " of " : "",
                key->unit ? key->unit : "", key->min, key->max);
}

static bool s_fail_value(loader_t *self, const config_key_t *key, const char *text,
                         const char *wrong)
{
    FILE *out = s_error_begin(self, key->path);
    if (!out)
        return false;
    if (text)
        fprintf(out, "\"%.100s\" ", text);
    fprintf(out, "%s, expected ", wrong);
    s_put_expected(out, key);
    return s_error_end(self, out);
}

//  True if the paths' first parts are the same.
static bool s_same_part(const char *a, const char *b)
{
    size_t size = strcspn(a, "/");
    return size == strcspn(b, "/") && strncmp(a, b, size) == 0;
}

//  Names what stands in the table in the unknown path's place: keys, or sections if that is
//  unknown.
static bool s_fail_unknown(loader_t *self, const char *path)
{
    const char *slash = s_is_section(path, strcspn(path, "/")) ? strrchr(path, '/') : NULL;
    size_t size = slash ? (size_t)(slash - path) : 0;
    FILE *out = s_error_begin(self, path);
    if (!out)
        return false;
    fputs("is not known, expected", out);
    const char *last = NULL;
    for (const config_key_t *key = s_keys; key < KEYS_END; key++) {
        if (!s_is_under(key->path, path, size))
            continue;
        const char *name = key->path + (size ? size + 1 : 0);
        if (!last || !s_same_part(name, last))
            fprintf(out, "%s %.*s", last ? "," : "", (int)strcspn(name, "/"), name);
        last = name;
    }
    fputs(last ? "" : " nothing under a value", out);
    return s_error_end(self, out);
}

//  ---- addresses ---------------------------------------------------------------------------------

typedef struct {
    char host[64];
    const char *port; //  empty if there is none
    bool literal; //  an IPv4 address, or an IPv6 address in brackets, as inet_ntop writes it
    bool loopback;
} address_t;

//  Endpoints are compared as texts, so of the many spellings of an IPv6 address one counts.
static void s_read_host(address_t *self)
{
    struct in6_addr v6;
    struct in_addr v4;
    char inner[sizeof self->host] = "", usual[INET6_ADDRSTRLEN] = "";
    size_t size = strlen(self->host);
    if (size > 2 && self->host[0] == '[' && self->host[size - 1] == ']') {
        memcpy(inner, self->host + 1, size - 2);
        self->literal = inet_pton(AF_INET6, inner, &v6) == 1 &&
                        inet_ntop(AF_INET6, &v6, usual, sizeof usual) && strcmp(inner, usual) == 0;
        self->loopback = self->literal && IN6_IS_ADDR_LOOPBACK(&v6);
    } else {
        self->literal = inet_pton(AF_INET, self->host, &v4) == 1;
        self->loopback = self->literal && ntohl(v4.s_addr) >> 24 == 127;
    }
}

//  Reads HOST:PORT; what is not that has no port and is not literal.
static address_t s_address(const char *text)
{
    address_t self = {.port = ""};
    const char *colon = strrchr(text, ':');
    if (!colon || colon - text >= (ptrdiff_t)sizeof self.host)
        return self;
    memcpy(self.host, text, (size_t)(colon - text));
    self.port = colon + 1;
    s_read_host(&self);
    return self;
}

//  What follows the prefix; NULL if the text does not start with it.
static const char *s_after(const char *text, const char *prefix)
{
    size_t size = strlen(prefix);
    return strncmp(text, prefix, size) == 0 ? text + size : NULL;
}

//  A whole decimal number without a sign; one that is too large for 64 bits gives the largest.
static bool s_read_number(const char *text, uint64_t *number)
{
    if (!*text || text[strspn(text, "0123456789")])
        return false;
    *number = strtoull(text, NULL, 10);
    return true;
}

//  What is ours may have port 0, any free one; * is that too, or any port of somebody else.
static bool s_is_port(config_form_t form, const char *text)
{
    bool ours = form == BIND || form == ADDRESS;
    if (strcmp(text, "*") == 0)
        return form == BIND || form == PATTERN;
    uint64_t port;
    return s_read_number(text, &port) && (ours || *text != '0') && port <= UINT16_MAX;
}

static const char *s_check_path(config_form_t form, const char *path)
{
    if (!*path || strcmp(path, "@") == 0)
        return "has an empty path";
    if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return "has a path that is too long for a socket";
    return form == CONNECT && *path != '/' ? "has no absolute path" : NULL;
}

//  A name would have to be resolved, so a host is an address, or * for all where that makes sense.
static const char *s_check_form(config_form_t form, const char *text)
{
    if (form == ANY)
        return NULL;
    const char *path = s_after(text, "ipc://");
    const char *host = form == ADDRESS ? text : s_after(text, "tcp://");
    if (path && form != ADDRESS)
        return s_check_path(form, path);
    if (!host)
        return "is neither tcp:// nor ipc://";
    address_t address = s_address(host);
    bool any = strcmp(address.host, "*") == 0 && (form == BIND || form == PATTERN);
    if (!any && !address.literal)
        return "has no literal address in its usual form";
    return s_is_port(form, address.port) ? NULL : "has no valid port";
}

//  Can `text`, which was checked, be reached from this machine alone?
static bool s_is_local(const char *text)
{
    const char *tcp = s_after(text, "tcp://");
    return s_after(text, "ipc://") || s_address(tcp ? tcp : text).loopback;
}

//  ---- taking values -----------------------------------------------------------------------------

static bool s_is_named(const char *text, const char *const *names)
{
    while (*names && strcmp(*names, text) != 0)
        names++;
    return *names != NULL;
}

//  What is wrong with a text as such: what could not be printed and read again, to begin with.
static const char *s_check_text(const config_key_t *key, const char *text)
{
    if (!*text)
        return key->optional ? NULL : "is empty";
    if (strlen(text) > TEXT_SIZE_MAX)
        return "is too long";
    for (const char *at = text; *at; at++)
        if (iscntrl((unsigned char)*at))
            return "has a control character";
    if (strchr(text, '"') && strchr(text, '\''))
        return "has quotes of both kinds";
    if (key->names && !s_is_named(text, key->names))
        return "is not known";
    return s_check_form(key->form, text);
}

static const char *s_check_number(const config_key_t *key, const char *text, uint64_t *number)
{
    if (!*text)
        return "is empty";
    if (!s_read_number(text, number))
        return "is not a whole number";
    return *number < key->min || *number > key->max ? "is out of range" : NULL;
}

static void s_list_clear(config_list_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->items[i]);
    free(self->items);
    *self = (config_list_t){0};
}

static bool s_list_add(config_list_t *self, const char *text)
{
    char **items = realloc(self->items, (self->count + 1) * sizeof *items);
    if (!items)
        return false;
    self->items = items;
    items[self->count] = strdup(text);
    return items[self->count] && ++self->count;
}

static bool s_text_set(char **self, const char *text)
{
    free(*self);
    *self = strdup(text);
    return *self != NULL;
}

static bool s_store(const config_key_t *key, void *field, const char *text, uint64_t number)
{
    switch (key->type) {
    case UINT32:
        *(uint32_t *)field = (uint32_t)number;
        return true;
    case UINT64:
        *(uint64_t *)field = number;
        return true;
    case FLAG:
        *(bool *)field = number != 0;
        return true;
    case LIST:
        return s_list_add(field, text);
    default:
        assert(key->type == TEXT);
        return s_text_set(field, text);
    }
}

//  The field that a key fills; of a route's key it is that of the last route.
static void *s_field(const config_t *config, const config_key_t *key)
{
    if (!key->in_route)
        return (char *)config + key->offset;
    return (char *)&config->delivery.routes[config->delivery.route_count - 1] + key->offset;
}

//  Was the key given before in this layer, or in this route?
static bool s_is_repeated(const loader_t *self, const config_key_t *key, const char *const *field)
{
    if (key->in_route)
        return *field != NULL;
    const setting_t *last = s_setting(self, key, 0);
    return last && last->place.layer == self->place.layer;
}

//  Takes a value for a key, in place of what an earlier layer has given.
static bool s_take(loader_t *self, const config_key_t *key, const char *text)
{
    bool is_text = key->type == TEXT || key->type == LIST;
    uint64_t number = 0;
    const char *wrong = is_text ? s_check_text(key, text) : s_check_number(key, text, &number);
    if (wrong)
        return s_fail_value(self, key, text, wrong);
    void *field = s_field(self->config, key);
    bool repeated = s_is_repeated(self, key, field);
    if (repeated && key->type != LIST)
        return s_fail(self, key->path, "is given twice, expected it once");
    if (!repeated && key->type == LIST)
        s_list_clear(field);
    size_t index = key->type == LIST ? ((config_list_t *)field)->count : 0;
    self->settings[self->setting_count++] = (setting_t){key, index, self->place};
    return s_store(key, field, text, number) || s_fail(self, key->path, "no memory");
}

//  ---- the file, before zconfig ------------------------------------------------------------------

//  Reads the file whole. A pipe is as good as a file.
static char *s_read_file(loader_t *self, size_t *size)
{
    char *text = malloc(FILE_SIZE_MAX + 1);
    FILE *in = text ? fopen(self->file, "re") : NULL;
    if (in)
        *size = fread(text, 1, FILE_SIZE_MAX + 1, in);
    bool ok = in && !ferror(in);
    if (!ok)
        s_fail(self, NULL, "%s, expected a file that can be read", strerror(errno));
    else if (*size > FILE_SIZE_MAX)
        ok = s_fail(self, NULL, "is too large, expected at most %d bytes", FILE_SIZE_MAX);
    else
        text[*size] = '\0';
    if (in)
        fclose(in);
    if (!ok)
        free(text);
    return ok ? text : NULL;
}

//  Checks what follows the = of a line.
static bool s_scan_value(loader_t *self, const char *value)
{
    value += strspn(value, " \t");
    if (*value == '#')
        return s_fail(self, NULL,
                      "a comment in place of the value, expected \"\" for an empty one");
    if (*value != '"' && *value != '\'') {
        const char *hash = strchr(value, '#');
        if (hash && !isspace((unsigned char)hash[-1]))
            return s_fail(self, NULL,
                          "an unquoted # starts a comment, expected the value in quotes");
        return true;
    }
    const char *end = strchr(value + 1, *value);
    if (!end)
        return s_fail(self, NULL, "a quote is not closed, expected another %c", *value);
    end += 1 + strspn(end + 1, " \t");
    if (*end && *end != '#')
        return s_fail(self, NULL, "\"%.40s\" after the quote, expected the end of the line", end);
    return true;
}

//  Notes a line that makes an item of zconfig's tree.
static bool s_scan_entry(loader_t *self, int level, bool assigned)
{
    if (level > self->level + 1)
        return s_fail(self, NULL, "indented too far, expected at most %d spaces",
                      4 * (self->level + 1));
    if (self->entry_count == ENTRIES_MAX)
        return s_fail(self, NULL, "too much, expected at most %d names", ENTRIES_MAX);
    self->level = level;
    self->entries[self->entry_count++] = (entry_t){self->place.line, assigned};
    return true;
}

//  Checks a line without its end. What is let through here zconfig must read, in the same way.
static bool s_scan_line(loader_t *self, const char *line)
{
    size_t indent = strspn(line, " ");
    const char *name = line + indent;
    if (!*name)
        return true;
    if (*name == '\t')
        return s_fail(self, NULL, "indented by a tab, expected four spaces a level");
    if (indent % 4)
        return s_fail(self, NULL, "indented by %zu spaces, expected four a level", indent);
    if (*name == '#')
        return true;
    size_t size = strspn(name, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-");
    const char *rest = name + size + strspn(name + size, " \t");
    if (size == 0 || (*rest && *rest != '=' && *rest != '#'))
        return s_fail(self, NULL, "\"%.40s\", expected NAME = VALUE, or NAME alone for a section",
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
static bool s_scan(loader_t *self, const char *text, size_t size)
{
    const char *end = text + size;
    while (text < end) {
        self->place.line++;
        const char *next = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((next ? next : end) - text);
        if (length > LINE_SIZE_MAX)
            return s_fail(self, NULL, "line too long, expected at most %d bytes", LINE_SIZE_MAX);
        char line[LINE_SIZE_MAX + 1];
        memcpy(line, text, length);
        while (length && isspace((unsigned char)line[length - 1]))
            length--;
        line[length] = '\0';
        if (!s_is_text(line, length))
            return s_fail(self, NULL, "a control character, expected text");
        if (!s_scan_line(self, line))
            return false;
        text = next ? next + 1 : end;
    }
    self->place.line = 0;
    return true;
}

//  ---- the tree that zconfig makes ---------------------------------------------------------------

static bool s_add_route(loader_t *self)
{
    size_t count = self->config->delivery.route_count;
    config_route_t *routes = realloc(self->config->delivery.routes, (count + 1) * sizeof *routes);
    if (!routes)
        return s_fail(self, NULL, "no memory");
    routes[count] = (config_route_t){0};
    self->config->delivery.routes = routes;
    self->config->delivery.route_count++;
    return true;
}

//  Takes one item of the tree: a section, or a key with its value.
static bool s_take_item(loader_t *self, const char *path, const char *value, bool assigned)
{
    const config_key_t *key = s_find(path);
    bool is_section = s_is_section(path, strlen(path));
    if (!key && !is_section)
        return s_fail_unknown(self, path);
    if (is_section && assigned)
        return s_fail(self, path, "has a value, expected a section");
    if (is_section)
        return !key || s_add_route(self);
    if (!assigned)
        return s_fail_value(self, key, NULL, "has no value");
    return s_take(self, key, value);
}

//  A route that was read whole must have both its keys.
static bool s_check_route(loader_t *self, const char *path)
{
    const config_t *config = self->config;
    for (const config_key_t *key = s_keys; key < KEYS_END; key++)
        if (key->in_route && !*(char *const *)s_field(config, key))
            return s_fail(self, path, "has no %s, expected one", strrchr(key->path, '/') + 1);
    return true;
}

//  Walks the tree in pre-order, and the entries along with it.
static bool s_walk(loader_t *self, zconfig_t *parent, const char *section)
{
    for (zconfig_t *item = zconfig_child(parent); item; item = zconfig_next(item)) {
        assert(self->entry_next < self->entry_count);
        const entry_t *entry = &self->entries[self->entry_next++];
        char path[2 * LINE_SIZE_MAX];
        snprintf(path, sizeof path, "%s%s%s", section, *section ? "/" : "", zconfig_name(item));
        self->place.line = entry->line;
        if (!s_take_item(self, path, zconfig_value(item), entry->assigned) ||
            !s_walk(self, item, path))
            return false;
        self->place.line = entry->line;
        const config_key_t *key = s_find(path);
        if (key && key->type == ROUTES && !s_check_route(self, path))
            return false;
    }
    return true;
}

static bool s_load_file(loader_t *self)
{
    self->place = (place_t){.layer = LAYER_FILE};
    size_t size = 0;
    char *text = s_read_file(self, &size);
    if (!text)
        return false;
    bool ok = s_scan(self, text, size);
    if (ok) {
        zconfig_t *root = zconfig_str_load(text);
        ok = root ? s_walk(self, root, "") : s_fail(self, NULL, "zconfig cannot read it");
        zconfig_destroy(&root);
    }
    free(text);
    return ok;
}

//  ---- the other layers --------------------------------------------------------------------------

static uint32_t s_half_the_processors(const config_key_t *key)
{
    long half = sysconf(_SC_NPROCESSORS_ONLN) / 2;
    if (half < (long)key->min)
        return (uint32_t)key->min;
    return half > (long)key->max ? (uint32_t)key->max : (uint32_t)half;
}

static bool s_load_defaults(loader_t *self)
{
    for (const config_key_t *key = s_keys; key < KEYS_END; key++)
        if (key->initial && !s_take(self, key, key->initial))
            return false;
    self->config->workers.count = s_half_the_processors(s_find("workers/count"));
    return true;
}

static bool s_load_set(loader_t *self, const char *set)
{
    size_t size = strcspn(set, "=");
    char *path = strndup(set, size);
    if (!path)
        return s_fail(self, NULL, "no memory");
    const config_key_t *key = s_find(path);
    bool ok;
    if (key && (key->in_route || key->type == ROUTES))
        ok = s_fail(self, path, "stands in the file alone, expected it there");
    else if (s_is_section(path, strlen(path)))
        ok = s_fail(self, path, "is a section, expected SECTION/KEY=VALUE");
    else if (!key)
        ok = s_fail_unknown(self, path);
    else if (!set[size])
        ok = s_fail_value(self, key, NULL, "has no = and value");
    else
        ok = s_take(self, key, set + size + 1);
    free(path);
    return ok;
}

static bool s_load_sets(loader_t *self, char *const *sets, size_t count)
{
    self->place = (place_t){.layer = LAYER_SET};
    for (size_t i = 0; i < count; i++)
        if (!s_load_set(self, sets[i]))
            return false;
    return true;
}

//  ---- what must hold between keys ---------------------------------------------------------------

//  Blames, of two keys that do not go together, the one that was given in the later layer.
static bool s_check_pair(loader_t *self, bool holds, const char *path, const char *other,
                         const char *expected)
{
    if (holds)
        return true;
    const config_key_t *keys[] = {s_find(path), s_find(other)};
    const setting_t *a = s_setting(self, keys[0], 0), *b = s_setting(self, keys[1], 0);
    size_t blamed = b->place.layer > a->place.layer;
    self->place = blamed ? b->place : a->place;
    return s_fail(self, keys[blamed]->path,
                  "%" PRIu64 " does not go with %s = %" PRIu64 ", expected %s",
                  s_number(self->config, keys[blamed]), keys[!blamed]->path,
                  s_number(self->config, keys[!blamed]), expected);
}

static bool s_check_pairs(loader_t *self)
{
    const config_t *config = self->config;
    uint64_t kept = (uint64_t)config->front.max_payload + ENCODING_ROOM;
    return s_check_pair(self, config->ordering.window <= config->delivery.backlog / 2,
                        "ordering/window", "delivery/backlog",
                        "a window of at most half the backlog") &&
           s_check_pair(self, config->delivery.backlog_bytes >= kept, "delivery/backlog_bytes",
                        "front/max_payload", "room for one payload and 1024 bytes") &&
           s_check_pair(self, config->ordering.memory_max >= PAYLOADS_MIN * kept,
                        "ordering/memory_max", "front/max_payload",
                        "room for eight payloads and 1024 bytes with each");
}

static bool s_check_local(loader_t *self, const char *path, size_t index, const char *text)
{
    if (!*text || s_is_local(text))
        return true;
    self->place = s_setting(self, s_find(path), index)->place;
    return s_fail(self, path,
                  "\"%.100s\" is not a loopback address, expected 127.0.0.0/8 or [::1], or "
                  "security/allow_plaintext = 1",
                  text);
}

static bool s_check_plaintext(loader_t *self)
{
    const config_t *config = self->config;
    if (config->security.allow_plaintext)
        return true;
    for (size_t i = 0; i < config->front.bind.count; i++)
        if (!s_check_local(self, "front/bind", i, config->front.bind.items[i]))
            return false;
    return s_check_local(self, "http/bind", 0, config->http.bind);
}

//  ---- the interface -----------------------------------------------------------------------------

config_t *config_load(const char *file, char *const *sets, size_t set_count, char **error)
{
    *error = NULL;
    loader_t self = {.file = file ? file : "", .error = error, .level = -1};
    self.config = calloc(1, sizeof *self.config);
    self.entries = calloc(ENTRIES_MAX, sizeof *self.entries);
    self.settings = calloc(KEYS + ENTRIES_MAX + set_count, sizeof *self.settings);
    bool ok = self.config && self.entries && self.settings && s_load_defaults(&self) &&
              (!file || s_load_file(&self)) && s_load_sets(&self, sets, set_count) &&
              s_check_pairs(&self) && s_check_plaintext(&self);
    free(self.entries);
    free(self.settings);
    if (!ok)
        config_destroy(&self.config);
    return self.config;
}

void config_destroy(config_t **self_p)
{
    config_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->delivery.route_count; i++) {
        free(self->delivery.routes[i].match);
        free(self->delivery.routes[i].endpoint);
    }
    free(self->delivery.routes);
    for (const config_key_t *key = s_keys; key < KEYS_END; key++) {
        if (key->type == LIST)
            s_list_clear(s_field(self, key));
        else if (key->type == TEXT && !key->in_route)
            free(*(char **)s_field(self, key));
    }
    free(self);
    *self_p = NULL;
}

//  A text has quotes of one kind at most, so the other kind goes around it.
static void s_print_text(FILE *out, int indent, const char *name, const char *text)
{
    char quote = strchr(text, '"') ? '\'' : '"';
    fprintf(out, "%*s%s = %c%s%c\n", indent, "", name, quote, text, quote);
}

static void s_print_list(const config_list_t *list, const char *name, FILE *out)
{
    for (size_t i = 0; i < list->count; i++)
        s_print_text(out, 4, name, list->items[i]);
}

static void s_print_routes(const config_t *self, FILE *out)
{
    for (size_t i = 0; i < self->delivery.route_count; i++) {
        fprintf(out, "    route\n");
        s_print_text(out, 8, "match", self->delivery.routes[i].match);
        s_print_text(out, 8, "endpoint", self->delivery.routes[i].endpoint);
    }
}

static void s_print_value(const config_t *self, const config_key_t *key, FILE *out)
{
    const char *name = strchr(key->path, '/') + 1;
    switch (key->type) {
    case ROUTES:
        s_print_routes(self, out);
        break;
    case LIST:
        s_print_list(s_field(self, key), name, out);
        break;
    case TEXT:
        s_print_text(out, 4, name, *(char **)s_field(self, key));
        break;
    default:
        fprintf(out, "    %s = %" PRIu64 "\n", name, s_number(self, key));
    }
}

static void s_print_help(const config_key_t *key, FILE *out)
{
    fprintf(out, "    #  %s", key->help);
    if (key->names) {
        fputs(": ", out);
        s_put_names(out, key->names);
    }
    if (key->unit)
        fprintf(out, " (%s, %" PRIu64 " to %" PRIu64 ")", key->unit, key->min, key->max);
    fputc('\n', out);
}

void config_print(const config_t *self, FILE *out)
{
    const char *section = NULL;
    for (const config_key_t *key = s_keys; key < KEYS_END; key++) {
        if (key->in_route)
            continue;
        if (!section || !s_same_part(section, key->path))
            fprintf(out, "%.*s\n", (int)strcspn(key->path, "/"), key->path);
        section = key->path;
        s_print_help(key, out);
        s_print_value(self, key, out);
    }
}
