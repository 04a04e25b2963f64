"""The disk of the store gets full under load, and then has room again."""
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from cast import Cast, wait_until
from crashes import alive, kill, settings

DISK = 8 << 20  # bytes
STUFF = 256 << 10  # bytes that are left when it gets full
FULL_FOR = 2.0  # seconds


class NoMount(Exception):
    """A file system of a size of its own is not to be had here."""


@contextmanager
def small_disk(place):
    """A file system in memory that is soon full."""
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", place],
                          capture_output=True, text=True)
    if done.returncode:
        raise NoMount(done.stderr.strip())
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def stuff(path):
    """Fills the disk but for a little, if the store has not done so meanwhile."""
    with suppress(OSError), open(path, "wb", buffering=0) as file:
        file.write(bytes(max(0, shutil.disk_usage(path.parent).free - STUFF)))


def outcome(cast, name):
    alive(cast.broker)
    return int(cast.broker.metric("pushes_total", outcome=name) or 0)


def refused(cast):
    return outcome(cast, "storage_unavailable")


def fill(cast, disk):
    """Until pushes are refused, and for a while longer. Returns how many were refused.

    Nothing is acknowledged meanwhile: the store would live on the room that acknowledged pushes leave.
    """
    for receiver in cast.receivers:
        receiver.send(signal.SIGSTOP)
    before = refused(cast)
    stuff(disk / "stuff")
    wait_until(lambda: refused(cast) > before, "pushes to be refused", cast.patience)
    time.sleep(FULL_FOR)
    return refused(cast) - before


def go_on(cast):
    for receiver in cast.receivers:
        receiver.send(signal.SIGCONT)


def free(cast, disk):
    """Service has to go on by itself."""
    (disk / "stuff").unlink()
    go_on(cast)
    accepted = outcome(cast, "accepted")
    wait_until(lambda: outcome(cast, "accepted") > accepted + 1000, "service", cast.patience)


def disk_full(folder, options):
    """Twice; the second time the broker is killed while the disk is full."""
    figures = {}
    with small_disk(Path(folder) / "disk") as disk:
        with Cast(folder, settings(folder, options.engine, disk), patience=options.patience) as cast:
            cast.publish(r=options.rate or 3000, x=options.seed, w=options.patience)
            time.sleep(1)
            figures["refused"] = fill(cast, disk)
            free(cast, disk)
            figures["refused_again"] = fill(cast, disk)
            kill(cast.broker)
            (disk / "stuff").unlink()
            cast.restart_broker()
            go_on(cast)
            more, wrong = cast.finish()
    return figures | more, wrong
