//  config_value.c - the values of a configuration; see config_value.h

#include "config_value.h"
#include "certificate.h"
#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define TEXT_SIZE_MAX 512 //  bytes of a value, so that it can be printed in one line

static const char *const s_forms[] = {
    [FORM_ANY] = "a text",
    [FORM_BIND] = "tcp://ADDRESS:PORT or ipc://PATH",
    [FORM_CONNECT] = "tcp://ADDRESS:PORT or ipc:///PATH",
    [FORM_PATTERN] = "tcp://ADDRESS:PORT with * for any, or ipc://GLOB",
    [FORM_ADDRESS] = "ADDRESS:PORT, [ADDRESS]:PORT or nothing",
    [FORM_FILE] = "an absolute path or nothing",
    [FORM_KEY] = "a public key, 40 characters of Z85 in quotes",
};

//  A whole decimal number without a sign; one that is too large for 64 bits gives the largest.
static bool s_read_number(const char *text, uint64_t *number)
{
    if (!*text || text[strspn(text, "0123456789")])
        return false;
    *number = strtoull(text, NULL, 10);
    return true;
}

//  ---- addresses ---------------------------------------------------------------------------------

//  The part of an endpoint that follows tcp://.
typedef struct {
    char host[64];
    const char *port; //  empty if there is none
    bool literal; //  an IPv4 address, or an IPv6 address in brackets, as inet_ntop writes it
    bool loopback;
} tcp_t;

//  Endpoints are compared as texts, so of the many spellings of an IPv6 address one counts.
static void s_read_host(tcp_t *self)
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
static tcp_t s_tcp(const char *text)
{
    tcp_t self = {.port = ""};
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

//  What is ours may have port 0, any free one; * is that too, or any port of somebody else.
static bool s_is_port(config_form_t form, const char *text)
{
    bool ours = form == FORM_BIND || form == FORM_ADDRESS;
    if (strcmp(text, "*") == 0)
        return form == FORM_BIND || form == FORM_PATTERN;
    uint64_t port;
    return s_read_number(text, &port) && (ours || *text != '0') && port <= UINT16_MAX;
}

static const char *s_check_path(config_form_t form, const char *path)
{
    if (!*path || strcmp(path, "@") == 0)
        return "has an empty path";
    if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return "has a path that is too long for a socket";
    return form == FORM_CONNECT && *path != '/' ? "has no absolute path" : NULL;
}

//  A name would have to be resolved, so a host is an address, or * for all where that makes sense.
static const char *s_check_form(config_form_t form, const char *text)
{
    if (form == FORM_ANY)
        return NULL;
    if (form == FORM_KEY)
        return certificate_is_key(text) ? NULL : "is no key";
    if (form == FORM_FILE)
        return *text == '/' ? NULL : "is no absolute path";
    const char *path = s_after(text, "ipc://");
    const char *host = form == FORM_ADDRESS ? text : s_after(text, "tcp://");
    if (path && form != FORM_ADDRESS)
        return s_check_path(form, path);
    if (!host)
        return "is neither tcp:// nor ipc://";
    tcp_t tcp = s_tcp(host);
    bool any = strcmp(tcp.host, "*") == 0 && (form == FORM_BIND || form == FORM_PATTERN);
    if (!any && !tcp.literal)
        return "has no literal address in its usual form";
    return s_is_port(form, tcp.port) ? NULL : "has no valid port";
}

bool config_value_is_local(const char *text)
{
    const char *tcp = s_after(text, "tcp://");
    return s_after(text, "ipc://") || s_tcp(tcp ? tcp : text).loopback;
}

//  ---- values ------------------------------------------------------------------------------------

static bool s_is_text(const config_key_t *key)
{
    return key->type == KEY_TEXT || key->type == KEY_LIST;
}

bool config_value_is_named(const config_key_t *key, const char *text)
{
    const char *const *names = key->names;
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
    if (key->names && !key->open && !config_value_is_named(key, text))
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

const char *config_value_check(const config_key_t *key, const char *text, uint64_t *number)
{
    return s_is_text(key) ? s_check_text(key, text) : s_check_number(key, text, number);
}

//  ---- what is expected --------------------------------------------------------------------------

static void s_put_names(FILE *out, const char *const *names)
{
    for (size_t i = 0; names[i]; i++)
        fprintf(out, "%s%s", i ? ", " : "", names[i]);
}

void config_value_put_expected(FILE *out, const config_key_t *key)
{
    if (key->names)
        s_put_names(out, key->names);
    else if (s_is_text(key))
        fputs(s_forms[key->form], out);
    else
        fprintf(out, "a whole number%s%s from %" PRIu64 " to %" PRIu64, key->unit ? " of " : "",
                key->unit ? key->unit : "", key->min, key->max);
}

//  ---- fields ------------------------------------------------------------------------------------

void config_list_clear(config_list_t *self)
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

static void s_text_clear(char **self)
{
    free(*self);
    *self = NULL;
}

static bool s_text_set(char **self, const char *text)
{
    s_text_clear(self);
    *self = strdup(text);
    return *self != NULL;
}

bool config_value_store(const config_key_t *key, void *field, const char *text, uint64_t number)
{
    switch (key->type) {
    case KEY_UINT32:
        *(uint32_t *)field = (uint32_t)number;
        return true;
    case KEY_UINT64:
        *(uint64_t *)field = number;
        return true;
    case KEY_FLAG:
        *(bool *)field = number != 0;
        return true;
    case KEY_LIST:
        return s_list_add(field, text);
    default:
        assert(key->type == KEY_TEXT);
        return s_text_set(field, text);
    }
}

void config_value_clear(const config_key_t *key, void *field)
{
    if (key->type == KEY_LIST)
        config_list_clear(field);
    else if (key->type == KEY_TEXT)
        s_text_clear(field);
}
