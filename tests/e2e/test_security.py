"""CURVE: who gets in, what each key may ask for, and what becomes of the others."""
import os
import re
import resource
import signal
import subprocess
from pathlib import Path

import harness
import pytest
import wire
import zmq
from harness import SEQPUSHD, tool, wait_until
from peers import Curve, Peer, Receiver, outcomes, position, push
from realm import ENDPOINTS, Realm, section

@pytest.fixture
def realm(tmp_path):
    return Realm(tmp_path)


@pytest.fixture
def keys(realm):
    """A publisher and a receiver of the clients a-*, and an admin of all."""
    return {
        "publisher": realm.key("publisher", "publisher", clients="a-*"),
        "receiver": realm.key("receiver", "receiver", clients="a-*", receivers=["r1", "r2"],
                              endpoints=ENDPOINTS),
        "admin": realm.key("admin", "admin", clients="*", receivers="*"),
    }


@pytest.fixture
def secure(request, realm, keys, start_broker):
    """The broker of these keys."""
    settings = [s for mark in request.node.iter_markers("settings") for s in mark.args]
    broker = start_broker(*settings, config=realm.write())
    broker.keys = keys
    return broker


def auth(broker, result):
    return broker.metric("auth_total", result=result)


def is_let_in(broker, curve):
    """True if a peer gets an answer; False if it is turned away at a handshake, of which it tries more."""
    turned_away = (zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
                   | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_DISCONNECTED)
    with Peer(broker, curve=curve, watch=turned_away) as peer:
        peer.send(heartbeat=wire.Heartbeat())
        poller = zmq.Poller()
        poller.register(peer.monitor, zmq.POLLIN)
        poller.register(peer.front, zmq.POLLIN)
        news = dict(poller.poll(harness.DEADLINE * 1000))
        assert news, "neither let in nor turned away"
        peer.front.disable_monitor()
        return peer.front in news


# ---- the main job ------------------------------------------------------------------------------


def test_pushes_are_delivered_in_order_between_known_keys(secure):
    with Peer(secure, curve=secure.keys["publisher"]) as peer, \
            Receiver(secure, "r1", curve=secure.keys["receiver"]) as receiver:
        assert receiver.attach("a-1").attached.generation
        peer.push_all(push("a-1", seq) for seq in (2, 1, 4, 3, 5))
        assert [entry.seq for entry in receiver.take(5)] == [1, 2, 3, 4, 5]
    assert auth(secure, "admitted") == 2


