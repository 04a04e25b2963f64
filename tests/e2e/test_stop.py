"""How a broker ends: in time, whatever is full, and with an outcome for every push that it got."""
import re
import signal
from pathlib import Path

import pytest
import wire
import zmq
from harness import DEADLINE, wait_until
from peers import CONTEXT, Peer, Receiver, position, push

PUBLISHERS, REQUESTS, BATCH = 4, 100, 64
STOPPED = r"stopped with (\d+) accepted pushes undelivered"


def answers(peer, requests, deadline):
    """Reads replies until all requests have one, or none comes; returns outcome -> pushes."""
    counts = {}
    while requests and (reply := peer.receive(deadline)):
        ack = reply.push_ack
        requests -= max(ack.requests, 1)
        for outcome in [wire.ACCEPTED] * ack.accepted + [r.outcome for r in ack.rejected]:
            counts[wire.Outcome.Name(outcome)] = counts.get(wire.Outcome.Name(outcome), 0) + 1
    return counts


def overrun(peer, client):
    """Sends much more than there is room for, without waiting for anything."""
    for r in range(REQUESTS):
        seqs = range(r * BATCH + 1, (r + 1) * BATCH + 1)
        peer.send(push=wire.PushBatch(pushes=[push(client, seq, bytes(1000)) for seq in seqs]))


def publishers(broker):
    peers = [Peer(broker) for _ in range(PUBLISHERS)]
    for peer in peers:
        peer.heartbeat()
    return peers


def close(peers):
    for peer in peers:
        peer.close()


@pytest.mark.settings("broker/drain_timeout=4000", "workers/count=2", "workers/send_hwm=1",
                      "front/publisher_credit=4096", "ordering/memory_max=16777216",
                      "delivery/ack_timeout=60000")
def test_a_stop_with_every_queue_full_ends_in_time_and_every_push_has_an_outcome(broker):
    stalled = [Receiver(broker, f"r{i}", rcvhwm=1) for i in range(PUBLISHERS)]
    for i, receiver in enumerate(stalled):
        receiver.attach(f"c{i}")
    peers = publishers(broker)
    for i, peer in enumerate(peers):
        overrun(peer, f"c{i}")
    wait_until(lambda: broker.metric("sends_total", result="would_block"), "full send queues")
    broker.signal(signal.SIGTERM)
    assert broker.wait() == 0
    counts = [answers(peer, REQUESTS, 1) for peer in peers]
    assert [sum(c.values()) for c in counts] == [REQUESTS * BATCH] * PUBLISHERS, counts
    accepted = sum(c.get("ACCEPTED", 0) for c in counts)
    assert 0 < accepted < PUBLISHERS * REQUESTS * BATCH
    assert "not all was delivered within 4000 ms" in broker.log
    assert int(re.search(STOPPED, broker.log)[1]) == accepted
    close(peers + stalled)


def states(pid):
    """What the threads of a process are doing, as letters."""
    stats = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return {stat.rsplit(")", 1)[1].split()[0] for stat in stats}


