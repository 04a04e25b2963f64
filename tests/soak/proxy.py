#!/usr/bin/python3
"""A faulty network between receivers and the broker: TCP connections that break, acks that get lost
and come twice.

It knows ZMTP 3 just well enough to tell one frame from the next, and a DeliveryAck from other
requests. Two kinds of connections go through it, one port each a receiver:
- the front: the receiver's DEALER connects here, and on to the broker. DeliveryAcks are dropped and
  doubled at random; nothing else is, for TCP does not lose what it carries.
- deliveries: the broker's PUSH connects here, and on to the unix socket that the receiver binds.
Both are cut at random, in the middle of a frame, and both ends see the connection go.

Prints one line of JSON with its ports when it is ready, and one with what it did at SIGTERM.

Usage: proxy.py [--seed N] [--drop P] [--double P] [--cut P] FRONT_PORT UNIX_SOCKET...
"""
import argparse
import asyncio
import json
import random
import signal
from collections import Counter
from functools import partial

GREETING = 64  # bytes that open a ZMTP connection
LONG, COMMAND = 2, 4  # flags of a frame
ACK = b"\x22"  # first byte of a Request with a DeliveryAck
MOST = 64 << 20  # bytes of a frame


class Cut(Exception):
    """The connection is to be cut."""


class Faults:
    """What goes wrong, at random but by a seed."""

    def __init__(self, seed, drop, double, cut):
        self.dice = random.Random(seed)
        self.drop, self.double, self.cut = drop, double, cut
        self.done = Counter()

    def happens(self, probability, what):
        happens = self.dice.random() < probability
        self.done[what] += happens
        return happens

    def copies(self, payload):
        """How often a frame of the front is passed on."""
        if payload[:1] != ACK:
            return 1
        self.done["acks"] += 1
        if self.happens(self.drop, "acks_dropped"):
            return 0
        return 2 if self.happens(self.double, "acks_doubled") else 1


async def read_frame(reader):
    """The next frame: its flags, its header with them, its payload."""
    header = await reader.readexactly(1)
    header += await reader.readexactly(8 if header[0] & LONG else 1)
    size = int.from_bytes(header[1:], "big")
    assert size <= MOST, "out of step with the frames"
    return header[0], header, await reader.readexactly(size)


async def carry_greeting(reader, writer):
    """As it comes: each end waits for a part of the other's before it goes on."""
    left = GREETING
    while left:
        part = await reader.read(left)
        if not part:
            raise EOFError
        writer.write(part)
        left -= len(part)


async def carry(reader, writer, faults, kind):
    """Carries frames one way until the connection ends or is cut."""
    await carry_greeting(reader, writer)
    while True:
        flags, header, payload = await read_frame(reader)
        frame = header + payload
        if flags & COMMAND:
            writer.write(frame)
        elif faults.happens(faults.cut, f"{kind}_cut"):
            writer.write(frame[:faults.dice.randrange(1, len(frame))])
            await writer.drain()
            raise Cut
        else:
            writer.write(frame * (faults.copies(payload) if kind == "front" else 1))
        await writer.drain()


async def serve(reader, writer, connect, faults, kind):
    """One connection through the proxy: both ways, until either ends."""
    writers = [writer]
    ways = []
    try:
        far_reader, far_writer = await connect()
        writers.append(far_writer)
        ways = [asyncio.ensure_future(carry(reader, far_writer, faults, kind)),
                asyncio.ensure_future(carry(far_reader, writer, faults, kind + "_back"))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    except OSError:
        pass  # the receiver is not there: what connects tries again
    finally:
        for way in ways:
            way.cancel()
        for end in writers:
            end.close()
        for result in await asyncio.gather(*ways, return_exceptions=True):
            expected = (Cut, EOFError, OSError, asyncio.CancelledError)
            faults.done["errors"] += not isinstance(result, expected)


async def listen(connect, faults, kind):
    """Serves a port of its own; returns it."""
    server = await asyncio.start_server(
        lambda reader, writer: serve(reader, writer, connect, faults, kind), "127.0.0.1", 0)
    return server.sockets[0].getsockname()[1]


async def run(options):
    faults = Faults(options.seed, options.drop, options.double, options.cut)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    front = await listen(partial(asyncio.open_connection, "127.0.0.1", options.front), faults,
                         "front")
    deliveries = [await listen(partial(asyncio.open_unix_connection, path), faults, "push")
                  for path in options.sockets]
    print(json.dumps({"front": front, "deliveries": deliveries}), flush=True)
    await stopped.wait()
    print(json.dumps(faults.done), flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="the others are probabilities")
    parser.add_argument("--drop", type=float, default=0.2, help="of an ack (0.2)")
    parser.add_argument("--double", type=float, default=0.2, help="of the acks left (0.2)")
    parser.add_argument("--cut", type=float, default=0.003, help="of a connection, a frame (0.003)")
    parser.add_argument("front", type=int, metavar="FRONT_PORT")
    parser.add_argument("sockets", nargs="+", metavar="UNIX_SOCKET")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(run(parse()))
