"""The parts of the bench. Each measures one round and returns {workload: {counterpart: report}}."""
import http.client
import sys
import time

import counterparts
from counterparts import broker, direct, forwarder, load_broker, onelock, onelock_keeping, origin, serving
from harness import Broker
from job import Job, on_half

SHUFFLED, ORDERED = "64 B, 64 a frame, shuffled", "64 B, 64 a frame, in order"
SINGLE = "64 B, 1 a frame, shuffled"
KIB, KIB_SINGLE = "1 KiB, 64 a frame, shuffled", "1 KiB, 1 a frame, shuffled"
PEERS, PEERS_KIB = "64 B, in order, peers", "1 KiB, in order, peers"
STOPPED = "64 B, in order, one receiver of ten stopped"
WORKERS = "64 B, 64 a frame, shuffled, sender workers"
ORIGIN = "1,000 clients, sends of 100 ms"
SLOW_SEND = "1,000 clients, sends of 0.1 ms"
ENQUEUE = "enqueue, in order, at half the peak rate"
MODERATE_RATE = 50_000  # pushes/s
MODERATE = f"enqueue, in order, at {MODERATE_RATE:,} pushes/s"
TRICKLE = "1,000 pushes/s one by one, from push to receipt"
JOURNAL, JOURNAL_KIB = "64 B, 64 a frame, shuffled, journal", "1 KiB, 64 a frame, shuffled, journal"
DISKS, DISKS_KIB = "64 B, in order, on disk", "1 KiB, in order, on disk"
RESTART = "restart after a kill, 100,000 clients"
SCRAPE = "scrapes, 100,000 clients that stand still"
CLIENTS, IDLE = "64 B, 64 a frame, in order, 200 pushes a client", "memory of idle clients"

KEEPING = "onelock, keeping"

SLOWNESS = 100  # ms that a slow receiver takes for a push
STOPPED_FOR = 2000  # ms
ROOM = "ordering/memory_max=1073741824"  # for what slow receivers have not taken


def measure(workload, job, **runs):
    return {workload: {name: run(job) for name, run in runs.items()}}


