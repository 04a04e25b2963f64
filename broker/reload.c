//  reload.c - a configuration that was read again while the broker runs; see reload.h

#include "reload.h"
#include "config_key.h"
#include "log.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

//  The key's value as a file has it, which the caller frees. NULL: no memory.
static char *s_text(const config_key_t *key, const config_t *config)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    config_key_print(key, config, out);
    fclose(out);
    return text;
}

//  Without memory to compare, it has changed.
static bool s_is_same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

//  Cuts a single value out of its line.
static const char *s_value(char *text)
{
    char *value = text ? strstr(text, " = ") : NULL;
    if (!value)
        return "?";
    value += strlen(" = ");
    value[strcspn(value, "\n")] = '\0';
    return value;
}

static void s_swap_keys(config_t *a, config_t *b)
{
    config_access_t *keys = a->security.keys;
    size_t count = a->security.key_count;
    a->security.keys = b->security.keys;
    a->security.key_count = b->security.key_count;
    b->security.keys = keys;
    b->security.key_count = count;
}

static void s_swap_rules(config_t *a, config_t *b)
{
    config_rule_t *rules = a->ordering.rules;
    size_t count = a->ordering.rule_count;
    a->ordering.rules = b->ordering.rules;
    a->ordering.rule_count = b->ordering.rule_count;
    b->ordering.rules = rules;
    b->ordering.rule_count = count;
}

static void s_swap(const config_key_t *key, config_t *a, config_t *b)
{
    void *one = config_key_field(key, a), *other = config_key_field(key, b);
    if (key->type == KEY_TEXT) {
        char *text = *(char **)one;
        *(char **)one = *(char **)other;
        *(char **)other = text;
    } else if (key->type == KEY_SECTIONS && key->section == SECTION_RULE) {
        s_swap_rules(a, b);
    } else if (key->type == KEY_SECTIONS) {
        assert(key->section == SECTION_ACCESS);
        s_swap_keys(a, b);
    } else if (key->type == KEY_UINT64) {
        uint64_t number = *(uint64_t *)one;
        *(uint64_t *)one = *(uint64_t *)other;
        *(uint64_t *)other = number;
    } else {
        assert(key->type == KEY_UINT32);
        uint32_t number = *(uint32_t *)one;
        *(uint32_t *)one = *(uint32_t *)other;
        *(uint32_t *)other = number;
    }
}

static void s_log_taken(const config_key_t *key, char *before, char *after)
{
    if (key->type == KEY_SECTIONS)
        log_info("%s has changed, from now on", key->path);
    else
        log_info("%s was %s and is %s from now on", key->path, s_value(before), s_value(after));
}

//  Returns true if the key has changed and takes effect.
static bool s_take(const config_key_t *key, config_t *running, config_t *fresh)
{
    char *before = s_text(key, running), *after = s_text(key, fresh);
    bool same = s_is_same(before, after), takes = !same && key->live;
    if (takes) {
        s_swap(key, running, fresh);
        s_log_taken(key, before, after);
    } else if (!same) {
        log_warning("%s has changed, which needs a restart to take effect", key->path);
    }
    free(before);
    free(after);
    return takes;
}

unsigned reload_take(config_t *running, config_t *fresh, bool *reordered)
{
    unsigned taken = 0;
    *reordered = false;
    for (const config_key_t *key = config_keys; key->path; key++) {
        if (config_key_is_in_section(key) || !s_take(key, running, fresh))
            continue;
        taken++;
        *reordered |= strncmp(key->path, "ordering/", strlen("ordering/")) == 0;
    }
    return taken;
}
