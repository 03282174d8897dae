// The platform and the inbox as processes of the real binary, and what speaks with their APIs. None outlives its test.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
export const HOOKIT = join(resolve(ROOT, process.env.CARGO_TARGET_DIR ?? "target"), "debug/hookit");

/** Waits for a state: until `look` gives something, and not longer than somebody would believe in. */
export async function until(what, look, seconds = 30) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited for ${what} for ${seconds} s`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** A running half. */
export class Half {
  /** Starts it on a port that the system chooses, and returns once it listens. */
  static async start(half, folder, config, variables) {
    if (!existsSync(HOOKIT)) throw new Error(`${HOOKIT} is missing: cargo build makes it`);
    // What the machine's own variables say must not reach it.
    const inherited = Object.entries(process.env).filter(([name]) => !/^(HOOKIT_|KLIKIT_|PORT$)/.test(name));
    const options = ["--data", join(folder, half), "--config", config, "--listen", "127.0.0.1:0"];
    if (half === "platform") options.push("--allow-private-endpoints");
    const process_ = spawn(HOOKIT, [half, "serve", ...options], {
      env: { ...Object.fromEntries(inherited), ...variables },
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const one = new Half();
    Object.assign(one, { name: half, process: process_, said: "" });
    process_.stderr.on("data", (data) => (one.said = (one.said + data).slice(-20_000)));
    one.ended = new Promise((done) => process_.on("exit", (code, signal) => done(code ?? signal)));
    let first = "";
    process_.stdout.on("data", (data) => (first += data));
    one.url = await until(`the ${half} to listen`, () => {
      if (process_.exitCode !== null) throw new Error(`the ${half} ended: ${one.said}`);
      return /listening on (http:\/\/\S+)/.exec(first)?.[1];
    });
    return one;
  }

  /** Asks it to stop; it must do so with success. */
  async stop() {
    this.process.kill("SIGTERM");
    const code = await this.ended;
    if (code !== 0) throw new Error(`the ${this.name} ended with ${code}: ${this.said}`);
  }
}

/** One call that must succeed; its `data`. */
export async function call(url, token, method, path, body) {
  const answer = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/json" }) },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return JSON.parse(text).data;
}

/** Partners' receivers at one port: each request is answered with the status that `status` gives for its path and its orders. */
export async function receiver(status) {
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (data) => (body += data));
    request.on("end", () => {
      const { orders } = JSON.parse(body);
      const code = status(request.url, orders.map((order) => order?.id));
      response.writeHead(code, { "content-type": "text/plain" });
      response.end(code === 200 ? "taken" : "the printer is out of paper");
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
