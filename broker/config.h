/*  config.h - the configuration: one plain struct, checked whole before anything starts

    Values come from `--set path=value`, else from the ZPL file, else from the default. A file is
    read and checked completely before any of it is used; the struct is then constant, but for the
    values that a reload takes over. It is the main thread's alone: http and the actors have copies
    of what they were given, or borrow lists that no reload touches.                              */

#ifndef SEQPUSH_CONFIG_H
#define SEQPUSH_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

//  A list of strings, owned by the configuration.
typedef struct {
    char **items;
    size_t count;
} config_list_t;

//  delivery/route: clients whose id matches go to a fixed endpoint.
typedef struct {
    char *match; //  glob over the client id
    char *endpoint; //  tcp://literal:port or ipc://path
    char *server_key; //  CURVE key of the PULL socket there; NULL: plaintext
} config_route_t;

//  security/key: what a peer with this key may do; without globs nothing.
typedef struct {
    char *name; //  in the log
    char *public; //  Z85
    config_list_t role; //  publisher, receiver, admin
    config_list_t clients; //  globs over client ids
    config_list_t receivers; //  globs over receiver ids
    config_list_t endpoints; //  patterns, as of delivery/allow_endpoint
} config_access_t;

//  ordering/rule: how clients whose id matches are ordered. What the rule does not say is as in
//  ordering itself.
typedef struct {
    char *match; //  glob over the client id
    char *policy;
    uint32_t window;
    uint64_t first_seq;
    uint32_t gap_timeout; //  ms
    uint32_t gap_alarm; //  ms
    uint32_t repair_delay; //  ms
} config_rule_t;

typedef struct {
    struct {
        uint32_t drain_timeout; //  ms
    } broker;
    struct {
        config_list_t bind; //  endpoints
        uint32_t max_payload; //  bytes
        uint32_t publisher_credit; //  pushes undecided a publisher
        uint32_t publisher_rate; //  pushes a second; 0: no bound
        uint32_t handshake_timeout; //  ms
        bool own_thread; //  not the orderer's
        uint32_t max_connections; //  0: what the descriptors allow
        uint32_t max_unread; //  bytes of replies a peer
    } front;
    struct {
        char *policy; //  name of the ordering policy
        char *plugin; //  path of a shared object with one more policy; empty: none
        uint32_t window; //  places, a power of two is not asked for
        uint64_t first_seq; //  first seq of a client without state
        uint32_t gap_timeout; //  ms that a policy with a deadline waits for a hole
        uint32_t gap_alarm; //  ms a hole may be open before it is reported; 0: never
        uint32_t repair_delay; //  ms a hole may be open before it is asked for; 0: never
        uint32_t max_clients; //  clients with state
        uint32_t client_idle_timeout; //  ms
        uint64_t memory_max; //  bytes kept in all
        config_rule_t *rules; //  the first that matches a client holds
        size_t rule_count;
    } ordering;
    struct {
        uint32_t count; //  worker actors
        uint32_t batch_max; //  pushes a Delivery
        uint32_t batch_bytes; //  bytes a Delivery
        uint32_t send_hwm; //  frames a PUSH socket
    } workers;
    struct {
        uint32_t max_unacked; //  pushes a client on their way
        uint32_t ack_timeout; //  ms
        uint32_t receiver_timeout; //  ms
        uint32_t retain_max; //  ms; 0: for ever
        uint32_t backlog; //  pushes kept a client
        uint32_t backlog_bytes; //  bytes kept a client
        uint32_t max_receivers; //  0: what the descriptors allow
        config_list_t allow_endpoint;
        config_route_t *routes;
        size_t route_count;
    } delivery;
    struct {
        char *engine; //  none, lmdb
        char *path; //  folder of the store; empty: the state directory
        uint32_t commit_interval; //  ms that a group may gather
        uint32_t commit_max; //  pushes a group
        uint64_t max_bytes; //  of the store
    } journal;
    struct {
        char *bind; //  address:port, empty: off
    } http;
    struct {
        char *secret_file; //  the broker's CURVE key pair; empty: no CURVE
        bool allow_plaintext; //  bind beyond loopback without CURVE
        config_access_t *keys;
        size_t key_count;
    } security;
    struct {
        char *level; //  error, warning, info, debug
        char *format; //  text, json
        uint32_t rate; //  lines a second of each kind that peers can provoke
    } log;
} config_t;

//  Loads and checks a configuration. `file` may be NULL: then the defaults hold. `sets` are the
//  `path=value` arguments of --set, in order; a repeated one on a key that may repeat makes the
//  list. On failure returns NULL and sets `*error` to one line that names file, line, key and what
//  was expected, NULL if there is no memory for it; the caller frees it. On success the caller owns
//  the result.
config_t *config_load(const char *file, char *const *sets, size_t set_count, char **error);

//  Frees a configuration and sets the pointer to NULL. Takes NULL.
void config_destroy(config_t **self_p);

//  Writes the configuration as a ZPL file that config_load reads back to the same values.
void config_print(const config_t *self, FILE *out);

#endif
