#!/usr/bin/python3
"""Judges a run by what its publishers and receivers wrote down, and by nothing else.

A log is text, a line an event; numbers are decimal, NS are monotonic nanoseconds. A process that is
killed may leave half a line, or NULs, at the end, which do not count.

A publisher writes
    p CLIENT SEQ OUTCOME    a push and its outcome by its number on the wire
    k CLIENT FROM TO        it had these seqs given up
and a receiver
    s NS new|resumed        an instance of the application started
    t CLIENT SEQ TAG        it took a push, with this tag (`-`: the payload is not all of one piece)
    g CLIENT FROM TO        it took the notice that these seqs were given up
    c NS COUNT              it has taken so many; for rates, and not judged

The tag of a push is the keyed hash of "CLIENT SEQ", so a payload that belongs elsewhere shows.

What is right:
- Within one instance a client's entries ascend by one: each push once, each gap notice once.
- Where an instance starts with a client, nothing before may be missing: everything up to there was
  taken or announced, by this receiver or by another. Instances are ordered by when they started.
- An instance that resumed goes on at what its own log has, so a receiver that always resumes has
  each push exactly once. A new one knows nothing, and may have again what a predecessor took and
  could not acknowledge any more: at least once.
- What was taken had been pushed and was not refused; what is announced as given up had been given
  up.
- What was accepted (a duplicate is as good) was taken or announced in the end.

All this is for seqs that start at 1 in epoch 0. Memory is a byte a push and some for each instance
of a client, whatever the logs have.

Usage: checker.py --pushed LOG... --taken LOG...
"""
import argparse
import hashlib
import json
import sys
from collections import Counter, defaultdict

KEY = b"seqpush soak"
TAG = 8  # bytes of the hash in a log
FAULTS = ("lost", "hole", "doubled", "out_of_order", "altered", "from_nowhere", "not_given_up",
          "unreadable")
EXAMPLES = 20  # faults that are told one by one

REFUSED, ACCEPTED, GIVEN_UP = 1, 2, 4  # what is known of a seq, as bits
AS_ACCEPTED = (b"0", b"1")  # ACCEPTED, DUPLICATE
HASH = hashlib.blake2b(key=KEY, digest_size=16)


def tag(name):
    """The tag of the push named "CLIENT SEQ"."""
    state = HASH.copy()
    state.update(name)
    return state.digest()[:TAG].hex().encode()


class Span:
    """What one instance took of one client: the seqs first to last, but for what it passed over."""
    __slots__ = ("started", "first", "last", "passed")

    def __init__(self, started, first, last):
        self.started, self.first, self.last = started, first, last
        self.passed = None


class ReceiverLog:
    """Where the reader of one receiver's log is."""

    def __init__(self):
        self.started, self.resumed = 0, False
        self.before, self.now = {}, {}  # client: its last Span of earlier instances, of this one

    def start(self, started, resumed):
        self.started, self.resumed = started, resumed
        self.before.update(self.now)
        self.now = {}


