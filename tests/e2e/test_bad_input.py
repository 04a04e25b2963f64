"""What a broken or hostile peer may send: it is counted and answered, and nobody else notices."""
import random

import pytest
import wire
import zmq
from harness import DEADLINE, SANITIZED, wait_until
from peers import Peer, Receiver, outcomes, push

# Honest receivers say nothing while the others are busy.
pytestmark = pytest.mark.settings("delivery/receiver_timeout=600000")

SEED = 4711
MIB = 1024 * 1024


@pytest.fixture
def honest(broker):
    """Pushes through the same broker before and after, and sees that all comes in order."""
    with Peer(broker) as peer, Receiver(broker, "honest") as receiver:
        receiver.attach("honest")
        peer.push_all([push("honest", 1)])
        assert [e.seq for e in receiver.take(1)] == [1]
        yield peer
        peer.push_all(push("honest", seq) for seq in range(2, 101))
        assert [e.seq for e in receiver.take(99)] == list(range(2, 101))
        assert receiver.ahead == 0


def count_replies(peer, expected):
    """Reads as many replies; returns how many of them are Errors."""
    errors = 0
    for _ in range(expected):
        reply = peer.receive()
        assert reply, "a reply is missing"
        errors += reply.WhichOneof("body") == "error"
    return errors


def test_random_frames_are_answered_and_counted(broker, peer, honest):
    dice = random.Random(SEED)
    frames = [dice.randbytes(dice.randrange(1, 200)) for _ in range(5000)]
    for frame in frames:
        peer.send_raw(b"", b"\x7f" + frame)  # starts with a wire type that does not exist
    errors = sum(1 for _ in frames if peer.front.poll(DEADLINE * 1000) and
                 wire.Reply.FromString(peer.front.recv_multipart()[1]).error.code == "malformed")
    assert errors == len(frames)
    assert broker.metric("errors_total", code="malformed") == len(frames)


def test_mutated_requests_break_nothing(broker, peer, honest):
    dice = random.Random(SEED)
    batch = wire.PushBatch(pushes=[push(f"m{i}", i + 1, bytes(20)) for i in range(5)])
    attach = wire.Attach(receiver_id=b"m", endpoint="tcp://127.0.0.1:9", client_prefix=b"m")
    good = [wire.Request(request_id=1, push=batch).SerializeToString(),
            wire.Request(request_id=1, attach=attach).SerializeToString(),
            wire.Request(request_id=1, skip=wire.Skip(client_id=b"m", to=5)).SerializeToString()]
    for _ in range(5000):
        frame = bytearray(dice.choice(good))
        for _ in range(dice.randrange(1, 4)):
            frame[dice.randrange(len(frame))] = dice.randrange(256)
        peer.send_raw(bytes(frame))
    peer.request_id = 1000
    assert peer.heartbeat().WhichOneof("body") == "heartbeat"


def test_every_truncation_of_a_request_is_answered(broker, peer, honest):
    request = wire.Request(request_id=9, push=wire.PushBatch(
        pushes=[push("t", 1, b"payload", epoch=300), push("t", 2, b"payload")]))
    encoded = request.SerializeToString()
    for size in range(1, len(encoded)):
        peer.send_raw(encoded[:size])
    count_replies(peer, len(encoded) - 1)
    assert broker.metric("errors_total", code="malformed") > len(encoded) / 2
    assert broker.metric("pushes_total", outcome="accepted") <= 3


# Field 1 (push) of a Request with each wire type, then fields inside with the wrong one.
WRONG_TYPES = {
    "varint for a batch": b"\x08\x01",
    "fixed64 for a batch": b"\x09" + bytes(8),
    "group": b"\x0b\x0c",
    "fixed32 for a batch": b"\x0d" + bytes(4),
    "no such wire type": b"\x0f",
    "field number 0": b"\x02\x00",
    "varint for a push": b"\x0a\x02\x08\x01",
    "varint for a client id": b"\x0a\x04\x0a\x02\x08\x01",
    "bytes for a seq": b"\x0a\x06\x0a\x04\x1a\x02ab",
    "fixed64 for a seq": b"\x0a\x0b\x0a\x09\x19" + bytes(8),
    "varint of eleven bytes": b"\x0a\x0e\x0a\x0c\x18" + b"\xff" * 10 + b"\x01",
    "length beyond the frame": b"\x0a\xff\xff\xff\xff\x07abc",
}


