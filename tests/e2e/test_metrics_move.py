"""What moves a metric that the scenario of test_metrics does not: each is provoked by itself."""
import contextlib
import resource
import signal
import socket
import time

import harness
import pytest
import wire
import zmq
from debugger import Stopped
from harness import wait_until
from peers import Curve, Peer, Receiver, outcomes, position, push
from realm import ENDPOINTS, Realm
from test_metrics import AT_LEAST, METRICS

PROVOKED = []  # (name, labels)


def moves(name, **labels):
    """Says of a test which metric it moves."""
    def note(test):
        PROVOKED.append((name, labels))
        return test

    return note


def test_every_metric_is_moved_by_a_test():
    """One provocation is enough for all workers, and for all parts of a histogram."""
    moved = [(name.removesuffix("_count"), labels) for name, labels, _ in AT_LEAST] + PROVOKED
    for name, _, labels in METRICS:
        for label, values in labels.items() or [("", {""})]:
            for value in values if label not in ("", "worker", "version") else {""}:
                assert any(name == other and (not value or value.startswith("batches-")
                                              or more.get(label) == value)
                           for other, more in moved), (name, label, value)


# ---- deliveries ----------------------------------------------------------------------------------


@moves("deliveries_total", result="expired")
@pytest.mark.settings("delivery/retain_max=100")
def test_expired(broker, peer):
    peer.push_all(push("c", seq) for seq in (1, 2, 3))
    broker.wait_metric("deliveries_total", 3, result="expired")


@moves("sends_total", result="failed")
def test_failed_sends(broker, peer, receiver):
    """No socket can be made for the endpoint; what it is for is delivered when one can."""
    peer.heartbeat()
    receiver.heartbeat()
    allowed, most = resource.prlimit(broker.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (16, most))  # it has all of them
    receiver.attach("c")
    peer.push_all([push("c", 1)])
    assert not receiver.pull.poll(200)
    resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (allowed, most))
    assert receiver.show(2) == [("marker", 0), 1]
    assert broker.metric("sends_total", result="failed") >= 1


@moves("endpoints_moved_total")
def test_endpoints_moved(start_broker, tmp_path):
    config = tmp_path / "seqpushd.conf"
    config.write_text("workers\n    count = 2\n")
    broker = start_broker(config=config)
    with Receiver(broker, "r1") as one, Receiver(broker, "r2") as two:
        one.attach("a")
        two.attach("b")
        config.write_text("workers\n    count = 1\n")
        broker.signal(signal.SIGHUP)
        broker.wait_metric("endpoints_moved_total", 1)
        broker.wait_metric("workers", 1)


# ---- refusals ------------------------------------------------------------------------------------


@moves("pushes_total", outcome="overloaded")
@pytest.mark.settings("ordering/max_clients=16")
def test_overloaded(broker, peer):
    names = [f"c{i}" for i in range(20)]
    got = outcomes(peer.push(*(push(name, 2) for name in names)), len(names))
    assert got.count("OVERLOADED") == 4
    assert broker.metric("pushes_total", outcome="overloaded") == 4


@moves("pushes_total", outcome="shutting_down")
@moves("errors_total", code="shutting_down")
@pytest.mark.settings("delivery/ack_timeout=60000", "broker/drain_timeout=60000")
def test_shutting_down(broker, peer, receiver):
    receiver.attach("c")
    peer.push_all([push("c", 1)])
    assert receiver.show(2) == [("marker", 0), 1]
    broker.signal(signal.SIGTERM)
    broker.wait_for_line("stopping")
    seq = 2
    while outcomes(peer.push(push("c", seq)), 1) == ["ACCEPTED"]:
        seq += 1
    assert receiver.attach("d").error.code == "shutting_down"
    assert broker.metric("pushes_total", outcome="shutting_down") == 1
    assert broker.metric("errors_total", code="shutting_down") == 1
    broker.signal(signal.SIGTERM)
    assert broker.wait() == 0


@moves("errors_total", code="unsupported")
def test_unsupported(broker, peer):
    peer.ask()
    assert broker.metric("errors_total", code="unsupported") == 1


@moves("errors_total", code="invalid")
def test_invalid(broker, peer):
    peer.ask(skip=wire.Skip(to=1))
    assert broker.metric("errors_total", code="invalid") == 1


@moves("errors_total", code="stale_generation")
def test_stale_generation(broker, receiver):
    receiver.attach("c")
    receiver.generation -= 1
    receiver.beat()
    assert broker.metric("errors_total", code="stale_generation") == 1


@moves("errors_total", code="endpoint_refused")
def test_endpoint_refused(broker, peer):
    peer.ask(attach=wire.Attach(receiver_id=b"r", endpoint="tcp://192.0.2.1:9"))
    assert broker.metric("errors_total", code="endpoint_refused") == 1


