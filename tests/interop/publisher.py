#!/usr/bin/python3
"""Sends the lines of standard input as numbered pushes for one client.

Usage: publisher.py BROKER CLIENT
"""
import sys
import time
from collections import Counter, deque

import seqpush_pb2 as wire
import zmq

BATCH, UNDER_WAY, PATIENCE = 64, 16, 2.0  # pushes a request, requests, seconds
RETRY = (wire.WINDOW_FULL, wire.BACKLOG_FULL, wire.OVERLOADED, wire.STORAGE_UNAVAILABLE)

broker, client = sys.argv[1], sys.argv[2].encode()
front = zmq.Context.instance().socket(zmq.DEALER)
front.connect(broker)

waiting = deque(wire.Push(client_id=client, seq=seq, payload=line.rstrip(b"\n"))
                for seq, line in enumerate(sys.stdin.buffer, 1))
sent = {}  # request_id: its pushes, until they have an outcome
request_id, resume, outcomes = 0, 0.0, Counter()


def send_batch():
    global request_id
    request_id += 1
    sent[request_id] = [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
    request = wire.Request(request_id=request_id)
    request.push.pushes.extend(sent[request_id])
    front.send(request.SerializeToString())


def take(reply):
    global resume
    if reply.WhichOneof("body") == "error":
        sys.exit(f"{reply.error.code}: {reply.error.message}")
    if reply.WhichOneof("body") != "push_ack":
        return  # unasked
    ack = reply.push_ack
    open_ids = [i for i in sent if i <= reply.request_id]
    for answered in open_ids[-max(ack.requests, 1):]:
        batch = sent.pop(answered)
        refused = {r.index: r for r in ack.rejected}
        outcomes[wire.ACCEPTED] += len(batch) - len(refused)
        outcomes.update(r.outcome for r in refused.values() if r.outcome not in RETRY)
        again = [r for r in refused.values() if r.outcome in RETRY]
        waiting.extendleft(batch[r.index] for r in reversed(again))
        pause = max((r.retry_after_ms for r in again), default=0)
        resume = max(resume, time.monotonic() + pause / 1000)


while waiting or sent:
    while waiting and len(sent) < UNDER_WAY and time.monotonic() >= resume:
        send_batch()
    patience = PATIENCE if sent else max(0.0, resume - time.monotonic())
    if front.poll(patience * 1000 + 1):
        take(wire.Reply.FromString(front.recv()))
    elif sent:  # no answer: send again, the broker knows a duplicate
        waiting.extendleft(push for batch in reversed(list(sent.values())) for push in batch[::-1])
        sent.clear()

print(", ".join(f"{n} {wire.Outcome.Name(o).lower()}" for o, n in outcomes.items()), file=sys.stderr)
sys.exit(any(o not in (wire.ACCEPTED, wire.DUPLICATE) for o in outcomes))
