// Everything that can be done with a button: each form of the consoles, by where it goes, and the proof that pressing it does
// what it says. A form that is not here fails the tests, and so does one here that no page has.

import assert from "node:assert/strict";

import { Visitor } from "./browser.js";
import { until } from "./halves.js";

/** Of the platform: what is pressed as an admin. */
export const platform = {
  "/console/endpoints/{id}/pause": async (admin, { endpoints }) => {
    const path = `/console/endpoints/${endpoints.inbox.endpoint_id}`;
    await admin.open(path);
    await admin.press(`${path}/pause`);
    assert.equal(admin.path, path);
    assert.match(await admin.says(), /An operator paused it/);
  },

  "/console/endpoints/{id}/resume": async (admin, { endpoints, status }) => {
    const path = `/console/endpoints/${endpoints.books.endpoint_id}`;
    await admin.open(path);
    assert.match(await admin.says(), /An operator paused it/);
    await admin.press(`${path}/resume`);
    assert.doesNotMatch(await admin.says(), /An operator paused it/);
    await until("what waited to be sent", async () => {
      const one = (await status()).endpoints.find(({ endpoint_id }) => endpoint_id === endpoints.books.endpoint_id);
      return one.pending === 0;
    });
  },

  "/console/deliveries/{id}/replay": async (admin, { dead }) => {
    const path = `/console/deliveries/${dead[0]}`;
    await admin.open(path);
    assert.match(await admin.says(), /State\s+dead/);
    await admin.press(`${path}/replay`);
    assert.match(await admin.says(), /State\s+pending/);
  },

  "/console/deliveries/{id}/cancel": async (admin, { pending }) => {
    const path = `/console/deliveries/${pending.at(-1)}`;
    await admin.open(path);
    assert.match(await admin.says(), /State\s+pending/);
    await admin.press(`${path}/cancel`);
    assert.match(await admin.says(), /State\s+cancelled[^]*Taken back by\s+operator/);
  },

  "/console/sign-out": signs_out,
};

/** Of the inbox: what is pressed with the write token. */
export const inbox = {
  "/console/quarantine/apply": async (writer) => {
    await writer.open("/console/quarantine");
    await writer.press("/console/quarantine/apply");
    assert.match(await writer.says(), /0 could be read and entered the view; 2 cannot be read still/);
    await writer.page.getByRole("button", { name: "Read anew" }).first().click();
    await writer.page.waitForURL(/unreadable=1$/);
    assert.match(await writer.says(), /0 could be read and entered the view; 1 cannot be read still/);
  },

  "/console/sign-out": signs_out,
};

async function signs_out(visitor) {
  await visitor.open("/console/orders");
  await visitor.press("/console/sign-out");
  assert.equal(visitor.path, "/console/sign-in");
  // Nor does the way back lead in again.
  await visitor.page.goto(`${visitor.site.url}/console/orders`);
  assert.equal(visitor.path, "/console/sign-in?next=%2Fconsole%2Forders");
}

/** Presses one in a browser of its own. */
export async function pressed(browser, site, action, scene) {
  const visitor = await Visitor.signed_in(browser, site);
  await action(visitor, scene);
  visitor.assert_nothing_wrong(site.name);
  await visitor.leave();
}
