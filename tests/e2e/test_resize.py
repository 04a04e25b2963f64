"""Workers that come and go, and a configuration that is read again, while pushes go on."""
import contextlib
import random
import resource
import signal
import threading
from pathlib import Path

import pytest
import wire
import zmq
from harness import DEADLINE, SANITIZED, wait_until
from peers import CONTEXT, Peer, Receiver, outcomes, position, push
from zmq.utils.monitor import recv_monitor_message

ROUNDS = 5 if SANITIZED else 20
LEAD = 500  # seqs that the publisher may be ahead of the slowest receiver
PAYLOAD = bytes(1000)
NARROW = {"rcvhwm": 1, "rcvbuf": 4096}  # so that endpoints would block while they move
PATIENT = ["workers/send_hwm=1", "workers/batch_max=8", "delivery/ack_timeout=60000",
           "delivery/receiver_timeout=60000"]


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
    names = set()
    for thread in Path(f"/proc/{broker.pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has just ended
            names.add((thread / "comm").read_text().strip())
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
    receiver = Receiver(broker, name, **NARROW)
    receiver.attach(name)

    def take():
        delivery = receiver.delivery(0.1)
        entries = [e for e in delivery.pushes if not e.marker] if delivery else []
        if entries:
            receiver.ack(position(name, entries[-1].seq))
        return entries
    return Taker(name, take, receiver.close)


def unacknowledged(broker, name):
    receiver = Receiver(broker, name, **NARROW)
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
                batch = [push(t.client, s, PAYLOAD) for s in seqs for t in self.takers]
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
    pull, address = open_pull(**NARROW)
    path = reloaded(*PATIENT, more=route_to(address))
    broker = path.broker
    load = start_load(broker, pull, 5)
    for _ in range(ROUNDS):
        for count in (4, 2, 8, 1):
            path.workers(count)
            wait_until(lambda: sum(endpoints(broker)) == 8, "all endpoints to have a worker")
            wait_until(lambda: threads_of(broker) == {f"worker-{k}" for k in range(count)},
                       f"{count} threads, not {threads_of(broker)}")
            load.wait_for_progress()
    load.stop()
    broker.wait_metric("queue_messages", 0, stage="retained")
    assert broker.metric("deliveries_total", result="redelivered") == 0
    assert broker.metric("inflight_messages") == 0
    assert broker.metric("send_backlog_messages") == 0
    assert broker.metric("endpoints_moved_total") > 0
    assert broker.metric("sends_total", result="would_block") > 0


def test_workers_ended_and_started_one_after_the_other_keep_order(reloaded):
    pull, address = open_pull(**NARROW)
    path = reloaded(*PATIENT, more=route_to(address))
    load = start_load(path.broker, pull, 4)
    path.workers(4)
    for count in (3, 4, 2, 3, 4, 1, 2, 3, 4):
        path.workers(count)
        load.wait_for_progress()
    load.stop()
    path.broker.wait_metric("queue_messages", 0, stage="retained")
    assert path.broker.metric("deliveries_total", result="redelivered") == 0


@pytest.mark.parametrize("seed", range(3))
def test_two_workers_never_have_one_client(reloaded, seed):
    """One connection a receiver, whatever is asked for meanwhile and however fast."""
    pull, address = open_pull(**NARROW)
    monitor = pull.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
    path = reloaded(*PATIENT, more=route_to(address))
    load = start_load(path.broker, pull, 2)
    dice = random.Random(seed)
    load.wait_for_progress()
    for _ in range(50):
        path.write(f"workers\n    count = {dice.randint(1, 9)}\n")
        path.broker.signal(signal.SIGHUP)
        wait_until(lambda: sum(endpoints(path.broker)) == 5, "all endpoints to have a worker")
    path.workers(3)
    load.wait_for_progress()
    load.stop()
    assert path.broker.metric("deliveries_total", result="redelivered") == 0
    assert recv_monitor_message(monitor)["event"] == zmq.EVENT_ACCEPTED
    assert not monitor.poll(0)
    monitor.close()


def test_endpoints_are_shared_evenly_when_workers_come_and_go(reloaded):
    path = reloaded(*PATIENT)
    receivers = [Receiver(path.broker, f"r{i}") for i in range(8)]
    for i, receiver in enumerate(receivers):
        receiver.attach(f"c{i}")
    for count, shares in ((4, [2, 2, 2, 2]), (2, [4, 4]), (3, [2, 3, 3]), (8, [1] * 8), (1, [8])):
        path.workers(count)
        wait_until(lambda: sorted(endpoints(path.broker)) == shares, f"shares like {shares}")
    for receiver in receivers:
        receiver.close()


def backlogs(broker):
    """The workers that have something to send, and how much."""
    workers = broker.status()["workers"]
    return {w["worker"]: w["backlog_messages"] for w in workers if w["backlog_messages"]}


@pytest.mark.parametrize("ack_mode", [wire.ACK_NONE, wire.ACK_CUMULATIVE])
def test_what_waits_for_an_endpoint_that_would_block_goes_along_with_it(reloaded, ack_mode):
    count = 200
    path = reloaded("delivery/backlog_bytes=67108864", *PATIENT)
    broker = path.broker
    path.workers(4)
    others = [Receiver(broker, f"r{i}") for i in range(3)]
    for other in others:
        other.attach(other.name.decode())
    with Receiver(broker, rcvhwm=1) as stalled, Peer(broker) as peer:
        stalled.attach("c", ack_mode=ack_mode)
        peer.push_all([push("c", seq, bytes(50000)) for seq in range(1, count + 1)], batch=8)
        wait_until(lambda: list(backlogs(broker)) == [3], "messages that wait in the last worker")
        for workers in (3, 4, 2, 3, 1):
            path.workers(workers)
            wait_until(lambda: list(backlogs(broker)) in [[k] for k in range(workers)],
                       f"all that waits to be with one of {workers} workers")
        seqs = []
        while len(seqs) <= count:
            seqs += stalled.show(1)
            if ack_mode == wire.ACK_CUMULATIVE and len(seqs) > 1:
                stalled.ack(position("c", seqs[-1]))
        assert seqs == [("marker", 0), *range(1, count + 1)]
        broker.wait_metric("queue_messages", 0, stage="retained")
        assert broker.metric("inflight_messages") == 0
        assert broker.metric("deliveries_total", result="redelivered") == 0
    for other in others:
        other.close()


def test_sessions_that_end_while_their_endpoints_move_leave_nothing_behind(reloaded):
    path = reloaded(*PATIENT)
    broker, rounds, step = path.broker, 100, 5
    with Receiver(broker, "r") as receiver, Receiver(broker, "other") as other, Peer(broker) as peer:
        other.attach("other")
        for i in range(rounds):
            path.write(f"workers\n    count = {i % 5 + 1}\n")
            broker.signal(signal.SIGHUP)
            receiver.attach(position("c", i * step))
            peer.push_all(push("c", seq) for seq in range(i * step + 1, (i + 1) * step + 1))
            if i % 3:
                receiver.take(step)
            else:  # the session ends with everything on its way
                receiver.detach()
                receiver.attach(position("c", i * step))
                receiver.take(step)
            receiver.detach()
        receiver.beat()
    path.workers(1)
    wait_until(lambda: endpoints(broker) == [1], "one endpoint, of the receiver that is there")
    assert broker.metric("queue_messages", stage="retained") == 0


def test_a_stop_while_endpoints_move_ends_well(start_broker, tmp_path):
    for i in range(10):
        path = Reloaded(start_broker, tmp_path / f"{i}.conf", "broker/drain_timeout=0", *PATIENT)
        receivers = [Receiver(path.broker, f"r{k}") for k in range(8)]
        with Peer(path.broker) as peer:
            for receiver in receivers:
                receiver.attach(receiver.name.decode())
                peer.push_all(push(receiver.name, seq) for seq in range(1, 100))
            path.workers(4)
            path.write(f"workers\n    count = {i % 4 + 1}\n")
            path.broker.signal(signal.SIGHUP)
            path.broker.signal(signal.SIGTERM)
            assert path.broker.wait() == 0
        for receiver in receivers:
            receiver.close()


def test_without_descriptors_there_are_fewer_workers_and_the_broker_goes_on(reloaded):
    path = reloaded()
    broker = path.broker
    kept = resource.prlimit(broker.pid, resource.RLIMIT_NOFILE)
    few = max(int(fd.name) for fd in Path(f"/proc/{broker.pid}/fd").iterdir()) + 40
    resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (few, kept[1]))
    path.write("workers\n    count = 64\n")
    path.reload()
    broker.wait_for_line("no memory or no descriptors for 64 workers")
    assert 1 <= broker.metric("workers") < 64
    with Receiver(broker) as receiver, Peer(broker) as peer:
        receiver.attach("c")
        peer.push_all([push("c", 1)])
        assert len(receiver.take(1)) == 1
    resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, kept)
    path.workers(64)
    path.workers(1)


