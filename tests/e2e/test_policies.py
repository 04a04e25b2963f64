"""Ordering policies, rules and plug-ins, from the configuration to the receiver."""
import signal
import subprocess
import time

import pytest
from harness import BUILD, DEADLINE, ROOT, SANITIZER_REPORT, SEQPUSHD, wait_until
from peers import Peer, Receiver, outcomes, position, push, show

GAP = "ordering/gap_timeout=200"


# ---- policies ------------------------------------------------------------------------------------

@pytest.mark.settings("ordering/policy=deadline", GAP)
def test_deadline_announces_a_hole_and_goes_on(broker, peer, receiver):
    receiver.attach("c")
    peer.push_all([push("c", 1), push("c", 4)])
    assert receiver.show(4) == [("marker", 0), 1, ("gap", 2, 3), 4]
    assert outcomes(peer.push(push("c", 2), push("c", 4)), 2) == ["STALE", "DUPLICATE"]
    assert broker.metric("gaps_total", outcome="expired") == 1


@pytest.mark.settings("ordering/policy=deadline", GAP)
def test_a_deadline_passes_while_nobody_sends_or_receives(broker, peer):
    peer.push_all([push("c", 5)])
    broker.wait_metric("gaps_total", 1, outcome="expired")
    assert outcomes(peer.push(push("c", 4)), 1) == ["STALE"]


@pytest.mark.settings("ordering/policy=deadline", "ordering/gap_timeout=50",
                      "delivery/ack_timeout=60000")
def test_every_hole_is_announced_once_in_its_place_without_new_input(broker, peer, receiver):
    clients = [f"c{i}" for i in range(20)]
    receiver.attach(prefix="")
    peer.push_all([push(c, seq) for seq in (9, 4, 1, 5) for c in clients])
    came = {c.encode(): [] for c in clients}
    for entry in receiver.take_raw(7 * len(clients)):
        came[entry.client_id].append(show(entry))
    assert set(map(tuple, came.values())) == {
        (("marker", 0), 1, ("gap", 2, 3), 4, 5, ("gap", 6, 8), 9)}
    for seq, outcome in (2, "STALE"), (4, "DUPLICATE"), (8, "STALE"), (9, "DUPLICATE"):
        assert outcomes(peer.push(*[push(c, seq) for c in clients]), 20) == [outcome] * 20
    peer.push_all([push(c, 10) for c in clients])
    assert [show(entry) for entry in receiver.take_raw(len(clients))] == [10] * len(clients)
    assert broker.metric("gaps_total", outcome="expired") == 2 * len(clients)


@pytest.mark.settings("ordering/policy=latest", "delivery/ack_timeout=60000")
def test_latest_gives_a_slow_receiver_ever_newer_values_and_keeps_one_that_waits(broker, peer,
                                                                                receiver):
    """The receiver takes one push of a client where 50 are sent."""
    clients, rounds, each = [f"c{i}" for i in range(10)], 20, 50
    receiver.attach(prefix="")
    last = dict.fromkeys(map(str.encode, clients), 0)
    superseded = 0
    for turn in range(rounds + 1):
        peer.push_all(push(c, seq, b"x" * 1000) for seq in range(turn * each + 1, turn * each + each + 1)
                      for c in clients if turn < rounds)
        # One on its way and one that waits, each behind a notice.
        assert broker.metric("queue_messages", stage="retained") <= 4 * len(clients)
        assert broker.metric("queue_bytes", stage="retained") <= 2 * 1100 * len(clients)
        for entry in newest_of_each(receiver, last):
            superseded += entry.skipped_to and entry.skipped_to - entry.seq + 1
        receiver.ack(*(position(c, seq) for c, seq in last.items()))
    assert set(last.values()) == {rounds * each}
    broker.wait_metric("queue_messages", 0, stage="retained")
    assert superseded == broker.metric("deliveries_total", result="given_up") > 0


