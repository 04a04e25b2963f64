#!/usr/bin/env node
// Prints a client's payloads, each once and in order: receiver.js BROKER CLIENT|PREFIX* COUNT
'use strict';
const path = require('path');
const protobuf = require('protobufjs');
const zmq = require('zeromq');

const wire = protobuf.loadSync(path.join(__dirname, '../../proto/seqpush.proto'));
const [Request, Reply, Delivery] = ['Request', 'Reply', 'Delivery']
    .map((name) => wire.lookupType(`seqpush.v1.${name}`));
const read = (type, frame) => type.toObject(type.decode(frame), { longs: String, defaults: true });
const send = (body) => front.send(Request.encode(Request.fromObject(body)).finish());

const [broker, who] = process.argv.slice(2);
const receiverId = Buffer.from(`receiver-${process.pid}`);
const front = new zmq.Dealer(), pull = new zmq.Pull({ receiveTimeout: 5 });
const prefix = who.endsWith('*') ? { clientPrefix: Buffer.from(who.slice(0, -1)) } : null;
const last = new Map(prefix ? [] : [[who, 0n]]); // client: the last entry taken; ids as latin1
let [count, generation] = [Number(process.argv[4]), '0']; // 0: not attached
let [unacked, missing, spokeAt] = [new Set(), new Set(), 0];

// A place in a client's stream: epoch and seq in one number.
const place = (epoch, seq) => (BigInt(epoch) << 64n) + BigInt(seq);
const positions = (clients) => [...clients].map((client) => ({
    clientId: Buffer.from(client, 'latin1'), epoch: String(last.get(client) >> 64n),
    seq: String(BigInt.asUintN(64, last.get(client))) }));

// Acknowledges, every 5 ms if there is something to say, every second as a sign of life.
async function speak() {
    if (Date.now() - spokeAt < (unacked.size + missing.size ? 5 : 1000))
        return;
    const ack = { receiverId, generation,
        positions: positions(unacked), missing: positions(missing) };
    [unacked, missing, spokeAt] = [new Set(), new Set(), Date.now()];
    const attach = { receiverId, endpoint: pull.lastEndpoint,
        clients: positions(last.keys()), ...prefix };
    await send(generation === '0' ? { attach } : { ack });
}

function hear({ attached, error, detached }) {
    if (error && /unknown_receiver|stale_generation/.test(error.code))
        spokeAt = 0; // attach again, at once
    else if (!attached || attached.refused.length) // detached, refused, or ahead of the broker
        throw new Error(JSON.stringify(error || detached || attached));
    generation = attached ? attached.generation : '0';
}

// The receiver's rule. Returns whether it is a push whose turn has come.
function take(entry) {
    const client = Buffer.from(entry.clientId).toString('latin1'), gap = BigInt(entry.skippedTo);
    const at = place(entry.epoch, entry.seq), before = last.get(client) || 0n;
    const follows = !entry.marker && at === before + 1n;
    if (entry.marker && (at > before || at >> 64n !== before >> 64n))
        last.set(client, at); // the stream goes on after this
    else // a push, or a gap notice that ends at skippedTo
        last.set(client, follows && gap ? place(entry.epoch, gap) : before + BigInt(follows));
    (at > last.get(client) ? missing : unacked).add(client);
    return follows && !gap;
}

async function main() {
    front.connect(broker);
    await pull.bind('tcp://127.0.0.1:*');
    while (count > 0) {
        await speak();
        front.receiveTimeout = generation === '0' ? 5 : 0;
        const [reply] = await front.receive().catch(() => []);
        if (reply)
            hear(read(Reply, reply));
        if (generation === '0')
            continue; // the PULL socket is not read before Attached
        const [frame] = await pull.receive().catch(() => []);
        const { pushes, generation: of } = frame ? read(Delivery, frame) : { pushes: [] };
        for (const entry of ['0', generation].includes(of) ? pushes : []) {
            if (count > 0 && (of === '0' || take(entry))) {
                process.stdout.write(Buffer.concat([entry.payload, Buffer.from('\n')]));
                count--;
            }
            await speak();
        }
    }
    spokeAt = 0;
    await speak();
    await send({ detach: { receiverId, generation } });
}
main();
