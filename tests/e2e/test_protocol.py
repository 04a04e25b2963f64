"""Every outcome, every error and every request of the wire, one case after the other."""
import signal
import time

import pytest
import wire
import zmq
from peers import Peer, Receiver, outcomes, position, push, show

SMALL_WINDOW = "ordering/window=8"


def rejections(reply):
    """What the reply says of each refused push: (index, outcome, next_seq, window_end, epoch)."""
    return [(r.index, wire.Outcome.Name(r.outcome), r.next_seq, r.window_end, r.epoch)
            for r in reply.push_ack.rejected]


def place(reply):
    """The position that a Skip or a Reset is answered with, as (epoch, seq)."""
    assert reply.WhichOneof("body") == "position", reply
    return reply.position.epoch, reply.position.seq


def error(reply):
    assert reply.WhichOneof("body") == "error", reply
    return reply.error.code


# ---- outcomes -------------------------------------------------------------------------------------

# Pushes sent before, pushes asked about, what is refused of these. The window is 8.
OUTCOMES = {
    "in order": ([], [1, 2, 3], []),
    "out of order": ([], [3, 1, 2], []),
    "last of the window": ([], [8], []),
    "released again": ([1], [1], [(0, "DUPLICATE", 2, 10, 0)]),
    "held again": ([3], [3], [(0, "DUPLICATE", 1, 9, 0)]),
    "twice in a batch": ([], [1, 2, 1], [(2, "DUPLICATE", 3, 11, 0)]),
    "beyond the window": ([], [9, 1], [(0, "WINDOW_FULL", 1, 9, 0)]),
    "far beyond the window": ([1], [2**63 - 1], [(0, "WINDOW_FULL", 2, 10, 0)]),
    "beyond what a position can have": ([1], [2**63], [(0, "INVALID", 2, 10, 0)]),
    "refused in the middle": ([], [1, 10, 2], [(1, "WINDOW_FULL", 2, 10, 0)]),
}


@pytest.mark.settings(SMALL_WINDOW)
@pytest.mark.parametrize("before, asked, refused", OUTCOMES.values(), ids=OUTCOMES)
def test_outcome_of_a_seq(peer, before, asked, refused):
    peer.push_all(push("c", seq) for seq in before)
    reply = peer.push(*(push("c", seq) for seq in asked))
    assert rejections(reply) == refused
    assert reply.push_ack.accepted == len(asked) - len(refused)
    assert reply.push_ack.credit == 65536


def test_a_push_for_another_epoch_is_told_the_present_one(peer):
    assert place(peer.reset("c", 5)) == (5, 0)
    reply = peer.push(push("c", 1), push("c", 1, epoch=6), push("c", 1, epoch=5))
    assert [(r.index, r.outcome, r.epoch) for r in reply.push_ack.rejected] == [
        (0, wire.EPOCH_MISMATCH, 5), (1, wire.EPOCH_MISMATCH, 5)]


@pytest.mark.settings(SMALL_WINDOW)
def test_a_seq_that_was_skipped_is_stale(peer):
    peer.push_all([push("c", 1), push("c", 4)])
    assert place(peer.skip("c", 2, 3)) == (0, 4)
    assert rejections(peer.push(push("c", 2), push("c", 4), push("c", 5))) == [
        (0, "STALE", 5, 13, 0), (1, "DUPLICATE", 5, 13, 0)]


@pytest.mark.settings(SMALL_WINDOW)
def test_a_seq_skipped_ahead_of_a_hole_is_stale(peer):
    assert place(peer.skip("c", 2, 3)) == (0, 0)
    assert rejections(peer.push(push("c", 2))) == [(0, "STALE", 1, 9, 0)]
    assert outcomes(peer.push(push("c", 1)), 1) == ["ACCEPTED"]
    assert place(peer.skip("c", 1, 1)) == (0, 3)


@pytest.mark.settings("ordering/window=4", "delivery/backlog=8")
def test_a_full_backlog_is_refused_until_it_is_acknowledged(peer, receiver):
    peer.push_all(push("c", seq) for seq in range(1, 9))
    reply = peer.push(push("c", 9), push("other", 1))
    assert rejections(reply) == [(0, "BACKLOG_FULL", 9, 13, 0)]
    assert reply.push_ack.rejected[0].retry_after_ms > 0
    receiver.attach("c")
    receiver.take(8)
    peer_sees = lambda: outcomes(peer.push(push("c", 9)), 1)  # noqa: E731
    while (seen := peer_sees()) == ["BACKLOG_FULL"]:  # the ack travels on another connection
        pass
    assert seen == ["ACCEPTED"]


