// Every page that a reader can get to by links and by forms that only ask, from the first one on.

import assert from "node:assert/strict";

import { path_of, shape } from "./browser.js";

/** Pages of one shape that are looked at; those that the walk begins with come on top. */
const OF_ONE_SHAPE = 3;

/**
 * Follows every link. `look` is called with each page, and gives back what is wrong with it. Gives back the pages, by path; for
 * each shape of a form that does something a path where it is; and all that is wrong.
 */
export async function walk(visitor, { from = [], of_one_shape = OF_ONE_SHAPE, look = async () => [], at_a_time = 2 } = {}) {
  const line = [];
  const known = new Set();
  const seen = new Map();
  const pages = new Map();
  const forms = new Map();
  const wrong = [];
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
    const answer = await visitor.open(path, 200, page);
    assert.match(answer.headers()["content-type"] ?? "", /^text\/html/, path);
    const here = path_of(page.url());
    if (here !== path && known.has(here)) return;
    known.add(here);
    const { links, asked, posted, outline } = await page.evaluate(read);
    pages.set(here, outline);
    for (const action of posted) {
      const of = shape(path_of(action));
      if (!forms.has(of)) forms.set(of, here);
    }
    for (const link of [...links, ...asked]) {
      if (new URL(link).origin === visitor.site.url) enter(path_of(link), false);
    }
    wrong.push(...(await look(page, here)).map((one) => `${here}: ${one}`));
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

/** Runs in the page. */
function read() {
  const forms = [...document.forms];
  const as_it_is = (form) => `${form.action.split("?")[0]}?${new URLSearchParams([...new FormData(form)].filter(([, value]) => value))}`;
  return {
    links: [...document.querySelectorAll("a[href]")].map((one) => one.href.split("#")[0]),
    asked: forms.filter((form) => form.method === "get").map(as_it_is),
    posted: forms.filter((form) => form.method === "post").map((form) => form.action),
    outline: {
      headings: [...document.querySelectorAll("h1, h2, h3, th")].map((one) => one.textContent.replace(/\d+/g, "0")),
      rows: document.querySelectorAll("tbody tr, dl > div, li").length,
      forms: forms.length,
    },
  };
}
