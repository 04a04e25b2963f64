//  fuzz_client.c - what the client library reads from a broker and from its disk
//
//  A Delivery is held against protobuf-c; the same bytes are a Reply to an attachment, and a record of a
//  file of positions.

#include "attachment.h"
#include "delivery.h"
#include "positions_record.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_check(bool holds)
{
    if (!holds)
        abort();
}

static void s_check_entry(const delivery_entry_t *entry, const Seqpush__V1__Push *expected)
{
    s_check(entry->push.client_id_size == expected->client_id.len);
    s_check(memcmp(entry->push.client_id, expected->client_id.data, expected->client_id.len) == 0);
    s_check(entry->push.epoch == expected->epoch && entry->push.seq == expected->seq);
    s_check(entry->push.payload_size == expected->payload.len);
    s_check(entry->skipped_to == expected->skipped_to);
}

static void s_read_delivery(const uint8_t *data, size_t size)
{
    delivery_t delivery = {0};
    Seqpush__V1__Delivery *expected = seqpush__v1__delivery__unpack(NULL, size, data);
    if (delivery_read(&delivery, data, size)) {
        s_check(expected && delivery.count == expected->n_pushes);
        s_check(delivery.generation == expected->generation);
        for (size_t i = 0; i < delivery.count; i++)
            s_check_entry(&delivery.entries[i], expected->pushes[i]);
    }
    seqpush__v1__delivery__free_unpacked(expected, NULL);
    delivery_fini(&delivery);
}

static void s_on_jump(void *arg, const position_t *position)
{
    (void)arg;
    (void)position;
}

static void s_on_passed_over(void *arg, position_t *position)
{
    (void)arg;
    (void)position;
}

static void s_on_detached(void *arg, const void *id, size_t id_size, const char *reason)
{
    (void)arg;
    (void)id;
    (void)id_size;
    s_check(reason != NULL);
}

static void s_read_reply(const uint8_t *data, size_t size)
{
    positions_t positions = {0};
    attachment_t attachment = {.positions = &positions,
                               .id = "r",
                               .id_size = 1,
                               .endpoint = "tcp://127.0.0.1:1",
                               .server_key = "",
                               .heartbeat = 1000,
                               .on_jump = s_on_jump,
                               .on_passed_over = s_on_passed_over,
                               .on_detached = s_on_detached};
    Seqpush__V1__Reply *reply = seqpush__v1__reply__unpack(NULL, size, data);
    if (reply && attachment_init(&attachment)) {
        attachment_add_client(&attachment, "a", 1, 0, 0);
        attachment_add_prefix(&attachment, "b", 1);
        attachment_reply(&attachment, reply);
        attachment_reply(&attachment, reply);
    }
    seqpush__v1__reply__free_unpacked(reply, NULL);
    positions_fini(&positions);
    attachment_fini(&attachment);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    seqpush_position_t position;
    s_check(positions_record_get(data, size, &position) <= size);
    s_read_delivery(data, size);
    s_read_reply(data, size);
    return 0;
}
