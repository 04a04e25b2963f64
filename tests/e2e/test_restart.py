"""A broker that is killed and comes back empty: receivers go on where they were."""
import pytest
from harness import Broker, tool, wait_until
from test_main_job import Receiving


def lines(first, last):
    return b"".join(b"%d\n" % i for i in range(first, last + 1))


@pytest.fixture
def processes():
    started = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def start(processes, front):
    broker = Broker(front)
    processes.append(broker.child)
    return broker


def push(broker, first, last):
    tool("push", "--broker", broker.front, "--client", "c", "--seq", first, stdin=lines(first, last))


@pytest.mark.parametrize("what", ["--client", "--prefix"])
@pytest.mark.parametrize("receiver_too", [False, True])
def test_a_receiver_goes_on_at_its_positions(tmp_path, processes, what, receiver_too):
    front, out = f"front/bind=ipc://{tmp_path}/front", tmp_path / "out"
    arguments = [what, "c", "--positions", tmp_path / "positions"]
    broker = start(processes, front)
    receiver = Receiving(broker, out, *arguments)
    processes.append(receiver.child)
    push(broker, 1, 100)
    broker.wait_metric("queue_messages", 0)  # all is acknowledged
    for first in (101, 201):
        broker.kill()
        if receiver_too:
            receiver.kill()
        broker = start(processes, front)
        if receiver_too:
            out = tmp_path / f"out{first}"
            receiver = Receiving(broker, out, *arguments)
            processes.append(receiver.child)
        push(broker, first, first + 99)
        begin = first if receiver_too else 1
        wait_until(lambda: out.read_bytes() == lines(begin, first + 99), "what was pushed since")
        broker.wait_metric("queue_messages", 0)
    broker.stop()