@pytest.mark.settings("delivery/backlog_bytes=65536", "front/max_payload=32768")
def test_the_backlog_is_bounded_in_bytes_too(peer):
    reply = peer.push(*(push("c", seq, bytes(20000)) for seq in range(1, 6)))
    assert outcomes(reply, 5) == ["ACCEPTED"] * 3 + ["BACKLOG_FULL"] * 2


@pytest.mark.settings("ordering/memory_max=1048576", "front/max_payload=16384")
def test_memory_is_bounded_and_what_fills_a_hole_is_let_in(peer):
    size = 10000
    decided = [outcomes(peer.push(push(f"c{i}", 2, bytes(size))), 1)[0] for i in range(200)]
    taken = decided.index("OVERLOADED")
    assert set(decided[taken:]) == {"OVERLOADED"} and 20 < taken < 105
    assert outcomes(peer.push(push("c0", 1, bytes(size)), push("new", 1, bytes(size))), 2) == [
        "ACCEPTED", "OVERLOADED"]


@pytest.mark.settings("front/publisher_credit=64")
def test_what_exceeds_the_credit_is_overloaded(broker, peer):
    batches = 400
    broker.signal(signal.SIGSTOP)  # so that the requests gather
    ids = [peer.send(push=wire.PushBatch(pushes=[push(f"{i}-{k}", 1) for k in range(64)]))
           for i in range(batches)]
    broker.signal(signal.SIGCONT)
    accepted, overloaded, answered = 0, 0, 0
    while answered < batches:
        reply = peer.receive()
        assert reply and reply.request_id in ids
        answered += max(reply.push_ack.requests, 1)
        accepted += reply.push_ack.accepted
        overloaded += len(reply.push_ack.rejected)
        assert {r.outcome for r in reply.push_ack.rejected} <= {wire.OVERLOADED}
    assert accepted + overloaded == 64 * batches and accepted >= 64 and overloaded > 0
    assert broker.metric("pushes_total", outcome="overloaded") == overloaded
    assert peer.push(push("later", 1)).push_ack.accepted == 1


@pytest.mark.settings("front/max_payload=1024")
def test_payloads_are_bounded(peer):
    reply = peer.push(push("c", 1, bytes(1024)), push("c", 2, bytes(1025)), push("d", 1))
    assert outcomes(reply, 3) == ["ACCEPTED", "TOO_LARGE", "ACCEPTED"]


def _field(number, content):
    return bytes([number << 3 | 2, len(content)]) + content


CLIENT, SEQ = _field(1, b"c"), b"\x18\x01"
INVALID = {
    "no client": SEQ,
    "empty client": _field(1, b"") + SEQ,
    "client of 65 bytes": _field(1, b"c" * 65) + SEQ,
    "marker": CLIENT + SEQ + b"\x30\x01",
    "skipped_to": CLIENT + SEQ + b"\x28\x02",
    "unknown field": CLIENT + SEQ + b"\x78\x01",
    "repeated client": CLIENT + CLIENT + SEQ,
    "repeated seq": CLIENT + SEQ + SEQ,
    "overlong varint": CLIENT + b"\x18\x81\x00",
}


@pytest.mark.parametrize("encoded", INVALID.values(), ids=INVALID)
def test_a_bad_push_in_a_good_batch_is_invalid_by_itself(peer, encoded):
    good = [_field(1, push("a", seq).SerializeToString()) for seq in (1, 2)]
    peer.send_raw(_field(1, good[0] + _field(1, encoded) + good[1]) + b"\x78\x07")
    assert outcomes(peer.reply_to(7), 3) == ["ACCEPTED", "INVALID", "ACCEPTED"]


@pytest.mark.parametrize("policy", ["strict", "deadline", "latest"])
def test_a_stream_ends_where_no_position_can_be(start_broker, policy):
    """A seq of 64 bits could not be acknowledged, so its receiver would never be done."""
    last = 2**63 - 1
    broker = start_broker(f"ordering/policy={policy}")
    with Peer(broker) as peer, Receiver(broker) as receiver:
        for client in ("theirs", "ours"):
            peer.reset(client, 1, last)
        reply = peer.push(push("theirs", last, epoch=1), push("theirs", last + 1, epoch=1), push("ours", 0, epoch=1),
                          push("ours", 0, epoch=1), push("new", 2**64 - 1))
        assert outcomes(reply, 5) == ["ACCEPTED", "INVALID", "ACCEPTED", "INVALID", "INVALID"]
        receiver.attach("theirs", "ours")
        receiver.take(2)
        broker.wait_metric("queue_messages", 0, stage="retained")
        peer.reset("theirs", 2)
        assert outcomes(peer.push(push("theirs", 1, epoch=2)), 1) == ["ACCEPTED"]


