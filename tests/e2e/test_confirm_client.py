"""Publishers of the library that wait until receivers have acknowledged what they pushed."""
import json
import subprocess

import pytest
from harness import DEADLINE, SANITIZED, SEQPUSH, Broker, tool, wait_until
from test_main_job import Receiving

COUNT = 5000 if SANITIZED else 20000


def lines(count):
    return b"".join(b"%d\n" % i for i in range(count))


def push(front, *arguments, stdin):
    """Runs `seqpush push --confirm` and returns its exit status and what it says."""
    done = tool("push", "--broker", front, "--client", "c", "--confirm", "--json", *arguments,
                stdin=stdin, check=False)
    return done.returncode, json.loads(done.stdout), done.stderr


class Pushing:
    """`seqpush push --confirm` in the background."""

    def __init__(self, front, path, *arguments):
        self.child = subprocess.Popen([SEQPUSH, "push", "--broker", front, "--client", "c",
                                       "--confirm", "--json", *map(str, arguments), str(path)],
                                      stdout=subprocess.PIPE)

    def result(self):
        out, _ = self.child.communicate(timeout=6 * DEADLINE)
        return self.child.returncode, json.loads(out)


@pytest.fixture
def kill_at_end():
    started = []
    yield started.append
    for process in started:
        process.kill()
        process.wait()


def test_push_waits_until_all_is_delivered_and_says_so(broker, tmp_path, kill_at_end):
    receiver = Receiving(broker, tmp_path / "out", "--client", "c", "--count", COUNT)
    kill_at_end(receiver.child)
    status, said, _ = push(broker.front, "--publishers", 3, "--shuffle", 64, stdin=lines(COUNT))
    assert status == 0
    assert (said["accepted"], said["delivered"]) == (COUNT, COUNT)
    assert said["given_up"] == said["unconfirmed"] == 0
    assert receiver.output() == lines(COUNT)


def test_push_waits_for_a_receiver_that_comes_late(broker, tmp_path, kill_at_end):
    (tmp_path / "lines").write_bytes(lines(100))
    pushing = Pushing(broker.front, tmp_path / "lines")
    kill_at_end(pushing.child)
    broker.wait_metric("pushes_total", 100, outcome="accepted")
    assert pushing.child.poll() is None
    receiver = Receiving(broker, tmp_path / "out", "--client", "c", "--count", 100)
    kill_at_end(receiver.child)
    status, said = pushing.result()
    assert (status, said["delivered"]) == (0, 100)


def test_push_gives_up_when_nothing_is_heard_and_says_so(broker):
    status, said, _ = push(broker.front, "--timeout", 1, stdin=lines(10))
    assert (status, said["accepted"], said["unconfirmed"]) == (1, 10, 10)


def test_what_a_reset_gives_up_is_told(broker, tmp_path, kill_at_end):
    (tmp_path / "lines").write_bytes(lines(10))
    pushing = Pushing(broker.front, tmp_path / "lines", "--seq", 2)  # 1 is missing
    kill_at_end(pushing.child)
    broker.wait_metric("pushes_total", 10, outcome="accepted")
    tool("reset", "--broker", broker.front, "c", 1)
    status, said = pushing.result()
    assert (status, said["given_up"], said["delivered"]) == (1, 10, 0)


def test_pushes_that_the_broker_numbers_cannot_be_confirmed():
    done = tool("push", "--client", "c", "--confirm", "--seq", 0, check=False, stdin=b"")
    assert done.returncode == 2 and b"--confirm" in done.stderr


@pytest.mark.parametrize("what", ["--client", "--prefix"])
def test_all_is_delivered_once_and_in_order_though_the_broker_loses_everything_twice(
        tmp_path, kill_at_end, what):
    front = f"front/bind=ipc://{tmp_path}/front"
    (tmp_path / "lines").write_bytes(lines(COUNT))
    out = tmp_path / "out"
    broker = Broker(front)
    kill_at_end(broker.child)
    receiver = Receiving(broker, out, what, "c", "--count", COUNT)
    kill_at_end(receiver.child)
    pushing = Pushing(broker.front, tmp_path / "lines", "--rate", COUNT // 4, "--shuffle", 16)
    kill_at_end(pushing.child)
    for part in (3, 2):
        wait_until(lambda: out.stat().st_size > len(lines(COUNT)) // part, "some lines")
        broker.kill()
        broker = Broker(front)
        kill_at_end(broker.child)
    status, said = pushing.result()
    assert (status, said["delivered"]) == (0, COUNT)
    assert receiver.output() == lines(COUNT)
    broker.stop()
