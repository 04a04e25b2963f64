"""Who gets what: receivers that come back, move, share clients and take them over.

The names of the tests are the promises. Deliveries are looked at as they come, markers and all.
"""
import pytest
from harness import wait_until
from peers import Peer, Receiver, position, push, show

# Nothing is sent again for want of acks.
PATIENT = pytest.mark.settings("delivery/ack_timeout=60000")


def pushes(client, first, last):
    return [push(client, seq) for seq in range(first, last + 1)]


def place(reply):
    """Where an Attached says that each named client goes on."""
    return {p.client_id.decode(): (p.epoch, p.seq) for p in reply.attached.positions}


def streams(receiver, count):
    """The next entries by client, as `show` writes them."""
    by_client = {}
    for entry in receiver.take_raw(count):
        by_client.setdefault(entry.client_id.decode(), []).append(show(entry))
    return by_client


def detached(receiver):
    """What a receiver is told unasked: the reason, and which clients."""
    news = receiver.receive_unasked().detached
    return news.reason, sorted(client.decode() for client in news.client_ids)


# ---- positions -----------------------------------------------------------------------------------

@PATIENT
@pytest.mark.parametrize("acked, named, goes_on_after", [
    (0, 0, 0), (0, 4, 4), (3, 0, 3), (3, 2, 3), (3, 3, 3), (3, 7, 7), (10, 10, 10)])
def test_a_receiver_resumes_after_the_greater_of_its_position_and_its_last_ack(
        broker, peer, receiver, acked, named, goes_on_after):
    receiver.attach("c")
    peer.push_all(pushes("c", 1, 10))
    receiver.show(11)
    if acked:
        receiver.ack(position("c", acked))
    receiver.beat()
    with Receiver(broker) as again:
        assert place(again.attach(position("c", named))) == {"c": (0, goes_on_after)}
        peer.push_all(pushes("c", 11, 12))
        assert again.show(13 - goes_on_after) == [("marker", goes_on_after),
                                                  *range(goes_on_after + 1, 13)]


def test_a_receiver_that_has_more_than_the_broker_is_told_where_the_broker_is(peer, receiver):
    receiver.attach("c")
    peer.push_all(pushes("c", 1, 3))
    receiver.take(3)
    receiver.beat()
    reply = receiver.attach(position("c", 9)).attached
    assert not reply.positions and [(p.epoch, p.seq) for p in reply.refused] == [(0, 3)]
    receiver.attach(position("c", 3))  # it decides to go on there
    peer.push_all(pushes("c", 4, 5))
    assert [entry.seq for entry in receiver.take(2)] == [4, 5]


# ---- takeover ------------------------------------------------------------------------------------

@PATIENT
def test_a_client_that_is_taken_over_goes_on_after_what_the_first_receiver_acknowledged(
        broker, peer, receiver):
    receiver.attach("c", "d")
    peer.push_all(pushes("c", 1, 6) + pushes("d", 1, 2))
    receiver.take_raw(10)
    receiver.ack(position("c", 4))
    receiver.beat()
    with Receiver(broker, "second") as second:
        assert place(second.attach(position("c", 2))) == {"c": (0, 4)}
        assert detached(receiver) == ("taken_over", ["c"])
        assert second.show(3) == [("marker", 4), 5, 6]
        receiver.ack(position("c", 6))  # too late: it is another's now
        receiver.beat()
        assert broker.status()["orderer"]["acks_unknown"] == 1
        assert broker.metric("queue_messages", stage="retained") == 4
        peer.push_all(pushes("c", 7, 7) + pushes("d", 3, 3))
        assert second.show(1) == [7] and streams(receiver, 1) == {"d": [3]}


def test_a_client_may_go_back_and_forth_between_receivers(broker, peer, receiver):
    with Receiver(broker, "second") as second:
        seq = 0
        for turn in range(10):
            holder = (receiver, second)[turn % 2]
            holder.attach(position("c", holder.last.get(b"c", (0, 0))[1]))
            peer.push_all(pushes("c", seq + 1, seq + 5))
            assert [entry.seq for entry in holder.take(5)] == list(range(seq + 1, seq + 6))
            holder.beat()
            seq += 5
        assert detached(receiver) == detached(second) == ("taken_over", ["c"])
    assert broker.metric("queue_messages") == 0


@PATIENT
def test_an_endpoint_that_another_receiver_attaches_is_taken_over(broker, peer):
    with Receiver(broker, "first") as first, Receiver(broker, "other") as other:
        first.attach("c")
        peer.push_all(pushes("c", 1, 2))
        assert first.show(3) == [("marker", 0), 1, 2]
        other.pull.close()
        other.pull, other.endpoint = first.pull, first.endpoint  # the same socket, another name
        other.attach("d")
        assert detached(first) == ("taken_over", [])
        assert peer.push(push("c", 3), push("d", 1)).push_ack.unreceived == 1
        assert other.show(2) == [("marker", 0), 1]
        assert broker.metric("receivers") == 1


def test_the_same_prefix_attached_again_is_a_takeover(broker, peer, receiver):
    receiver.attach(prefix="p")
    peer.push_all(pushes("p1", 1, 2) + pushes("p2", 1, 1))
    receiver.take(3)
    receiver.beat()
    with Receiver(broker, "second") as second:
        second.attach(prefix="p")
        assert detached(receiver)[0] == "taken_over"
        peer.push_all(pushes("p1", 3, 3) + pushes("p3", 1, 1))
        assert streams(second, 4) == {"p1": [("marker", 2), 3], "p3": [("marker", 0), 1]}
        assert receiver.delivery(0.2) is None


