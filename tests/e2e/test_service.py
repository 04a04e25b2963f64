"""The broker under a service manager: what it says of itself, its watchdog, and its log."""
import os
import re
import signal
import socket
import subprocess

import pytest
from debugger import Stopped
from harness import DEADLINE, SEQPUSHD, Broker, wait_until
from peers import Peer, Receiver, push
from realm import Realm

WATCHDOG = 400  # ms
FREE = ["--set", "front/bind=tcp://127.0.0.1:*", "--set", "http/bind=127.0.0.1:0"]


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """The socket that a service manager listens on."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(DEADLINE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield listener


def hear(manager, word):
    """Waits for a message with a line that begins so, and returns its lines."""
    while True:
        lines = manager.recv(4096).decode().splitlines()
        if any(line.startswith(word) for line in lines):
            return lines


def is_quiet(manager, seconds):
    """Whether the watchdog is not fed for so long."""
    manager.settimeout(seconds)
    try:
        return "WATCHDOG=1" not in manager.recv(4096).decode()
    except TimeoutError:
        return True
    finally:
        manager.settimeout(DEADLINE)


def test_the_manager_is_told_of_start_reload_and_stop(manager, start_broker):
    broker = start_broker()
    lines = hear(manager, "READY=1")
    assert f"STATUS=front={broker.front} http={broker.http}" in lines
    broker.signal(signal.SIGHUP)
    assert any(line.startswith("MONOTONIC_USEC=") for line in hear(manager, "RELOADING=1"))
    hear(manager, "READY=1")
    broker.signal(signal.SIGTERM)
    assert any(line.startswith("STATUS=") for line in hear(manager, "STOPPING=1"))
    assert broker.wait() == 0


def test_a_reload_that_fails_leaves_the_service_ready(manager, start_broker, tmp_path):
    conf = tmp_path / "seqpushd.conf"
    conf.write_text("workers\n    count = 1\n")
    broker = start_broker(config=conf)
    hear(manager, "READY=1")
    conf.unlink()
    broker.signal(signal.SIGHUP)
    hear(manager, "RELOADING=1")
    hear(manager, "READY=1")


def test_without_a_watchdog_it_is_not_fed(manager, start_broker):
    start_broker()
    hear(manager, "READY=1")
    assert is_quiet(manager, 1)


@pytest.mark.parametrize("thread, name", [
    ("orderer", "the orderer"), ("front", "the front"), ("worker-1", "a worker"),
    ("journal", "the journal"), ("gate", "the gate")])
def test_the_watchdog_starves_while_an_actor_stands_still(manager, monkeypatch, start_broker,
                                                         thread, name, tmp_path):
    monkeypatch.setenv("WATCHDOG_USEC", str(WATCHDOG * 1000))
    realm = Realm(tmp_path)
    key = realm.key("publisher", "publisher", clients="*")
    broker = start_broker("workers/count=2", "journal/engine=lmdb", f"journal/path={tmp_path}/store",
                          "front/own_thread=1", config=realm.write())
    for _ in range(3):
        hear(manager, "WATCHDOG=1")
    before = len(broker.lines)  # a busy machine may have had it stand still by itself
    with Stopped(broker.pid, thread):
        silent = f"{name} does not answer: the watchdog is not fed"
        wait_until(lambda: any(silent in line for line in broker.lines[before:]), silent)
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            while manager.recv(4096):  # what it was fed before
                pass
        assert is_quiet(manager, 5 * WATCHDOG / 1000)
    broker.wait_for_line("all threads answer again")
    hear(manager, "WATCHDOG=1")
    with Peer(broker, curve=key) as peer:
        assert peer.push(push("c", 1)).push_ack.accepted == 1


def test_a_manager_that_is_not_fed_ends_the_broker(manager, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", str(WATCHDOG * 1000))
    broker = Broker()
    try:
        hear(manager, "WATCHDOG=1")
        with Stopped(broker.pid, "orderer") as stopped:
            broker.wait_for_line("the orderer does not answer")
            broker.signal(signal.SIGABRT)  # what systemd sends
            stopped.reap()
            assert broker.wait() == -signal.SIGABRT
    finally:
        broker.kill()


def test_the_watchdog_is_fed_while_a_stop_drains(manager, monkeypatch, start_broker):
    monkeypatch.setenv("WATCHDOG_USEC", str(WATCHDOG * 1000))
    broker = start_broker("broker/drain_timeout=60000")
    with Receiver(broker) as receiver, Peer(broker) as peer:
        receiver.attach("c")
        peer.push_all([push("c", 1)])
        broker.wait_metric("queue_messages", 1, stage="retained")
        broker.signal(signal.SIGTERM)
        hear(manager, "STOPPING=1")
        for _ in range(3):
            hear(manager, "WATCHDOG=1")
        assert broker.child.poll() is None
        receiver.take(1)
    assert broker.wait() == 0


#  ---- the log -----------------------------------------------------------------------------------

def test_lines_for_the_journal_begin_with_their_priority():
    reads, writes = os.pipe()
    status = os.fstat(writes)
    environment = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    child = subprocess.Popen([SEQPUSHD, *FREE], stderr=writes, env=environment)
    os.close(writes)
    try:
        with open(reads) as log:
            lines = [log.readline(), log.readline()]
            child.terminate()
            lines += log.readlines()
    finally:
        child.kill()
        child.wait(DEADLINE)
    assert any(line.startswith("<6>ready front=") for line in lines), lines
    assert all(re.match(r"<[3467]>", line) for line in lines), lines


@pytest.mark.settings("ordering/gap_alarm=1", "log/rate=3")
def test_peers_cannot_fill_the_log(broker, peer):
    clients = 500
    peer.push_all(push(f"c{i}", 2) for i in range(clients))
    broker.wait_metric("gaps_total", clients, outcome="alarmed")
    wait = re.compile(r"(\d+) more lines about holes that stay open were left out")

    def told():
        left_out = sum(int(m[1]) for m in map(wait.search, broker.lines) if m)
        return left_out + sum(" waits for seq " in line for line in broker.lines)

    wait_until(lambda: told() == clients, "every alarm to be logged or counted")
    logged = [line for line in broker.lines if " waits for seq " in line]
    sums = [line for line in broker.lines if wait.search(line)]
    assert len(logged) <= 3 * (len(sums) + 1)


def test_the_rate_of_the_log_can_be_reloaded(start_broker, tmp_path):
    conf = tmp_path / "seqpushd.conf"
    conf.write_text("log\n    rate = 1\n")
    broker = start_broker("ordering/gap_alarm=1", config=conf)
    conf.write_text("log\n    rate = 1000000\n")
    broker.signal(signal.SIGHUP)
    broker.wait_for_line("log/rate was 1 and is 1000000 from now on")
    broker.signal(signal.SIGHUP)  # one after the other: when this one is read, the first holds
    wait_until(lambda: sum("the configuration was read" in line for line in broker.lines) == 2, "both")
    with Peer(broker) as peer:
        peer.push_all(push(f"c{i}", 2) for i in range(50))
    wait_until(lambda: sum(" waits for seq " in line for line in broker.lines) == 50, "all alarms")
