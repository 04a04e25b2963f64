"""A real broker for a test: started on free ports, watched, and stopped in good order.

Nothing here sleeps: whoever waits, waits for a line of the log, for a socket or for a figure, and
has a deadline.
"""
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SEQPUSH_BUILD", ROOT / "build/dev")).resolve()
SEQPUSHD = BUILD / "broker/seqpushd"
SEQPUSH = BUILD / "client/seqpush"

SANITIZED = bool(os.environ.get("SEQPUSH_SANITIZED"))
DEADLINE = 30.0 if SANITIZED else 15.0  # seconds that anything may take
SANITIZER_REPORT = re.compile(r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:")
SAMPLE = re.compile(r"(?:seqpush_)?(\w+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def wait_until(condition, what, deadline=DEADLINE):
    """Asks until `condition()` holds, which itself takes its time; returns what it returned."""
    end = time.monotonic() + deadline
    while not (result := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
    return result


class Process:
    """A child whose standard error is read line by line while it runs."""

    def __init__(self, *command, environment=None):
        self.child = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE, text=True, errors="replace",
                                      env={**os.environ, **(environment or {})})
        self.pid = self.child.pid
        self.lines = []
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.child.stderr:
            with self.news:
                self.lines.append(line.rstrip("\n"))
                self.news.notify_all()
        with self.news:
            self.lines.append("")  # the end
            self.news.notify_all()

    @property
    def log(self):
        return "\n".join(self.lines)

    def wait_for_line(self, pattern):
        """Waits for a line of the log and returns the match."""
        found = []

        def seen():
            found.extend(m for m in map(re.compile(pattern).search, self.lines) if m)
            return found or "" in self.lines[-1:]

        with self.news:
            self.news.wait_for(seen, DEADLINE)
        assert found, f"no line like {pattern!r} in:\n{self.log}"
        return found[0]

    def signal(self, number):
        self.child.send_signal(number)

    def wait(self):
        status = self.child.wait(DEADLINE)
        self.reader.join(DEADLINE)
        return status


class NotReady(AssertionError):
    """A broker that did not start. Its process has ended, or was killed because it took too long."""

    def __init__(self, process):
        super().__init__(f"not ready, exit status {process.child.returncode}\n{process.log}")
        self.status, self.log = process.child.returncode, process.log


class Broker(Process):
    """seqpushd with settings as `path=value`, ready to serve."""

    def __init__(self, *settings, config=None, environment=None):
        command = [SEQPUSHD, *(["--config", config] if config else [])]
        defaults = ["front/bind=tcp://127.0.0.1:*", "http/bind=127.0.0.1:0",
                    "broker/drain_timeout=100"]
        mine = {s.split("=")[0] for s in settings}
        for setting in [*(d for d in defaults if d.split("=")[0] not in mine), *settings]:
            command += ["--set", setting]
        super().__init__(*command, environment=environment)
        try:
            ready = self.wait_for_line(r"ready front=(\S+) http=(\S*)")
        except AssertionError as error:
            self._end()
            raise NotReady(self) from error
        self.fronts = ready[1].split(",")
        self.front = self.fronts[0]
        self.http = ready[2]

    def _end(self):
        if "" not in self.lines[-1:]:
            self.child.kill()
        self.wait()

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.http}{path}", timeout=DEADLINE) as answer:
            return answer.read().decode()

    def status(self):
        return json.loads(self.get("/api/status"))

    def metrics(self):
        """All samples: (name without seqpush_, labels as a dict, value)."""
        lines = map(SAMPLE.match, self.get("/metrics").splitlines())
        return [(m[1], dict(LABEL.findall(m[2] or "")), float(m[3])) for m in lines if m]

    def metric(self, name, **labels):
        """The sum of the samples with this name and these labels, or None if there are none."""
        values = [v for n, l, v in self.metrics() if n == name and labels.items() <= l.items()]
        return sum(values) if values else None

    def wait_metric(self, name, value, **labels):
        wait_until(lambda: self.metric(name, **labels) == value,
                   f"{name} {labels} to be {value}, it is {self.metric(name, **labels)}")

    def stuck_clients(self):
        """Rows of the clients that stand still; none while they are not known."""
        return (self.status()["stuck_clients"] or {"clients": []})["clients"]

    def memory(self):
        """Resident memory in bytes; 0 under sanitizers, which keep what was freed."""
        if SANITIZED:
            return 0
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        """How many are open. The socket of who asked for a page last is closed when the next one asks, so the
        number may differ by one."""
        self.metric("connections")
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def wait_descriptors(self, most):
        wait_until(lambda: self.descriptors() <= most, f"all but {most} descriptors to be given back")

    def processor_time(self):
        """Seconds of processor time used up to now."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        """Stops it as an operator would, and looks at how it ended."""
        if self.child.poll() is None:
            self.signal(signal.SIGTERM)
        status = self.wait()
        assert not SANITIZER_REPORT.search(self.log), self.log
        assert status == 0, f"exit status {status}\n{self.log}"

    def kill(self):
        if self.child.poll() is None:
            self.child.kill()
            self.wait()


def tool(*arguments, stdin=None, check=True):
    """Runs `seqpush` and returns the finished process."""
    done = subprocess.run([SEQPUSH, *map(str, arguments)], input=stdin, capture_output=True,
                          timeout=20 * DEADLINE)
    errors = done.stderr.decode(errors="replace")
    assert not SANITIZER_REPORT.search(errors), errors
    assert done.returncode == 0 or not check, f"exit status {done.returncode}\n{errors}"
    return done