@pytest.mark.parametrize("frame", WRONG_TYPES.values(), ids=WRONG_TYPES)
def test_wrong_wire_types_are_malformed(broker, peer, honest, frame):
    peer.send_raw(frame)
    assert peer.receive().error.code == "malformed"
    assert broker.metric("errors_total", code="malformed") == 1


def test_client_ids_of_no_and_of_too_many_bytes_are_invalid(broker, peer, honest):
    before = broker.metric("pushes_total", outcome="accepted")
    reply = peer.push(push("", 1), push("c" * 65, 1), push("c" * 64, 1), push("c" * 2000, 1))
    assert outcomes(reply, 4) == ["INVALID", "INVALID", "ACCEPTED", "INVALID"]
    assert broker.metric("pushes_total", outcome="invalid") == 3
    assert broker.metric("pushes_total", outcome="accepted") == before + 1


# Fields that are small on the wire and large in memory: a million of them in a frame.
SWELLING = {
    "pushes of a batch": (b"\x0a", b"\x0a\x00" * 1000000),
    "clients of an attach": (b"\x12", b"\x0a\x01r" + b"\x1a\x00" * 1000000),
    "positions of an ack": (b"\x22", b"\x0a\x01r" + b"\x1a\x00" * 1000000),
    "clients of a detach": (b"\x1a", b"\x0a\x01r" + b"\x12\x00" * 1000000),
}


@pytest.mark.parametrize("tag, body", SWELLING.values(), ids=SWELLING)
def test_a_million_empty_fields_are_refused_whole_and_take_little_memory(
        broker, peer, honest, tag, body):
    frame = tag + encode_varint(len(body)) + body + b"\x78\x05"
    peer.send_raw(frame)
    reply = peer.receive()
    assert reply.error.code == "invalid" and reply.request_id == 5
    assert broker.metric("errors_total", code="invalid") == 1
    before = broker.memory()
    for _ in range(20):
        peer.send_raw(frame)
        assert peer.receive().error.code == "invalid"
    assert broker.memory() - before < 32 * MIB  # a frame and what one request may unpack


def encode_varint(value):
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes(encoded) + bytes([value])


@pytest.mark.settings("front/max_payload=1048576")
def test_an_oversized_frame_costs_its_sender_the_connection(broker, peer, honest):
    peer.heartbeat()
    with peer.front.get_monitor_socket(zmq.EVENT_DISCONNECTED) as monitor:
        peer.send_raw(bytes(4 * MIB + 65536 + 1))
        assert monitor.poll(DEADLINE * 1000), "the connection stayed"
    peer.front.disable_monitor()
    assert peer.heartbeat(), "the peer cannot connect again"


def test_multipart_frames_are_malformed(broker, peer, honest):
    request = wire.Request(request_id=1, heartbeat=wire.Heartbeat()).SerializeToString()
    cases = [(request, request), (b"", request, request), (b"x", request), (b"", b"", request)]
    for frames in cases:
        peer.send_raw(*frames)
        reply = wire.Reply.FromString(peer.front.recv_multipart()[-1])
        assert reply.error.code == "malformed"
    assert broker.metric("errors_total", code="malformed") == len(cases)


@pytest.mark.settings("ordering/max_clients=1000")
def test_a_peer_that_names_ever_new_clients_takes_bounded_memory(broker, peer, honest):
    def flood(name):
        for i in range(0, 2000 if SANITIZED else 20000, 50):
            peer.skip(f"{name}{i}", 1, 1)
            peer.push(*(push(f"{name}{k}", 5, bytes(100)) for k in range(i, i + 50)))

    flood("a")
    before = broker.memory()
    flood("b")
    assert broker.metric("clients") <= 1000
    assert broker.memory() - before < 8 * MIB


@pytest.mark.settings("front/publisher_credit=1024")
def test_a_peer_that_reads_no_replies_loses_only_its_own(broker, honest):
    context = zmq.Context()
    deaf = context.socket(zmq.DEALER)
    deaf.linger, deaf.rcvhwm, deaf.sndhwm = 0, 1, 0
    deaf.setsockopt(zmq.RCVBUF, 4096)
    deaf.connect(broker.front)
    body = wire.Request(heartbeat=wire.Heartbeat(receiver_id=b"x" * 64)).SerializeToString()
    for _ in range(200000):
        deaf.send(body)
    with Peer(broker) as other:
        wait_until(lambda: other.heartbeat() and broker.metric(
            "errors_total", code="unknown_receiver") == 200000, "all requests to be read")
    assert broker.metric("replies_total", result="full") > 0
    assert broker.memory() < 256 * MIB
    context.destroy(linger=0)
