"""Every metric that is documented: it is there, has the type and the labels, and moves as it should."""
import re
import shutil
import subprocess
import urllib.request

import pytest
import wire
from harness import ROOT, Broker, wait_until
from peers import Peer, Receiver, position, push

#  Name without seqpush_, type, its labels with the values that must be there.
METRICS = [
    ("enqueue_duration_seconds", "histogram", {}),
    ("ordering_wait_seconds", "histogram", {}),
    ("delivery_duration_seconds", "histogram", {}),
    ("send_duration_seconds", "histogram", {"worker": {"0", "1"}}),
    ("metrics_scrape_duration_seconds", "histogram", {}),
    ("queue_length_messages", "histogram", {}),
    ("queue_messages", "gauge", {"stage": {"held", "retained", "sending"}}),
    ("queue_bytes", "gauge", {"stage": {"held", "retained"}}),
    ("frame_bytes", "gauge", {}),
    ("pipe_wait_seconds", "histogram",
     {"pipe": {"requests", "replies", "reports", "batches-0", "batches-1"}}),
    ("send_backlog_messages", "gauge", {"worker": {"0", "1"}}),
    ("inflight_messages", "gauge", {"worker": {"0", "1"}}),
    ("oldest_unacked_seconds", "gauge", {}),
    ("sends_total", "counter",
     {"worker": {"0", "1"}, "result": {"sent", "would_block", "failed", "discarded"}}),
    ("deliveries_total", "counter",
     {"result": {"acknowledged", "taken", "redelivered", "given_up", "expired"}}),
    ("pushes_total", "counter", {"outcome": {
        "accepted", "duplicate", "stale", "window_full", "backlog_full", "overloaded",
        "epoch_mismatch", "too_large", "invalid", "forbidden", "storage_unavailable",
        "shutting_down"}}),
    ("gaps_total", "counter", {"outcome": {"filled", "skipped", "expired", "reset", "alarmed"}}),
    ("gaps_open", "gauge", {}),
    ("duplicates_total", "counter", {}),
    ("repairs_total", "counter", {"result": {"sent", "dropped"}}),
    ("errors_total", "counter", {"code": {
        "malformed", "unsupported", "invalid", "unknown_receiver", "stale_generation", "forbidden",
        "endpoint_refused", "overloaded", "shutting_down"}}),
    ("replies_total", "counter", {"result": {"sent", "unreachable", "full"}}),
    ("receivers", "gauge", {}),
    ("clients", "gauge", {}),
    ("publishers", "gauge", {}),
    ("workers", "gauge", {}),
    ("endpoints_moved_total", "counter", {}),
    ("connections", "gauge", {}),
    ("connections_refused_total", "counter", {}),
    ("auth_total", "counter", {"result": {
        "admitted", "unknown_key", "bad_handshake", "unfinished_handshake", "denied_key",
        "denied_role", "denied_client", "denied_receiver", "denied_endpoint", "denied_owner"}}),
    ("journal_commit_seconds", "histogram", {}),
    ("journal_batch_messages", "histogram", {}),
    ("journal_commits_total", "counter", {"result": {"kept", "failed"}}),
    ("journal_unsaved_changes", "gauge", {}),
    ("journal_failing", "gauge", {}),
    ("build_info", "gauge", {"version": set()}),
    ("process_cpu_seconds_total", "counter", {}),
    ("process_resident_memory_bytes", "gauge", {}),
    ("process_open_fds", "gauge", {}),
    ("process_max_fds", "gauge", {}),
    ("process_start_time_seconds", "gauge", {}),
]

