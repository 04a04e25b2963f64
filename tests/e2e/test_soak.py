"""The soak, cut short: each of its scenarios, and that its proxy does to acks what it says."""
import subprocess
import sys

import pytest
from harness import ROOT
from peers import Receiver, position, push

sys.path.insert(0, str(ROOT / "tests/soak"))

from cast import Proxy  # noqa: E402


# The floor of one-stopped is low because other work on the machine moves the rates, too.
@pytest.mark.parametrize("arguments", [
    "faults --cycles 12 --pause 0.5 --stop-max 3 --resize",
    "one-stopped --rounds 1 --seconds 2 --rate 20000 --floor 0.5",
    "all-stopped --seconds 2 --rate 50000",
    "slow",
    "steady --minutes 0.2 --rate 20000 --pause 0.5 --stop-max 3"])
def test_all_holds_in(arguments):
    done = subprocess.run([ROOT / "tests/soak/run", "--seed", "1", *arguments.split()],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all holds" in done.stdout


@pytest.fixture
def proxied(broker, tmp_path):
    """Makes a receiver behind a proxy with the faults that are asked for."""
    made = []

    def make(*faults):
        proxy = Proxy(broker, [tmp_path / "pull"], 1, *faults)
        receiver = Receiver(proxy.front, bind=f"ipc://{tmp_path / 'pull'}")
        receiver.endpoint = proxy.deliveries[0]
        made.extend((proxy, receiver))
        return proxy, receiver

    yield make
    for one in made:
        one.kill() if isinstance(one, Proxy) else one.close()


QUIET = pytest.mark.settings("delivery/ack_timeout=60000")


@QUIET
@pytest.mark.parametrize("drop, retained", [("0", 0), ("1", 100)])
def test_the_proxy_drops_acks_and_nothing_else(broker, peer, proxied, drop, retained):
    proxy, receiver = proxied("--cut", "0", "--double", "0", "--drop", drop)
    receiver.attach("c")
    peer.push_all(push("c", seq) for seq in range(1, 101))
    assert [entry.seq for entry in receiver.take(100)] == list(range(1, 101))
    receiver.beat()
    broker.wait_metric("queue_messages", retained)
    done = proxy.stop()
    assert done["acks"] and done["acks_dropped"] == (done["acks"] if retained else 0)


@QUIET
def test_the_proxy_doubles_acks(broker, proxied):
    proxy, receiver = proxied("--cut", "0", "--double", "1", "--drop", "0")
    receiver.attach("c")
    for _ in range(10):
        receiver.ack(position("c", 5))  # beyond what was sent, so each is counted
    receiver.beat()
    assert broker.status()["orderer"]["acks_beyond"] == 20
    assert proxy.stop()["acks_doubled"] == 10
