// What the consoles have to show: orders in every status, an endpoint that is up, one that is down and one that is paused, dead
// letters, what was taken back, replays, and things that the inbox could not read. Made through the APIs alone.

import { createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Half, call, receiver, until } from "./halves.js";

const EVENTS = ["klikit.order.created.v2", "klikit.order.status.updated", "klikit.order.cart.updated"];
const BRANDS = [
  { id: 663, title: "Bali Bites" },
  { id: 664, title: "Warung Nusantara & Söhne" },
  { id: 665, title: "Noodle Bar" },
];
const BRANCHES = [1062, 1063, 1064, 1065];

// How far an order goes; the ends are chosen so that every column of the board has some.
const WAY = ["accepted", "preparing", "ready", "driver_assigned", "dispatched", "delivered"];

const PLATFORM = `
[delivery]
# The second failure of a delivery is its last one, and what is down stays down while the tests look at it.
retry_delays_ms = [100]
probe_pause_min_ms = 900000
probe_pause_max_ms = 900000
`;

const INBOX = `
[partner_api]
allow_http = true
url = "PLATFORM"

[[read_tokens]]
name = "kitchen display"
token_file = "READER"

[[sinks]]
name = "orders_file"
kind = "ndjson"
path = "orders.ndjson"

[[sinks]]
name = "pos"
kind = "http"
url = "http://127.0.0.1:9/webhooks/klikit"
`;

export const ADMIN = "op_admin_4b1d9c6e20f7a835";
export const WRITER = "write_7d2c90be41fa6835";
export const READER = "read_5e81c3d07b9f2a46";

/** Sets the scene. `traffic_minutes`: for how long orders come and go beforehand, so that the charts have something. */
export async function scene({ traffic_minutes = 0 } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "hookit-browser-"));
  const ends = [() => rm(folder, { recursive: true, force: true })];
  const end = async () => {
    for (const one of ends.reverse()) await one();
  };
  try {
    return { ...(await set(folder, ends, traffic_minutes)), end };
  } catch (error) {
    await end();
    throw error;
  }
}

