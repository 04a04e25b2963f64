"""Workers that come and go, and a configuration that is read again, while pushes go on."""
import signal
import threading
from pathlib import Path

import pytest
import wire
import zmq
from harness import DEADLINE, SANITIZED, wait_until
from peers import CONTEXT, Peer, Receiver, outcomes, position, push, show
from zmq.utils.monitor import recv_monitor_message

ROUNDS = 5 if SANITIZED else 20
LEAD = 500  # seqs that the publisher may be ahead of the slowest receiver
PATIENT = ["delivery/ack_timeout=60000", "delivery/receiver_timeout=60000"]


class Reloaded:
    """A broker whose configuration is a file that a test may write anew."""

    def __init__(self, start_broker, path, *settings, more=""):
        self.path, self.more = path, more
        self.write("workers\n    count = 1\n")
        self.broker = start_broker(*settings, config=path)

    def write(self, text):
        self.path.write_text(text + self.more)

    def reload(self):
        """Has the file read again, and waits until it was."""
        before = len(self.broker.lines)
        self.broker.signal(signal.SIGHUP)
        wait_until(lambda: any("SIGHUP:" in l for l in self.broker.lines[before:]), "the reload")
        return self.broker.lines[before:]

    def workers(self, count):
        """Asks for so many workers, and waits until they run and the others have ended."""
        self.write(f"workers\n    count = {count}\n")
        self.reload()
        self.broker.wait_metric("workers", count)


@pytest.fixture
def reloaded(start_broker, tmp_path):
    return lambda *settings, **more: Reloaded(start_broker, tmp_path / "seqpushd.conf", *settings,
                                              **more)


def endpoints(broker):
    """How many endpoints each worker has that has any."""
    return [w["endpoints"] for w in broker.status()["workers"] if w["endpoints"]]


def threads_of(broker):
    """The names of the broker's workers, as the system knows them."""
    names = [(t / "comm").read_text().strip() for t in Path(f"/proc/{broker.pid}/task").iterdir()]
    return {name for name in names if name.startswith("worker-")}


def route_to(address, match="route"):
    return f"delivery\n    route\n        match = {match}\n        endpoint = {address}\n"


class Taker(threading.Thread):
    """Takes what comes for one client, which must be 1, 2, 3 … on the wire itself."""

    def __init__(self, client, take, close):
        super().__init__(daemon=True)
        self.client, self.take, self.close = client, take, close
        self.seq = 0
        self.total = None  # set when it is known
        self.error = None

    def run(self):
        try:
            while self.seq != self.total:
                for entry in self.take():
                    assert entry.client_id.decode() == self.client
                    assert entry.seq == self.seq + 1, f"{self.client}: {entry.seq} after {self.seq}"
                    self.seq = entry.seq
        except Exception as error:  # told by the thread that joins this one
            self.error = error

    def finish(self, total):
        self.total = total
        self.join(DEADLINE)
        assert not self.error, self.error
        assert self.seq == total, f"{self.client}: {self.seq} of {total}"
        self.close()


def acknowledging(broker, name):
    receiver = Receiver(broker, name)
    receiver.attach(name)

    def take():
        delivery = receiver.delivery(0.1)
        entries = [e for e in delivery.pushes if not e.marker] if delivery else []
        if entries:
            receiver.ack(position(name, entries[-1].seq))
        return entries
    return Taker(name, take, receiver.close)


def unacknowledged(broker, name):
    receiver = Receiver(broker, name)
    receiver.attach(name, ack_mode=wire.ACK_NONE)

    def take():
        delivery = receiver.delivery(0.1)
        return [e for e in delivery.pushes if not e.marker] if delivery else []
    return Taker(name, take, receiver.close)


def routed(pull, name):
    def take():
        if not pull.poll(100):
            return []
        return wire.Delivery.FromString(pull.recv()).pushes
    return Taker(name, take, pull.close)


def open_pull(**options):
    pull = CONTEXT.socket(zmq.PULL)
    pull.linger = 0
    for name, value in options.items():
        setattr(pull, name, value)
    pull.bind("tcp://127.0.0.1:*")
    return pull, pull.LAST_ENDPOINT.decode()


class Load(threading.Thread):
    """Pushes for all takers, a little ahead of the slowest, until it is stopped."""

    def __init__(self, broker, takers):
        super().__init__(daemon=True)
        self.broker, self.takers = broker, takers
        self.seq = 0
        self.stopped = threading.Event()
        self.start()

    def run(self):
        with Peer(self.broker) as peer:
            while not self.stopped.is_set():
                if self.seq - min(t.seq for t in self.takers) > LEAD:
                    self.stopped.wait(0.001)
                    continue
                seqs = range(self.seq + 1, self.seq + 9)
                batch = [push(t.client, s, b"x" * 100) for s in seqs for t in self.takers]
                if set(outcomes(peer.push(*batch), len(batch))) != {"ACCEPTED"}:
                    return
                self.seq += 8

    def wait_for_progress(self):
        """Waits until everybody has taken something new."""
        before = {t: t.seq for t in self.takers}
        wait_until(lambda: all(t.seq > before[t] or t.error for t in self.takers), "progress")

    def stop(self):
        self.stopped.set()
        self.join(DEADLINE)
        assert self.seq % 8 == 0 and not self.is_alive()
        for taker in self.takers:
            taker.finish(self.seq)


def start_load(broker, pull, names):
    takers = [acknowledging(broker, f"a{i}") for i in range(names)]
    takers += [unacknowledged(broker, f"n{i}") for i in range(2)]
    takers += [routed(pull, "route")]
    for taker in takers:
        taker.start()
    return Load(broker, takers)


def test_workers_come_and_go_under_load_and_nothing_is_lost_doubled_or_out_of_order(reloaded):
    pull, address = open_pull()
    path = reloaded(*PATIENT, more=route_to(address))
    broker = path.broker
    load = start_load(broker, pull, 5)
    for _ in range(ROUNDS):
        for count in (4, 2, 8, 1):
            path.workers(count)
            assert sum(endpoints(broker)) == 8
            wait_until(lambda: threads_of(broker) == {f"worker-{k}" for k in range(count)},
                       f"{count} threads, not {threads_of(broker)}")
            load.wait_for_progress()
    load.stop()
    broker.wait_metric("queue_messages", 0, stage="retained")
    assert broker.metric("deliveries_total", result="redelivered") == 0
    assert broker.metric("inflight_messages") == 0
    assert broker.metric("send_backlog_messages") == 0
    assert broker.metric("endpoints_moved_total") > 0
