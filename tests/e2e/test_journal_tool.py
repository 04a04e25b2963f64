"""`seqpush journal`: what it says of a store, whole, damaged and in use."""
import json

import pytest
from harness import Broker, tool
from peers import Peer, Receiver, position, push

COUNT = 50


@pytest.fixture
def store(tmp_path):
    """The store of a broker that was killed: `a` 1 to 50, acknowledged to 10; `b` 2, behind a hole."""
    broker = Broker("journal/engine=lmdb", f"journal/path={tmp_path}/store")
    try:
        with Peer(broker) as peer, Receiver(broker) as receiver:
            peer.push_all([push("a", seq, f"payload {seq}") for seq in range(1, COUNT + 1)])
            peer.push_all([push("b", 2, b"\xff\0")])
            receiver.attach("a")
            receiver.take(COUNT, ack=False)
            receiver.ack(position("a", 10))
            receiver.beat()
        broker.stop()  # which keeps what was acknowledged
    finally:
        broker.kill()
    return tmp_path / "store"


def run(what, store, check=True):
    return tool("journal", what, store, "--json", check=check)


def records(store):
    return [json.loads(line) for line in run("dump", store).stdout.splitlines()]


def test_info_says_what_is_kept(store):
    info = json.loads(run("info", store).stdout)
    assert info["pushes"] == COUNT - 10 + 1
    assert info["clients"] == 2
    assert info["format"] == 2
    assert info["push_bytes"] > COUNT - 10
    assert info["file_bytes"] == (store / "data.mdb").stat().st_size
    text = tool("journal", "info", store).stdout.decode()
    assert f"pushes      {COUNT - 10 + 1} of " in text


def test_dump_has_every_record(store):
    pushes = [record for record in records(store) if record["record"] == "push"]
    assert [(p["client"], p["epoch"], p["seq"]) for p in pushes] == \
        [("a", 0, seq) for seq in range(11, COUNT + 1)] + [("b", 0, 2)]
    assert pushes[0]["payload"] == "payload 11"
    assert pushes[-1]["payload_base64"] == "/wA="
    at = next(r for r in records(store) if r["record"] == "position" and r["client"] == "a")
    assert (at["epoch"], at["seq"], at["acknowledged"]) == (0, 10, True)


def test_a_sound_store_is_verified(store):
    before = (store / "data.mdb").read_bytes()
    assert json.loads(run("verify", store).stdout)["pushes"] == COUNT - 10 + 1
    assert (store / "data.mdb").read_bytes() == before


def flip(store, what):
    data = bytearray((store / "data.mdb").read_bytes())
    for at in [i for i in range(len(data)) if data.startswith(what, i)]:
        data[at] ^= 1
    (store / "data.mdb").write_bytes(data)


@pytest.mark.parametrize("way", ["info", "verify", "dump"])
def test_a_damaged_record_is_told(store, way):
    flip(store, b"payload 42")
    done = run(way, store, check=False)
    assert done.returncode == 1
    assert b"checksum" in done.stderr and str(store).encode() in done.stderr


def test_a_store_that_was_cut_is_told(store):
    data = (store / "data.mdb").read_bytes()
    (store / "data.mdb").write_bytes(data[:len(data) // 2])
    done = run("verify", store, check=False)
    assert done.returncode == 1 and b"damaged" in done.stderr


def test_where_no_store_is_none_is_made(tmp_path):
    assert run("info", tmp_path / "none", check=False).returncode == 1
    assert run("verify", tmp_path, check=False).returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_use_is_left_alone(tmp_path, start_broker):
    start_broker("journal/engine=lmdb", f"journal/path={tmp_path}/store")
    done = run("info", tmp_path / "store", check=False)
    assert done.returncode == 1 and b"another process" in done.stderr


def test_wrong_use_is_told(tmp_path):
    assert tool("journal", "repair", tmp_path, check=False).returncode == 2
    assert tool("journal", "info", check=False).returncode == 2
