import Anthropic from "@anthropic-ai/sdk";
import { base, check, errorOf, expect, finish, isWeatherCall, model, question, weather } from "./common.mjs";

const client = new Anthropic({ baseURL: base, apiKey: "unused", maxRetries: 0 });
const messages = [{ role: "user", content: question }];
const greedy = { model, temperature: 0, max_tokens: 30 };
const tools = [{ name: "get_weather", description: "Weather of a city", input_schema: weather }];
let whole = "";

await check("messages", async () => {
  const reply = await client.messages.create({ ...greedy, messages });
  whole = reply.content[0].text;
  expect(whole.includes("Paris") && reply.stop_reason === "end_turn" && reply.stop_sequence === null, `Paris in "${whole}"`);
  expect(reply.role === "assistant" && reply.usage.input_tokens > 0 && reply.usage.output_tokens > 0, "usage");
});
await check("messages, streamed, are the same text", async () => {
  const events = [];
  const stream = client.messages.stream({ ...greedy, messages });
  stream.on("streamEvent", (event) => events.push(event.type));
  const final = await stream.finalMessage();
  expect(final.content[0].text === whole && final.stop_reason === "end_turn", `"${whole}", not ${JSON.stringify(final)}`);
  expect(events[0] === "message_start" && events.at(-1) === "message_stop" && events.includes("content_block_stop"), `events: ${events}`);
  expect(final.usage.output_tokens > 0, "usage");
});
await check("system, blocks, stops and limits", async () => {
  const blocks = await client.messages.create({ ...greedy, system: [{ type: "text", text: "Be brief.", cache_control: { type: "ephemeral" } }], messages: [{ role: "user", content: [{ type: "text", text: question }] }, { role: "assistant", content: [{ type: "thinking", thinking: "hm", signature: "" }, { type: "text", text: "Paris." }] }, { role: "user", content: "Thanks." }] });
  expect(blocks.content.length > 0, "an answer");
  const stopped = await client.messages.create({ ...greedy, messages, stop_sequences: ["Paris"] });
  expect(stopped.stop_reason === "stop_sequence" && stopped.stop_sequence === "Paris", "a stop at Paris");
  const short = await client.messages.create({ ...greedy, max_tokens: 2, messages });
  expect(short.stop_reason === "max_tokens" && short.usage.output_tokens === 2, "two tokens");
});
await check("tools", async () => {
  const ask = { ...greedy, max_tokens: 200, messages: [{ role: "user", content: "Weather in Ulm for 3 days?" }], tools, tool_choice: { type: "any" } };
  const reply = await client.messages.create(ask);
  const use = reply.content.find((block) => block.type === "tool_use");
  expect(reply.stop_reason === "tool_use" && use.name === "get_weather", "a call");
  isWeatherCall(use.input);
  const streamed = await client.messages.stream({ ...ask, tool_choice: { type: "tool", name: "get_weather" } }).finalMessage();
  isWeatherCall(streamed.content.find((block) => block.type === "tool_use").input);
  const answered = await client.messages.create({ ...greedy, tools, messages: [...ask.messages, { role: "assistant", content: reply.content }, { role: "user", content: [{ type: "tool_result", tool_use_id: use.id, content: [{ type: "text", text: "sunny" }] }, { type: "text", text: "And?" }] }] });
  expect(["end_turn", "max_tokens", "tool_use"].includes(answered.stop_reason), "an answer to the result");
});
await check("count_tokens", async () => {
  const counted = await client.messages.countTokens({ model, messages });
  const reply = await client.messages.create({ ...greedy, max_tokens: 1, messages });
  const { input_tokens: computed, cache_read_input_tokens: cached } = reply.usage;
  expect(counted.input_tokens === computed + cached, `${computed} and ${cached} cached, not ${counted.input_tokens}`);
});
await check("errors", async () => {
  const missing = await errorOf(() => client.messages.create({ ...greedy, model: "no-such-model", messages }));
  expect(missing instanceof Anthropic.NotFoundError && missing.error.error.type === "not_found_error" && missing.error.request_id, `a 404, not ${missing}`);
  for (const bad of [{ messages: [] }, { messages, temperature: "hot" }, { messages: [{ role: "king", content: "x" }] }, { messages, tool_choice: { type: "any" } },
    { messages: [{ role: "user", content: [{ type: "image", source: { type: "base64", media_type: "image/png", data: "" } }] }] }]) {
    const error = await errorOf(() => client.messages.create({ ...greedy, ...bad }));
    expect(error instanceof Anthropic.BadRequestError && error.error.error.type === "invalid_request_error", `a 400 for ${JSON.stringify(bad)}, not ${error}`);
  }
});
finish();
