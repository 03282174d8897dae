// A klikit webhook receiver for Node 18 or newer, without packages.
//
//   KLIKIT_WEBHOOK_SECRET=... node receiver.mjs        HOST, PORT and RECEIVER_FILE are optional
//
// The one rule: a delivery is on disk before it is answered with 2xx. Whatever goes wrong earlier is not answered
// 2xx, so the sender comes again; whatever was answered is found again after a crash, so a repeat changes nothing.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import fs from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';

const { KLIKIT_WEBHOOK_SECRET: secret, HOST = '127.0.0.1', PORT = '8787', RECEIVER_FILE = './receiver.ndjson' } = process.env;
const BODY_BYTES_MAX = 10 * 1024 * 1024;
if (!secret) {
  console.error('KLIKIT_WEBHOOK_SECRET is not set');
  process.exit(1);
}

// The orders of an envelope, or an error where it cannot be read. JavaScript's numbers are exact only up to 2^53 and
// an id may be larger: long integers (outside of texts) are read as BigInt.
function readOrders(body) {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  const exact = text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g, (t) => (/^-?\d{16,}$/.test(t) ? `"int:${t}"` : t));
  const envelope = JSON.parse(exact, (_, v) => (/^int:-?\d{16,}$/.test(v) ? BigInt(v.slice(4)) : v));
  const isInteger = (v) => typeof v === 'bigint' || Number.isSafeInteger(v);
  return envelope.orders.map(({ id, status, version, updated_at }) => {
    if (!isInteger(id) || !isInteger(status)) throw new Error('an order without id or status');
    return { id, status, version: isInteger(version) ? version : null, updatedAt: Date.parse(updated_at) };
  });
}

// Deliveries may arrive late: the view keeps the newest state of an order, not the last one to come in.
const view = new Map();
function apply(orders) {
  for (const order of orders) {
    const known = view.get(String(order.id));
    const isOlder = known && (order.version !== null && known.version !== null
      ? order.version < known.version
      : order.updatedAt < known.updatedAt); // false where one of them has no time
    if (!isOlder) view.set(String(order.id), order);
  }
}
const asJson = (orders) => // by hand, because JSON.stringify refuses a BigInt
  `[${orders.map((o) => `{"id":${o.id},"status":${o.status},"version":${o.version}}`).join(',')}]`;

// The file is the memory: one line per accepted delivery. A last line without its line feed was cut off by a crash
// and never acknowledged, so it is taken away; any other damage stops the start.
const file = fs.openSync(RECEIVER_FILE, 'a+');
const seen = new Set();
let kept = 0;
const content = fs.readFileSync(RECEIVER_FILE);
for (let end; (end = content.indexOf(10, kept)) >= 0; kept = end + 1) {
  const line = JSON.parse(content.toString('utf8', kept, end));
  seen.add(line.event_id);
  if (line.readable) apply(readOrders(Buffer.from(line.body_base64, 'base64')));
}
fs.ftruncateSync(file, kept);
fs.fsyncSync(file);
const folder = fs.openSync(path.dirname(RECEIVER_FILE), 'r');
fs.fsyncSync(folder); // the file's name must survive too
fs.closeSync(folder);

// Nothing in here waits, so two posts of the same id cannot both find it new.
function accept(eventId, eventType, body) {
  const sha256 = createHash('sha256').update(body).digest('hex');
  const id = eventId || `sha256:${sha256}`; // genuine but without an id: the bytes themselves are the id
  if (seen.has(id)) return 'duplicate-ignored';
  let orders = [];
  let readable = true;
  try {
    orders = readOrders(body);
  } catch {
    readable = false; // kept for a person to look at; refusing it would only make the sender repeat it
  }
  const fields = { event_id: id, event_type: eventType ?? '', received_at: new Date().toISOString(), sha256, readable };
  const line = `${JSON.stringify(fields).slice(0, -1)},"orders":${asJson(orders)},"body_base64":"${body.toString('base64')}"}\n`;
  try {
    fs.appendFileSync(file, line);
    fs.fsyncSync(file);
  } catch (error) {
    console.error(`cannot keep deliveries: ${error.message}`); // what is on disk now is unknown: start again from it
    process.exit(1);
  }
  seen.add(id);
  apply(orders);
  return 'received';
}

const server = createServer({ requestTimeout: 10_000, connectionsCheckingInterval: 1_000 }, (req, res) => {
  const answer = (status, text, type = 'text/plain') => {
    if (!server.listening) res.setHeader('connection', 'close');
    res.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) }).end(text);
  };
  const { pathname } = new URL(req.url, 'http://receiver');
  let chunks = [];
  let bytes = 0;
  req.on('data', (chunk) => {
    bytes += chunk.length;
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk);
    else chunks = []; // read to its end, so that the sender sees the 413, but not kept
  });
  req.on('end', () => {
    if (pathname === '/orders' && req.method === 'GET') return answer(200, asJson([...view.values()]), 'application/json');
    if (pathname !== '/webhooks/klikit') return answer(404, 'not found');
    if (req.method !== 'POST') return answer(405, 'method not allowed');
    if (bytes > BODY_BYTES_MAX) return answer(413, 'body too large');
    const body = Buffer.concat(chunks); // the bytes as they came: what was signed
    const expected = Buffer.from(createHmac('sha256', secret).update(body).digest('hex'));
    const given = Buffer.from(req.headers['x-klikit-signature'] ?? '');
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return answer(403, 'forbidden');
    const status = accept(req.headers['x-klikit-event-id'], req.headers['x-klikit-event-type'], body);
    return answer(200, JSON.stringify({ status }), 'application/json');
  });
});
server.keepAliveTimeout = 60_000; // longer than senders keep an idle connection, so that they do not post into a closing one
server.listen(Number(PORT), HOST, () => console.log(`listening on http://${HOST}:${server.address().port}`));
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    server.close(); // the posts that are under way get their answer
    setTimeout(() => process.exit(0), 10_000).unref();
  });
}
