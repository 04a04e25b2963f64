/*  seqpush.h - libseqpush, the C client library of seqpushd

    A publisher sends sequenced pushes and hears one outcome for each. A receiver binds a PULL
    socket, attaches the clients it serves and gets their pushes in order, each exactly once.

    Both are objects for one thread at a time, the one that calls them; they start no thread of
    their own and work only inside calls. All of a process share one ZeroMQ context, and its I/O
    thread, which comes with the first of them and goes with the last. Errors are returned as
    negative errno values. Ids are bytes, 1 to 64 of them, NUL allowed.                           */

#ifndef SEQPUSH_H
#define SEQPUSH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define SEQPUSH_ID_MAX 64

//  ---- what goes over the wire ------------------------------------------------------------------

//  What a publisher is told of a push. The numbers are those of the wire.
typedef enum {
    SEQPUSH_ACCEPTED = 0,
    SEQPUSH_DUPLICATE = 1,
    SEQPUSH_STALE = 2,
    SEQPUSH_WINDOW_FULL = 3,
    SEQPUSH_BACKLOG_FULL = 4,
    SEQPUSH_OVERLOADED = 5,
    SEQPUSH_EPOCH_MISMATCH = 6,
    SEQPUSH_TOO_LARGE = 7,
    SEQPUSH_INVALID = 8,
    SEQPUSH_FORBIDDEN = 9,
    SEQPUSH_STORAGE_UNAVAILABLE = 10,
    SEQPUSH_SHUTTING_DOWN = 11,
} seqpush_outcome_t;

//  The outcome's name in small letters: "accepted", "window_full". "unknown" beyond the last.
const char *seqpush_outcome_name(seqpush_outcome_t outcome);

//  One push, as it is handed in and out. The bytes are borrowed for the time of the call.
typedef struct {
    const void *client_id;
    size_t client_id_size; //  1 to 64 bytes
    uint64_t epoch;
    uint64_t seq; //  0 from a publisher: the broker numbers it
    const void *payload;
    size_t payload_size;
} seqpush_push_t;

//  A place in a client's stream: everything up to (epoch, seq) is done.
typedef struct {
    const void *client_id;
    size_t client_id_size;
    uint64_t epoch;
    uint64_t seq;
} seqpush_position_t;

//  ---- publisher ---------------------------------------------------------------------------------

typedef struct seqpush_publisher seqpush_publisher_t;

typedef struct {
    const char *broker; //  front endpoint, as tcp://127.0.0.1:5570
    size_t batch_max; //  pushes a request at most; 0: 64
    size_t batch_bytes; //  bytes a request at most, a larger push goes alone; 0: 64 KiB
    size_t undecided_max; //  pushes without an outcome, or unconfirmed, that are kept; 0: 16,384
    size_t undecided_bytes; //  bytes of them; 0: 64 MiB
    uint32_t reply_timeout; //  ms without a reply until a request is sent again; 0: 2000
    //  Called, inside poll, drain, skip and reset, once for each push whose outcome is decided; it
    //  may push and flush, but nothing else of this publisher. WINDOW_FULL, BACKLOG_FULL,
    //  OVERLOADED and STORAGE_UNAVAILABLE are not reported: they are tried again, in order, until
    //  another outcome comes (but for want of memory to keep them). A seq that the broker assigned
    //  stands in push->seq. The payload is passed too. NULL: outcomes are only counted.
    void (*on_outcome)(void *arg, const seqpush_push_t *push, seqpush_outcome_t outcome);
    //  Asks to be told what receivers have acknowledged. A push that is ACCEPTED, or a DUPLICATE,
    //  then counts as undecided until that is told, too. It is kept until then, and offered again
    //  after a reconnect or a restart of the broker. Every push needs a seq.
    bool confirm;
    //  Called as on_outcome is, with `confirm`, once for each (client, epoch, seq) that was
    //  ACCEPTED or a DUPLICATE: a receiver has acknowledged the push. With `given_up` nothing is
    //  known of that, nor will be: the broker gave it up, or refuses it when it is offered again.
    //  NULL: it is only counted.
    void (*on_delivered)(void *arg, const void *client_id, size_t client_id_size, uint64_t epoch,
                         uint64_t seq, bool given_up);
    //  Called as on_outcome is: a client waits at a hole, from..to, and this publisher, one of the
    //  last two that pushed for the client, keeps none of it (what it keeps it sends again by itself).
    //  An application that has some of these pushes may push them once more; another publisher may
    //  have been asked, too. What will never come can be skipped, once poll has returned. As long as
    //  the hole is there the broker asks again, less and less often. NULL: the hole stays.
    void (*on_repair)(void *arg, const void *client_id, size_t client_id_size, uint64_t epoch,
                      uint64_t from, uint64_t to);
    void *arg;
    //  CURVE: the file with the own key pair, as `seqpush keygen` makes it, and the broker's public
    //  key, 40 characters of Z85. NULL, both of them: plaintext.
    const char *key_file;
    const char *server_key;
} seqpush_publisher_options_t;

