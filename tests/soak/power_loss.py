"""The power is lost under load, and a fresh broker is started on what that leaves of the store.

Under load the broker is stopped now and then, so that nothing moves, and it is noted how far the disk's
trace and the logs of publishers and receivers have come. From the trace comes the store as it was synced
at that moment; of what was not synced, the disk has written nothing, all, or any part. On that store a
broker has to have all that was accepted. On a store of which bits were flipped it has to have all, too,
or must say that it is damaged, and not start.
"""
import mmap
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import checker
import disk
from cast import Cast, Receiver, wait_until
from crashes import settings
from disk import Disk, Replay
from harness import SANITIZER_REPORT, Broker, NotReady
from peers import Peer, outcomes, push

GROUPS = 4
CLIENTS = 10  # of a group
FLIPS_MAX = 4  # bits
UNSYNCED_MAX = 64  # writes after the moment that may have happened, too: nothing was promised of them
SIZE = 64  # bytes of a payload, a multiple of that of the hash
LOSSES_OF_A_RUN = 20
BLOCK = 32  # seqs of a client that publishers scramble
REFUSED = 2  # exit status of a start that failed
VARIANTS = ("nothing", "all", "some", "flipped")  # of what was not synced


class Moment:
    """How far everything had come when the power was lost."""

    def __init__(self, cast, trace):
        cast.broker.signal(signal.SIGSTOP)
        wait_until(lambda: state(cast.broker.pid) == "T", "the broker to stop")
        self.trace = trace.stat().st_size
        self.pushed = end(cast.folder / "pushed")
        self.taken = [end(receiver.log) for receiver in cast.receivers]
        cast.broker.signal(signal.SIGCONT)


def state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def end(log):
    """Where what is written of a mapped log ends: the rest is NULs."""
    with open(log, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as bytes_of:
        at = bytes_of.find(b"\0")
        return len(bytes_of) if at == -1 else at


# ---- the load, and when the power is lost


def run_load(folder, dice, options, number):
    """Returns so many moments of one run."""
    store = Disk(folder / "store", folder, traced=True)
    with Cast(folder / "run", settings(folder, options.engine), groups=GROUPS,
              environment=store.environment) as cast:
        cast.publish(g=GROUPS, s=SIZE, r=options.rate or 2000, x=dice.randrange(1000))
        moments = []
        for _ in range(number):
            time.sleep(dice.uniform(0, 0.4 * options.pause))
            moments.append(Moment(cast, store.trace))
    return moments


# ---- a broker on what is left


def copy_of_run(run, place, moment):
    """The logs as they were at the moment; what was pushed until then."""
    place.mkdir(exist_ok=True)
    for log, size in [("pushed", moment.pushed),
                      *((f"taken-{i}", size) for i, size in enumerate(moment.taken))]:
        with open(run / log, "rb") as whole:
            (place / log).write_bytes(whole.read(size))


def payload(client, seq):
    state_of_hash = checker.HASH.copy()
    state_of_hash.update(b"%s %d" % (client, seq))
    return state_of_hash.digest() * (SIZE // 16)


def fill(broker, log):
    """Offers what has no outcome, as its publisher would, so that no hole stays."""
    known = checker.Checker()
    with open(log, "rb") as lines:
        known.read_publisher(lines)
    most = max(map(len, known.pushed.values()), default=0)
    whole = (most // BLOCK + 2) * BLOCK  # nothing beyond was on its way
    with Peer(broker) as peer, open(log, "ab") as lines:
        for client in (b"%d.%d" % (g, c) for g in range(GROUPS) for c in range(CLIENTS)):
            seqs = known.pushed[client].ljust(whole + 1, b"\0")
            missing = [seq for seq in range(1, whole + 1) if not seqs[seq] & checker.ACCEPTED]
            offer(peer, client, missing)
            lines.writelines(b"p %s %d 0\n" % (client, seq) for seq in missing)


def offer(peer, client, seqs):
    reply = peer.push(*(push(client, seq, payload(client, seq)) for seq in seqs))
    assert set(outcomes(reply, len(seqs))) <= {"ACCEPTED", "DUPLICATE"}, reply


def deliver(broker, place):
    """Receivers take all that the broker has. Returns the checker, which has judged."""
    receivers = [Receiver(place / f"taken-{i}", i, broker.front, resumes=i % 2 == 0)
                 for i in range(GROUPS)]
    try:
        broker.wait_metric("receivers", GROUPS)
        fill(broker, place / "pushed")
        broker.wait_metric("queue_messages", 0)
    finally:
        for receiver in receivers:
            receiver.end()
    return checker.check([place / "pushed"], [receiver.log for receiver in receivers])


def refusal(error, store):
    """What is wrong with a start that was refused: nothing, if it says which store is damaged."""
    if error.status != REFUSED or SANITIZER_REPORT.search(error.log):
        return [str(error)]
    return [] if str(store) in error.log else [f"the refusal does not name the store: {error.log}"]


def judge(place, engine, may_refuse):
    """Starts a broker on the store in a place. Returns what it did and what is wrong."""
    try:
        broker = Broker(*settings(place, engine))
    except NotReady as error:
        wrong = refusal(error, place / "store")
        return "refused", wrong if may_refuse else wrong + [f"refused: {error}"]
    try:
        judged = deliver(broker, place)
        broker.stop()
    except AssertionError as error:
        return "served", [str(error)]
    finally:
        broker.kill()
    report = judged.report()
    return "served", [f"{report[kind]} {kind}" for kind in checker.FAULTS if report[kind]] + \
        judged.examples + ["gaps were announced"] * bool(report["gaps"])


# ---- the scenario


def damage(replay, dice, variant, store):
    """Writes the store as it may be after a loss of power, or worse."""
    choose = {"nothing": disk.none, "some": disk.some(dice)}.get(variant, disk.every)
    replay.save(store, choose)
    if variant == "flipped":
        data = max(store.iterdir(), key=lambda file: file.stat().st_size)
        disk.flip(data, dice, dice.randint(1, FLIPS_MAX))


def lose(folder, dice, options, moments):
    """Replays the trace of a run and looks at what is left at each moment."""
    counts, wrong, replay, at = Counter(), [], Replay(), 0
    with open(folder / "trace", "rb") as file, \
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as trace:
        for number, moment in enumerate(moments):
            at = replay.take_all(trace, at, moment.trace)
            at = replay.take_unsynced(trace, at, dice.randrange(UNSYNCED_MAX))
            place, variant = folder / f"loss-{number}", VARIANTS[number % len(VARIANTS)]
            copy_of_run(folder / "run", place, moment)
            damage(replay, dice, variant, place / "store")
            did, bad = judge(place, options.engine, variant == "flipped")
            counts[f"{variant}: {did}"] += 1
            wrong += [f"{place}, {variant}: {what}" for what in bad]
            if not bad:
                shutil.rmtree(place)
    counts["syncs"] += replay.syncs
    return counts, wrong


def power_loss(folder, options):
    dice, counts, wrong = random.Random(options.seed), Counter(), []
    for run in range(0, options.cycles, LOSSES_OF_A_RUN):
        place = Path(folder) / f"run-{run}"
        place.mkdir()
        moments = run_load(place, dice, options, min(LOSSES_OF_A_RUN, options.cycles - run))
        its_counts, its_wrong = lose(place, dice, options, moments)
        counts += its_counts
        wrong += its_wrong
        if not its_wrong:
            shutil.rmtree(place)
    if not counts["syncs"]:
        wrong.append("the run is void: nothing was synced")
    return {"losses": options.cycles, **counts}, wrong
