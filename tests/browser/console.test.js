// The consoles of both halves in a real browser: every page, every button, with the keyboard alone, without JavaScript, live, and
// at both ends of what a screen can be. The scene is set once; tests that change it come last.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import * as actions from "./actions.js";
import { BOTH, NARROW, Visitor, judge, launch, shape } from "./browser.js";
import { ROOT, until } from "./halves.js";
import { scene as set_scene } from "./scene.js";
import { outline, walk } from "./walk.js";

/** Set: the pictures of the documentation are made anew, after so many minutes of traffic. */
const PICTURES = process.env.HOOKIT_PICTURES;
const FOLDER = join(ROOT, PICTURES ? "docs/pictures" : "target/pictures");
/** A live page has changed within so long. */
const LIVE_MS = 5_000;
const HALVES = ["platform", "inbox"];

let browser;
let scene;
/** What the walk through each half has found. */
const found = {};

before(async () => {
  scene = await set_scene({ traffic_minutes: Number(PICTURES ?? 0) });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await scene?.end();
});

/** Pages that no link leads to: what is searched for, and some that have to be among those that are looked at. */
function beginnings() {
  const { endpoints, orders, replays, dead, pending, taken_back } = scene;
  const searches = ["1062", "663", "Till", "kitchen", "7585301", "nothing like that"];
  return {
    platform: [
      ...searches.map((text) => `/console/search?${new URLSearchParams({ q: text })}`),
      ...Object.values(endpoints).map((one) => `/console/endpoints/${one.endpoint_id}`),
      ...[orders.edited, orders.waiting[0], orders.dead[0]].map((id) => `/console/orders/${id}`),
      ...[dead[0], pending[0], taken_back].map((id) => `/console/deliveries/${id}`),
      ...Object.values(replays).map((id) => `/console/replays/${id}`),
      "/console/deliveries?order_id=404",
    ],
    inbox: ["/console/orders?q=GF-7", "/console/orders?q=nothing", `/console/orders/${orders.edited}`],
  };
}

for (const half of HALVES) {
  test(`every page of the ${half} is there, keeps to itself, fits a phone and can be read by everybody`, async () => {
    const visitor = await Visitor.signed_in(browser, scene[half]);
    const look = (page, is_first) => judge(page, is_first ? BOTH : ["dark"]);
    found[half] = await walk(visitor, { from: beginnings()[half], look });
    await visitor.leave();
    assert.deepEqual(found[half].wrong, []);
    assert.ok(found[half].pages.size > 5, `only ${[...found[half].pages.keys()]}`);
  });

  test(`so are the ${half}'s door and its refusals`, async () => {
    const visitor = await Visitor.come(browser, scene[half]);
    const { page } = visitor;
    await visitor.open("/console/sign-in?next=%2Fconsole%2Forders");
    const wrong = await judge(page);
    await page.getByLabel("token").fill("not_a_token");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("This is not").waitFor();
    wrong.push(...(await judge(page)));
    await page.getByLabel("token").fill(scene[half].token);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL("**/console/orders");
    for (const path of ["/console/nothing", "/console/orders/404"]) {
      await visitor.open(path, 404);
      wrong.push(...(await judge(page)));
    }
    const refused = visitor.faults.splice(0).filter((fault) => !/was answered (403|404)$/.test(fault));
    assert.deepEqual([...wrong, ...refused], []);
    await visitor.leave();
  });

  test(`every form of the ${half} is pressed by a test`, () => {
    assert.deepEqual([...found[half].forms.keys()].sort(), Object.keys(actions[half]).sort());
  });
}

test("support is led to no page that is closed to it", async () => {
  const visitor = await Visitor.signed_in(browser, { ...scene.platform, token: scene.support });
  const { wrong, pages, forms } = await walk(visitor, { from: beginnings().platform, of_one_shape: 1 });
  await visitor.leave();
  assert.deepEqual(wrong, []);
  assert.ok(pages.has("/console/deliveries") && !forms.has("/console/endpoints/{id}/pause"), [...forms.keys()].join());
});

for (const half of HALVES) {
  test(`the pages of the ${half} say the same without JavaScript`, async () => {
    const visitor = await Visitor.signed_in(browser, scene[half], { javaScriptEnabled: false, viewport: NARROW });
    const shapes = new Set();
    for (const [path, { status, with_it }] of found[half].pages) {
      if (shapes.has(shape(path))) continue;
      shapes.add(shape(path));
      await visitor.open(path, status);
      if (status !== 200) visitor.expect_refusal(path);
      assert.deepEqual(await outline(visitor.page), with_it, path);
    }
    visitor.assert_nothing_wrong(half);
    await visitor.leave();
  });
}