typedef struct {
    uint64_t pushed; //  taken by seqpush_publisher_push
    uint64_t outcomes[12]; //  decided, by outcome; those that are tried again are not in here
    uint64_t retries; //  pushes sent again after a refusal that may pass
    uint64_t resends; //  pushes sent again: no answer came, or it was a new connection or broker
    uint64_t errors; //  Error replies, and replies that make no sense
    uint64_t unreceived; //  accepted, while no receiver was attached for the client
    uint64_t delivered; //  with confirm: acknowledged by a receiver
    uint64_t given_up; //  with confirm: accepted, and not delivered after all
    uint64_t repairs; //  holes that the broker asked for
} seqpush_publisher_stats_t;

//  Makes a publisher and starts to connect; it need not be there yet. Returns NULL with errno set
//  (EINVAL for an endpoint or a server_key that cannot be, EACCES for a key_file that cannot be used:
//  it has to be its owner's alone, mode 0600). The options are copied.
seqpush_publisher_t *seqpush_publisher_new(const seqpush_publisher_options_t *options);

//  Closes the connection; what is undecided is dropped. Takes NULL, sets the pointer to NULL.
void seqpush_publisher_destroy(seqpush_publisher_t **self_p);

//  Hands in one push; the payload is copied. It goes out when a batch is full, or at the next poll
//  or flush. Never blocks. Returns 0; -EAGAIN if undecided_max, undecided_bytes or the broker's
//  credit is used up (poll, then try again); -EINVAL for an id of 0 or more than 64 bytes, or seq 0
//  with confirm; -ENOMEM.
//  Pushes of one client with seq 0 keep their order, for which only one batch of them is under way
//  at a time.
int seqpush_publisher_push(seqpush_publisher_t *self, const seqpush_push_t *push);

//  Sends what is batched, as far as the socket takes it. Never blocks. Returns 0.
int seqpush_publisher_flush(seqpush_publisher_t *self);

//  Flushes, takes in replies, tries again what is due, and waits up to `timeout_ms` for something
//  to do (0: does not wait; -1: for ever). To save processor time it lets replies gather: it
//  returns once an eighth of the credit is free, or all is decided, or the time is up. Returns the
//  number of pushes undecided, or a negative errno (-EINTR after a signal).
long seqpush_publisher_poll(seqpush_publisher_t *self, int timeout_ms);

//  Polls until everything is decided; with confirm, until everything is delivered or given up.
//  Returns 0, -ETIMEDOUT after `timeout_ms`, or -EINTR.
int seqpush_publisher_drain(seqpush_publisher_t *self, int timeout_ms);

//  Gives up the seqs from..to that are missing. Waits for the answer up to `timeout_ms`;
//  `*position` (may be NULL; only epoch and seq are set) gets where the client then is. What was
//  pushed before goes out before. Returns 0, -ETIMEDOUT, -EINTR, or why it is not done: -EINVAL for what
//  cannot be, -EACCES for what the key may not, -EAGAIN if the broker has too much to do, -ESHUTDOWN if
//  it ends, -EPROTO if it says anything else.
int seqpush_publisher_skip(seqpush_publisher_t *self, const void *client_id, size_t client_id_size,
                           uint64_t epoch, uint64_t from, uint64_t to, seqpush_position_t *position,
                           int timeout_ms);

//  Starts the client's sequence over in a greater epoch, at `next_seq` (0: the broker's first_seq).
//  Waits and returns as seqpush_publisher_skip does.
int seqpush_publisher_reset(seqpush_publisher_t *self, const void *client_id, size_t client_id_size,
                            uint64_t epoch, uint64_t next_seq, seqpush_position_t *position,
                            int timeout_ms);

typedef struct {
    const void *id;
    size_t size; //  1 to 64 bytes
} seqpush_id_t;

