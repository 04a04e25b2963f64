#!/usr/bin/python3
"""Prints the payloads of a client, or of all with a prefix, each once and in order.

Usage: receiver.py BROKER CLIENT|PREFIX* COUNT
"""
import os
import sys
import time

import seqpush_pb2 as wire
import zmq

broker, who, count = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3])
me, context = b"receiver-%d" % os.getpid(), zmq.Context.instance()
front, pull = context.socket(zmq.DEALER), context.socket(zmq.PULL)
front.connect(broker)
pull.bind("tcp://127.0.0.1:*")
generation, last = 0, {}  # 0: not attached; client: (epoch, seq) of the last entry taken
unacked, missing, acked_at = set(), set(), 0.0


def positions(clients):
    return [wire.Position(client_id=c, epoch=at[0], seq=at[1])
            for c in clients for at in [last.get(c, (0, 0))]]


def attach():
    body = wire.Attach(receiver_id=me, endpoint=pull.LAST_ENDPOINT, clients=positions(last))
    if who.endswith(b"*"):
        body.client_prefix = who[:-1]
    elif who not in last:
        body.clients.add(client_id=who)
    front.send(wire.Request(attach=body).SerializeToString())


def take_reply(reply):
    """Returns the generation; 0 after an Error that asks for another Attach."""
    if reply.error.code in ("unknown_receiver", "stale_generation"):
        return attach() or 0
    if not reply.HasField("attached") or reply.attached.refused:
        sys.exit(str(reply))  # detached, refused, or ahead of the broker
    for p in reply.attached.positions:
        last[p.client_id] = max((p.epoch, p.seq), last.get(p.client_id, (0, 0)))
    return reply.attached.generation


def acknowledge():
    """Every 5 ms if there is something to say; every second anyway, as a sign of life."""
    global acked_at
    if time.monotonic() - acked_at > (0.005 if unacked or missing else 1):
        front.send(wire.Request(ack=wire.DeliveryAck(
            receiver_id=me, generation=generation, positions=positions(unacked),
            missing=positions(missing))).SerializeToString())
        unacked.clear(), missing.clear()
        acked_at = time.monotonic()


def take(entry):
    """The receiver's rule. Returns whether it is a push whose turn has come."""
    client, at = entry.client_id, (entry.epoch, entry.seq)
    before = last.get(client, (0, 0))
    follows = not entry.marker and at == (before[0], before[1] + 1)
    if entry.marker:  # the stream goes on after this
        last[client] = max(at, before)
    elif follows:  # a push, or a gap notice that ends at skipped_to
        last[client] = (entry.epoch, max(entry.seq, entry.skipped_to))
    (missing if at > last.get(client, (0, 0)) else unacked).add(client)
    return follows and not entry.skipped_to


attach()
while count:
    if front.poll(0 if generation else 1000):
        generation = take_reply(wire.Reply.FromString(front.recv()))
    if not generation:
        continue  # the PULL socket is not read before Attached
    acknowledge()
    if not pull.poll(5):
        continue
    delivery = wire.Delivery.FromString(pull.recv())
    for entry in delivery.pushes if delivery.generation in (0, generation) else ():
        if count and (delivery.generation == 0 or take(entry)):
            sys.stdout.buffer.write(entry.payload + b"\n")
            count -= 1
        acknowledge()

acked_at = 0
acknowledge()
front.send(wire.Request(detach=wire.Detach(
    receiver_id=me, generation=generation)).SerializeToString())
