//  http.c - serves the pages of page.h over HTTP; see http.h

#include "http.h"
#include "guests.h"
#include "log.h"
#include "page.h"
#include "pipe.h"
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

//  Connections that may stay, and those that there may be while some are on their way out.
#define GUESTS_MAX 64
#define CONNECTIONS_MAX 128

//  Each has a thread, with a stack of so many bytes.
#define STACK (256 * 1024)

//  Seconds that a connection may be idle.
#define CONNECTION_TIMEOUT 5

//  Bytes for the request line and the headers, and so for what a peer can make us keep.
#define CONNECTION_MEMORY 16384

struct http {
    struct MHD_Daemon *daemon;
    _Atomic bool serving; //  http_new has succeeded
    page_source_t source;
    guests_t guests;
    char address[INET6_ADDRSTRLEN + 9]; //  "[address]:port"
};

//  ---- requests ----------------------------------------------------------------------------------

//  Hands the answer and its text to libmicrohttpd. MHD_NO closes the connection.
static enum MHD_Result s_reply(struct MHD_Connection *connection, page_t answer)
{
    if (!answer.text)
        return MHD_NO;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(answer.text), answer.text, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(answer.text);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer.type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (answer.policy)
        MHD_add_response_header(response, "Content-Security-Policy", answer.policy);
    if (answer.status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, answer.status, response);
    MHD_destroy_response(response);
    return result;
}

static bool s_has_body(struct MHD_Connection *connection)
{
    const char *length =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return (length && strcmp(length, "0") != 0) ||
           MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                       MHD_HTTP_HEADER_TRANSFER_ENCODING);
}

static const char *s_get_argument(void *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
}

//  Ids are bytes, NUL too, so the pages decode what they read themselves.
static size_t s_leave_encoded(void *arg, struct MHD_Connection *connection, char *text)
{
    (void)arg;
    (void)connection;
    return strlen(text);
}

static void s_on_connection(void *arg, struct MHD_Connection *connection, void **guest,
                            enum MHD_ConnectionNotificationCode code)
{
    http_t *self = arg;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        guests_leave(&self->guests, *guest);
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    *guest = guests_enter(&self->guests, info->connect_fd);
}

static enum MHD_Result s_answer(http_t *self, struct MHD_Connection *connection, const char *url)
{
    guest_t *guest =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    guests_set_busy(&self->guests, guest, true);
    enum MHD_Result result =
        s_reply(connection,
                page_answer(&self->source, url, &(page_arguments_t){s_get_argument, connection}));
    guests_set_busy(&self->guests, guest, false);
    return result;
}

//  Called when the headers are there, and again when the request is complete. A refusal is given at
//  the first call, and then closes the connection; what is good is answered at the second, and then
//  the connection may stay.
static enum MHD_Result s_on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                    const char *method, const char *version, const char *upload,
                                    size_t *upload_size, void **state)
{
    (void)version;
    (void)upload;
    (void)upload_size;
    http_t *self = arg;
    static char seen;
    if (*state == &seen)
        return s_answer(self, connection, url);
    *state = &seen;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return s_reply(connection, page_plain(MHD_HTTP_METHOD_NOT_ALLOWED, "method not allowed\n"));
    if (s_has_body(connection))
        return s_reply(connection, page_plain(MHD_HTTP_CONTENT_TOO_LARGE, "no body is taken\n"));
    return MHD_YES;
}

static void s_on_log(void *arg, const char *format, va_list args)
{
    http_t *self = arg;
    //  What goes wrong at the start is in the error that http_new returns.
    if (!self->serving)
        return;
    char line[256];
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\r\n")] = '\0';
    log_limited(LOG_HTTP, LOG_LEVEL_WARNING, "http: %s", line);
}

//  libmicrohttpd has found that it cannot go on. It would abort; the broker is better off without
//  its metrics.
static void s_on_panic(void *arg, const char *file, unsigned line, const char *reason)
{
    (void)arg;
    log_error("http: stopped by an error in %s, line %u: %s", file, line, reason ? reason : "");
    pthread_exit(NULL);
}