//  Takes clients (`count` of them, by name; 0: all, prefixes too) from a receiver, as an operator: it
//  is told, and does not attach them again by itself. Waits and returns as seqpush_publisher_skip does,
//  and -ENOENT if there is no such receiver, or it has none of these clients by name.
int seqpush_publisher_detach(seqpush_publisher_t *self, const void *receiver_id,
                             size_t receiver_id_size, const seqpush_id_t *clients, size_t count,
                             int timeout_ms);

const seqpush_publisher_stats_t *seqpush_publisher_stats(const seqpush_publisher_t *self);

//  ---- positions that survive a restart ----------------------------------------------------------

//  Where a receiver keeps its positions for the process that comes after it. What was saved is what
//  is acknowledged, and what an Attach names: never more.
//
//  With a store, a receiver that is killed at any moment and started again hands out each push at
//  least once, in order, and none twice but those whose position was not saved when it was killed.
//  So an application has each push exactly once if its effects are done by the time `save` returns
//  and are undone, or of no effect when they are repeated, if the process dies before that. One
//  that commits its effects and the positions in one transaction, inside `save`, has that.
typedef struct {
    //  Sets epoch and seq of the client that `position` names. Returns 1, 0 if there is none, or a
    //  negative errno. Called when a client is attached with (0, 0), by seqpush_receiver_attach,
    //  which returns the errno; and when a prefix brings a client for the first time.
    int (*load)(void *arg, seqpush_position_t *position);
    //  Keeps `count` positions, each of another client, for good. Returns 0, or a negative errno
    //  with none of them kept or some: they are neither acknowledged nor taken as saved then, and
    //  are saved again, a little later or when they have moved on.
    int (*save)(void *arg, const seqpush_position_t *positions, size_t count);
    void *arg;
} seqpush_positions_store_t;

//  A store in a file. Saving appends to it and waits for the disk; now and then it is written anew,
//  beside PATH as PATH.new, and replaced in one step. One thread at a time.
typedef struct seqpush_positions_file seqpush_positions_file_t;

//  Opens the file, made if there is none, and locks it. What a crash has torn at its end is cut off.
//  Returns NULL with errno set: EBUSY if another process has it open, EINVAL if it is no positions
//  file.
seqpush_positions_file_t *seqpush_positions_file_new(const char *path);

//  Closes the file. Takes NULL, sets the pointer to NULL.
void seqpush_positions_file_destroy(seqpush_positions_file_t **self_p);

//  The file as a store, for a receiver's options. It must outlive the receiver.
seqpush_positions_store_t seqpush_positions_file_store(seqpush_positions_file_t *self);

//  What the store does, for whoever wraps it: load and save of one client or more.
int seqpush_positions_file_load(seqpush_positions_file_t *self, seqpush_position_t *position);
int seqpush_positions_file_save(seqpush_positions_file_t *self, const seqpush_position_t *positions,
                                size_t count);

//  Calls `each` with every position, in no order.
void seqpush_positions_file_each(const seqpush_positions_file_t *self,
                                 void (*each)(void *arg, const seqpush_position_t *position),
                                 void *arg);

//  Bytes that were cut off when the file was opened.
uint64_t seqpush_positions_file_torn(const seqpush_positions_file_t *self);

//  ---- receiver ----------------------------------------------------------------------------------

typedef struct seqpush_receiver seqpush_receiver_t;

typedef enum { SEQPUSH_ACK_CUMULATIVE = 0, SEQPUSH_ACK_NONE = 1 } seqpush_ack_mode_t;

