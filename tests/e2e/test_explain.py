"""Why a client does not move, over HTTP: one client, lists, the status, and what costs nobody."""
import base64
import json
import socket
import time
import urllib.error
from urllib.parse import quote

import pytest
from harness import DEADLINE, SANITIZED, wait_until
from peers import Peer, Receiver, position, push


def get(broker, path):
    return json.loads(broker.get(path))


def explain(broker, client):
    return get(broker, "/api/clients/" + quote(client, safe=""))


def refused(broker, path):
    """The status and the JSON of an answer that is not 200."""
    with pytest.raises(urllib.error.HTTPError) as error:
        broker.get(path)
    return error.value.code, json.loads(error.value.read())["error"]


def test_a_hole_is_explained_with_what_is_behind_it_and_what_to_do(broker, peer):
    peer.push(push("ann", 5, b"12345"), push("ann", 4))
    told = explain(broker, "ann")
    assert told["client"] == "ann" and told["state"] == "gap"
    assert told["why"].startswith("waits for seq 1 of epoch 0, missing for ")
    assert told["why"].endswith("; 2 pushes are held behind it")
    assert (told["epoch"], told["next_seq"]) == (0, 1)
    assert told["hole"]["from"] == 1 and told["hole"]["to"] == 3
    assert told["held"]["pushes"] == 2 and told["held"]["first_seq"] == 4
    assert told["held"]["bytes"] == broker.status()["orderer"]["held_bytes"]
    assert told["policy"]["name"] == "strict" and told["policy"]["rule"] == "*"
    assert told["receiver"]["kind"] == "nobody" and told["receiver"]["endpoint"] is None
    wait_until(lambda: explain(broker, "ann")["advice"], "an advice")
    assert "seqpush skip CLIENT 1 3" in explain(broker, "ann")["advice"]
    assert len(told["publishers"]) == 1
    peer.push(push("ann", 1), push("ann", 2), push("ann", 3))
    assert explain(broker, "ann")["hole"] is None
    assert explain(broker, "ann")["state"] == "unattached"


def test_repairs_that_were_asked_are_told(start_broker):
    broker = start_broker("ordering/repair_delay=1")
    with Peer(broker) as one, Peer(broker) as two:
        one.push(push("ann", 1))
        two.push(push("ann", 3))
        wait_until(lambda: explain(broker, "ann")["hole"]["repairs_asked"] > 1, "two repairs")
        told = explain(broker, "ann")
        assert len(set(told["publishers"])) == 2
        assert told["hole"]["repair_in_seconds"] < 6
        assert told["policy"]["repair_delay_seconds"] == 0.001


def test_what_its_receiver_keeps_is_explained(broker, peer, receiver):
    receiver.attach(position("ann", 0))
    peer.push(push("ann", 1), push("ann", 2))
    wait_until(lambda: explain(broker, "ann")["state"] == "unacknowledged", "the send")
    told = explain(broker, "ann")
    assert told["retained"] == 2 and told["unacknowledged"] == 2 and told["attached_by_name"]
    mine = told["receiver"]
    assert mine["receiver"] == "receiver" and mine["kind"] == "attached"
    assert mine["endpoint"] == receiver.endpoint and mine["generation"] == receiver.generation
    assert mine["worker"] is not None and mine["unacknowledged"] == 2
    receiver.take(2)
    wait_until(lambda: explain(broker, "ann")["state"] == "idle", "the ack")
    assert explain(broker, "ann")["acknowledged"] == {"epoch": 0, "seq": 2}


@pytest.mark.parametrize("client", [b"\x00", b"a/b?c=d&e#f%20 +", b"\xff\x00\xfe", b"x" * 64,
                                    "größe".encode()])
def test_ids_are_bytes(broker, peer, client):
    peer.push(push(client, 2))
    told = explain(broker, client)
    assert told["state"] == "gap"
    if "client" in told:
        assert told["client"].encode() == client
    else:
        assert base64.b64decode(told["client_base64"]) == client


def test_what_cannot_be_asked_is_told(broker):
    assert refused(broker, "/api/clients/nobody")[0] == 404
    for path in ["/api/clients/", "/api/clients/" + "x" * 65, "/api/clients/%", "/api/clients/%4",
                 "/api/clients/%zz", "/api/clients?limit=0", "/api/clients?limit=1001",
                 "/api/clients?limit=x", "/api/clients?limit=", "/api/clients?stuck=2",
                 "/api/clients?cursor=x", "/api/receivers?limit=-1"]:
        status, error = refused(broker, path)
        assert status == 400 and error, path