@moves("errors_total", code="overloaded")
@moves("process_max_fds")
def test_overloaded_error(start_broker, monkeypatch, tmp_path):
    """There are descriptors for a few endpoints only."""
    few = tmp_path / "seqpushd"
    few.write_text(f'#!/bin/sh\nulimit -n 256\nexec "{harness.SEQPUSHD}" "$@"\n')
    few.chmod(0o755)
    monkeypatch.setattr(harness, "SEQPUSHD", few)
    broker = start_broker()
    with Peer(broker) as peer:
        refused = sum(peer.ask(attach=wire.Attach(
            receiver_id=b"r%d" % i, endpoint=f"tcp://127.0.0.1:{i + 1}",
            clients=[position(f"c{i}", 0)])).error.code == "overloaded" for i in range(256))
        assert refused > 0
        assert broker.metric("errors_total", code="overloaded") == refused
        assert broker.metric("process_max_fds") == 256


# ---- replies and connections ---------------------------------------------------------------------


@moves("repairs_total", result="dropped")
@pytest.mark.settings("ordering/repair_delay=50")
def test_dropped_repairs(broker):
    """Who pushed for the client is gone when it is to be asked."""
    with Peer(broker) as gone:
        gone.push(push("c", 1), push("c", 3))
    wait_until(lambda: broker.metric("repairs_total", result="dropped") >= 1, "a repair to be dropped")


@moves("replies_total", result="unreachable")
def test_unreachable(broker, peer):
    """The peer is gone when its reply comes."""
    gone = Peer(broker)
    gone.heartbeat()
    before = broker.metric("connections")
    broker.signal(signal.SIGSTOP)
    for _ in range(100):
        gone.send(heartbeat=wire.Heartbeat())
    gone.front.setsockopt(zmq.LINGER, 1000)
    gone.close()
    peer.send(heartbeat=wire.Heartbeat())
    broker.signal(signal.SIGCONT)
    broker.wait_metric("connections", before - 1)
    assert peer.receive()
    wait_until(lambda: peer.heartbeat() and broker.metric("replies_total", result="unreachable") >= 1
               or provoke_unreachable(broker), "a reply that reaches nobody")


def provoke_unreachable(broker):
    """The same once more: whether libzmq still has the peer's pipe is a race of its threads."""
    with Peer(broker) as gone:
        for _ in range(1000):
            gone.send(heartbeat=wire.Heartbeat())
    return False


@moves("replies_total", result="full")
@pytest.mark.settings("front/max_unread=65536")
def test_full(broker):
    with Peer(broker) as deaf:
        deaf.front.rcvhwm = 1

        def is_full():
            for _ in range(10):
                deaf.send(push=wire.PushBatch(pushes=[push("x" * 64, 1 << 60)] * 1000))
            return broker.metric("replies_total", result="full") >= 1

        wait_until(is_full, "a reply to be dropped")


@moves("connections_refused_total")
@pytest.mark.settings("front/max_connections=4")
def test_connections_refused(broker, peer):
    peer.heartbeat()
    host, port = broker.front.removeprefix("tcp://").rsplit(":", 1)
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(socket.create_connection((host, int(port))))
        wait_until(lambda: broker.metric("connections_refused_total") >= 7, "connections to be refused")
        broker.wait_metric("connections", 4)


# ---- keys ----------------------------------------------------------------------------------------


@pytest.fixture
def realm(tmp_path):
    return Realm(tmp_path)


@moves("auth_total", result="admitted")
@moves("auth_total", result="denied_role")
@moves("auth_total", result="denied_client")
@moves("auth_total", result="denied_receiver")
@moves("auth_total", result="denied_endpoint")
@moves("auth_total", result="denied_owner")
@moves("auth_total", result="denied_key")
@moves("pushes_total", outcome="forbidden")
@moves("errors_total", code="forbidden")
def test_denials(realm, start_broker):
    globs = dict(receivers="mine", endpoints=ENDPOINTS)
    publisher = realm.key("publisher", "publisher", clients="a*")
    owner, other = (realm.key(name, "receiver", clients="a*", **globs) for name in ("one", "two"))
    broker = start_broker(config=realm.write())
    with Peer(broker, curve=publisher) as peer, Receiver(broker, "mine", curve=owner) as receiver, \
            Receiver(broker, "mine", curve=other) as thief:
        assert outcomes(peer.push(push("b", 1)), 1) == ["FORBIDDEN"]
        assert outcomes(receiver.push(push("a", 1)), 1) == ["FORBIDDEN"]
        assert receiver.attach("a").attached.generation
        assert thief.attach("a").error.code == "forbidden"
        receiver.name, receiver.endpoint = b"another", receiver.endpoint
        assert receiver.attach("a").error.code == "forbidden"
        receiver.name, receiver.endpoint = b"mine", "tcp://127.0.0.2:5000"
        assert receiver.attach("a").error.code == "endpoint_refused"
        for cause in ("role", "client", "receiver", "endpoint", "owner"):
            assert broker.metric("auth_total", result=f"denied_{cause}") == 1, cause
        assert broker.metric("auth_total", result="admitted") == 3
        assert broker.metric("pushes_total", outcome="forbidden") == 2
        assert broker.metric("errors_total", code="forbidden") == 2
        del realm.sections["publisher"]
        realm.write()
        broker.signal(signal.SIGHUP)
        wait_until(lambda: peer.heartbeat().error.code == "forbidden", "the key to be refused")
        assert broker.metric("auth_total", result="denied_key") == 1