def test_a_client_is_numbered_by_its_publishers_or_by_the_broker(peer):
    peer.push_all([push("theirs", 1), push("ours", 0)])
    reply = peer.push(push("theirs", 0), push("ours", 2), push("theirs", 2), push("ours", 0))
    assert outcomes(reply, 4) == ["INVALID", "INVALID", "ACCEPTED", "ACCEPTED"]
    assert list(reply.push_ack.assigned) == [0, 2]


def test_the_broker_assigns_seqs_in_the_order_of_the_batch(peer, receiver):
    receiver.attach("c", "d")
    reply = peer.push(*(push(client, 0, f"{client}{i}") for i in (1, 2, 3) for client in "cd"))
    assert list(reply.push_ack.assigned) == [1, 1, 2, 2, 3, 3]
    taken = [(e.client_id, e.seq, e.payload) for e in receiver.take(6)]
    assert sorted(taken) == [(client, i, b"%s%d" % (client, i))
                             for client in (b"c", b"d") for i in (1, 2, 3)]


@pytest.mark.settings("ordering/window=4", "delivery/backlog=8")
def test_after_a_refusal_the_rest_of_a_clients_numberless_pushes_are_refused(peer):
    reply = peer.push(*(push("c", 0) for _ in range(10)), push("d", 0))
    assert outcomes(reply, 11) == ["ACCEPTED"] * 8 + ["BACKLOG_FULL"] * 2 + ["ACCEPTED"]
    assert list(reply.push_ack.assigned) == [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 1]


@pytest.mark.settings("front/max_payload=1024")
def test_a_numberless_push_after_a_bad_one_is_refused_too(peer):
    reply = peer.push(push("c", 0), push("c", 0, bytes(1025)), push("c", 0), push("d", 0))
    assert outcomes(reply, 4)[:2] == ["ACCEPTED", "TOO_LARGE"]
    assert outcomes(reply, 4)[2] != "ACCEPTED" and outcomes(reply, 4)[3] == "ACCEPTED"
    assert list(reply.push_ack.assigned) == [1, 0, 0, 1]


# ---- replies --------------------------------------------------------------------------------------

def test_every_reply_names_its_request_and_the_instance(broker, peer, receiver):
    body = wire.Heartbeat()
    replies = [peer.push(push("c", 1)), peer.push(), peer.skip("c", 2, 2), peer.reset("c", 1),
               peer.ask(heartbeat=body), peer.ask(), receiver.attach("c"), receiver.beat(),
               receiver.detach()]
    assert [r.WhichOneof("body") for r in replies] == [
        "push_ack", "push_ack", "position", "position", "heartbeat", "error", "attached",
        "heartbeat", "detached"]
    assert len({r.instance for r in replies}) == 1 and replies[0].instance > 0


def test_an_instance_is_never_the_same_twice(start_broker):
    instances = set()
    for _ in range(2):
        with Peer(start_broker()) as peer:
            instances.add(peer.heartbeat().instance)
    assert len(instances) == 2


def test_a_run_of_accepted_requests_is_accounted_for_whole(broker, peer):
    batches = 500
    broker.signal(signal.SIGSTOP)
    ids = [peer.send(push=wire.PushBatch(pushes=[push("c", 2 * i + 1), push("c", 2 * i + 2)]))
           for i in range(batches)]
    broker.signal(signal.SIGCONT)
    answered, replies = [], 0
    while len(answered) < batches:
        reply = peer.receive()
        run = max(reply.push_ack.requests, 1)
        assert reply.push_ack.accepted == 2 * run and reply.push_ack.requests != 1
        answered += range(reply.request_id - run + 1, reply.request_id + 1)
        replies += 1
    assert answered == ids
    assert replies < batches


