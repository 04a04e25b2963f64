"""Delivered: publishers that ask for it are told when their pushes are acknowledged, or given up."""
import pytest
import wire
import zmq
from peers import Peer, Receiver, outcomes, position, push

# A Repair would come between.
pytestmark = pytest.mark.settings("ordering/repair_delay=0")

CONFIRM = {"confirm": wire.CONFIRM_DELIVERED}


def told(reply):
    """A Delivered as (client, seq) of its positions and of what was given up, both sorted."""
    assert reply and reply.WhichOneof("body") == "delivered" and reply.request_id == 0
    body = reply.delivered
    return [sorted((p.client_id.decode(), p.seq) for p in part)
            for part in (body.positions, body.given_up)]


def await_positions(peer, wanted):
    """Reads Delivered replies until these positions are reached; returns how many it took."""
    reached = {}
    for replies in range(1, 1000):
        positions, given_up = told(peer.receive_unasked())
        assert not given_up
        for client, seq in positions:
            assert seq > reached.get(client, 0), "told twice"
            reached[client] = seq
        if reached == wanted:
            return replies
    raise AssertionError(f"{reached}, not {wanted}")


def nothing_unasked(peer):
    """What the broker had to tell before this exchange would have come by now."""
    peer.heartbeat()
    return not peer.unasked


def test_a_publisher_is_told_up_to_where_its_pushes_are_acknowledged(broker, receiver, peer):
    receiver.attach("a", "b")
    with Peer(broker) as other:
        peer.push(*[push("a", seq) for seq in range(1, 6)], push("b", 1), **CONFIRM)
        other.push(push("b", 2))
        assert receiver.show(9)
        assert nothing_unasked(peer)
        receiver.ack(position("a", 3), position("b", 2))
        assert told(peer.receive_unasked()) == [[("a", 3), ("b", 1)], []]
        receiver.ack(position("a", 5))
        assert told(peer.receive_unasked()) == [[("a", 5)], []]
        assert nothing_unasked(other)


def test_many_acknowledgements_are_few_replies(broker, receiver, peer):
    clients = [f"c{i}" for i in range(1500)]
    receiver.attach(prefix="c")
    for first in range(0, len(clients), 500):
        part = [push(c, seq) for c in clients[first:first + 500] for seq in (1, 2, 3)]
        assert peer.push(*part, **CONFIRM).push_ack.accepted == len(part)
    receiver.take(3 * len(clients), ack=False)
    receiver.ack(*[position(c, 3) for c in clients])
    #  Each has 512 positions at most, so that none is large.
    assert await_positions(peer, {c: 3 for c in clients}) == 3


def test_a_publisher_that_connects_anew_asks_again(broker, receiver, peer):
    pushes = [push("a", seq, b"%d" % seq) for seq in (1, 2, 3, 5)]
    receiver.attach("a")
    peer.push(*pushes, **CONFIRM)
    assert receiver.show(4) == [("marker", 0), 1, 2, 3]
    receiver.ack(position("a", 1))
    assert told(peer.receive_unasked()) == [[("a", 1)], []]
    peer.close()
    with Peer(broker) as again:
        reply = again.push(*[push("a", seq, b"another") for seq in (1, 2, 3, 5)], **CONFIRM)
        assert outcomes(reply, 4) == ["DUPLICATE"] * 4
        assert told(again.receive_unasked()) == [[("a", 1)], []]  # at once
        receiver.ack(position("a", 3))
        assert told(again.receive_unasked()) == [[("a", 3)], []]
        again.push(push("a", 4))
        assert [entry.payload for entry in receiver.take_raw(2)] == [b"", b"5"]
        receiver.ack(position("a", 5))
        assert told(again.receive_unasked()) == [[("a", 5)], []]


def test_what_a_reset_gives_up_is_named(broker, peer):
    peer.push(push("a", 2), push("a", 4), **CONFIRM)
    with Peer(broker) as operator:
        operator.reset("a", 1)
    assert told(peer.receive_unasked()) == [[], [("a", 2), ("a", 4)]]


def test_a_peer_that_waits_for_replies_gets_nothing_else(broker, receiver):
    receiver.attach("a")
    with Peer(broker, zmq.REQ) as simple:
        simple.front.send(wire.Request(
            push=wire.PushBatch(pushes=[push("a", 1)], **CONFIRM), request_id=1).SerializeToString())
        assert simple.receive().push_ack.accepted == 1
        receiver.take(1)
        broker.wait_metric("queue_messages", 0, stage="retained")
        simple.front.send(wire.Request(
            heartbeat=wire.Heartbeat(), request_id=2).SerializeToString())
        assert simple.receive().request_id == 2


def test_without_acks_what_is_sent_is_delivered(broker, peer):
    with Receiver(broker) as receiver:
        receiver.attach("a", ack_mode=wire.ACK_NONE)
        peer.push(push("a", 1), push("a", 2), **CONFIRM)
        await_positions(peer, {"a": 2})
        assert receiver.show(3) == [("marker", 0), 1, 2]


@pytest.mark.settings("delivery/retain_max=300")
def test_what_is_retained_for_too_long_is_given_up_and_told_to_all(broker, receiver, peer):
    peer.push(*[push("a", seq) for seq in (1, 2, 3)], **CONFIRM)
    positions, given_up = told(peer.receive_unasked())
    while len(given_up) < 3:
        given_up += told(peer.receive_unasked())[1]
    assert (positions, given_up) == ([], [("a", 1), ("a", 2), ("a", 3)])
    assert broker.metric("deliveries_total", result="expired") == 3
    broker.wait_for_line(r"3 pushes up to seq 3 of epoch 0 given up after delivery/retain_max")
    assert outcomes(peer.push(push("a", 2)), 1) == ["STALE"]
    receiver.attach("a")
    assert receiver.show(2) == [("marker", 0), ("gap", 1, 3)]
    receiver.ack(position("a", 3))
    broker.wait_metric("queue_messages", 0, stage="retained")
