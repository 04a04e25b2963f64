"""A broker with a journal is killed, or its disk fails: what it accepted stays, and its positions."""
import contextlib
import itertools
import os
import struct
import subprocess
import time

import pytest
import wire
from harness import BUILD, DEADLINE, SEQPUSHD, Broker, wait_until
from peers import Peer, Receiver, outcomes, position, push


class Journalled:
    """Brokers that follow each other on one store."""

    def __init__(self, path):
        self.path = path
        self.broker = None
        self.environment = {}

    def start(self, *settings):
        self.broker = Broker("journal/engine=lmdb", f"journal/path={self.path}", *settings,
                             environment=self.environment)
        return self.broker

    def restart(self, *settings):
        """Kills the broker at once, and starts another."""
        self.broker.kill()
        return self.start(*settings)

    def refusal(self, user=None):
        """What a broker that cannot start on the store says."""
        done = subprocess.run([SEQPUSHD, "--set", "journal/engine=lmdb", "--set",
                               f"journal/path={self.path}", "--set", "front/bind=tcp://127.0.0.1:*",
                               "--set", "http/bind="], capture_output=True, timeout=DEADLINE,
                              check=False, user=user)
        assert done.returncode == 2, done.stderr.decode()
        return done.stderr.decode()


@contextlib.contextmanager
def read_only(path):
    """A folder as if its file system were mounted to be read only."""
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
        yield
    finally:
        subprocess.run(["umount", path], check=True)


class WallClock:
    """The wall clock of brokers, which is right until it is set wrong by some seconds."""

    def __init__(self, journal, path):
        self.file = open(path, "w+b", buffering=0)
        journal.environment = {"WALL_CLOCK": str(path),
                               "LD_PRELOAD": str(BUILD / "tests/soak/libsoak_wall_clock.so")}
        if "ASAN_OPTIONS" in os.environ:  # it wants to be the first library
            journal.environment["ASAN_OPTIONS"] = \
                os.environ["ASAN_OPTIONS"] + ":verify_asan_link_order=0"
        self.be_wrong_by(0)

    def be_wrong_by(self, seconds):
        os.pwrite(self.file.fileno(), struct.pack("=q", seconds), 0)


@pytest.fixture
def journal(tmp_path):
    journalled = Journalled(tmp_path / "journal")
    yield journalled
    if journalled.broker:
        journalled.broker.stop()


def pushes(client, first, last):
    return [push(client, seq, f"{client}-{seq}") for seq in range(first, last + 1)]


def taken(receiver, count):
    return [(p.client_id.decode(), p.seq, p.payload.decode()) for p in receiver.take(count)]


def test_what_was_accepted_is_delivered_in_order_after_a_kill(journal):
    with Peer(journal.start()) as publisher:
        publisher.push_all(pushes("a", 1, 200) + pushes("b", 1, 10))
    with Receiver(journal.restart()) as receiver:
        assert receiver.attach("a").attached.positions[0].seq == 0
        assert taken(receiver, 200) == [("a", n, f"a-{n}") for n in range(1, 201)]
        journal.broker.wait_metric("queue_messages", 10, stage="retained")


def test_what_is_held_behind_a_hole_is_held_after_a_kill(journal):
    with Peer(journal.start()) as publisher:
        publisher.push_all(pushes("a", 1, 2) + pushes("a", 4, 6))
    broker = journal.restart()
    assert broker.metric("queue_messages", stage="held") == 3
    with Receiver(broker) as receiver, Peer(broker) as publisher:
        receiver.attach("a")
        assert [p.seq for p in receiver.take(2)] == [1, 2]
        publisher.push_all(pushes("a", 3, 3))
        assert [p.seq for p in receiver.take(4)] == [3, 4, 5, 6]


