"""The parts of the bench about the ordering stage: many rules, many held pushes, crafted ids, deadlines."""
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time

from counterparts import load_broker, serving
from harness import BUILD, Broker
from job import Job

CLASSES = "64 B, 64 a frame, in order, 100,000 clients of ten rules"
INSERT, IDS = "one more push, a million held", "first push of 100,000 clients"
DEADLINE = "a hole given up after gap_timeout"

GAP_TIMEOUT = 200  # ms
HOLES = 500


@contextlib.contextmanager
def configured(text, *settings):
    """A broker with a configuration file."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(text)
        file.flush()
        with serving(Broker(*settings, config=file.name)) as server:
            yield server


def rules(*matches):
    """A rule for each glob; in turn strict and deadline, each with settings of its own."""
    lines = ["ordering"]
    for i, match in enumerate(matches):
        lines += ["    rule", f'        match = "{match}"',
                  f"        policy = {('strict', 'deadline')[i % 2]}",
                  f"        gap_timeout = {5000 + i}", f"        gap_alarm = {1000 + i}"]
    return "\n".join(lines) + "\n"


def classes(scale):
    """Ten rules, which each have a tenth of the clients, against one that has all."""
    many = 100_000 if scale.full else 10_000
    job = Job(many * 20, clients=many, shuffle=1)
    texts = {"1 rule": rules("*"), "10 rules": rules(*(f"*{i}" for i in range(10)))}
    reports = {}
    for name in random.sample(sorted(texts), len(texts)):  # so that going first helps neither
        with configured(texts[name]) as server:
            reports[name] = load_broker(server, job)
    return {CLASSES: reports}


def inserts(_):
    """The core alone, in a program of its own."""
    def run(what):
        done = subprocess.run([BUILD / "tests/bench/inserts", what], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"FAILED: inserts {what}: {done.stderr}")
        return json.loads(done.stdout)

    return {INSERT: {"core": run("fill")}, IDS: {"core": run("ids")}}


def deadline(_):
    """When the gap notice of a hole comes, with nothing else going on; a hole every few ms.

    A hole begins between the sending of the push behind it and the reply. So the first notice is
    counted from the sending, and the last one from the reply.
    """
    from peers import Peer, Receiver, push  # needs zmq for Python, which other parts do not

    with serving(Broker("ordering/policy=deadline", f"ordering/gap_timeout={GAP_TIMEOUT}",
                        "delivery/ack_timeout=60000")) as broker:  # nothing is acknowledged
        with Peer(broker) as peer, Receiver(broker) as receiver:
            receiver.attach(prefix="")
            sent, came = {}, {}
            while len(came) < HOLES:
                if len(sent) < HOLES:
                    name, before = f"d-{len(sent)}".encode(), time.monotonic()
                    peer.push(push(name, 1), push(name, 3))
                    sent[name] = before, time.monotonic()
                while receiver.pull.poll(2 if len(sent) < HOLES else 10_000):
                    take(receiver.delivery(), came)
                    if len(came) == HOLES:
                        break
            check_late(peer, push)
    timeout = GAP_TIMEOUT / 1000
    early = min(came[name] - before for name, (before, _) in sent.items())
    late = max(came[name] - after for name, (_, after) in sent.items())
    return {DEADLINE: {"broker": {"earliest": early / timeout, "latest_ms": late * 1000}}}


def take(delivery, came):
    """Notes when the notice of each client came; there is one, and it is about seq 2."""
    now = time.monotonic()
    for entry in delivery.pushes:
        if not entry.skipped_to:
            continue
        if (entry.seq, entry.skipped_to) != (2, 2) or entry.client_id in came:
            sys.exit(f"FAILED: an unexpected gap notice: {entry}")
        came[entry.client_id] = now


def check_late(peer, push):
    """What was given up stays so."""
    from peers import outcomes

    for i in range(HOLES):
        if outcomes(peer.push(push(f"d-{i}", 2)), 1) != ["STALE"]:
            sys.exit("FAILED: a push that was given up is not STALE")


EVERY_ROUND = {part.__name__: part for part in (classes, deadline)}
ONCE = {part.__name__: part for part in (inserts,)}
