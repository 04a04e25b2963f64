"""The broker is killed under load, again and again, and started on what it has left behind."""
import random
import signal
import subprocess
import tempfile
import time

from cast import Cast
from guests import Guests

EARLY = 0.2  # part of the starts that are killed themselves, before they serve
EARLY_MAX = 0.05  # seconds until then
READY_MAX = 2.0  # seconds in which a broker that was killed serves again


def settings(folder, engine, store=None):
    """A front whose name stays, and a store, in the folder or elsewhere."""
    front = (f"front/bind=ipc://{folder}/front",)
    if engine == "none":
        return front
    return *front, f"journal/engine={engine}", f"journal/path={store or folder}/store"


def alive(broker):
    assert broker.child.poll() is None, f"the broker has ended by itself\n{broker.log}"


def kill(broker):
    """Kills it at once, and makes sure that it was alive until then."""
    alive(broker)
    broker.signal(signal.SIGKILL)
    broker.wait()


def start_and_kill(command, seconds):
    """A start that does not get far."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    child.kill()
    child.wait()


class Times:
    """How long the broker took to serve, and how much it had accepted by the time it was killed."""

    def __init__(self):
        self.ready, self.accepted, self.starts_killed = [], [], 0

    def crash(self, cast, dice):
        alive(cast.broker)
        self.accepted.append(int(cast.broker.metric("pushes_total", outcome="accepted")))
        kill(cast.broker)
        if dice.random() < EARLY:
            start_and_kill(cast.broker.child.args, dice.uniform(0, EARLY_MAX))
            self.starts_killed += 1
        started = time.monotonic()
        cast.restart_broker()
        self.ready.append(time.monotonic() - started)

    def figures(self):
        ready = sorted(self.ready)
        return {"crashes": len(ready), "starts_killed": self.starts_killed,
                "crashes_under_load": sum(map(bool, self.accepted)),
                "ready_ms_median": round(1000 * ready[len(ready) // 2]),
                "ready_ms_p99": round(1000 * ready[(99 * len(ready) - 1) // 100]),
                "ready_ms_max": round(1000 * ready[-1])}


def crashes(folder, options):
    dice, times = random.Random(options.seed), Times()
    with tempfile.TemporaryDirectory(prefix="seqpush-store-") as disk, \
            Cast(folder, settings(folder, options.engine, disk), patience=options.patience) as cast, \
            Guests(cast.broker.front, options.guests) as guests:
        cast.publish(r=options.rate or 3000, x=options.seed, w=options.patience)
        for _ in range(options.cycles):
            time.sleep(dice.uniform(0, 2 * options.pause))
            times.crash(cast, dice)
        wrong_of_guests = guests.finish(options.patience)
        figures, wrong = cast.finish()
    figures = {**times.figures(), **guests.figures(), **figures}
    wrong += wrong_of_guests
    if figures["crashes_under_load"] < options.cycles / 2:
        wrong.append("the run is void: most crashes met an idle broker")
    if figures["ready_ms_p99"] > 1000 * options.ready_max:
        wrong.append(f"restarts take more than {options.ready_max} s")
    return figures, wrong