@moves("auth_total", result="unknown_key")
@moves("auth_total", result="bad_handshake")
def test_strangers(realm, start_broker):
    broker = start_broker(config=realm.write())
    with Peer(broker, curve=Curve(realm.server_key)) as stranger:
        stranger.send(heartbeat=wire.Heartbeat())
        wait_until(lambda: broker.metric("auth_total", result="unknown_key") >= 1, "the key to be counted")
    wrong = Curve(zmq.curve_keypair()[0].decode())
    with Peer(broker, curve=wrong) as lost:
        lost.send(heartbeat=wire.Heartbeat())
        wait_until(lambda: broker.metric("auth_total", result="bad_handshake") >= 1,
                   "the handshake to be counted")
    assert broker.metric("auth_total", result="admitted") == 0


@moves("auth_total", result="unfinished_handshake")
@pytest.mark.settings("front/handshake_timeout=50")
def test_unfinished_handshake(broker):
    host, port = broker.front.removeprefix("tcp://").rsplit(":", 1)
    with socket.create_connection((host, int(port))):
        broker.wait_metric("auth_total", 1, result="unfinished_handshake")


# ---- the journal ---------------------------------------------------------------------------------


@moves("journal_commit_seconds")
@moves("journal_batch_messages")
@moves("journal_commits_total", result="kept")
@moves("journal_unsaved_changes")
def test_commits(start_broker, tmp_path):
    broker = start_broker("journal/engine=lmdb", f"journal/path={tmp_path}/store")
    with Peer(broker) as peer, Receiver(broker) as receiver:
        peer.push_all([push("c", seq) for seq in range(1, 11)], batch=10)
        commits = broker.metric("journal_commits_total", result="kept")
        assert 1 <= commits == broker.metric("journal_commit_seconds_count")
        assert broker.metric("journal_batch_messages_sum") == 10
        receiver.attach("c")
        with Stopped(broker.pid, "journal"):
            receiver.take(10)
            wait_until(lambda: receiver.beat() and broker.metric("journal_unsaved_changes") >= 1,
                       "the position to be unsaved")
        wait_until(lambda: receiver.beat() and broker.metric("journal_unsaved_changes") == 0,
                   "the position to be saved")


@moves("journal_commits_total", result="failed")
@moves("journal_failing")
@moves("pushes_total", outcome="storage_unavailable")
def test_a_full_store(start_broker, tmp_path):
    broker = start_broker("journal/engine=lmdb", f"journal/path={tmp_path}/store",
                          "journal/max_bytes=1048576", "delivery/backlog_bytes=8388608")
    with Peer(broker) as peer:
        seq = 1
        while outcomes(peer.push(push("c", seq, bytes(20000))), 1) == ["ACCEPTED"]:
            seq += 1
    assert broker.metric("pushes_total", outcome="storage_unavailable") == 1
    assert broker.metric("journal_commits_total", result="failed") >= 1
    assert broker.metric("journal_failing") == 1


# ---- the process ---------------------------------------------------------------------------------


@moves("process_cpu_seconds_total")
@moves("process_resident_memory_bytes")
@moves("process_open_fds")
@moves("process_start_time_seconds")
def test_process(start_broker):
    began = time.time()
    broker = start_broker()

    def figure(name):
        return broker.metric(f"process_{name}")

    assert began - 1 < figure("start_time_seconds") < time.time() + 1
    descriptors, memory = figure("open_fds"), figure("resident_memory_bytes")
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(broker)) for _ in range(8)]
        assert all(peer.heartbeat() for peer in peers)
        assert figure("open_fds") > descriptors + 4  # a scrape or two may have left or come
        peer = peers[0]
        peer.push_all((push(f"c{i}", 2, bytes(10000)) for i in range(1000)), batch=50)
        assert figure("resident_memory_bytes") > memory + 8_000_000
        before = figure("cpu_seconds_total")
        wait_until(lambda: peer.heartbeat() and figure("cpu_seconds_total") > before, "time to be used")