async function set(folder, ends, traffic_minutes) {
  const file = async (name, text) => {
    await writeFile(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const platform = await Half.start("platform", folder, await file("platform.toml", PLATFORM), {
    HOOKIT_OPERATOR_TOKEN: ADMIN,
  });
  ends.push(() => platform.stop());
  const api = (method, path, body) => call(platform.url, ADMIN, method, `/v1/operator/${path}`, body);

  const brands = BRANDS.map((brand) => ({ ...brand, branches: BRANCHES }));
  await api("PUT", "businesses/737", { name: "Restaurants of the tests", brands });
  const support = (await api("POST", "tokens", { name: "Ana", role: "support" })).token;
  const partner = (name) => api("POST", "partners", { name, business_id: 737 });
  const [till, kitchen, books] = [await partner("Till"), await partner("Kitchen display"), await partner("Books")];

  const settings = INBOX.replace("PLATFORM", platform.url).replace("READER", await file("reader.token", READER));
  const inbox = await Half.start("inbox", folder, await file("inbox.toml", settings), {
    KLIKIT_WEBHOOK_SECRET: till.webhook_secret_key,
    KLIKIT_PARTNER_KEY: till.partner_key,
    KLIKIT_SECRET_KEY: till.secret_key,
    HOOKIT_INBOX_WRITE_TOKEN: WRITER,
  });
  ends.push(() => inbox.stop());

  // Which orders the kitchen refuses.
  let refuses = () => false;
  const receives = await receiver((path, ids) => (path.startsWith("/kitchen") && ids.some(refuses) ? 500 : 200));
  ends.push(() => receives.stop());
  const register = async (of, url) => {
    let endpoint_id = 0;
    let webhook_id = 0;
    for (const event_type of EVENTS) {
      ({ endpoint_id, webhook_id } = await api("PUT", "webhooks", { partner_id: of.partner_id, event_type, url }));
    }
    return { endpoint_id, webhook_id, partner_id: of.partner_id };
  };
  const at_inbox = await register(till, `${inbox.url}/webhooks/klikit`);
  const at_kitchen = await register(kitchen, `${receives.url}/kitchen/display`);
  const at_books = await register(books, `${receives.url}/books`);

  let next_id = 7_585_300;
  const order = async (fields = {}) => {
    const id = (next_id += 1);
    const brand = BRANDS[id % BRANDS.length];
    await api("POST", "orders", {
      id,
      external_id: `GF-${id}-${id % 97}`,
      short_id: `GF-${id % 1000}`,
      identity: `737-${id}`,
      business_id: 737,
      branch_id: BRANCHES[id % BRANCHES.length],
      brand_name: brand.title,
      brands: [{ id: brand.id, title: brand.title }],
      source: "GrabFood",
      final_price: 45_000 + (id % 50) * 500,
      currency: "IDR",
      customer: { first_name: "Ayu", last_name: "Wijaya" },
      cart: [{ id: 1, name: "Nasi goreng <pedas>", quantity: 1 + (id % 3), unit_price: 22_500 }],
      ...fields,
    });
    return id;
  };
  const move = (id, status) => api("PATCH", `orders/${id}/status`, { status, ...(status === "cancelled" && { reason_code: "item unavailable" }) });
  const goes = async (id, steps) => {
    for (const status of WAY.slice(0, steps)) await move(id, status);
  };
  const status = () => api("GET", "status");
  const quiet = () => until("the last delivery", async () => (await status()).pending === 0);

  await traffic(traffic_minutes, { order, move, goes });

  // Orders that the kitchen cannot take. Others arrive in between, or the endpoint would be found to be down.
  const dead = [];
  for (let i = 0; i < 4; i += 1) {
    const id = next_id + 1;
    refuses = (one) => one === id;
    await order();
    await until("a dead letter", async () => (await status()).dead === i + 1);
    dead.push(id);
    await goes(await order(), i);
    await quiet();
  }
  for (let i = 0; i < 24; i += 1) {
    const id = await order(i % 8 === 7 ? { status: 6, scheduled_time: "2030-01-01T12:00:00Z" } : {});
    if (i % 8 !== 7) await goes(id, i % 7);
    if (i % 6 === 1) await move(id, "cancelled");
  }
  const edited = await order();
  await goes(edited, 2);
  await api("PUT", `orders/${edited}/cart`, { cart: [{ id: 1, name: "Nasi goreng", quantity: 2, unit_price: 22_500 }] });
  await quiet();

  // From here on one endpoint is paused, and soon another is down.
  await api("POST", `webhooks/${at_books.webhook_id}/disable`);
  refuses = () => true;
  const waiting = [];
  for (let i = 0; i < 9; i += 1) waiting.push(await order());
  await move(waiting[0], "accepted");
  await until("the kitchen to be down", async () => {
    const { endpoints } = await status();
    return endpoints.find((one) => one.endpoint_id === at_kitchen.endpoint_id).breaker === "open";
  });
  const deliveries = async (query) => (await api("GET", `deliveries?${query}`)).deliveries;
  const taken_back = (await deliveries(`endpoint_id=${at_books.endpoint_id}&state=pending`))[0];
  await api("POST", `deliveries/${taken_back.delivery_id}/cancel`);
  const replay = async (body) => (await api("POST", "replays", body)).replay_id;
  const done = await replay({ filter: { endpoint_id: at_inbox.endpoint_id, event_type: EVENTS[2] }, new_ids: true });
  await until("the replay", async () => (await api("GET", `replays/${done}`)).state === "done");
  // What goes to the kitchen waits with all the rest.
  const to_kitchen = (order_id) => replay({ filter: { endpoint_id: at_kitchen.endpoint_id, order_id }, new_ids: true });
  const [running, paused] = [await to_kitchen(edited), await to_kitchen(edited - 1)];
  await api("POST", `replays/${paused}/pause`);

  // Genuine, and not to be read.
  for (const [i, body] of ['{"brand_id":663,"branch_id":1062,"orders":[null]}', "<order/>"].entries()) {
    const signature = createHmac("sha256", till.webhook_secret_key).update(body).digest("hex");
    const answer = await fetch(`${inbox.url}/webhooks/klikit`, {
      method: "POST",
      headers: { "x-klikit-signature": signature, "x-klikit-event-id": `evt_odd_${i}`, "x-klikit-event-type": EVENTS[0] },
      body,
    });
    if (!answer.ok) throw new Error(`the inbox refused what was signed: ${answer.status}`);
  }
  // So that the charts show what happened, too.
  if (traffic_minutes > 0) await traffic(1.5, { order, move, goes });
  const pending = await deliveries(`endpoint_id=${at_kitchen.endpoint_id}&state=pending`);
  return {
    api,
    order,
    move,
    deliveries,
    status,
    platform: { name: "platform", url: platform.url, token: ADMIN },
    inbox: { name: "inbox", url: inbox.url, token: WRITER },
    support,
    endpoints: { inbox: at_inbox, kitchen: at_kitchen, books: at_books },
    orders: { dead, edited, waiting },
    replays: { done, running, paused },
    partners: { till, kitchen, books },
    dead: (await deliveries("state=dead")).map((one) => one.delivery_id),
    pending: pending.map((one) => one.delivery_id),
    taken_back: taken_back.delivery_id,
  };
}

/** Orders that come and go. */
async function traffic(minutes, { order, move, goes }) {
  const end = Date.now() + minutes * 60_000;
  const lives = new Set();
  for (let i = 0; Date.now() < end; i += 1) {
    const live = async () => {
      const id = await order();
      if (i % 9 === 8) await move(id, "cancelled");
      else await goes(id, i % 7);
    };
    const life = live().finally(() => lives.delete(life));
    lives.add(life);
    // Evenings are busier than afternoons.
    await new Promise((passed) => setTimeout(passed, 300 + 250 * Math.sin(i / 200)));
  }
  await Promise.all(lives);
}
