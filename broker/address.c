//  address.c - endpoints that a peer may name; see address.h

#include "address.h"
#include "glob.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

//  Splits "HOST:PORT" or "[HOST]:PORT". Returns the port's text, or NULL.
static const char *s_split(const char *text, char *host, size_t host_room)
{
    bool bracket = *text == '[';
    const char *end = bracket ? strchr(++text, ']') : strrchr(text, ':');
    if (!end || (size_t)(end - text) >= host_room)
        return NULL;
    memcpy(host, text, (size_t)(end - text));
    host[end - text] = '\0';
    if (bracket)
        end++;
    return *end == ':' ? end + 1 : NULL;
}

static bool s_port(const char *text, unsigned *port)
{
    *port = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits])
        return false;
    *port = (unsigned)atoi(text);
    return *port >= 1 && *port <= 65535;
}

static bool s_parse_tcp(const char *text, char *canonical)
{
    char host[ADDRESS_MAX], literal[INET6_ADDRSTRLEN];
    unsigned char bytes[16];
    unsigned port;
    const char *port_text = s_split(text, host, sizeof host);
    if (!port_text || !s_port(port_text, &port))
        return false;
    bool six = *text == '[';
    if (inet_pton(six ? AF_INET6 : AF_INET, host, bytes) != 1 ||
        !inet_ntop(six ? AF_INET6 : AF_INET, bytes, literal, sizeof literal))
        return false;
    snprintf(canonical, ADDRESS_MAX, six ? "tcp://[%s]:%u" : "tcp://%s:%u", literal, port);
    return true;
}

//  True if another spelling of the path would name the same socket.
static bool s_has_alias(const char *path)
{
    for (const char *at = path; at; at = strchr(at + 1, '/')) {
        size_t size = strcspn(at + 1, "/");
        if (size == 0 || strncmp(at + 1, "..", size) == 0)
            return true;
    }
    return false;
}

static bool s_parse_ipc(const char *path, char *canonical)
{
    //  107 bytes are what a Unix socket's path may have.
    size_t size = strlen(path);
    if (*path != '/' || size > 107 || strchr(path, '*') || s_has_alias(path))
        return false;
    snprintf(canonical, ADDRESS_MAX, "ipc://%s", path);
    return true;
}

bool address_parse(const char *text, char canonical[ADDRESS_MAX])
{
    if (strncmp(text, "tcp://", 6) == 0)
        return s_parse_tcp(text + 6, canonical);
    return strncmp(text, "ipc://", 6) == 0 && s_parse_ipc(text + 6, canonical);
}

static bool s_part_matches(const char *part, const char *pattern)
{
    return strcmp(pattern, "*") == 0 || strcmp(pattern, part) == 0;
}

bool address_matches(const char *canonical, const char *pattern)
{
    if (strncmp(canonical, pattern, 6) != 0)
        return false;
    const char *rest = canonical + 6, *wanted = pattern + 6;
    if (strncmp(canonical, "ipc://", 6) == 0)
        return glob_match(wanted, (const uint8_t *)rest, strlen(rest));
    char host[ADDRESS_MAX], host_wanted[ADDRESS_MAX];
    const char *port = s_split(rest, host, sizeof host);
    const char *port_wanted = s_split(wanted, host_wanted, sizeof host_wanted);
    return port && port_wanted && s_part_matches(host, host_wanted) &&
           s_part_matches(port, port_wanted);
}
