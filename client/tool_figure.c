/*  tool_figure.c - figures and ids out of the broker's JSON, as a person reads them */

#include "tool.h"
#include <string.h>

const json_t *tool_find(const json_t *from, const char *path)
{
    while (from && *path) {
        size_t size = strcspn(path, "/");
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)size, path);
        from = json_object_get(from, name);
        path += size + (path[size] == '/');
    }
    return from;
}

//  Scales by powers of `base` into the first unit that leaves less than that.
static void s_scale(char *text, double value, double base, const char *const *units)
{
    while (value >= base && units[1]) {
        value /= base;
        units++;
    }
    int digits = value >= 100 || value == 0 ? 0 : value >= 10 ? 1 : 2;
    snprintf(text, TOOL_FIGURE_MAX, "%.*f %s", digits, value, *units);
}

static void s_span(char *text, double seconds)
{
    unsigned long long minutes = (unsigned long long)seconds / 60;
    if (minutes < 60)
        snprintf(text, TOOL_FIGURE_MAX, "%llu min %.0f s", minutes,
                 seconds - 60.0 * (double)minutes);
    else if (minutes < 24 * 60)
        snprintf(text, TOOL_FIGURE_MAX, "%llu h %llu min", minutes / 60, minutes % 60);
    else
        snprintf(text, TOOL_FIGURE_MAX, "%llu d %llu h", minutes / (24 * 60), minutes / 60 % 24);
}

const char *tool_figure(char text[TOOL_FIGURE_MAX], const json_t *figure, tool_form_t form)
{
    static const char *const bytes[] = {"B", "KiB", "MiB", "GiB", "TiB", NULL};
    static const char *const ages[] = {"ns", "us", "ms", "s", NULL};
    if (!json_is_number(figure))
        return "-";
    double value = json_number_value(figure);
    if (form == TOOL_BYTES)
        s_scale(text, value, 1024, bytes);
    else if (form == TOOL_AGE && value >= 120)
        s_span(text, value);
    else if (form == TOOL_AGE)
        s_scale(text, value * 1e9, 1000, ages);
    else
        snprintf(text, TOOL_FIGURE_MAX, form == TOOL_RATE ? "%.0f/s" : "%.0f", value);
    return text;
}

const char *tool_heading(char text[TOOL_HEADING_MAX], const json_t *list, const char *rows,
                         const char *some, const char *none)
{
    if (!json_is_object(list)) {
        snprintf(text, TOOL_HEADING_MAX,
                 "%s: not known, the orderer has not looked yet or does not answer", some);
        return text;
    }
    const json_t *age = tool_find(list, "seconds_ago");
    char ago[TOOL_FIGURE_MAX], when[TOOL_FIGURE_MAX + 16] = "";
    if (json_number_value(age) >= TOOL_OLD)
        snprintf(when, sizeof when, ", as of %s ago", tool_figure(ago, age, TOOL_AGE));
    snprintf(text, TOOL_HEADING_MAX, "%s%s%s", json_array_size(tool_find(list, rows)) ? some : none,
             json_is_true(tool_find(list, "whole")) ? "" : ", not all were looked at", when);
    return text;
}

//  Control characters, also those beyond ASCII (C2 80 to C2 9F), are escaped.
static void s_escape(char *to, const char *from, size_t size)
{
    const uint8_t *at = (const uint8_t *)from, *end = at + size;
    for (; at < end; at++) {
        bool beyond = *at == 0xc2 && at + 1 < end && at[1] < 0xa0;
        if (*at < 0x20 || *at == 0x7f || *at == '\\' || beyond)
            to += sprintf(to, "\\x%02x", *at);
        else
            *to++ = (char)*at;
        if (beyond)
            to += sprintf(to, "\\x%02x", *++at);
    }
    *to = '\0';
}

const char *tool_id_show(char text[TOOL_ID_TEXT], const void *id, size_t size)
{
    json_t *object = json_object();
    tool_set_bytes(object, "id", id, size);
    const char *shown = tool_id_text(text, object, "id");
    json_decref(object);
    return shown;
}

const char *tool_id_text(char text[TOOL_ID_TEXT], const json_t *object, const char *name)
{
    char member[64];
    snprintf(member, sizeof member, "%s_base64", name);
    const json_t *id = json_object_get(object, name), *base64 = json_object_get(object, member);
    if (json_is_string(base64))
        snprintf(text, TOOL_ID_TEXT, "base64:%s", json_string_value(base64));
    if (!json_is_string(id) || json_string_length(id) > SEQPUSH_ID_MAX)
        return json_is_string(base64) ? text : "-";
    s_escape(text, json_string_value(id), json_string_length(id));
    return text;
}
