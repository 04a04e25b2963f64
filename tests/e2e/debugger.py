"""Stops one thread of a process, as a debugger does it: debugger.py PID THREAD, until it is killed."""
import ctypes
import os
import signal
import sys
from pathlib import Path

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 17, 0x4206, 0x4207, 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


class Stopped:
    """A thread that stands still as long as the block lasts."""

    def __init__(self, pid, name):
        threads = Path(f"/proc/{pid}/task").iterdir()
        self.thread = int(next(t.name for t in threads if (t / "comm").read_text().strip() == name))

    def __enter__(self):
        assert LIBC.ptrace(PTRACE_SEIZE, self.thread, None, None) == 0, ctypes.get_errno()
        assert LIBC.ptrace(PTRACE_INTERRUPT, self.thread, None, None) == 0
        os.waitpid(self.thread, WALL)
        return self

    def reap(self):
        """Waits until the thread is killed. Its process ends only when the tracer has seen that."""
        while not os.WIFSIGNALED(os.waitpid(self.thread, WALL)[1]):
            pass

    def __exit__(self, *_):
        LIBC.ptrace(PTRACE_DETACH, self.thread, None, None)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with Stopped(sys.argv[1], sys.argv[2]) as stopped:
        stopped.reap()