def test_a_position_survives_when_nothing_is_kept(journal):
    broker = journal.start()
    with Peer(broker) as publisher, Receiver(broker) as receiver:
        receiver.attach("a")
        publisher.push_all(pushes("a", 1, 5))
        receiver.take(5)
        broker.wait_metric("queue_messages", 0, stage="retained")
        receiver.beat()  # the turn after the ack
        broker.wait_metric("journal_unsaved_changes", 0)
    broker = journal.restart()
    with Peer(broker) as publisher, Receiver(broker) as receiver:
        reply = publisher.push(*pushes("a", 5, 6))
        assert outcomes(reply, 2) == ["DUPLICATE", "ACCEPTED"]
        assert receiver.attach(position("a", 9)).attached.refused[0].seq == 6
        receiver.attach(position("a", 5))
        assert [p.seq for p in receiver.take(1)] == [6]


def test_a_clean_stop_leaves_the_positions(journal):
    broker = journal.start()
    with Peer(broker) as publisher, Receiver(broker) as receiver:
        receiver.attach("a")
        publisher.push_all(pushes("a", 1, 5))
        receiver.take(5)
        broker.wait_metric("queue_messages", 0, stage="retained")
    broker.stop()
    with Peer(journal.start()) as publisher:
        assert outcomes(publisher.push(*pushes("a", 5, 6)), 2) == ["DUPLICATE", "ACCEPTED"]


def test_the_brokers_numbers_go_on_after_a_kill(journal):
    numberless = [push("a", 0, "x"), push("a", 0, "y")]
    with Peer(journal.start()) as publisher:
        assert publisher.push(*numberless).push_ack.assigned == [1, 2]
        assert publisher.push(*numberless).push_ack.assigned == [3, 4]
    broker = journal.restart()
    with Peer(broker) as publisher, Receiver(broker) as receiver:
        assert publisher.push(*numberless).push_ack.assigned == [5, 6]
        assert outcomes(publisher.push(push("a", 7)), 1) == ["INVALID"]
        receiver.attach("a")
        assert [(p.seq, p.payload) for p in receiver.take(6)] == [
            (1, b"x"), (2, b"y"), (3, b"x"), (4, b"y"), (5, b"x"), (6, b"y")]


def test_what_the_policy_gave_up_stays_given_up(journal):
    deadline = "ordering/policy=deadline", "ordering/gap_timeout=50"
    broker = journal.start(*deadline)
    with Peer(broker) as publisher, Receiver(broker) as receiver:
        publisher.push_all(pushes("a", 1, 1) + pushes("a", 4, 4))
        receiver.attach("a")
        assert receiver.show(4) == [("marker", 0), 1, ("gap", 2, 3), 4]
    broker = journal.restart(*deadline)
    with Peer(broker) as publisher, Receiver(broker) as receiver:
        assert outcomes(publisher.push(*pushes("a", 2, 4)), 3) == ["STALE", "STALE", "DUPLICATE"]
        receiver.attach("a")
        assert receiver.show(4) == [("marker", 0), 1, ("gap", 2, 3), 4]


def test_a_skip_stays_when_it_was_answered(journal):
    with Peer(journal.start()) as publisher:
        publisher.push_all(pushes("a", 1, 1) + pushes("a", 5, 5))
        assert publisher.skip("a", 3, 4).position.seq == 1
        publisher.push_all(pushes("a", 2, 2))
    broker = journal.restart()
    with Receiver(broker) as receiver:
        receiver.attach("a")
        assert receiver.show(5) == [("marker", 0), 1, 2, ("gap", 3, 4), 5]


def test_a_skip_ahead_stays(journal):
    with Peer(journal.start()) as publisher:
        publisher.push_all(pushes("a", 1, 1) + pushes("a", 5, 5))
        publisher.skip("a", 3, 4)
    broker = journal.restart()
    with Peer(broker) as publisher, Receiver(broker) as receiver:
        publisher.push_all(pushes("a", 2, 2))
        receiver.attach("a")
        assert receiver.show(5) == [("marker", 0), 1, 2, ("gap", 3, 4), 5]


def test_a_reset_stays_when_it_was_answered(journal):
    with Peer(journal.start()) as publisher:
        publisher.push_all(pushes("a", 1, 2) + pushes("a", 4, 4))
        assert publisher.reset("a", 3, 10).position.seq == 9
        publisher.push_all([push("a", 10, "new", epoch=3)])
    broker = journal.restart()
    with Receiver(broker) as receiver, Peer(broker) as publisher:
        assert outcomes(publisher.push(*pushes("a", 3, 3)), 1) == ["EPOCH_MISMATCH"]
        receiver.attach("a")
        assert receiver.show(4) == [("marker", 0), 1, 2, ("gap", 3, 4)]
        receiver.ack(position("a", 4))
        assert receiver.show(2) == [("marker", 9), 10]


