"""What can do a job: the broker and what it is compared with. Each does it once, in processes of its
own, and returns the report of the load."""
import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from job import run

from harness import BUILD, DEADLINE, SEQPUSH, Broker, Process, tool, wait_until

THREADS = 4  # of the design with one lock: one a publisher
DISK = BUILD / "bench"  # a folder on the disk on which the project lies
ENQUEUE = ("enqueue_p50_us", "enqueue_p99_us", "enqueue_p999_us")


@contextlib.contextmanager
def serving(server):
    try:
        yield server
    finally:
        server.child.kill()
        server.wait()


# ---- the broker and what is built here


def load_broker(broker, job, **options):
    """A job on a broker that runs."""
    return run([SEQPUSH, "bench", "--json"], job, "--broker", broker.front, "--http", broker.http,
               "--broker-pid", broker.pid, **options)


def broker(job, *settings):
    with serving(Broker(*settings)) as server:
        return {**load_broker(server, job), "memory": server.memory()}


@contextlib.contextmanager
def keys():
    """A configuration with one key that may do everything, and the options to use it."""
    with tempfile.TemporaryDirectory() as folder:
        server, own = (tool("keygen", f"{folder}/{name}").stdout.decode().strip()
                       for name in ("broker", "own"))
        config = Path(folder, "seqpushd.conf")
        config.write_text(f'security\n    secret_file = {folder}/broker.key\n    key\n        name = own\n'
                          f'        public = "{own}"\n        role = publisher\n        role = receiver\n'
                          '        clients = "*"\n        receivers = "*"\n'
                          '        endpoints = "tcp://127.0.0.1:*"\n')
        yield config, ("--key", f"{folder}/own.key", "--server-key", server)


def encrypted(job):
    """The broker with CURVE, at the front and to receivers."""
    with keys() as (config, options), serving(Broker(config=config)) as server:
        return {**load_broker(server, job.but(*options)), "memory": server.memory()}


@contextlib.contextmanager
def journal():
    """The settings of a store on the disk, which goes in the end."""
    DISK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="store-", dir=DISK) as store:
        yield "journal/engine=lmdb", f"journal/path={store}"


def journalled(job):
    with journal() as settings:
        return broker(job, *settings)


class Routed(Process):
    """A counterpart with ROUTER in front and PUSH behind."""

    def __init__(self, program, *arguments):
        super().__init__(BUILD / "tests/bench" / program, *arguments)
        ready = self.wait_for_line(r"ready (?:front=(\S+) )?push=(\S+)")
        self.front, self.receivers = ready[1], ready[2]

    def load(self, job, kind="routed"):
        return run([BUILD / "tests/bench/load-zmq", kind, self.receivers], job,
                   "--broker", self.front or "none", "--broker-pid", self.pid)


def forwarder(job):
    """It keeps order where there is one way through it alone."""
    ordered = job.shuffle == 1 and job.endpoints == 1 and job.publishers == 1
    with serving(Routed("forwarder", job.endpoints)) as server:
        return server.load(job if ordered else job.but("--unordered"))


def direct(job):
    """PUSH to PULL: in order if what is pushed is."""
    return run([BUILD / "tests/bench/load-zmq", "direct", ""],
               job if job.shuffle == 1 else job.but("--unordered"))


def enqueued(server):
    """What the process says of how long it took to put messages in the queue."""
    line = server.wait_for_line(r"enqueued count=\d+ us=(\S+)(?: rate=(\S+))?")
    return dict(zip(ENQUEUE, map(float, line[1].split(","))), **({"rate": float(line[2])} if line[2]
                                                                 else {}))


def onelock(job, send_us=0):
    with serving(Routed("onelock", THREADS, job.endpoints, send_us)) as server:
        report = server.load(job)
        server.signal(signal.SIGTERM)
        return {**report, **enqueued(server)}


def onelock_keeping(job):
    """The same design doing what the broker does: it answers, and keeps what is not acknowledged."""
    with serving(Routed("onelock", THREADS, job.endpoints, 0, "keep")) as server:
        report = server.load(job, "acked")
        server.signal(signal.SIGTERM)
        return {**report, **enqueued(server)}


