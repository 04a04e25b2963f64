/*  config.c - a configuration out of its layers: the defaults, the file, --set

    Every value that is taken is noted with its place, so that what is wrong between two keys can be
    told where it was written, long after both were read.                                         */

#include "config.h"
#include "certificate.h"
#include "config_error.h"
#include "config_file.h"
#include "config_key.h"
#include "config_value.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENCODING_ROOM 1024 //  bytes around a payload that count as kept with it, and some to spare
#define PAYLOADS_MIN 8 //  an eighth of the memory is the reserve, and must hold one payload

//  Where a value comes from; a later layer takes the place of an earlier one.
typedef enum { LAYER_DEFAULT, LAYER_FILE, LAYER_SET } layer_t;

//  One value that was taken.
typedef struct {
    const config_key_t *key;
    size_t index; //  in a list
    layer_t layer;
    unsigned line; //  of the file
} setting_t;

typedef struct {
    config_t *config;
    const char *file;
    layer_t layer; //  of what is being read
    config_error_t error; //  with its place
    const config_key_t *section; //  the route or rule that is being read; NULL: none is
    unsigned section_line; //  where it begins
    setting_t *settings; //  in the order taken
    size_t setting_count;
} loader_t;

//  What is read or blamed next stands there.
static void s_move(loader_t *self, layer_t layer, unsigned line)
{
    self->layer = layer;
    self->error.source = layer == LAYER_SET ? "--set" : self->file;
    self->error.line = line;
}

static bool s_no_memory(loader_t *self, const char *path)
{
    return config_error_set(&self->error, path, "no memory");
}

static bool s_fail_value(loader_t *self, const config_key_t *key, const char *text,
                         const char *wrong)
{
    FILE *out = config_error_begin(&self->error, key->path);
    if (!out)
        return false;
    if (text)
        fprintf(out, "\"%.100s\" ", text);
    fprintf(out, "%s, expected ", wrong);
    config_value_put_expected(out, key);
    return config_error_end(&self->error, out);
}

static bool s_fail_unknown(loader_t *self, const char *path)
{
    FILE *out = config_error_begin(&self->error, path);
    if (!out)
        return false;
    fputs("is not known, expected ", out);
    config_key_put_known(out, path);
    return config_error_end(&self->error, out);
}

//  ---- what was taken ----------------------------------------------------------------------------

//  The last setting of a key, or of one item of a list; NULL: none.
static const setting_t *s_setting(const loader_t *self, const config_key_t *key, size_t index)
{
    for (size_t i = self->setting_count; i > 0; i--)
        if (self->settings[i - 1].key == key && self->settings[i - 1].index == index)
            return &self->settings[i - 1];
    return NULL;
}

//  Notes that a value is taken here.
static bool s_note(loader_t *self, const config_key_t *key, size_t index)
{
    size_t count = self->setting_count;
    setting_t *settings = realloc(self->settings, (count + 1) * sizeof *settings);
    if (!settings)
        return false;
    settings[count] = (setting_t){key, index, self->layer, self->error.line};
    self->settings = settings;
    self->setting_count++;
    return true;
}

//  Was the key given before in this layer, or in this route or rule?
static bool s_is_repeated(const loader_t *self, const config_key_t *key)
{
    size_t index = 0;
    if (config_key_is_in_section(key))
        index = config_key_item_count(key, self->config) - 1;
    const setting_t *last = s_setting(self, key, index);
    return last && last->layer == self->layer;
}

//  Which of several values of the key the next one is.
static size_t s_next_index(const loader_t *self, const config_key_t *key)
{
    if (config_key_is_in_section(key))
        return config_key_item_count(key, self->config) - 1;
    return key->type == KEY_LIST ? ((config_list_t *)config_key_field(key, self->config))->count
                                 : 0;
}

//  ---- taking values -----------------------------------------------------------------------------

