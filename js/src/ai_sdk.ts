/**
 * What the Vercel AI SDK holds, in the shape that a router reads. Knows the SDK's shapes, and needs nothing of it.
 *
 * The same texts come out as when the SDK's traces are read for training, so that a router meets what it has learned from.
 */

import type { OutputInput } from "./answer.js";
import type { MessageInput } from "./request.js";

/** A `ModelMessage` of the SDK, as far as it is read. */
export interface ModelMessageLike {
  readonly role: string;
  readonly content: string | readonly object[];
}

/** A `Tool` of the SDK, as far as it is read. */
export interface ToolLike {
  readonly description?: string | undefined;
  readonly inputSchema?: unknown;
}

/** What `generateText` returns, as far as it is read. */
export interface ResultLike {
  readonly text: string;
  readonly toolCalls: readonly { readonly toolName: string; readonly input: unknown }[];
  readonly finishReason: string;
}

type Part = { readonly [field: string]: unknown };

/** OpenAI messages of the SDK's. system: the instructions that the SDK keeps beside them. */
export function fromModelMessages(messages: readonly ModelMessageLike[], system?: string): MessageInput[] {
  const found: MessageInput[] = system ? [{ role: "system", content: system }] : [];
  for (const { role, content } of messages) {
    if (typeof content === "string") {
      found.push({ role, content });
      continue;
    }
    const parts = content as readonly Part[];
    const calls = parts.filter((part) => part.type === "tool-call");
    const results = parts.filter((part) => part.type === "tool-result");
    for (const result of results) found.push({ role: "tool", content: resultText(result.output) });
    const said = parts.filter((part) => !["tool-call", "tool-result", "reasoning"].includes(String(part.type)));
    if (!said.length && !calls.length) continue;
    const [only] = said;
    const isText = said.length === 1 && only?.type === "text" && typeof only.text === "string";
    found.push({
      role,
      content: isText ? (only.text as string) : said.length ? said.map(plainPart) : null,
      ...(calls.length && {
        tool_calls: calls.map((call) => ({
          type: "function",
          id: call.toolCallId,
          function: { name: call.toolName, arguments: JSON.stringify(call.input ?? {}) },
        })),
      }),
    });
  }
  return found;
}

/** OpenAI tools of the SDK's. asSchema: the SDK's own, which makes JSON schemas of Zod's and others'. */
export async function fromTools(
  tools: { readonly [name: string]: ToolLike },
  asSchema: (schema: never) => { readonly jsonSchema: unknown },
): Promise<object[]> {
  return Promise.all(
    Object.entries(tools).map(async ([name, { description, inputSchema }]) => {
      const parameters = inputSchema === undefined ? undefined : await asSchema(inputSchema as never).jsonSchema;
      return { type: "function", function: { name, description, parameters } };
    }),
  );
}

/** What `accept` reads of what `generateText` returned. */
export function fromResult({ text, toolCalls, finishReason }: ResultLike): OutputInput {
  return {
    text,
    tool_calls: toolCalls.map((call) => ({ name: call.toolName, arguments: call.input })),
    finish_reason: finishReason,
  };
}

function plainPart(part: Part): object {
  const isImage = part.type === "image" || (part.type === "file" && String(part.mediaType).startsWith("image/"));
  return isImage ? { type: "image_url" } : part;
}

/** What a tool gave back, as text; the SDK wraps it as `{ type: "json", value: … }`. */
function resultText(output: unknown): string {
  const wrapped = typeof output === "object" && output !== null && "value" in output;
  const value = wrapped ? output.value : output;
  return typeof value === "string" ? value : spaced(value);
}

/** JSON as Python writes it: with spaces. */
function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const pairs = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return `{${pairs.map(([key, inner]) => `${JSON.stringify(key)}: ${spaced(inner)}`).join(", ")}}`;
}
