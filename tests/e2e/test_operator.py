"""The operator's commands: explain, clients, status, top, detach, and what they say when it goes wrong."""
import base64
import fcntl
import http.server
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
import urllib.parse

import pytest
from debugger import Stopped
from harness import DEADLINE, SEQPUSH, Process, tool, wait_until
from peers import Peer, Receiver, position, push


def ask(broker, *arguments, check=True):
    return tool(*arguments, "--http", broker.http, "--broker", broker.front, check=check)


def says(broker, *arguments):
    return ask(broker, *arguments).stdout.decode()


def test_explain_tells_why_and_what_to_do_and_that_helps(broker, peer):
    peer.push(push("ann", 3), push("ann", 4))
    wait_until(lambda: "seqpush skip CLIENT 1 2 --epoch 0" in says(broker, "explain", "ann"), "advice")
    told = says(broker, "explain", "ann")
    assert re.match(r"ann: waits for seq 1 of epoch 0, missing for \S+ s; 2 pushes are held behind it\n", told)
    for line in ["from 1, to 2", "pushes 2", "nobody", "strict, of the rule *", "window 1024"]:
        assert line in told
    ask(broker, "skip", "ann", "1", "2", "--epoch", "0")
    assert "missing" not in says(broker, "explain", "ann")
    assert "no receiver has attached it" in says(broker, "explain", "ann")


def test_explain_as_json_is_the_brokers(broker, peer):
    peer.push(push("ann", 2))
    told = json.loads(says(broker, "explain", "ann", "--json"))
    assert told["client"] == "ann" and told["state"] == "gap" and told["hole"]["to"] == 1


def test_ids_that_are_no_text_or_would_move_the_cursor(broker, peer):
    peer.push(push(b"\x00\xff", 2), push(b"\x1b[2Jx", 2), push("größe", 2))
    listed = ask(broker, "clients").stdout
    assert b"\x1b" not in listed and b"\\x1b[2Jx" in listed and "größe".encode() in listed
    name = base64.b64encode(b"\x00\xff").decode()
    assert f"base64:{name}" in listed.decode()
    assert "waits for seq 1" in says(broker, "explain", name, "--base64")
    assert b"\x1b" not in ask(broker, "explain", b"\x1b[2Jx".decode()).stdout


def test_no_id_can_keep_an_operator_from_looking(broker, peer):
    """A NUL, a step in a path, and what no file name has."""
    ids = [b"evil\0", b"..", b".", b"a/b?c#d", b"%41", b"\xff/\0"]
    peer.push(*(push(name, 2) for name in ids), push("ann", 2))
    wait_until(lambda: len(broker.stuck_clients()) == len(ids) + 1, "them to stand still")
    for command in ("status", "clients", "top --count 1"):
        text = says(broker, *command.split())
        assert "ann: waits for seq 1" in text or "ann " in text
        assert r"evil\x00" in text and "\0" not in text
        assert json.loads(says(broker, *command.split(), "--json").splitlines()[0])
    for name in ids:
        text = base64.b64encode(name).decode()
        assert "waits for seq 1" in says(broker, "explain", text, "--base64")
        assert "epoch 0, seq 2\n" in says(broker, "skip", text, "1", "1", "--base64")
        assert "epoch 1, seq 0\n" in says(broker, "reset", text, "1", "--base64")
        assert json.loads(broker.get("/api/clients?client=" + urllib.parse.quote_from_bytes(name)))["epoch"] == 1
    assert "..: no receiver" in says(broker, "explain", "..") and ".: no receiver" in says(broker, "explain", ".")


def test_epochs_beyond_what_json_has_are_not_negative(broker, peer):
    assert "epoch 18446744073709551615, seq 0" in says(broker, "reset", "ann", str(2**64 - 1))
    assert json.loads(says(broker, "reset", "ann", "1", "--json"))["epoch"] == pytest.approx(2**64)
    assert json.loads(says(broker, "explain", "ann", "--json"))["epoch"] == pytest.approx(2**64)
    assert "epoch 1844674407" in says(broker, "explain", "ann")


def test_a_receiver_whose_id_is_no_text_is_detached(broker):
    with Receiver(broker, b"\xff\0r") as receiver:
        receiver.attach("ann")
        name = base64.b64encode(b"\xff\0r").decode()
        done = json.loads(says(broker, "detach", name, "--base64", "--json"))
        assert done == {"detached_base64": name, "all": True}
        assert receiver.receive_unasked().detached.reason == "asked"


def test_clients_lists_all_page_by_page_and_those_that_stand_still_first(broker, peer):
    peer.push_all(push(f"c{i}", 2) for i in range(1500))
    wait_until(lambda: says(broker, "clients", "--stuck", "--limit", "1"), "the first to stand still")
    peer.push(push("late", 2))
    lines = says(broker, "clients", "--all").splitlines()
    assert len(lines) == len({line.split()[0] for line in lines}) == 1501
    assert lines[-1].startswith("late ") and "waits for seq 1" in lines[0]
    assert len(says(broker, "clients").splitlines()) == 20
    rows = [json.loads(line) for line in says(broker, "clients", "--json", "--limit", "7").splitlines()]
    assert [row["state"] for row in rows] == ["gap"] * 7