def unread(port):
    """Bytes that the kernel has for connections to a port of 127.0.0.1, and that nobody has read."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].split(":")[1], 16) for row in rows
               if row[1] == f"0100007F:{port:04X}" and row[3] == "01")


@pytest.mark.parametrize("own_thread", [0, 1])
def test_what_has_come_in_when_it_stops_has_its_outcome(start_broker, own_thread):
    """Nothing is to be drained, so the end comes in the middle of the pushes."""
    broker = start_broker(f"front/own_thread={own_thread}")
    requests, port = 50, int(broker.front.rsplit(":")[-1])
    peers = publishers(broker)
    broker.signal(signal.SIGSTOP)
    wait_until(lambda: states(broker.pid) == {"T"}, "the broker to stand still")
    for i, peer in enumerate(peers):
        for seq in range(1, requests + 1):
            peer.send(push=wire.PushBatch(pushes=[push(f"c{i}", seq, bytes(1000))]))
    wait_until(lambda: unread(port) > PUBLISHERS * requests * 1000, "all requests to arrive")
    broker.signal(signal.SIGTERM)
    broker.signal(signal.SIGCONT)
    assert broker.wait() == 0
    counts = [answers(peer, requests, 1) for peer in peers]
    assert [sum(c.values()) for c in counts] == [requests] * PUBLISHERS, counts
    assert sum(c.get("ACCEPTED", 0) for c in counts) == int(re.search(STOPPED, broker.log)[1])
    close(peers)


@pytest.mark.settings("broker/drain_timeout=60000")
def test_a_second_signal_stops_at_once(broker, peer):
    with Receiver(broker) as receiver:
        receiver.attach("c")
        peer.push_all([push("c", 1)])
        assert receiver.delivery()  # and no ack
        broker.signal(signal.SIGTERM)
        broker.wait_for_line("stopping: new pushes are refused")
        assert peer.push(push("c", 2)).push_ack.rejected[0].outcome == wire.SHUTTING_DOWN
        broker.signal(signal.SIGTERM)
        assert broker.wait() == 0
    assert "a second signal: stopping at once" in broker.log
    assert int(re.search(STOPPED, broker.log)[1]) == 1


@pytest.mark.settings("broker/drain_timeout=60000")
def test_a_stop_ends_when_the_last_acknowledgement_has_come(broker, peer, receiver):
    receiver.attach("c")
    peer.push_all(push("c", seq) for seq in range(1, 101))
    receiver.take(100, ack=False)
    broker.signal(signal.SIGTERM)
    broker.wait_for_line("stopping: new pushes are refused")
    receiver.ack(position("c", 100))
    assert broker.wait() == 0
    assert int(re.search(STOPPED, broker.log)[1]) == 0


def test_what_was_taken_for_a_route_leaves_before_the_end(start_broker, tmp_path):
    pull = CONTEXT.socket(zmq.PULL)
    pull.rcvhwm = 1
    pull.bind("tcp://127.0.0.1:*")
    config = tmp_path / "seqpushd.conf"
    config.write_text("delivery\n    backlog_bytes = 33554432\n    route\n        match = c\n"
                      f"        endpoint = {pull.LAST_ENDPOINT.decode()}\n")
    broker = start_broker("broker/drain_timeout=60000", "workers/send_hwm=20", config=config)
    with Peer(broker) as peer:
        peer.push_all([push("c", seq, bytes(500000)) for seq in range(1, 21)], batch=4)
    broker.signal(signal.SIGTERM)
    broker.wait_for_line("stopping: new pushes are refused")
    seqs = []
    while len(seqs) < 20 and pull.poll(15000):
        seqs += [entry.seq for entry in wire.Delivery.FromString(pull.recv()).pushes]
    assert seqs == list(range(1, 21))
    assert broker.wait() == 0
    pull.close(linger=0)


def ask_for_long_replies(broker, requests):
    """A peer that has sent requests with long replies, and has read none of them."""
    deaf = CONTEXT.socket(zmq.DEALER)
    deaf.linger, deaf.rcvhwm, deaf.rcvbuf = 0, 1, 4096
    deaf.connect(broker.front)
    far_ahead = [push("c", 10**9 + seq) for seq in range(1000)]
    for i in range(1, requests + 1):
        batch = wire.PushBatch(pushes=far_ahead)
        deaf.send(wire.Request(push=batch, request_id=i).SerializeToString())
    broker.wait_metric("pushes_total", 1000 * requests, outcome="window_full")
    return deaf


@pytest.mark.settings("broker/drain_timeout=500")
def test_a_peer_that_does_not_read_its_replies_does_not_hold_up_the_end(broker):
    deaf = ask_for_long_replies(broker, 300)
    broker.signal(signal.SIGTERM)
    assert broker.wait() == 0
    deaf.close()


@pytest.mark.settings("broker/drain_timeout=60000")
def test_a_peer_that_reads_late_has_its_replies_before_the_end(broker):
    deaf = ask_for_long_replies(broker, 300)
    broker.signal(signal.SIGTERM)
    broker.wait_for_line("stopped with")
    for request_id in range(1, 301):
        assert deaf.poll(DEADLINE * 1000), f"no reply to request {request_id}"
        assert wire.Reply.FromString(deaf.recv()).request_id == request_id
    assert broker.wait() == 0
    deaf.close()


def test_what_is_no_push_does_not_count_as_one_undelivered(broker, peer):
    """A gap notice and a marker wait for a receiver, too."""
    peer.skip("a", 1, 2)
    peer.reset("a", 1)
    peer.push(push("b", 1), push("b", 3))
    assert broker.metric("queue_messages", stage="retained") == 3
    broker.signal(signal.SIGTERM)
    assert broker.wait() == 0
    assert broker.wait_for_line(STOPPED)[1] == "2"
