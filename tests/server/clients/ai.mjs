import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateObject, generateText, streamObject, streamText, tool } from "ai";
import { z } from "zod";
import { base, check, errorOf, expect, finish, isPerson, isWeatherCall, model, question } from "./common.mjs";

const provider = createOpenAICompatible({ name: "mullama", baseURL: `${base}/v1`, supportsStructuredOutputs: true, includeUsage: true });
const options = { model: provider(model), temperature: 0, maxOutputTokens: 60, maxRetries: 0 };
const person = z.object({ name: z.string().max(20), age: z.number().int().min(0).max(150) });
let whole = "";

await check("generateText", async () => {
  const reply = await generateText({ ...options, prompt: question });
  whole = reply.text;
  expect(whole.includes("Paris") && reply.finishReason === "stop" && reply.usage.totalTokens > 0, `Paris in "${whole}"`);
});
await check("streamText is the same text", async () => {
  const stream = streamText({ ...options, prompt: question });
  let text = "";
  for await (const piece of stream.textStream) text += piece;
  expect(text === whole, `"${whole}", not "${text}"`);
  expect((await stream.finishReason) === "stop" && (await stream.usage).outputTokens > 0, "an end with usage");
});
await check("generateObject and streamObject", async () => {
  const ask = { ...options, maxOutputTokens: 200, schema: person, prompt: "Bob is 30 years old." };
  isPerson((await generateObject(ask)).object);
  const stream = streamObject(ask);
  let last = null;
  for await (const partial of stream.partialObjectStream) last = partial;
  isPerson(last);
  isPerson(await stream.object);
});
await check("tools", async () => {
  const tools = { get_weather: tool({ description: "Weather of a city", inputSchema: z.object({ city: z.string().max(20), days: z.number().int().min(1).max(7) }) }) };
  const ask = { ...options, maxOutputTokens: 200, tools, toolChoice: "required", prompt: "Weather in Ulm for 3 days?" };
  const reply = await generateText(ask);
  expect(reply.finishReason === "tool-calls" && reply.toolCalls[0].toolName === "get_weather", "a call");
  isWeatherCall(reply.toolCalls[0].input);
  const stream = streamText({ ...ask, toolChoice: { type: "tool", toolName: "get_weather" } });
  await stream.consumeStream();
  isWeatherCall((await stream.toolCalls)[0].input);
});
await check("embedMany", async () => {
  const { embeddings } = await embedMany({ model: provider.textEmbeddingModel(model), values: ["a cat", "a dog"], maxRetries: 0 });
  expect(embeddings.length === 2 && embeddings[0].length > 0, "two vectors");
});
await check("errors", async () => {
  const error = await errorOf(() => generateText({ ...options, model: provider("no-such-model"), prompt: "x" }));
  expect(error.statusCode === 404 && error.message.includes("no-such-model"), `a 404, not ${error}`);
});
finish();