def test_status_names_what_stands_still(broker, peer, receiver):
    receiver.attach(position("slow", 0))
    peer.push(push("slow", 1), push("ann", 2))

    def told():
        text = says(broker, "status")
        return "  ann: waits for seq 1 of epoch 0" in text and "receiver at" in text and text
    text = wait_until(told, "both lists")
    assert "\nclients that do not move\n" in text and "\nreceivers that do not acknowledge\n" in text
    assert f"receiver at {receiver.endpoint}: for " in text
    assert json.loads(says(broker, "status", "--json"))["orderer"]["gaps_open"] == 1


def test_status_and_top_say_of_when_it_is_what_they_show(broker, peer):
    """A broker with very many clients answers with what it saw when it was asked last."""
    assert "all clients move\n" in says(broker, "status")
    peer.push(push("ann", 2))
    wait_until(lambda: broker.stuck_clients(), "it to stand still")
    status = broker.status()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(status).encode())

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for command in ("status", "top --count 1"):
            status["stuck_clients"].update(seconds_ago=7, whole=False)
            said = tool(*command.split(), "--http", f"127.0.0.1:{server.server_port}").stdout.decode()
            assert "clients that do not move, not all were looked at, as of 7.00 s ago\n" in said
        server.shutdown()


def test_what_nobody_has_looked_at_is_not_known(broker):
    with Stopped(broker.pid, "orderer"):
        for command in ("status", "top --count 1"):
            assert "clients that do not move: not known" in says(broker, *command.split())


@pytest.mark.parametrize("by_name", [True, False])
def test_detach_takes_clients_from_a_receiver_which_is_told(broker, peer, receiver, by_name):
    receiver.attach(position("ann", 0), position("bob", 0))
    peer.push(push("ann", 1), push("bob", 1))
    receiver.show(4)  # two markers, two pushes
    done = says(broker, "detach", "receiver", *(["ann"] if by_name else []))
    assert done == ("detached from receiver\n" if by_name else "receiver is detached\n")
    told = receiver.receive_unasked().detached
    assert told.reason == "asked" and told.generation == receiver.generation
    assert list(told.client_ids) == ([b"ann"] if by_name else [])
    assert "no receiver has attached it" in says(broker, "explain", "ann")
    with Receiver(broker, "second") as second:
        second.attach(position("ann", 0))
        second.take(1)
    if by_name:
        assert "has not acknowledged" in says(broker, "explain", "bob")
        receiver.ack(position("bob", 1))
        wait_until(lambda: "nothing to deliver" in says(broker, "explain", "bob"), "bob's ack")


def test_a_receiver_that_is_detached_does_not_come_back(broker, peer):
    child = Process(SEQPUSH, "receive", "--client", "ann", "--id", "gate", "--broker", broker.front)
    child.wait_for_line("attached as")
    ask(broker, "detach", "gate")
    child.wait_for_line("asked")
    peer.push(push("ann", 1))
    assert "no receiver has attached it" in says(broker, "explain", "ann")
    if child.child.poll() is None:
        child.signal(signal.SIGTERM)
    child.wait()


def test_what_a_prefix_brought_stays_with_it(broker, peer, receiver):
    receiver.attach(prefix="a")
    peer.push(push("ann", 1))
    failed = ask(broker, "detach", "receiver", "ann", check=False)
    assert failed.returncode == 1 and b"has none of these clients by name" in failed.stderr
    assert receiver.take(1)
    assert not receiver.unasked


@pytest.mark.parametrize("arguments, status, error", [
    (["explain", "nobody"], 1, "does not know this client"),
    (["explain"], 2, "something is missing"),
    (["explain", "x" * 65], 2, "1 to 64 bytes"),
    (["explain", "!", "--base64"], 2, "not base64"),
    (["detach", "nobody"], 1, "is not attached"),
    (["detach", ""], 2, "1 to 64 bytes"),
    (["clients", "--limit", "0"], 2, "whole number"),
    (["top", "--count", "0"], 2, "whole number"),
    (["reset", "ann", str(2**63), str(2**64 - 1)], 1, "there cannot be such seqs or epochs"),
])
def test_errors_say_what_is_wrong(broker, arguments, status, error):
    done = ask(broker, *arguments, check=False)
    assert done.returncode == status and error in done.stderr.decode() and not done.stdout


