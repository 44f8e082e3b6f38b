/** The package in a real browser, unbundled, by onnxruntime-web. Skipped where there is no Chromium. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BROWSERS = ["chromium", "chromium-browser", "google-chrome"];
const browser = BROWSERS.find((name) => spawnSync(name, ["--version"]).status === 0);
const TYPES = { ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };
const PAGE = `<!doctype html><meta charset="utf-8">
<script type="importmap">{"imports": {
  "learned-router/web": "/js/dist/web.js",
  "onnxruntime-web": "/js/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs",
  "@huggingface/tokenizers": "/js/node_modules/@huggingface/tokenizers/dist/tokenizers.min.mjs"
}}</script>
<script type="module">
  const told = (found) => fetch("/told", { method: "POST", body: JSON.stringify(found) });
  try {
    const { Router, parseReferences, replay } = await import("learned-router/web");
    const { env } = await import("onnxruntime-web");
    env.wasm.numThreads = 1;
    const router = await Router.load("/exported/small-frontier");
    const content = await (await fetch("/exported/small-frontier/reference.jsonl")).arrayBuffer();
    told(await replay(router, parseReferences(new Uint8Array(content))));
  } catch (error) {
    told({ problems: [String(error)] });
  }
</script>`;

const settings = { skip: !browser && "no Chromium is installed", timeout: 120_000 };

test("a browser repeats the reference decisions", settings, async () => {
  let tell;
  const told = new Promise((resolve) => (tell = resolve));
  const server = createServer((request, response) => {
    if (request.url === "/told") {
      request.setEncoding("utf8").on("data", (text) => tell(JSON.parse(text)));
      response.end();
    } else if (request.url === "/") response.setHeader("content-type", "text/html").end(PAGE);
    else sendFile(request.url, response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const profile = mkdtempSync(join(tmpdir(), "browser-"));
  const address = `http://127.0.0.1:${server.address().port}/`;
  const options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", `--user-data-dir=${profile}`];
  const child = spawn(browser, [...options, address], { stdio: "ignore" });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  try {
    const { problems, routed } = await told;
    assert.deepEqual(problems, []);
    assert.ok(routed > 30);
  } finally {
    child.kill();
    await ended;
    server.closeAllConnections();
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
});

function sendFile(url, response) {
  try {
    const path = normalize(decodeURIComponent(url)).replace(/^[/\\]+/, "");
    response.setHeader("content-type", TYPES[extname(path)] ?? "application/octet-stream");
    response.end(readFileSync(join(ROOT, path)));
  } catch {
    response.writeHead(404).end();
  }
}
