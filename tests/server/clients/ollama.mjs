import { Ollama } from "ollama";
import { base, check, errorOf, expect, finish, isPerson, isWeatherCall, model, question, schema, weather } from "./common.mjs";

const client = new Ollama({ host: base });
const messages = [{ role: "user", content: question }];
const greedy = { temperature: 0, num_predict: 30 };
const tools = [{ type: "function", function: { name: "get_weather", description: "Weather of a city", parameters: weather } }];
let whole = "";

/** The text of a stream, and its last part, which must be the one that is done. */
async function gather(stream, textOf) {
  let text = "";
  let last = null;
  for await (const part of stream) {
    text += textOf(part);
    last = part;
  }
  expect(last?.done === true && last.eval_count > 0 && last.total_duration > 0, "an end with figures");
  return { text, last };
}

await check("chat, whole and streamed", async () => {
  const reply = await client.chat({ model, messages, options: greedy });
  whole = reply.message.content;
  expect(whole.includes("Paris") && reply.message.role === "assistant" && reply.done_reason === "stop", `Paris in "${whole}"`);
  expect(reply.created_at && reply.prompt_eval_count > 0 && reply.eval_duration > 0, "figures");
  const { text } = await gather(await client.chat({ model, messages, options: greedy, stream: true }), (part) => part.message.content);
  expect(text === whole, `"${whole}", not "${text}"`);
});
await check("generate, whole and streamed, with a system message and a template of its own", async () => {
  const reply = await client.generate({ model, prompt: question, options: greedy });
  expect(reply.response === whole, `the answer of chat, "${whole}", not "${reply.response}"`);
  const { text } = await gather(await client.generate({ model, prompt: question, options: greedy, stream: true }), (part) => part.response);
  expect(text === whole, `"${whole}", not "${text}"`);
  const pirate = await client.generate({ model, prompt: "Who are you?", system: "You are Captain Hook, a pirate.", options: greedy });
  expect(pirate.response !== (await client.generate({ model, prompt: "Who are you?", options: greedy })).response, "another answer for another system message");
  const own = await client.generate({ model, prompt: "The capital of France is", template: "{{ .Prompt }}", options: { temperature: 0, num_predict: 6 } });
  const raw = await client.generate({ model, prompt: "The capital of France is", raw: true, options: { temperature: 0, num_predict: 6 } });
  expect(own.response === raw.response && raw.response.includes("Paris"), `the bare text's continuation, not "${own.response}"`);
});
await check("context goes on, and raw has none", async () => {
  const first = await client.generate({ model, prompt: "My name is Ada.", options: greedy });
  const second = await client.generate({ model, prompt: "What is my name?", context: first.context, options: greedy });
  expect(second.context.length > first.context.length && second.prompt_eval_count > first.context.length, "a longer context");
  const raw = await client.generate({ model, prompt: "1, 2, 3,", raw: true, options: { temperature: 0, num_predict: 4 } });
  expect(raw.context === undefined && raw.response.includes("4"), `counting, not "${raw.response}"`);
});
await check("options: seed, stop, num_predict, logprobs", async () => {
  const draw = async () => (await client.generate({ model, prompt: "Once", options: { temperature: 1.5, seed: 7, num_predict: 12 } })).response;
  expect((await draw()) === (await draw()), "the same text from the same seed");
  const stopped = await client.chat({ model, messages, options: { ...greedy, stop: ["Paris"] } });
  expect(!stopped.message.content.includes("Paris") && stopped.done_reason === "stop", "an end before Paris");
  const short = await client.chat({ model, messages, options: { ...greedy, num_predict: 2 }, logprobs: true, top_logprobs: 2 });
  expect(short.done_reason === "length" && short.eval_count === 2, "two tokens");
  expect(short.logprobs.length === 2 && short.logprobs[0].top_logprobs.length === 2, "log-probabilities of both");
});
await check("structured output", async () => {
  const asked = [{ role: "user", content: "Bob is 30 years old." }];
  const reply = await client.chat({ model, messages: asked, format: schema, options: { temperature: 0, num_predict: 200 } });
  isPerson(JSON.parse(reply.message.content));
  const generated = await client.generate({ model, prompt: "Bob is 30 years old.", format: schema, options: { temperature: 0, num_predict: 200 } });
  isPerson(JSON.parse(generated.response));
  const any = await client.generate({ model, prompt: "Describe Bob as JSON.", format: "json", options: { temperature: 0, num_predict: 400 } });
  if (any.done_reason === "stop") JSON.parse(any.response);
});
await check("tools, whole and streamed, and their results", async () => {
  const call = (city, days) => ({ role: "assistant", content: "", tool_calls: [{ function: { name: "get_weather", arguments: { city, days } } }] });
  const talk = [
    { role: "user", content: "Weather in Rome for 2 days?" }, call("Rome", 2),
    { role: "user", content: "Weather in Oslo for 4 days?" }, call("Oslo", 4),
    { role: "user", content: "Weather in Lima for 5 days?" }, call("Lima", 5),
    { role: "user", content: "Weather in Paris for 3 days?" },
  ];
  const reply = await client.chat({ model, messages: talk, tools, options: { temperature: 0, num_predict: 80 } });
  expect(reply.message.tool_calls?.length >= 1, `a call, not ${JSON.stringify(reply.message)}`);
  expect(reply.message.tool_calls[0].function.name === "get_weather", "its name");
  isWeatherCall(reply.message.tool_calls[0].function.arguments);
  const calls = [];
  for await (const part of await client.chat({ model, messages: talk, tools, stream: true, options: { temperature: 0, num_predict: 80 } }))
    calls.push(...(part.message.tool_calls ?? []));
  expect(JSON.stringify(calls[0].function.arguments) === JSON.stringify(reply.message.tool_calls[0].function.arguments), "the same call streamed");
  const answered = await client.chat({ model, messages: [...talk, reply.message, { role: "tool", tool_name: "get_weather", content: "rain" }], tools, options: greedy });
  expect(answered.message.content.length > 0 || answered.message.tool_calls, "an answer to the result");
});
await check("thinking is refused where the model cannot, and none is none", async () => {
  const error = await errorOf(() => client.chat({ model, messages, think: true, options: greedy }));
  expect(error.status_code === 400 && error.message.includes("does not support thinking"), `a refusal, not ${error}`);
  const reply = await client.chat({ model, messages, think: false, options: greedy });
  expect(reply.message.content === whole && !reply.message.thinking, "the plain answer");
});
await check("embeddings", async () => {
  const made = await client.embed({ model, input: ["a cat", "a dog"] });
  expect(made.embeddings.length === 2 && made.prompt_eval_count > 0, "two vectors");
  expect(Math.abs(made.embeddings[0].reduce((sum, value) => sum + value * value, 0) - 1) < 1e-3, "length 1");
  const one = await client.embeddings({ model, prompt: "a cat" });
  expect(one.embedding.every((value, index) => value === made.embeddings[0][index]), "the same vector the old way");
  const small = await client.embed({ model, input: "a cat", dimensions: 8 });
  expect(small.embeddings[0].length === 8, "eight dimensions");
});
await check("list, show, ps, version", async () => {
  const listed = (await client.list()).models.find((entry) => entry.name === model);
  expect(listed?.details.family === "llama" && listed.size > 0 && listed.digest.length === 64, `${model} with its details`);
  const shown = await client.show({ model });
  expect(shown.model_info["general.architecture"] === "llama" && shown.capabilities.includes("completion") && shown.template.length > 0, "its description");
  const running = (await client.ps()).models.find((entry) => entry.name === model);
  expect(running?.context_length === 2048 && Date.parse(running.expires_at) > Date.now(), "a running model");
  expect(/^\d+\.\d+\.\d+$/.test((await client.version()).version), "a version");
});
await check("copy, create, pull and delete", async () => {
  expect((await client.copy({ source: model, destination: "js-twin" })).status === "success", "a copy");
  const states = [];
  for await (const part of await client.create({ model: "js-pirate", from: model, system: "You are a pirate.", parameters: { temperature: 0 }, stream: true })) states.push(part.status);
  expect(states.at(-1) === "success", `success, not ${states}`);
  expect((await client.show({ model: "js-pirate" })).system === "You are a pirate.", "the system message");
  const names = (await client.list()).models.map((entry) => entry.name);
  expect(names.includes("js-twin:latest") && names.includes("js-pirate:latest"), `both in ${names}`);
  for (const name of ["js-twin", "js-pirate"]) expect((await client.delete({ model: name })).status === "success", "a deletion");
  expect(!(await client.list()).models.some((entry) => entry.name.startsWith("js-")), "nothing left");
  const missing = await errorOf(() => client.delete({ model: "js-twin" }));
  expect(missing.status_code === 404 && missing.message.includes("not found"), `a 404, not ${missing}`);
  const pulled = await errorOf(() => client.pull({ model: "localhost:1/library/nothing" }));
  expect(!pulled.message.includes("/models") && pulled.message.length > 0, `a reason without our folders, not ${pulled}`);
});
await check("keep_alive loads, keeps and unloads", async () => {
  const loaded = await client.generate({ model, prompt: "", keep_alive: "10m" });
  expect(loaded.done && loaded.done_reason === "load", "a load");
  const gone = await client.generate({ model, prompt: "", keep_alive: 0 });
  expect(gone.done_reason === "unload" && !(await client.ps()).models.some((entry) => entry.name === model), "nothing in memory");
  await client.chat({ model, messages, keep_alive: -1, options: { num_predict: 1 } });
  const running = (await client.ps()).models.find((entry) => entry.name === model);
  expect(Date.parse(running.expires_at) - Date.now() > 365 * 24 * 3600e3, "one that stays");
});
await check("abort ends a stream", async () => {
  const own = new Ollama({ host: base });
  const stream = await own.generate({ model, prompt: "Count to one thousand:", raw: true, stream: true, options: { temperature: 0, num_predict: 1500 } });
  const error = await errorOf(async () => {
    for await (const _ of stream) own.abort();
  });
  expect(error.name === "AbortError", `an abort, not ${error}`);
  const slots = async () => (await (await fetch(`${base}/slots`)).json()).filter((slot) => slot.is_processing).length;
  for (let i = 0; i < 100 && (await slots()) > 0; ++i) await new Promise((done) => setTimeout(done, 50));
  expect((await slots()) === 0, "a free sequence");
});
await check("errors", async () => {
  const missing = await errorOf(() => client.chat({ model: "no-such-model", messages }));
  expect(missing.status_code === 404 && missing.message === "model 'no-such-model' not found", `a 404, not ${missing}`);
  const streamed = await errorOf(() => client.generate({ model: "no-such-model", prompt: "x", stream: true }));
  expect(streamed.status_code === 404, `a 404, not ${streamed}`);
  for (const bad of [{ options: { temperature: "hot" } }, { format: "xml" }, { format: { type: "strange" } }, { messages: [{ role: "user", content: "x", images: ["aGk="] }] },
    { think: "very" }, { options: { num_ctx: 2 ** 31 } }]) {
    const error = await errorOf(() => client.chat({ model, messages, ...bad }));
    expect(error.status_code === 400, `a 400 for ${JSON.stringify(bad)}, not ${error}`);
  }
});
finish();
