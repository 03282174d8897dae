// Everything that can be done with a button: each form of the consoles, by where it goes, and the proof that pressing it does
// what it says. A form that is not here fails the tests, and so does one here that no page has.

import assert from "node:assert/strict";

import { Visitor } from "./browser.js";
import { until } from "./halves.js";

/** Of the platform: what is pressed as an admin. */
export const platform = {
  "/console/endpoints/{id}/pause": async (admin, { endpoints }) => {
    const path = `/console/endpoints/${endpoints.kitchen.endpoint_id}`;
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

  "/console/registrations/{id}/test": async (admin, { endpoints }) => {
    const { endpoint_id, webhook_id } = endpoints.inbox;
    await admin.open(`/console/endpoints/${endpoint_id}`);
    await admin.press(`/console/registrations/${webhook_id}/test`);
    assert.match(await admin.says(), /It works: the webhook was acknowledged/);
  },

  "/console/replays/begin": async (admin, { endpoints, api }) => {
    await admin.open("/console/dead-letters");
    const row = admin.page.locator("tr", { hasText: "/kitchen/display" });
    const letters = Number(await row.locator("td").first().innerText());
    assert.ok(letters > 0);
    await row.getByRole("link", { name: /All of this endpoint/ }).click();
    await admin.page.waitForURL("**/console/replays/count?**");
    assert.match(await admin.says(), new RegExp(`It would be ${letters} deliver`));
    await admin.press("/console/replays/begin");
    assert.match(admin.path, /^\/console\/replays\/\d+$/);
    assert.match(await admin.says(), new RegExp(`what was sent, with the same ids, endpoint ${endpoints.kitchen.endpoint_id}, dead`));
    const { replays } = await api("GET", "replays");
    assert.equal(`/console/replays/${replays[0].replay_id}`, admin.path);
  },

  "/console/replays/{id}/pause": (admin, { replays }) => steers(admin, replays.running, "running", "pause", "paused"),
  "/console/replays/{id}/resume": (admin, { replays }) => steers(admin, replays.paused, "paused", "resume", "running"),
  "/console/replays/{id}/cancel": (admin, { replays }) => steers(admin, replays.running, "paused", "cancel", "cancelled"),

  "/console/partners/issue": async (admin, { platform }) => {
    await admin.open("/console/partners");
    await admin.press("/console/partners/issue", { name: "Kiosk", business_id: "737" });
    assert.equal(await admin.page.locator("h1").innerText(), "A credential was issued");
    const [key, secret] = [await shown(admin, "partner-key"), await shown(admin, "secret-key")];
    assert.equal(await partner_call(platform, key, secret), 200, "what is shown works");
    await admin.open("/console/partners");
    const said = await admin.says();
    assert.ok(said.includes("Kiosk") && said.includes(key) && !said.includes(secret));
  },

  "/console/partners/{id}/rotate-secret": async (admin, { platform, partners: { books } }) => {
    const path = `/console/partners/${books.partner_id}`;
    await admin.open(path);
    await admin.press(`${path}/rotate-secret`);
    const secret = await shown(admin, "new-secret");
    assert.equal(await partner_call(platform, books.partner_key, secret), 200, "the new one works");
    assert.equal(await partner_call(platform, books.partner_key, books.secret_key), 401, "the old one does not");
  },

  "/console/partners/{id}/rotate-webhook-secret": async (admin, { partners: { books } }) => {
    const path = `/console/partners/${books.partner_id}`;
    await admin.open(path);
    await admin.press(`${path}/rotate-webhook-secret`, { current_at: "2030-01-01T12:00:10" });
    assert.match(await admin.says(), /It signs from 2030-01-01 12:00:10/);
    assert.notEqual(await shown(admin, "new-secret"), books.webhook_secret_key);
    await admin.open(path);
    assert.match(await admin.says(), /Next webhook secret\s+signs from 2030-01-01/);
  },

  "/console/partners/{id}/revoke": async (admin, { platform, partners: { kitchen } }) => {
    const path = `/console/partners/${kitchen.partner_id}`;
    await admin.open(path);
    assert.match(await admin.says(), /Credential\s+in use/);
    await admin.press(`${path}/revoke`);
    assert.match(await admin.says(), /Credential\s+revoked/);
    assert.equal(await partner_call(platform, kitchen.partner_key, kitchen.secret_key), 403);
  },

  "/console/tokens/issue": async (admin, { platform }) => {
    await admin.open("/console/tokens");
    await admin.press("/console/tokens/issue", { name: "Budi", role: "support" });
    const token = await shown(admin, "new-secret");
    assert.equal(await operator_call(platform, token), 200, "what is shown works");
    await admin.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await admin.page.getByRole("button", { name: "Copy" }).click();
    await until("the copy", async () => (await admin.page.evaluate(() => navigator.clipboard.readText())) === token);
    await admin.open("/console/tokens");
    assert.match(await admin.says(), /Budi\s+support\s+in use/);
  },

  "/console/tokens/{id}/revoke": async (admin, { platform, api }) => {
    const { token_id, token } = await api("POST", "tokens", { name: "Leaving", role: "support" });
    await admin.open("/console/tokens");
    await admin.press(`/console/tokens/${token_id}/revoke`);
    assert.equal(admin.path, "/console/tokens");
    assert.match(await admin.says(), /Leaving\s+support\s+revoked/);
    assert.equal(await operator_call(platform, token), 403);
  },

  "/console/sign-out": signs_out,
};

/** A replay in one state is brought into another. */
async function steers(admin, replay_id, from, what, to) {
  const path = `/console/replays/${replay_id}`;
  await admin.open(path);
  assert.match(await admin.says(), new RegExp(`State\\s+${from}`));
  await admin.press(`${path}/${what}`);
  assert.equal(admin.path, path);
  assert.match(await admin.says(), new RegExp(`State\\s+${to}`));
}

/** What is shown this once under an id. */
const shown = (visitor, id) => visitor.page.locator(`#${id}`).innerText();

/** How a call of the Partner API with this credential is answered. */
async function partner_call({ url }, key, secret) {
  const authorization = `Basic ${Buffer.from(`${key}:${secret}`).toString("base64")}`;
  return (await fetch(`${url}/v1/partner/webhooks`, { headers: { authorization } })).status;
}

/** How a call of the operator API with this token is answered. */
async function operator_call({ url }, token) {
  return (await fetch(`${url}/v1/operator/status`, { headers: { authorization: `Bearer ${token}` } })).status;
}

/** Of the inbox: what is pressed with the write token. */
export const inbox = {
  "/console/quarantine/apply": async (writer) => {
    await writer.open("/console/quarantine");
    const things = await writer.page.locator("section.panel").count();
    assert.ok(things >= 2);
    await writer.press("/console/quarantine/apply");
    assert.match(await writer.says(), new RegExp(`0 could be read and entered the view; ${things} cannot be read still`));
    await writer.page.getByRole("button", { name: "Read anew" }).first().click();
    await writer.page.waitForURL(/unreadable=1$/);
    assert.match(await writer.says(), /0 could be read and entered the view; 1 cannot be read still/);
  },
  "/console/quarantine/discard": async (writer) => {
    await writer.open("/console/quarantine");
    const things = await writer.page.locator("section.panel").count();
    await writer.page.getByText("Discard…").first().click();
    await writer.page.getByRole("button", { name: "Discard it" }).first().click();
    await writer.page.waitForURL(/discarded=\d+$/);
    assert.match(await writer.says(), /No\. \d+ was discarded/);
    assert.equal(await writer.page.locator("section.panel").count(), things - 1);
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
