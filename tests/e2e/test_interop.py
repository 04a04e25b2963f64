"""The publishers and receivers in C, Python and Node, in all pairs, and the receiver's rule."""
import os
import re
import subprocess

import pytest
import wire
from harness import BUILD, DEADLINE, ROOT, SANITIZER_REPORT, wait_until
from made import node_modules
from peers import push

pytestmark = pytest.mark.xdist_group("interop")  # its programs are made once

SOURCES = ROOT / "tests/interop"
MADE = BUILD / "interop"
LANGUAGES = ["c", "py", "js"]
LINES = [f"line {i}: äöü".encode() for i in range(3000)]


def compile_c():
    cache = (BUILD / "CMakeCache.txt").read_text()
    sanitizers = re.search(r"SEQPUSH_SANITIZE:\w+=(\S*)", cache)[1]
    flags = [f"-fsanitize={sanitizers}"] if sanitizers else []
    library = BUILD / "client"
    for role in ("publisher", "receiver"):
        subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", *flags,
                        f"-I{ROOT / 'client'}", SOURCES / f"{role}.c", "-o", MADE / role,
                        f"-L{library}", f"-Wl,-rpath,{library}", "-lseqpush"], check=True)


@pytest.fixture(scope="module")
def programs():
    """Starts one of the programs; what they need is made or installed in the build folder."""
    MADE.mkdir(exist_ok=True)
    compile_c()
    environment = {**os.environ, "PYTHONPATH": str(wire.GENERATED),
                   "NODE_PATH": str(node_modules(SOURCES))}
    running = []

    def start(role, language, *arguments):
        program = {"c": [MADE / role],
                   "py": ["/usr/bin/python3", SOURCES / f"{role}.py"],
                   "js": ["node", SOURCES / f"{role}.js"]}[language]
        running.append(subprocess.Popen([*program, *map(str, arguments)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=environment))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def output(process):
    out, errors = process.communicate(timeout=4 * DEADLINE)
    assert process.returncode == 0 and not SANITIZER_REPORT.search(errors.decode()), errors.decode()
    return out


@pytest.mark.settings("ordering/window=256", "delivery/backlog=512")
@pytest.mark.parametrize("receiving", LANGUAGES)
@pytest.mark.parametrize("publishing", LANGUAGES)
def test_what_one_language_pushes_the_other_receives(broker, programs, publishing, receiving):
    text = b"".join(line + b"\n" for line in LINES)
    publisher = programs("publisher", publishing, broker.front, "client-1")
    publisher.stdin.write(text)
    publisher.stdin.close()
    publisher.stdin = None
    wait_until(lambda: broker.metric("pushes_total", outcome="backlog_full"), "a full backlog")
    receiver = programs("receiver", receiving, broker.front, "client-*", len(LINES))
    assert output(receiver) == text
    assert output(publisher) == b""
    assert broker.metric("pushes_total", outcome="accepted") == len(LINES)


@pytest.mark.settings("delivery/ack_timeout=300")
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_receiver_follows_gaps_resets_and_takeovers(broker, peer, programs, language):
    first = programs("receiver", language, broker.front, "c", 2)
    wait_until(lambda: broker.metric("receivers") == 1, "the receiver")
    peer.push_all([push("c", 1, "1"), push("c", 3, "3"), push("c", 5, "5")])
    peer.skip("c", 2, 2)
    assert output(first) == b"1\n3\n"
    peer.skip("c", 4, 4)
    huge = 2**62 + 5
    peer.reset("c", 2**60, huge)
    peer.push_all([push("c", huge + i, f"huge {i}", epoch=2**60) for i in range(2)])
    second = programs("receiver", language, broker.front, "c", 3)
    assert output(second) == b"5\nhuge 0\nhuge 1\n"
    broker.wait_metric("queue_messages", 0, stage="retained")


@pytest.mark.parametrize("language", LANGUAGES)
def test_many_clients_under_a_prefix_each_in_its_order(broker, peer, programs, language):
    clients, count = 50, 40
    receiver = programs("receiver", language, broker.front, "p*", clients * count)
    for seq in reversed(range(1, count + 1)):
        peer.push_all([push(f"p{i}", seq, f"{i} {seq}") for i in range(clients)])
    lines = [tuple(map(int, line.split())) for line in output(receiver).splitlines()]
    for i in range(clients):
        assert [seq for client, seq in lines if client == i] == list(range(1, count + 1))