class Checker:
    def __init__(self):
        self.pushed = defaultdict(lambda: bytearray(1))  # client: what is known of each seq
        self.spans = defaultdict(list)  # client: its Spans
        self.counts = Counter()
        self.faults = Counter()
        self.examples = []

    def fault(self, kind, client, what, number=1):
        self.faults[kind] += number
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{kind}: {client.decode(errors='replace')}: {what}")

    # ---- what publishers say

    def read_publisher(self, lines):
        for line in whole(lines):
            try:
                kind, client, seq, rest = line.split()
                if kind == b"p":
                    self._push(client, int(seq), rest)
                elif kind == b"k":
                    self._give_up(client, int(seq), int(rest))
                else:
                    self.fault("unreadable", b"publisher", line)
            except ValueError:
                self.fault("unreadable", b"publisher", line)

    def _push(self, client, seq, outcome):
        self._know(client, seq, ACCEPTED if outcome in AS_ACCEPTED else REFUSED)
        self.counts["pushes"] += 1
        self.counts["accepted"] += outcome in AS_ACCEPTED

    def _give_up(self, client, first, last):
        for seq in range(first, last + 1):
            self._know(client, seq, GIVEN_UP)

    def _know(self, client, seq, what):
        known = self.pushed[client]
        if seq >= len(known):
            known.extend(bytes(seq - len(known) + 1))
        known[seq] |= what

    # ---- what receivers say

    def read_receiver(self, lines):
        log = ReceiverLog()
        for line in whole(lines):
            try:
                self._read_line(log, line, line.split())
            except ValueError:
                self.fault("unreadable", b"receiver", line)

    def _read_line(self, log, line, fields):
        kind = fields[0] if fields else b""
        if kind == b"t" and log.started:
            _, client, seq, its_tag = fields
            self._take(log, client, int(seq), its_tag == tag(client + b" " + seq))
        elif kind == b"g" and log.started:
            _, client, first, last = fields
            self._announce(log, client, int(first), int(last))
        elif kind == b"s":
            _, started, how = fields
            log.start(int(started), how == b"resumed")
            self.counts["instances"] += 1
        elif kind != b"c":
            self.fault("unreadable", b"receiver", line)

    def _take(self, log, client, seq, as_pushed):
        self.counts["taken"] += 1
        known = self.pushed.get(client, b"")
        if seq >= len(known) or not known[seq] & ACCEPTED:
            self.fault("from_nowhere", client, f"{seq} was not pushed, or was refused")
            return
        if not as_pushed:
            self.fault("altered", client, f"the payload of {seq}")
        self._follow(log, client, seq, seq)

    def _announce(self, log, client, first, last):
        self.counts["gaps"] += 1
        known = self.pushed.get(client, b"")
        if last >= len(known) or first > last or \
                not all(what & GIVEN_UP for what in known[first:last + 1]):
            self.fault("not_given_up", client, f"{first} to {last} were announced as given up")
            return
        self._follow(log, client, first, last)

    def _follow(self, log, client, first, last):
        """An entry for the seqs first to last, in the order of one log."""
        span = log.now.get(client)
        if span is None:
            self._begin(log, client, first, last)
        elif first == span.last + 1:
            span.last = last
        elif first > span.last:
            span.passed = (span.passed or set()) | set(range(span.last + 1, first))
            span.last = last
        elif span.passed and first in span.passed:
            self.fault("out_of_order", client, f"{first} after {span.last}")
            span.passed.discard(first)
        else:
            self.fault("doubled", client, f"{first} again, after {span.last}")

    def _begin(self, log, client, first, last):
        before = log.before.get(client)
        if log.resumed and before and first <= before.last:
            self.fault("doubled", client, f"{first} again, after {before.last}, though resumed")
        log.now[client] = Span(log.started, first, last)
        self.spans[client].append(log.now[client])

    # ---- the end

    def finish(self):
        """All logs are read: what is left is what only all of them together can tell."""
        for client, known in self.pushed.items():
            reach = self._join(client)
            lost = sum(1 for what in known[reach + 1:] if what & ACCEPTED)
            if lost:
                self.fault("lost", client, f"{lost} accepted ones after {reach} never came", lost)
        return not self.faults

    def _join(self, client):
        """How far a client's instances come, one after the other."""
        reach = 0
        for span in sorted(self.spans.get(client, ()), key=lambda s: s.started):
            if span.first > reach + 1:
                self.fault("hole", client, f"{reach + 1} to {span.first - 1} came to nobody before "
                           f"{span.first}", span.first - reach - 1)
            if span.passed:
                self.fault("hole", client, f"{sorted(span.passed)[:5]} passed over",
                           len(span.passed))
            reach = max(reach, span.last)
        return reach

    def report(self):
        names = ("pushes", "accepted", "taken", "gaps", "instances")
        return {**{name: self.counts[name] for name in names}, "clients": len(self.pushed),
                **{kind: self.faults[kind] for kind in FAULTS}}


def whole(lines):
    """The lines but for what a killed process left half written at the end."""
    return (line for line in lines if line.endswith(b"\n"))


def check(pushed, taken):
    """Judges the logs at these paths; returns the Checker, finished."""
    checker = Checker()
    for paths, read in ((pushed, checker.read_publisher), (taken, checker.read_receiver)):
        for path in paths:
            with open(path, "rb", buffering=1 << 20) as log:
                read(log)
    checker.finish()
    return checker


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pushed", nargs="+", required=True, metavar="LOG")
    parser.add_argument("--taken", nargs="+", required=True, metavar="LOG")
    options = parser.parse_args()
    checker = check(options.pushed, options.taken)
    print(json.dumps(checker.report(), indent=2))
    for example in checker.examples:
        print(example, file=sys.stderr)
    sys.exit(1 if checker.faults else 0)


if __name__ == "__main__":
    main()
