import assert from "node:assert/strict";
import { test } from "node:test";

import { ArtifactError, InferenceError, InputError, Router } from "learned-router";

import { GATE_FEATURES } from "../dist/view.js";
import { addGate, constantRuntime, files } from "./artifacts.js";

const TOOL = { type: "function", function: { name: "find", description: "Find", parameters: { type: "object" } } };
const near = (found, wanted) => assert.ok(Math.abs(found - wanted) < 1e-6, `${found}, not ${wanted}`);

async function load(predicted, change, options = {}) {
  const { ort, seen } = constantRuntime(predicted);
  return { router: await Router.fromFiles(files(change), { ort, ...options }), seen };
}

const gated = (changes) => (config) => addGate(config, { features: GATE_FEATURES, ...changes });

test("the cheapest tier within the mode's threshold is taken", async () => {
  const { router } = await load({ quality: [0.75, 0.95] });
  const decision = await router.route("list the orders");
  near(decision.regret, 0.2);
  assert.deepEqual(
    [decision.tier, decision.model, decision.reason, decision.mode, decision.step, decision.threshold],
    ["small", "8B-class", "good_enough", "balanced", "tool_call", 0.25],
  );
  const strict = await router.route("list the orders", { mode: "quality" });
  assert.deepEqual([strict.tier, strict.reason, strict.regret], ["frontier", "regret_too_high", 0]);
  assert.match(decision.router, /^small-frontier@[0-9a-f]{12}$/);
});

test("the threshold of a step, given or predicted, replaces the mode's", async () => {
  const { router } = await load({ quality: [0.75, 0.95] }, ({ modes }) => (modes.balanced.steps = { plan: 0.1 }));
  assert.equal((await router.route("x")).tier, "small");
  assert.equal((await router.route("x", { step: "plan" })).tier, "frontier");
  assert.equal((await router.route({ prompt: "x", step: "plan" })).threshold, 0.1);
});

test("what cannot be judged goes to the top tier, with its reason", async () => {
  const { router } = await load({ quality: [0.9, 0.9], ood: 20 });
  assert.equal((await router.route("x")).reason, "out_of_distribution");
  assert.equal((await router.route(" \u2028\n")).reason, "empty_request");
  const unproved = await load({ quality: [0.9, 0.9] }, ({ modes }) => (modes.balanced.threshold = -2));
  assert.equal((await unproved.router.route("x")).reason, "uncertified");
});

test("a tier is passed over for its window or for what it lacks", async () => {
  const change = ({ tiers }) => Object.assign(tiers[0], { context_tokens: 10, lacks: ["tools", "vision", "json"] });
  const { router } = await load({ quality: [0.9, 0.9] }, change);
  const reason = async (...request) => (await router.route(...request)).reason;
  assert.equal(await reason("short"), "good_enough");
  assert.equal(await reason("long ".repeat(10)), "context_too_long");
  assert.equal(await reason("x", { tools: [TOOL] }), "lacks_capability");
  assert.equal(await reason([{ role: "user", content: [{ type: "image_url" }, "x"] }]), "lacks_capability");
});

test("a tier that another model serves is not taken, and below such a top tier none is", async () => {
  const predicted = { quality: [0.9, 0.9] };
  const served = async (models, aliases) => (await load(predicted, undefined, { models, aliases })).router.route("x");
  assert.deepEqual([(await served({ small: "Meta/8B-class" })).model, (await served({})).tier], ["Meta/8B-class", "small"]);
  assert.equal((await served({ small: "other" })).reason, "unknown_model");
  assert.equal((await served({ small: "other" }, { small: ["other"] })).reason, "good_enough");
  assert.equal((await served({ frontier: "other" })).reason, "unknown_model");
  await assert.rejects(served({ mid: "x" }), /models names the tier 'mid'; this artifact has small, frontier/);
});

test("a tool that was always seen with another schema goes to the top tier", async () => {
  const print = "0123456789abcdef";
  const { router } = await load({ quality: [0.9, 0.9] }, (config) => (config.fingerprints = { tools: { find: print } }));
  assert.equal((await router.route("x", { tools: [TOOL] })).reason, "changed_tool");
  assert.equal((await router.route("x", { tools: [{ name: "other" }] })).reason, "good_enough");
});

