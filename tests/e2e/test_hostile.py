"""What a peer, a log reader or a small machine may do to the broker beside sending bad requests."""
import ctypes
import functools
import itertools
import os
import resource
import secrets
import signal
import socket
import struct
import subprocess
import time

import harness
import pytest
import wire
import zmq
from debugger import Stopped
from harness import DEADLINE, SANITIZED, SEQPUSHD, wait_until
from peers import CONTEXT, Peer, Receiver, outcomes, push

MIB = 1024 * 1024
DESCRIPTORS = 128


def attach_elsewhere(peer, number, client=None):
    """Attaches a receiver whose endpoint is one of many, at which nobody listens."""
    body = wire.Attach(receiver_id=b"r%d" % number, endpoint=f"tcp://127.0.0.1:{number + 1}")
    if client:
        body.clients.add(client_id=client)
    return peer.ask(attach=body)


def test_endpoints_beyond_the_descriptors_are_refused_and_the_others_served(
        start_broker, monkeypatch, tmp_path):
    few = tmp_path / "seqpushd"
    few.write_text(f'#!/bin/sh\nulimit -n {DESCRIPTORS}\nexec "{SEQPUSHD}" "$@"\n')
    few.chmod(0o755)
    monkeypatch.setattr(harness, "SEQPUSHD", few)
    broker = start_broker()
    with Peer(broker) as storm, Peer(broker) as peer, Receiver(broker, "honest") as receiver:
        receiver.attach("honest")
        codes = [attach_elsewhere(storm, i).error.code for i in range(4 * DESCRIPTORS)]
        assert codes[0] == "" and codes[-1] == "overloaded"
        peer.push_all(push("honest", seq) for seq in range(1, 101))
        assert [entry.seq for entry in receiver.take(100)] == list(range(1, 101))


def test_a_log_that_nobody_reads_holds_up_nothing():
    """A pipe of standard error has room for 64 KiB; the rest of the log is lost, not waited for."""
    broker = subprocess.Popen(
        [SEQPUSHD, "--set", "front/bind=tcp://127.0.0.1:*", "--set", "http/bind=",
         "--set", "log/level=debug", "--set", "broker/drain_timeout=100"],
        stderr=subprocess.PIPE, text=True)
    try:
        front = next(line for line in broker.stderr if "ready" in line).split("front=")[1].split()[0]
        with Peer(front) as peer:
            for i in range(2000):  # each a new session, with lines of its own
                endpoint = f"tcp://127.0.0.1:{1 + i % 2}"
                peer.send(attach=wire.Attach(receiver_id=b"r", endpoint=endpoint))
                if i % 100 == 0:
                    assert peer.heartbeat()
            assert peer.heartbeat()
        broker.send_signal(signal.SIGTERM)
        assert broker.wait(DEADLINE) == 0
    finally:
        broker.kill()
        broker.stderr.close()


@pytest.mark.settings("ordering/memory_max=16777216")
def test_a_kept_push_does_not_keep_what_else_was_in_its_frame(broker, peer):
    unknown = b"\x7a" + b"\x80\x80\x40" + bytes(MIB)  # field 15 of a batch: 1 MiB of nothing
    before = broker.memory()
    for seq in range(2, 202):  # held, since 1 is missing
        batch = wire.PushBatch(pushes=[push("c", seq)]).SerializeToString() + unknown
        peer.send_raw(b"\x0a" + varint(len(batch)) + batch)
        assert peer.receive().push_ack.accepted == 1
    assert broker.metric("queue_messages", stage="held") == 200
    assert broker.memory() - before < 32 * MIB


def varint(value):
    encoded = bytearray()
    while value > 0x7f:
        encoded.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def test_a_receiver_is_told_of_a_takeover_on_its_latest_connection(broker):
    with Receiver(broker, "first") as receiver, Receiver(broker, "second") as second:
        receiver.attach("c")
        receiver.front.close()
        receiver.front = CONTEXT.socket(zmq.DEALER)
        receiver.front.linger = 0
        receiver.front.connect(broker.front)
        receiver.attach("c")
        second.attach("c")
        told = receiver.receive_unasked().detached
        assert (told.reason, list(told.client_ids)) == ("taken_over", [b"c"])
        assert told.generation == receiver.generation


