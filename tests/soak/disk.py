"""The disk of disk.c from outside: which of its calls fail, and what a loss of power leaves on it."""
import itertools
import mmap
import os
import struct
from pathlib import Path

from cast import BUILD

LIBRARY = BUILD / "tests/soak/libsoak_disk.so"
CONTROL = struct.Struct("=QQQQQ")  # calls, failed, from, count, error
RECORD = struct.Struct("=IIQQ")  # kind, fd, offset, size
OPEN, WRITE, WRITE_SYNCED, TRUNCATE, SYNC = range(5)  # disk.c has the same
SECTOR = 512  # bytes that a disk writes wholly or not at all
FOR_EVER = 2**63


class Disk:
    """Under the store of a broker that is started with `environment`."""

    def __init__(self, store, folder, traced=False):
        self.trace = Path(folder) / "trace"
        with open(Path(folder) / "control", "w+b") as control:
            control.truncate(CONTROL.size)
            self.control = mmap.mmap(control.fileno(), CONTROL.size)
        self.environment = {"LD_PRELOAD": str(LIBRARY), "DISK_STORE": str(store),
                            "DISK_CONTROL": control.name}
        if "ASAN_OPTIONS" in os.environ:  # it wants to be the first library
            options = os.environ["ASAN_OPTIONS"] + ":verify_asan_link_order=0"
            self.environment["ASAN_OPTIONS"] = options
        if traced:
            self.trace.touch()
            self.environment["DISK_TRACE"] = str(self.trace)

    @property
    def failed(self):
        return CONTROL.unpack(self.control[:])[1]

    @property
    def failing(self):
        """Calls have failed, and are to fail still."""
        _, failed, _, count, _ = CONTROL.unpack(self.control[:])
        return failed and count

    def fail(self, number, count=1, error=0):
        """So many calls fail, from that one on. The numbers go on from start to start."""
        self.control[16:] = struct.pack("=QQQ", number, count, error)

    def be_well(self):
        self.fail(0, 0)


def records(trace, at, end):
    """The whole records from `at` to `end`: where the next one begins, and kind, descriptor, offset
    or new size, name or what was written."""
    while at + RECORD.size <= end:
        kind, fd, offset, size = RECORD.unpack_from(trace, at)
        begin, at = at + RECORD.size, at + RECORD.size + size
        if at > end:
            return
        yield at, (kind, fd, offset, trace[begin:at])


class File:
    """A file as the disk has it, and what was written to it and not synced since."""

    def __init__(self):
        self.synced, self.pending = bytearray(), []

    def image(self, changes):
        image = bytearray(self.synced)
        for change in changes:
            apply(image, *change)
        return image


def apply(image, offset, written):
    """A write, or a new size if nothing was written."""
    if written is None:
        del image[offset:]
        image.extend(bytes(offset - len(image)))
        return
    image.extend(bytes(max(0, offset + len(written) - len(image))))
    image[offset:offset + len(written)] = written


class Replay:
    """The files of a store along a trace."""

    def __init__(self):
        self.files, self.names, self.syncs = {}, {}, 0

    def take_all(self, trace, at, end):
        """The whole records from `at` to `end`. Returns where the next one begins."""
        for following, record in records(trace, at, end):
            self._take(*record)
            at = following
        return at

    def take_unsynced(self, trace, at, most):
        """So many records, but none that makes anything safe."""
        for following, record in itertools.islice(records(trace, at, len(trace)), most):
            if record[0] in (WRITE_SYNCED, SYNC):
                break
            self._take(*record)
            at = following
        return at

    def _take(self, kind, fd, offset, written):
        if kind == OPEN:
            self.names[fd] = os.path.basename(written.decode())
            self.files.setdefault(self.names[fd], File())
            return
        file = self.files[self.names[fd]]
        if kind == WRITE:
            file.pending.append((offset, written))
        elif kind == TRUNCATE:
            file.pending.append((offset, None))
        elif kind == WRITE_SYNCED:
            apply(file.synced, offset, written)
        else:
            for change in file.pending:
                apply(file.synced, *change)
            file.pending = []
            self.syncs += 1

    def save(self, folder, choose):
        """Writes the files as they are after a loss of power: `choose` says which of what was
        not synced was written."""
        folder.mkdir(parents=True)
        for name, file in self.files.items():
            (folder / name).write_bytes(file.image(choose(file.pending)))


def none(_):
    """Nothing of what was not synced."""
    return []


def every(pending):
    """All of it, as after a kill."""
    return pending


def some(dice):
    """Any of it: a disk writes sectors, in any order."""
    def choose(pending):
        share = dice.random()
        return [part for offset, written in pending
                for part in sectors(offset, written) if dice.random() < share]

    return choose


def sectors(offset, written):
    if written is None:
        return [(offset, None)]
    return [(offset + at, written[at:at + SECTOR]) for at in range(0, len(written), SECTOR)]


def flip(path, dice, count):
    """Flips so many bits of a file, anywhere."""
    image = bytearray(path.read_bytes())
    for _ in range(count):
        image[dice.randrange(len(image))] ^= 1 << dice.randrange(8)
    path.write_bytes(image)