def test_the_latest_push_is_there_after_a_kill(journal):
    with Peer(journal.start("ordering/policy=latest")) as publisher:
        publisher.push_all(pushes("a", 1, 9))
    broker = journal.restart("ordering/policy=latest")
    with Receiver(broker) as receiver:
        receiver.attach("a")
        assert receiver.show(3) == [("marker", 0), ("gap", 1, 8), 9]


def test_a_push_that_was_refused_is_accepted_when_it_comes_again(journal):
    """Two connections race for the last place: whoever is refused leaves nothing behind."""
    bounds = "delivery/backlog=8", "ordering/window=4"
    broker = journal.start(*bounds)
    with Peer(broker) as first, Peer(broker) as second, Receiver(broker) as receiver:
        first.push_all(pushes("a", 1, 7))
        for publisher in (first, second):
            publisher.send(push=dict(pushes=pushes("a", 8, 10)))
        for publisher in (first, second):
            reply = publisher.reply_to(publisher.request_id)
            assert outcomes(reply, 3)[1:] == ["BACKLOG_FULL", "BACKLOG_FULL"]
        receiver.attach("a")
        receiver.take(8)
        broker.wait_metric("queue_messages", 0, stage="retained")

        def accepted():
            reply = first.push(*pushes("a", 9, 10))
            return set(outcomes(reply, 2)) <= {"ACCEPTED", "DUPLICATE"}

        wait_until(accepted, "9 and 10 to be accepted")
        assert [p.payload for p in receiver.take(2)] == [b"a-9", b"a-10"]


def test_a_full_store_refuses_pushes_until_some_are_acknowledged(journal):
    broker = journal.start("journal/max_bytes=1048576", "delivery/backlog_bytes=8388608")
    with Peer(broker) as publisher, Receiver(broker) as receiver:
        seq = 0
        outcome = "ACCEPTED"
        while outcome == "ACCEPTED":
            seq += 1
            outcome = outcomes(publisher.push(push("a", seq, bytes(20000))), 1)[0]
        assert outcome == "STORAGE_UNAVAILABLE"
        assert broker.metric("journal_failing") == 1
        broker.wait_for_line("the journal cannot be written: No space left")
        receiver.attach("a")
        receiver.take(seq - 1)
        wait_until(lambda: outcomes(publisher.push(push("a", seq, "again")), 1) == ["ACCEPTED"],
                   "room for another push")
        assert receiver.take(1)[0].payload == b"again"
        broker.wait_for_line("the journal is written again")
    broker = journal.restart()
    with Peer(broker) as publisher:
        assert outcomes(publisher.push(push("a", seq, "again")), 1) == ["DUPLICATE"]


def test_a_window_does_not_bound_what_waits_for_the_disk(journal):
    with Peer(journal.start("ordering/window=4")) as publisher:
        publisher.push_all(pushes("a", 1, 500), batch=500)
        assert outcomes(publisher.push(*pushes("a", 505, 505)), 1) == ["WINDOW_FULL"]


def test_pushes_of_a_new_epoch_follow_its_reset(journal):
    with Peer(journal.start()) as publisher:
        publisher.send(push=dict(pushes=pushes("a", 1, 100)))
        publisher.send(reset=dict(client_id=b"a", epoch=1))
        assert outcomes(publisher.push(push("a", 1, epoch=1)), 1) == ["ACCEPTED"]


def test_a_publisher_begins_with_little_credit_and_gets_more(journal):
    with Peer(journal.start("front/publisher_credit=20000")) as publisher:
        assert 8192 <= publisher.push(push("a", 1)).push_ack.credit < 20000
        clients = itertools.count()

        def has_all_of_it():
            batch = pushes(f"b{next(clients)}", 1, 1000)
            return publisher.push(*batch).push_ack.credit == 20000

        wait_until(has_all_of_it, "the whole credit")


