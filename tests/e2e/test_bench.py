"""The bench: what `seqpush bench` says of a run, that its checks can fail, and that every counterpart
does the job."""
import json
import shutil
import subprocess
import sys

import pytest
from harness import BUILD, ROOT, SANITIZED, tool

sys.path.insert(0, str(ROOT / "tests/bench"))
import counterparts  # noqa: E402
from job import Job  # noqa: E402

COUNT = 20000


def bench(broker, *options):
    done = tool("bench", "--json", "--broker", broker.front, "--http", broker.http,
                "--count", COUNT, *options)
    return json.loads(done.stdout)


def test_in_order_no_push_waits_for_another(start_broker):
    ordered, shuffled = start_broker(), start_broker()
    bench(ordered, "--shuffle", 1)
    bench(shuffled, "--shuffle", 64)
    assert ordered.metric("ordering_wait_seconds_count") == COUNT
    assert ordered.metric("ordering_wait_seconds_sum") == 0
    assert shuffled.metric("ordering_wait_seconds_sum") > 0


@pytest.mark.parametrize("clients, publishers, count", [(7, 3, 1003), (3, 7, 1000), (10, 4, 9)])
def test_publishers_that_share_clients_unevenly_push_all(broker, clients, publishers, count):
    report = bench(broker, "--shuffle", 1, "--clients", clients, "--publishers", publishers,
                   "--count", count)
    assert report["accepted"] == report["received"] == count


def test_receivers_that_are_stopped_get_all_in_the_end(broker):
    report = bench(broker, "--shuffle", 1, "--stopped", 3, "--endpoints", 4)
    assert report["received"] == COUNT
    assert report["healthy_rate"] > 0


def test_one_receiver_at_least_goes_on(broker):
    done = tool("bench", "--broker", broker.front, "--stopped", 4, "--endpoints", 4, check=False)
    assert done.returncode == 2


def test_latency_is_told(broker):
    report = bench(broker, "--latency")
    assert 0 < report["latency_p50_us"] <= report["latency_p99_us"] <= report["latency_p999_us"]
    assert tool("bench", "--latency", "--size", 31, check=False).returncode == 2


# ---- counterparts

RUNS = {
    "broker": lambda: counterparts.broker(Job(COUNT)),
    "broker with a journal": lambda: counterparts.journalled(Job(COUNT)),
    "broker with CURVE": lambda: counterparts.encrypted(Job(COUNT)),
    "forwarder": lambda: counterparts.forwarder(Job(COUNT)),
    "direct": lambda: counterparts.direct(Job(COUNT)),
    "direct in order": lambda: counterparts.direct(Job(COUNT, shuffle=1)),
    "onelock": lambda: counterparts.onelock(Job(COUNT)),
    "onelock, keeping": lambda: counterparts.onelock_keeping(Job(COUNT)),
    "onelock, slow sends": lambda: counterparts.onelock(Job(COUNT // 10, batch=1), 100),
    "origin": lambda: counterparts.origin(Job(300, clients=100), 10),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_counterpart_does_the_job(name):
    report = RUNS[name]()
    assert report["received"] > 0
    assert report["lost"] == report["doubled"] == report["out_of_order"] == report["altered"] == 0


PEERS = {**counterparts.PEERS, **counterparts.peers_on_disk()}


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_does_the_job(name):
    peer = PEERS[name]
    if not shutil.which(peer.program):
        pytest.skip(f"{peer.program} is not installed")
    assert peer(Job(COUNT, shuffle=1))["received"] == COUNT


def test_what_comes_out_of_order_is_noticed():
    with counterparts.serving(counterparts.Routed("forwarder", 2)) as server:
        command = [BUILD / "tests/bench/load-zmq", "routed", server.receivers, "--broker", server.front,
                   "--count", str(COUNT), "--endpoints", "2", "--publishers", "1"]
        done = subprocess.run(command, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["out_of_order"] > 0
