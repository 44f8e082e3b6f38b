import assert from "node:assert/strict";
import { test } from "node:test";

import { parseOutput } from "../dist/answer.js";
import { ANSWER_FEATURES, readFeatures } from "../dist/answers/features.js";
import { parseRequest } from "../dist/request.js";
import { readTool, textFeatures } from "../dist/request_features.js";
import { pattern } from "../dist/unicode.js";

/** An object that counts how often its properties are asked for. */
function counting(seen) {
  const schema = new Map([["type", "object"]]);
  const { get } = schema;
  schema.get = (key) => ((seen.count += Number(key === "properties")), get.call(schema, key));
  return schema;
}

const many = (value, count) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`p${index}`, value]));

test("of a schema that holds itself a bounded number of schemas is read", () => {
  const seen = { count: 0 };
  const schema = counting(seen);
  schema.set("properties", many(schema, 24));
  schema.set("enum", []);
  assert.equal(readTool({ name: "f", parameters: schema }).depth, 6);
  assert.ok(24 < seen.count && seen.count <= 1001, `${seen.count} schemas`);
});

test("options are counted after white space of any kind, in time linear in the text", () => {
  const slow = pattern(String.raw`^\s*\(?[A-Ja-j1-9][.)]\s`, "m");
  const signs = [..." \n\r\t\x0b\x1c\u2028(A1.)x"];
  let state = 1;
  const next = () => (state = (state * 48271) % 2147483647) % signs.length;
  for (let round = 0; round < 3000; round += 1) {
    const text = Array.from({ length: 30 }, () => signs[next()]).join("");
    assert.equal(textFeatures(text, 30).at(-1), Math.log1p((text.match(slow) ?? []).length), JSON.stringify(text));
  }
  const began = performance.now();
  textFeatures("\n".repeat(1_000_000), 1_000_000);
  assert.ok(performance.now() - began < 10_000); // from each line over all that follow it would be 5e11 steps
});

test("the parts of values that are held against schemas are shared by all arguments", () => {
  const properties = many({ items: { enum: ["a"] } }, 64);
  const request = parseRequest("x", { tools: [{ name: "f", parameters: { properties } }] });
  const output = parseOutput({ tool_calls: new Array(64).fill({ name: "f", arguments: many(new Array(64).fill("z"), 64) }) });
  const wrong = Math.expm1(readFeatures(request, output, 0)[ANSWER_FEATURES.indexOf("wrong_enums")]);
  // the first call's arguments may take 128 parts each, so all 64 lists are read whole; the last ones' only 2
  const whole = 64 * 64 * 64;
  assert.ok(wrong > 64 * 63 && wrong < whole / 4, `${wrong} of ${whole}`);
});

test("log-probabilities are finite and at most 0, or none", () => {
  const read = (mean) => parseOutput({ text: "x", logprobs: { mean, least: -1 } }).logprobs;
  const huge = 10n ** 400n;
  assert.deepEqual([-huge, huge, -Infinity, 3].map((mean) => read(mean).mean), [-100, 0, -100, 0]);
  assert.deepEqual([NaN, true, "-1", null, [-1]].map(read), [null, null, null, null, null]);
  const byHand = { text: "x", toolCalls: null, finishReason: null, model: null };
  const features = (logprobs) => readFeatures(parseRequest("x"), { ...byHand, logprobs }, 0).slice(-4);
  assert.deepEqual(features({ mean: -1e300, least: -Infinity, arguments: 7 }), [1, -100, -100, 0]);
  assert.deepEqual(features({ mean: NaN, least: -1, arguments: null }), [0, 0, 0, 0]);
});
