"use strict";

// What the models say is only ever set as text, never as HTML.
const byId = (id) => document.getElementById(id);
const kColors = ["#2b6cb0", "#2f855a", "#b7791f", "#805ad5", "#c05621", "#319795", "#b83280", "#718096"];
const kPollMilliseconds = 2000;

let conversation = [];
let running = null; // The AbortController of the answer under way.

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** 1536 -> "1.5 KiB" */
function size(bytes) {
  if (typeof bytes !== "number") return "-";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit + 1 < units.length) {
    bytes /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? bytes : bytes.toFixed(bytes < 100 ? 1 : 0)} ${units[unit]}`;
}

async function call(path, body, signal) {
  const headers = {};
  const key = sessionStorage.getItem("key");
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  // Relative, so that a proxy may serve all of it under a folder.
  const reply = await fetch(`../${path}`, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  byId("key-form").hidden = reply.status !== 401;
  if (reply.ok) return reply;
  const text = await reply.text();
  let message = text || `the server answers ${reply.status}`;
  try {
    message = JSON.parse(text).error ?? message;
  } catch {
    // Not one of the server's own errors, perhaps a proxy's.
  }
  throw new Error(message);
}

/** The documents of a reply that holds one a line, as they come. */
async function* documents(reply) {
  const reader = reply.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
    const lines = rest.split("\n");
    rest = done ? "" : lines.pop();
    for (const line of lines) {
      if (line !== "") yield JSON.parse(line);
    }
    if (done) return;
  }
}

/** Keeps the end in view for whoever looks at it. */
function follow(change) {
  const log = byId("messages");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  change();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function show(className, text) {
  const made = element("div", `message ${className}`, text);
  follow(() => byId("messages").append(made));
  return made;
}

function facts(last) {
  const parts = [`${last.eval_count ?? 0} tokens`];
  if (last.eval_duration > 0) parts.push(`${((last.eval_count * 1e9) / last.eval_duration).toFixed(1)} tokens/s`);
  const receipt = last.receipt ?? {};
  if (receipt.kv_bytes) parts.push(`KV ${size(receipt.kv_bytes)}`);
  if (receipt.prefix_bytes_reused) parts.push(`${size(receipt.prefix_bytes_reused)} of it reused`);
  if (receipt.tokens_cut) parts.push(`${receipt.tokens_cut} tokens of the prompt cut`);
  if (last.done_reason === "length") parts.push("cut at the limit");
  return parts.join(" · ");
}

function setRunning(controller) {
  running = controller;
  byId("send").hidden = controller !== null;
  byId("stop").hidden = controller === null;
}

function request(text) {
  const system = byId("system").value.trim();
  const options = {};
  if (byId("temperature").value !== "") options.temperature = Number(byId("temperature").value);
  if (byId("most").value !== "") options.num_predict = Number(byId("most").value);
  conversation.push({ role: "user", content: text });
  return {
    model: byId("model").value,
    messages: [...(system ? [{ role: "system", content: system }] : []), ...conversation],
    options,
  };
}

async function answer(text) {
  show("user", text);
  setRunning(new AbortController());
  const asked = conversation;
  let thinking = null;
  let shown = null;
  let said = "";
  try {
    const reply = await call("api/chat", request(text), running.signal);
    for await (const document of documents(reply)) {
      // An answer that a new conversation has ended has no place in it.
      if (asked !== conversation) break;
      if (document.error) throw new Error(document.error);
      const message = document.message ?? {};
      if (message.thinking) {
        thinking ??= show("thinking", "");
        follow(() => thinking.append(message.thinking));
      }
      if (message.content) {
        shown ??= show("model", "");
        said += message.content;
        follow(() => shown.append(message.content));
      }
      if (document.done) show("note", facts(document));
    }
  } catch (error) {
    const stopped = error.name === "AbortError";
    if (asked === conversation) show(stopped ? "note" : "error", stopped ? "stopped" : `Error: ${error.message}`);
  }
  // What was said stays, as in the terminal; a question without any answer is taken back.
  if (said !== "") {
    asked.push({ role: "assistant", content: said });
  } else {
    asked.pop();
  }
  setRunning(null);
  await lookAtMemory();
}

async function refreshModels() {
  const { models } = await (await call("api/tags")).json();
  const chosen = byId("model").value;
  const names = models.map((model) => model.name);
  byId("model").replaceChildren(...names.map((name) => new Option(name, name, false, name === chosen)));
  if (names.length === 0 && byId("messages").childElementCount === 0) {
    show("note", "No model is on this machine yet. Fetch one with: mullama pull smollm2:135m");
  }
}

function row(pool) {
  const made = document.createElement("tr");
  const cells = [pool.pool, size(pool.bytes), size(pool.planned), size(pool.residency?.resident)];
  made.append(...cells.map((text) => element("td", "", text)));
  made.title = `${pool.bytes} bytes`;
  return made;
}

async function refreshMemory() {
  const memory = await (await call("memory")).json();
  const host = memory.devices.find((device) => device.device === "host");
  const whole = typeof host.budget === "number" ? host.budget : host.bytes;
  byId("total").textContent =
    typeof host.budget === "number" ? `${size(host.counted)} of the budget of ${size(host.budget)}` : `${size(host.bytes)}, no budget`;
  const held = memory.pools.filter((pool) => pool.bytes > 0);
  byId("bar").replaceChildren(
    ...held.map((pool, index) => {
      const part = element("div", "");
      part.style.width = `${(100 * pool.bytes) / Math.max(whole, 1)}%`;
      part.style.background = kColors[index % kColors.length];
      return part;
    }),
  );
  byId("pools").replaceChildren(...held.map(row));
  byId("unaccounted").textContent = `${host.unaccounted} B unaccounted`;
}

/** For looks that nobody asked for: the next one may succeed. */
function lookAtMemory() {
  return refreshMemory().catch(() => {});
}

async function refresh() {
  try {
    await refreshModels();
    await refreshMemory();
  } catch (error) {
    byId("total").textContent = `Error: ${error.message}`;
  }
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (running !== null || text === "") return;
  byId("text").value = "";
  answer(text);
});
byId("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("ask").requestSubmit();
});
byId("stop").addEventListener("click", () => running?.abort());
byId("new").addEventListener("click", () => {
  running?.abort();
  conversation = [];
  byId("messages").replaceChildren();
});
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", byId("key").value);
  byId("key").value = "";
  refresh();
});
// A page that nobody looks at asks nothing.
setInterval(() => {
  if (!document.hidden && byId("key-form").hidden) lookAtMemory();
}, kPollMilliseconds);
refresh();