@pytest.mark.skipif(SANITIZED, reason="sanitizers have threads of their own")
@pytest.mark.settings("workers/send_hwm=1", "delivery/ack_timeout=60000")
def test_endpoints_that_take_nothing_cost_next_to_no_processor_time(broker, peer):
    count, seconds = 300, 3
    for i in range(count):
        attach_elsewhere(peer, i, client=b"c%d" % i)
    for seq in range(1, 4):
        peer.push_all(push(f"c{i}", seq) for i in range(count))
    wait_until(lambda: sum(worker["endpoints_blocked"] for worker in broker.status()["workers"])
               == count, "all endpoints to block")
    before = broker.processor_time()
    time.sleep(seconds)  # the interval that is measured
    assert broker.processor_time() - before < 0.2 * seconds


def test_a_clean_stop_leaves_nothing_of_a_route_behind(start_broker, tmp_path):
    """What ZeroMQ has taken for a route goes out while the broker ends, though it stops at once."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        endpoint = f"tcp://127.0.0.1:{reserved.getsockname()[1]}"
    config = tmp_path / "seqpushd.conf"
    config.write_text("delivery\n    route\n        match = \"*\"\n"
                      f"        endpoint = {endpoint}\n")
    broker = start_broker("broker/drain_timeout=10000", config=config)
    with Peer(broker) as peer:
        peer.push_all(push("c", seq) for seq in range(1, 2001))
    os.kill(broker.pid, signal.SIGTERM)
    broker.wait_for_line("stopping")
    with CONTEXT.socket(zmq.PULL) as pull:  # a receiver that comes late
        pull.linger = 0
        pull.bind(endpoint)
        seqs = []
        while len(seqs) < 2000 and pull.poll(DEADLINE * 1000):
            seqs += [e.seq for e in wire.Delivery.FromString(pull.recv()).pushes]
    assert seqs == list(range(1, 2001))
    assert broker.wait() == 0


# ---- connections -------------------------------------------------------------------------------


def connect(broker):
    """A TCP connection to the front that says nothing."""
    host, port = broker.front.removeprefix("tcp://").split(":")
    return socket.create_connection((host, int(port)), DEADLINE)


def is_closed(connection):
    """Waits until the broker has hung up."""
    connection.settimeout(DEADLINE)
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


def shake_hands(broker, routing_id=b""):
    """A connection to the front as a DEALER that has chosen its routing id, whatever ZeroMQ's own allow."""
    def named(name, value):
        return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
    ready = b"\x05READY" + named(b"Socket-Type", b"DEALER") + named(b"Identity", routing_id)
    connection = connect(broker)
    connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\0" + b"NULL".ljust(20, b"\0") + bytes(32)
                       + b"\x06" + struct.pack(">Q", len(ready)) + ready)
    greeting = b""
    while len(greeting) < 64:
        greeting += connection.recv(64 - len(greeting))
    frame(connection)  # its READY
    return connection


def frame(connection):
    """The next frame of ZMTP, None if the broker has hung up."""
    stream = connection.makefile("rb", buffering=0)
    try:
        flags = stream.read(1)
        size = struct.unpack(">Q", stream.read(8))[0] if flags and flags[0] & 2 else stream.read(1)
        return stream.read(size if isinstance(size, int) else size[0]) if size else None
    except ConnectionResetError:
        return None


def beats(connection):
    """Sends a heartbeat. True if it is answered, False if the broker hangs up."""
    request = wire.Request(request_id=7, heartbeat=wire.Heartbeat()).SerializeToString()
    connection.sendall(bytes([0, len(request)]) + request)
    return frame(connection) is not None


def test_a_peer_whose_routing_id_is_too_long_is_turned_away(broker, peer):
    """Cut to a length of one byte, it would be another peer's, who would get its replies."""
    assert beats(shake_hands(broker, bytes(range(5))))
    connection = shake_hands(broker, bytes(range(5)) + bytes(256))
    assert not beats(connection)
    assert not beats(shake_hands(broker, bytes(1 << 20)))
    broker.wait_metric("connections_refused_total", 2)
    assert peer.heartbeat().HasField("heartbeat")


