import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { asSchema, jsonSchema, tool } from "ai";
import { MockLanguageModelV3 } from "ai/test";

import { fromModelMessages, fromResult, fromTools } from "learned-router/ai-sdk";
import { Router } from "learned-router/node";

import { runAgent } from "../examples/prepare_step.js";
import { SHIPPED } from "./artifacts.js";

const schema = { type: "object", properties: { id: { type: "string" } }, required: ["id"] };
const find = tool({ description: "Find an order", inputSchema: jsonSchema(schema), execute: async () => ({ late: true }) });
const tools = { find };

test("messages come out in OpenAI's shape, as training reads the SDK's traces", () => {
  const messages = [
    { role: "user", content: [{ type: "text", text: "order 7?" }] },
    {
      role: "assistant",
      content: [
        { type: "reasoning", text: "hm" },
        { type: "tool-call", toolCallId: "c", toolName: "find", input: { id: "7" } },
      ],
    },
    {
      role: "tool",
      content: [
        { type: "tool-result", toolCallId: "c", output: { type: "json", value: { late: true, "é": [1, 2] } } },
        { type: "tool-result", toolCallId: "d", output: { type: "text", value: "none" } },
      ],
    },
    { role: "user", content: [{ type: "text", text: "and this?" }, { type: "image", image: "…" }] },
  ];
  assert.deepEqual(fromModelMessages(messages, "Be brief."), [
    { role: "system", content: "Be brief." },
    { role: "user", content: "order 7?" },
    {
      role: "assistant",
      content: null,
      tool_calls: [{ type: "function", id: "c", function: { name: "find", arguments: '{"id":"7"}' } }],
    },
    { role: "tool", content: '{"late": true, "é": [1, 2]}' },
    { role: "tool", content: "none" },
    { role: "user", content: [{ type: "text", text: "and this?" }, { type: "image_url" }] },
  ]);
});

test("tools and results come out in the shapes that are read", async () => {
  assert.deepEqual(await fromTools(tools, asSchema), [
    { type: "function", function: { name: "find", description: "Find an order", parameters: schema } },
  ]);
  const result = { text: "", toolCalls: [{ toolName: "find", input: { id: "7" } }], finishReason: "tool-calls" };
  assert.deepEqual(fromResult(result), {
    text: "",
    tool_calls: [{ name: "find", arguments: { id: "7" } }],
    finish_reason: "tool-calls",
  });
});

test("an agent asks the model that the router chose", async () => {
  const router = await Router.load(fileURLToPath(SHIPPED), { mode: "economy" });
  const asked = new Set();
  for (const line of readFileSync(new URL("reference.jsonl", SHIPPED), "utf8").split("\n").filter(Boolean)) {
    const { request } = JSON.parse(line);
    const [first, last] = request.messages;
    if (request.messages.length !== 2 || first.role !== "system" || last.role !== "user") continue;
    const offered = Object.fromEntries(
      (request.tools ?? []).map(({ function: { name, description, parameters } }) => [
        name,
        tool({ description, inputSchema: jsonSchema(parameters) }),
      ]),
    );
    const { tier } = await router.route(request.messages, { tools: request.tools });
    const models = { small: speaking("small"), frontier: speaking("frontier") };
    const { text } = await runAgent(router, models, { system: first.content, prompt: last.content, tools: offered });
    assert.equal(text, tier);
    asked.add(text);
  }
  assert.deepEqual([...asked].sort(), ["frontier", "small"]);
});

test("a step after a tool's result is routed by the whole conversation", async () => {
  const seen = [];
  const router = { route: async (request, beside) => (seen.push({ request, beside }), { tier: "small" }) };
  const models = { small: speaking("done", "find"), frontier: speaking("f") };
  const { text } = await runAgent(router, models, { system: "Be brief.", prompt: "order 7?", tools });
  assert.equal(text, "done");
  assert.deepEqual(seen.map(({ request }) => request.map(({ role }) => role)), [
    ["system", "user"],
    ["system", "user", "assistant", "tool"],
  ]);
  assert.equal(seen[1].request[3].content, '{"late": true}');
  assert.equal(seen[1].beside.tools[0].function.name, "find");
});

/** A model that says one thing, after a call of a tool if one is named. */
function speaking(text, toolName) {
  const usage = { inputTokens: {}, outputTokens: {} };
  return new MockLanguageModelV3({
    doGenerate: async ({ prompt }) => {
      const calls = toolName && !prompt.some(({ role }) => role === "tool");
      return calls
        ? {
            content: [{ type: "tool-call", toolCallId: "c", toolName, input: '{"id":"7"}' }],
            finishReason: { unified: "tool-calls", raw: "" },
            usage,
            warnings: [],
          }
        : { content: [{ type: "text", text }], finishReason: { unified: "stop", raw: "" }, usage, warnings: [] };
    },
  });
}