def newest_of_each(receiver, last):
    """The entries up to the next push of each client, which follow those before."""
    entries, waiting = [], set(last)
    while waiting:
        entry, = receiver.take_raw(1)
        if entry.marker:
            continue
        assert entry.seq == last[entry.client_id] + 1
        last[entry.client_id] = max(entry.seq, entry.skipped_to)
        entries.append(entry)
        if not entry.skipped_to:
            waiting.discard(entry.client_id)
    return entries


@pytest.mark.settings("ordering/policy=latest", "delivery/ack_timeout=60000")
def test_latest_sends_the_newest_when_the_one_before_is_acknowledged(peer, receiver):
    receiver.attach("c")
    peer.push_all([push("c", 1, b"one")])
    assert receiver.show(2) == [("marker", 0), 1]
    peer.push_all([push("c", seq) for seq in (2, 3, 1000)])
    assert outcomes(peer.push(push("c", 1000), push("c", 999)), 2) == ["DUPLICATE", "STALE"]
    receiver.ack(position("c", 1))
    assert receiver.show(2) == [("gap", 2, 999), 1000]


@pytest.mark.settings("ordering/policy=passthrough")
def test_passthrough_comes_as_it_was_sent_in_generation_0(peer, receiver):
    receiver.attach("c")
    sent = [push("c", 7, b"a"), push("c", 7, b"b", epoch=3), push("c", 0, b"c"), push("c", 1, b"d")]
    reply = peer.push(*sent)
    assert outcomes(reply, 4) == ["ACCEPTED"] * 4
    assert list(reply.push_ack.assigned) == [0]
    came = []
    while len(came) < 4:
        delivery = receiver.delivery()
        assert delivery and delivery.generation == 0
        came += delivery.pushes
    assert [(p.epoch, p.seq, p.payload) for p in came] == [(p.epoch, p.seq, p.payload) for p in sent]
    receiver.ack(position("c", 7))
    assert receiver.beat().heartbeat.generation == receiver.generation


def test_one_receiver_has_clients_of_every_policy(start_broker, tmp_path):
    config = tmp_path / "conf"
    config.write_text("""
ordering
    gap_timeout = 100
    rule
        match = d-*
        policy = deadline
    rule
        match = "*-late"
        policy = latest
    rule
        match = raw
        policy = passthrough
""")
    broker = start_broker(config=config)
    with Peer(broker) as peer, Receiver(broker) as receiver:
        receiver.attach(prefix="")
        peer.push_all([push("d-late", 2), push("s", 2), push("x-late", 3), push("raw", 9),
                       push("s", 1), push("raw", 9)])
        came = {}
        while sum(map(len, came.values())) < 8:
            delivery = receiver.delivery()
            assert delivery
            for entry in delivery.pushes:
                assert (delivery.generation == 0) == (entry.client_id == b"raw")
                if not entry.marker:
                    came.setdefault(entry.client_id, []).append((entry.seq, entry.skipped_to))
                if delivery.generation and not entry.marker:
                    receiver.ack(position(entry.client_id, max(entry.seq, entry.skipped_to)))
        assert came == {b"d-late": [(1, 1), (2, 0)], b"s": [(1, 0), (2, 0)],
                        b"x-late": [(1, 2), (3, 0)], b"raw": [(9, 0), (9, 0)]}


# ---- rules that are read again -------------------------------------------------------------------

def reload(broker, path, text):
    """Has the broker read another configuration, and returns what it logs."""
    path.write_text(text)
    before = len(broker.lines)
    broker.signal(signal.SIGHUP)
    wait_until(lambda: any("SIGHUP:" in line for line in broker.lines[before:]), "the reload")
    return "\n".join(broker.lines[before:])


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "conf"
    path.write_text("ordering\n    policy = strict\n")
    return path


NEW = """
ordering
    policy = latest
    first_seq = 100
    rule
        match = d-*
        policy = deadline
        gap_timeout = 100
        first_seq = 1
"""


