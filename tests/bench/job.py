"""A job: what a load does, and one run of it. A run that was not good ends everything."""
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

PATIENCE = 180  # seconds that a run may take
WRONG = ("doubled", "out_of_order", "altered", "refused")


@dataclasses.dataclass(frozen=True)
class Job:
    """Pushes, how they are made, and for whom. `more` are further options of `seqpush bench`."""
    count: int = 1_000_000
    size: int = 64
    batch: int = 64
    shuffle: int = 64
    clients: int = 1000
    endpoints: int = 10
    publishers: int = 4
    more: tuple = ()

    def but(self, *more, **changes):
        return dataclasses.replace(self, more=self.more + more, **changes)

    def options(self):
        names = ("count", "size", "batch", "shuffle", "clients", "endpoints", "publishers")
        return [word for name in names for word in (f"--{name}", getattr(self, name))] + [*self.more]


def run(program, job, *options, interrupt=None):
    """Runs a load and returns its report. With `interrupt` it runs until that returns; what was
    not received by then is no fault."""
    command = list(map(str, [*program, *options, *job.options()]))
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if interrupt:
            interrupt()
            child.send_signal(signal.SIGINT)
        output, _ = child.communicate(timeout=PATIENCE)
    finally:
        child.kill()
    report = json.loads(output) if output else {}
    wrong = WRONG if interrupt else (*WRONG, "lost")
    if not report or (child.returncode and not interrupt) or any(map(report.get, wrong)):
        sys.exit(f"FAILED with status {child.returncode}: {' '.join(command)}\n{report}")
    return report


@contextlib.contextmanager
def on_half(which):
    """Processes that are started within have one half of the processors, the first or the second:
    broker and load then do not take each other's, as if they were two machines."""
    processors = sorted(os.sched_getaffinity(0))
    middle = len(processors) // 2
    os.sched_setaffinity(0, [processors[:middle], processors[middle:]][which] or processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, processors)
