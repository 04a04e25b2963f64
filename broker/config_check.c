//  config_check.c - what must hold between the keys of a configuration; see config_check.h

#include "config_check.h"
#include "certificate.h"
#include "config_value.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ENCODING_ROOM 1024 //  bytes around a payload that count as kept with it, and some to spare
#define PAYLOADS_MIN 8 //  an eighth of the memory is the reserve, and must hold one payload

//  ---- rules -------------------------------------------------------------------------------------

//  Gives a rule what it does not say: what ordering says, when all layers are read.
static bool s_complete_rule(config_loader_t *self, size_t index)
{
    config_rule_t *rule = &self->config->ordering.rules[index];
#define GIVEN(key) config_loader_setting(self, config_key_find("ordering/rule/" #key), index)
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
    return rule->policy || config_loader_no_memory(self, NULL);
}

static bool s_complete_rules(config_loader_t *self)
{
    for (size_t i = 0; i < self->config->ordering.rule_count; i++)
        if (!s_complete_rule(self, i))
            return false;
    return true;
}

//  ---- what must hold between keys ---------------------------------------------------------------

static void s_blame(config_loader_t *self, const config_setting_t *setting)
{
    config_loader_move(self, setting->layer, setting->line);
}

//  Blames, of two keys that do not go together, the one that was given in the later layer.
static bool s_check_pair(config_loader_t *self, bool holds, const char *path, const char *other,
                         const char *expected)
{
    if (holds)
        return true;
    const config_key_t *keys[] = {config_key_find(path), config_key_find(other)};
    const config_setting_t *a = config_loader_setting(self, keys[0], 0),
                           *b = config_loader_setting(self, keys[1], 0);
    size_t blamed = b->layer > a->layer;
    s_blame(self, blamed ? b : a);
    return config_error_set(&self->error, keys[blamed]->path,
                            "%" PRIu64 " does not go with %s = %" PRIu64 ", expected %s",
                            config_key_number(keys[blamed], self->config), keys[!blamed]->path,
                            config_key_number(keys[!blamed], self->config), expected);
}

static bool s_check_pairs(config_loader_t *self)
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
static bool s_check_windows(config_loader_t *self)
{
    const config_key_t *key = config_key_find("ordering/rule/window");
    uint32_t backlog = self->config->delivery.backlog;
    for (size_t i = 0; i < self->config->ordering.rule_count; i++) {
        uint32_t window = self->config->ordering.rules[i].window;
        if (window <= backlog / 2)
            continue;
        s_blame(self, config_loader_setting(self, key, i));
        return config_error_set(&self->error, key->path,
                                "%" PRIu32 " does not go with delivery/backlog = %" PRIu32
                                ", expected a window of at most half the backlog",
                                window, backlog);
    }
    return true;
}

static bool s_check_policy(config_loader_t *self, const char *path, size_t index, const char *name)
{
    const config_key_t *key = config_key_find(path);
    const config_setting_t *setting = config_loader_setting(self, key, index);
    if (!setting || config_value_is_named(key, name))
        return true;
    s_blame(self, setting);
    return config_loader_fail_value(self, key, name, "is not known");
}

//  What a plug-in brings is seen when it is loaded.
static bool s_check_policies(config_loader_t *self)
{
    const config_t *config = self->config;
    if (*config->ordering.plugin)
        return true;
    for (size_t i = 0; i < config->ordering.rule_count; i++)
        if (!s_check_policy(self, "ordering/rule/policy", i, config->ordering.rules[i].policy))
            return false;
    return s_check_policy(self, "ordering/policy", 0, config->ordering.policy);
}

static bool s_check_local(config_loader_t *self, const char *path, size_t index, const char *text)
{
    if (!*text || config_value_is_local(text))
        return true;
    s_blame(self, config_loader_setting(self, config_key_find(path), index));
    return config_error_set(
        &self->error, path,
        "\"%.100s\" is not a loopback address, expected 127.0.0.0/8 or [::1], or "
        "security/allow_plaintext = 1",
        text);
}

//  What leaves the machine is encrypted: by CURVE at the front and where a receiver attaches and, with the
//  receiver's key, at a route. Over http nothing is.
static bool s_check_plaintext(config_loader_t *self)
{
    const config_t *config = self->config;
    bool curve = *config->security.secret_file;
    if (config->security.allow_plaintext)
        return true;
    for (size_t i = 0; !curve && i < config->front.bind.count; i++)
        if (!s_check_local(self, "front/bind", i, config->front.bind.items[i]))
            return false;
    for (size_t i = 0; !curve && i < config->delivery.allow_endpoint.count; i++)
        if (!s_check_local(self, "delivery/allow_endpoint", i,
                           config->delivery.allow_endpoint.items[i]))
            return false;
    for (size_t i = 0; i < config->delivery.route_count; i++)
        if (!config->delivery.routes[i].server_key &&
            !s_check_local(self, "delivery/route/endpoint", i, config->delivery.routes[i].endpoint))
            return false;
    return s_check_local(self, "http/bind", 0, config->http.bind);
}

//  ---- keys --------------------------------------------------------------------------------------

static bool s_check_secret(config_loader_t *self)
{
    const char *path = self->config->security.secret_file;
    certificate_t certificate;
    const char *wrong = *path ? certificate_read(&certificate, path) : NULL;
    if (!wrong) {
        certificate_forget(&certificate);
        return true;
    }
    const config_key_t *key = config_key_find("security/secret_file");
    s_blame(self, config_loader_setting(self, key, 0));
    return config_error_set(&self->error, key->path, "%s %s, expected a file of seqpush keygen",
                            path, wrong);
}

//  Keys that nobody is asked for would let everybody in.
static bool s_check_use(config_loader_t *self)
{
    const config_t *config = self->config;
    if (*config->security.secret_file || config->security.allow_plaintext ||
        config->security.key_count == 0)
        return true;
    s_blame(self, config_loader_setting(self, config_key_find("security/key/name"), 0));
    return config_error_set(&self->error, "security/key",
                            "is of no use without CURVE, expected security/secret_file, or "
                            "security/allow_plaintext = 1");
}

//  A key says who somebody is, so no two sections may have the same.
static bool s_check_keys(config_loader_t *self)
{
    const config_key_t *key = config_key_find("security/key/public");
    const config_access_t *keys = self->config->security.keys;
    for (size_t i = 0; i < self->config->security.key_count; i++)
        for (size_t k = 0; k < i; k++) {
            if (strcmp(keys[i].public, keys[k].public) != 0)
                continue;
            s_blame(self, config_loader_setting(self, key, i));
            return config_error_set(&self->error, key->path, "is that of %s too, expected another",
                                    keys[k].name);
        }
    return true;
}

bool config_check(config_loader_t *self)
{
    return s_complete_rules(self) && s_check_pairs(self) && s_check_windows(self) &&
           s_check_policies(self) && s_check_plaintext(self) && s_check_secret(self) &&
           s_check_use(self) && s_check_keys(self);
}