def test_the_routing_ids_that_are_given_out_cannot_be_guessed_from_the_time_of_the_start(broker, peer):
    """A peer that had the next one would end the process."""
    libc = ctypes.CDLL("libc.so.6")
    start = peer.heartbeat().instance // 1000000
    guesses = set()
    for seed in (1, start - 1, start, start + 1):
        libc.srandom(seed)
        drawn = [libc.random() for _ in range(40)]
        guesses |= {(low | high << 31) + 3 & 0xffffffff for low, high in itertools.pairwise(drawn)}
    held = [shake_hands(broker, b"\0" + struct.pack(">I", guess)) for guess in guesses]
    assert all(beats(shake_hands(broker)) for _ in range(8))
    for connection in held:
        connection.close()


@pytest.mark.settings("front/max_connections=4")
def test_peers_that_are_gone_are_remembered_up_to_a_bound(broker):
    for _ in range(8):
        with Peer(broker) as peer:
            peer.heartbeat()
        broker.wait_metric("connections", 0)
    assert not beats(shake_hands(broker))
    assert broker.metric("connections_refused_total") == 1
    wait_until(lambda: beats(shake_hands(broker)), "the others to be forgotten")


def test_a_peer_is_forgotten_soon_after_its_connection_ends(broker, peer):
    """The one that stays is not, though it says nothing: it may be waiting for a confirmation."""
    peer.heartbeat()
    for number in range(20):
        with named(broker, b"the same") if number % 2 else Peer(broker) as visitor:
            visitor.heartbeat()
    wait_until(lambda: broker.status()["front"]["peers"] > 1, "those that are gone to be counted")
    wait_until(lambda: broker.status()["front"]["peers"] <= 1, "those that are gone to be forgotten")
    assert broker.status()["front"]["peers"] == 1


def test_large_frames_of_one_peer_do_not_hold_up_the_others(broker, peer):
    """Whatever is in them: they are refused, as these are, or not."""
    frames, empty = 12, b"\x0a\0" * (2 << 20)
    with Peer(broker) as another:
        another.heartbeat()
        before = broker.metric("errors_total", code="invalid")
        with Stopped(broker.pid, "orderer"):
            for _ in range(frames):
                peer.send_raw(b"\x0a" + varint(len(empty)) + empty)
            request_id = another.send(heartbeat=wire.Heartbeat())
        assert another.reply_to(request_id)
        assert broker.metric("errors_total", code="invalid") - before < frames


@pytest.mark.settings("front/handshake_timeout=500")
def test_half_open_handshakes_are_ended_and_hold_up_nobody(broker, peer):
    count = 1000
    half_open = [connect(broker) for _ in range(count)]
    for i, connection in enumerate(half_open):
        if i % 2:
            connection.send(b"\xff\0\0\0\0\0\0\0\1\x7f")  # half a greeting
    peer.push_all(push("c", seq) for seq in range(1, 101))
    assert all(is_closed(connection) for connection in half_open)
    broker.wait_metric("auth_total", count, result="unfinished_handshake")
    broker.wait_metric("connections", 1)
    for connection in half_open:
        connection.close()


@pytest.mark.settings("front/max_connections=20")
def test_connections_beyond_the_bound_are_closed_and_the_others_served(broker, peer):
    peer.heartbeat()
    idle = [connect(broker) for _ in range(60)]
    wait_until(lambda: broker.metric("connections_refused_total") >= 41, "the rest to be refused")
    broker.wait_metric("connections", 20)
    peer.push_all(push("c", seq) for seq in range(1, 11))
    for connection in idle:
        connection.close()
    broker.wait_metric("connections", 1)
    with Peer(broker) as another:
        assert another.heartbeat()


@pytest.mark.settings("delivery/max_receivers=2")
def test_a_receiver_beyond_the_bound_is_refused_until_one_goes(broker, peer):
    first, second, third = (Receiver(broker, f"receiver-{i}") for i in range(3))
    assert first.attach("a").HasField("attached") and second.attach("b").HasField("attached")
    refused = third.attach("c")
    assert refused.error.code == "overloaded" and refused.error.message
    assert broker.metric("errors_total", code="overloaded") == 1 and broker.metric("receivers") == 2
    first.detach()
    wait_until(lambda: third.attach("c").HasField("attached"), "room for another")
    peer.push(push("c", 1))
    assert third.show(2) == [("marker", 0), 1]
    for receiver in first, second, third:
        receiver.close()