def throughput(scale):
    """The limits: ZeroMQ alone, and the design that is replaced."""
    job = Job(scale.count)
    long = job.but(count=scale.count // 4)
    return {
        **measure(SHUFFLED, job, direct=direct, forwarder=forwarder, onelock=onelock,
                  **{KEEPING: onelock_keeping}, broker=broker),
        **measure(ORDERED, job.but(shuffle=1), direct=direct, forwarder=forwarder, broker=broker),
        **measure(SINGLE, long.but(batch=1), forwarder=forwarder, onelock=onelock, broker=broker),
        **measure(KIB, long.but(size=1024), forwarder=forwarder, broker=broker),
        **measure(KIB_SINGLE, long.but(size=1024, batch=1), forwarder=forwarder, broker=broker),
    }


def workers(scale):
    def with_workers(count):
        return lambda job: broker(job, f"workers/count={count}")

    return {WORKERS: {f"{count} workers": with_workers(count)(Job(scale.count)) for count in (1, 4)}}


def one_stopped(job):
    return job.but("--stopped", 1, "--stopped-for", STOPPED_FOR)


def stopped(scale):
    """Healthy receivers, first beside a tenth one that reads and then beside one that does not."""
    job = Job(scale.count, shuffle=1)
    return {STOPPED: {"onelock, all read": onelock(job), "onelock": onelock(one_stopped(job)),
                      "broker, all read": broker(job), "broker": broker(one_stopped(job))}}


def taking(job, microseconds):
    """The same for receivers that take so long for each push."""
    return job.but("--receive-delay", microseconds)


def replaced(scale):
    """What a slow network costs where sends are made under the lock, and what slow receivers cost the broker."""
    slow, short = (Job(count, batch=1, shuffle=1)
                   for count in (5000 * scale.seconds, scale.count // 100))
    return {ORIGIN: {"origin": origin(slow, 100),
                     "broker": broker(taking(slow.but(endpoints=1000), 100_000))},
            SLOW_SEND: {"onelock": onelock(short, 100), "broker": broker(taking(short, 100))}}


# ---- latency


def on_halves(make, *arguments):
    """Does a job on a server that has one half of the processors, while the load has the other."""
    def run(job):
        with on_half(0):
            server = make(*arguments)
        with serving(server), on_half(1):
            return load_broker(server, job) if make is Broker else server.load(job)

    return run


def enqueue(job, rate, seconds, delay):
    """Enqueue times at a rate, with receivers that take their time.

    Slow receivers have taken a fraction when all is accepted. Their clients' backlogs hold the rest:
    nothing has to be refused, and if it was, the run is no good.
    """
    count = min(int(rate * seconds), 3000 * job.clients)
    job = job.but("--rate", int(rate), "--receive-delay", 1000 * delay, count=count)
    with on_half(0):
        server = Broker(ROOM)
    with serving(server), on_half(1):
        def all_accepted():
            time.sleep(count / rate)  # the broker is not asked before, which would disturb it
            server.wait_metric("pushes_total", count, outcome="accepted")

        report = load_broker(server, job, interrupt=all_accepted if delay else None)
    if report["retries"] or not report["received"]:
        sys.exit(f"FAILED: pushes were refused for a time, or none received: {report}")
    if delay:  # what was received in the time says nothing, and the processor had all of them to take
        report["broker_cpu_us"] *= report["received"] / report["accepted"]
        del report["rate"], report["receiver_cpu_us"]
    return report


def latency(scale):
    job = Job(scale.count, shuffle=1)
    peak = on_halves(Broker)(job)
    return {ENQUEUE: {"peak": peak, **fast_and_slow(job, peak["rate"] / 2, scale.seconds)},
            MODERATE: fast_and_slow(job, MODERATE_RATE, scale.seconds)}


def fast_and_slow(job, rate, seconds):
    return {"immediate": enqueue(job, rate, seconds, 0),
            f"{SLOWNESS} ms each": enqueue(job, rate, seconds, SLOWNESS)}


def trickle(scale):
    """From end to end, where nothing waits for anything but the machine."""
    job = Job(1000 * scale.seconds, batch=1, shuffle=1, endpoints=1, publishers=1)
    job = job.but("--rate", 1000, "--latency")
    return measure(TRICKLE, job, forwarder=on_halves(counterparts.Routed, "forwarder", 1),
                   broker=on_halves(Broker))


# ---- many clients


def clients(scale):
    """As many pushes for a thousand clients as for a hundred thousand; and what idle ones take.

    In order, because scrambled seqs of so many clients are more held pushes than memory_max allows.
    """
    many = 100_000 if scale.full else 10_000
    pushes = many * (200 if scale.full else 20)
    return {CLIENTS: {f"{count:,} clients": broker(Job(pushes, clients=count, shuffle=1))
                      for count in (1000, many)},
            IDLE: {"broker": idle(many)}}


def idle(count):
    """What the broker's memory grows by for clients of which nothing is kept, in bytes for each."""
    with serving(Broker()) as server:
        load_broker(server, Job(count))
        before = server.memory()
        load_broker(server, Job(count, clients=count, shuffle=1))
        server.wait_metric("queue_messages", 0)
        return {"memory": server.memory(), "idle_client_bytes": (server.memory() - before) / count}


def scrape(scale):
    """What a look costs whoever looks, with as many clients that all stand still."""
    count = 100_000 if scale.full else 10_000
    job = Job(count, clients=count, shuffle=1).but("--only", "publish")
    with serving(Broker()) as server:
        load_broker(server, job)
        return {SCRAPE: {path: scrapes(server, path, 50 * scale.seconds)
                         for path in ("/metrics", "/api/status", "/api/clients?stuck=1")}}


def scrapes(server, path, count):
    """Scrapes over one connection, 10 ms apart: milliseconds."""
    took = []
    connection = http.client.HTTPConnection(server.http)
    for _ in range(count):
        started = time.monotonic()
        connection.request("GET", path)
        answer = connection.getresponse()
        if not answer.read() or answer.status != 200:
            sys.exit(f"FAILED: {path} is answered with {answer.status}")
        took.append(1000 * (time.monotonic() - started))
        time.sleep(0.01)
    took.sort()
    return {"scrape_p50_ms": took[len(took) // 2], "scrape_p99_ms": took[len(took) * 99 // 100]}


# ---- the journal


def journal(scale):
    """What it costs that everything accepted is on the disk."""
    job = Job(scale.count // 4)
    return {**measure(JOURNAL, job, broker=broker, journal=counterparts.journalled),
            **measure(JOURNAL_KIB, job.but(size=1024), broker=broker,
                      journal=counterparts.journalled)}


def restart(scale):
    """How long until a broker serves again that was killed with pushes for all clients."""
    clients = 100_000 if scale.full else 10_000
    job = Job(10 * clients, clients=clients, shuffle=1).but("--only", "publish")
    with counterparts.journal() as settings:
        with serving(Broker(ROOM, *settings)) as server:
            load_broker(server, job)
        started = time.monotonic()
        with serving(Broker(ROOM, *settings)) as server:
            ready = time.monotonic() - started
            kept = server.metric("queue_messages")
            if kept != job.count:
                sys.exit(f"FAILED: {kept} of {job.count} pushes are kept")
            return {RESTART: {f"{job.count:,} pushes": {"ready_s": ready, "memory": server.memory()}}}


# ---- peers


def peers(scale):
    job = Job(scale.count // 4, shuffle=1)
    kib = {name: counterparts.PEERS[name] for name in ("NATS core",)}
    return {**measure(PEERS, job, **counterparts.PEERS, broker=broker),
            **measure(PEERS_KIB, job.but(size=1024), **kib, broker=broker)}


def disks(scale):
    """Those that keep what they answered for, on the same disk, and the broker that does not."""
    job = Job(scale.count // 8, shuffle=1)
    runs = {**counterparts.peers_on_disk(), "broker": broker, "journal": counterparts.journalled}
    return {**measure(DISKS, job, **runs), **measure(DISKS_KIB, job.but(size=1024), **runs)}


#  In this order; those in the second line are measured once, not in each round,
#  those in the third only with --peers or by name.
EVERY_ROUND = {part.__name__: part for part in (throughput, workers, latency, trickle, stopped)}
ONCE = {part.__name__: part for part in (replaced, clients, scrape, journal, restart)}
PEERS_TOO = {part.__name__: part for part in (peers, disks)}