@pytest.mark.settings(SMALL_WINDOW)
def test_a_request_with_a_refusal_or_an_assigned_seq_has_a_push_ack_of_its_own(broker, peer):
    broker.signal(signal.SIGSTOP)
    bodies = [[push("a", 1)], [push("a", 2)], [push("a", 20)], [push("a", 3)], [push("b", 0)],
              [push("a", 4)], [push("a", 5)]]
    ids = [peer.send(push=wire.PushBatch(pushes=pushes)) for pushes in bodies]
    broker.signal(signal.SIGCONT)
    answered = []
    while len(answered) < len(ids):
        ack = (reply := peer.receive()).push_ack
        run = max(ack.requests, 1)
        assert run == 1 or not ack.rejected and not ack.assigned
        answered += range(reply.request_id - run + 1, reply.request_id + 1)
        assert list(ack.assigned) == ([1] if reply.request_id == ids[4] else [])
        assert len(ack.rejected) == (1 if reply.request_id == ids[2] else 0)
    assert answered == ids


@pytest.mark.parametrize("other", [{"heartbeat": wire.Heartbeat()}, {}],
                         ids=["of the orderer", "of the front"])
def test_another_reply_does_not_overtake_the_push_ack(broker, peer, other):
    broker.signal(signal.SIGSTOP)
    ids = []
    for seq in range(1, 50):
        ids.append(peer.send(push=wire.PushBatch(pushes=[push("c", seq)])))
        ids.append(peer.send(**other))  # no body: an Error
    broker.signal(signal.SIGCONT)
    answered = []
    while len(answered) < len(ids):
        reply = peer.receive()
        assert reply.push_ack.requests == 0  # another reply lies between any two
        answered.append(reply.request_id)
    assert answered == ids


@pytest.mark.settings("front/publisher_credit=8")
def test_a_request_that_got_an_error_does_not_count_in_a_run(broker, peer):
    good, later = (wire.PushBatch(pushes=[push("c", seq)]) for seq in (1, 2))
    bad = wire.PushBatch(pushes=[push("c", 1)] * 9)
    broker.signal(signal.SIGSTOP)
    open_ids = [peer.send(push=body) for body in (good, bad, later)]
    broker.signal(signal.SIGCONT)
    replies = [peer.receive() for _ in open_ids]
    assert [reply.request_id for reply in replies] == open_ids
    assert error(replies[1]) == "invalid"
    assert all(reply.push_ack.accepted == 1 for reply in (replies[0], replies[2]))


def test_a_req_peer_gets_each_reply_with_its_delimiter(broker):
    with Peer(broker, zmq.REQ) as req:
        for seq in (1, 2):
            reply = req.push(push("c", seq))
            assert reply.push_ack.accepted == 1 and reply.push_ack.requests == 0
        assert place(req.skip("c", 3, 3)) == (0, 3)
        req.send_raw(b"\xff")
        assert error(req.receive()) == "malformed"


def test_a_dealer_that_sends_a_delimiter_gets_it_back(peer):
    request = wire.Request(request_id=3, push=wire.PushBatch(pushes=[push("c", 1)]))
    peer.send_raw(b"", request.SerializeToString())
    empty, reply = peer.front.recv_multipart()
    assert empty == b"" and wire.Reply.FromString(reply).push_ack.accepted == 1


def test_unreceived_counts_what_nobody_is_there_for(peer, receiver):
    receiver.attach("here")
    reply = peer.push(push("here", 1), push("away", 1), push("away", 2), push("away", 1))
    assert (reply.push_ack.accepted, reply.push_ack.unreceived) == (3, 2)
    receiver.attach(prefix="aw")
    assert peer.push(push("away", 3)).push_ack.unreceived == 0


# ---- errors ---------------------------------------------------------------------------------------

ATTACH = {"receiver_id": b"r", "endpoint": "tcp://127.0.0.1:9", "clients": [position("c", 0)]}


def _attach(**changed):
    return {"attach": wire.Attach(**{**ATTACH, **changed})}


