"""What must hold when receivers stall, lie, fail and die, and when the broker is restarted."""
import json
import os
import subprocess
import time

import pytest
import wire
from harness import SEQPUSH, wait_until
from peers import Peer, Receiver, outcomes, position, push

MIB = 1 << 20


def pushes(client, first, last, payload=b""):
    return [push(client, seq, payload) for seq in range(first, last + 1)]


def seqs(entries):
    return [entry.seq for entry in entries]


# ---- receivers that stall ------------------------------------------------------------------------

def offer_until_refused(peer, client, first, size=1000):
    """Pushes for a client until one is refused; returns the seq that is next and the outcome."""
    for seq in range(first, 1 << 20, 64):
        reply = peer.push(*pushes(client, seq, seq + 63, bytes(size)))
        if reply.push_ack.rejected:
            accepted = reply.push_ack.rejected[0].index
            return seq + accepted, wire.Outcome.Name(reply.push_ack.rejected[0].outcome)
    raise AssertionError("nothing is ever refused")


@pytest.mark.settings("delivery/receiver_timeout=600000")
def test_while_one_receiver_stalls_the_others_have_all_of_theirs(broker, peer):
    with Receiver(broker, "stalled", rcvhwm=1) as stalled, Receiver(broker, "well") as well:
        stalled.attach("stalled")
        well.attach(prefix="well")
        following, outcome = offer_until_refused(peer, "stalled", 1)
        assert outcome == "BACKLOG_FULL"
        for seq in range(1, 51):
            peer.push_all(push(f"well-{i}", seq) for i in range(100))
            assert len(well.take(100)) == 100
            again = peer.push(push("stalled", following, bytes(1000)))
            assert outcomes(again, 1) == ["BACKLOG_FULL"]
        assert well.ahead == 0
        assert seqs(stalled.take(following - 1)) == list(range(1, following))


@pytest.mark.settings("delivery/receiver_timeout=600000", "ordering/memory_max=8388608",
                      "front/max_payload=65536")
def test_while_all_receivers_stall_memory_is_bounded_and_intake_answers(broker, peer):
    receivers = [Receiver(broker, f"r{i}", rcvhwm=1) for i in range(10)]
    clients = [f"c{i}" for i in range(10)]
    for client, receiver in zip(clients, receivers):
        receiver.attach(client)
    following = {client: offer_until_refused(peer, client, 1)[0] for client in clients}
    kept, memory = broker.metric("queue_bytes"), broker.memory()
    assert kept <= 8 * MIB
    for _ in range(100):
        for client in clients:
            reply = peer.push(*pushes(client, following[client], following[client] + 63,
                                      bytes(1000)))
            following[client] += reply.push_ack.accepted
            assert reply.push_ack.rejected
    assert broker.metric("queue_bytes") <= 8 * MIB
    assert broker.memory() < memory + 32 * MIB
    for client, receiver in zip(clients, receivers):
        last = following[client] - 1
        assert seqs(receiver.take(last)) == list(range(1, last + 1))
        receiver.close()


def test_intake_goes_on_while_one_client_in_twenty_fails_for_good(broker, peer, receiver):
    """Nobody acknowledges theirs; it must not hold up the other nineteen."""
    bad = [f"bad-{i}" for i in range(5)]
    good = [f"good-{i}" for i in range(95)]
    with Receiver(broker, "failing") as failing:
        failing.attach(prefix="bad-")
        receiver.attach(prefix="good-")
        stuck = {client: offer_until_refused(peer, client, 1)[0] for client in bad}
        for seq in range(1, 51):
            peer.push_all(push(client, seq) for client in good)
            for client in bad:
                again = peer.push(push(client, stuck[client], bytes(1000)))
                assert outcomes(again, 1) == ["BACKLOG_FULL"]
            assert len(receiver.take(len(good))) == len(good)
            failing.send(heartbeat=wire.Heartbeat(receiver_id=b"failing",
                                                  generation=failing.generation))
        assert receiver.ahead == 0
        taken = failing.take(sum(stuck.values()) - len(bad))  # it is mended: all of it is there
        for client in bad:
            mine = [entry.seq for entry in taken if entry.client_id == client.encode()]
            assert mine == list(range(1, stuck[client]))


# ---- receivers that die --------------------------------------------------------------------------

