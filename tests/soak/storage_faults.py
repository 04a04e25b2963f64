"""Every call that the broker makes on its store fails once, each in a run of its own.

First a single call fails, then all from that one on until the publisher has been refused. Whatever is
answered ACCEPTED must be there after the broker was killed; what cannot be stored must be refused; and
when the disk is well again the broker serves, if need be after another start.
"""
import errno
import itertools
import os
import shutil
import time
from collections import Counter
from pathlib import Path

import disk
import wire
from crashes import settings
from disk import Disk
from harness import DEADLINE, Broker, NotReady
from peers import Peer, Receiver, outcomes, push
from power_loss import refusal

ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EACCES)
CLIENTS = ("a", "b", "c")
ROUNDS = 6  # batches, half of them before anything is acknowledged
SEQS = 2  # of a client in a batch
GOOD = {"ACCEPTED", "DUPLICATE"}


class Failure(AssertionError):
    """What must not be."""


class Run:
    """A broker on a disk of which a call fails, and what was pushed and taken."""

    def __init__(self, place, engine, number, count, error):
        self.settings = settings(place, engine)
        self.store = place / "store"
        self.disk = Disk(self.store, place)
        self.disk.fail(number, count, error)
        self.refusals = Counter()
        self.pushed = {client: 0 for client in CLIENTS}
        self.taken = {client: 0 for client in CLIENTS}
        self.broker = self.start()

    def start(self):
        """A start may be refused, if the reason is told; the next one is on a disk that is well."""
        try:
            return Broker(*self.settings, environment=self.disk.environment)
        except NotReady as error:
            if not self.disk.failed or refusal(error, self.store):
                raise Failure(f"not a clear refusal: {error}") from error
            self.refusals["start"] += 1
            self.disk.be_well()
            return Broker(*self.settings, environment=self.disk.environment)

    def push(self, lasting):
        """One batch, again and again until it is taken."""
        batch = [push(client, self.pushed[client] + i, f"{client} {self.pushed[client] + i}")
                 for client in CLIENTS for i in range(1, SEQS + 1)]
        end = time.monotonic() + DEADLINE
        with Peer(self.broker) as peer:
            while batch:
                failing = lasting and self.disk.failing
                got = outcomes(peer.push(*batch), len(batch))
                if failing and "ACCEPTED" in got:
                    raise Failure("accepted while nothing can be stored")
                if set(got) - GOOD - {"STORAGE_UNAVAILABLE"}:
                    raise Failure(f"outcomes {set(got)}")
                if time.monotonic() > end:
                    raise Failure("no service though the disk is well")
                batch = self.left(batch, got)
        for client in CLIENTS:
            self.pushed[client] += SEQS

    def left(self, batch, got):
        """What is to be pushed again; the disk is well once something was refused."""
        left = [one for one, outcome in zip(batch, got) if outcome not in GOOD]
        self.refusals["pushes"] += len(left)
        if left:
            self.disk.be_well()
        return left

    def take(self):
        """A receiver takes all that was pushed, from where it is."""
        with Receiver(self.broker) as receiver:
            receiver.last = {client.encode(): (0, seq) for client, seq in self.taken.items()}
            receiver.attach(*(wire.Position(client_id=client.encode(), seq=seq)
                              for client, seq in self.taken.items()))
            count = sum(self.pushed.values()) - sum(self.taken.values())
            for entry in receiver.take(count):
                client = entry.client_id.decode()
                self.taken[client] += 1
                if entry.seq != self.taken[client] or \
                        entry.payload != b"%s %d" % (entry.client_id, entry.seq):
                    raise Failure(f"{client} {entry.seq} came as {self.taken[client]}")
            receiver.beat()  # the acks were read before

    def work(self, lasting):
        for _ in range(ROUNDS // 2):
            self.push(lasting)
        self.take()
        for _ in range(ROUNDS // 2):
            self.push(lasting)
        if self.broker.child.poll() is not None:
            raise Failure(f"the broker has ended\n{self.broker.log}")

    def kill_and_take(self):
        """What was accepted must be there for the next broker, on a disk that is well."""
        self.broker.kill()
        self.disk.be_well()
        self.broker = Broker(*self.settings)
        self.take()
        self.broker.stop()


def fail_one(place, engine, number, count, error):
    """A run in which calls fail from that number on. Returns how many did, and what came of it."""
    place.mkdir()
    run = Run(place, engine, number, count, error)
    try:
        run.work(count > 1)
        failed = run.disk.failed
        run.kill_and_take()
    finally:
        run.broker.kill()
    shutil.rmtree(place)
    return failed, run.refusals


def storage_faults(folder, options):
    figures, wrong = Counter(), []
    for kind, count in (("single", 1), ("lasting", disk.FOR_EVER)):
        for number in itertools.count():
            error = ERRORS[(number + options.seed) % len(ERRORS)]
            place = Path(folder) / f"{kind}-{number}"
            try:
                failed, refusals = fail_one(place, options.engine, number, count, error)
            except AssertionError as failure:
                wrong.append(f"{place.name}, {os.strerror(error)}: {failure}")
                continue
            if not failed:
                break
            figures[f"{kind}: calls that failed"] += 1
            figures.update({f"{kind}: {what} refused": bool(times)
                            for what, times in refusals.items()})
    if figures["single: calls that failed"] < ROUNDS:
        wrong.append("the run is void: fewer calls than commits")
    return figures, wrong
