"""The programs of tests/interop in Python and Node, which go on across what the broker meets.

In each language a publisher and a receiver work on one client after the other. What the receiver
prints has to be what the publisher was given, line by line.
"""
import os
import subprocess
import sys
import threading

from cast import HERE
from peers import Receiver, position

INTEROP = HERE.parent / "interop"
LINES = 2000  # of one client


class Guest(threading.Thread):
    """One language: pairs of programs, until it is told to stop after the pair that runs."""

    def __init__(self, language, front, command, environment):
        super().__init__(daemon=True)
        self.language, self.front = language, front
        self.command, self.environment = command, environment
        self.last = threading.Event()
        self.children, self.pairs, self.wrong = [], 0, []
        self.start()

    def _program(self, role, *arguments):
        return subprocess.Popen([*self.command(role), self.front, *arguments],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=self.environment)

    def _pair(self, client):
        """Returns what is wrong."""
        text = b"".join(b"%s %d\n" % (client.encode(), seq) for seq in range(LINES))
        receiver = self._program("receiver", client, str(LINES))
        publisher = self._program("publisher", client)
        self.children = [publisher, receiver]
        _, told = publisher.communicate(text)
        if publisher.returncode:
            return f"the publisher of {client} ended: {told.decode()}"
        taken, told = receiver.communicate()
        if receiver.returncode:
            return f"the receiver of {client} ended: {told.decode()}"
        return "" if taken == text else f"{client}: taken is not what was pushed"

    def run(self):
        while not self.last.is_set() and not self.wrong:
            wrong = self._pair(f"{self.language}-{self.pairs}")
            self.pairs += not wrong
            self.wrong += [wrong] * bool(wrong)

    def kill(self):
        for child in self.children:
            child.kill()


class Guests:
    """All languages that are asked for."""

    def __init__(self, front, languages):
        self.front = front
        self.guests = [Guest(language, front, *way(language)) for language in languages]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for guest in self.guests:
            guest.last.set()
            guest.kill()

    def finish(self, patience):
        """Lets the pairs that run end. Returns what is wrong."""
        wrong = []
        for guest in self.guests:
            guest.last.set()
        for guest in self.guests:
            guest.join(patience)
        self.leave()
        for guest in self.guests:
            wrong += guest.wrong
            if guest.is_alive():
                wrong.append(f"waited in vain for {guest.language}-{guest.pairs}")
        return wrong

    def leave(self):
        """A receiver that ended may have told so a broker that was killed. Says it again for all."""
        last = [position(f"{guest.language}-{pair}", LINES)
                for guest in self.guests for pair in range(guest.pairs)]
        with Receiver(self.front) as receiver:
            receiver.attach(*last)
            receiver.detach()

    def figures(self):
        return {f"pairs_in_{guest.language}": guest.pairs for guest in self.guests}


def way(language):
    """How a program in a language is started: a function of its role, and the environment."""
    import made
    import wire
    if language == "node":
        return (lambda role: ["node", INTEROP / f"{role}.js"],
                {**os.environ, "NODE_PATH": str(made.node_modules(INTEROP))})
    return (lambda role: ["/usr/bin/python3", INTEROP / f"{role}.py"],
            {**os.environ, "PYTHONPATH": str(wire.GENERATED)})
