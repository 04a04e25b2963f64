#!/usr/bin/env node
// Prints the payloads of a client, or of all with a prefix, each once and in order.
// Usage: receiver.js BROKER CLIENT|PREFIX* COUNT
'use strict';
const path = require('path');
const protobuf = require('protobufjs');
const zmq = require('zeromq');

const [ACK_INTERVAL, BEAT_INTERVAL] = [5, 2000]; // ms
const wire = protobuf.loadSync(path.join(__dirname, '../../proto/seqpush.proto'));
const [Request, Reply, Delivery] = ['Request', 'Reply', 'Delivery']
    .map((name) => wire.lookupType(`seqpush.v1.${name}`));
const plain = { longs: String, enums: String, oneofs: true, defaults: true };

const [broker, who] = process.argv.slice(2);
let count = Number(process.argv[4]);
const receiverId = Buffer.from(`receiver-${process.pid}`);
const front = new zmq.Dealer({ linger: 1000 });
const pull = new zmq.Pull({ receiveTimeout: ACK_INTERVAL });
const START = { epoch: 0n, seq: 0n };
const last = new Map(); // client: position of the last push taken; ids as latin1, byte for byte
let generation = '0'; // '0': not attached
let [unacked, missing, ackDue, beatDue] = [new Set(), new Set(), 0, 0];

const key = (bytes) => Buffer.from(bytes).toString('latin1');
const at = (p) => ({ epoch: BigInt(p.epoch), seq: BigInt(p.seq) });
const after = (a, b) => (a.epoch === b.epoch ? a.seq > b.seq : a.epoch > b.epoch);
const lastOf = (client) => last.get(client) || START;
const positions = (clients) => [...clients].map((client) => ({
    clientId: Buffer.from(client, 'latin1'),
    epoch: String(lastOf(client).epoch),
    seq: String(lastOf(client).seq),
}));
const send = (body) => front.send(Request.encode(Request.fromObject(body)).finish());

function attach() {
    const body = { receiverId, endpoint: pull.lastEndpoint, clients: positions(last.keys()) };
    if (who.endsWith('*'))
        body.clientPrefix = Buffer.from(who.slice(0, -1));
    else if (!last.has(who))
        body.clients.push({ clientId: Buffer.from(who) });
    return send({ attach: body });
}

// Sends what is due: an ack every few milliseconds, a heartbeat (or the Attach) every 2 s.
async function keepUp() {
    if (generation !== '0' && unacked.size + missing.size && Date.now() >= ackDue) {
        const ack = { positions: positions(unacked), missing: positions(missing) };
        [unacked, missing, ackDue] = [new Set(), new Set(), Date.now() + ACK_INTERVAL];
        await send({ ack: { receiverId, generation, ...ack } });
    }
    if (Date.now() >= beatDue) {
        beatDue = Date.now() + BEAT_INTERVAL;
        await (generation === '0' ? attach() : send({ heartbeat: { receiverId, generation } }));
    }
}

function takeReply({ body, attached, error, detached }) {
    if (body === 'attached') {
        generation = attached.generation;
        for (const p of attached.positions)
            if (after(at(p), lastOf(key(p.clientId))))
                last.set(key(p.clientId), at(p));
        for (const p of attached.refused) // we are ahead of the broker: go on where it is
            last.set(key(p.clientId), at(p));
    } else if (detached || (error && !/unknown_receiver|stale_generation/.test(error.code)))
        throw new Error(JSON.stringify(detached || error));
    if (error || (attached && attached.refused.length))
        [generation, beatDue] = ['0', 0]; // attach again
}

// The receiver's rule. Returns whether it is a push whose turn has come.
function take(entry) {
    const [client, here] = [key(entry.clientId), at(entry)];
    const before = lastOf(client);
    const follows = !entry.marker && here.epoch === before.epoch && here.seq === before.seq + 1n;
    const gap = BigInt(entry.skippedTo);
    if (entry.marker) { // the stream goes on after this
        last.set(client, after(here, before) ? here : before);
    } else if (follows) { // a push, or a gap notice that ends at skippedTo
        last.set(client, { epoch: here.epoch, seq: gap ? gap : here.seq });
    } else if (after(here, before)) { // something before it was lost: the broker is to go back
        missing.add(client);
        return false;
    }
    unacked.add(client);
    return follows && !gap;
}

async function main() {
    front.connect(broker);
    await pull.bind('tcp://127.0.0.1:*');
    while (count > 0) {
        await keepUp();
        front.receiveTimeout = generation === '0' ? 100 : 0;
        const [reply] = await front.receive().catch(() => []);
        if (reply)
            takeReply(Reply.toObject(Reply.decode(reply), plain));
        if (generation === '0')
            continue; // not attached: the PULL socket is not read
        const [frame] = await pull.receive().catch(() => []);
        if (!frame)
            continue;
        const delivery = Delivery.toObject(Delivery.decode(frame), plain);
        if (!['0', generation].includes(delivery.generation))
            continue;
        for (const entry of delivery.pushes) {
            if (count > 0 && (delivery.generation === '0' || take(entry))) {
                process.stdout.write(Buffer.concat([entry.payload, Buffer.from('\n')]));
                count--;
            }
            await keepUp();
        }
    }
    ackDue = 0;
    await keepUp();
    await send({ detach: { receiverId, generation } });
    front.close();
    pull.close();
}
main();
