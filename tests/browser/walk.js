// Every page that a reader can get to by links and by forms that only ask, from the first one on.

import assert from "node:assert/strict";

import { path_of, shape } from "./browser.js";

/** Pages of one shape that are looked at; those that the walk begins with come on top. */
const OF_ONE_SHAPE = 2;

/**
 * Follows every link. `look` is called with each page and whether it is the first of its shape, and gives back what is wrong with
 * it. Gives back the pages, by path; for each shape of a form that does something a path where it is; and all that is wrong.
 */
export async function walk(visitor, { from = [], of_one_shape = OF_ONE_SHAPE, look = async () => [], at_a_time = 2 } = {}) {
  const line = [];
  const known = new Set();
  const seen = new Map();
  const looked_at = new Set();
  const pages = new Map();
  const forms = new Map();
  const wrong = [];
  // A form that was sent as it stood may be refused.
  const may_be_refused = new Set();
  const enter = (path, is_wanted) => {
    const [its, of] = [new URL(path, visitor.site.url).pathname, shape(path)];
    const is_ours = its === "/console" || its.startsWith("/console/");
    if (!is_ours || known.has(path) || (!is_wanted && (seen.get(of) ?? 0) >= of_one_shape)) return;
    known.add(path);
    seen.set(of, (seen.get(of) ?? 0) + 1);
    line.push(path);
  };
  ["/console", ...from].forEach((path) => enter(path, true));

  const visit = async (page, path) => {
    const answer = await page.goto(visitor.site.url + path).catch((error) => {
      if (!error.message.includes("Download is starting")) throw error;
    });
    if (!answer) return downloaded(visitor, path);
    const is_refused = answer.status() === 400 && may_be_refused.has(path);
    if (is_refused) visitor.expect_refusal(path);
    else assert.equal(answer.status(), 200);
    const here = path_of(page.url());
    if (here !== path && known.has(here)) return;
    known.add(here);
    const { links, asked, posted } = await page.evaluate(read);
    pages.set(here, { status: answer.status(), with_it: await outline(page) });
    for (const action of posted) {
      const of = shape(path_of(action));
      if (!forms.has(of)) forms.set(of, here);
    }
    asked.forEach((link) => may_be_refused.add(path_of(link)));
    for (const link of [...links, ...asked]) {
      if (new URL(link).origin === visitor.site.url) enter(path_of(link), false);
    }
    const is_first = !looked_at.has(shape(here));
    looked_at.add(shape(here));
    wrong.push(...(await look(page, is_first)).map((one) => `${here}: ${one}`));
  };
  const work = async (worker) => {
    const page = await visitor.context.newPage();
    // Who finds nothing to do waits for those who still may.
    for (;;) {
      const path = line.shift();
      if (path === undefined) {
        if (workers.every((one) => one === worker || !one.busy)) break;
        await new Promise((passed) => setTimeout(passed, 20));
        continue;
      }
      worker.busy = true;
      await visit(page, path).catch((error) => wrong.push(`${path}: ${error.message}`));
      worker.busy = false;
    }
    await page.close();
  };
  const workers = Array.from({ length: at_a_time }, () => ({ busy: false }));
  await Promise.all(workers.map(work));
  return { pages, forms, wrong: [...wrong, ...visitor.faults.splice(0)] };
}

/** What a page is made of, without what changes by itself. Needs no JavaScript of the page. */
export async function outline(page) {
  const said = (ones) =>
    ones.map((one) => {
      const copy = one.cloneNode(true);
      copy.querySelectorAll("time").forEach((time) => time.remove());
      return copy.textContent.replace(/\d+/g, "0");
    });
  return {
    headings: await page.locator("h1, h2, h3, th").evaluateAll(said),
    rows: await page.locator("tbody tr, dl > div, li").count(),
    forms: await page.locator("form").count(),
  };
}

/** What is saved and not shown. */
async function downloaded(visitor, path) {
  const answer = await visitor.context.request.get(visitor.site.url + path);
  assert.equal(answer.status(), 200, path);
  assert.match(answer.headers()["content-disposition"] ?? "", /^attachment/, path);
}

/** Runs in the page. */
function read() {
  const forms = [...document.forms];
  // Not by the property, which a field of that name hides.
  const action = (form) => new URL(form.getAttribute("action"), location.href).href;
  const as_it_is = (form) => `${action(form)}?${new URLSearchParams([...new FormData(form)].filter(([, value]) => value))}`;
  return {
    links: [...document.querySelectorAll("a[href]")].map((one) => one.href.split("#")[0]),
    asked: forms.filter((form) => form.method === "get").map(as_it_is),
    posted: forms.filter((form) => form.method === "post").map(action),
  };
}