def test_rules_that_are_read_again_hold_for_clients_that_come_later(start_broker, conf):
    broker = start_broker(config=conf)
    with Peer(broker) as peer, Receiver(broker) as receiver:
        receiver.attach(prefix="")
        peer.push_all([push("d-old", 1)])
        log = reload(broker, conf, NEW)
        assert 'ordering/policy was "strict" and is "latest" from now on' in log
        assert "ordering/rule has changed, from now on" in log
        assert "changes that take effect: 3" in log
        peer.push_all([push("d-new", 2), push("x", 101), push("d-old", 3)])
        came = {}
        while sum(map(len, came.values())) < 5:
            delivery = receiver.delivery()
            assert delivery
            for entry in delivery.pushes:
                if not entry.marker:
                    came.setdefault(entry.client_id, []).append((entry.seq, entry.skipped_to))
        assert came == {b"d-old": [(1, 0)], b"d-new": [(1, 1), (2, 0)], b"x": [(100, 100), (101, 0)]}
        assert "changes that take effect: 0" in reload(broker, conf, NEW)
        peer.push_all([push("d-old", 2)])


@pytest.mark.parametrize("text, words", [
    ("ordering\n    policy = latest\n    rule\n        policy = deadline\n", "ordering/rule"),
    ("ordering\n    first_seq = 9\n    plugin = /x.so\n    policy = mine\n", "neither built in"),
    ("ordering\n    first_seq = 9\n    window = 3000\ndelivery\n    backlog = 9000\n",
     "until a restart"),
], ids=["no match", "plug-in of a restart", "backlog of a restart"])
def test_rules_that_cannot_be_change_nothing(start_broker, conf, text, words):
    broker = start_broker(config=conf)
    with Peer(broker) as peer:
        log = reload(broker, conf, text)
        assert "the configuration stays as it is" in log and words in log
        assert "from now on" not in log
        peer.push_all([push("c", 2), push("c", 1)])
        assert outcomes(peer.push(push("c", 1)), 1) == ["DUPLICATE"]


def test_rules_come_and_go_under_load(start_broker, conf):
    broker = start_broker("ordering/max_clients=50", config=conf)
    with Peer(broker) as peer, Receiver(broker) as receiver:
        receiver.attach(prefix="")
        for turn in range(40):
            clients = [f"{turn}-{i}" for i in range(20)]
            peer.push_all([push(c, seq) for seq in (2, 1, 3) for c in clients])
            reload(broker, conf, f"ordering\n    window = {100 + turn}\n")
            assert len(receiver.take(60)) == 60
            broker.wait_metric("queue_messages", 0, stage="retained")
    assert broker.metric("clients") <= 50


# ---- plug-ins ------------------------------------------------------------------------------------

def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True,
                          timeout=20 * DEADLINE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The packages of a user who writes programs."""
    prefix = tmp_path_factory.mktemp("prefix")
    for component in "library", "development":
        run("cmake", "--install", BUILD, "--component", component, "--prefix", prefix)
    return prefix


@pytest.fixture(scope="session")
def playout(installed, tmp_path_factory):
    """The example plug-in, built out of the tree against the installed package."""
    build = tmp_path_factory.mktemp("playout")
    run("cmake", "-S", ROOT / "tests/plugin", "-B", build, f"-DCMAKE_PREFIX_PATH={installed}")
    run("cmake", "--build", build)
    return build / "playout.so"


@pytest.fixture
def compiled(installed, tmp_path):
    """Compiles a plug-in from a line or two."""
    def compile_(source):
        path = tmp_path / "mine.c"
        path.write_text(f"#include <seqpush/policy.h>\n{source}\n")
        run("cc", "-shared", "-fPIC", "-I", installed / "include", "-o", tmp_path / "mine.so", path)
        return tmp_path / "mine.so"
    return compile_


def test_a_plugin_built_against_the_package_orders_clients(playout, start_broker):
    broker = start_broker(f"ordering/plugin={playout}", "ordering/policy=playout", GAP)
    with Peer(broker) as peer, Receiver(broker) as receiver:
        receiver.attach("c")
        start = time.monotonic()
        peer.push_all([push("c", 3), push("c", 1)])
        assert receiver.show(4) == [("marker", 0), 1, ("gap", 2, 2), 3]
        assert time.monotonic() - start >= 0.199
        assert outcomes(peer.push(push("c", 2)), 1) == ["STALE"]


def test_a_rule_may_name_the_plugins_policy(playout, start_broker, tmp_path):
    config = tmp_path / "conf"
    config.write_text(f"""
