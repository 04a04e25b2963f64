/*  tool_api.c - what the broker's http address answers, as JSON */

#include "tool.h"
#include <stdlib.h>
#include <string.h>

json_t *tool_api_get(const tool_t *tool, const char *path)
{
    char *error = NULL;
    long status;
    char *body = tool_http_get(tool, path, &status, &error);
    json_t *json = body ? json_loads(body, JSON_ALLOW_NUL, NULL) : NULL;
    const char *reason = json_string_value(json_object_get(json, "error"));
    if (body && status == 200 && json) {
        free(body);
        return json;
    }
    if (!body)
        tool_say("%s\nIs seqpushd running, and --http its address?",
                 error ? error : "out of memory");
    else if (reason)
        tool_say("%s", reason);
    else
        tool_say("%s%s does not answer with JSON: is it a seqpushd?", tool->http, path);
    json_decref(json);
    free(body);
    free(error);
    return NULL;
}

//  Letters and digits stay, and what cannot be mistaken.
static bool s_is_plain(uint8_t byte)
{
    return byte && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~",
                          byte) != NULL;
}

char *tool_api_encode(const void *id, size_t size)
{
    char *text = malloc(3 * size + 1), *at = text;
    for (size_t i = 0; text && i < size; i++) {
        uint8_t byte = ((const uint8_t *)id)[i];
        at += sprintf(at, s_is_plain(byte) ? "%c" : "%%%02X", byte);
    }
    if (text)
        *at = '\0';
    return text;
}
