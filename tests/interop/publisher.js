#!/usr/bin/env node
// Sends the lines of standard input as numbered pushes for one client: publisher.js BROKER CLIENT
'use strict';
const fs = require('fs');
const path = require('path');
const protobuf = require('protobufjs');
const zmq = require('zeromq');

const [BATCH, UNDER_WAY, PATIENCE] = [64, 16, 2000]; // pushes a request, requests, ms
const RETRY = ['WINDOW_FULL', 'BACKLOG_FULL', 'OVERLOADED', 'STORAGE_UNAVAILABLE'];
const wire = protobuf.loadSync(path.join(__dirname, '../../proto/seqpush.proto'));
const [Request, Reply] = ['Request', 'Reply'].map((name) => wire.lookupType(`seqpush.v1.${name}`));

const [broker, client] = process.argv.slice(2);
const front = new zmq.Dealer({ linger: 1000 });
const lines = fs.readFileSync(0, 'utf8').split('\n').slice(0, -1);
let waiting = lines.map((line, i) =>
    ({ clientId: Buffer.from(client), seq: String(i + 1), payload: Buffer.from(line) }));
const sent = new Map(); // requestId: its pushes, until they have an outcome
const outcomes = {};
let [requestId, resume] = [0, 0];

async function sendBatch() {
    const pushes = waiting.splice(0, BATCH);
    sent.set(++requestId, pushes);
    await front.send(Request.encode(Request.fromObject({ requestId, push: { pushes } })).finish());
}

function take(reply) {
    if (reply.body === 'error')
        throw new Error(`${reply.error.code}: ${reply.error.message}`);
    if (reply.body !== 'pushAck')
        return; // unasked
    const { rejected, requests } = reply.pushAck;
    const open = [...sent.keys()].filter((id) => id <= Number(reply.requestId));
    for (const id of open.slice(-Math.max(requests, 1))) {
        const batch = sent.get(id);
        const refused = new Map(rejected.map((r) => [r.index, r]));
        batch.forEach((_, i) => {
            const outcome = refused.has(i) ? refused.get(i).outcome : 'ACCEPTED';
            if (!RETRY.includes(outcome))
                outcomes[outcome] = (outcomes[outcome] || 0) + 1;
        });
        const again = [...refused.values()].filter((r) => RETRY.includes(r.outcome));
        waiting = again.map((r) => batch[r.index]).concat(waiting);
        resume = Math.max(resume, ...again.map((r) => Date.now() + r.retryAfterMs));
        sent.delete(id);
    }
}

async function main() {
    front.connect(broker);
    while (waiting.length || sent.size) {
        while (waiting.length && sent.size < UNDER_WAY && Date.now() >= resume)
            await sendBatch();
        front.receiveTimeout = 1 + (sent.size ? PATIENCE : Math.max(resume - Date.now(), 0));
        const [frame] = await front.receive().catch(() => []);
        if (frame) {
            take(Reply.toObject(Reply.decode(frame),
                { longs: String, enums: String, oneofs: true, defaults: true }));
        } else if (sent.size) { // no answer: send again, the broker knows a duplicate
            waiting = [...sent.values()].flat().concat(waiting);
            sent.clear();
        }
    }
    console.error(Object.entries(outcomes).map(([o, n]) => `${n} ${o.toLowerCase()}`).join(', '));
    process.exit(Object.keys(outcomes).some((o) => o !== 'ACCEPTED' && o !== 'DUPLICATE') ? 1 : 0);
}
main();
