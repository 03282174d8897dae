// Chromium, and what is watched on every page: nothing leaves the machine, nothing is refused, nothing goes wrong in the script.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

import { chromium } from "playwright-core";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];

export const WIDE = { width: 1440, height: 900 };
export const NARROW = { width: 360, height: 800 };
export const BOTH = ["light", "dark"];

export function launch() {
  const executablePath = process.env.HOOKIT_CHROMIUM ?? "/usr/bin/chromium";
  if (!existsSync(executablePath)) {
    throw new Error(`${executablePath} is missing: apt-get install chromium, or say in HOOKIT_CHROMIUM where one is`);
  }
  const args = [
    // No name of another machine is known, so nothing gets there, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
  ];
  return chromium.launch({ executablePath, args });
}

/** Somebody who looks at one half's pages, in a browser of their own. */
export class Visitor {
  static async come(browser, site, options = {}) {
    const one = new Visitor();
    // Colours that are on their way from one to another are no colours to judge.
    const context = await browser.newContext({ viewport: WIDE, reducedMotion: "reduce", colorScheme: "light", ...options });
    Object.assign(one, { site, context, faults: [] });
    context.setDefaultTimeout(15_000);
    if (options.javaScriptEnabled !== false) {
      await context.addInitScript(() => {
        addEventListener("securitypolicyviolation", (event) =>
          console.error(`the policy ${event.violatedDirective} forbids ${event.blockedURI || event.sample}`),
        );
      });
    }
    context.on("request", (request) => {
      if (new URL(request.url()).origin !== site.url) one.faults.push(`${request.frame().url()}: a request to ${request.url()}`);
    });
    context.on("response", (response) => {
      if (response.status() >= 400) one.faults.push(`${response.url()} was answered ${response.status()}`);
    });
    context.on("console", (message) => {
      const is_of_answer = message.text().startsWith("Failed to load resource");
      if (["error", "warning"].includes(message.type()) && !is_of_answer) {
        one.faults.push(`${message.page()?.url()}: the browser says: ${message.text()}`);
      }
    });
    context.on("weberror", (error) => one.faults.push(`${error.page()?.url()}: the script failed: ${error.error()}`));
    one.page = await context.newPage();
    return one;
  }

  /** One who has signed in. */
  static async signed_in(browser, site, options) {
    const one = await Visitor.come(browser, site, options);
    await one.sign_in(site.token);
    return one;
  }

  async sign_in(token) {
    await this.open("/console/sign-in");
    await this.page.getByLabel("token").fill(token);
    await this.page.getByRole("button", { name: "Sign in" }).click();
    await this.page.waitForURL(`${this.site.url}/console`);
  }

  /** Opens a page that must be there. */
  async open(path, status = 200, page = this.page) {
    const answer = await page.goto(this.site.url + path);
    assert.equal(answer.status(), status, path);
    return answer;
  }

  /** That this page was answered with an error is as it should be. */
  expect_refusal(path) {
    this.faults = this.faults.filter((fault) => !fault.startsWith(`${this.site.url}${path} was answered 4`));
  }

  /** The path at which the page is. */
  get path() {
    return path_of(this.page.url());
  }

  /**
   * Presses the button of a form, as a reader does: opens first what it is hidden in, and fills in these fields. A page that is
   * the answer itself, which no link leads to, is judged like any other.
   */
  async press(action, fields = {}) {
    const { page } = this;
    const form = page.locator(`form[method="post"][action="${action}"]`).first();
    const button = form.locator("button").first();
    assert.equal(await form.count(), 1, `${page.url()} has a form for ${action}`);
    if (!(await button.isVisible())) {
      await page.locator("details:not([open])", { has: form }).first().locator("summary").first().click();
    }
    for (const [name, value] of Object.entries(fields)) {
      const field = form.locator(`[name="${name}"]`);
      await (await field.evaluate((one) => one.matches("select")) ? field.selectOption(value) : field.fill(value));
    }
    const answered = page.waitForResponse((one) => one.request().method() === "POST");
    await button.click();
    const answer = await answered;
    await page.waitForLoadState();
    if (answer.status() === 200) this.faults.push(...(await judge(page)).map((one) => `${action}: ${one}`));
  }

  /** What the page says in its main part. */
  says(page = this.page) {
    return page.locator("main").innerText();
  }

  assert_nothing_wrong(where) {
    const faults = this.faults.splice(0);
    assert.deepEqual(faults, [], where);
  }

  async leave() {
    await this.context.close();
  }
}

/** Path and query of a URL. */
export function path_of(url) {
  const { pathname, search } = new URL(url);
  return pathname + search;
}

/** A path with its ids, and the values of its query, taken out: pages of one shape are made by one piece of code. */
export function shape(path) {
  const url = new URL(path, "http://any");
  const segments = url.pathname.split("/").map((segment) => (/\d/.test(segment) ? "{id}" : segment));
  const names = [...url.searchParams].filter(([, value]) => value !== "").map(([name]) => name);
  return segments.join("/") + (names.length ? `?${[...new Set(names)].sort().join("&")}` : "");
}

/** What is wrong with how a page looks and reads, in both sizes, and in these colours. */
export async function judge(page, colours = BOTH) {
  const wrong = [];
  // What is folded away is looked at as well; and nothing is exchanged while it is looked at.
  await page.evaluate(() => {
    dispatchEvent(new Event("pagehide"));
    for (const one of document.querySelectorAll("details")) one.open = true;
  });
  const title = await page.title();
  const headings = await page.locator("h1").allInnerTexts();
  if (!/^\S.* · hookit (platform|inbox|demo)$/.test(title)) wrong.push(`its title is ${JSON.stringify(title)}`);
  if (headings.length !== 1 || !headings[0].trim()) wrong.push(`its first headings are ${JSON.stringify(headings)}`);
  await page.evaluate(AXE);
  for (const size of [WIDE, NARROW]) {
    await page.setViewportSize(size);
    const wide = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      if (scrollWidth <= clientWidth) return null;
      const reaches = (one) => one.getBoundingClientRect().right > clientWidth && !one.closest(".scroll, .board, nav");
      const far = [...document.body.querySelectorAll("*")].filter(reaches).slice(0, 3);
      return `${scrollWidth} px of ${clientWidth}: ${far.map((one) => one.outerHTML.slice(0, 120)).join(" ")}`;
    });
    if (wide) wrong.push(`it scrolls sideways at ${size.width} px: ${wide}`);
    for (const colorScheme of colours) {
      await page.emulateMedia({ colorScheme });
      const violations = await page.evaluate(async (values) => {
        const { violations } = await axe.run({ runOnly: { type: "tag", values }, resultTypes: ["violations"] });
        const place = (node) => `${node.target.join(" ")} ${node.html.slice(0, 160)}: ${node.failureSummary}`;
        return violations.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map(place).join("\n")}`);
      }, RULES);
      wrong.push(...violations.map((one) => `at ${size.width} px, ${colorScheme}: ${one}`));
    }
  }
  await page.setViewportSize(WIDE);
  await page.emulateMedia({ colorScheme: "light" });
  return wrong;
}