//  Takes a value for a key, in place of what an earlier layer has given.
static bool s_take(loader_t *self, const config_key_t *key, const char *text)
{
    uint64_t number = 0;
    const char *wrong = config_value_check(key, text, &number);
    if (wrong)
        return s_fail_value(self, key, text, wrong);
    void *field = config_key_field(key, self->config);
    bool repeated = s_is_repeated(self, key);
    if (repeated && key->type != KEY_LIST)
        return config_error_set(&self->error, key->path, "is given twice, expected it once");
    if (!repeated)
        config_value_clear(key, field);
    return (s_note(self, key, s_next_index(self, key)) &&
            config_value_store(key, field, text, number)) ||
           s_no_memory(self, key->path);
}

//  ---- the layers --------------------------------------------------------------------------------

static uint32_t s_half_the_processors(const config_key_t *key)
{
    long half = sysconf(_SC_NPROCESSORS_ONLN) / 2;
    if (half < (long)key->min)
        return (uint32_t)key->min;
    return half > (long)key->max ? (uint32_t)key->max : (uint32_t)half;
}

static bool s_load_defaults(loader_t *self)
{
    s_move(self, LAYER_DEFAULT, 0);
    for (const config_key_t *key = config_keys; key->path; key++)
        if (key->initial && !s_take(self, key, key->initial))
            return false;
    self->config->workers.count = s_half_the_processors(config_key_find("workers/count"));
    return true;
}

static bool s_begin_section(loader_t *self, const config_key_t *key)
{
    if (!config_key_add_item(key, self->config))
        return s_no_memory(self, NULL);
    self->section = key;
    self->section_line = self->error.line;
    return true;
}

//  A route or rule that was read whole must have what is required.
static bool s_end_section(loader_t *self)
{
    const config_key_t *section = self->section;
    if (!section)
        return true;
    size_t index = config_key_item_count(section, self->config) - 1;
    for (const config_key_t *key = config_keys; key->path; key++) {
        if (key->section != section->section || !key->required || s_setting(self, key, index))
            continue;
        s_move(self, LAYER_FILE, self->section_line);
        return config_error_set(&self->error, section->path, "has no %s, expected one",
                                strrchr(key->path, '/') + 1);
    }
    self->section = NULL;
    return true;
}

//  True if the path lies in the route or rule that is being read.
static bool s_is_in_section(const loader_t *self, const char *path)
{
    size_t size = self->section ? strlen(self->section->path) : 0;
    return self->section && strncmp(path, self->section->path, size) == 0 && path[size] == '/';
}

//  Takes a section, or a key with its value, of the file. What is not in the route or rule
//  that is being read ends it.
static bool s_take_item(void *taker, const config_item_t *item)
{
    loader_t *self = taker;
    const config_key_t *key = config_key_find(item->path);
    bool is_section = config_key_is_section(item->path);
    if (!s_is_in_section(self, item->path) && !s_end_section(self))
        return false;
    s_move(self, LAYER_FILE, item->line);
    if (!key && !is_section)
        return s_fail_unknown(self, item->path);
    if (is_section && item->assigned)
        return config_error_set(&self->error, item->path, "has a value, expected a section");
    if (is_section)
        return !key || s_begin_section(self, key);
    if (!item->assigned)
        return s_fail_value(self, key, NULL, "has no value");
    return s_take(self, key, item->value);
}

static bool s_load_file(loader_t *self)
{
    s_move(self, LAYER_FILE, 0);
    return config_file_read(s_take_item, self, &self->error) && s_end_section(self);
}

static bool s_load_set(loader_t *self, const char *set)
{
    size_t size = strcspn(set, "=");
    char *path = strndup(set, size);
    if (!path)
        return s_no_memory(self, NULL);
    const config_key_t *key = config_key_find(path);
    bool ok;
    if (key && key->section != SECTION_NONE)
        ok = config_error_set(&self->error, path, "stands in the file alone, expected it there");
    else if (config_key_is_section(path))
        ok = config_error_set(&self->error, path, "is a section, expected SECTION/KEY=VALUE");
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
    s_move(self, LAYER_SET, 0);
    for (size_t i = 0; i < count; i++)
        if (!s_load_set(self, sets[i]))
            return false;
    return true;
}