ERRORS = {
    "no body": ({}, "unsupported"),
    "attach without an id": (_attach(receiver_id=b""), "invalid"),
    "attach with an id of 65 bytes": (_attach(receiver_id=b"r" * 65), "invalid"),
    "attach of a client without an id": (_attach(clients=[position("", 0)]), "invalid"),
    "attach of a long prefix": (_attach(client_prefix=b"p" * 65), "invalid"),
    "attach with another ack mode": (_attach(ack_mode=7), "invalid"),
    "attach to another address": (_attach(endpoint="tcp://192.0.2.1:9"), "endpoint_refused"),
    "attach to a name": (_attach(endpoint="tcp://localhost:9"), "endpoint_refused"),
    "attach to a wildcard": (_attach(endpoint="tcp://*:9"), "endpoint_refused"),
    "attach to any port": (_attach(endpoint="tcp://127.0.0.1:*"), "endpoint_refused"),
    "attach with a source": (_attach(endpoint="tcp://127.0.0.1:1;127.0.0.1:9"), "endpoint_refused"),
    "attach over inproc": (_attach(endpoint="inproc://x"), "endpoint_refused"),
    "attach to ipc not allowed": (_attach(endpoint="ipc:///tmp/x"), "endpoint_refused"),
    "attach to nonsense": (_attach(endpoint="nonsense"), "endpoint_refused"),
    "ack without an id": ({"ack": wire.DeliveryAck(generation=1)}, "invalid"),
    "ack of a stranger": (
        {"ack": wire.DeliveryAck(receiver_id=b"x", generation=1)}, "unknown_receiver"),
    "heartbeat of a stranger": (
        {"heartbeat": wire.Heartbeat(receiver_id=b"x", generation=1)}, "unknown_receiver"),
    "detach of a stranger": (
        {"detach": wire.Detach(receiver_id=b"x", generation=1)}, "unknown_receiver"),
    "skip without a client": ({"skip": wire.Skip(to=1)}, "invalid"),
    "reset without a client": ({"reset": wire.Reset(epoch=1)}, "invalid"),
    "attach after too high a seq": (_attach(clients=[position("c", 2**63)]), "invalid"),
    "skip to too high a seq": ({"skip": wire.Skip(client_id=b"c", to=2**63)}, "invalid"),
    "reset to too high a seq": ({"reset": wire.Reset(client_id=b"c", next_seq=2**63)}, "invalid"),
    "confirm not known": ({"push": wire.PushBatch(confirm=9)}, "invalid"),
}


@pytest.mark.parametrize("body, code", ERRORS.values(), ids=ERRORS)
def test_error(broker, peer, body, code):
    reply = peer.ask(**body)
    assert error(reply) == code and reply.error.message
    assert broker.metric("errors_total", code=code) == 1
    assert peer.push(push("c", 1)).push_ack.accepted == 1


@pytest.mark.parametrize("frame", [b"\xff", b"\x0a\x05abc", b"\x0a\x02\x0a\x05", b"\x08\x01"],
                         ids=["no field", "cut off", "cut off inside", "wrong wire type"])
def test_a_frame_that_is_no_request_is_malformed(broker, peer, frame):
    peer.send_raw(frame)
    reply = peer.receive()
    assert error(reply) == "malformed" and reply.request_id == 0 and reply.instance > 0
    assert broker.metric("errors_total", code="malformed") == 1


@pytest.mark.settings("front/publisher_rate=100")
def test_what_exceeds_the_rate_is_overloaded_and_comes_again(broker, peer):
    """A second's worth at once, and the rest, client by client in order, when it is told to come."""
    first = peer.push(*(push("c", seq) for seq in range(1, 151)))
    assert outcomes(first, 150) == ["ACCEPTED"] * 100 + ["OVERLOADED"] * 50
    wait = first.push_ack.rejected[0].retry_after_ms
    assert 0 < wait <= 500
    with Peer(broker) as another:
        assert outcomes(another.push(push("d", 1)), 1) == ["ACCEPTED"]  # each has its own
    time.sleep(wait / 1000)  # what the broker asks for
    assert outcomes(peer.push(*(push("c", seq) for seq in range(101, 151))), 50) == ["ACCEPTED"] * 50


@pytest.mark.settings("front/publisher_credit=64")
def test_a_batch_of_more_than_the_credit_is_invalid(peer):
    assert error(peer.push(*(push("c", seq) for seq in range(1, 66)))) == "invalid"
    assert peer.push(*(push("c", seq) for seq in range(1, 65))).push_ack.accepted == 64


def test_another_generation_changes_nothing(broker, peer, receiver):
    receiver.attach("c")
    peer.push_all([push("c", 1)])
    assert receiver.show(2) == [("marker", 0), 1]
    old, mine = receiver.generation - 1, receiver.generation
    receiver.ack(position("c", 1), generation=old)
    assert error(receiver.receive()) == "stale_generation"
    receiver.generation = old
    assert error(receiver.beat()) == "stale_generation"
    assert error(receiver.detach()) == "stale_generation"
    assert broker.metric("errors_total", code="stale_generation") == 3
    receiver.generation = mine
    assert peer.push(push("c", 2)).push_ack.unreceived == 0


