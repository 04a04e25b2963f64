//  config_key.c - the keys of a configuration; see config_key.h

#include "config_key.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

//  ---- the table ---------------------------------------------------------------------------------

//  The policies, levels and formats that a configuration may name.
static const char *const s_policies[] = {"strict", "deadline", "latest", "passthrough", NULL};
static const char *const s_engines[] = {"none", "lmdb", NULL};
static const char *const s_roles[] = {"publisher", "receiver", "admin", NULL};
static const char *const s_levels[] = {"error", "warning", "info", "debug", NULL};
static const char *const s_formats[] = {"text", "json", NULL};

//  A key and the field that it fills have one name, and the field's type is the key's.
#define FIELD(record, field) \
    .offset = offsetof(record, field), .type = _Generic(((record *)0)->field,                      \
        uint32_t: KEY_UINT32,                                                                          \
        uint64_t: KEY_UINT64,                                                                          \
        bool: KEY_FLAG,                                                                                \
        char *: KEY_TEXT,                                                                              \
        config_list_t: KEY_LIST)
#define KEY(section, key) .path = #section "/" #key, FIELD(config_t, section.key)
#define ROUTE_KEY(key) \
    .path = "delivery/route/" #key, .section = SECTION_ROUTE, FIELD(config_route_t, key)
#define RULE_KEY(key) \
    .path = "ordering/rule/" #key, .section = SECTION_RULE, FIELD(config_rule_t, key)
#define ACCESS_KEY(key) \
    .path = "security/key/" #key, .section = SECTION_ACCESS, FIELD(config_access_t, key)
#define RANGE(low, high, of) .min = (low), .max = (high), .unit = (of)

//  Of ordering and of its rules.
#define POLICY_VALUES .names = s_policies, .open = true
#define WINDOW_VALUES RANGE(1, MIB, "seqs")
#define FIRST_SEQ_VALUES RANGE(1, INT64_MAX, NULL)
#define GAP_TIMEOUT_VALUES RANGE(1, DAY, "ms")
#define GAP_ALARM_VALUES RANGE(0, DAY, "ms")
#define REPAIR_DELAY_VALUES RANGE(0, MINUTE, "ms")

#define MIB (1 << 20)
#define MINUTE 60000
#define DAY 86400000

