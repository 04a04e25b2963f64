"""Peers that speak the wire and nothing else: what a publisher and a receiver send, said shortly."""
import time

import wire
import zmq
from harness import DEADLINE, wait_until

CONTEXT = zmq.Context.instance()
START = (0, 0)


def push(client, seq, payload=b"", epoch=0, **more):
    return wire.Push(client_id=_bytes(client), seq=seq, payload=_bytes(payload), epoch=epoch, **more)


def position(client, seq, epoch=0):
    return wire.Position(client_id=_bytes(client), epoch=epoch, seq=seq)


def outcomes(reply, count):
    """The outcome of each of the `count` pushes of a batch, by name."""
    names = ["ACCEPTED"] * count
    for rejection in reply.push_ack.rejected:
        names[rejection.index] = wire.Outcome.Name(rejection.outcome)
    assert reply.push_ack.accepted == names.count("ACCEPTED")
    return names


def show(entry):
    """An entry of a delivery as a test writes it: seq, ("marker", seq) or ("gap", from, to)."""
    if entry.marker:
        return ("marker", entry.seq)
    return ("gap", entry.seq, entry.skipped_to) if entry.skipped_to else entry.seq


def _bytes(value):
    return value.encode() if isinstance(value, str) else value


class Curve:
    """A key pair of a peer, and the broker's public key."""

    def __init__(self, server_key, pair=None):
        self.server_key = server_key.encode()
        self.public, self.secret = pair or zmq.curve_keypair()

    def make_client(self, sock):
        sock.curve_publickey, sock.curve_secretkey = self.public, self.secret
        sock.curve_serverkey = self.server_key

    def make_server(self, sock):
        sock.curve_secretkey, sock.curve_server = self.secret, True


class Peer:
    """A DEALER on the front socket. Replies that nobody asked for gather in `unasked`."""

    def __init__(self, broker, kind=zmq.DEALER, curve=None, watch=0):
        """`watch` are events of the connection that `monitor` is to tell, from its beginning on."""
        self.front = CONTEXT.socket(kind)
        self.front.linger = 0
        self.front.sndhwm = self.front.rcvhwm = 0
        self.monitor = self.front.get_monitor_socket(watch) if watch else None
        if curve:
            curve.make_client(self.front)
        self.front.connect(broker if isinstance(broker, str) else broker.front)
        self.request_id = 0
        self.unasked = []

    def close(self):
        self.front.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, **body):
        """Sends a request and returns its id."""
        self.request_id += 1
        request = wire.Request(request_id=self.request_id, **body)
        self.front.send(request.SerializeToString())
        return self.request_id

    def send_raw(self, *frames):
        self.front.send_multipart(frames)

    def receive(self, deadline=DEADLINE):
        """The next reply, or None."""
        if not self.front.poll(deadline * 1000):
            return None
        return wire.Reply.FromString(self.front.recv())

    def ask(self, **body):
        """Sends a request and returns its reply."""
        return self.reply_to(self.send(**body))

    def reply_to(self, request_id):
        while (reply := self.receive()) and reply.request_id != request_id:
            self.unasked.append(reply)
        assert reply, f"no reply to request {request_id}"
        return reply

    def receive_unasked(self):
        """The next reply with request_id 0."""
        return self.unasked.pop(0) if self.unasked else self.reply_to(0)

    def push(self, *pushes, **batch):
        """Sends a batch and returns its reply."""
        return self.ask(push=wire.PushBatch(pushes=pushes, **batch))

    def push_all(self, pushes, batch=64):
        """Sends many pushes, each batch when the one before has its reply. All must be accepted."""
        pushes = list(pushes)
        for i in range(0, len(pushes), batch):
            part = pushes[i:i + batch]
            assert set(outcomes(self.push(*part), len(part))) == {"ACCEPTED"}

    def skip(self, client, first, last, epoch=0):
        body = {"client_id": _bytes(client), "epoch": epoch, "from": first, "to": last}
        return self.ask(skip=wire.Skip(**body))

    def reset(self, client, epoch, next_seq=0):
        return self.ask(reset=wire.Reset(client_id=_bytes(client), epoch=epoch, next_seq=next_seq))

    def heartbeat(self):
        """An exchange that is done only when everything sent before was read."""
        return self.ask(heartbeat=wire.Heartbeat())


