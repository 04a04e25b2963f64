"""A broker that has nothing to do uses next to no processor time."""
import pytest
from harness import SANITIZED
from peers import Peer, Receiver, push

CLIENTS, RECEIVERS, SECONDS = 10000, 10, 3


@pytest.mark.skipif(SANITIZED, reason="sanitizers have threads of their own")
def test_an_idle_broker_uses_less_than_one_percent_of_a_processor(broker, peer):
    receivers = [Receiver(broker, f"r{i}") for i in range(RECEIVERS)]
    for i, receiver in enumerate(receivers):
        receiver.attach(prefix=f"{i}-")
    peer.push_all((push(f"{i % RECEIVERS}-{i}", 1) for i in range(CLIENTS)), batch=500)
    for receiver in receivers:
        receiver.take(CLIENTS // RECEIVERS)
    broker.wait_metric("queue_messages", 0, stage="retained")
    assert broker.metric("clients") == CLIENTS
    before = broker.processor_time()
    assert receivers[0].delivery(SECONDS) is None  # the interval that is measured
    assert broker.processor_time() - before < 0.01 * SECONDS
    for receiver in receivers:
        receiver.close()