ordering
    plugin = {playout}
    rule
        match = voice-*
        policy = playout
        gap_timeout = 50
""")
    broker = start_broker(config=config)
    with Peer(broker) as peer, Receiver(broker) as receiver:
        receiver.attach("voice-1", "c")
        peer.push_all([push("voice-1", 2), push("c", 2)])
        entries = receiver.take_raw(3)
        assert {entry.client_id for entry in entries} == {b"voice-1"}


GOOD = """
static outcome_t judge (const void *a, const policy_stage_t *b, uint64_t c)
    { return policy_judge_by_window (a, b, c); }
static int64_t settle (void *a, policy_stage_t *b, int64_t c)
    { policy_release (b, UINT64_MAX); return INT64_MAX; }
"""
TABLE = "const policy_t seqpush_policy = {%s};"


@pytest.mark.parametrize("fields, words", [
    (".abi = POLICY_ABI + 1", ["ABI 2", "expected 1"]),
    (".abi = POLICY_ABI, .name = \"mine\", .judge = judge", ["no hook settle"]),
    (".abi = POLICY_ABI, .name = \"mine\", .settle = settle", ["no hook judge"]),
    (".abi = POLICY_ABI, .judge = judge, .settle = settle", ["no name"]),
    (".abi = POLICY_ABI, .name = \"a b\", .judge = judge, .settle = settle", ["no name"]),
    (".abi = POLICY_ABI, .name = \"strict\", .judge = judge, .settle = settle", ["built-in"]),
    (".abi = POLICY_ABI, .kind = 9, .name = \"mine\", .judge = judge, .settle = settle", ["kind"]),
    (".abi = POLICY_ABI, .name = \"mine\", .state_size = 1 << 20, .judge = judge, "
     ".settle = settle", ["state_size"]),
    (".abi = POLICY_ABI, .name = \"other\", .judge = judge, .settle = settle",
     ["ordering/policy", "mine", "other"]),
], ids=["ABI", "settle", "judge", "no name", "bad name", "taken name", "kind", "state", "not named"])
def test_a_plugin_that_does_not_fit_stops_the_start(compiled, fields, words):
    refuse(compiled(GOOD + TABLE % fields), words)


def test_an_object_without_a_policy_stops_the_start(compiled):
    refuse(compiled(GOOD), ["does not export seqpush_policy"])


def test_an_object_that_needs_what_is_not_there_stops_the_start(compiled):
    table = TABLE % ".abi = POLICY_ABI, .name = \"mine\", .judge = judge, .settle = missing_hook"
    refuse(compiled("int64_t missing_hook (void *, policy_stage_t *, int64_t);" + GOOD + table),
           ["missing_hook"])


@pytest.mark.parametrize("content", [None, b"", b"no object at all\n" * 100],
                         ids=["missing", "empty", "text"])
def test_what_is_no_object_stops_the_start(tmp_path, content):
    path = tmp_path / "mine.so"
    if content is not None:
        path.write_bytes(content)
    refuse(path, ["ordering/plugin", str(path)])


def refuse(plugin, words):
    """The start fails with status 2, the check with status 1, and both say why."""
    for arguments, status in ([], 2), (["--check-config"], 1):
        done = subprocess.run(
            [SEQPUSHD, "--set", f"ordering/plugin={plugin}", "--set", "ordering/policy=mine",
             "--set", "front/bind=tcp://127.0.0.1:*", "--set", "http/bind=", *arguments],
            capture_output=True, text=True, timeout=DEADLINE)
        assert not SANITIZER_REPORT.search(done.stderr), done.stderr
        assert done.returncode == status
        last = done.stderr.strip().splitlines()[-1]
        assert all(word in last for word in words), last
