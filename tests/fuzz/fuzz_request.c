//  fuzz_request.c - the walk over a Request, held against protobuf-c on every input

#include "request.h"
#include <stdlib.h>
#include <string.h>

static const request_limits_t s_limits = {.max_payload = 64, .max_pushes = 1000, .key = {1}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_check(bool holds)
{
    if (!holds)
        abort();
}

static void s_check_push(const push_t *push, const Seqpush__V1__Push *expected)
{
    if (push->outcome != OUTCOME_ACCEPTED)
        return;
    s_check(push->id_size == expected->client_id.len);
    s_check(memcmp(push->id, expected->client_id.data, push->id_size) == 0);
    s_check(push->epoch == expected->epoch && push->seq == expected->seq);
    s_check(expected->payload.len <= s_limits.max_payload);
    s_check(!expected->skipped_to && !expected->marker);
}

static void s_check_request(const request_t *request, const Seqpush__V1__Request *expected)
{
    s_check(request->request_id == expected->request_id);
    if (request->kind != REQUEST_PUSH)
        return;
    s_check(expected->body_case == SEQPUSH__V1__REQUEST__BODY_PUSH);
    s_check(request->count == expected->push->n_pushes);
    for (uint32_t i = 0; i < request->count; i++)
        s_check_push(&request->pushes[i], expected->push->pushes[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    error_code_t code;
    const char *reason;
    uint64_t request_id;
    frame_t *frame = frame_copy(data, size);
    request_t *request = request_read(frame, &s_limits, &code, &reason, &request_id);
    Seqpush__V1__Request *expected = seqpush__v1__request__unpack(NULL, size, data);
    if (request) {
        s_check(expected != NULL);
        s_check_request(request, expected);
    } else {
        s_check((code == ERROR_MALFORMED) == !expected);
        s_check(!expected || request_id == expected->request_id);
    }
    seqpush__v1__request__free_unpacked(expected, NULL);
    request_destroy(&request);
    frame_unref(frame);
    return 0;
}
