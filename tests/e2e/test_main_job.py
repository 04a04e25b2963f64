"""The main job at full size, through the tool: nothing lost, doubled, out of order or altered.

SEQPUSH_COUNT sets the number of pushes of the long runs (default 1,000,000; less under sanitizers).
"""
import json
import os
import random
import subprocess

import pytest
import wire
from harness import DEADLINE, SANITIZED, SEQPUSH, tool
from peers import Peer, Receiver, push

COUNT = int(os.environ.get("SEQPUSH_COUNT", 100000 if SANITIZED else 1000000))
SEED = 8899
WRONG = ("refused", "lost", "doubled", "out_of_order", "altered", "gap_notices")


def bench(broker, **options):
    """Runs `seqpush bench` and returns what it says. The tool checks each push that comes out."""
    arguments = [word for name, value in options.items()
                 for word in (f"--{name.replace('_', '-')}", value)]
    done = tool("bench", "--json", "--broker", broker.front, "--http", broker.http, *arguments)
    result = json.loads(done.stdout)
    assert result["accepted"] + result["duplicates"] == result["received"] == options["count"]
    assert result["duplicates"] <= result["resends"]  # a slow machine has the library send some again
    assert {name: result[name] for name in WRONG} == dict.fromkeys(WRONG, 0)
    return result


@pytest.mark.parametrize("workers, own_thread", [(1, 0), (2, 0), (4, 0), (8, 0), (1, 1), (4, 1)])
def test_a_million_pushes_for_a_thousand_clients(start_broker, workers, own_thread):
    broker = start_broker(f"workers/count={workers}", f"front/own_thread={own_thread}")
    bench(broker, count=COUNT, clients=1000, publishers=4, endpoints=10, shuffle=64)
    broker.wait_metric("queue_messages", 0)
    assert broker.metric("gaps_open") == 0


@pytest.mark.parametrize("size, count", [(0, 100000), (1, 100000), (100, 100000), (1024, 100000),
                                         (65535, 2000), (65536, 2000), (65537, 2000),
                                         (1048575, 200), (1048576, 200)])
def test_payloads_of_every_size(broker, size, count):
    bench(broker, count=count // (10 if SANITIZED and count > 10000 else 1), size=size, clients=20,
          publishers=2, endpoints=2, shuffle=4)


@pytest.mark.settings("workers/count=2")
def test_an_endpoint_for_each_of_a_thousand_clients(broker):
    bench(broker, count=COUNT // 10, clients=1000, endpoints=1000)


def test_pushes_one_by_one_and_in_large_batches(broker):
    for batch in (1, 1000):
        bench(broker, count=COUNT // 10, batch=batch)


def test_client_ids_are_any_bytes(broker, peer, receiver):
    dice = random.Random(SEED)
    ids = {bytes([dice.randrange(256)]) * size for size in range(1, 65)}
    ids |= {dice.randbytes(size) for size in range(1, 65)}
    ids |= {bytes(size) for size in range(1, 65)} | {b"a\0b", b"a\0c", b"a", b"\xff\xfe", b"*", b"\n"}
    receiver.attach(prefix="")
    for seq in (2, 1, 3):
        peer.push_all([push(client, seq, client + b"%d" % seq) for client in ids])
    taken = receiver.take(3 * len(ids))
    for client in ids:
        mine = [(e.seq, e.payload) for e in taken if e.client_id == client]
        assert mine == [(seq, client + b"%d" % seq) for seq in (1, 2, 3)]
    assert broker.metric("clients") == len(ids)


class Receiving:
    """`seqpush receive`, attached; its output goes to a file, so that it never waits for a reader."""

    def __init__(self, broker, path, *arguments):
        self.path = path
        with open(path, "wb") as out:
            self.child = subprocess.Popen([SEQPUSH, "receive", "--broker", broker.front,
                                           *map(str, arguments)], stdout=out, stderr=subprocess.PIPE)
        assert b"attached as" in self.child.stderr.readline()

    def output(self):
        """What it has printed, when it has ended by itself."""
        _, errors = self.child.communicate(timeout=4 * DEADLINE)
        assert self.child.returncode == 0, errors
        return self.path.read_bytes()

    def kill(self):
        self.child.kill()
        self.child.wait()


@pytest.fixture
def receive(broker, tmp_path):
    started = []

    def start(*arguments):
        started.append(Receiving(broker, tmp_path / f"out{len(started)}", *arguments))
        return started[-1]

    yield start
    for receiving in started:
        receiving.kill()


def random_lines(count):
    dice = random.Random(SEED)
    return [dice.randbytes(dice.choice((0, 1, 10, 100, 1000))).replace(b"\n", b" ")
            for _ in range(count)]


def test_push_and_receive_pass_a_file_byte_for_byte(broker, receive):
    text = b"".join(line + b"\n" for line in random_lines(50000))
    receiver = receive("--client", "c", "--count", 50000)
    tool("push", "--broker", broker.front, "--client", "c", "--publishers", 4, "--shuffle", 64,
         stdin=text)
    assert receiver.output() == text


def test_push_spreads_lines_over_clients_and_each_has_its_own_in_order(broker, receive):
    lines = random_lines(20000)
    receiver = receive("--prefix", "c-", "--count", len(lines), "--with-ids")
    tool("push", "--broker", broker.front, "--client", "c", "--clients", 7, "--publishers", 4,
         "--shuffle", 500, stdin=b"".join(line + b"\n" for line in lines))
    by_client = {}
    for entry in receiver.output().split(b"\n")[:-1]:
        client, seq, payload = entry.split(b"\t", 2)
        by_client.setdefault(client, []).append((int(seq), payload))
    for k in range(7):
        assert by_client[b"c-%d" % (k + 1)] == list(enumerate(lines[k::7], 1))


def test_a_slow_receiver_holds_up_nobody_else(broker, peer):
    """One receiver never reads; what is for it fills its own backlog and no other's."""
    with Receiver(broker, "stuck", rcvhwm=1) as stuck, Receiver(broker, "well") as well:
        stuck.attach("stuck")
        well.attach("well")
        refused = False
        for start in range(1, 8001, 100):
            batch = [push("stuck", seq, bytes(1000)) for seq in range(start, start + 100)]
            refused |= wire.BACKLOG_FULL in {r.outcome for r in
                                             peer.push(*batch).push_ack.rejected}
            peer.push_all([push("well", seq) for seq in range(start, start + 100)], batch=100)
            assert [e.seq for e in well.take(100)] == list(range(start, start + 100))
        assert refused


def test_receive_goes_on_at_the_positions_in_a_file(broker, receive, tmp_path):
    positions = tmp_path / "positions"
    tool("push", "--broker", broker.front, "--client", "c",
         stdin=b"".join(b"%d\n" % i for i in range(100)))
    for first, count in ((0, 30), (30, 70)):
        out = receive("--client", "c", "--count", count, "--positions", positions).output()
        assert out == b"".join(b"%d\n" % i for i in range(first, first + count))
