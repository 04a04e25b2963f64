"""What must hold, and what is aimed for: a value of each round, from the figures of that round."""
import dataclasses
import statistics
from typing import Callable

from parts import (CLIENTS, CURVE, DISKS, DISKS_KIB, ENQUEUE, IDLE, JOURNAL, JOURNAL_KIB, KEEPING, KIB, KIB_SINGLE,
                   MODERATE, ORDERED, PEERS, PEERS_KIB, RESTART, SCRAPE, SHUFFLED,
                   SINGLE, SLOWNESS, STOPPED, TRICKLE, WORKERS)
from stage import CLASSES, DEADLINE, GAP_TIMEOUT, IDS, INSERT

RATE, CPU = "rate", "broker_cpu_us"


@dataclasses.dataclass(frozen=True)
class Aim:
    """`value` of a round is to be at least, or at most, what must hold; None: it is only told."""
    name: str
    value: Callable
    least: float = None
    most: float = None
    goal: float = None

    def values(self, rounds):
        """Of the rounds that have what it is made of."""
        found = []
        for figures in rounds:
            try:
                found.append(self.value(figures))
            except (KeyError, TypeError, ZeroDivisionError):
                pass
        return found

    def holds(self, values):
        middle = statistics.median(values)
        return ((self.least is None or middle >= self.least) and
                (self.most is None or middle <= self.most))

    def reached(self, values):
        middle = statistics.median(values)
        if self.goal is None:
            return None
        return middle >= self.goal if self.least is not None else middle <= self.goal

    def bound(self):
        if self.least is not None:
            return f">= {self.least:g}"
        return f"<= {self.most:g}" if self.most is not None else ""


def over(workload, counterpart, figure=RATE, subject="broker"):
    """The subject's figure over the counterpart's."""
    return lambda r: r[workload][subject][figure] / r[workload][counterpart][figure]


def figure(workload, counterpart, name):
    return lambda r: r[workload][counterpart][name]


def healthy(subject):
    """The rate of nine receivers while the tenth is stopped, over theirs when it is not."""
    def value(r):
        reports = r[STOPPED]
        return reports[subject]["healthy_rate"] / (0.9 * reports[f"{subject}, all read"][RATE])

    return value


def many_over_few(r):
    few, many = r[CLIENTS].values()
    return many[RATE] / few[RATE]


def within(workload, counterpart, name, base):
    """One figure of a report over another."""
    return lambda r: r[workload][counterpart][name] / r[workload][counterpart][base]


