"""Who plays in a soak: broker, proxy, publishers, receivers that can be stopped and killed."""
import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parent / "e2e")]

import checker  # noqa: E402
from harness import BUILD, SANITIZED, Broker, wait_until  # noqa: E402

PATIENCE = 120.0  # seconds until all that was accepted must have been taken
SAMPLE = 0.1  # seconds between two looks at the broker's memory


class Proxy:
    """proxy.py, with a port for the front and one for each of the unix sockets."""

    def __init__(self, broker, sockets, seed, *faults):
        """Faults are options of the program."""
        port = broker.front.rsplit(":", 1)[1]
        command = [HERE / "proxy.py", "--seed", seed, *faults, port, *sockets]
        self.child = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
        ports = json.loads(self.child.stdout.readline())
        self.front = f"tcp://127.0.0.1:{ports['front']}"
        self.deliveries = [f"tcp://127.0.0.1:{port}" for port in ports["deliveries"]]

    def stop(self):
        """Returns what it did."""
        self.child.terminate()
        return json.loads(self.child.communicate(timeout=PATIENCE)[0])

    def kill(self):
        self.child.kill()
        self.child.wait()


class Receiver:
    """soak_receiver as one group's application, which comes back after it was killed."""

    def __init__(self, log, group, front, resumes, delay=0, bind=None, advertise=None):
        options = ["-r"] * resumes + ["-d", delay] * bool(delay)
        options += ["-b", bind, "-a", advertise] if bind else []
        self.command = [BUILD / "tests/soak/soak_receiver", *options, front, log,
                        f"receiver-{group}", f"{group}."]
        self.log = log
        self.child = None
        self.start()

    def start(self):
        self.child = subprocess.Popen(list(map(str, self.command)))

    def send(self, number):
        self.child.send_signal(number)

    def end(self, number=signal.SIGTERM):
        """Ends it and returns its exit status."""
        self.send(number)
        return self.child.wait(PATIENCE)

    def counts(self):
        """What it had taken when: (seconds, pushes) of its present instance."""
        with open(self.log, "rb") as log:
            lines = [line.split() for line in log if line[:2] == b"c "]
        return [(int(at) / 1e9, int(count)) for _, at, count in lines]


class Publisher:
    """soak_publisher: the load."""

    def __init__(self, log, front, **options):
        """Options are the program's, by their letters."""
        words = [word for name, value in options.items() for word in (f"-{name}", value)]
        command = [BUILD / "tests/soak/soak_publisher", *words, front, log]
        self.child = subprocess.Popen(list(map(str, command)))

    def stop(self):
        """Lets it complete what it has begun, and returns its exit status."""
        self.child.terminate()
        return self.wait()

    def wait(self):
        return self.child.wait(2 * PATIENCE)


class Memory(threading.Thread):
    """Looks at the broker's resident memory, again and again."""

    def __init__(self, broker):
        super().__init__(daemon=True)
        self.broker = broker
        self.samples = []  # (seconds, bytes)
        self.over = threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(SAMPLE):
            with contextlib.suppress(OSError):  # it may have been killed
                self.samples.append((time.monotonic(), self.broker.memory()))

    def most(self, since=0.0, until=float("inf")):
        return max((size for at, size in self.samples if since <= at <= until), default=0)

    def stop(self):
        self.over.set()
        self.join()


class Cast:
    """All of them, in a folder of their own, from the start to the verdict."""

    def __init__(self, folder, settings=(), groups=10, proxy_seed=None, delay=0, resumes=False,
                 patience=PATIENCE, environment=None, host=None, first=0):
        """`host` is another cast whose broker they share; `first` is the number of the first group."""
        self.folder = Path(folder)
        self.settings = settings
        self.patience = patience
        self.environment = environment  # of the broker
        self.host = host
        self.first = first
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = host.config if host else self.folder / "seqpushd.conf"
        self.resize(4)
        self.broker = host.broker if host else Broker(*settings, config=self.config,
                                                      environment=environment)
        self.proxy, self.receivers, self.publisher, self.memory = None, [], None, None
        try:
            self.memory = Memory(self.broker)
            sockets = [self.folder / f"receiver-{i}.socket" for i in range(groups)]
            if proxy_seed is not None:
                self.proxy = Proxy(self.broker, sockets, proxy_seed)
            for i in range(groups):
                way = {"bind": f"ipc://{sockets[i]}", "advertise": self.proxy.deliveries[i]} \
                    if self.proxy else {}
                front = self.proxy.front if self.proxy else self.broker.front
                self.receivers.append(Receiver(self.folder / f"taken-{i}", first + i, front,
                                               delay=delay, resumes=resumes and i % 2 == 0, **way))
            self.broker.wait_metric("receivers", groups)
        except BaseException:
            self.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def resize(self, workers):
        """Writes a configuration with so many workers; it is taken at the start, or by SIGHUP."""
        self.config.write_text(f"workers\n    count = {workers}\n")

    def restart_broker(self):
        """For those that have a front whose name stays. Peers find it by themselves."""
        self.broker = Broker(*self.settings, config=self.config, environment=self.environment)
        self.memory.broker = self.broker

    def publish(self, **options):
        self.publisher = Publisher(self.folder / "pushed", self.broker.front, f=self.first,
                                   **options)

    def finish(self):
        """Waits until all is delivered, ends everybody and reads the logs. Returns the figures and
        what is wrong."""
        figures, wrong = self.end()
        return {**self.judge(wrong), **figures}, wrong

    def end(self):
        """As finish, but leaves the logs unread."""
        wrong = []
        if self.publisher.stop():
            wrong.append("pushes without an outcome")
        try:
            wait_until(lambda: self.broker.metric("queue_messages") == 0, "all to be taken",
                       self.patience)
        except AssertionError as error:
            wrong.append(str(error))
        orderer = self.broker.status()["orderer"]
        figures = {"acknowledged": orderer["acked"], "redelivered": orderer["redelivered"],
                   "endpoints_moved": int(self.broker.metric("endpoints_moved_total")),
                   **{f"went_back_{why}": times for why, times in orderer["go_backs"].items()},
                   "timed_out": orderer["receivers_timed_out"],
                   "memory_mib": self.memory.most() >> 20}
        if any([receiver.end() for receiver in self.receivers]):
            wrong.append("a receiver ended by itself")
        if self.proxy:
            figures.update(self.proxy.stop())
        self.memory.stop()
        if not self.host:
            self.broker.stop()
        return figures, wrong

    def judge(self, wrong):
        judged = checker.check([self.folder / "pushed"], [r.log for r in self.receivers])
        report = judged.report()
        wrong += [f"{report[kind]} {kind}" for kind in checker.FAULTS if report[kind]]
        wrong += judged.examples
        if report["gaps"]:
            wrong.append("gaps were announced, and nobody gave anything up")
        return report

    def kill(self):
        """Whatever still runs."""
        if self.memory:
            self.memory.stop()
        for receiver in self.receivers:
            receiver.child.kill()
            receiver.child.wait()
        if self.publisher:
            self.publisher.child.kill()
            self.publisher.child.wait()
        if self.proxy:
            self.proxy.kill()
        if not self.host:
            self.broker.kill()