#  What the scenario below must bring about: a sample and its labels, and the least that it is.
AT_LEAST = [
    ("enqueue_duration_seconds_count", {}, 20), ("enqueue_duration_seconds_sum", {}, 1e-9),
    ("ordering_wait_seconds_count", {}, 20), ("ordering_wait_seconds_sum", {}, 1e-3),
    ("delivery_duration_seconds_count", {}, 3), ("delivery_duration_seconds_sum", {}, 1e-6),
    ("send_duration_seconds_count", {}, 2), ("queue_length_messages_count", {}, 20),
    ("metrics_scrape_duration_seconds_count", {}, 1),
    ("queue_messages", {"stage": "held"}, 1), ("queue_bytes", {"stage": "held"}, 1),
    ("queue_messages", {"stage": "retained"}, 40), ("queue_bytes", {"stage": "retained"}, 40_000),
    ("queue_messages", {"stage": "sending"}, 1), ("frame_bytes", {}, 40_000),
    ("pipe_wait_seconds_count", {"pipe": "requests"}, 10),
    ("pipe_wait_seconds_count", {"pipe": "replies"}, 10),
    ("pipe_wait_seconds_count", {"pipe": "reports"}, 1),
    ("send_backlog_messages", {}, 1), ("inflight_messages", {}, 1),
    ("oldest_unacked_seconds", {}, 0.4),
    ("sends_total", {"result": "sent"}, 3), ("sends_total", {"result": "would_block"}, 1),
    ("sends_total", {"result": "discarded"}, 1),
    ("deliveries_total", {"result": "acknowledged"}, 3), ("deliveries_total", {"result": "taken"}, 1),
    ("deliveries_total", {"result": "redelivered"}, 1),
    ("deliveries_total", {"result": "given_up"}, 2),
    *(("pushes_total", {"outcome": outcome}, 1) for outcome in [
        "accepted", "duplicate", "stale", "window_full", "backlog_full", "epoch_mismatch",
        "too_large", "invalid"]),
    *(("gaps_total", {"outcome": outcome}, 1) for outcome in [
        "filled", "skipped", "expired", "reset", "alarmed"]),
    ("gaps_open", {}, 1), ("duplicates_total", {}, 1), ("repairs_total", {"result": "sent"}, 1),
    ("errors_total", {"code": "malformed"}, 1), ("errors_total", {"code": "unknown_receiver"}, 1),
    ("replies_total", {"result": "sent"}, 20),
    ("receivers", {}, 2), ("clients", {}, 8), ("connections", {}, 4), ("publishers", {}, 1), ("workers", {}, 2),
    ("build_info", {}, 1),
]

CONFIG = """\
ordering
    gap_alarm = 1
    repair_delay = 1
    window = 8
    rule
        match = "deadline*"
        policy = deadline
        gap_timeout = 1
delivery
    backlog = 400
front
    max_payload = 100000
workers
    count = 2
    send_hwm = 1
"""


def provoke_outcomes(peer):
    peer.push(push("ann", 1), push("ann", 2), push("ann", 2))
    peer.push(push("ann", 1 << 40))
    peer.push(push("ann", 3, epoch=5))
    peer.push(push("ann", 3, b"x" * 100_001))
    peer.push(push("ann", 0))
    peer.push_all(push("full", seq) for seq in range(1, 401))
    peer.push(push("full", 401))


def provoke_gaps(broker, peer):
    peer.push(push("filled", 2), push("skipped", 3), push("reset", 3), push("deadline", 3))
    peer.push(push("filled", 1))
    peer.skip("skipped", 1, 2)
    peer.push(push("skipped", 1))
    peer.push(push("reset", 4))
    peer.reset("reset", 1)
    peer.push(push("open", 1), push("open", 3))
    broker.wait_metric("gaps_total", 1, outcome="expired")
    wait_until(lambda: broker.metric("repairs_total", result="sent"), "a repair")
    wait_until(lambda: broker.metric("gaps_total", outcome="alarmed"), "an alarm")


def provoke_deliveries(broker, peer, receiver, unacked):
    receiver.attach(position("acked", 0), position("waits", 0))
    unacked.attach(position("none", 0), ack_mode=wire.ACK_NONE)
    peer.push(*(push("acked", seq) for seq in range(1, 4)), push("none", 1))
    receiver.take(3, ack=False)
    receiver.ack(missing=[position("acked", 0)])
    wait_until(lambda: broker.metric("deliveries_total", result="redelivered"), "a redelivery")
    receiver.ack(position("acked", 3))
    broker.wait_metric("deliveries_total", 3, result="acknowledged")
    peer.push(push("waits", 1))
    peer.ask(heartbeat=wire.Heartbeat(receiver_id=b"nobody", generation=1))
    peer.send_raw(b"rubbish")