def test_the_figures_of_workers_that_are_gone_stay(reloaded):
    path = reloaded(*PATIENT)
    broker = path.broker
    path.workers(2)
    receivers = [Receiver(broker, f"r{i}") for i in range(2)]
    with Peer(broker) as peer:
        for receiver in receivers:
            receiver.attach(receiver.name.decode())
            peer.push_all([push(receiver.name, 1)])
            receiver.take(1)
    sent = broker.metric("sends_total", result="sent", worker="1")
    assert sent > 0
    path.workers(1)
    assert broker.metric("sends_total", result="sent", worker="1") == sent
    for gauge in ("inflight_messages", "send_backlog_messages"):
        assert broker.metric(gauge, worker="1") == 0
    for receiver in receivers:
        receiver.close()


#  ---- the file that is read again ---------------------------------------------------------------

@pytest.mark.parametrize("text, where", [
    ("workers\n    count = 99\n", 'workers/count: "99" is out of range'),
    ("workers\n    count = 4\n    cuont = 4\n", "workers/cuont: is not known"),
    ("workers\n   count = 4\n", "")])
def test_a_wrong_file_leaves_everything_as_it_is(reloaded, text, where):
    path = reloaded()
    path.workers(2)
    path.write(text)
    lines = "\n".join(path.reload())
    assert "SIGHUP: the configuration stays as it is" in lines
    assert f"{path.path}:" in lines and where in lines
    assert path.broker.metric("workers") == 2
    path.workers(3)


