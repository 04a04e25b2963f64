/*  tool_http.c - one GET from the broker's http address */

#include "tool.h"
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX (16 << 20)

typedef struct {
    char *bytes; //  with a zero behind them
    size_t size;
} body_t;

static size_t s_on_data(char *data, size_t one, size_t size, void *arg)
{
    (void)one; //  always 1
    body_t *body = arg;
    if (body->size + size > BODY_MAX)
        return 0;
    char *bytes = realloc(body->bytes, body->size + size + 1);
    if (!bytes)
        return 0;
    memcpy(bytes + body->size, data, size);
    body->bytes = bytes;
    body->size += size;
    body->bytes[body->size] = '\0';
    return size;
}

static CURL *s_prepare(const char *url, body_t *body)
{
    CURL *curl = curl_easy_init();
    if (!curl)
        return NULL;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L); //  a client may be called ".."
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 3000L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 10000L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, s_on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    return curl;
}

//  Performs the request. Returns the http status, or 0 with `*reason` set.
static long s_perform(const char *url, body_t *body, const char **reason)
{
    long status = 0;
    CURL *curl = s_prepare(url, body);
    CURLcode code = curl ? curl_easy_perform(curl) : CURLE_FAILED_INIT;
    if (code == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    *reason = curl_easy_strerror(code);
    curl_easy_cleanup(curl);
    return status;
}

char *tool_http_get(const tool_t *tool, const char *path, long *status, char **error)
{
    const char *scheme = strstr(tool->http, "://") ? "" : "http://";
    char *url;
    if (asprintf(&url, "%s%s%s", scheme, tool->http, path) < 0)
        return *error = NULL;
    body_t body = {0};
    const char *reason;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    *status = s_perform(url, &body, &reason);
    curl_global_cleanup();
    if (*status && !body.bytes)
        body.bytes = calloc(1, 1);
    if (!*status) {
        if (asprintf(error, "%s: %s", url, reason) < 0)
            *error = NULL;
        free(body.bytes);
        body.bytes = NULL;
    }
    free(url);
    return body.bytes;
}
