import { ChatOllama, OllamaEmbeddings } from "@langchain/ollama";
import { tool } from "@langchain/core/tools";
import { z } from "zod";
import { base, check, errorOf, expect, finish, isPerson, model, question, schema } from "./common.mjs";

const options = { baseUrl: base, model, temperature: 0, numPredict: 60, maxRetries: 0 };
const chat = new ChatOllama(options);
let whole = "";

await check("chat", async () => {
  const reply = await chat.invoke(question);
  whole = reply.content;
  expect(whole.includes("Paris") && reply.usage_metadata.output_tokens > 0, `Paris in "${whole}"`);
});
await check("chat, streamed, is the same text", async () => {
  let text = "";
  for await (const chunk of await chat.stream(question)) text += chunk.content;
  expect(text === whole, `"${whole}", not "${text}"`);
});
await check("structured output", async () => {
  const reply = await new ChatOllama({ ...options, numPredict: 200, format: schema }).invoke("Bob is 30 years old.");
  isPerson(JSON.parse(reply.content));
  const any = await new ChatOllama({ ...options, numPredict: 400, format: "json" }).invoke("Describe Bob as JSON.");
  if (any.response_metadata.done_reason === "stop") JSON.parse(any.content);
});
await check("tools, although the template knows none", async () => {
  const weather = tool(async () => "sunny", { name: "get_weather", description: "Weather of a city", schema: z.object({ city: z.string() }) });
  const reply = await chat.bindTools([weather]).invoke("Weather in Ulm?");
  expect(reply.content.length > 0 || reply.tool_calls.length > 0, "an answer or a call");
});
await check("embeddings", async () => {
  const vectors = await new OllamaEmbeddings({ baseUrl: base, model, maxRetries: 0 }).embedDocuments(["a cat", "a dog"]);
  expect(vectors.length === 2 && vectors[0].length === vectors[1].length, "two vectors");
});
await check("errors", async () => {
  const error = await errorOf(() => new ChatOllama({ ...options, model: "no-such-model" }).invoke("x"));
  expect(String(error).includes("not found"), `a missing model, not ${error}`);
});
finish();