test("requests asked at the same time take their turns", async () => {
  const { router, seen } = await load();
  const decisions = await Promise.all(["a", "b c", "d e f"].map((prompt) => router.route(prompt)));
  assert.equal(decisions.length, 3);
  assert.deepEqual(seen.slice(1).map((feeds) => feeds.input_ids.data.length), [3, 4, 5]);
});

test("the gate keeps what is within its threshold and certainly wrong in nothing", async () => {
  const { router } = await load({ quality: [0.85, 0.93] }, gated());
  assert.equal(router.hasGate, true);
  const decision = await router.route("x", { gated: true });
  assert.equal(decision.threshold, 0.5);
  const kept = await router.accept("x", "fine.", { decision });
  assert.deepEqual([kept.accept, kept.reason, kept.tier, kept.threshold], [true, "good_enough", "small", 0.1]);
  near(kept.regret, 0.08);
  const strict = await router.accept("x", "fine.", { decision, step: "code" });
  assert.deepEqual([strict.accept, strict.reason, strict.threshold], [false, "regret_too_high", 0.05]);
  // of a step that is not known the strictest threshold holds
  assert.equal((await router.accept("x", "fine.")).threshold, 0.05);
  assert.equal((await router.accept("x", "  ", { decision })).reason, "empty_output");
  assert.equal((await router.accept("x", { content: "a", finish_reason: "length" }, { decision })).reason, "cut_off");
  assert.equal((await router.accept("x", { content: "a", model: "gpt-9" }, { decision })).reason, "unknown_model");
});

test("a gate that expects log-probabilities holds an answer without to the target alone", async () => {
  const { router } = await load({ quality: [0.85, 0.93] }, gated({ expects_logprobs: true }));
  const decision = await router.route("x", { gated: true });
  near((await router.accept("x", "fine.", { decision })).threshold, 0.05 * 0.93);
  const logprobs = { content: [{ token: "fine", logprob: -0.1 }] };
  assert.equal((await router.accept("x", { content: "fine.", logprobs }, { decision })).threshold, 0.1);
});

test("where the router itself fails, the call goes to the top tier and is counted", async () => {
  const { ort, session } = constantRuntime({ quality: [0.9, 0.9] });
  const told = [];
  const given = files(gated());
  const router = await Router.fromFiles(given, { ort, warn: (message) => told.push(message) });
  const strict = await Router.fromFiles(given, { ort, strict: true });
  session.broken = true;
  const decision = await router.route("x", { step: "plan", gated: true });
  assert.deepEqual(
    [decision.tier, decision.reason, decision.quality, decision.step, decision.threshold],
    ["frontier", "router_error", { small: 0, frontier: 1 }, "plan", 0.7],
  );
  const refused = await router.accept("x", "fine.", { tier: "small" });
  assert.deepEqual([refused.accept, refused.reason, refused.regret, refused.threshold], [false, "router_error", 1, 0.05]);
  assert.deepEqual(router.errors, { count: 2, last: "out of memory" });
  assert.equal(told.length, 1);
  await assert.rejects(strict.route("x"), (error) => error instanceof InferenceError && /out of memory/.test(error.message));
  await assert.rejects(router.route([]), InputError);
  session.broken = false;
  assert.equal((await router.route("x")).reason, "good_enough");
});

test("wrong requests, answers and options are refused with the field that is wrong", async () => {
  const { router } = await load();
  const refused = (work, message) =>
    assert.rejects(work, (error) => error instanceof InputError && message.test(error.message));
  await refused(router.route(5), /^request is of type number; it must be/);
  await refused(router.route([]), /^messages is empty/);
  await refused(router.route([{ role: "user", content: 5 }]), /^messages\[0\]\.content is of type number/);
  await refused(router.route(new Array(2 ** 32 - 1)), /^messages\[0\] is absent/);
  await refused(router.route("x", { tools: new Array(1) }), /^tools\[0\] is absent/);
  await refused(router.route("x", { tools: {} }), /^tools is of type object/);
  await refused(router.route("x", { step: "dance" }), /^step is 'dance'; it must be one of intent/);
  await refused(router.route("x", { mode: "best" }), /^mode is 'best'; small-frontier has quality, balanced, economy/);
  await refused(router.route("x", { gated: true }), /has no gate/);
  await refused(router.accept("x", "y"), /has no gate/);
  const { router: judged } = await load({}, gated());
  await refused(judged.accept("x", { other: 1 }), /^output has the fields other/);
  await refused(judged.accept("x", "y", { tier: "frontier" }), /^tier is 'frontier'; an answer is judged/);
});