def test_what_comes_during_a_drain_is_refused(start_broker):
    broker = start_broker("delivery/ack_timeout=60000", "broker/drain_timeout=60000")
    with Peer(broker) as peer, Receiver(broker) as receiver:
        receiver.attach("c")
        peer.push_all([push("c", 1)])
        assert receiver.show(2) == [("marker", 0), 1]
        broker.signal(signal.SIGTERM)
        last = 1
        while (outcome := outcomes(peer.push(push("c", last + 1)), 1)) == ["ACCEPTED"]:
            last += 1  # before the signal was heard
        assert outcome == ["SHUTTING_DOWN"]
        assert error(receiver.attach("d")) == "shutting_down"
        assert broker.child.poll() is None
        receiver.ack(position("c", 2**32))  # beyond what was sent: not enough to end the drain
        assert receiver.beat().WhichOneof("body") == "heartbeat"
        assert receiver.show(last - 1) == list(range(2, last + 1))
        receiver.ack(position("c", last))
        assert broker.wait() == 0


# ---- receivers ------------------------------------------------------------------------------------

def test_attached_lists_the_clients_that_were_named(peer, receiver):
    peer.push_all([push("a", 1), push("a", 2), push("p1", 1)])
    reply = receiver.attach("a", "new", prefix="p").attached
    assert reply.receiver_id == b"receiver" and reply.generation > 0
    assert sorted((p.client_id, p.epoch, p.seq) for p in reply.positions) == [
        (b"a", 0, 0), (b"new", 0, 0)]
    assert not reply.refused


def test_each_stream_starts_with_its_marker(peer, receiver):
    peer.push_all([push("a", 1, "one"), push("b", 1), push("b", 2)])
    receiver.attach(prefix="")
    by_client = {}
    for entry in receiver.take_raw(5):
        by_client.setdefault(entry.client_id, []).append(show(entry))
    assert by_client == {b"a": [("marker", 0), 1], b"b": [("marker", 0), 1, 2]}


def test_a_client_that_comes_later_starts_with_its_marker_too(peer, receiver):
    receiver.attach(prefix="a")
    peer.push_all([push("a1", 2), push("a1", 1)])
    assert receiver.show(3) == [("marker", 0), 1, 2]


def test_a_receiver_that_comes_back_goes_on_after_what_it_has(broker, peer, receiver):
    receiver.attach("c")
    peer.push_all(push("c", seq) for seq in range(1, 6))
    assert receiver.show(6) == [("marker", 0), 1, 2, 3, 4, 5]
    with Receiver(broker) as again:  # the same receiver_id from another peer
        reply = again.attach(position("c", 3)).attached
        assert reply.generation > receiver.generation
        assert [(p.client_id, p.seq) for p in reply.positions] == [(b"c", 3)]
        assert again.show(3) == [("marker", 3), 4, 5]


def test_an_attach_ahead_of_the_broker_is_refused_once_something_was_acknowledged(peer, receiver):
    receiver.attach("c")
    peer.push_all([push("c", 1), push("c", 2)])
    receiver.take(2)
    receiver.beat()
    reply = receiver.attach(position("c", 7), position("c", 1, epoch=3)).attached
    assert not reply.positions
    assert [(p.epoch, p.seq) for p in reply.refused] == [(0, 2), (0, 2)]


def test_an_attach_ahead_moves_a_client_of_which_nothing_was_acknowledged(peer, receiver):
    reply = receiver.attach(position("c", 7, epoch=2)).attached
    assert [(p.epoch, p.seq) for p in reply.positions] == [(2, 7)] and not reply.refused
    assert outcomes(peer.push(push("c", 7, epoch=2), push("c", 8, epoch=2)), 2) == [
        "DUPLICATE", "ACCEPTED"]
    assert receiver.show(2) == [("marker", 7), 8]


def test_a_client_that_another_receiver_attaches_goes_to_it(broker, peer, receiver):
    receiver.attach("c", "d")
    peer.push_all([push("c", 1), push("c", 2), push("d", 1)])
    receiver.take(3)
    receiver.beat()
    with Receiver(broker, "second") as second:
        second.attach("c")
        detached = receiver.receive_unasked().detached
        assert (detached.reason, list(detached.client_ids)) == ("taken_over", [b"c"])
        assert detached.generation == receiver.generation
        peer.push_all([push("c", 3), push("d", 2)])
        assert second.show(2) == [("marker", 2), 3]
        assert [e.client_id for e in receiver.take(1)] == [b"d"]


