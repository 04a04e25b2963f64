"""What has gone wrong in other systems, as tests over real sockets, named after what must hold."""
import random
import threading

import pytest
import wire
from harness import wait_until
from peers import Peer, Receiver, outcomes, position, push

SEED = 20240229
WINDOW = 1024


def shuffled_within(items, reach):
    """The items, none of which is `reach` places or more from where it was."""
    dice = random.Random(SEED)
    places = {i: i + dice.uniform(0, reach) for i in range(len(items))}
    return [items[i] for i in sorted(places, key=places.get)]


def send_shares(publishers, pushes, batch=16):
    """Sends batches by turns, without waiting, and returns how many each publisher sent."""
    sent = [0] * len(publishers)
    for publisher in publishers:
        publisher.heartbeat()  # all are connected, so that none lags behind by a window
    for turn, i in enumerate(range(0, len(pushes), batch)):
        k = turn % len(publishers)
        publishers[k].send(push=wire.PushBatch(pushes=pushes[i:i + batch]))
        sent[k] += 1
    return sent


def answers(peer, requests):
    """Reads the PushAcks of so many requests; returns how many pushes had which outcome."""
    counts = {}
    while requests:
        reply = peer.receive()
        assert reply, f"{requests} requests without a PushAck"
        if not reply.request_id:
            peer.unasked.append(reply)
            continue
        ack = reply.push_ack
        requests -= max(ack.requests, 1)
        for outcome in [wire.ACCEPTED] * ack.accepted + [r.outcome for r in ack.rejected]:
            counts[wire.Outcome.Name(outcome)] = counts.get(wire.Outcome.Name(outcome), 0) + 1
    return counts


@pytest.fixture
def publishers(broker):
    peers = [Peer(broker) for _ in range(4)]
    yield peers
    for peer in peers:
        peer.close()


def expect_in_order(receiver, client, count):
    taken = receiver.take(count)
    assert [(e.client_id, e.seq) for e in taken] == [(client, s + 1) for s in range(count)]
    assert receiver.ahead == 0, "the deliveries themselves were out of order"


@pytest.mark.settings("workers/count=8")
def test_eight_workers_keep_one_client_ascending(broker, publishers):
    seqs = shuffled_within(range(1, 801), 64)
    receivers = {b"c%d" % i: Receiver(broker, f"r{i}") for i in range(8)}
    for client, receiver in receivers.items():
        receiver.attach(client.decode())
    sent = send_shares(publishers, [push(client, seq) for seq in seqs for client in receivers])
    assert sum(answers(p, n)["ACCEPTED"] for p, n in zip(publishers, sent)) == 8 * 800
    for client, receiver in receivers.items():
        expect_in_order(receiver, client, 800)
        receiver.close()


def test_two_publishers_that_race_do_not_swap_their_pushes(broker, receiver):
    rounds = 500
    receiver.attach("c")
    with Peer(broker) as one, Peer(broker) as other:
        one.heartbeat(), other.heartbeat()
        for i in range(1, rounds + 1):
            first, second = (one, other) if i % 2 else (other, one)
            first.send(push=wire.PushBatch(pushes=[push("c", 2 * i)]))
            second.send(push=wire.PushBatch(pushes=[push("c", 2 * i - 1)]))
        expect_in_order(receiver, b"c", 2 * rounds)
        assert answers(one, rounds) == answers(other, rounds) == {"ACCEPTED": rounds}


@pytest.mark.settings("workers/send_hwm=1", "workers/batch_max=1", "delivery/ack_timeout=60000",
                      "delivery/backlog_bytes=67108864")
def test_a_full_send_queue_is_neither_bypassed_nor_lossy(broker, peer):
    with Receiver(broker, rcvhwm=1) as receiver:
        receiver.attach("c")
        peer.push_all([push("c", seq, bytes(65536)) for seq in range(1, 301) if seq != 5], batch=8)
        peer.push_all([push("c", 5, bytes(65536))])
        wait_until(lambda: broker.metric("sends_total", result="would_block"), "a full queue")
        expect_in_order(receiver, b"c", 300)


@pytest.mark.settings("workers/send_hwm=1", "workers/batch_max=1", "delivery/max_unacked=1000",
                      "delivery/backlog_bytes=67108864")
def test_a_send_that_would_block_is_retried_before_what_comes_after_it(broker, peer):
    with Receiver(broker, rcvhwm=1) as receiver:
        receiver.attach("c", ack_mode=wire.ACK_NONE)  # on the wire itself, so no second chance
        for seq in range(1, 101):
            peer.push_all([push("c", seq, bytes(200000))])
        wait_until(lambda: broker.metric("sends_total", result="would_block"), "a send put off")
        assert receiver.show(101) == [("marker", 0), *range(1, 101)]


def test_what_fills_a_full_window_is_accepted_and_releases_all(peer, receiver):
    receiver.attach("c")
    peer.push_all(push("c", seq) for seq in range(2, WINDOW + 1))
    assert outcomes(peer.push(push("c", WINDOW + 1)), 1) == ["WINDOW_FULL"]
    assert outcomes(peer.push(push("c", 1)), 1) == ["ACCEPTED"]
    expect_in_order(receiver, b"c", WINDOW)


@pytest.mark.settings("ordering/window=32", "delivery/backlog=64")
def test_what_fills_a_hole_is_accepted_though_the_backlog_is_full(peer, receiver):
    peer.push_all(push("c", seq) for seq in range(1, 34))
    peer.push_all(push("c", seq) for seq in range(35, 66))
    assert outcomes(peer.push(push("c", 66)), 1) != ["ACCEPTED"]
    assert outcomes(peer.push(push("c", 34)), 1) == ["ACCEPTED"]
    receiver.attach("c")
    expect_in_order(receiver, b"c", 65)