@pytest.mark.settings("delivery/ack_timeout=60000", "delivery/receiver_timeout=1000")
def test_the_batch_of_a_receiver_that_died_goes_to_the_next_one_in_order(broker, peer):
    clients = [f"c{i}" for i in range(5)]
    with Receiver(broker, "dead") as dead:
        dead.attach(*clients)
        peer.push_all(push(client, seq, b"%d" % seq) for seq in range(1, 41) for client in clients)
        dead.take_raw(len(clients) * 41)
        dead.ack(*(position(client, 10) for client in clients))
        dead.beat()
    broker.wait_metric("receivers", 0)
    with Receiver(broker, "next") as following:
        following.attach(*clients)
        taken = following.take(len(clients) * 30)
        for client in clients:
            mine = [(e.seq, e.payload) for e in taken if e.client_id == client.encode()]
            assert mine == [(seq, b"%d" % seq) for seq in range(11, 41)]
        assert following.ahead == 0


@pytest.mark.settings("delivery/max_unacked=50", "ordering/window=500", "delivery/backlog=1000")
def test_more_piled_up_offline_than_may_be_on_its_way_comes_in_order(broker, peer, receiver):
    backwards = [seq for block in range(0, 1000, 100) for seq in range(block + 100, block, -1)]
    peer.push_all(push("c", seq) for seq in backwards)
    receiver.attach("c")
    assert seqs(receiver.take(1000)) == list(range(1, 1001))
    assert receiver.ahead == 0
    assert broker.status()["orderer"]["redelivered"] == 0


# ---- receivers that lie --------------------------------------------------------------------------

def lies(liar, honest):
    """Acks that are not the liar's to give, or beyond what was sent."""
    yield dict(positions=[position("mine", 10**6)])
    yield dict(positions=[position("mine", 2**63 - 1), position("mine", 1, epoch=9)])
    yield dict(positions=[position("theirs", seq) for seq in range(1, 100)])
    yield dict(positions=[position("nobodys", 1)])
    yield dict(positions=[position("theirs", 20)], receiver_id=honest.name,
               generation=honest.generation - 1)
    yield dict(positions=[position("mine", 20)], generation=liar.generation + 1)
    yield dict(positions=[position("mine", 20)], receiver_id=b"unknown")
    yield dict(positions=[], missing=[position("theirs", 0), position("nobodys", 3)])
    yield dict(positions=[], missing=[position("mine", 2**63 - 1)])


@pytest.mark.settings("delivery/ack_timeout=60000")
def test_a_receiver_that_lies_moves_nothing_of_others_and_nothing_beyond(broker, peer, receiver):
    with Receiver(broker, "liar") as liar:
        receiver.attach("theirs")
        liar.attach("mine")
        peer.push_all(pushes("theirs", 1, 20) + pushes("mine", 1, 20))
        theirs, mine = receiver.show(21), liar.show(21)
        for lie in lies(liar, receiver):
            ack = {"receiver_id": liar.name, "generation": liar.generation, **lie}
            liar.send(ack=wire.DeliveryAck(**ack))
            liar.beat()
            assert broker.metric("queue_messages", stage="retained") == 40, lie
        figures = broker.status()["orderer"]
        assert figures["acks_beyond"] and figures["acks_stale"] and figures["acks_unknown"]
        assert theirs == mine == [("marker", 0), *range(1, 21)]
        receiver.ack(position("theirs", 20))
        receiver.beat()
        assert broker.metric("queue_messages", stage="retained") == 20
        peer.push_all(pushes("theirs", 21, 22))
        assert receiver.show(2) == [21, 22]


# ---- more than there is room for -----------------------------------------------------------------

def answered(peer, requests, counts):
    """Reads the PushAcks of so many requests and adds up the outcomes."""
    while requests:
        reply = peer.receive()
        assert reply, f"{requests} requests without an answer"
        requests -= max(reply.push_ack.requests, 1)
        names = ["ACCEPTED"] * reply.push_ack.accepted
        names += [wire.Outcome.Name(r.outcome) for r in reply.push_ack.rejected]
        for name in names:
            counts[name] = counts.get(name, 0) + 1