test("files that cannot be trusted are refused, with what to do", async () => {
  const { ort } = constantRuntime();
  const refused = (given, message, runtime = ort) =>
    assert.rejects(
      Router.fromFiles(given, { ort: runtime }),
      (error) => error instanceof ArtifactError && message.test(error.message),
    );
  await refused({ ...files(), model: Buffer.from("another") }, /^model\.onnx: sha256 is .*Restore the artifact/);
  await refused({ ...files(), config: Buffer.from("{") }, /^config\.json: .*Export it again/);
  await refused(files((config) => (config.schema_version = 2)), /schema version 2; .* reads up to 1\. Upgrade it: npm/);
  await refused(files((config) => (config.tiers[0].name = 5)), /tiers\[0\]\.name is of type number; it must be text/);
  await refused(files((config) => config.features.pop()), /made for 29 features, this version computes 30/);
  await refused(files((config) => (config.default_mode = "best")), /default mode 'best' is not among/);
  await refused(files((config) => (config.view.max_tokens = 9)), /max_tokens is 9; at least/);
  await refused(files((config) => config.tiers.push({ name: "top", model: "m" })), /confidence has no weights for frontier/);
  await refused(files((config) => (config.schema_version = 0)), /schema version 0; there never was one/);
  await refused(files((config) => (config.name = "a\nb")), /name is "a\\nb"; it must be printable/);
  await refused(files((config) => (config.steps = [])), /steps are none; there must be some, each once/);
  await refused(files((config) => (config.tiers[0].context_tokens = 0)), /tiers\[0\]: context_tokens is 0/);
  await refused(files((config) => (config.tiers[0].lacks = ["soul"])), /tiers\[0\]: lacks holds 'soul'/);
  await refused(files((config) => (config.modes.quality.target = 1.01)), /modes\.quality: target is 1\.01/);
  await refused(files((config) => (config.modes.quality.threshold = 2.01)), /threshold is 2\.01; .* lies in \[-2, 2\]/);
  await refused(
    files((config) => (gated()(config), (config.modes.economy.gated.steps.plan = [0, 9]))),
    /modes\.economy: steps\.plan after it is 9/,
  );
  await refused(files((config) => (config.view.max_tokens = 65_537)), /max_tokens is above 65536/);
  await refused(files((config) => (config.view.max_tokens = 128.5)), /max_tokens is 128\.5; it must be an integer/);
  const edited = (from, to) => ({ ...files(), config: Buffer.from(files().config.toString().replace(from, to)) });
  await refused(edited('"ood_threshold"', '"ood_threshold":9e9,"ood_threshold"'), /'ood_threshold' is there twice/);
  await refused(edited(/"ood_threshold":[0-9.]+/, '"ood_threshold":1e999'), /ood_threshold is of type number; it must/);
  await refused(edited('"schema_version":1', `"schema_version":1${"0".repeat(4300)}`), /^config\.json: .*Export it again/);
  await refused({ ...files(gated()), gate: null }, /^gate\.onnx: missing/);
  const three = constantRuntime({ quality: [0.1, 0.2, 0.3] }).ort;
  await refused(files(), /predicts 3 tiers and 10 steps, config\.json names 2 and 10/, three);
  await refused(files(), /not finite/, constantRuntime({ quality: [NaN, 1] }).ort);
  const strange = constantRuntime();
  strange.session.inputNames = ["x"];
  await refused(files(), /^model\.onnx goes from x to/, strange.ort);
});
