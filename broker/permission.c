//  permission.c - may this key ask for that? See permission.h

#include "permission.h"
#include "address.h"
#include <assert.h>

const char *permission_reason(denied_t cause)
{
    static const char *const reasons[] = {
        [DENIED_ROLE] = "the key's roles do not allow it",
        [DENIED_CLIENT] = "the key may not have this client or prefix",
        [DENIED_RECEIVER] = "the key may not be this receiver",
        [DENIED_ENDPOINT] = "the key may not name this endpoint",
    };
    return reasons[cause];
}

//  ---- pushes ------------------------------------------------------------------------------------

static void s_forbid(request_t *request, push_t *push)
{
    push->outcome = OUTCOME_FORBIDDEN;
    //  Where the client is, is none of the peer's business.
    push->now_epoch = push->next_seq = push->window_end = 0;
    push->retry_after_ms = 0;
    request->rejected++;
}

uint32_t permission_judge_pushes(const access_key_t *key, request_t *request, denied_t *cause)
{
    bool may_push = access_has_role(key, ROLE_PUBLISHER);
    uint32_t denied = 0;
    *cause = may_push ? DENIED_CLIENT : DENIED_ROLE;
    for (uint32_t i = 0; i < request->count; i++) {
        push_t *push = &request->pushes[i];
        if (may_push && access_has_client(key, push->id, push->id_size))
            continue;
        //  One that is wrong by itself has been counted as refused.
        request->rejected -= push->outcome != OUTCOME_ACCEPTED;
        s_forbid(request, push);
        denied++;
    }
    return denied;
}

//  ---- the other bodies --------------------------------------------------------------------------

static bool s_has_client(const access_key_t *key, ProtobufCBinaryData id)
{
    return access_has_client(key, id.data, id.len);
}

static bool s_have_clients(const access_key_t *key, Seqpush__V1__Position *const *positions,
                           size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!s_has_client(key, positions[i]->client_id))
            return false;
    return true;
}

static denied_t s_judge_receiver(const access_key_t *key, unsigned roles, ProtobufCBinaryData id)
{
    if (!access_has_role(key, roles))
        return DENIED_ROLE;
    return access_has_receiver(key, id.data, id.len) ? PERMITTED : DENIED_RECEIVER;
}

//  An endpoint that is none is left to the orderer, which refuses it.
static bool s_has_endpoint(const access_key_t *key, const char *endpoint)
{
    char address[ADDRESS_MAX];
    return !address_parse(endpoint, address) || access_has_endpoint(key, address);
}

static denied_t s_judge_attach(const access_key_t *key, const Seqpush__V1__Attach *attach)
{
    denied_t cause = s_judge_receiver(key, ROLE_RECEIVER, attach->receiver_id);
    if (cause != PERMITTED)
        return cause;
    bool by_prefix = attach->prefix_case == SEQPUSH__V1__ATTACH__PREFIX_CLIENT_PREFIX;
    if (!s_have_clients(key, attach->clients, attach->n_clients) ||
        (by_prefix &&
         !access_has_prefix(key, attach->client_prefix.data, attach->client_prefix.len)))
        return DENIED_CLIENT;
    return s_has_endpoint(key, attach->endpoint) ? PERMITTED : DENIED_ENDPOINT;
}

static denied_t s_judge_detach(const access_key_t *key, const Seqpush__V1__Detach *detach)
{
    denied_t cause = s_judge_receiver(key, ROLE_RECEIVER | ROLE_ADMIN, detach->receiver_id);
    for (size_t i = 0; cause == PERMITTED && i < detach->n_client_ids; i++)
        if (!s_has_client(key, detach->client_ids[i]))
            return DENIED_CLIENT;
    return cause;
}

static denied_t s_judge_ack(const access_key_t *key, const Seqpush__V1__DeliveryAck *ack)
{
    denied_t cause = s_judge_receiver(key, ROLE_RECEIVER, ack->receiver_id);
    if (cause != PERMITTED)
        return cause;
    return s_have_clients(key, ack->positions, ack->n_positions) &&
                   s_have_clients(key, ack->missing, ack->n_missing)
               ? PERMITTED
               : DENIED_CLIENT;
}

//  A publisher's heartbeat names no receiver; anybody may send one.
static denied_t s_judge_heartbeat(const access_key_t *key, const Seqpush__V1__Heartbeat *heartbeat)
{
    return heartbeat->receiver_id.len ? s_judge_receiver(key, ROLE_RECEIVER, heartbeat->receiver_id)
                                      : PERMITTED;
}

static denied_t s_judge_client(const access_key_t *key, ProtobufCBinaryData id)
{
    if (!access_has_role(key, ROLE_PUBLISHER | ROLE_ADMIN))
        return DENIED_ROLE;
    return s_has_client(key, id) ? PERMITTED : DENIED_CLIENT;
}

denied_t permission_judge(const access_key_t *key, const request_t *request)
{
    const Seqpush__V1__Request *body = request->body;
    switch (request->kind) {
    case REQUEST_ATTACH:
        return s_judge_attach(key, body->attach);
    case REQUEST_DETACH:
        return s_judge_detach(key, body->detach);
    case REQUEST_ACK:
        return s_judge_ack(key, body->ack);
    case REQUEST_HEARTBEAT:
        return s_judge_heartbeat(key, body->heartbeat);
    case REQUEST_SKIP:
        return s_judge_client(key, body->skip->client_id);
    case REQUEST_RESET:
        return s_judge_client(key, body->reset->client_id);
    default:
        assert(false);
        return DENIED_ROLE;
    }
}