test("an endpoint is paused and resumed, and one signs out, without JavaScript", async () => {
  const visitor = await Visitor.signed_in(browser, scene.platform, { javaScriptEnabled: false });
  const path = `/console/endpoints/${scene.endpoints.inbox.endpoint_id}`;
  await visitor.open(path);
  await visitor.press(`${path}/pause`);
  assert.match(await visitor.says(), /An operator paused it/);
  await visitor.press(`${path}/resume`);
  assert.match(await visitor.says(), /It is up\./);
  await visitor.press("/console/sign-out");
  assert.equal(visitor.path, "/console/sign-in");
  visitor.assert_nothing_wrong("without JavaScript");
  await visitor.leave();
});

test("with the keyboard alone one signs in, opens an order, searches, and always sees where one is", async () => {
  const visitor = await Visitor.come(browser, scene.platform);
  const { page } = visitor;
  const keys = page.keyboard;
  await visitor.open("/console");
  // The browser puts the cursor there with its first picture, which may come after the page is loaded.
  await page.locator("#token:focus").waitFor();
  await keys.type(scene.platform.token);
  await keys.press("Enter");
  await page.waitForURL("**/console");

  assert.equal(await stop(page), "To the content", "the first stop leads past the navigation");
  await tab_to(page, "Orders");
  await keys.press("Enter");
  await page.waitForURL("**/console/orders");
  // Past the navigation; the next stop is within the content.
  await tab_to(page, "To the content");
  await keys.press("Enter");
  await keys.press("Tab");
  assert.ok(await page.evaluate(() => document.querySelector("main").contains(document.activeElement)));
  await tab_to(page, /^GF-\d+\n/);
  await keys.press("Enter");
  await page.waitForURL("**/console/orders/*");
  assert.match(await page.locator("h1").innerText(), /^Order 758/);

  await tab_to(page, "Order, delivery, branch, partner");
  await keys.type(String(scene.orders.dead[0]));
  await keys.press("Enter");
  await page.waitForURL(`**/console/orders/${scene.orders.dead[0]}`);
  assert.match(await visitor.says(), /What happened/);
  await tab_to(page, "Sign out");
  await keys.press("Enter");
  await page.waitForURL("**/console/sign-in");
  visitor.assert_nothing_wrong("with the keyboard");
  await visitor.leave();
});

/** Goes to the next stop, which has to be seen, and gives back what it is called. */
async function stop(page) {
  await page.keyboard.press("Tab");
  const { name, seen } = await page.evaluate(() => {
    const one = document.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(one);
    const { left, right, top, bottom } = one.getBoundingClientRect();
    const is_within = right > 0 && left < innerWidth && bottom > 0 && top < innerHeight && right > left && bottom > top;
    const is_marked = outlineStyle !== "none" && parseFloat(outlineWidth) >= 1;
    return { name: one.getAttribute("aria-label") ?? one.innerText, seen: { is_within, is_marked } };
  });
  assert.deepEqual(seen, { is_within: true, is_marked: true }, `the stop ${JSON.stringify(name)} on ${page.url()}`);
  return name.trim();
}

async function tab_to(page, wanted) {
  const passed = [];
  for (let i = 0; i < 80; i += 1) {
    const name = await stop(page);
    if (typeof wanted === "string" ? name === wanted : wanted.test(name)) return;
    passed.push(name);
  }
  assert.fail(`no stop is called ${wanted} on ${page.url()}: ${passed.join(" | ")}`);
}

