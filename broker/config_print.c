/*  config_print.c - a configuration as a ZPL file; see config.h

    The file shows every key with what it means, and reads back to the same values.               */

#include "config_key.h"
#include "config_value.h"
#include <inttypes.h>
#include <string.h>

//  A text has quotes of one kind at most, so the other kind goes around it.
static void s_print_text(FILE *out, int indent, const char *name, const char *text)
{
    char quote = strchr(text, '"') ? '\'' : '"';
    fprintf(out, "%*s%s = %c%s%c\n", indent, "", name, quote, text, quote);
}

static void s_print_list(const config_list_t *list, int indent, const char *name, FILE *out)
{
    for (size_t i = 0; i < list->count; i++)
        s_print_text(out, indent, name, list->items[i]);
}

static void s_print_routes(const config_t *self, FILE *out)
{
    for (size_t i = 0; i < self->delivery.route_count; i++) {
        fprintf(out, "    route\n");
        s_print_text(out, 8, "match", self->delivery.routes[i].match);
        s_print_text(out, 8, "endpoint", self->delivery.routes[i].endpoint);
        if (self->delivery.routes[i].server_key)
            s_print_text(out, 8, "server_key", self->delivery.routes[i].server_key);
    }
}

static void s_print_keys(const config_t *self, FILE *out)
{
    for (size_t i = 0; i < self->security.key_count; i++) {
        const config_access_t *key = &self->security.keys[i];
        fprintf(out, "    key\n");
        s_print_text(out, 8, "name", key->name);
        s_print_text(out, 8, "public", key->public);
        s_print_list(&key->role, 8, "role", out);
        s_print_list(&key->clients, 8, "clients", out);
        s_print_list(&key->receivers, 8, "receivers", out);
        s_print_list(&key->endpoints, 8, "endpoints", out);
    }
}

static void s_print_rules(const config_t *self, FILE *out)
{
    for (size_t i = 0; i < self->ordering.rule_count; i++) {
        const config_rule_t *rule = &self->ordering.rules[i];
        fprintf(out, "    rule\n");
        s_print_text(out, 8, "match", rule->match);
        s_print_text(out, 8, "policy", rule->policy);
        fprintf(out, "        window = %" PRIu32 "\n", rule->window);
        fprintf(out, "        first_seq = %" PRIu64 "\n", rule->first_seq);
        fprintf(out, "        gap_timeout = %" PRIu32 "\n", rule->gap_timeout);
        fprintf(out, "        gap_alarm = %" PRIu32 "\n", rule->gap_alarm);
        fprintf(out, "        repair_delay = %" PRIu32 "\n", rule->repair_delay);
    }
}

void config_key_print(const config_key_t *self, const config_t *config, FILE *out)
{
    const char *name = strchr(self->path, '/') + 1;
    switch (self->type) {
    case KEY_SECTIONS:
        if (self->section == SECTION_ROUTE)
            s_print_routes(config, out);
        else if (self->section == SECTION_RULE)
            s_print_rules(config, out);
        else
            s_print_keys(config, out);
        break;
    case KEY_LIST:
        s_print_list(config_key_field(self, config), 4, name, out);
        break;
    case KEY_TEXT:
        s_print_text(out, 4, name, *(char **)config_key_field(self, config));
        break;
    default:
        fprintf(out, "    %s = %" PRIu64 "\n", name, config_key_number(self, config));
    }
}

static void s_print_help(const config_key_t *key, FILE *out)
{
    fprintf(out, "    #  %s", key->help);
    if (key->names) {
        fputs(": ", out);
        config_value_put_expected(out, key);
    }
    if (key->unit)
        fprintf(out, " (%s, %" PRIu64 " to %" PRIu64 ")", key->unit, key->min, key->max);
    fputc('\n', out);
}

void config_print(const config_t *self, FILE *out)
{
    for (const config_key_t *key = config_keys; key->path; key++) {
        if (config_key_is_in_section(key))
            continue;
        if (config_key_begins_section(key))
            fprintf(out, "%.*s\n", (int)strcspn(key->path, "/"), key->path);
        s_print_help(key, out);
        config_key_print(key, self, out);
    }
}
