//  config.c - the configuration: loaded and freed; see config.h

#include "config.h"
#include "config_check.h"
#include "config_loader.h"
#include "config_value.h"
#include <stdlib.h>

config_t *config_load(const char *file, char *const *sets, size_t set_count, char **error)
{
    config_loader_t self = {.file = file ? file : ""};
    self.config = calloc(1, sizeof *self.config);
    bool ok = self.config && config_loader_defaults(&self) &&
              (!file || config_loader_file(&self)) && config_loader_sets(&self, sets, set_count) &&
              config_check(&self);
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