const config_key_t config_keys[] = {
    {KEY(broker, drain_timeout), .initial = "5000", RANGE(0, 60 * MINUTE, "ms"), .live = true,
     .help = "how long a stop waits for what was released to be acknowledged"},

    {KEY(front, bind), .initial = "tcp://127.0.0.1:5570", .form = FORM_BIND,
     .help = "where publishers and receivers connect; may repeat"},
    {KEY(front, max_payload), .initial = "1048576", RANGE(1, 64 * MIB, "bytes"),
     .help = "largest payload of a push"},
    {KEY(front, publisher_credit), .initial = "65536", RANGE(1, MIB, "pushes"),
     .help = "pushes that a publisher may have undecided"},
    {KEY(front, publisher_rate), .initial = "0", RANGE(0, 1000 * MIB, "pushes"),
     .help = "pushes a second that a publisher may send; 0: as many as it likes"},
    {KEY(front, handshake_timeout), .initial = "10000", RANGE(10, 60 * MINUTE, "ms"),
     .help = "how long a peer that connects has to say who it is"},
    {KEY(front, max_connections), .initial = "0", RANGE(0, 1000000, "connections"),
     .help = "connections at a time; 0: half of what descriptors allow"},
    {KEY(front, max_unread), .initial = "16777216", RANGE(65536, 1024 * MIB, "bytes"),
     .help = "replies that a peer has not read; more are dropped"},
    {KEY(front, own_thread), .initial = "0", RANGE(0, 1, NULL),
     .help = "1: the front works beside the orderer, not in its thread"},

    {KEY(ordering, policy), .initial = "strict", POLICY_VALUES, .live = true,
     .help = "what decides which push a client may receive next"},
    {KEY(ordering, plugin), .initial = "", .optional = true, .form = FORM_FILE,
     .help = "shared object with one more policy; empty: none"},
    {KEY(ordering, window), .initial = "1024", WINDOW_VALUES, .live = true,
     .help = "how far ahead of the next expected seq a push may be held"},
    {KEY(ordering, first_seq), .initial = "1", FIRST_SEQ_VALUES, .live = true,
     .help = "first seq of a client without state"},
    {KEY(ordering, gap_timeout), .initial = "5000", GAP_TIMEOUT_VALUES, .live = true,
     .help = "how long the policy deadline waits for a hole to be filled"},
    {KEY(ordering, gap_alarm), .initial = "1000", GAP_ALARM_VALUES, .live = true,
     .help = "how long a hole may be open before it is reported; 0: never reported"},
    {KEY(ordering, repair_delay), .initial = "20", REPAIR_DELAY_VALUES, .live = true,
     .help = "how long a hole may be open before publishers are asked for it; 0: never"},
    {KEY(ordering, max_clients), .initial = "1000000", RANGE(1, 100000000, "clients"),
     .help = "clients with state"},
    {KEY(ordering, client_idle_timeout), .initial = "86400000", RANGE(1, UINT64_C(30) * DAY, "ms"),
     .help = "how long an idle client of which nothing is kept has state"},
    {KEY(ordering, memory_max), .initial = "268435456", RANGE(65536, UINT64_C(1) << 40, "bytes"),
     .help = "what is kept in all"},
    {.path = "ordering/rule",
     .type = KEY_SECTIONS,
     .section = SECTION_RULE,
     .live = true,
     .help = "clients whose id matches a glob are ordered in a way of their own; may repeat"},
    {RULE_KEY(match), .required = true},
    {RULE_KEY(policy), POLICY_VALUES},
    {RULE_KEY(window), WINDOW_VALUES},
    {RULE_KEY(first_seq), FIRST_SEQ_VALUES},
    {RULE_KEY(gap_timeout), GAP_TIMEOUT_VALUES},
    {RULE_KEY(gap_alarm), GAP_ALARM_VALUES},
    {RULE_KEY(repair_delay), REPAIR_DELAY_VALUES},

    {KEY(workers, count), RANGE(1, 64, "workers"), .live = true,
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
    {KEY(delivery, retain_max), .initial = "0", RANGE(0, UINT64_C(30) * DAY, "ms"),
     .help = "how long a push is kept without an acknowledgement; 0: for ever"},
    {KEY(delivery, backlog), .initial = "4096", RANGE(2, 16 * MIB, "pushes"),
     .help = "most pushes kept for a client, held or released"},
    {KEY(delivery, backlog_bytes), .initial = "4194304", RANGE(1024, 1024 * MIB, "bytes"),
     .help = "most bytes kept for a client"},
    {KEY(delivery, max_receivers), .initial = "0", RANGE(0, 1000000, "receivers"),
     .help = "receivers at a time; 0: a sixth of what descriptors allow"},
    {KEY(delivery, allow_endpoint), .initial = "tcp://127.0.0.1:*", .form = FORM_PATTERN,
     .help = "endpoints that receivers may name; may repeat"},
    {.path = "delivery/route",
     .type = KEY_SECTIONS,
     .section = SECTION_ROUTE,
     .help = "clients whose id matches a glob go to a fixed endpoint, unacknowledged; may repeat"},
    {ROUTE_KEY(match), .required = true},
    {ROUTE_KEY(endpoint), .required = true, .form = FORM_CONNECT},
    {ROUTE_KEY(server_key), .form = FORM_KEY},

    {KEY(journal, engine), .initial = "none", .names = s_engines,
     .help = "what keeps accepted pushes beyond the life of the broker"},
    {KEY(journal, path), .initial = "", .optional = true, .form = FORM_FILE,
     .help = "folder of the store; empty: the state directory"},
    {KEY(journal, commit_interval), .initial = "2", RANGE(0, 1000, "ms"),
     .help = "how long a group may gather while more comes"},
    {KEY(journal, commit_max), .initial = "16384", RANGE(1, 65536, "pushes"),
     .help = "most pushes of a group"},
    {KEY(journal, max_bytes), .initial = "17179869184", RANGE(MIB, UINT64_C(1) << 44, "bytes"),
     .help = "most bytes of the store"},

    {KEY(http, bind), .initial = "127.0.0.1:5580", .optional = true, .form = FORM_ADDRESS,
     .help = "metrics and status; empty: off"},

    {KEY(security, secret_file), .initial = "", .optional = true, .form = FORM_FILE,
     .help = "the broker's CURVE keys, of seqpush keygen; empty: no CURVE"},
    {KEY(security, allow_plaintext), .initial = "0", RANGE(0, 1, NULL),
     .help = "1: front and http may bind addresses off loopback, unencrypted"},
    {.path = "security/key",
     .type = KEY_SECTIONS,
     .section = SECTION_ACCESS,
     .live = true,
     .help = "a key that may connect, and what it may do; may repeat"},
    {ACCESS_KEY(name), .required = true},
    {ACCESS_KEY(public), .required = true, .form = FORM_KEY},
    {ACCESS_KEY(role), .required = true, .names = s_roles},
    {ACCESS_KEY(clients)},
    {ACCESS_KEY(receivers)},
    {ACCESS_KEY(endpoints), .form = FORM_PATTERN},

    {KEY(log, level), .initial = "info", .names = s_levels, .live = true,
     .help = "least of what is logged"},
    {KEY(log, format), .initial = "text", .names = s_formats, .live = true, .help = "of a line"},
    {KEY(log, rate), .initial = "10", RANGE(1, MIB, "lines"), .live = true,
     .help = "lines a second of each kind that peers can provoke"},

    {0},
};

//  ---- one key -----------------------------------------------------------------------------------

const config_key_t *config_key_find(const char *path)
{
    for (const config_key_t *key = config_keys; key->path; key++)
        if (strcmp(key->path, path) == 0)
            return key;
    return NULL;
}

//  True if the paths' first parts are the same.
static bool s_same_part(const char *a, const char *b)
{
    size_t size = strcspn(a, "/");
    return size == strcspn(b, "/") && strncmp(a, b, size) == 0;
}

bool config_key_begins_section(const config_key_t *self)
{
    return self == config_keys || !s_same_part(self->path, self[-1].path);
}

bool config_key_is_in_section(const config_key_t *self)
{
    return self->section != SECTION_NONE && self->type != KEY_SECTIONS;
}

static bool s_add_route(config_t *config)
{
    size_t count = config->delivery.route_count;
    config_route_t *routes = realloc(config->delivery.routes, (count + 1) * sizeof *routes);
    if (!routes)
        return false;
    routes[count] = (config_route_t){0};
    config->delivery.routes = routes;
    config->delivery.route_count++;
    return true;
}

static bool s_add_rule(config_t *config)
{
    size_t count = config->ordering.rule_count;
    config_rule_t *rules = realloc(config->ordering.rules, (count + 1) * sizeof *rules);
    if (!rules)
        return false;
    rules[count] = (config_rule_t){0};
    config->ordering.rules = rules;
    config->ordering.rule_count++;
    return true;
}

static bool s_add_access(config_t *config)
{
    size_t count = config->security.key_count;
    config_access_t *keys = realloc(config->security.keys, (count + 1) * sizeof *keys);
    if (!keys)
        return false;
    keys[count] = (config_access_t){0};
    config->security.keys = keys;
    config->security.key_count++;
    return true;
}

bool config_key_add_item(const config_key_t *self, config_t *config)
{
    if (self->section == SECTION_ROUTE)
        return s_add_route(config);
    return self->section == SECTION_RULE ? s_add_rule(config) : s_add_access(config);
}

size_t config_key_item_count(const config_key_t *self, const config_t *config)
{
    if (self->section == SECTION_ROUTE)
        return config->delivery.route_count;
    return self->section == SECTION_RULE ? config->ordering.rule_count : config->security.key_count;
}

static void *s_item(const config_key_t *self, const config_t *config, size_t index)
{
    if (self->section == SECTION_ROUTE)
        return &config->delivery.routes[index];
    return self->section == SECTION_RULE ? (void *)&config->ordering.rules[index]
                                         : (void *)&config->security.keys[index];
}

void *config_key_field(const config_key_t *self, const config_t *config)
{
    if (!config_key_is_in_section(self))
        return (char *)config + self->offset;
    return (char *)s_item(self, config, config_key_item_count(self, config) - 1) + self->offset;
}

uint64_t config_key_number(const config_key_t *self, const config_t *config)
{
    const void *field = config_key_field(self, config);
    switch (self->type) {
    case KEY_UINT32:
        return *(const uint32_t *)field;
    case KEY_UINT64:
        return *(const uint64_t *)field;
    default:
        assert(self->type == KEY_FLAG);
        return *(const bool *)field;
    }
}

//  ---- paths -------------------------------------------------------------------------------------

//  True if `path` lies under `section`, a path of `size` bytes; none is the root.
static bool s_is_under(const char *path, const char *section, size_t size)
{
    return size == 0 || (strncmp(path, section, size) == 0 && path[size] == '/');
}

static bool s_is_section(const char *path, size_t size)
{
    for (const config_key_t *key = config_keys; key->path; key++)
        if (size && s_is_under(key->path, path, size))
            return true;
    return false;
}

bool config_key_is_section(const char *path)
{
    return s_is_section(path, strlen(path));
}

void config_key_put_known(FILE *out, const char *path)
{
    const char *slash = s_is_section(path, strcspn(path, "/")) ? strrchr(path, '/') : NULL;
    size_t size = slash ? (size_t)(slash - path) : 0;
    const char *last = NULL;
    for (const config_key_t *key = config_keys; key->path; key++) {
        if (!s_is_under(key->path, path, size))
            continue;
        const char *name = key->path + (size ? size + 1 : 0);
        if (!last || !s_same_part(name, last))
            fprintf(out, "%s%.*s", last ? ", " : "", (int)strcspn(name, "/"), name);
        last = name;
    }
    fputs(last ? "" : "nothing under a value", out);
}
