import assert from "node:assert/strict";
import { test } from "node:test";

import { parseJson } from "learned-router";

import { get, has } from "../dist/json.js";

test("fields keep their order, and 1.0 stays another thing than 1", () => {
  const found = parseJson('{"10": 1.0, "2": 1, "__proto__": 12345678901234567890, "10": 2.0}');
  assert.deepEqual([...found.keys()], ["10", "2", "__proto__"]);
  assert.equal(found.get("10").value, 2);
  assert.equal(found.get("2"), 1);
  assert.equal(found.get("__proto__"), 12345678901234567890n);
});

test("what JSON.parse reads is read alike", () => {
  const texts = ['"\\u00e9\\ud83d\\ude00\\n\\"/"', "[]", " { } ", "[1, [true, false, null]]", "-0.5e-3", '{"a": {"b": []}}'];
  for (const text of texts) {
    assert.equal(JSON.stringify(plain(parseJson(text))), JSON.stringify(JSON.parse(text)));
  }
});

test("what is no JSON is refused", () => {
  const texts = ["", "{", "[1,]", '{"a" 1}', "01", "1.", "+1", "'a'", '"\n"', '"\\x"', "1 2", "nul", "\ufeff1"];
  for (const text of [...texts, "[".repeat(5000)]) {
    assert.throws(() => parseJson(text), SyntaxError, text.slice(0, 20));
  }
});

test("what an object inherits is none of its fields", () => {
  assert.equal(get({}, "constructor"), null);
  assert.equal(has({ a: undefined }, "a"), false);
});

function plain(value) {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, inner]) => [key, plain(inner)]));
  return Array.isArray(value) ? value.map(plain) : value;
}