@pytest.mark.settings("broker/drain_timeout=30000")
def test_a_broker_that_ends_is_not_taken_for_one_that_refuses(broker, peer, receiver):
    receiver.attach("ann")
    peer.push(push("ann", 1))
    broker.signal(signal.SIGTERM)
    broker.wait_for_line("stopping")
    done = ask(broker, "skip", "ann", "2", "2", check=False)
    assert done.returncode == 1 and b"is ending: try again when it is back" in done.stderr
    receiver.show(2)
    receiver.ack(position("ann", 1))


@pytest.mark.parametrize("command", [["status"], ["clients", "--all"], ["explain", "ann"], ["top", "--count", "1"],
                                     ["status", "--json"], ["--help"], ["reset", "ann", "1"]])
def test_what_cannot_be_printed_is_a_failure(broker, peer, command):
    peer.push(push("ann", 2))
    with open("/dev/full", "wb") as full:
        done = subprocess.run([SEQPUSH, *command, "--http", broker.http, "--broker", broker.front], stdout=full,
                              stderr=subprocess.PIPE, timeout=DEADLINE, check=False)
    assert done.returncode == 1 and b"No space left on device" in done.stderr


@pytest.mark.parametrize("command", [["status"], ["clients"], ["explain", "ann"], ["top"]])
def test_without_a_broker_they_say_where_to_look(command):
    done = tool(*command, "--http", "127.0.0.1:1", check=False)
    assert done.returncode == 1 and b"Is seqpushd running, and --http its address?" in done.stderr


@pytest.mark.parametrize("command", [["push", "--client", "ann"], ["receive", "--client", "ann"],
                                     ["skip", "ann", "1", "1"], ["reset", "ann", "1"],
                                     ["detach", "gate"]])
def test_without_an_answer_they_say_what_to_look_at(command):
    silent = tool(*command, "--broker", "tcp://127.0.0.1:1", "--timeout", "1", stdin=b"x\n", check=False)
    assert silent.returncode in (1, 3) and b"does not answer: is it the broker's front?" in silent.stderr
    wrong = tool(*command, "--broker", "nonsense", stdin=b"x\n", check=False)
    assert wrong.returncode in (2, 3) and b"nonsense" in wrong.stderr


def test_top_is_plain_where_it_is_piped(broker, peer):
    peer.push(push("ann", 2))
    text = says(broker, "top", "--count", "2", "--interval", "1100")
    assert text.count("seqpushd at") == 2 and "\x1b" not in text
    for word in ["in ", "out ", "enqueue p50", "delivery p50", "worker", "backlog", "gaps 1"]:
        assert word in text
    assert "ann: waits for seq 1" in text
    rounds = [json.loads(line) for line in says(broker, "top", "--count", "2", "--interval", "100",
                                                "--json").splitlines()]
    assert len(rounds) == 2 and "recent" in rounds[0]


class Terminal:
    """seqpush top on a terminal of so many rows and columns."""

    def __init__(self, broker, rows, columns, **environment):
        self.main, child = pty.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            [SEQPUSH, "top", "--http", broker.http, "--interval", "3600000"], stdin=child, stdout=child,
            stderr=subprocess.PIPE, env={**os.environ, "TERM": "xterm", **environment})
        os.close(child)

    def resize(self, rows, columns):
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def look(self):
        """One look, up to what clears the rest of the screen."""
        os.set_blocking(self.main, False)
        text, end = b"", time.monotonic() + DEADLINE
        while not text.endswith(b"\x1b[J"):
            assert time.monotonic() < end, text
            try:
                text += os.read(self.main, 65536)
            except BlockingIOError:
                time.sleep(0.01)
        return text.decode()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(DEADLINE) == 0
        rest = os.read(self.main, 65536)
        os.close(self.main)
        return rest


def plain(look):
    return [re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", line) for line in look.split("\r\n")]


def test_top_fits_the_terminal_and_follows_its_size(broker, peer):
    peer.push(*(push(f"client-{i}", 2) for i in range(8)))
    wait_until(lambda: len(broker.stuck_clients()) == 8, "them to stand still")
    terminal = Terminal(broker, 40, 100)
    wide = terminal.look()
    assert "\x1b[31m" in wide and "\x1b[1m" in wide  # what is bad, and headings
    assert max(map(len, plain(wide))) > 40 and sum("waits for" in line for line in plain(wide)) == 8
    terminal.resize(12, 40)
    terminal.process.send_signal(signal.SIGWINCH)
    small = plain(terminal.look())
    assert max(map(len, small)) <= 40 and len(small) <= 12
    assert b"\x1b[?25h" in terminal.stop()


def test_top_has_a_size_of_its_own_where_the_terminal_has_none(broker):
    terminal = Terminal(broker, 0, 0)
    look = plain(terminal.look())
    assert any("seqpushd at" in line for line in look) and max(map(len, look)) <= 80
    terminal.stop()


def test_top_has_no_colours_where_none_are_wanted(broker):
    terminal = Terminal(broker, 40, 100, NO_COLOR="1")
    assert not re.search(r"\x1b\[\d*m", terminal.look())
    terminal.stop()
