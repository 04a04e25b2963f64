"""Receivers that are killed and started again, with their positions in a file."""
import hashlib
import random
import signal
import struct
import subprocess

import pytest
from harness import DEADLINE, SANITIZED, SEQPUSH, tool, wait_until
from test_main_job import Receiving

CLIENTS = 5
COUNT = 20000 if SANITIZED else 100000  # pushes of all clients together
TITLE = b"seqpush positions 1\n"
SEED = 424242


def read_positions(path):
    """The positions in the file, by client, up to the first record that does not check."""
    data, found = path.read_bytes(), {}
    assert data.startswith(TITLE)
    at = len(TITLE)
    while at < len(data):
        end = at + 17 + data[at]
        if hashlib.blake2b(data[at:end], digest_size=16).digest() != data[end:end + 16]:
            break
        epoch, seq = struct.unpack_from("<QQ", data, at + 1)
        found[data[at + 17:end]] = (epoch, seq)
        at = end + 16
    return found


def read_lines(path):
    """(client, seq, payload) of the lines that were printed whole."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [(client, int(seq), payload) for client, seq, payload in
            (line.split(b"\t") for line in lines)]


@pytest.fixture
def pushing(broker, tmp_path):
    """Pushes COUNT lines in the background, each with its own number."""
    lines = tmp_path / "lines"
    lines.write_text("".join(f"{i}\n" for i in range(COUNT)))
    child = subprocess.Popen([SEQPUSH, "push", "--broker", broker.front, "--client", "c",
                              "--clients", str(CLIENTS), "--shuffle", "64",
                              "--rate", str(COUNT // 4), str(lines)],
                             stdout=subprocess.DEVNULL)
    yield child
    child.kill()
    child.wait()


@pytest.mark.parametrize("what", [("--client", "c", "--clients", CLIENTS), ("--prefix", "c-")])
def test_a_receiver_that_is_killed_misses_nothing_and_repeats_only_what_was_not_saved(
        broker, pushing, tmp_path, what):
    dice = random.Random(SEED)
    positions = tmp_path / "positions"
    ids = [b"c-%d" % (k + 1) for k in range(CLIENTS)]
    everything = dict.fromkeys(ids, (0, COUNT // CLIENTS))
    next_seq = dict.fromkeys(ids, 1)  # that a run has to begin with
    printed = dict.fromkeys(ids, 0)
    for run in range(9):
        out = tmp_path / f"out{run}"
        receiving = Receiving(broker, out, *what, "--with-ids", "--positions", positions)
        if run < 8:  # killed under load, in the end it gets the rest
            enough = dice.randrange(1, COUNT // 12)
            wait_until(lambda: len(read_lines(out)) >= enough or
                       positions.exists() and read_positions(positions) == everything, "lines")
            receiving.kill()
        else:
            wait_until(lambda: read_positions(positions) == everything, "the rest", 4 * DEADLINE)
            receiving.child.send_signal(signal.SIGTERM)
            receiving.output()
        for client, seq, payload in read_lines(out):
            assert seq == next_seq[client], f"run {run}"
            assert int(payload) % CLIENTS == ids.index(client)
            assert int(payload) // CLIENTS == seq - 1
            next_seq[client] += 1
            printed[client] = seq
        saved = read_positions(positions)
        for client in ids:
            _, seq = saved.get(client, (0, 0))
            assert seq <= printed[client], "what is saved was printed"
            next_seq[client] = seq + 1
    assert printed == dict.fromkeys(ids, COUNT // CLIENTS)


def test_two_receivers_cannot_share_a_positions_file(broker, tmp_path):
    positions = tmp_path / "positions"
    receiving = Receiving(broker, tmp_path / "out", "--client", "c", "--positions", positions)
    other = tool("receive", "--broker", broker.front, "--client", "d", "--positions", positions,
                 check=False)
    receiving.kill()
    assert other.returncode == 2 and b"busy" in other.stderr


def test_a_file_that_holds_no_positions_is_refused(broker, tmp_path):
    positions = tmp_path / "positions"
    positions.write_text("0 5 anna\n")
    done = tool("receive", "--broker", broker.front, "--client", "c", "--positions", positions,
                check=False)
    assert done.returncode == 2 and b"not a positions file" in done.stderr
    assert positions.read_text() == "0 5 anna\n"
