/** The shipped artifact under both builds of onnxruntime: every reference decision as recorded. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import * as onnxruntimeWeb from "onnxruntime-web";

import { ArtifactError } from "learned-router";
import { checkFolder, parseReferences, replay, Router } from "learned-router/node";
import { Router as WebRouter } from "learned-router/web";

import { SHIPPED } from "./artifacts.js";

const folder = fileURLToPath(SHIPPED);
const shippedReferences = async () => parseReferences(await readFile(new URL("reference.jsonl", SHIPPED)));

test("onnxruntime-node repeats the reference decisions", async () => {
  const { routed, problems } = await checkFolder(folder);
  assert.deepEqual(problems, []);
  assert.equal(routed, (await shippedReferences()).length);
  assert.ok(routed > 0);
});

test("onnxruntime-web repeats the reference decisions, from files that were fetched", async () => {
  onnxruntimeWeb.env.wasm.numThreads = 1;
  const request = async (url) => {
    const name = String(url).replace("https://example.org/router/", "");
    return new Response(await readFile(new URL(name, SHIPPED)));
  };
  const router = await WebRouter.load("https://example.org/router", { request });
  assert.deepEqual((await replay(router, await shippedReferences())).problems, []);
});

test("a folder that is none, and a file that is not there, are named", async () => {
  const isNamed = (name) => (error) => error instanceof ArtifactError && error.message.includes(name);
  await assert.rejects(Router.load("no/such/folder"), isNamed("no/such/folder: config.json: missing"));
  const request = async () => new Response("", { status: 404 });
  await assert.rejects(WebRouter.load("https://example.org/x/", { request }), isNamed("https://example.org/x/config.json"));
});

test("a replay tells what came out otherwise", async () => {
  const router = await Router.load(folder);
  const [first, second] = await shippedReferences();
  const off = { ...first, quality: new Map([...first.quality].map(([tier, quality]) => [tier, quality - 0.1])) };
  const other = { ...second, reason: "changed_tool", margin: 1 };
  const { problems } = await replay(router, [first, off, other, { ...first, request: {} }]);
  assert.equal(problems.length, 3);
  assert.match(problems[0], /^reference\.jsonl:2 \(quality\): quality differs by 0\.1000; allowed is 0\.02/);
  assert.match(problems[1], new RegExp(`expected ${second.tier} \\(changed_tool\\)`));
  assert.match(problems[2], /cannot be decided: messages is absent/);
});