# ---- prefixes and detaching ----------------------------------------------------------------------

@PATIENT
def test_clients_of_a_prefix_that_is_given_back_fall_to_the_next_shorter_one(broker, peer):
    with Receiver(broker, "short") as short, Receiver(broker, "long") as long:
        short.attach(prefix="a")
        long.attach(prefix="ab")
        peer.push_all(pushes("abc", 1, 4) + pushes("ax", 1, 1))
        assert streams(long, 5) == {"abc": [("marker", 0), 1, 2, 3, 4]}
        assert streams(short, 2) == {"ax": [("marker", 0), 1]}
        long.ack(position("abc", 2))
        assert long.detach().detached.reason == "asked"
        assert streams(short, 3) == {"abc": [("marker", 2), 3, 4]}


@PATIENT
def test_a_longer_prefix_takes_the_clients_that_a_shorter_one_had(broker, peer):
    with Receiver(broker, "short") as short, Receiver(broker, "long") as long:
        short.attach(prefix="a")
        peer.push_all(pushes("abc", 1, 3) + pushes("ax", 1, 1))
        short.take(4)
        short.beat()
        long.attach(prefix="ab")
        peer.push_all(pushes("abc", 4, 5) + pushes("ax", 2, 2))
        assert streams(long, 3) == {"abc": [("marker", 3), 4, 5]}
        assert streams(short, 1) == {"ax": [2]}


@PATIENT
def test_what_a_receiver_had_not_acknowledged_when_it_detached_goes_to_the_next_one(
        broker, peer, receiver):
    receiver.attach("c")
    peer.push_all(pushes("c", 1, 6))
    receiver.take_raw(7)
    receiver.ack(position("c", 2))
    receiver.detach("c")
    peer.push_all(pushes("c", 7, 8))
    with Receiver(broker, "next") as following:
        following.attach("c")
        assert following.show(7) == [("marker", 2), 3, 4, 5, 6, 7, 8]


def test_a_client_that_was_given_back_is_not_delivered_until_it_is_attached_again(peer, receiver):
    receiver.attach("c", "d")
    receiver.detach("c")
    peer.push_all(pushes("c", 1, 2) + pushes("d", 1, 2))
    assert streams(receiver, 3) == {"d": [("marker", 0), 1, 2]}
    receiver.attach("c")
    assert streams(receiver, 3) == {"c": [("marker", 0), 1, 2]}


# ---- endpoints and generations -------------------------------------------------------------------

def test_a_process_may_have_several_endpoints(broker, peer, receiver):
    """One DEALER speaks for several receivers, each with a PULL socket and a generation."""
    others = [Receiver(broker, f"beside-{i}", beside=receiver) for i in range(3)]
    mine = [receiver, *others]
    for i, one in enumerate(mine):
        one.attach(f"c{i}")
    assert len({one.generation for one in mine}) == 4
    peer.push_all(push(f"c{i}", seq) for seq in range(1, 101) for i in range(4))
    for i, one in enumerate(mine):
        taken = one.take(100)
        assert {entry.client_id for entry in taken} == {b"c%d" % i}
        assert [entry.seq for entry in taken] == list(range(1, 101))
    broker.wait_metric("queue_messages", 0)
    for one in others:
        one.pull.close()


@PATIENT
def test_a_receiver_that_moves_to_another_endpoint_goes_on_there(broker, peer, receiver):
    receiver.attach("c")
    peer.push_all(pushes("c", 1, 5))
    assert receiver.show(6) == [("marker", 0), 1, 2, 3, 4, 5]
    receiver.ack(position("c", 3))
    with Receiver(broker, beside=receiver) as moved:  # the same receiver_id, the same peer
        before = receiver.generation
        moved.attach(position("c", 3))
        assert moved.generation > before
        peer.push_all(pushes("c", 6, 6))
        assert moved.show(4) == [("marker", 3), 4, 5, 6]
        assert receiver.delivery(0.2) is None


@PATIENT
@pytest.mark.parametrize("name", ["receiver", "another"])
def test_a_receiver_restarted_on_the_same_address_gets_nothing_meant_for_its_predecessor(
        broker, peer, name):
    """What was queued for the one that died is of an older generation, or never comes."""
    dead = Receiver(broker, rcvhwm=1)
    dead.attach("c")
    peer.push_all([push("c", seq, bytes(10000)) for seq in range(1, 301)], batch=20)
    assert show(dead.take_raw(1)[0]) == ("marker", 0)
    broker.wait_metric("send_backlog_messages", 0)
    dead.close()
    with Receiver(broker, name, bind=dead.endpoint) as successor:
        successor.attach(position("c", 0))
        assert successor.generation > dead.generation
        assert successor.show(301) == [("marker", 0), *range(1, 301)]
        assert successor.delivery(0.2) is None


@PATIENT
def test_what_is_on_its_way_when_a_session_ends_is_of_that_sessions_generation(
        broker, peer, receiver):
    """The receiver attaches again, unread deliveries before it: it can tell the old ones."""
    receiver.attach("c")
    first = receiver.generation
    peer.push_all(pushes("c", 1, 50))
    wait_until(lambda: broker.metric("inflight_messages") == 50, "the deliveries")
    with Peer(broker) as reconnected:
        receiver.front.close()
        receiver.front = reconnected.front
        receiver.attach(position("c", 0))
        generations = [receiver.delivery().generation]
        while generations[-1] == first:
            generations.append(receiver.delivery().generation)
        assert set(generations) <= {first, receiver.generation} and first < receiver.generation
