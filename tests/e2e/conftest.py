"""Fixtures of the end-to-end tests. SEQPUSH_BUILD names the build folder (default build/dev)."""
import pytest
from harness import Broker
from peers import Peer, Receiver


def pytest_configure(config):
    config.addinivalue_line("markers", "settings(path=value, ...): how the broker is started")


@pytest.fixture
def start_broker():
    """Starts brokers, which are stopped and looked at when the test is over."""
    brokers = []

    def start(*settings, config=None):
        brokers.append(Broker(*settings, config=config))
        return brokers[-1]

    yield start
    try:
        for broker in brokers:
            broker.stop()
    finally:
        for broker in brokers:
            broker.kill()


@pytest.fixture
def broker(request, start_broker):
    """A broker with the settings of the test's marks."""
    return start_broker(*[s for mark in request.node.iter_markers("settings") for s in mark.args])


@pytest.fixture
def peer(broker):
    with Peer(broker) as peer:
        yield peer


@pytest.fixture
def receiver(broker):
    with Receiver(broker) as receiver:
        yield receiver
