/*  explain.h - why a client does not move, and which receivers are slow, as plain records

    Read from the ordering core by its owner's thread, so that another thread can look at the copy.
    One client is explained at once. Listing all of them is done in slices, so that nobody who pushes
    waits for somebody who looks.

    A client stands still since its head of the line could have gone on and did not: since its hole
    began, or since its oldest released push waits for what keeps it, whichever is longer ago.

    Durations are ns, of at most 19 hours where they are of a push's first send.                   */

#ifndef SEQPUSH_EXPLAIN_H
#define SEQPUSH_EXPLAIN_H

#include "address.h"
#include "core.h"
#include "shortlist.h"

//  What keeps a client.
typedef enum {
    EXPLAIN_IDLE, //  nothing: it has nothing to deliver
    EXPLAIN_GAP, //  a push is missing
    EXPLAIN_UNATTACHED, //  no receiver has attached it
    EXPLAIN_GONE, //  its receiver is gone
    EXPLAIN_UNSTORED, //  the journal does not have what goes before its pushes
    EXPLAIN_QUEUED, //  its pushes were not given to a worker yet
    EXPLAIN_UNACKNOWLEDGED, //  its receiver has not acknowledged what was sent
    EXPLAIN_STATES
} explain_state_t;

//  A client that moves stands still for moments, too: so long is worth a look. ns
#define EXPLAIN_STUCK INT64_C(1000000000)

//  One client in a list. `key` is its id and since when it stands still.
typedef struct {
    shortlist_key_t key;
    explain_state_t state;
    position_t position; //  the stream stands here: the next expected seq is one more
    uint32_t held; //  pushes behind a hole
    uint32_t retained; //  entries released and not acknowledged
    uint32_t unacked; //  of these, on their way
    uint32_t waiting; //  pushes that the journal has not kept yet, and that are not decided
} explain_row_t;

//  A receiver, or a route. `key` is its id (a route has none) and since when its oldest
//  unacknowledged push waits.
typedef struct {
    shortlist_key_t key;
    receiver_kind_t kind;
    bool ack_none;
    bool worker_full; //  its worker has all that it may have for it: the endpoint takes nothing
    bool bytes_full; //  all bytes are on their way that may be: acks are awaited
    unsigned worker; //  where it is served
    uint32_t clients;
    uint64_t generation;
    uint64_t unacked; //  entries on their way
    uint64_t unacked_bytes;
    uint64_t retained; //  entries
    uint64_t kept_bytes; //  of its clients
    int64_t heard; //  monotonic ns; 0: never
    char endpoint[ADDRESS_MAX]; //  empty: none
} explain_receiver_t;

#define EXPLAIN_MATCH_MAX 128

typedef struct {
    explain_row_t row;
    position_t acked;
    int64_t hole; //  ns since the hole began; 0: there is none
    uint64_t first_held; //  0: none, or it is far ahead
    int64_t held_for; //  ns since that one came in
    uint64_t held_bytes; //  as far as was looked: explain_client looks at 65,536 seqs
    uint32_t kept_bytes; //  held and retained, with what keeping them costs
    bool backlog_full; //  more is refused, but for what fills a hole
    int64_t released; //  ns since the oldest retained entry was released; 0: there is none
    char policy[POLICY_NAME_MAX + 1];
    char match[EXPLAIN_MATCH_MAX]; //  of the rule, cut if it is longer
    policy_settings_t settings; //  of the rule
    int64_t
        gives_up_in; //  ns until the policy `deadline` gives up the hole; INT64_MAX: it does not
    uint32_t repairs; //  how often publishers were asked for what the present hole lacks
    int64_t repair_in; //  ns until they are asked next; INT64_MAX: they are not
    uint64_t publishers[2]; //  the last peers that pushed, the latest first; 0: none
    numbering_t numbering;
    bool attached_by_name;
    explain_receiver_t receiver; //  that the client belongs to
} explain_client_t;

//  Explains a client. Returns false if there is none with this id.
bool explain_client(const core_t *core, const void *id, size_t id_size, int64_t now,
                    explain_client_t *client);

//  When the oldest unacknowledged entry of the client that waits for the receiver's ack for longest was
//  handed over first, in monotonic ns; INT64_MAX: none waits.
int64_t explain_unacked_since(const receiver_t *receiver, int64_t now);

//  A list that is being made; zeroed, with the first three set, to begin with.
typedef struct {
    bool stuck; //  only what stands still for EXPLAIN_STUCK
    shortlist_key_t after; //  what comes after this one; id_size 0: from the start
    shortlist_t first; //  of explain_row_t or explain_receiver_t
    size_t looked; //  clients or receivers
    size_t at, slots; //  of the table of clients: where to go on, and its size when it was begun
    uint8_t next_size; //  the receiver to go on with; 0: none
    uint8_t next[ID_MAX];
    bool begun;
    bool cut; //  the receiver to go on with is gone: the list is not of all
} explain_list_t;

//  Looks at the next of them. Returns true when all were looked at, and the list is in order. What
//  comes or goes meanwhile may be missed.
bool explain_more_clients(const core_t *core, explain_list_t *list, int64_t now);
bool explain_more_receivers(const core_t *core, explain_list_t *list, int64_t now);

#endif