def start_with_few_descriptors(start_broker, monkeypatch, folder, *settings, config=None):
    few = folder / "seqpushd"
    few.write_text(f'#!/bin/sh\nulimit -n {DESCRIPTORS}\nexec "{SEQPUSHD}" "$@"\n')
    few.chmod(0o755)
    monkeypatch.setattr(harness, "SEQPUSHD", few)
    return start_broker(*settings, config=config)


@pytest.mark.skipif(SANITIZED, reason="sanitizers have threads of their own")
def test_more_connections_than_descriptors_cost_no_processor_time(
        start_broker, monkeypatch, tmp_path):
    """At the last descriptor libzmq's I/O thread would spin."""
    broker = start_with_few_descriptors(start_broker, monkeypatch, tmp_path)
    with Peer(broker) as peer:
        peer.heartbeat()
        idle = [connect(broker) for _ in range(4 * DESCRIPTORS)]
        wait_until(lambda: broker.metric("connections_refused_total") > 3 * DESCRIPTORS,
                   "the rest to be refused")
        before, seconds = broker.processor_time(), 2
        time.sleep(seconds)  # the interval that is measured
        assert broker.processor_time() - before < 0.2 * seconds
        peer.push_all(push("c", seq) for seq in range(1, 11))
        for connection in idle:
            connection.close()
        with Peer(broker) as another:
            assert another.heartbeat()


def test_a_reload_and_the_log_work_when_no_more_connections_are_let_in(
        start_broker, monkeypatch, tmp_path):
    config = tmp_path / "seqpushd.conf"
    config.write_text("workers\n    count = 1\n")
    broker = start_with_few_descriptors(start_broker, monkeypatch, tmp_path, config=config)
    idle = [connect(broker) for _ in range(4 * DESCRIPTORS)]
    broker.wait_for_line("a connection beyond front/max_connections or the descriptors is refused")
    config.write_text("workers\n    count = 2\n")
    broker.signal(signal.SIGHUP)
    broker.wait_for_line("2 workers run")
    for connection in idle:
        connection.close()


def test_the_front_serves_again_when_there_are_descriptors_again(broker, peer):
    """The broker counts, so that it does not come to this: here others have taken them."""
    peer.heartbeat()
    limits = resource.prlimit(broker.pid, resource.RLIMIT_NOFILE)
    taken = max(int(number) for number in os.listdir(f"/proc/{broker.pid}/fd"))
    resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (taken + 1, limits[1]))
    waiting = [connect(broker) for _ in range(8)]
    assert peer.push(push("c", 1)).push_ack.accepted == 1
    resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, limits)
    with Peer(broker) as another:
        assert another.heartbeat().HasField("heartbeat")
    for connection in waiting:
        connection.close()


@pytest.mark.parametrize("round_", range(3))
def test_a_publisher_that_is_killed_while_the_front_is_slow_harms_nobody(broker, round_):
    publisher = subprocess.Popen([harness.SEQPUSH, "push", "--client", "c", "--clients", "100",
                                  "--broker", broker.front], stdin=subprocess.PIPE)
    publisher.stdin.write(b"x\n" * 20000)
    publisher.stdin.flush()
    wait_until(lambda: broker.metric("pushes_total", outcome="accepted"), "pushes to come in")
    broker.signal(signal.SIGSTOP)
    publisher.kill()
    publisher.wait()
    publisher.stdin.close()
    broker.signal(signal.SIGCONT)
    with Peer(broker) as peer:
        assert outcomes(peer.push(push("another", 1)), 1) == ["ACCEPTED"]
    broker.wait_metric("connections", 0)


def named(broker, name):
    peer = Peer(broker)
    endpoint = peer.front.LAST_ENDPOINT
    peer.front.disconnect(endpoint)
    peer.front.routing_id = name
    peer.front.connect(endpoint)
    return peer


