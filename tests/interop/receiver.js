#!/usr/bin/env node
// Prints the payloads of a client, or of all with a prefix, each once and in order.
// Usage: receiver.js BROKER CLIENT|PREFIX* COUNT
'use strict';
const path = require('path');
const protobuf = require('protobufjs');
const zmq = require('zeromq');

const wire = protobuf.loadSync(path.join(__dirname, '../../proto/seqpush.proto'));
const [Request, Reply, Delivery] = ['Request', 'Reply', 'Delivery']
    .map((name) => wire.lookupType(`seqpush.v1.${name}`));
const plain = { longs: String, enums: String, oneofs: true, defaults: true };

const [broker, who] = process.argv.slice(2);
const receiverId = Buffer.from(`receiver-${process.pid}`);
const front = new zmq.Dealer(), pull = new zmq.Pull({ receiveTimeout: 5 });
const last = new Map(); // client: [epoch, seq] of the last entry taken; ids as latin1
let [count, generation] = [Number(process.argv[4]), 0n]; // 0: not attached
let [unacked, missing, ackedAt] = [new Set(), new Set(), 0];

const key = (bytes) => Buffer.from(bytes).toString('latin1');
const lastOf = (client) => last.get(client) || [0n, 0n];
const isAfter = (a, b) => (a[0] === b[0] ? a[1] > b[1] : a[0] > b[0]);
const positions = (clients) => [...clients].map((client) => ({
    clientId: Buffer.from(client, 'latin1'),
    epoch: String(lastOf(client)[0]), seq: String(lastOf(client)[1]) }));
const send = (body) => front.send(Request.encode(Request.fromObject(body)).finish());
const read = (type, frame) => type.toObject(type.decode(frame), plain);

function attach() {
    const attach = { receiverId, endpoint: pull.lastEndpoint, clients: positions(last.keys()) };
    if (who.endsWith('*'))
        attach.clientPrefix = Buffer.from(who.slice(0, -1));
    else if (!last.has(who))
        attach.clients.push({ clientId: Buffer.from(who) });
    return send({ attach });
}

// Returns the generation; 0 after an Error that asks for another Attach.
async function takeReply({ attached, error, detached }) {
    if (error && /unknown_receiver|stale_generation/.test(error.code))
        return attach().then(() => 0n);
    if (!attached || attached.refused.length) // detached, refused, or ahead of the broker
        throw new Error(JSON.stringify(error || detached || attached));
    for (const p of attached.positions) {
        const at = [BigInt(p.epoch), BigInt(p.seq)];
        if (isAfter(at, lastOf(key(p.clientId))))
            last.set(key(p.clientId), at);
    }
    return BigInt(attached.generation);
}

// Every 5 ms if there is something to say; every second anyway, as a sign of life.
async function acknowledge() {
    if (Date.now() - ackedAt < (unacked.size + missing.size ? 5 : 1000))
        return;
    const ack = { receiverId, generation: String(generation),
        positions: positions(unacked), missing: positions(missing) };
    [unacked, missing, ackedAt] = [new Set(), new Set(), Date.now()];
    await send({ ack });
}

// The receiver's rule. Returns whether it is a push whose turn has come.
function take(entry) {
    const [client, at] = [key(entry.clientId), [BigInt(entry.epoch), BigInt(entry.seq)]];
    const before = lastOf(client), gap = BigInt(entry.skippedTo);
    const follows = !entry.marker && at[0] === before[0] && at[1] === before[1] + 1n;
    if (entry.marker) // the stream goes on after this
        last.set(client, isAfter(at, before) ? at : before);
    else if (follows) // a push, or a gap notice that ends at skippedTo
        last.set(client, [at[0], gap || at[1]]);
    (isAfter(at, lastOf(client)) ? missing : unacked).add(client);
    return follows && !gap;
}

async function main() {
    front.connect(broker);
    await pull.bind('tcp://127.0.0.1:*');
    await attach();
    while (count > 0) {
        front.receiveTimeout = generation ? 0 : 1000;
        const [reply] = await front.receive().catch(() => []);
        if (reply)
            generation = await takeReply(read(Reply, reply));
        if (!generation)
            continue; // the PULL socket is not read before Attached
        await acknowledge();
        const [frame] = await pull.receive().catch(() => []);
        const { pushes, generation: of } = frame ? read(Delivery, frame) : { pushes: [] };
        for (const entry of ['0', String(generation)].includes(of) ? pushes : []) {
            if (count > 0 && (of === '0' || take(entry))) {
                process.stdout.write(Buffer.concat([entry.payload, Buffer.from('\n')]));
                count--;
            }
            await acknowledge();
        }
    }
    ackedAt = 0;
    await acknowledge();
    await send({ detach: { receiverId, generation: String(generation) } });
    front.close();
    pull.close();
}
main();