@pytest.mark.settings("delivery/ack_timeout=500")
def test_what_is_sent_again_is_as_old_as_when_it_was_sent_first(broker, peer, receiver):
    """So an alarm on its age sounds though the broker goes back again and again."""
    receiver.attach("ann")
    peer.push(push("ann", 1))
    start = time.monotonic()
    broker.wait_metric("deliveries_total", 3, result="redelivered")  # after 0.5, 1.5 and 3.5 s
    assert broker.metric("oldest_unacked_seconds") > 2.5
    client = json.loads(broker.get("/api/clients/ann"))
    assert 3.4 < client["still_seconds"] <= time.monotonic() - start + 0.1
    receiver.ack(position("ann", 1))
    broker.wait_metric("oldest_unacked_seconds", 0)


@pytest.mark.settings("ordering/window=64", "delivery/backlog=128", "ordering/memory_max=4194304",
                      "front/max_payload=65536", "front/publisher_credit=2000")
def test_each_bound_refuses_with_its_outcome_and_all_refusals_are_counted(broker):
    """Four publishers at once run into every bound there is, and read nothing until all is sent."""
    kinds = [[push("window", seq) for seq in range(1000, 3000)],
             [push("backlog", seq) for seq in range(1, 2001)],
             [push(f"memory-{i}", 1, bytes(5000)) for i in range(1000)],
             [push("invalid", seq, marker=True) for seq in range(1, 1001)]]
    peers = [Peer(broker) for _ in kinds]
    counts, sent = {}, []
    for peer, many in zip(peers, kinds):
        sent.append([peer.send(push=wire.PushBatch(pushes=many[i:i + 50]))
                     for i in range(0, len(many), 50)])
    for peer, requests in zip(peers, sent):
        answered(peer, len(requests), counts)
        peer.close()
    assert sum(counts.values()) == sum(map(len, kinds))
    assert {"ACCEPTED", "WINDOW_FULL", "BACKLOG_FULL", "OVERLOADED", "INVALID"} <= set(counts)
    for name, number in counts.items():
        assert broker.metric("pushes_total", outcome=name.lower()) == number


# ---- a broker that is restarted ------------------------------------------------------------------

@pytest.fixture
def run():
    """Starts programs, which are killed when the test is over."""
    children = []

    def start(*command, **more):
        children.append(subprocess.Popen(list(map(str, command)), **more))
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.wait()


def test_after_a_restart_of_the_broker_library_peers_go_on_by_themselves(
        start_broker, run, tmp_path):
    """The receiver attaches at its positions; the publisher offers what has no outcome again."""
    first = start_broker()
    log, positions = tmp_path / "out", tmp_path / "positions"
    with open(log, "wb") as out:
        receiver = run(SEQPUSH, "receive", "--broker", first.front, "--client", "c", "--count", 200,
                       "--positions", positions, stdout=out)
    publisher = run(SEQPUSH, "push", "--broker", first.front, "--client", "c",
                    stdin=subprocess.PIPE)
    send = publisher.stdin.fileno()
    os.write(send, b"".join(b"%d\n" % i for i in range(1, 101)))
    wait_until(lambda: first.metric("deliveries_total", result="acknowledged") == 100, "all of it")
    first.stop()
    os.write(send, b"".join(b"%d\n" % i for i in range(101, 201)))
    publisher.stdin.close()
    second = start_broker(f"front/bind={first.front}")
    assert receiver.wait(30) == 0 and publisher.wait(30) == 0
    assert log.read_bytes() == b"".join(b"%d\n" % i for i in range(1, 201))
    assert second.metric("deliveries_total", result="acknowledged") == 100


def test_peers_of_a_restarted_broker_notice_and_its_receivers_attach_where_they_were(start_broker):
    first = start_broker()
    with Peer(first) as peer, Receiver(first) as receiver:
        receiver.attach("c")
        peer.push_all(pushes("c", 1, 5))
        receiver.take(5)
        before = receiver.beat().instance
        first.stop()
        second = start_broker(f"front/bind={first.front}")
        reply = wait_until(receiver.beat, "a reply")
        assert reply.instance != before
        assert reply.error.code == "unknown_receiver"
        assert peer.push(push("c", 6)).push_ack.unreceived == 1
        receiver.attach(position("c", receiver.last[b"c"][1]))
        assert receiver.show(2) == [("marker", 5), 6]
        assert second.metric("pushes_total", outcome="accepted") == 1
