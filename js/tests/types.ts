/** What a caller writes against the shipped types; it is compiled by `npm run types` and never run. */

import * as onnxruntimeWeb from "onnxruntime-web";

import { Router as PlainRouter, type Acceptance, type Decision, type Reason } from "learned-router";
import { fromResult } from "learned-router/ai-sdk";
import { checkFolder, Router } from "learned-router/node";
import { Router as WebRouter } from "learned-router/web";

export async function use(folder: string): Promise<Reason> {
  const router = await Router.load(folder, { mode: "quality", models: { small: "llama" } });
  const tools = [{ type: "function", function: { name: "f", parameters: { type: "object" } } }];
  const decision: Decision = await router.route([{ role: "user", content: "hello" }], { tools, gated: true });
  await router.route({ messages: [{ role: "user", content: [{ type: "text", text: "x" }] }], tools, step: "code" });
  await router.route("hello", { mode: undefined });
  // @ts-expect-error: a number is no request
  await router.route(5);
  // @ts-expect-error: there is no such option
  await router.route("hello", { modes: "quality" });
  const answer = { text: "x", toolCalls: [], finishReason: "stop" };
  const acceptance: Acceptance = await router.accept("hello", fromResult(answer), { decision });
  const web: PlainRouter = await WebRouter.load(new URL("https://example.org/router"));
  await Router.load(folder, { ort: onnxruntimeWeb });
  const { problems } = await checkFolder(folder);
  return acceptance.accept ? acceptance.reason : ((await web.route(problems.join())).reason satisfies Reason);
}