def test_a_skip_up_to_what_is_held_releases_it_at_once(peer, receiver):
    receiver.attach("c")
    peer.push_all([push("c", 4), push("c", 5)])
    reply = peer.skip("c", 1, 3)
    assert (reply.position.epoch, reply.position.seq) == (0, 5)
    assert receiver.show(4) == [("marker", 0), ("gap", 1, 3), 4, 5]


def test_an_ack_or_a_position_beyond_what_was_sent_moves_nothing(broker, peer, receiver):
    receiver.attach("c")
    peer.push_all([push("c", 1)])
    receiver.take(1)
    receiver.ack(position("c", 50))
    assert [p.seq for p in receiver.attach(position("c", 50)).attached.refused] == [1]
    peer.push_all([push("c", 2)])
    assert [e.seq for e in receiver.take(1)] == [2]


@pytest.mark.settings("ordering/window=8")
def test_a_push_refused_for_the_window_is_accepted_when_it_comes_again(peer):
    assert outcomes(peer.push(push("c", 9)), 1) == ["WINDOW_FULL"]
    assert outcomes(peer.push(push("c", 1), push("c", 9)), 2) == ["ACCEPTED", "ACCEPTED"]


@pytest.mark.settings("ordering/repair_delay=1000")
def test_reordering_without_loss_asks_for_no_repair(broker, publishers, receiver):
    """The delay is longer than a publisher here waits for a processor."""
    receiver.attach("c")
    for publisher in publishers:
        publisher.heartbeat()
    for start in range(1, 20001, 800):
        seqs = shuffled_within(range(start, start + 800), 64)
        sent = send_shares(publishers, [push("c", seq) for seq in seqs])
        assert sum(answers(p, n)["ACCEPTED"] for p, n in zip(publishers, sent)) == 800
        receiver.take(800)
    assert broker.metric("repairs_total") == 0
    assert not any(peer.unasked for peer in publishers)
    assert receiver.ahead == 0


@pytest.mark.settings("front/max_payload=1024", "ordering/window=8")
@pytest.mark.parametrize("refused, outcome", [
    (push("c", 3, bytes(1025)), "TOO_LARGE"), (push("c", 3, epoch=1), "EPOCH_MISMATCH")])
def test_nothing_gets_past_a_push_refused_in_the_middle_of_a_batch(
        peer, receiver, refused, outcome):
    receiver.attach("c")
    reply = peer.push(push("c", 1), push("c", 2), refused, push("c", 4), push("c", 5))
    assert outcomes(reply, 5) == ["ACCEPTED", "ACCEPTED", outcome, "ACCEPTED", "ACCEPTED"]
    assert receiver.show(3) == [("marker", 0), 1, 2]
    assert receiver.delivery(0.2) is None
    peer.push_all([push("c", 3)])
    assert receiver.show(3) == [3, 4, 5]


@pytest.mark.settings("ordering/memory_max=1048576", "front/max_payload=16384")
def test_every_refusal_is_counted_and_answered(broker, publishers):
    pushes = [push(f"c{i}", 1, bytes(1000)) for i in range(20000)]
    sent = send_shares(publishers, pushes)
    counts = [answers(p, n) for p, n in zip(publishers, sent)]
    total = {name: sum(c.get(name, 0) for c in counts) for name in ("ACCEPTED", "OVERLOADED")}
    assert sum(total.values()) == 20000 and total["OVERLOADED"] > 0
    for name, number in total.items():
        assert broker.metric("pushes_total", outcome=name.lower()) == number


@pytest.mark.settings("workers/count=2", "workers/send_hwm=1", "workers/batch_max=1")
def test_pipes_at_their_limit_both_ways_do_not_deadlock(broker, publishers):
    clients, count = 4, 3000
    receivers = [Receiver(broker, f"r{i}") for i in range(clients)]
    for i, receiver in enumerate(receivers):
        receiver.attach(f"c{i}")

    def ack_every_push(receiver):
        for _ in range(count):
            receiver.take(1)

    threads = [threading.Thread(target=ack_every_push, args=[r], daemon=True) for r in receivers]
    for thread in threads:
        thread.start()
    for start in range(1, count + 1, 500):
        sent = send_shares(publishers, [push(f"c{i}", seq) for seq in range(start, start + 500)
                                        for i in range(clients)], batch=1)
        for publisher, requests in zip(publishers, sent):
            assert set(answers(publisher, requests)) == {"ACCEPTED"}
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for receiver in receivers:
        receiver.close()


@pytest.mark.settings("delivery/ack_timeout=60000")
def test_a_receiver_that_crashes_and_comes_back_at_once_is_served_by_its_new_connection(broker, peer):
    address, done = "tcp://127.0.0.1:*", 0
    for life in range(20):
        with Receiver(broker, "named", bind=address) as receiver:
            address = receiver.endpoint
            receiver.attach(position("c", done))
            peer.push_all(push("c", seq) for seq in range(10 * life + 1, 10 * life + 11))
            if life % 2:  # in every other life it crashes before it has taken anything
                receiver.last[b"c"] = (0, done)
                seqs = [entry.seq for entry in receiver.take(10 * life + 10 - done)]
                assert seqs == [*range(done + 1, 10 * life + 11)]
                done = seqs[-1]
    assert broker.metric("receivers") == 1