def provoke_backlog(broker, peer, stuck):
    """An endpoint where nobody listens, twice: what waits for it is discarded once."""
    stuck.pull.close()
    stuck.attach(position("stuck", 0))
    for seq in range(1, 251):
        peer.push(push("stuck", seq, b"x" * 1000))
    wait_until(lambda: broker.metric("send_backlog_messages"), "a backlog")
    stuck.detach()
    wait_until(lambda: broker.metric("sends_total", result="discarded"), "the discarded ones")
    stuck.attach(position("stuck", 0))
    wait_until(lambda: broker.metric("send_backlog_messages"), "a backlog again")


@pytest.fixture(scope="module")
def scraped(tmp_path_factory):
    """What /metrics says when all of that has come about: text, and type, and samples."""
    config = tmp_path_factory.mktemp("metrics") / "seqpushd.conf"
    config.write_text(CONFIG)
    broker = Broker(config=config)
    with Peer(broker) as peer, Receiver(broker) as receiver, Receiver(broker, "unacked") as unacked, \
            Receiver(broker, "stuck") as stuck:
        provoke_outcomes(peer)
        provoke_gaps(broker, peer)
        provoke_deliveries(broker, peer, receiver, unacked)
        provoke_backlog(broker, peer, stuck)
        wait_until(lambda: broker.metric("oldest_unacked_seconds") > 0.4, "an age")
        yield {"text": broker.get("/metrics"), "samples": broker.metrics()}
    broker.stop()


def full_name(name):
    return name if name.startswith("process_") else f"seqpush_{name}"


@pytest.mark.parametrize("name, kind, labels", METRICS, ids=[m[0] for m in METRICS])
def test_a_metric_has_its_type_and_its_labels(scraped, name, kind, labels):
    text = scraped["text"]
    assert len(re.findall(rf"^# TYPE {full_name(name)} {kind}$", text, re.M)) == 1
    assert len(re.findall(rf"^# HELP {full_name(name)} \S.*\.$", text, re.M)) == 1
    sample = f"{full_name(name)}_count" if kind == "histogram" else full_name(name)
    lines = re.findall(rf"^{sample}(?:\{{(.*)\}})? (\S+)$", text, re.M)
    assert lines and all(float(value) >= 0 for _, value in lines)
    seen = [dict(re.findall(r'(\w+)="([^"]*)"', line)) for line, _ in lines]
    assert {key for one in seen for key in one} == set(labels)
    for label, values in labels.items():
        assert {one[label] for one in seen} >= values, label


def test_no_metric_is_left_out_of_the_table(scraped):
    names = set(re.findall(r"^# TYPE (\S+)", scraped["text"], re.M))
    table = {full_name(name) for name, _, _ in METRICS}
    assert names == table


def test_the_readme_has_every_metric(scraped):
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"`(seqpush_\w+|process_\*)`", readme))
    assert {full_name(name) for name, _, _ in METRICS if not name.startswith("process_")} <= named


@pytest.mark.parametrize("name, labels, least", AT_LEAST,
                         ids=[f"{n}-{'-'.join(l.values())}" for n, l, _ in AT_LEAST])
def test_a_metric_moves(scraped, name, labels, least):
    values = [v for n, l, v in scraped["samples"] if n == name and labels.items() <= l.items()]
    assert sum(values) >= least


def test_client_ids_are_no_labels(scraped):
    assert '"ann"' not in scraped["text"] and '"stuck"' not in scraped["text"]


def test_buckets_grow_and_end_with_the_count(scraped):
    for name, kind, _ in METRICS:
        if kind != "histogram":
            continue
        series = {}
        for sample, labels, value in scraped["samples"]:
            if sample == f"{name}_bucket":
                border = labels.pop("le")
                series.setdefault(tuple(labels.items()), []).append((border, value))
        for labels, buckets in series.items():
            counts = [value for _, value in buckets]
            assert buckets[-1][0] == "+Inf" and counts == sorted(counts)
            total = [v for n, l, v in scraped["samples"]
                     if n == f"{name}_count" and tuple(l.items()) == labels]
            assert total == [counts[-1]]


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_prometheus_takes_the_metrics(scraped):
    done = subprocess.run(["promtool", "check", "metrics"], input=scraped["text"], text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0 and not done.stderr and not done.stdout, done


def test_a_scrape_says_what_it_is(broker):
    with urllib.request.urlopen(f"http://{broker.http}/metrics") as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
