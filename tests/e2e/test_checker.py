"""The checker of the soak is checked: a good log passes, and each way to spoil it is found."""
import random
import subprocess
import sys

import pytest
from harness import ROOT

sys.path.insert(0, str(ROOT / "tests/soak"))

import checker  # noqa: E402

CLIENTS = [b"a", b"b", b"c"]
COUNT = 200  # pushes a client
GAP = (90, 99)  # seqs of the first client that were given up
SEED = 4711


def took(client, seq):
    name = b"%s %d" % (client, seq)
    return b"t %s %s\n" % (name, checker.tag(name))


def pushed():
    """What a publisher writes: nobody pushed what was given up."""
    lines = [b"p %s %d 0\n" % (c, s) for s in range(1, COUNT + 1) for c in CLIENTS
             if c != CLIENTS[0] or not GAP[0] <= s <= GAP[1]]
    random.Random(SEED).shuffle(lines)
    return lines + [b"k %s %d %d\n" % (CLIENTS[0], *GAP), b"p %s %d 7\n" % (CLIENTS[1], COUNT + 1)]


def taken(first=1, last=COUNT, started=1, how=b"new"):
    """What an instance of a receiver writes that takes these seqs of every client."""
    lines = [b"s %d %s\n" % (started, how)]
    for seq in range(first, last + 1):
        for client in CLIENTS:
            if client != CLIENTS[0] or not GAP[0] <= seq <= GAP[1]:
                lines.append(took(client, seq))
            elif seq == GAP[0]:
                lines.append(b"g %s %d %d\n" % (client, *GAP))
    return lines + [b"c 5 600\n"]


def judge(*receivers, publisher=None):
    """The kinds of faults found in a publisher's log and these receivers' logs."""
    judged = checker.Checker()
    judged.read_publisher(publisher or pushed())
    for lines in receivers:
        judged.read_receiver(lines)
    judged.finish()
    return set(judged.faults)


def replaced(lines, line, *by):
    at = lines.index(line)
    return lines[:at] + list(by) + lines[at + 1:]


def swapped(lines, one, other):
    i, j = lines.index(one), lines.index(other)
    lines[i], lines[j] = lines[j], lines[i]
    return lines


A50, A51, B50, GAP_LINE = took(b"a", 50), took(b"a", 51), took(b"b", 50), b"g a 90 99\n"


def test_a_good_log_passes():
    assert judge(taken()) == set()


@pytest.mark.parametrize("spoilt, fault", [
    (replaced(taken(), A50), "hole"),
    (replaced(taken(), took(b"a", 1)), "hole"),
    (replaced(taken(), took(b"c", COUNT)), "lost"),
    ([line for line in taken() if line[2:3] != b"b"], "lost"),
    (swapped(taken(), A50, A51), "out_of_order"),
    (replaced(taken(), A50, A50, A50), "doubled"),
    (replaced(taken(), A51, A51, A50), "doubled"),
    (replaced(taken(), A50, A50[:-2] + b"x\n"), "altered"),
    (replaced(taken(), A50, b"t a 50 -\n"), "altered"),
    (replaced(taken(), A50, A50[:8] + A51[8:]), "altered"),
    (replaced(taken(), A50, b"t a 50" + B50[6:]), "altered"),
    (replaced(taken(), A50, B50), "hole"),
    (replaced(taken(), A50, B50), "doubled"),
    (taken() + [took(b"a", COUNT + 2)], "from_nowhere"),
    (taken() + [took(b"b", COUNT + 1)], "from_nowhere"),
    (taken() + [took(b"d", 1)], "from_nowhere"),
    (replaced(taken(), A50, A50, took(b"a", 10**15)), "from_nowhere"),
    (replaced(taken(), GAP_LINE), "hole"),
    (replaced(taken(), GAP_LINE, b"g a 90 98\n"), "hole"),
    (replaced(taken(), GAP_LINE, b"g a 90 100\n"), "not_given_up"),
    (replaced(taken(), A50, b"g a 50 50\n"), "not_given_up"),
    (replaced(taken(), GAP_LINE, GAP_LINE, GAP_LINE), "doubled"),
    (replaced(taken(), A50, b"t a fifty 00\n"), "unreadable"),
    (replaced(taken(), A50, b"\n"), "unreadable"),
    (replaced(taken(), A50, b"\0\0" + A50), "unreadable"),
    (taken()[1:], "unreadable"),
])
def test_a_spoilt_log_is_found_out(spoilt, fault):
    assert fault in judge(spoilt)


def test_a_push_that_one_publisher_has_refused_and_another_accepted_counts_as_accepted():
    assert judge(taken(), publisher=pushed() + [b"p a 50 10\n", b"p a 50 1\n"]) == set()


def test_a_new_instance_may_have_again_what_its_predecessor_took():
    assert judge(taken(1, 120) + taken(80, COUNT, started=2)) == set()


def test_a_new_instance_may_not_begin_beyond_what_came_before():
    assert judge(taken(1, 120) + taken(122, COUNT, started=2)) == {"hole"}


def test_an_instance_that_resumes_has_nothing_twice():
    assert judge(taken(1, 120) + taken(121, COUNT, 2, b"resumed")) == set()
    assert judge(taken(1, 120) + taken(120, COUNT, 2, b"resumed")) == {"doubled"}
    assert judge(taken(1, 120) + taken(122, COUNT, 2, b"resumed")) == {"hole"}


def test_within_an_instance_nothing_comes_twice_even_if_a_predecessor_had_it():
    again = replaced(taken(40, COUNT, started=2), A50, A50, A50)
    assert judge(taken(1, 120) + again) == {"doubled"}


def test_a_takeover_goes_on_where_the_first_receiver_was():
    first, second = taken(1, 120), taken(100, COUNT, started=2)
    assert judge(first, second) == judge(second, first) == set()
    assert judge(first, taken(122, COUNT, started=2)) == {"hole"}


def test_who_resumes_after_a_takeover_need_not_have_what_the_other_took():
    first = taken(1, 50) + taken(150, COUNT, 3, b"resumed")
    assert judge(first, taken(51, 149, started=2)) == set()
    assert judge(first, taken(51, 148, started=2)) == {"hole"}


def test_what_a_killed_process_left_half_written_does_not_count():
    half = [took(b"a", COUNT)[:-1]]
    assert judge(taken() + [b"t a 5"]) == judge(taken() + half) == set()
    assert judge(taken() + [bytes(100)]) == set()
    assert judge(taken()[:-2] + [took(b"c", COUNT)[:-1]]) == {"lost"}


def run(tmp_path, pushes, takes):
    for name, lines in (("pushed", pushes), ("taken", takes)):
        (tmp_path / name).write_bytes(b"".join(lines))
    return subprocess.run([sys.executable, checker.__file__, "--pushed", tmp_path / "pushed",
                           "--taken", tmp_path / "taken"], capture_output=True).returncode


def test_the_command_tells_good_logs_from_bad_ones(tmp_path):
    assert run(tmp_path, pushed(), taken()) == 0
    assert run(tmp_path, pushed(), replaced(taken(), A50)) == 1
