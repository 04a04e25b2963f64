"""Publishers are asked for pushes that were lost, and nobody else is asked for anything."""
import random

import pytest
import zmq
from harness import DEADLINE
from peers import Peer, push, wait_until

FAST = "ordering/repair_delay=20"


def asked(repair):
    return repair.client_id, repair.epoch, getattr(repair, "from"), repair.to


def unasked(peer):
    """The next Repair."""
    reply = peer.receive_unasked()
    assert reply.WhichOneof("body") == "repair" and reply.instance
    return asked(reply.repair)


@pytest.mark.settings(FAST)
def test_a_lossy_publisher_that_answers_repairs_loses_nothing(broker, peer, receiver):
    """A publisher drops a tenth of its pushes and listens: all arrive, in order."""
    receiver.attach(prefix="")
    clients, count = [f"c{i}" for i in range(20)], 50
    dice = random.Random(1)
    sent = lost = 0
    for seq in range(1, count + 1):
        for client in clients:
            if 1 < seq < count and dice.random() < 0.1:
                lost += 1
            else:
                peer.send(push={"pushes": [push(client, seq)]})
                sent += 1
    assert lost > 50
    came, taken = {}, 0
    while taken < count * len(clients):
        if peer.front.poll(1):
            reply = peer.receive()
            if reply.WhichOneof("body") == "repair":
                client, epoch, first, last = asked(reply.repair)
                peer.send(push={"pushes": [push(client, seq) for seq in range(first, last + 1)]})
        while receiver.pull.poll(1):
            for entry in receiver.take(1):
                taken += 1
                assert entry.seq == came.get(entry.client_id, 0) + 1
                came[entry.client_id] = entry.seq
    assert broker.metric("gaps_open") == 0
    assert broker.metric("repairs_total", result="sent") >= 20


@pytest.mark.settings(FAST)
def test_the_last_two_publishers_are_asked_and_others_are_not(broker, peer):
    with Peer(broker) as second, Peer(broker) as third, Peer(broker, zmq.REQ) as last:
        peer.push_all([push("c", 1)])
        second.push_all([push("c", 2)])
        third.push_all([push("c", 5)])
        last.push_all([push("c", 9)])
        assert unasked(third) == unasked(second) == (b"c", 0, 3, 4)
        last.push_all([push("c", 3)])
        second.push_all([push("c", 4), push("c", 6), push("c", 7), push("c", 8)])
        peer.heartbeat()
        assert not peer.unasked
    broker.wait_metric("gaps_open", 0)


@pytest.mark.settings(FAST)
def test_repairs_of_a_hole_become_seldom(broker, peer):
    peer.push_all([push("c", 1), push("c", 3)])
    for _ in range(5):  # 20, 40, 80, 160 and 320 ms after each other
        assert unasked(peer) == (b"c", 0, 2, 2)
    assert broker.metric("repairs_total", result="sent") == 5
    peer.push_all([push("c", 2)])


@pytest.mark.settings(FAST)
def test_a_publisher_that_is_gone_is_asked_in_vain(broker):
    with Peer(broker) as gone:
        gone.push_all([push("c", 1), push("c", 3)])
    wait_until(lambda: broker.metric("repairs_total", result="dropped"), "a Repair to be dropped")
    with Peer(broker) as peer:
        peer.push_all([push("c", 4)])
        assert unasked(peer) == (b"c", 0, 2, 2)


@pytest.mark.settings(FAST)
def test_a_peer_is_asked_for_only_so_many_holes_a_second(broker, peer):
    clients = [f"c{i}" for i in range(3000)]
    peer.push_all(push(client, seq) for seq in (1, 3) for client in clients)
    wait_until(lambda: broker.metric("repairs_total", result="dropped"), "the bound to be hit")
    waiting = set(map(str.encode, clients))
    wait_until(lambda: answer(peer, waiting), "every client to be asked for", 4 * DEADLINE)
    broker.wait_metric("gaps_open", 0)


def answer(peer, waiting):
    """Fills the holes that were asked for; returns true when that was so of all clients."""
    while peer.unasked or peer.front.poll(10):
        reply = peer.unasked.pop(0) if peer.unasked else peer.receive()
        if reply.WhichOneof("body") == "repair":
            waiting.discard(reply.repair.client_id)
            peer.send(push={"pushes": [push(reply.repair.client_id, 2)]})
    return not waiting


@pytest.mark.settings("ordering/repair_delay=0")
def test_a_delay_of_0_asks_nobody(broker, peer):
    peer.push_all([push("c", 1), push("c", 3)])
    broker.wait_metric("gaps_total", 1, outcome="alarmed")
    peer.heartbeat()
    assert broker.metric("repairs_total") == 0 and not peer.unasked
