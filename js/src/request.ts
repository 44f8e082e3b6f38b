/** Turn whatever a caller routes into one request, or say which field is wrong. Knows nothing of what is read of it. */

import { InputError } from "./errors.js";
import { get, isMapping, type Mapping } from "./json.js";
import { first } from "./unicode.js";

export const STEPS = [
  "intent",
  "extract",
  "tool_call",
  "tool_result",
  "validate",
  "plan",
  "code",
  "recover",
  "respond",
  "other",
] as const;

export type Step = (typeof STEPS)[number];

/** One chat message in OpenAI's shape, as a caller may give it; further fields are not read. */
export interface MessageInput {
  role: string;
  content?: string | readonly unknown[] | null;
  tool_calls?: readonly unknown[] | null;
}

/** A tool in OpenAI's shape, `{ type: "function", function: { … } }`, or the inner object. */
export type ToolInput = Mapping | object;

/** What is routed, as a caller may give it: a prompt, messages, or an object with `messages` or a `prompt`. */
export type RequestInput =
  | string
  | readonly (MessageInput | Mapping)[]
  | {
      messages?: readonly (MessageInput | Mapping)[];
      prompt?: string;
      tools?: readonly ToolInput[] | null;
      response_format?: object | null;
      step?: string | null;
    }
  | ReadonlyMap<string, unknown>;

/** One message that has been read. content: text, a list of parts, or null beside tool calls. */
export interface Message {
  readonly role: string;
  readonly content: string | readonly unknown[] | null;
  readonly toolCalls: readonly unknown[];
}

/** What is routed, read and checked. */
export interface Request {
  readonly messages: readonly Message[];
  readonly tools: readonly Mapping[];
  readonly responseFormat: Mapping | null;
  readonly step: string | null;
}

/** What is given beside a request, and wins over what is in it. */
export interface Beside {
  tools?: readonly ToolInput[] | null;
  step?: string | null;
}

/** One request of whatever a caller routes. Raises InputError naming the field that is wrong, what was found and wanted. */
export function parseRequest(request: unknown, { tools, step }: Beside = {}): Request {
  let given: Mapping;
  if (typeof request === "string") given = { messages: [{ role: "user", content: request }] };
  else if (Array.isArray(request)) given = { messages: request };
  else if (isMapping(request)) given = request;
  else {
    throw new InputError(
      `request is ${kindOf(request)}; it must be a prompt (text), a list of messages, or an object with 'messages'`,
    );
  }
  const parsed = parseMapping(given);
  const chosen = {
    ...parsed,
    tools: tools == null ? parsed.tools : parseTools(tools),
    step: step == null ? parsed.step : step,
  };
  if (!chosen.messages.length) throw new InputError("messages is empty; it must hold at least one message");
  if (chosen.step !== null && !(STEPS as readonly string[]).includes(chosen.step)) {
    const found = typeof chosen.step === "string" ? `'${first(chosen.step, 40)}'` : kindOf(chosen.step);
    throw new InputError(`step is ${found}; it must be one of ${STEPS.join(", ")}, or absent`);
  }
  return chosen;
}

function parseMapping(request: Mapping): Request {
  let messages = get(request, "messages");
  if (messages === null) {
    const prompt = get(request, "prompt");
    if (prompt !== null) {
      if (typeof prompt !== "string") throw new InputError(`prompt is ${kindOf(prompt)}; it must be text`);
      messages = [{ role: "user", content: prompt }];
    }
  }
  if (!Array.isArray(messages)) {
    throw new InputError(`messages is ${kindOf(messages)}; it must be a list of at least one message`);
  }
  const responseFormat = get(request, "response_format");
  if (responseFormat !== null && !isMapping(responseFormat)) {
    throw new InputError(`response_format is ${kindOf(responseFormat)}; it must be an object or null`);
  }
  const step = get(request, "step");
  if (step !== null && typeof step !== "string") {
    throw new InputError(`step is ${kindOf(step)}; it must be one of ${STEPS.join(", ")}, or absent`);
  }
  // a hole of an array is no message either, and map would leave it
  const parsed = Array.from(messages as unknown[], parseMessage);
  return { messages: parsed, tools: parseTools(get(request, "tools")), responseFormat, step };
}

function parseMessage(message: unknown, index: number): Message {
  if (!isMapping(message)) {
    throw new InputError(`messages[${index}] is ${kindOf(message)}; it must be an object with 'role' and 'content'`);
  }
  const [role, content, calls] = [get(message, "role"), get(message, "content"), get(message, "tool_calls")];
  if (typeof role !== "string") {
    throw new InputError(`messages[${index}].role is ${kindOf(role)}; it must be text such as 'user'`);
  }
  if (content !== null && typeof content !== "string" && !Array.isArray(content)) {
    throw new InputError(`messages[${index}].content is ${kindOf(content)}; it must be text, a list of parts, or null`);
  }
  if (calls !== null && !Array.isArray(calls)) {
    throw new InputError(`messages[${index}].tool_calls is ${kindOf(calls)}; it must be a list or null`);
  }
  return { role, content, toolCalls: calls ?? [] };
}

function parseTools(tools: unknown): readonly Mapping[] {
  if (tools === null) return [];
  if (!Array.isArray(tools)) throw new InputError(`tools is ${kindOf(tools)}; it must be a list of tool definitions`);
  return Array.from(tools as unknown[], (tool, index) => {
    if (isMapping(tool)) return tool;
    throw new InputError(`tools[${index}] is ${kindOf(tool)}; it must be an object with 'function' or 'name'`);
  });
}

/** What was found where something else was wanted, for a message. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return "absent";
  return `of type ${Array.isArray(value) ? "array" : typeof value}`;
}

/** The text under a key, "" when something else stands there. */
export function textOf(mapping: Mapping, key: string): string {
  const value = get(mapping, key);
  return typeof value === "string" ? value : "";
}

/** The text of a message; text parts are joined by new lines, a part without text stands as its type in brackets. */
export function messageText(message: Message): string {
  const { content } = message;
  if (content === null) return "";
  if (typeof content === "string") return content;
  const texts: string[] = [];
  for (const part of content) {
    if (typeof part === "string") texts.push(part);
    else if (isMapping(part)) {
      const text = get(part, "text");
      texts.push(typeof text === "string" ? text : `[${textOf(part, "type") || "part"}]`);
    }
  }
  return texts.join("\n");
}

/** Whether the answer must be JSON; `{ type: "text" }` asks for what comes anyway. */
export function wantsJson(request: Request): boolean {
  return request.responseFormat !== null && textOf(request.responseFormat, "type").startsWith("json");
}

/** Whether any message carries an image part. */
export function needsVision(request: Request): boolean {
  return request.messages.some(
    ({ content }) =>
      Array.isArray(content) && content.some((part) => isMapping(part) && textOf(part, "type").includes("image")),
  );
}

/** The part of a tool that holds its name: the inner object, or the tool itself. */
export function functionOf(tool: Mapping): Mapping {
  const inner = get(tool, "function");
  return isMapping(inner) ? inner : tool;
}