SLOW = f"{SLOWNESS} ms each"
AIMS = [
    Aim("broker CPU / forwarder's, 64 B shuffled", over(SHUFFLED, "forwarder", CPU), most=2.5, goal=1.8),
    Aim("rate / forwarder, 64 B shuffled", over(SHUFFLED, "forwarder"), least=0.40, goal=0.55),
    Aim("rate / forwarder, 64 B in order", over(ORDERED, "forwarder"), least=0.45, goal=0.65),
    Aim("rate / forwarder, 1 KiB shuffled", over(KIB, "forwarder"), least=0.55, goal=0.75),
    Aim("rate / forwarder, 64 B, 1 a frame", over(SINGLE, "forwarder"), least=0.28, goal=0.45),
    Aim("rate / forwarder, 1 KiB, 1 a frame", over(KIB_SINGLE, "forwarder"), least=0.45, goal=0.60),
    Aim("rate / one lock, which keeps too", over(SHUFFLED, KEEPING), least=2.2, goal=4),
    Aim("CPU / one lock, which keeps too", over(SHUFFLED, KEEPING, CPU), most=0.40, goal=0.25),
    Aim("rate / one lock, which keeps nothing", over(SHUFFLED, "onelock"), least=2.2, goal=4),
    Aim("CPU / one lock, which keeps nothing", over(SHUFFLED, "onelock", CPU), most=0.40, goal=0.25),
    Aim("enqueue p99 at half the peak, us", figure(ENQUEUE, "immediate", "enqueue_p99_us"),
        most=100, goal=30),
    Aim("enqueue p99.9 at half the peak, us", figure(ENQUEUE, "immediate", "enqueue_p999_us"),
        most=1000),
    Aim("enqueue p50, slow receivers / immediate",
        over(ENQUEUE, "immediate", "enqueue_p50_us", SLOW), most=1.5, goal=1.0),
    Aim("enqueue p99, slow receivers / immediate",
        over(ENQUEUE, "immediate", "enqueue_p99_us", SLOW), most=1.5, goal=1.0),
    Aim("enqueue p99 at 50,000/s, us", figure(MODERATE, "immediate", "enqueue_p99_us"), most=1000),
    Aim("the same, slow receivers, us", figure(MODERATE, SLOW, "enqueue_p99_us"), most=1000),
    Aim("p50 there, slow receivers / immediate",
        over(MODERATE, "immediate", "enqueue_p50_us", SLOW), most=1.5, goal=1.0),
    Aim("p99 there, slow receivers / immediate",
        over(MODERATE, "immediate", "enqueue_p99_us", SLOW), most=1.5, goal=1.0),
    Aim("healthy receivers, one of ten stopped", healthy("broker"), least=0.98, goal=0.99),
    Aim("the same with one lock", healthy("onelock")),
    Aim("broker's memory meanwhile, MiB", lambda r: r[STOPPED]["broker"]["memory"] / 2**20, most=512),
    Aim("rate, 4 workers / 1 worker", over(WORKERS, "1 workers", RATE, "4 workers"), least=0.85,
        goal=1.0),
    Aim("rate with CURVE / plaintext", over(CURVE, "broker", RATE, "curve")),
    Aim("broker's CPU with CURVE / plaintext", over(CURVE, "broker", CPU, "curve")),
    Aim("latency p50 / forwarder's, 1,000/s", over(TRICKLE, "forwarder", "latency_p50_us")),
    Aim("latency p99 / forwarder's, 1,000/s", over(TRICKLE, "forwarder", "latency_p99_us")),
    Aim("an idle client's memory, bytes", figure(IDLE, "broker", "idle_client_bytes"), most=256,
        goal=128),
    *(Aim(f"scrape of {path} p50, ms", figure(SCRAPE, path, "scrape_p50_ms"), most=10)
      for path in ("/metrics", "/api/status")),
    Aim("rate, many clients / 1,000", many_over_few, least=0.70, goal=0.85),
    Aim("CPU, ten rules / one", over(CLASSES, "1 rule", CPU, "10 rules"), most=1.05),
    Aim("insert p99, a million held / 10,000", within(INSERT, "core", "many_p99_ns", "few_p99_ns"),
        most=1.5),
    Aim("insert, ids that collide / random", within(IDS, "core", "colliding_ns", "random_ns"),
        most=1.2),
    Aim("earliest gap notice / gap_timeout", figure(DEADLINE, "broker", "earliest"), least=1.0),
    Aim("latest gap notice, ms", figure(DEADLINE, "broker", "latest_ms"),
        most=1.05 * GAP_TIMEOUT + 10),
    Aim("rate with journal / without, 64 B", over(JOURNAL, "broker", RATE, "journal")),
    Aim("rate with journal / without, 1 KiB", over(JOURNAL_KIB, "broker", RATE, "journal")),
    Aim("ready again with 10 pushes a client, s", lambda r: max(
        report["ready_s"] for report in r[RESTART].values()), most=5),
    Aim("rate / NATS core, 64 B", over(PEERS, "NATS core"), least=2, goal=3),
    Aim("CPU / NATS core, 64 B", over(PEERS, "NATS core", CPU), most=0.5, goal=0.33),
    Aim("rate / NATS core, 1 KiB", over(PEERS_KIB, "NATS core"), least=1.4, goal=2),
    Aim("CPU / NATS core, 1 KiB", over(PEERS_KIB, "NATS core", CPU), most=0.5, goal=0.33),
    Aim("rate / NATS JetStream, 64 B", over(PEERS, "NATS JetStream")),
    Aim("rate / Redis pub/sub, 64 B", over(PEERS, "Redis pub/sub"), least=2, goal=3),
    Aim("rate / Redis streams, 64 B", over(PEERS, "Redis streams"), least=6, goal=10),
    Aim("rate / mosquitto QoS 0, 64 B", over(PEERS, "mosquitto QoS 0"), least=24, goal=40),
    Aim("rate / mosquitto QoS 1, 64 B", over(PEERS, "mosquitto QoS 1"), least=45, goal=80),
    *(Aim(f"rate / {name}, {size}", over(workload, peer, RATE, "journal"), least=1)
      for workload, size in ((DISKS, "64 B"), (DISKS_KIB, "1 KiB"))
      for name, peer in (("Redis, appendfsync always", "Redis streams, appendfsync always"),
                         ("JetStream, sync always", "NATS JetStream, file, sync_interval always"),
                         ("JetStream, file", "NATS JetStream, file, synced every 2 min"))),
]