//  ---- rules -------------------------------------------------------------------------------------

//  Gives a rule what it does not say: what ordering says, when all layers are read.
static bool s_complete_rule(loader_t *self, size_t index)
{
    config_rule_t *rule = &self->config->ordering.rules[index];
#define GIVEN(key) s_setting(self, config_key_find("ordering/rule/" #key), index)
#define COMPLETE(key) rule->key = GIVEN(key) ? rule->key : self->config->ordering.key
    COMPLETE(window);
    COMPLETE(first_seq);
    COMPLETE(gap_timeout);
    COMPLETE(gap_alarm);
    COMPLETE(repair_delay);
#undef COMPLETE
    if (!GIVEN(policy))
        rule->policy = strdup(self->config->ordering.policy);
#undef GIVEN
    return rule->policy || s_no_memory(self, NULL);
}

static bool s_complete_rules(loader_t *self)
{
    for (size_t i = 0; i < self->config->ordering.rule_count; i++)
        if (!s_complete_rule(self, i))
            return false;
    return true;
}

//  ---- what must hold between keys ---------------------------------------------------------------

static void s_blame(loader_t *self, const setting_t *setting)
{
    s_move(self, setting->layer, setting->line);
}

//  Blames, of two keys that do not go together, the one that was given in the later layer.
static bool s_check_pair(loader_t *self, bool holds, const char *path, const char *other,
                         const char *expected)
{
    if (holds)
        return true;
    const config_key_t *keys[] = {config_key_find(path), config_key_find(other)};
    const setting_t *a = s_setting(self, keys[0], 0), *b = s_setting(self, keys[1], 0);
    size_t blamed = b->layer > a->layer;
    s_blame(self, blamed ? b : a);
    return config_error_set(&self->error, keys[blamed]->path,
                            "%" PRIu64 " does not go with %s = %" PRIu64 ", expected %s",
                            config_key_number(keys[blamed], self->config), keys[!blamed]->path,
                            config_key_number(keys[!blamed], self->config), expected);
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

//  A window that a rule has of its own must go with the backlog too.
static bool s_check_windows(loader_t *self)
{
    const config_key_t *key = config_key_find("ordering/rule/window");
    uint32_t backlog = self->config->delivery.backlog;
    for (size_t i = 0; i < self->config->ordering.rule_count; i++) {
        uint32_t window = self->config->ordering.rules[i].window;
        if (window <= backlog / 2)
            continue;
        s_blame(self, s_setting(self, key, i));
        return config_error_set(&self->error, key->path,
                                "%" PRIu32 " does not go with delivery/backlog = %" PRIu32
                                ", expected a window of at most half the backlog",
                                window, backlog);
    }
    return true;
}

static bool s_check_policy(loader_t *self, const char *path, size_t index, const char *name)
{
    const config_key_t *key = config_key_find(path);
    const setting_t *setting = s_setting(self, key, index);
    if (!setting || config_value_is_named(key, name))
        return true;
    s_blame(self, setting);
    return s_fail_value(self, key, name, "is not known");
}

//  What a plug-in brings is seen when it is loaded.
static bool s_check_policies(loader_t *self)
{
    const config_t *config = self->config;
    if (*config->ordering.plugin)
        return true;
    for (size_t i = 0; i < config->ordering.rule_count; i++)
        if (!s_check_policy(self, "ordering/rule/policy", i, config->ordering.rules[i].policy))
            return false;
    return s_check_policy(self, "ordering/policy", 0, config->ordering.policy);
}

static bool s_check_local(loader_t *self, const char *path, size_t index, const char *text)
{
    if (!*text || config_value_is_local(text))
        return true;
    s_blame(self, s_setting(self, config_key_find(path), index));
    return config_error_set(
        &self->error, path,
        "\"%.100s\" is not a loopback address, expected 127.0.0.0/8 or [::1], or "
        "security/allow_plaintext = 1",
        text);
}

//  What leaves the machine is encrypted: by CURVE at the front and, with the receiver's key, at a route.
//  Over http nothing is.
static bool s_check_plaintext(loader_t *self)
{
    const config_t *config = self->config;
    bool curve = *config->security.secret_file;
    if (config->security.allow_plaintext)
        return true;
    for (size_t i = 0; !curve && i < config->front.bind.count; i++)
        if (!s_check_local(self, "front/bind", i, config->front.bind.items[i]))
            return false;
    for (size_t i = 0; curve && i < config->delivery.route_count; i++)
        if (!config->delivery.routes[i].server_key &&
            !s_check_local(self, "delivery/route/endpoint", i, config->delivery.routes[i].endpoint))
            return false;
    return s_check_local(self, "http/bind", 0, config->http.bind);
}

//  ---- keys --------------------------------------------------------------------------------------

static bool s_check_secret(loader_t *self)
{
    const char *path = self->config->security.secret_file;
    certificate_t certificate;
    const char *wrong = *path ? certificate_read(&certificate, path) : NULL;
    if (!wrong) {
        certificate_forget(&certificate);
        return true;
    }
    const config_key_t *key = config_key_find("security/secret_file");
    s_blame(self, s_setting(self, key, 0));
    return config_error_set(&self->error, key->path, "%s %s", path, wrong);
}

//  A key says who somebody is, so no two sections may have the same.
static bool s_check_keys(loader_t *self)
{
    const config_key_t *key = config_key_find("security/key/public");
    const config_access_t *keys = self->config->security.keys;
    for (size_t i = 0; i < self->config->security.key_count; i++)
        for (size_t k = 0; k < i; k++) {
            if (strcmp(keys[i].public, keys[k].public) != 0)
                continue;
            s_blame(self, s_setting(self, key, i));
            return config_error_set(&self->error, key->path, "is that of %s too, expected another",
                                    keys[k].name);
        }
    return true;
}

//  ---- the interface -----------------------------------------------------------------------------

config_t *config_load(const char *file, char *const *sets, size_t set_count, char **error)
{
    loader_t self = {.file = file ? file : ""};
    self.config = calloc(1, sizeof *self.config);
    bool ok = self.config && s_load_defaults(&self) && (!file || s_load_file(&self)) &&
              s_load_sets(&self, sets, set_count) && s_complete_rules(&self) &&
              s_check_pairs(&self) && s_check_windows(&self) && s_check_policies(&self) &&
              s_check_plaintext(&self) && s_check_secret(&self) && s_check_keys(&self);
    free(self.settings);
    if (!ok)
        config_destroy(&self.config);
    *error = self.error.text;
    return self.config;
}

static void s_destroy_keys(config_t *self)
{
    for (size_t i = 0; i < self->security.key_count; i++) {
        config_access_t *key = &self->security.keys[i];
        free(key->name);
        free(key->public);
        config_list_clear(&key->role);
        config_list_clear(&key->clients);
        config_list_clear(&key->receivers);
        config_list_clear(&key->endpoints);
    }
    free(self->security.keys);
}

void config_destroy(config_t **self_p)
{
    config_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->delivery.route_count; i++) {
        free(self->delivery.routes[i].match);
        free(self->delivery.routes[i].endpoint);
        free(self->delivery.routes[i].server_key);
    }
    free(self->delivery.routes);
    for (size_t i = 0; i < self->ordering.rule_count; i++) {
        free(self->ordering.rules[i].match);
        free(self->ordering.rules[i].policy);
    }
    free(self->ordering.rules);
    s_destroy_keys(self);
    for (const config_key_t *key = config_keys; key->path; key++)
        if (!config_key_is_in_section(key))
            config_value_clear(key, config_key_field(key, self));
    free(self);
    *self_p = NULL;
}