def test_the_tool_pushes_and_receives_with_keys(realm, start_broker, tmp_path):
    publisher, receiver = realm.keygen("publisher"), realm.keygen("receiver")
    realm.sections["p"] = section("p", publisher, "publisher", clients="*")
    realm.sections["r"] = section("r", receiver, "receiver", clients="*", receivers="*",
                                  endpoints=ENDPOINTS)
    broker = start_broker(config=realm.write())
    to = ["--broker", broker.front, "--server-key", realm.server_key, "--key"]
    child = subprocess.Popen(
        [harness.SEQPUSH, "receive", "--client", "c", "--count", "100", *to,
         tmp_path / "receiver.key"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lines = b"".join(b"%d\n" % i for i in range(100))
    tool("push", "--client", "c", "--shuffle", "10", *to, tmp_path / "publisher.key", stdin=lines)
    out, errors = child.communicate(timeout=4 * harness.DEADLINE)
    assert child.returncode == 0, errors
    assert out == lines


def test_an_operator_with_a_key_skips_resets_and_detaches(realm, start_broker, tmp_path):
    keys = {role: realm.keygen(role) for role in ("admin", "receiver")}
    realm.sections["admin"] = section("admin", keys["admin"], "admin", clients="a-*", receivers="r*")
    realm.sections["receiver"] = section("receiver", keys["receiver"], "receiver", clients="a-*",
                                         receivers="r*", endpoints=ENDPOINTS)
    publisher = realm.key("publisher", "publisher", clients="*")
    gateway = realm.key("gateway", "receiver", clients="*", receivers="*", endpoints=ENDPOINTS)
    broker = start_broker(config=realm.write())

    def ask(role, *arguments):
        return tool(*arguments, "--broker", broker.front, "--server-key", realm.server_key, "--key",
                    tmp_path / f"{role}.key", check=False)

    with Peer(broker, curve=publisher) as peer, Receiver(broker, "r", curve=gateway) as receiver, \
            Receiver(broker, "other", curve=gateway) as other:
        receiver.attach("a-1", "a-2")
        other.attach("b-1")
        peer.push(push("a-1", 2))
        for arguments in (["detach", "r"], ["reset", "a-1", "1"]):
            refused = ask("receiver", *arguments)
            assert refused.returncode == 1 and b"refuses it: the key" in refused.stderr
        for arguments in (["detach", "other"], ["skip", "b-1", "1", "1"]):
            refused = ask("admin", *arguments)  # what its globs do not name
            assert refused.returncode == 1 and b"refuses it: the key" in refused.stderr
        strange = tmp_path / "strange.key"
        realm.keygen("strange")
        for arguments in (["detach", "r"], ["skip", "a-1", "1", "1"]):
            unknown = tool(*arguments, "--timeout", "1", "--broker", broker.front, "--server-key",
                           realm.server_key, "--key", strange, check=False)
            assert unknown.returncode == 1 and b"the key one that it knows?" in unknown.stderr
        assert ask("admin", "skip", "a-1", "1", "1").returncode == 0
        assert [entry.seq for entry in receiver.take(1)] == [2]
        assert ask("admin", "reset", "a-1", "1").returncode == 0
        assert ask("admin", "detach", "r", "a-2").stdout == b"detached from r\n"
        assert list(receiver.receive_unasked().detached.client_ids) == [b"a-2"]
        assert ask("admin", "detach", "r").stdout == b"r is detached\n"
        assert receiver.receive_unasked().detached.reason == "asked"
        assert broker.metric("receivers") == 1


def test_the_library_lets_only_the_broker_at_its_pull_socket(realm, start_broker, tmp_path):
    receiver = realm.keygen("receiver")
    realm.sections["r"] = section("r", receiver, "receiver", clients="*", receivers="*",
                                  endpoints=ENDPOINTS)
    broker = start_broker(config=realm.write())
    child = harness.Process(harness.SEQPUSH, "receive", "--client", "c", "--broker", broker.front,
                            "--server-key", realm.server_key, "--key", tmp_path / "receiver.key")
    try:
        endpoint = child.wait_for_line(r"attached as \S+ at (\S+)")[1]
        stranger = Curve(receiver)
        assert not is_let_in(endpoint, stranger)
        assert not is_let_in(endpoint, None)
    finally:
        child.signal(signal.SIGTERM)
        child.wait()


def test_a_route_with_a_key_is_delivered_encrypted(realm, start_broker):
    curve = Curve(realm.server_key)
    publisher = realm.key("p", "publisher", clients="*")
    pull = zmq.Context.instance().socket(zmq.PULL)
    pull.linger = 0
    curve.make_server(pull)
    pull.bind("tcp://127.0.0.1:*")
    route = ("delivery\n    route\n        match = \"*\"\n"
             f"        endpoint = {pull.LAST_ENDPOINT.decode()}\n"
             f"        server_key = \"{curve.public.decode()}\"\n")
    broker = start_broker(config=realm.write(route))
    with pull, Peer(broker, curve=publisher) as peer:
        peer.push_all([push("c", 1)])
        assert pull.poll(harness.DEADLINE * 1000)
        assert wire.Delivery.FromString(pull.recv()).pushes[0].seq == 1


# ---- who gets in -------------------------------------------------------------------------------


def test_who_has_no_key_or_an_unknown_one_is_turned_away(secure, realm):
    assert is_let_in(secure, secure.keys["publisher"])
    assert not is_let_in(secure, None)
    assert not is_let_in(secure, Curve(realm.server_key))
    assert not is_let_in(secure, Curve(zmq.curve_keypair()[0].decode(),
                                       (secure.keys["publisher"].public,
                                        secure.keys["publisher"].secret)))
    wait_until(lambda: auth(secure, "unknown_key") >= 1, "the unknown key to be counted")
    # A peer without CURVE may see first that it does not fit, and hang up.
    wait_until(lambda: auth(secure, "bad_handshake") + auth(secure, "unfinished_handshake") >= 2,
               "the bad handshakes to be counted")
    secure.wait_for_line("unknown key")


@pytest.mark.parametrize("thread", ["orderer", pytest.param(
    "front", marks=pytest.mark.settings("front/own_thread=1"))])
def test_a_key_that_is_taken_out_is_refused_at_once_and_a_new_one_let_in(secure, realm, thread):
    new = Curve(realm.server_key)
    with Peer(secure, curve=secure.keys["publisher"]) as peer:
        assert outcomes(peer.push(push("a-1", 1)), 1) == ["ACCEPTED"]
        assert not is_let_in(secure, new)
        del realm.sections["publisher"]
        realm.key("new", "publisher", curve=new, clients="a-*")
        realm.write()
        secure.signal(signal.SIGHUP)
        secure.wait_for_line("security/key has changed")
        wait_until(lambda: peer.heartbeat().error.code == "forbidden",
                   "the old key to be refused")
        assert auth(secure, "denied_key") >= 1
    wait_until(lambda: is_let_in(secure, new), "the new key to be let in")
    assert not is_let_in(secure, secure.keys["publisher"])
    with Peer(secure, curve=new) as peer:
        assert outcomes(peer.push(push("a-1", 2)), 1) == ["ACCEPTED"]


@pytest.mark.parametrize("thread", ["orderer", pytest.param(
    "front", marks=pytest.mark.settings("front/own_thread=1"))])
def test_a_receiver_whose_key_loses_a_right_receives_by_it_no_more(secure, realm, thread):
    realm.key("receiver", "receiver", curve=secure.keys["receiver"], clients=["a-2*"],
              receivers=["r1"], endpoints=ENDPOINTS)
    with Receiver(secure, "r1", curve=secure.keys["receiver"]) as receiver, \
            Peer(secure, curve=secure.keys["publisher"]) as peer:
        receiver.attach("a-1", prefix="a-2")
        peer.push(push("a-1", 1), push("a-2", 1))
        receiver.take(2)
        secure.wait_metric("queue_messages", 0, stage="retained")
        realm.write()
        secure.signal(signal.SIGHUP)
        assert receiver.receive_unasked().detached.reason == "timeout"
        assert outcomes(peer.push(push("a-1", 2), push("a-2", 2)), 2) == ["ACCEPTED"] * 2
        assert receiver.beat().error.code == "unknown_receiver"
        assert receiver.attach("a-1").error.code == "forbidden"
        receiver.attach(prefix="a-2")
        receiver.take(1)
        assert receiver.last[b"a-1"] == (0, 1) and receiver.last[b"a-2"] == (0, 2)
        secure.wait_metric("queue_messages", 1, stage="retained")  # of a-1


def test_a_reload_that_changes_nothing_for_a_key_leaves_its_sessions(secure, realm):
    with Receiver(secure, "r1", curve=secure.keys["receiver"]) as receiver, \
            Peer(secure, curve=secure.keys["publisher"]) as peer:
        receiver.attach("a-1")
        realm.key("another", "publisher", clients="b-*")
        realm.write()
        secure.signal(signal.SIGHUP)
        secure.wait_for_line("security/key has changed")
        assert receiver.beat().HasField("heartbeat")
        peer.push(push("a-1", 1))
        receiver.take(1)


def test_a_wrong_file_of_keys_leaves_the_keys_as_they_are(secure, realm):
    realm.sections["bad"] = section("bad", "x", "publisher")
    realm.write()
    secure.signal(signal.SIGHUP)
    secure.wait_for_line("the configuration stays as it is.*security/key/public")
    assert is_let_in(secure, secure.keys["publisher"])


@pytest.mark.parametrize("spare", range(3))
def test_a_reload_for_want_of_descriptors_lets_nobody_in(secure, realm, spare):
    """However far it comes: the keys are then those from before, or those of the file."""
    new = realm.key("new", "publisher", clients="*")
    realm.write()
    kept = resource.prlimit(secure.pid, resource.RLIMIT_NOFILE)
    used = {int(path.name) for path in Path(f"/proc/{secure.pid}/fd").iterdir()}
    free = [number for number in range(kept[0]) if number not in used][spare]
    resource.prlimit(secure.pid, resource.RLIMIT_NOFILE, (free, kept[1]))
    secure.signal(signal.SIGHUP)
    secure.wait_for_line("SIGHUP: the configuration ")
    resource.prlimit(secure.pid, resource.RLIMIT_NOFILE, kept)
    changed = "security/key has changed" in secure.log
    assert changed or spare < 2
    assert is_let_in(secure, secure.keys["publisher"])
    assert not is_let_in(secure, None)
    assert not is_let_in(secure, Curve(realm.server_key))
    assert is_let_in(secure, new) == changed


# ---- what a key may ask for --------------------------------------------------------------------


def test_a_publisher_may_push_for_its_clients_alone(secure):
    with Peer(secure, curve=secure.keys["publisher"]) as peer:
        reply = peer.push(push("a-1", 1), push("b-1", 1), push("a-1", 2), push("b-1", 0))
        assert outcomes(reply, 4) == ["ACCEPTED", "FORBIDDEN", "ACCEPTED", "FORBIDDEN"]
        # Nothing is told of the client, nor is it made.
        assert all(not r.next_seq and not r.window_end for r in reply.push_ack.rejected)
        assert secure.metric("clients") == 1
        assert peer.skip("b-1", 1, 1).error.code == "forbidden"
        assert peer.reset("b-1", 1).error.code == "forbidden"
        assert peer.reset("a-1", 1).position.epoch == 1
    assert auth(secure, "denied_client") == 4
    assert secure.metric("pushes_total", outcome="forbidden") == 2


def test_a_role_allows_nothing_of_another_role(secure):
    keys = secure.keys
    with Peer(secure, curve=keys["receiver"]) as peer:
        assert outcomes(peer.push(push("a-1", 1)), 1) == ["FORBIDDEN"]
        assert peer.skip("a-1", 1, 1).error.code == "forbidden"
    with Receiver(secure, "r1", curve=keys["publisher"]) as receiver:
        assert receiver.attach("a-1").error.code == "forbidden"
        assert receiver.beat().error.code == "forbidden"
        assert receiver.detach().error.code == "forbidden"
        receiver.ack(position("a-1", 1))
        assert receiver.receive().error.code == "forbidden"
    with Receiver(secure, "r1", curve=keys["admin"]) as receiver:
        assert receiver.attach("a-1").error.code == "forbidden"
        assert outcomes(receiver.push(push("a-1", 1)), 1) == ["FORBIDDEN"]
        assert receiver.skip("a-1", 1, 1).HasField("position")
    assert auth(secure, "denied_role") == 8


@pytest.mark.parametrize("prefix, allowed", [("a-", True), ("a-1", True), ("a", False),
                                             ("", False), ("b-", False)])
def test_a_prefix_is_allowed_if_all_its_clients_are(secure, prefix, allowed):
    with Receiver(secure, "r1", curve=secure.keys["receiver"]) as receiver:
        reply = receiver.attach(prefix=prefix)
        assert reply.HasField("attached") == allowed
        assert reply.error.code == ("" if allowed else "forbidden")


def test_a_receiver_may_have_its_ids_clients_and_endpoints_alone(secure):
    key = secure.keys["receiver"]
    with Receiver(secure, "other", curve=key) as receiver:
        assert receiver.attach("a-1").error.code == "forbidden"
    with Receiver(secure, "r1", curve=key) as receiver:
        assert receiver.attach("a-1", "b-1").error.code == "forbidden"
        assert receiver.attach("a-1", server_key="").error.code == "endpoint_refused"
        receiver.endpoint = "tcp://127.0.0.2:5000"
        assert receiver.attach("a-1").error.code == "endpoint_refused"
        assert secure.metric("receivers") == 0
    assert auth(secure, "denied_receiver") == 1
    assert auth(secure, "denied_client") == 1
    assert auth(secure, "denied_endpoint") == 1


def test_a_receiver_belongs_to_the_key_that_has_it(realm, start_broker):
    globs = {"clients": "*", "receivers": "*", "endpoints": ENDPOINTS}
    first, second = (realm.key(name, "receiver", **globs) for name in ("first", "second"))
    admin = realm.key("admin", "admin", clients="*", receivers="*")
    broker = start_broker(config=realm.write())
    with Receiver(broker, "r", curve=first) as owner, Receiver(broker, "r", curve=second) as thief:
        assert owner.attach("c").HasField("attached")
        assert thief.attach("c").error.code == "forbidden"  # the id
        thief.generation = owner.generation
        assert thief.beat().error.code == "forbidden"
        assert thief.detach().error.code == "forbidden"
        thief.name, thief.endpoint = b"thief", owner.endpoint
        assert thief.attach("c").error.code == "forbidden"  # the endpoint
        assert owner.beat().HasField("heartbeat")
        assert auth(broker, "denied_owner") == 4
        with Peer(broker, curve=admin) as operator:
            body = wire.Detach(receiver_id=b"r", generation=owner.generation)
            assert operator.ask(detach=body).detached.reason == "asked"
        thief.name = b"r"
        assert thief.attach("c").HasField("attached")


def test_who_comes_with_another_keys_routing_id_gets_nothing_that_was_for_it(realm, start_broker):
    first, second = (realm.key(name, "publisher", clients=f"{name}*") for name in ("x", "y"))
    reader = realm.key("r", "receiver", clients="*", receivers="*", endpoints=ENDPOINTS)
    broker = start_broker(config=realm.write())

    def connect(curve):
        peer = Peer.__new__(Peer)
        peer.front = zmq.Context.instance().socket(zmq.DEALER)
        peer.front.linger, peer.request_id, peer.unasked = 0, 0, []
        peer.front.routing_id = b"the same"
        curve.make_client(peer.front)
        peer.front.connect(broker.front)
        return peer

    with connect(first) as peer:
        assert outcomes(peer.push(push("x", 1), confirm=1), 1) == ["ACCEPTED"]
        with connect(second) as other:
            assert outcomes(other.push(push("x", 2), push("y", 1)), 2) == ["FORBIDDEN", "ACCEPTED"]
            with Receiver(broker, "r", curve=reader) as receiver:
                receiver.attach("x")
                receiver.take(1)
                broker.wait_metric("deliveries_total", 1, result="acknowledged")
            other.heartbeat()
            assert not other.unasked  # the confirmation was the other key's


def test_a_named_peer_that_crashed_and_comes_back_at_once_is_served(secure):
    """Its old connection may linger in the broker: the new one takes its place."""
    peers = []
    for seq in range(1, 4):
        peer = Peer.__new__(Peer)
        peer.front = zmq.Context.instance().socket(zmq.DEALER)
        peer.front.linger, peer.request_id, peer.unasked = 0, 0, []
        peer.front.routing_id = b"named"
        secure.keys["publisher"].make_client(peer.front)
        peer.front.connect(secure.front)
        peers.append(peer)
        assert outcomes(peer.push(push("a-1", seq)), 1) == ["ACCEPTED"]
    secure.wait_metric("connections", 3)
    for peer in peers:
        peer.close()
    secure.wait_metric("connections", 0)


# ---- secrets -----------------------------------------------------------------------------------


def check(*arguments):
    return subprocess.run([SEQPUSHD, *map(str, arguments)], capture_output=True, text=True,
                          timeout=harness.DEADLINE)


def test_a_secret_that_others_can_read_is_refused(realm):
    path = realm.folder / "broker.key"
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        done = check("--check-config", "--config", realm.write())
        assert done.returncode == 1
        assert "can be used by others" in done.stderr
    path.chmod(0o600)
    assert check("--check-config", "--config", realm.write()).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_secret_of_somebody_else_is_refused(realm):
    os.chown(realm.folder / "broker.key", 12345, -1)
    done = check("--check-config", "--config", realm.write())
    assert (done.returncode, "belongs to somebody else" in done.stderr) == (1, True)


@pytest.mark.parametrize("text", ["", "curve\n    public-key = \"x\"\n", "\0" * 100])
def test_a_file_without_keys_is_refused(realm, text):
    path = realm.folder / "broker.key"
    path.write_text(text)
    assert "has no public-key" in check("--check-config", "--config", realm.write()).stderr


def test_keys_that_are_no_pair_are_refused(realm):
    realm.keygen("other")
    mine, other = ((realm.folder / f"{name}.key").read_text().splitlines()
                   for name in ("broker", "other"))
    (realm.folder / "broker.key").write_text("\n".join([*mine[:-1], other[-1]]) + "\n")
    assert "no pair" in check("--check-config", "--config", realm.write()).stderr


def test_no_secret_is_printed_or_logged(realm, secure):
    secret = (realm.folder / "broker.key").read_text().split('secret-key = "')[1][:40]
    printed = check("--print-config", "--config", realm.folder / "seqpushd.conf")
    assert printed.returncode == 0 and "secret_file" in printed.stdout
    assert secret not in printed.stdout + printed.stderr + secure.log


def test_no_core_file_is_left_that_would_have_the_secret(secure):
    limits = Path(f"/proc/{secure.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)


def test_keygen_leaves_what_is_there_alone(tmp_path):
    tool("keygen", tmp_path / "x")
    before = (tmp_path / "x.key").read_text()
    assert (tmp_path / "x.key").stat().st_mode & 0o777 == 0o600
    assert tool("keygen", tmp_path / "x", check=False).returncode == 1
    assert (tmp_path / "x.key").read_text() == before
    (tmp_path / "x.key").unlink()
    assert tool("keygen", tmp_path / "x", check=False).returncode == 1
    assert not (tmp_path / "x.key").exists()


def test_an_address_that_others_reach_needs_curve(realm):
    for setting in "front/bind=tcp://0.0.0.0:*", "delivery/allow_endpoint=tcp://*:*":
        outside = ["--check-config", "--set", setting]
        assert check(*outside).returncode == 1
        assert check(*outside, "--config", realm.write()).returncode == 0
    route = "delivery\n    route\n        match = x\n        endpoint = tcp://10.0.0.1:1\n"
    done = check("--check-config", "--config", realm.write(route))
    assert done.returncode == 1 and "delivery/route/endpoint" in done.stderr


# ---- by the hundreds ---------------------------------------------------------------------------


def command(name, *arguments):
    done = subprocess.run([harness.ROOT / "tests/soak" / name, *arguments], capture_output=True,
                          text=True, timeout=20 * harness.DEADLINE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_hundreds_of_attempts_of_every_kind_let_nobody_in():
    assert "nobody was let in" in command("attack", "--attempts", "200")


def test_peers_that_come_and_go_leave_nothing_behind():
    assert " 0 pushes not accepted" in command("churn", "--seconds", "3")
