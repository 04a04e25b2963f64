#!/usr/bin/python3
"""Prints the payloads of a client, or of all with a prefix, each once and in order.

Usage: receiver.py BROKER CLIENT|PREFIX* COUNT
"""
import os
import sys
import time

import seqpush_pb2 as wire
import zmq

ACK_INTERVAL, BEAT_INTERVAL = 0.005, 2.0  # seconds

broker, who, count = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3])
me = b"receiver-%d" % os.getpid()
context = zmq.Context.instance()
front, pull = context.socket(zmq.DEALER), context.socket(zmq.PULL)
front.linger = 1000
front.connect(broker)
pull.bind("tcp://127.0.0.1:*")
generation = 0  # 0: not attached
last = {}  # client: (epoch, seq) of the last push taken
unacked, missing, ack_due, beat_due = set(), set(), 0.0, 0.0


def send(**body):
    front.send(wire.Request(**body).SerializeToString())


def positions(clients):
    return [wire.Position(client_id=c, epoch=at[0], seq=at[1])
            for c in clients for at in [last.get(c, (0, 0))]]


def attach():
    body = wire.Attach(receiver_id=me, endpoint=pull.LAST_ENDPOINT, clients=positions(last))
    if who.endswith(b"*"):
        body.client_prefix = who[:-1]
    elif who not in last:
        body.clients.add(client_id=who)
    send(attach=body)


def keep_up():
    """Sends what is due: an ack every few milliseconds, a heartbeat (or the Attach) every 2 s."""
    global ack_due, beat_due
    now = time.monotonic()
    if generation and (unacked or missing) and now >= ack_due:
        send(ack=wire.DeliveryAck(receiver_id=me, generation=generation,
                                  positions=positions(unacked), missing=positions(missing)))
        unacked.clear()
        missing.clear()
        ack_due = now + ACK_INTERVAL
    if now >= beat_due:
        if generation:
            send(heartbeat=wire.Heartbeat(receiver_id=me, generation=generation))
        else:
            attach()
        beat_due = now + BEAT_INTERVAL


def take_reply(reply):
    global generation, beat_due
    body = reply.WhichOneof("body")
    if body == "attached":
        generation = reply.attached.generation
        for p in reply.attached.positions:
            last[p.client_id] = max((p.epoch, p.seq), last.get(p.client_id, (0, 0)))
        for p in reply.attached.refused:  # we are ahead of the broker: go on where it is
            last[p.client_id] = (p.epoch, p.seq)
    elif body == "detached" or body == "error" and reply.error.code not in (
            "unknown_receiver", "stale_generation"):
        sys.exit(str(reply))
    if body == "error" or reply.attached.refused:
        generation, beat_due = 0, 0.0  # attach again


def take(entry):
    """The receiver's rule. Returns whether it is a push whose turn has come."""
    client, at = entry.client_id, (entry.epoch, entry.seq)
    before = last.get(client, (0, 0))
    follows = not entry.marker and at == (before[0], before[1] + 1)
    if entry.marker:  # the stream goes on after this
        last[client] = max(at, before)
    elif follows:  # a push, or a gap notice that ends at skipped_to
        last[client] = (entry.epoch, max(entry.seq, entry.skipped_to))
    elif at > before:  # something before it was lost: the broker is to go back
        missing.add(client)
        return False
    unacked.add(client)
    return follows and not entry.skipped_to


while count:
    keep_up()
    if front.poll(0 if generation else 100):
        take_reply(wire.Reply.FromString(front.recv()))
    if not generation or not pull.poll(1000 * ACK_INTERVAL):
        continue  # nothing came; or not attached, and then the PULL socket is not read
    delivery = wire.Delivery.FromString(pull.recv())
    for entry in delivery.pushes if delivery.generation in (0, generation) else ():
        if count and (delivery.generation == 0 or take(entry)):
            sys.stdout.buffer.write(entry.payload + b"\n")
            count -= 1
        keep_up()

ack_due = 0.0
keep_up()
send(detach=wire.Detach(receiver_id=me, generation=generation))