def test_a_name_goes_before_the_longest_prefix(broker, peer):
    receivers = [Receiver(broker, name) for name in ("all", "short", "long", "named")]
    everybody, short, long, named = receivers
    everybody.attach(prefix="")
    short.attach(prefix="ab")
    long.attach(prefix="abc")
    named.attach("abcd")
    peer.push_all([push(client, 1) for client in ("x", "abx", "abcx", "abcd")])
    for receiver, client in zip(receivers, (b"x", b"abx", b"abcx", b"abcd")):
        assert [e.client_id for e in receiver.take(1)] == [client]
        receiver.close()


def test_detached_clients_are_parked(peer, receiver):
    receiver.attach("c", "d")
    reply = receiver.detach("c").detached
    assert (reply.receiver_id, list(reply.client_ids), reply.reason) == (
        b"receiver", [b"c"], "asked")
    assert peer.push(push("c", 1), push("d", 1)).push_ack.unreceived == 1
    assert receiver.detach().detached.reason == "asked"
    assert error(receiver.beat()) == "unknown_receiver"
    receiver.attach("c")
    assert receiver.show(2) == [("marker", 0), 1]


def test_heartbeats_are_answered(peer, receiver):
    assert peer.heartbeat().WhichOneof("body") == "heartbeat"
    receiver.attach("c")
    beat = receiver.beat().heartbeat
    assert (beat.receiver_id, beat.generation) == (b"receiver", receiver.generation)


@pytest.mark.settings("delivery/receiver_timeout=1000")
def test_a_silent_receiver_is_taken_as_gone_and_may_return(broker, peer, receiver):
    receiver.attach("c")
    peer.push_all([push("c", 1)])
    assert receiver.show(2) == [("marker", 0), 1]
    detached = receiver.receive_unasked().detached
    assert detached.reason == "timeout" and detached.generation == receiver.generation
    assert peer.push(push("c", 2)).push_ack.unreceived == 1
    before = receiver.generation
    receiver.attach(position("c", 0))
    assert receiver.generation > before
    assert receiver.show(3) == [("marker", 0), 1, 2]


# ---- acks -----------------------------------------------------------------------------------------

def test_acks_are_cumulative(broker, peer, receiver):
    receiver.attach("c")
    peer.push_all(push("c", seq) for seq in range(1, 6))
    receiver.show(6)
    receiver.ack(position("c", 3))
    broker.wait_metric("queue_messages", 2, stage="retained")
    receiver.ack(position("c", 2))
    receiver.ack(position("c", 5))
    broker.wait_metric("queue_messages", 0, stage="retained")


@pytest.mark.settings("delivery/ack_timeout=60000")
def test_an_ack_beyond_what_was_sent_is_counted_and_ignored(broker, peer, receiver):
    receiver.attach("c")
    peer.push_all([push("c", 1)])
    assert receiver.show(2) == [("marker", 0), 1]
    receiver.ack(position("c", 2))
    receiver.ack(position("c", 1, epoch=1))
    receiver.beat()
    assert broker.metric("queue_messages", stage="retained") == 1
    assert broker.status()["orderer"]["acks_beyond"] == 2
    peer.push_all([push("c", 2)])
    assert receiver.show(1) == [2]


@pytest.mark.settings("delivery/ack_timeout=60000")
def test_what_is_named_as_missing_comes_again_at_once(peer, receiver):
    receiver.attach("c")
    peer.push_all(push("c", seq) for seq in range(1, 6))
    assert receiver.show(6) == [("marker", 0), 1, 2, 3, 4, 5]
    receiver.ack(position("c", 2), missing=[position("c", 2)])
    assert receiver.show(4) == [("marker", 2), 3, 4, 5]


@pytest.mark.settings("delivery/ack_timeout=300")
def test_what_is_not_acknowledged_comes_again(peer, receiver):
    receiver.attach("c")
    peer.push_all(push("c", seq) for seq in range(1, 4))
    assert receiver.show(4) == [("marker", 0), 1, 2, 3]
    assert receiver.show(4) == [("marker", 0), 1, 2, 3]


@pytest.mark.settings("delivery/max_unacked=4", "delivery/ack_timeout=60000")
def test_at_most_max_unacked_pushes_of_a_client_are_on_their_way(broker, peer, receiver):
    receiver.attach("c")
    peer.push_all(push("c", seq) for seq in range(1, 10))
    assert receiver.show(5) == [("marker", 0), 1, 2, 3, 4]
    receiver.beat()
    assert receiver.delivery(0.1) is None
    receiver.ack(position("c", 4))
    assert receiver.show(4) == [5, 6, 7, 8]