def test_clients_that_stand_still_come_first_and_pages_have_them_all(broker, peer):
    peer.push(*(push(f"stuck-{i}", 2) for i in range(50)))
    wait_until(lambda: explain(broker, "stuck-49")["still_seconds"] > 1.1, "the second to pass")
    peer.push(*(push(f"late-{i}", 2) for i in range(50)))
    seen, path = [], "/api/clients?limit=30"
    while path:
        page = get(broker, path)
        assert page["looked_at"] == 100 and page["whole"]
        seen += [row["client"] for row in page["clients"]]
        path = page["next"] and f"/api/clients?limit=30&cursor={page['next']}"
    assert len(seen) == len(set(seen)) == 100
    assert all(client.startswith("stuck-") for client in seen[:50])
    stuck = get(broker, "/api/clients?stuck=1&limit=1000")
    assert {row["client"] for row in stuck["clients"]} >= set(seen[:50])
    assert "missing for" in stuck["clients"][0]["why"]


def test_the_status_names_the_clients_that_stand_still_and_the_slow_receivers(broker, peer,
                                                                              receiver):
    receiver.attach(position("slow", 0))
    peer.push(push("slow", 1), push("ann", 2))
    wait_until(lambda: len(broker.stuck_clients()) == 2, "both to be listed")
    status = broker.status()
    assert {row["client"] for row in status["stuck_clients"]["clients"]} == {"slow", "ann"}
    slow = status["slow_receivers"]["receivers"]
    assert [row["receiver"] for row in slow] == ["receiver"] and slow[0]["waits_seconds"] >= 1
    listed = get(broker, "/api/receivers")["receivers"]
    assert [row["endpoint"] for row in listed] == [receiver.endpoint]


def test_the_status_has_rates_of_the_time_since_the_last_look(broker, peer, receiver):
    receiver.attach(prefix="")
    first = broker.status()["recent"]
    assert first["accepted_per_second"] == first["delivered_per_second"] == 0
    peer.push_all(push("ann", seq) for seq in range(1, 101))
    peer.push(push("ann", 1 << 40))
    receiver.take(100)
    wait_until(lambda: broker.metric("deliveries_total", result="acknowledged") == 100, "the acks")
    recent = broker.status()["recent"]
    assert recent["accepted_per_second"] * recent["seconds"] == pytest.approx(100)
    assert recent["refused_per_second"] * recent["seconds"] == pytest.approx(1)
    assert recent["delivered_per_second"] * recent["seconds"] == pytest.approx(100)
    assert recent["delivery"]["count"] == 100 and recent["enqueue"]["p99"] > 0

    def at_rest():
        return broker.status()["recent"]["accepted_per_second"] == 0
    wait_until(at_rest, "the rate to go down")


def test_requests_that_hang_cost_nobody(broker):
    """Some never end their headers, some read nothing of a large answer."""
    host, port = broker.http.rsplit(":", 1)
    hung = [socket.create_connection((host, int(port))) for _ in range(40)]
    for i, one in enumerate(hung):
        one.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + (b"\r\n" if i % 2 else b"X-Y: "))
    start = time.monotonic()
    assert broker.get("/healthz") == "ok\n"
    assert broker.status()["ready"]
    assert SANITIZED or time.monotonic() - start < DEADLINE / 3
    for one in hung:
        one.settimeout(DEADLINE)
        while one.recv(1 << 16):  # the server closes what is idle
            pass
        one.close()


def test_looking_at_many_clients_does_not_stop_those_who_push(start_broker):
    """While 20,000 clients are listed again and again, every push has its answer, and every list all."""
    clients = 2000 if SANITIZED else 20000
    broker = start_broker()
    with Peer(broker) as peer, Receiver(broker) as receiver:
        receiver.attach(prefix="")
        peer.push_all((push(f"client-{i}", 2) for i in range(clients)), batch=500)
        for seq in range(1, 11):
            pushed = peer.send(push={"pushes": [push("ann", seq)]})
            page = get(broker, "/api/clients?limit=1000")
            assert page["looked_at"] >= clients and page["whole"] and len(page["clients"]) == 1000
            assert peer.reply_to(pushed).push_ack.accepted == 1
        assert receiver.take(10)
