"""The HTTP side: what it answers while the orderer stands still, while peers hang, and at what cost."""
import base64
import contextlib
import hashlib
import json
import re
import select
import socket
import urllib.request

import pytest
from debugger import Stopped
from harness import DEADLINE, wait_until
from peers import push

GUESTS = 64  # connections that may stay


def connect(broker, request):
    """A connection over which this was sent."""
    host, port = broker.http.rsplit(":", 1)
    sock = socket.create_connection((host, int(port)), DEADLINE)
    sock.sendall(request)
    return sock


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


def is_answered(sock):
    return bool(select.select([sock], [], [], 0)[0])


def read_all(sock):
    """What comes until the broker hangs up."""
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while more := sock.recv(1 << 16):
            answer += more
    return answer


@pytest.fixture
def hanging(broker):
    """100 connections with half a request."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connect(broker, b"GET /metrics HTTP/1.1\r\nX-Y: "))
               for _ in range(100)]


def answers_all_while_one_waits(broker, asked):
    """Asks for what needs no orderer while an answer of it is awaited. False if that came first."""
    with connect(broker, get(asked)) as waiting:
        assert broker.get("/healthz") == "ok\n"
        assert "seqpush_clients" in broker.get("/metrics")
        assert broker.status()["ready"]
        if is_answered(waiting):
            return False
        assert read_all(waiting).startswith(b"HTTP/1.1 503 ")
        return True


@pytest.mark.parametrize("asked", ["/api/clients", "/api/clients/ann", "/api/receivers"])
def test_figures_are_there_at_once_while_the_orderer_stands_still(broker, peer, asked):
    peer.push(push("ann", 2))
    with Stopped(broker.pid, "orderer"):
        wait_until(lambda: answers_all_while_one_waits(broker, asked), "an answer before the other")
    wait_until(lambda: json.loads(broker.get("/api/clients/ann"))["held"]["pushes"] == 1, "the answer")


def test_requests_that_hang_do_not_keep_others_waiting_while_the_orderer_stands_still(broker, hanging):
    with Stopped(broker.pid, "orderer"):
        wait_until(lambda: answers_all_while_one_waits(broker, "/api/clients"),
                   "an answer before the other")


def test_who_hangs_for_longest_is_sent_away_when_others_come(broker, hanging):
    """They leave in the order in which they came, well before those that came later."""
    assert broker.get("/healthz") == "ok\n"
    surplus = len(hanging) + 1 - GUESTS
    for sock in hanging[:surplus - 1]:
        sock.settimeout(DEADLINE)
        assert read_all(sock) == b""


def test_as_many_as_may_stay_are_all_served(broker):
    with contextlib.ExitStack() as stack:
        for sock in [stack.enter_context(connect(broker, get("/healthz"))) for _ in range(GUESTS)]:
            assert read_all(sock).endswith(b"ok\n")


def test_the_live_page_may_run_its_own_script_alone_and_load_nothing(broker):
    with urllib.request.urlopen(f"http://{broker.http}/", timeout=DEADLINE) as answer:
        page, policy = answer.read().decode(), answer.headers["Content-Security-Policy"]
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    allowed = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for tag in ("script", "style"):
        inside, = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert allowed[f"{tag}-src"] == f"'sha256-{digest}'"
    assert allowed["default-src"] == allowed["frame-ancestors"] == "'none'"
    assert allowed["connect-src"] == "'self'"
    assert not re.findall(r"<(?:link|img|iframe|script|a)[^>]*(?:src|href)=.?https?:", page)


def test_the_status_has_no_lists_while_the_orderer_stands_still_and_has_them_again(broker, peer):
    peer.push(push("ann", 2))
    wait_until(broker.stuck_clients, "ann to stand still")
    with Stopped(broker.pid, "orderer"):
        assert broker.status()["orderer"]["clients"] == 1
        wait_until(lambda: broker.status()["stuck_clients"] is None, "the list to be too old")
        assert broker.status()["slow_receivers"] is None
    wait_until(lambda: broker.status()["stuck_clients"], "the list")
    assert broker.status()["stuck_clients"]["seconds_ago"] < DEADLINE
