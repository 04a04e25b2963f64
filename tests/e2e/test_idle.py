"""A broker that has nothing to do uses next to no processor time, and keeps no memory that it does not need."""
import pytest
from harness import SANITIZED, wait_until
from peers import Receiver, position, push

CLIENTS, RECEIVERS, SECONDS = 10000, 10, 3
PEAK = 50000


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


@pytest.mark.skipif(SANITIZED, reason="sanitizers keep what was freed")
@pytest.mark.settings("delivery/backlog=100000", "delivery/backlog_bytes=134217728")
def test_what_a_peak_took_is_given_back_when_the_broker_is_idle(broker, peer):
    before = broker.memory()
    peer.push_all((push("ann", seq, payload=bytes(1024)) for seq in range(1, PEAK + 1)), batch=500)
    assert broker.memory() - before > PEAK << 10
    with Receiver(broker) as receiver:
        receiver.attach(position("ann", 0))
        receiver.take(PEAK)
    wait_until(lambda: broker.memory() - before < (PEAK << 10) / 4, "memory to be given back")
