"""Configuration from outside: what is read, what is refused, and how the broker says so."""
import socket
import subprocess

import pytest
from harness import DEADLINE, SEQPUSHD
from peers import Peer, push


def run(*arguments):
    return subprocess.run([SEQPUSHD, *map(str, arguments)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=DEADLINE)


@pytest.fixture
def conf(tmp_path):
    def write(text):
        path = tmp_path / "seqpushd.conf"
        path.write_text(text)
        return path
    return write


GOOD = """\
front
    bind = "tcp://127.0.0.1:*"
    bind = "tcp://127.0.0.1:*"
    max_payload = 2048
ordering
    window = 16
delivery
    backlog = 32
    allow_endpoint = "tcp://127.0.0.1:*"
    allow_endpoint = "ipc:///tmp/*"
    route
        match = "log.*"
        endpoint = "tcp://127.0.0.1:9"
http
    bind = "127.0.0.1:0"
"""


def test_check_config_says_that_a_good_file_is_good(conf):
    done = run("--check-config", "--config", conf(GOOD))
    assert done.returncode == 0, done.stderr


def test_check_config_starts_nothing():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run("-t", "--set", f"front/bind=tcp://127.0.0.1:{port}").returncode == 0


def test_print_config_is_read_back_to_the_same(conf, tmp_path):
    first = run("--print-config", "--config", conf(GOOD), "--set", "workers/count=3")
    assert first.returncode == 0 and "max_payload = 2048" in first.stdout
    printed = tmp_path / "printed.conf"
    printed.write_text(first.stdout)
    assert run("--print-config", "--config", printed).stdout == first.stdout
    assert run("--print-config").stdout != first.stdout


def test_set_goes_before_the_file(conf):
    path = conf(GOOD)
    printed = run("--print-config", "--config", path, "--set", "ordering/window=8",
                  "--set", "front/bind=tcp://127.0.0.1:7001").stdout
    assert "window = 8" in printed and "127.0.0.1:7001" in printed
    assert printed.count("tcp://127.0.0.1:*") == 1, "the list of the file must be replaced"


# What is wrong, its line, and the words that must be in the message.
BAD = {
    "unknown section": ("frunt\n    bind = \"x\"\n", 1, ["frunt"]),
    "unknown key": ("front\n    bidn = \"tcp://127.0.0.1:1\"\n", 2, ["front/bidn"]),
    "not a number": ("ordering\n    window = many\n", 2, ["ordering/window", "many"]),
    "negative": ("ordering\n    window = -1\n", 2, ["ordering/window"]),
    "out of range": ("ordering\n    window = 0\n", 2, ["ordering/window"]),
    "repeated": ("ordering\n    window = 8\n    window = 9\n", 3, ["ordering/window"]),
    "no such policy": ("ordering\n    policy = \"loose\"\n", 2, ["ordering/policy", "loose"]),
    "no endpoint": ("front\n    bind = \"5570\"\n", 2, ["front/bind", "5570"]),
    "beyond loopback": ("front\n    bind = \"tcp://0.0.0.0:5570\"\n", 2, ["front/bind"]),
    "window beyond the backlog": (
        "ordering\n    window = 100\ndelivery\n    backlog = 100\n", 2, ["ordering/window"]),
    "route without endpoint": (
        "delivery\n    route\n        match = \"a\"\n", 2, ["delivery/route"]),
}


@pytest.mark.parametrize("text, line, words", BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_with_file_line_and_key(conf, text, line, words):
    path = conf(text)
    for arguments in (["--check-config"], []):
        done = run("--config", path, *arguments)
        assert done.returncode == 1
        last = done.stderr.strip().splitlines()[-1]
        assert f"{path}:{line}" in last, last
        assert all(word in last for word in words), last


@pytest.mark.parametrize("arguments, word", [
    (["--set", "ordering/window=x"], "ordering/window"),
    (["--set", "no/such=1"], "no/such"),
    (["--set", "window"], "window"),
    (["--config", "/does/not/exist"], "/does/not/exist"),
    (["--no-such-option"], "no-such-option"),
    (["argument"], "argument"),
], ids=["value", "key", "no value", "no file", "option", "argument"])
def test_bad_use_is_exit_status_1(arguments, word):
    done = run(*arguments)
    assert done.returncode == 1 and word in done.stderr


@pytest.mark.parametrize("setting", ["front/bind=tcp://127.0.0.1:{}", "http/bind=127.0.0.1:{}"])
def test_a_port_in_use_is_exit_status_2(setting):
    other = {"front": "http/bind=127.0.0.1:0", "http/": "front/bind=tcp://127.0.0.1:*"}[setting[:5]]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--set", setting.format(port), "--set", other)
    assert done.returncode == 2
    assert str(port) in done.stderr


def test_all_of_several_fronts_are_served(start_broker, conf):
    broker = start_broker("front/bind=tcp://127.0.0.1:*", "front/bind=tcp://127.0.0.1:*")
    assert len(set(broker.fronts)) == 2
    for seq, front in enumerate(broker.fronts, 1):
        with Peer(front) as peer:
            assert peer.push(push("c", seq)).push_ack.accepted == 1


def test_without_http_the_broker_serves_all_the_same(start_broker):
    with Peer(start_broker("http/bind=")) as peer:
        assert peer.push(push("c", 1)).push_ack.accepted == 1


def test_version_and_help():
    assert run("--version").stdout.split()[-1].count(".") == 2
    assert "--set" in run("--help").stdout