def test_a_second_broker_is_refused(journal):
    journal.start()
    assert "another process has this journal open" in journal.refusal()


def test_a_damaged_store_is_refused(journal):
    with Peer(journal.start()) as publisher:
        publisher.push_all([push("a", 1, "to be damaged")])
    journal.broker.stop()
    journal.broker = None
    data = journal.path / "data.mdb"
    data.write_bytes(data.read_bytes().replace(b"to be damaged", b"to be Damaged"))
    error = journal.refusal()
    assert "checksum is wrong" in error and "move it away" in error


def test_a_store_on_a_read_only_file_system_is_refused(journal):
    with Peer(journal.start()) as publisher:
        publisher.push_all(pushes("a", 1, 5))
    journal.broker.stop()
    journal.broker = None
    with read_only(journal.path):
        assert "Read-only file system" in journal.refusal()
    with Receiver(journal.start()) as receiver:
        receiver.attach("a")
        assert [seq for _, seq, _ in taken(receiver, 5)] == [1, 2, 3, 4, 5]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a broker as another user")
def test_a_store_of_another_user_is_refused(journal):
    journal.path.mkdir(mode=0o700)
    for parent in journal.path.parents[:3]:
        parent.chmod(0o755)
    assert "Permission denied" in journal.refusal(user="nobody")


def test_a_receiver_without_acks_is_done_with_what_zeromq_has_taken(journal):
    with Peer(journal.start()) as publisher:
        publisher.push_all(pushes("a", 1, 5) + pushes("b", 1, 2))
    broker = journal.restart()
    with Receiver(broker) as receiver:
        receiver.attach("a", ack_mode=wire.ACK_NONE)
        assert [seq for _, seq, _ in taken(receiver, 5)] == [1, 2, 3, 4, 5]
        broker.wait_metric("queue_messages", 2, stage="retained")
        receiver.beat()
        broker.wait_metric("journal_unsaved_changes", 0)
    broker = journal.restart()
    with Peer(broker) as publisher, Receiver(broker) as receiver:
        assert outcomes(publisher.push(*pushes("a", 5, 6)), 2) == ["DUPLICATE", "ACCEPTED"]
        receiver.attach(position("a", 5), "b")
        assert sorted(taken(receiver, 3)) == [("a", 6, "a-6"), ("b", 1, "b-1"), ("b", 2, "b-2")]


def test_what_passes_through_is_not_kept(journal):
    broker = journal.start("ordering/policy=passthrough")
    with Peer(broker) as publisher:
        publisher.push_all(pushes("a", 1, 5))
        assert broker.metric("journal_batch_messages_sum") == 0
    assert journal.restart("ordering/policy=passthrough").metric("queue_messages") == 0


def days(hours):
    """The days that it may be in so many hours."""
    times = (time.time() + hours * 3600 - some for some in (0, 60))
    return tuple(time.strftime("%Y-%m-%d", time.gmtime(seconds)) for seconds in times)


@pytest.mark.parametrize("hours", [-1000, 1000])
def test_the_wall_clock_may_jump(journal, tmp_path, hours):
    clock = WallClock(journal, tmp_path / "clock")
    timeouts = ("ordering/policy=deadline", "ordering/gap_timeout=600000",
                "delivery/retain_max=600000", "ordering/client_idle_timeout=600000")
    with Peer(journal.start(*timeouts)) as publisher:
        publisher.push_all(pushes("a", 1, 3) + pushes("a", 5, 5))
        clock.be_wrong_by(hours * 3600)
        publisher.push_all(pushes("a", 6, 6))
    with Receiver(journal.restart(*timeouts)) as receiver, Peer(journal.broker) as publisher:
        assert journal.broker.log.startswith(days(hours)), "the clock is right"
        receiver.attach("a")
        assert [seq for _, seq, _ in taken(receiver, 3)] == [1, 2, 3]
        clock.be_wrong_by(-hours * 3600)
        publisher.push_all(pushes("a", 4, 4))
        assert [seq for _, seq, _ in taken(receiver, 3)] == [4, 5, 6]