def test_ack_none_keeps_nothing_that_zeromq_has_taken(broker, peer, receiver):
    receiver.attach("c", ack_mode=wire.ACK_NONE)
    peer.push_all(push("c", seq) for seq in range(1, 6))
    assert receiver.show(6) == [("marker", 0), 1, 2, 3, 4, 5]
    broker.wait_metric("queue_messages", 0, stage="retained")


def test_a_route_needs_no_receiver_but_a_pull_socket(start_broker, tmp_path):
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.bind("tcp://127.0.0.1:*")
        config = tmp_path / "route.conf"
        config.write_text("delivery\n    route\n        match = \"log.*\"\n"
                          f"        endpoint = \"{pull.LAST_ENDPOINT.decode()}\"\n")
        with Peer(start_broker(config=config)) as peer:
            reply = peer.push(push("log.a", 2, "two"), push("log.a", 1, "one"), push("other", 1))
            assert (reply.push_ack.accepted, reply.push_ack.unreceived) == (3, 1)
            entries = []
            while len(entries) < 2:
                assert pull.poll(15000)
                delivery = wire.Delivery.FromString(pull.recv())
                assert delivery.generation == 0
                entries += delivery.pushes
        assert [(show(e), e.payload) for e in entries] == [(1, b"one"), (2, b"two")]


# ---- ways out of a gap ----------------------------------------------------------------------------

@pytest.mark.settings(SMALL_WINDOW)
def test_skip_gives_up_what_is_missing_and_announces_it(peer, receiver):
    receiver.attach("c")
    peer.push_all(push("c", seq) for seq in (1, 4, 6))
    assert place(peer.skip("c", 2, 5)) == (0, 6)
    assert receiver.show(6) == [("marker", 0), 1, ("gap", 2, 3), 4, ("gap", 5, 5), 6]


@pytest.mark.settings(SMALL_WINDOW)
def test_skip_reaches_as_far_as_the_window(peer, receiver):
    receiver.attach("c")
    assert place(peer.skip("c", 1, 1000)) == (0, 8)
    assert outcomes(peer.push(push("c", 9)), 1) == ["ACCEPTED"]
    assert receiver.show(3) == [("marker", 0), ("gap", 1, 8), 9]


def test_skip_in_another_epoch_changes_nothing(peer):
    peer.push_all([push("c", 1)])
    assert place(peer.skip("c", 2, 3, epoch=4)) == (0, 1)
    assert outcomes(peer.push(push("c", 2)), 1) == ["ACCEPTED"]


@pytest.mark.settings("delivery/ack_timeout=60000")
def test_reset_delivers_what_was_released_and_announces_what_was_held(broker, peer, receiver):
    receiver.attach("c")
    peer.push_all(push("c", seq) for seq in (1, 2, 5))
    assert place(peer.reset("c", 3, 10)) == (3, 9)
    peer.push_all([push("c", 10, "ten", epoch=3)])
    assert receiver.show(4) == [("marker", 0), 1, 2, ("gap", 3, 5)]
    assert receiver.delivery(0.2) is None, "the new epoch's marker could hide what is lost"
    receiver.ack(position("c", 5))
    assert [(e.epoch, show(e)) for e in receiver.take_raw(2)] == [(3, ("marker", 9)), (3, 10)]
    receiver.ack(position("c", 10, epoch=3))
    broker.wait_metric("queue_messages", 0, stage="retained")


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_reset_to_the_present_or_an_older_epoch_changes_nothing(peer, epoch):
    assert place(peer.reset("c", 2)) == (2, 0)
    peer.push_all([push("c", 1, epoch=2)])
    assert place(peer.reset("c", epoch, 50)) == (2, 1)
    assert outcomes(peer.push(push("c", 2, epoch=2)), 1) == ["ACCEPTED"]


@pytest.mark.settings("ordering/first_seq=100")
def test_first_seq_is_where_a_client_starts(peer, receiver):
    receiver.attach("c")
    assert outcomes(peer.push(push("c", 99), push("c", 100)), 2) == ["DUPLICATE", "ACCEPTED"]
    assert receiver.show(2) == [("marker", 99), 100]
    assert place(peer.reset("c", 1)) == (1, 99)