test("a new order appears on the board by itself", async () => {
  const visitor = await Visitor.signed_in(browser, scene.platform);
  const { page } = visitor;
  await visitor.open("/console/orders");
  await page.evaluate(() => (globalThis.is_the_same_page = true));
  await page.getByText("live", { exact: true }).waitFor();
  const [first, last] = [page.locator(".brand"), page.getByRole("button", { name: "Sign out" })];
  assert.ok((await last.boundingBox()).y < (await first.boundingBox()).y + 20, "the header is one line");
  const id = await scene.order();
  await page.locator(`.board a[href="/console/orders/${id}"]`).waitFor({ timeout: LIVE_MS });
  const column = page.locator(".board section", { has: page.locator(`a[href="/console/orders/${id}"]`) });
  assert.match(await column.locator("h2").innerText(), /Placed/);
  await scene.move(id, "accepted");
  await column.filter({ has: page.locator("h2", { hasText: "Accepted" }) }).waitFor({ timeout: LIVE_MS });
  assert.ok(await page.evaluate(() => globalThis.is_the_same_page), "it was not loaded anew");
  visitor.assert_nothing_wrong("the board");
  await visitor.leave();
});

test("the inbox says how its sinks stand, and when it asked for what was missed", async () => {
  const visitor = await Visitor.signed_in(browser, scene.inbox);
  await visitor.open("/console");
  const main = visitor.page.locator("main");
  await main.getByText(/The sink pos is down; changes that wait for it: [1-9]/).waitFor();
  const row = (name) => main.locator("tr", { has: visitor.page.getByText(name, { exact: true }) });
  assert.match(await row("pos").innerText(), /down/);
  await row("orders_file").getByText("up", { exact: true }).waitFor();
  assert.match(await visitor.says(), /Healed by the last/);
  visitor.assert_nothing_wrong("the inbox");
  await visitor.leave();
});

test("on a phone what is in trouble is read without scrolling sideways", async () => {
  const visitor = await Visitor.signed_in(browser, scene.platform, { viewport: NARROW });
  for (const path of ["/console", "/console/endpoints", "/console/search?q=kitchen"]) {
    await visitor.open(path);
    for (const said of [/^It has been down for/, /^down$/, /kitchen\/display$/]) {
      const place = visitor.page.locator("main").getByText(said).first();
      // What is renewed just now has none.
      const { x, width } = await until(`a place of ${said}`, () => place.boundingBox());
      assert.ok(x >= 0 && x + width <= NARROW.width, `${said} on ${path} is from ${x} to ${x + width}`);
    }
  }
  visitor.assert_nothing_wrong("on a phone");
  await visitor.leave();
});

test("what a reader is in the middle of stays where it is when the board is renewed", async () => {
  const visitor = await Visitor.signed_in(browser, scene.platform, { viewport: NARROW });
  const { page } = visitor;
  await visitor.open("/console/orders");
  const stands = () => page.evaluate(() => [document.activeElement.getAttribute("aria-label"), document.querySelector(".board").scrollLeft]);
  // All of it between two pictures.
  await page.evaluate(() => {
    const board = document.querySelector(".board");
    board.focus();
    board.scrollLeft = 300;
  });
  const id = await scene.order();
  await page.locator(`.board a[href="/console/orders/${id}"]`).waitFor();
  assert.deepEqual(await stands(), ["Orders by status", 300]);
  const card = `.board a[href="/console/orders/${id}"]`;
  await page.evaluate((of) => document.querySelector(of).focus(), card);
  const next = await scene.order();
  await page.locator(`.board a[href="/console/orders/${next}"]`).waitFor();
  assert.ok(await page.evaluate((of) => document.querySelector(of) === document.activeElement, card), "the card has the focus still");
  visitor.assert_nothing_wrong("the board");
  await visitor.leave();
});

test("pictures are taken", async () => {
  await mkdir(FOLDER, { recursive: true });
  const { endpoints, orders } = scene;
  const shots = [
    ["overview", "platform", "/console"],
    ["order", "platform", `/console/orders/${orders.waiting[0]}`],
    ["endpoint", "platform", `/console/endpoints/${endpoints.kitchen.endpoint_id}`],
    ["board", "platform", "/console/orders", { viewport: { width: 1440, height: 700 } }],
    ["inbox", "inbox", "/console"],
    ["overview-phone", "platform", "/console", { viewport: NARROW, colorScheme: "dark" }],
  ];
  for (const [name, half, path, options] of shots) {
    const visitor = await Visitor.signed_in(browser, scene[half], options);
    await visitor.open(path);
    await visitor.page.screenshot({ path: join(FOLDER, `${name}.png`) });
    visitor.assert_nothing_wrong(path);
    await visitor.leave();
  }
});

for (const half of HALVES) {
  for (const [form, action] of Object.entries(actions[half])) {
    test(`${half}: what ${form} does is seen`, () => actions.pressed(browser, scene[half], action, scene));
  }
}