def test_without_curve_nobody_takes_the_place_of_a_peer_by_its_routing_id(broker):
    with named(broker, b"same") as first, named(broker, b"same") as second:
        assert outcomes(first.push(push("c", 1)), 1) == ["ACCEPTED"]
        second.send(heartbeat=wire.Heartbeat())
        for seq in range(2, 12):
            assert outcomes(first.push(push("c", seq)), 1) == ["ACCEPTED"]
        assert second.receive(deadline=0.1) is None


# ---- floods ------------------------------------------------------------------------------------


def test_a_message_of_many_parts_is_refused_and_the_next_one_taken(broker, peer):
    peer.send_raw(*[b"part"] * 10000)
    assert peer.receive().error.code == "malformed"
    assert outcomes(peer.push(push("c", 1)), 1) == ["ACCEPTED"]


@pytest.mark.settings("front/max_unread=65536")
def test_a_peer_that_does_not_read_costs_no_more_than_its_bound(broker, peer):
    """Each of its requests is answered with some KiB of rejections."""
    batch = wire.PushBatch(pushes=[push("x" * 64, 1 << 60)] * 1000).SerializeToString()
    request = b"\x0a" + varint(len(batch)) + batch
    with CONTEXT.socket(zmq.DEALER) as mute:
        mute.linger, mute.rcvhwm, mute.rcvbuf = 0, 1, 4096
        mute.connect(broker.front)

        def replies(*results):
            return sum(broker.metric("replies_total", result=result) for result in results)

        def flood(count):
            """Returns how many of so many requests got a reply that was sent."""
            sent, answered = replies("sent"), replies("sent", "full")
            for _ in range(count):
                mute.send(request)
            wait_until(lambda: replies("sent", "full") == answered + count, "requests to be taken")
            return replies("sent") - sent

        wait_until(lambda: flood(300) == 0, "the connection to take nothing")
        before = broker.memory()
        assert flood(2000) == 0
        assert broker.memory() - before < 16 * MIB
        peer.push_all(push("c", seq) for seq in range(1, 11))


def test_a_reply_that_is_read_is_not_counted_as_unread(start_broker):
    broker = start_broker("front/max_unread=65536")
    with Peer(broker) as peer:
        for _ in range(200):  # some MiB of replies
            assert peer.push(*[push("x" * 64, 1 << 60)] * 1000).push_ack.rejected
    assert broker.metric("replies_total", result="full") == 0


# ---- crafted ids -------------------------------------------------------------------------------


def colliding(step, start=5381, blocks=15):
    """2^15 ids that a hash without a key, `step (hash, byte)` for each byte, cannot tell apart: in each
    place one of two blocks, after both of which the hash is the same."""
    ids, state = [b""], start
    for _ in range(blocks):
        seen = {}
        for block in itertools.product(b"0123456789abcdefghijklmnopqrstuvwxyz"
                                       b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", repeat=2):
            after = functools.reduce(step, block, state)
            if after in seen:
                break
            seen[after] = block
        ids = [id_ + bytes(tail) for id_ in ids for tail in (seen[after], block)]
        state = after
    return ids


MASK = 0xffffffff
UNKEYED = {"times 33, plus": lambda hash_, byte: (33 * hash_ + byte) & MASK,
           "times 33, xor": lambda hash_, byte: (33 * hash_ ^ byte) & MASK}


@pytest.mark.parametrize("step", UNKEYED.values(), ids=UNKEYED)
def test_ids_that_are_crafted_to_collide_cost_what_others_do(broker, peer, step):
    """In a table by such a hash each of them would be compared with all the others."""
    crafted = colliding(step)
    assert len({functools.reduce(step, id_, 5381) for id_ in crafted}) == 1
    assert len(set(crafted)) == len(crafted) == 32768
    others = [secrets.token_bytes(len(crafted[0])) for _ in crafted]

    def cost(ids):
        before = broker.processor_time()
        peer.push_all(push(id_, 1) for id_ in ids)
        return broker.processor_time() - before

    usual = cost(others)
    assert cost(crafted) < 3 * usual + 1
    assert broker.metric("clients") == 2 * len(crafted)
