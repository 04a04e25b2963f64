#!/usr/bin/python3
"""Prints a client's payloads, each once and in order: receiver.py BROKER CLIENT|PREFIX* COUNT"""
import os
import sys
import time

import seqpush_pb2 as wire
import zmq

broker, who, count = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3])
prefix = {"client_prefix": who[:-1]} if who.endswith(b"*") else {}
me, context = b"receiver-%d" % os.getpid(), zmq.Context.instance()
front, pull = context.socket(zmq.DEALER), context.socket(zmq.PULL)
front.connect(broker)
pull.bind("tcp://127.0.0.1:*")
last = {} if prefix else {who: (0, 0)}  # client: (epoch, seq) of the last entry taken
unacked, missing, generation, spoke_at = set(), set(), 0, 0.0  # generation 0: not attached


def positions(clients):
    return [{"client_id": c, "epoch": e, "seq": s} for c in clients for e, s in [last[c]]]


def speak():
    """Acknowledges, every 5 ms if there is something to say, every second as a sign of life."""
    global spoke_at
    if time.monotonic() - spoke_at < (0.005 if unacked or missing else 1):
        return
    if generation:
        said = {"ack": {"receiver_id": me, "generation": generation,
                        "positions": positions(unacked), "missing": positions(missing)}}
    else:
        said = {"attach": {"receiver_id": me, "endpoint": pull.LAST_ENDPOINT,
                           "clients": positions(last), **prefix}}
    front.send(wire.Request(**said).SerializeToString())
    unacked.clear(), missing.clear()
    spoke_at = time.monotonic()


def hear(reply):
    global generation, spoke_at
    if reply.error.code in ("unknown_receiver", "stale_generation"):
        spoke_at = 0.0  # attach again, at once
    elif not reply.HasField("attached") or reply.attached.refused:
        sys.exit(str(reply))  # detached, refused, or ahead of the broker
    generation = reply.attached.generation


def take(entry):
    """The receiver's rule. Returns whether it is a push whose turn has come."""
    client, at = entry.client_id, (entry.epoch, entry.seq)
    epoch, seq = last.setdefault(client, (0, 0))
    follows = not entry.marker and at == (epoch, seq + 1)
    if entry.marker and (at[0] != epoch or at[1] > seq):
        last[client] = at  # the stream goes on after this
    elif follows:  # a push, or a gap notice that ends at skipped_to
        last[client] = (epoch, max(entry.seq, entry.skipped_to))
    (missing if at > last[client] else unacked).add(client)
    return follows and not entry.skipped_to


while count:
    speak()
    if front.poll(0 if generation else 5):
        hear(wire.Reply.FromString(front.recv()))
    if generation and pull.poll(5):  # the PULL socket is not read before Attached
        delivery = wire.Delivery.FromString(pull.recv())
        for entry in delivery.pushes if delivery.generation in (0, generation) else ():
            if count and (delivery.generation == 0 or take(entry)):
                sys.stdout.buffer.write(entry.payload + b"\n")
                count -= 1
            speak()
spoke_at = 0.0
speak()
front.send(wire.Request(detach={"receiver_id": me, "generation": generation}).SerializeToString())
