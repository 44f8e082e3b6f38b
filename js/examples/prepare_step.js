/** An agent of the Vercel AI SDK whose every step goes to the cheapest model that will do. */

import { asSchema, generateText, stepCountIs } from "ai";
import { fromModelMessages, fromTools } from "learned-router/ai-sdk";

/**
 * @param {import("learned-router").Router} router
 * @param {{ [tier: string]: import("ai").LanguageModel }} models by tier; the last resort is `frontier`
 * @param {{ system: string, prompt: string, tools: import("ai").ToolSet }} task
 */
export async function runAgent(router, models, { system, prompt, tools }) {
  const offered = await fromTools(tools, asSchema);
  return generateText({
    model: models.frontier,
    system,
    prompt,
    tools,
    stopWhen: stepCountIs(8),
    prepareStep: async ({ messages }) => {
      const { tier } = await router.route(fromModelMessages(messages, system), { tools: offered });
      return { model: models[tier] };
    },
  });
}
