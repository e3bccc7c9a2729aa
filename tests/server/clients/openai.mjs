import OpenAI from "openai";
import { base, check, errorOf, expect, finish, isPerson, isWeatherCall, model, question, schema, weather } from "./common.mjs";

const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: "unused", maxRetries: 0 });
const messages = [{ role: "user", content: question }];
const greedy = { model, temperature: 0, max_tokens: 30 };
const tools = [{ type: "function", function: { name: "get_weather", description: "Weather of a city", parameters: weather } }];
let whole = "";

await check("chat", async () => {
  const reply = await client.chat.completions.create({ ...greedy, messages });
  whole = reply.choices[0].message.content;
  expect(whole.includes("Paris"), `Paris in "${whole}"`);
  expect(reply.choices[0].finish_reason === "stop", "an end");
  expect(reply.usage.total_tokens === reply.usage.prompt_tokens + reply.usage.completion_tokens, "a sum");
});
await check("chat, streamed, is the same text", async () => {
  const stream = await client.chat.completions.create({ ...greedy, messages, stream: true, stream_options: { include_usage: true } });
  let text = "";
  let usage = null;
  let reason = null;
  const ids = new Set();
  for await (const chunk of stream) {
    ids.add(chunk.id);
    text += chunk.choices[0]?.delta?.content ?? "";
    reason = chunk.choices[0]?.finish_reason ?? reason;
    usage = chunk.usage ?? usage;
  }
  expect(text === whole, `"${whole}", not "${text}"`);
  expect(reason === "stop" && usage.completion_tokens > 0 && ids.size === 1, "an end, usage, one id");
});
await check("parts, roles and the stream helper", async () => {
  const runner = client.chat.completions.stream({
    ...greedy,
    messages: [{ role: "developer", content: "Be brief." }, { role: "user", content: [{ type: "text", text: "Say" }, { type: "text", text: " hello" }] }],
  });
  const final = await runner.finalChatCompletion();
  expect(final.choices[0].message.content.length > 0, "an answer");
});
await check("stop, length, seed", async () => {
  const stopped = await client.chat.completions.create({ ...greedy, messages, stop: ["Paris"] });
  expect(!stopped.choices[0].message.content.includes("Paris") && stopped.choices[0].finish_reason === "stop", "a stop before Paris");
  const short = await client.chat.completions.create({ model, temperature: 0, max_completion_tokens: 2, messages });
  expect(short.choices[0].finish_reason === "length" && short.usage.completion_tokens === 2, "two tokens");
  const draw = async () => (await client.chat.completions.create({ model, temperature: 1.5, seed: 7, max_tokens: 12, messages })).choices[0].message.content;
  expect((await draw()) === (await draw()), "the same text from the same seed");
});
await check("log-probabilities", async () => {
  const reply = await client.chat.completions.create({ ...greedy, max_tokens: 3, messages, logprobs: true, top_logprobs: 2 });
  const content = reply.choices[0].logprobs.content;
  expect(content.length === 3 && content[0].top_logprobs.length === 2, "three tokens with two alternatives");
  expect(content.map((token) => token.token).join("") === reply.choices[0].message.content, "the answer's tokens");
  expect(content.every((token) => token.logprob <= 0 && token.logprob === token.top_logprobs[0].logprob), "greedy choices");
});
await check("structured output", async () => {
  const asked = [{ role: "user", content: "Bob is 30 years old." }];
  const reply = await client.chat.completions.create({ ...greedy, max_tokens: 200, messages: asked, response_format: { type: "json_schema", json_schema: { name: "person", strict: true, schema } } });
  isPerson(JSON.parse(reply.choices[0].message.content));
  const parsed = await client.chat.completions.parse({ ...greedy, max_tokens: 200, messages: asked, response_format: { type: "json_schema", json_schema: { name: "person", schema } } });
  isPerson(JSON.parse(parsed.choices[0].message.content));
  const any = await client.chat.completions.create({ model, max_tokens: 500, seed: 3, messages: asked, response_format: { type: "json_object" } });
  if (any.choices[0].finish_reason === "stop") JSON.parse(any.choices[0].message.content);
});
await check("tools, whole and streamed, and their results", async () => {
  const ask = { ...greedy, max_tokens: 200, messages: [{ role: "user", content: "Weather in Ulm for 3 days?" }], tools, tool_choice: "required" };
  const reply = await client.chat.completions.create(ask);
  const message = reply.choices[0].message;
  expect(reply.choices[0].finish_reason === "tool_calls" && message.tool_calls.length === 1, "one call");
  isWeatherCall(JSON.parse(message.tool_calls[0].function.arguments));
  const runner = client.chat.completions.stream({ ...ask, tool_choice: { type: "function", function: { name: "get_weather" } } });
  const streamed = (await runner.finalChatCompletion()).choices[0];
  expect(streamed.finish_reason === "tool_calls" && streamed.message.tool_calls[0].function.name === "get_weather", "a streamed call");
  isWeatherCall(JSON.parse(streamed.message.tool_calls[0].function.arguments));
  const answered = await client.chat.completions.create({
    ...greedy, tools,
    messages: [...ask.messages, message, { role: "tool", tool_call_id: message.tool_calls[0].id, content: "{\"sky\": \"sunny\"}" }],
  });
  expect(answered.choices.length === 1, "an answer to the result");
  const none = await client.chat.completions.create({ ...ask, tool_choice: "none" });
  expect(!none.choices[0].message.tool_calls, "no call");
});
await check("text completions", async () => {
  const reply = await client.completions.create({ model, prompt: "The capital of France is", max_tokens: 5, temperature: 0, logprobs: 1 });
  expect(reply.choices[0].text.includes("Paris") && reply.choices[0].logprobs.tokens.length === 5, "Paris in five tokens");
  let text = "";
  for await (const chunk of await client.completions.create({ model, prompt: "The capital of France is", max_tokens: 5, temperature: 0, stream: true }))
    text += chunk.choices[0].text;
  expect(text === reply.choices[0].text, "the same text streamed");
});
await check("responses", async () => {
  const reply = await client.responses.create({ model, input: question, instructions: "Be brief.", temperature: 0, max_output_tokens: 30 });
  expect(reply.status === "completed" || reply.status === "incomplete", "a status");
  expect(reply.output_text.length > 0 && reply.usage.total_tokens > 0, "a text");
  const types = [];
  let text = "";
  for await (const event of await client.responses.create({ model, input: [{ role: "user", content: question }], instructions: "Be brief.", temperature: 0, max_output_tokens: 30, stream: true })) {
    types.push(event.type);
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  expect(text === reply.output_text, "the same text streamed");
  expect(types[0] === "response.created" && ["response.completed", "response.incomplete"].includes(types.at(-1)), `events in order: ${types}`);
  const structured = await client.responses.create({ model, input: "Bob is 30.", temperature: 0, max_output_tokens: 200, text: { format: { type: "json_schema", name: "person", schema } } });
  isPerson(JSON.parse(structured.output_text));
  const call = await client.responses.create({ model, input: "Weather in Ulm?", temperature: 0, max_output_tokens: 200, tool_choice: "required", tools: [{ type: "function", name: "get_weather", parameters: weather, strict: true }] });
  const item = call.output.find((entry) => entry.type === "function_call");
  isWeatherCall(JSON.parse(item.arguments));
  const error = await errorOf(() => client.responses.create({ model, input: "x", previous_response_id: "resp_1" }));
  expect(error.status === 400 && error.message.includes("previous_response_id"), "no state");
});
await check("models", async () => {
  const listed = [];
  for await (const entry of client.models.list()) listed.push(entry.id);
  expect(listed.includes(model), `${model} among ${listed}`);
  expect((await client.models.retrieve(model)).object === "model", "a model");
});
await check("embeddings, by default as base64", async () => {
  const coded = await client.embeddings.create({ model, input: ["a cat", "a dog"] });
  const plain = await client.embeddings.create({ model, input: ["a cat", "a dog"], encoding_format: "float" });
  expect(coded.data.length === 2 && coded.data[0].embedding.length === plain.data[0].embedding.length, "two vectors");
  expect(coded.data[1].embedding.every((value, index) => Math.abs(value - plain.data[1].embedding[index]) < 1e-6), "the same numbers");
  expect(Math.abs(plain.data[0].embedding.reduce((sum, value) => sum + value * value, 0) - 1) < 1e-3, "length 1");
});
await check("errors", async () => {
  const missing = await errorOf(() => client.chat.completions.create({ ...greedy, model: "no-such-model", messages }));
  expect(missing instanceof OpenAI.NotFoundError && missing.type === "not_found_error", `a 404, not ${missing}`);
  for (const bad of [{ messages: [] }, { messages, n: 2 }, { messages, temperature: "hot" }, { messages, max_tokens: -7 },
    { messages: [{ role: "king", content: "x" }] }, { messages, tool_choice: "required" }, { messages, top_logprobs: 3 },
    { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:," } }] }] },
    { messages, response_format: { type: "json_schema", json_schema: { name: "x", schema: { type: "strange" } } } }]) {
    const error = await errorOf(() => client.chat.completions.create({ ...greedy, ...bad }));
    expect(error instanceof OpenAI.BadRequestError && error.type === "invalid_request_error", `a 400 for ${JSON.stringify(bad)}, not ${error}`);
  }
});
finish();