class Receiver(Peer):
    """A peer with a PULL socket. It acknowledges only when it is told to."""

    def __init__(self, broker, name="receiver", rcvhwm=1000, rcvbuf=-1, bind="tcp://127.0.0.1:*",
                 beside=None, curve=None):
        """`beside` is another receiver of the same process, whose DEALER it uses, too."""
        super().__init__(broker, curve=curve)
        if beside:
            self.front.close()
            self.front, self.request_id = beside.front, beside.request_id + (1 << 32)
        self.name = _bytes(name)
        self.pull = CONTEXT.socket(zmq.PULL)
        self.pull.linger = 0
        self.pull.rcvhwm, self.pull.rcvbuf = rcvhwm, rcvbuf
        self.server_key = {}
        if curve:
            curve.make_server(self.pull)
            self.server_key = {"server_key": curve.public.decode()}
        wait_until(lambda: self._bind(bind), f"{bind} to be free")
        self.endpoint = self.pull.LAST_ENDPOINT.decode()
        self.generation = 0
        self.last = {}
        self.ahead = 0  # entries that `take` dropped because something before them was missing
        self.entries = []

    def _bind(self, address):
        try:
            self.pull.bind(address)
        except zmq.ZMQError as error:  # a socket is closed a moment after close
            assert error.errno == zmq.EADDRINUSE
            return False
        return True

    def close(self):
        super().close()
        self.pull.close()

    def attach(self, *clients, prefix=None, **more):
        """Attaches clients, named or as positions, and returns the reply."""
        body = wire.Attach(receiver_id=self.name, endpoint=self.endpoint,
                           **{**self.server_key, **more})
        for client in clients:
            body.clients.append(client if isinstance(client, wire.Position) else
                                position(client, 0))
        if prefix is not None:
            body.client_prefix = _bytes(prefix)
        reply = self.ask(attach=body)
        self.generation = reply.attached.generation or self.generation
        return reply

    def detach(self, *clients):
        return self.ask(detach=wire.Detach(receiver_id=self.name, generation=self.generation,
                                           client_ids=map(_bytes, clients)))

    def ack(self, *positions, missing=(), generation=None):
        """Acknowledges; there is no reply."""
        self.send(ack=wire.DeliveryAck(receiver_id=self.name, positions=positions, missing=missing,
                                       generation=generation or self.generation))

    def beat(self):
        return self.ask(heartbeat=wire.Heartbeat(receiver_id=self.name, generation=self.generation))

    def delivery(self, deadline=DEADLINE):
        """The next Delivery, or None."""
        if not self.pull.poll(deadline * 1000):
            return None
        return wire.Delivery.FromString(self.pull.recv())

    def take_raw(self, count):
        """The next `count` entries as they come, markers and repetitions too."""
        while len(self.entries) < count:
            delivery = self.delivery()
            assert delivery, f"{len(self.entries)} of {count} entries came"
            if delivery.generation in (0, self.generation):
                self.entries += delivery.pushes
        taken, self.entries = self.entries[:count], self.entries[count:]
        return taken

    def show(self, count):
        """The next `count` entries, as `show` writes them."""
        return [show(entry) for entry in self.take_raw(count)]

    def take(self, count, ack=True):
        """The next `count` pushes by the receiver's rule, acknowledged as they come."""
        pushes = []
        end = time.monotonic() + DEADLINE
        while len(pushes) < count:
            delivery = self.delivery()
            assert delivery and time.monotonic() < end, f"{len(pushes)} of {count} pushes came"
            if delivery.generation != self.generation:
                continue
            missing = set()
            for entry in delivery.pushes:
                if self._follow(entry, missing):
                    pushes.append(entry)
            if ack:
                touched = {entry.client_id for entry in delivery.pushes}
                self.ack(*map(self._last, touched), missing=map(self._last, missing))
        return pushes

    def _last(self, client):
        epoch, seq = self.last.get(client, START)
        return position(client, seq, epoch)

    def _follow(self, entry, missing):
        at, before = (entry.epoch, entry.seq), self.last.get(entry.client_id, START)
        follows = not entry.marker and at == (before[0], before[1] + 1)
        if entry.marker:
            self.last[entry.client_id] = max(at, before)
        elif follows:
            self.last[entry.client_id] = (entry.epoch, max(entry.seq, entry.skipped_to))
        elif at > before:
            missing.add(entry.client_id)
            self.ahead += 1
        return follows and not entry.skipped_to