typedef struct {
    const char *broker; //  front endpoint
    const void *id; //  receiver_id
    size_t id_size; //  1 to 64 bytes
    const char *bind; //  PULL endpoint to bind, as tcp://127.0.0.1:*; NULL: that
    const char *advertise; //  what to tell the broker, if not what was bound; NULL: that
    seqpush_ack_mode_t ack_mode;
    uint32_t ack_interval; //  ms between acks; 0: 5
    uint32_t ack_every; //  or pushes of one client between acks; 0: 256
    uint32_t heartbeat; //  ms between heartbeats; 0: 2000
    //  Where positions are kept across restarts of the process; zeros: nowhere. Not in ACK_NONE. It
    //  is asked for a save as often as there are acks: a slow one wants a longer ack_interval and
    //  a greater ack_every. Its calls must not use the receiver.
    seqpush_positions_store_t store;
    //  Called, inside seqpush_receiver_poll, for each push in its order, each once. This and the
    //  other callbacks may attach and detach, but must not poll or destroy. A push is acknowledged
    //  when this has returned, or when it detaches. In ACK_NONE, where nothing comes again, what
    //  lies ahead is a jump; pushes of generation 0 (routes, passthrough) are handed out as they
    //  come.
    void (*on_push)(void *arg, const seqpush_push_t *push);
    //  A gap notice: from..to were given up. May be NULL.
    void (*on_gap)(void *arg, const void *client_id, size_t client_id_size, uint64_t epoch,
                   uint64_t from, uint64_t to);
    //  The broker is elsewhere than the position that the receiver has: it goes on after
    //  `position`, whether by a refused position, a new epoch or something that was given up. The
    //  client is attached there; whoever would rather stay away detaches it in this call. May be
    //  NULL.
    void (*on_jump)(void *arg, const seqpush_position_t *position);
    //  The broker detached clients, or all if `client_id` is NULL, and they are not attached again
    //  by themselves: taken_over, forbidden, asked, or the code of the Error that refused the
    //  Attach, as endpoint_refused (there `client_id` may be a prefix). May be NULL.
    void (*on_detached)(void *arg, const void *client_id, size_t client_id_size,
                        const char *reason);
    void *arg;
    //  CURVE: the file with the own key pair and the broker's public key, as a publisher has them. The
    //  PULL socket then has the same pair, lets nobody in but the broker, and has a context of its own.
    //  NULL, both of them: plaintext.
    const char *key_file;
    const char *server_key;
} seqpush_receiver_options_t;

typedef struct {
    uint64_t deliveries; //  Delivery frames
    uint64_t pushes; //  given to on_push
    uint64_t duplicates; //  dropped: had been received
    uint64_t ahead; //  dropped: something before it is missing
    uint64_t foreign; //  deliveries dropped: another generation
    uint64_t malformed; //  deliveries dropped: not a Delivery
    uint64_t gaps; //  gap notices
    uint64_t gap_seqs; //  seqs given up in them
    uint64_t markers;
    uint64_t jumps; //  on_jump
    uint64_t acks; //  DeliveryAcks sent
    uint64_t saves; //  of positions, in the store
    uint64_t save_failures;
    uint64_t missing; //  positions named as missing
    uint64_t attaches; //  Attached replies
    uint64_t errors; //  Error replies, and replies that cannot be read
} seqpush_receiver_stats_t;

//  Binds the PULL socket and starts to connect to the broker. Returns NULL with errno set
//  (EINVAL, EADDRINUSE, EACCES as for a publisher). The options, strings and id are copied. on_push must be there.
seqpush_receiver_t *seqpush_receiver_new(const seqpush_receiver_options_t *options);

//  Sends the last acks and a Detach, waits for the answer up to 100 ms, closes. Takes NULL, sets
//  the pointer to NULL.
void seqpush_receiver_destroy(seqpush_receiver_t **self_p);

//  Asks for a client's pushes, going on after (epoch, seq); 0, 0: where the store has it, else where
//  the broker is. Takes effect at the next poll; attaching again after a reconnect or a restart of
//  the broker is done by itself, with the positions then reached. Returns 0, -EINVAL, -ENOMEM, or
//  what the store's load returned.
int seqpush_receiver_attach(seqpush_receiver_t *self, const void *client_id, size_t client_id_size,
                            uint64_t epoch, uint64_t seq);

//  Asks for all clients whose id starts with the prefix; size 0: all. Returns 0, -EINVAL or
//  -ENOMEM.
int seqpush_receiver_attach_prefix(seqpush_receiver_t *self, const void *prefix, size_t size);

//  Gives a client back; NULL: all. Returns 0. May be called inside the callbacks: what follows in
//  the same delivery is then neither handed out nor acknowledged.
int seqpush_receiver_detach(seqpush_receiver_t *self, const void *client_id, size_t client_id_size);

//  Takes in deliveries and replies, calls the callbacks, sends acks and heartbeats that are due,
//  and waits up to `timeout_ms` for a delivery (0: does not; -1: for ever). Returns the number of
//  pushes and gap notices handed out; if there are none, a negative errno: -EINTR after a signal, or
//  what the store's load or save returned, which is tried again.
long seqpush_receiver_poll(seqpush_receiver_t *self, int timeout_ms);

//  True once the broker has answered an Attach and no further one is under way.
bool seqpush_receiver_attached(const seqpush_receiver_t *self);

//  The address that is bound, wildcards resolved. Owned by the receiver.
const char *seqpush_receiver_endpoint(const seqpush_receiver_t *self);

const seqpush_receiver_stats_t *seqpush_receiver_stats(const seqpush_receiver_t *self);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