def origin(job, send_ms):
    """The origin's queue makes its messages itself, as many for each client."""
    rounds = job.count // job.clients
    with serving(Routed("origin", job.clients, rounds, job.endpoints, send_ms)) as server:
        job = job.but("--only", "receive", "--timeout", 30, count=rounds * job.clients)
        report = server.load(job)
        return {**report, **enqueued(server)}


# ---- peers that Debian has


class Peer:
    """A server of another project, with a directory and a port of its own."""

    def __init__(self, *command, config=None):
        DISK.mkdir(parents=True, exist_ok=True)
        self.directory = tempfile.TemporaryDirectory(prefix="peer-", dir=DISK)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        names = {"port": self.port, "directory": self.directory.name}
        if config:
            (Path(self.directory.name) / "config").write_text(config.format(**names))
        with open(Path(self.directory.name) / "log", "w") as log:
            self.child = subprocess.Popen([word.format(**names) for word in command], stdout=log,
                                          stderr=log, cwd=self.directory.name)
        wait_until(self._answers, f"{command[0]} to serve {self.address}")

    def _answers(self):
        if self.child.poll() is not None:
            sys.exit(f"FAILED: {(Path(self.directory.name) / 'log').read_text()}")
        try:
            socket.create_connection(("127.0.0.1", self.port), DEADLINE).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
            return False
        return True

    def wait(self):
        self.child.wait(DEADLINE)
        self.directory.cleanup()


def on_peer(kind, *command, config=None):
    """What does a job on such a server, in the protocol `kind`."""
    def measure(job):
        with serving(Peer(*command, config=config)) as server:
            return run([BUILD / "tests/bench/load-peer", kind, server.address], job,
                       "--broker", server.address, "--broker-pid", server.child.pid)

    measure.program = command[0]
    return measure


NATS = ("nats-server", "--addr", "127.0.0.1", "--port", "{port}")
REDIS = ("redis-server", "--bind", "127.0.0.1", "--port", "{port}", "--save", "", "--appendonly", "no",
         "--client-output-buffer-limit", "pubsub 0 0 0")
MOSQUITTO = ("mosquitto", "-c", "config")
MOSQUITTO_CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
log_type error
set_tcp_nodelay true
max_inflight_messages 0
max_queued_messages 0
"""

PEERS = {
    "NATS core": on_peer("nats", *NATS),
    "NATS JetStream": on_peer("jetstream", *NATS, "--jetstream", "--store_dir", "{directory}"),
    "Redis pub/sub": on_peer("redis", *REDIS),
    "Redis streams": on_peer("streams", *REDIS),
    "mosquitto QoS 0": on_peer("qos0", *MOSQUITTO, config=MOSQUITTO_CONFIG),
    "mosquitto QoS 1": on_peer("qos1", *MOSQUITTO, config=MOSQUITTO_CONFIG),
}


#  What is answered is on the disk; what the server does not have the setting for is left out.
REDIS_SYNCED = (*REDIS[:REDIS.index("--appendonly")], "--appendonly", "yes", "--appendfsync", "always",
                "--auto-aof-rewrite-percentage", "0", "--dir", "{directory}")
NATS_SYNCED_CONFIG = "jetstream {{ store_dir: \"{directory}\", sync_interval: always }}\n"
SYNCED = {
    "Redis streams, appendfsync always": on_peer("streams", *REDIS_SYNCED),
    "NATS JetStream, file, sync_interval always": on_peer(
        "jetstream-file", *NATS, "--config", "config", config=NATS_SYNCED_CONFIG),
}

#  In files that are synced now and then: every 2 minutes with NATS.
STORED = {"NATS JetStream, file, synced every 2 min": on_peer(
    "jetstream-file", *NATS, "--jetstream", "--store_dir", "{directory}")}


def nats_syncs_always():
    """Servers before 2.10 do not have the setting."""
    if not shutil.which(NATS[0]):
        return False
    with tempfile.NamedTemporaryFile("w") as config:
        config.write(NATS_SYNCED_CONFIG.format(directory="/nowhere"))
        config.flush()
        return subprocess.run([NATS[0], "-t", "--config", config.name],
                              capture_output=True).returncode == 0


def peers_on_disk():
    synced = {name: peer for name, peer in SYNCED.items()
              if peer.program != NATS[0] or nats_syncs_always()}
    return {**synced, **STORED}


def missing_peers():
    return sorted({peer.program for peer in PEERS.values() if not shutil.which(peer.program)})
