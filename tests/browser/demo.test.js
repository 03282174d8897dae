// The demo's page: what it breaks is seen on it, in a real browser; and the board of a platform at a thousand changes a second.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { Visitor, judge, launch } from "./browser.js";
import { HOOKIT, Half, call, until } from "./halves.js";

/** A page that stands still for so long is frozen, on however slow a machine. */
const STILL_MS = 2_000;
const CHANGES_PER_SECOND = 1_000;
const WATCHED_S = 5;

let browser;

before(async () => {
  browser = await launch();
});

after(() => browser?.close());

/** The demo, with nothing of the machine's own variables. */
async function demo() {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(HOOKIT_|KLIKIT_|PORT$)/.test(name));
  const running = spawn(HOOKIT, ["demo", "--plain", "--listen", "127.0.0.1:0"], {
    env: Object.fromEntries(inherited),
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  running.stderr.on("data", (data) => (said += data));
  const ended = new Promise((done) => running.on("exit", done));
  const url = await until("the demo's page", () => /page +(http:\/\/[^/]+)/.exec(said)?.[1]);
  return {
    url,
    stop: async () => {
      running.kill("SIGTERM");
      assert.equal(await ended, 0, said);
    },
  };
}

test("the demo's page fits a phone, can be read by everybody, and shows what a switch breaks", async () => {
  const site = await demo();
  try {
    const visitor = await Visitor.come(browser, site);
    const { page } = visitor;
    await visitor.open("/");
    await page.getByText("live", { exact: true }).waitFor();
    const verdict = page.locator(".verdict");
    await verdict.getByText(/equal/).waitFor();
    const down = page.locator(".switch", { hasText: "Inbox down" });
    await down.getByRole("button", { name: "Break" }).click();
    await verdict.getByText(/The views differ/).waitFor();
    await page.locator(".platform").getByText("open", { exact: true }).waitFor();
    // Judged while it is broken, when there is most on it.
    const other = await visitor.context.newPage();
    await visitor.open("/", 200, other);
    assert.deepEqual(await judge(other), []);
    await other.close();
    await down.getByRole("button", { name: "Mend" }).click();
    await verdict.getByText(/equal/).waitFor({ timeout: 30_000 });
    visitor.assert_nothing_wrong("the demo");
    await visitor.leave();
  } finally {
    await site.stop();
  }
});

test("the board keeps up with a thousand changes a second, and the page does not stand still", async () => {
  const folder = await mkdtemp(join(tmpdir(), "hookit-browser-"));
  const token = "op_board_5d21c7e09b3f48a6";
  await writeFile(join(folder, "platform.toml"), "");
  const platform = await Half.start("platform", folder, join(folder, "platform.toml"), { HOOKIT_OPERATOR_TOKEN: token });
  try {
    const visitor = await Visitor.signed_in(browser, { url: platform.url, token });
    const { page } = visitor;
    await visitor.open("/console/orders");
    await page.getByText("live", { exact: true }).waitFor();
    await page.evaluate(() => {
      globalThis.watched = { longest_ms: 0, pictures: 0, last: performance.now() };
      const frame = (now) => {
        watched.longest_ms = Math.max(watched.longest_ms, now - watched.last);
        watched.last = now;
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
      new MutationObserver(() => (watched.pictures += 1)).observe(document.querySelector("[data-live]"), { childList: true });
    });
    const changed = await changes(platform.url, token);
    const { longest_ms, pictures } = await page.evaluate(() => watched);
    assert.ok(changed >= CHANGES_PER_SECOND * WATCHED_S, `only ${changed} changes`);
    assert.ok(pictures >= WATCHED_S - 2, `only ${pictures} pictures in ${WATCHED_S} s`);
    assert.ok(longest_ms < STILL_MS, `it stood still for ${longest_ms} ms`);
    // The last of them is there with the next picture.
    const id = (await call(platform.url, token, "POST", "/v1/operator/orders", order())).id;
    await page.locator(`.board a[href="/console/orders/${id}"]`).waitFor();
    visitor.assert_nothing_wrong("the board");
    await visitor.leave();
  } finally {
    await platform.stop();
    await rm(folder, { recursive: true, force: true });
  }
});

function order() {
  return { business_id: 737, branch_id: 1062, brands: [{ id: 663, title: "Bali Bites" }], final_price: 45000, currency: "IDR" };
}

const MOVES = ["accepted", "preparing", "ready", "delivered"];

/** Orders and their moves through the bulk call, a tenth of a second's at a time; how many were taken. */
async function changes(url, token) {
  const orders = CHANGES_PER_SECOND / 10 / (1 + MOVES.length);
  let [taken, id] = [0, 0];
  const life = () => {
    id += 1;
    return [{ ...order(), id }, ...MOVES.map((status) => ({ op: "move", id, status }))];
  };
  const begun = Date.now();
  for (let i = 0; i < WATCHED_S * 10; i += 1) {
    await new Promise((due) => setTimeout(due, begun + i * 100 - Date.now()));
    const lines = Array.from({ length: orders }, life).flat().map((line) => JSON.stringify(line)).join("\n");
    const answer = await fetch(`${url}/v1/operator/orders/bulk`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/x-ndjson" },
      body: lines + "\n",
    });
    taken += (await answer.text()).split("\n").filter((line) => line.includes('"data"')).length;
  }
  return taken;
}