def test_a_file_that_is_gone_leaves_everything_as_it_is(reloaded):
    path = reloaded()
    path.path.unlink()
    assert "SIGHUP: the configuration stays as it is" in "\n".join(path.reload())
    path.workers(2)


def test_a_file_that_cannot_be_opened_for_want_of_descriptors_leaves_everything_as_it_is(reloaded):
    path = reloaded()
    path.workers(2)
    broker = path.broker
    kept = resource.prlimit(broker.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (3, kept[1]))  # it has 0, 1 and 2
    path.write("workers\n    count = 3\n")
    lines = "\n".join(path.reload())
    assert "SIGHUP: the configuration stays as it is" in lines
    assert "Too many open files" in lines and str(path.path) in lines
    resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, kept)
    assert broker.metric("workers") == 2
    path.workers(3)


def test_what_changed_is_logged_and_whether_it_takes_effect(reloaded):
    path = reloaded(more="ordering\n    max_clients = 64\n")
    path.more = "ordering\n    max_clients = 128\nbroker\n    drain_timeout = 60\n" + \
        route_to("tcp://127.0.0.1:9", "x")
    path.write("workers\n    count = 2\n")
    lines = "\n".join(path.reload())
    assert "workers/count was 1 and is 2 from now on" in lines
    assert "ordering/max_clients has changed, which needs a restart to take effect" in lines
    assert "delivery/route has changed, which needs a restart to take effect" in lines
    assert "changes that take effect: 1" in lines
    assert "drain_timeout" not in lines, "a --set goes before the file"
    lines = "\n".join(path.reload())
    assert "workers/count" not in lines
    assert "ordering/max_clients has changed, which needs a restart to take effect" in lines


def test_the_log_takes_its_new_level_and_format(reloaded):
    path = reloaded()
    path.more = "log\n    level = debug\n    format = json\n"
    path.write("")
    assert 'log/level was "info" and is "debug" from now on' in "\n".join(path.reload())
    with Receiver(path.broker) as receiver:
        receiver.attach("c")
        line = path.broker.wait_for_line(r'"level":"debug".*opened for generation')
        assert line.string.startswith("{")
    path.more = "log\n    level = error\n"
    path.write("")
    path.broker.signal(signal.SIGHUP)
    path.broker.wait_for_line(r'"log/level was .*debug.* and is .*error')


def test_without_a_file_a_reload_changes_nothing(start_broker):
    broker = start_broker("workers/count=2")
    broker.signal(signal.SIGHUP)
    broker.wait_for_line("SIGHUP: .*changes that take effect: 0")
    assert broker.metric("workers") == 2
