/*  record.h - what the journal keeps, as bytes: keys, values, checksums

    A key is the client (size, id) and, but for the client's position, a place in its stream and what
    stands there: epoch and seq, most significant byte first, and the kind. So a store that sorts its
    keys as bytes has each client's records together, its position first, in the order of (epoch, seq).

        position    acked epoch, seq · flags · forgotten_to · gaps that were given up (from, to)…
        push        flags · the push as it came, field 1 of a PushBatch
        gap         from: from..seq were given up
        marker      nothing: the client's stream begins anew after (epoch, seq)
        store       the format's version
        segment     operations that are not yet in their places: see segment.h. Its key is 255 and a
                    number, so that segments come behind all clients, in the order of their numbers

    Numbers are eight bytes, most significant first. Every value begins with a checksum of eight bytes
    over key and value, so that what was damaged, or stands in the wrong place, is never read as good.

    Pure functions; any thread. Nothing is allocated. */

#ifndef SEQPUSH_RECORD_H
#define SEQPUSH_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

//  Grows with every change to what follows. A store of another version is refused.
#define RECORD_VERSION 2u

typedef enum {
    RECORD_STORE, //  of the store itself; its key is one zero byte
    RECORD_POSITION,
    RECORD_PUSH,
    RECORD_GAP,
    RECORD_MARKER,
    RECORD_SEGMENT, //  of the log; its seq is its number
} record_kind_t;

typedef struct {
    record_kind_t kind;
    uint8_t id_size;
    const uint8_t *id;
    uint64_t epoch; //  push, gap, marker
    uint64_t seq; //  of the push; the last one of the gap; the one that the marker stands after
} record_key_t;

#define RECORD_ID_MAX 64
#define RECORD_KEY_MAX (1 + RECORD_ID_MAX + 8 + 8 + 1)
#define RECORD_SUM_SIZE 8

//  Writes the key: its size.
size_t record_put_key(uint8_t to[RECORD_KEY_MAX], const record_key_t *key);

//  Reads a key; `id` then lies in `bytes`. Returns false if it is none.
bool record_get_key(const uint8_t *bytes, size_t size, record_key_t *key);

//  The checksum of a value, which follows the first RECORD_SUM_SIZE bytes of `value`; sets them, or
//  tells whether they are right.
void record_seal(const uint8_t *key, size_t key_size, uint8_t *value, size_t size);
bool record_is_sound(const uint8_t *key, size_t key_size, const uint8_t *value, size_t size);

//  ---- positions ---------------------------------------------------------------------------------

#define RECORD_GAPS 16

typedef struct {
    uint64_t epoch, seq; //  up to here everything is acknowledged
    bool known; //  a receiver has said so; else it is where the client began
    uint8_t
        numbering; //  who numbers the client's pushes in this epoch: nobody yet, publishers, broker
    uint64_t epoch_now; //  the epoch that numbering and gaps are of
    uint64_t forgotten_to; //  no gap that is not listed ends after it
    uint32_t gap_count;
    struct {
        uint64_t from, to;
    } gaps[RECORD_GAPS]; //  that were given up of late, the oldest first
} record_position_t;

#define RECORD_POSITION_SIZE(gaps) (RECORD_SUM_SIZE + 4 * 8 + 2 + 16 * (gaps))
#define RECORD_POSITION_MAX RECORD_POSITION_SIZE(RECORD_GAPS)

//  Writes the value of a position, not yet sealed: its size.
size_t record_put_position(uint8_t to[RECORD_POSITION_MAX], const record_position_t *position);
bool record_get_position(const uint8_t *value, size_t size, record_position_t *position);

//  ---- pushes, gaps, the store -------------------------------------------------------------------

#define RECORD_PUSH_HEAD (RECORD_SUM_SIZE + 1) //  what stands before a push's own bytes

//  `numberless`: it came without a seq, and the broker gave it one.
void record_put_push(uint8_t *to, const uint8_t *bytes, size_t size, bool numberless);
bool record_get_push(const uint8_t *value, size_t size, const uint8_t **bytes, size_t *bytes_size,
                     bool *numberless);

#define RECORD_NUMBER_SIZE (RECORD_SUM_SIZE + 8) //  gap: its first seq; store: the version

void record_put_number(uint8_t to[RECORD_NUMBER_SIZE], uint64_t number);
bool record_get_number(const uint8_t *value, size_t size, uint64_t *number);

#endif
