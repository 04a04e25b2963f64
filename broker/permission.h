/*  permission.h - may this key ask for that? One request judged by the table of keys

    What is judged is what was read: the walk over a batch lets no push through that could be read
    in another way.                                                                               */

#ifndef SEQPUSH_PERMISSION_H
#define SEQPUSH_PERMISSION_H

#include "access.h"
#include "request.h"

//  Nothing is denied.
#define PERMITTED DENIED_CAUSES

//  Judges any request but a PushBatch. Pure.
denied_t permission_judge(const access_key_t *key, const request_t *request);

//  Makes the pushes of a batch FORBIDDEN that the key may not have; `*cause` is why. Returns how many.
uint32_t permission_judge_pushes(const access_key_t *key, request_t *request, denied_t *cause);

//  What is denied, in words for the peer and the log.
const char *permission_reason(denied_t cause);

#endif