//  ---- start and stop ----------------------------------------------------------------------------

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} address_t;

//  Reads digits and nothing else.
static bool s_read_port(const char *text, in_port_t *port)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits] || atoi(text) > UINT16_MAX)
        return false;
    *port = htons((uint16_t)atoi(text));
    return true;
}

//  Reads address:port or [v6]:port, literal addresses only.
static bool s_read_address(const char *text, address_t *address)
{
    char host[INET6_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : 0;
    bool v6 = size > 2 && text[0] == '[' && text[size - 1] == ']';
    if (v6) {
        text++;
        size -= 2;
    }
    if (size == 0 || size >= sizeof host)
        return false;
    memcpy(host, text, size);
    host[size] = '\0';
    *address = (address_t){.any.sa_family = v6 ? AF_INET6 : AF_INET};
    if (v6)
        return inet_pton(AF_INET6, host, &address->v6.sin6_addr) == 1 &&
               s_read_port(colon + 1, &address->v6.sin6_port);
    return inet_pton(AF_INET, host, &address->v4.sin_addr) == 1 &&
           s_read_port(colon + 1, &address->v4.sin_port);
}

static void s_print_address(http_t *self, const address_t *address)
{
    unsigned port = MHD_get_daemon_info(self->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    char host[INET6_ADDRSTRLEN];
    bool v6 = address->any.sa_family == AF_INET6;
    inet_ntop(address->any.sa_family,
              v6 ? (const void *)&address->v6.sin6_addr : &address->v4.sin_addr, host, sizeof host);
    snprintf(self->address, sizeof self->address, v6 ? "[%s]:%u" : "%s:%u", host, port);
}

//  Starts the server's threads. They must not take signals, which main waits for.
static struct MHD_Daemon *s_start(http_t *self, const address_t *address)
{
    unsigned flags =
        MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ERROR_LOG;
    if (address->any.sa_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, s_on_request, self, MHD_OPTION_EXTERNAL_LOGGER, s_on_log, self,
        MHD_OPTION_SOCK_ADDR, &address->any, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK, MHD_OPTION_NOTIFY_CONNECTION, s_on_connection,
        self, MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_TIMEOUT, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_UNESCAPE_CALLBACK, s_leave_encoded, NULL,
        MHD_OPTION_END);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return daemon;
}

//  Sets `*error` to a sentence and errno to `code`.
static void s_fail(char **error, int code, const char *bind, const char *reason)
{
    if (asprintf(error, "http/bind: %s: %s", bind, reason) < 0)
        *error = NULL;
    errno = code;
}

static void s_free(http_t *self)
{
    page_source_fini(&self->source);
    guests_fini(&self->guests);
    free(self);
}

http_t *http_new(const char *bind, const broker_stats_t *stats, inquiry_t *inquiry, char **error)
{
    address_t address;
    if (!s_read_address(bind, &address)) {
        s_fail(error, EINVAL, bind, "not an address as 127.0.0.1:5580 or [::1]:5580");
        return NULL;
    }
    http_t *self = calloc(1, sizeof *self);
    if (!self) {
        s_fail(error, ENOMEM, bind, strerror(ENOMEM));
        return NULL;
    }
    page_source_init(&self->source, stats, inquiry);
    guests_init(&self->guests, GUESTS_MAX);
    MHD_set_panic_func(s_on_panic, NULL);
    self->daemon = s_start(self, &address);
    if (!self->daemon) {
        int code = errno;
        s_free(self);
        s_fail(error, code, bind, strerror(code));
        return NULL;
    }
    s_print_address(self, &address);
    self->serving = true;
    return self;
}

const char *http_address(const http_t *self)
{
    return self->address;
}

void http_destroy(http_t **self_p)
{
    http_t *self = *self_p;
    if (!self)
        return;
    MHD_stop_daemon(self->daemon);
    s_free(self);
    *self_p = NULL;
}
