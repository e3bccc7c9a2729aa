// The page at /ui/ in jsdom, a browser's document model: loaded from the server, it talks with the model and shows its memory.
import { JSDOM } from "jsdom";

import { base, check, expect, finish, model } from "./common.mjs";

const greedy = { "#temperature": "0", "#most": "24" };

/** The page with its own script, which reaches the server by node's fetch, or by another one. No page is closed before the end: one that
 * waits for a reply would find its document gone. */
async function open(fetchFrom = fetch, models = true) {
  const dom = await JSDOM.fromURL(`${base}/ui/`, {
    runScripts: "dangerously",
    resources: "usable",
    pretendToBeVisual: true,
    beforeParse(window) {
      window.fetch = (path, options) => fetchFrom(new URL(path, window.document.baseURI), options);
      window.AbortController = AbortController;
      window.TextDecoder = TextDecoder;
    },
  });
  const page = { window: dom.window, find: (selector) => dom.window.document.querySelector(selector) };
  page.all = (selector) => [...dom.window.document.querySelectorAll(selector)];
  page.set = (values) => Object.entries(values).forEach(([selector, value]) => (page.find(selector).value = value));
  page.until = async (condition, what) => {
    const end = Date.now() + 120_000;
    while (!condition()) {
      if (Date.now() > end) throw new Error(`expected ${what}; the page says: ${dom.window.document.body.textContent}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  page.ask = (text) => {
    page.set({ "#text": text });
    page.find("#ask").requestSubmit();
  };
  page.ended = () => page.until(() => page.find("#stop").hidden && page.find(".note, .error"), "an end");
  page.models = () => page.until(() => page.find("#model").options.length > 0, "models");
  if (models) await page.models();
  return page;
}

await check("the page lists models and shows every pool of memory", async () => {
  const page = await open();
  expect([...page.find("#model").options].some((option) => option.value === model), `${model} among the models`);
  await page.until(() => page.all("#pools tr").length > 0, "pools");
  const { pools } = await (await fetch(`${base}/memory`)).json();
  const want = pools.filter((pool) => pool.bytes > 0).map((pool) => pool.pool);
  await page.until(() => page.all("#pools tr").map((row) => row.firstChild.textContent).join() === want.join(), `${want}`);
  // A look may fall into the moment in which a connection's stack is taken; the page looks again.
  await page.until(() => page.find("#unaccounted").textContent === "0 B unaccounted", "no byte unaccounted");
});

await check("a question is answered, and the next one knows of it", async () => {
  const page = await open();
  page.set({ "#model": model, ...greedy });
  page.ask("My name is Ada. Say hello to me.");
  await page.ended();
  expect(page.all(".error").length === 0, `no error, not ${page.find(".error")?.textContent}`);
  const [first] = page.all(".model");
  const messages = [{ role: "user", content: "My name is Ada. Say hello to me." }];
  const body = { model, messages, stream: false, options: { temperature: 0, num_predict: 24 } };
  const told = await (await fetch(`${base}/api/chat`, { method: "POST", body: JSON.stringify(body) })).json();
  expect(first.textContent === told.message.content, `"${told.message.content}", not "${first.textContent}"`);
  expect(/^\d+ tokens · [\d.]+ tokens\/s · KV /.test(page.find(".note").textContent), "what the answer took");

  page.find(".note").remove();
  page.ask("What is my name?");
  await page.ended();
  expect(page.all(".user").length === 2 && page.all(".model").length === 2, "two turns");
  expect(page.find(".note").textContent.includes("reused"), `pages reused, not "${page.find(".note").textContent}"`);
});

await check("Stop ends the answer and keeps what was said", async () => {
  const page = await open();
  page.set({ "#model": model, "#temperature": "0" });
  page.ask("Write a very long story."); // Its greedy answer does not end by itself for thousands of tokens.
  await page.until(() => page.find(".model"), "a beginning");
  page.find("#stop").click();
  await page.ended();
  expect(page.find(".note").textContent === "stopped", "a word that it was stopped");
  expect(page.find(".model").textContent !== "", "what was said");
});

await check("a new conversation begins empty, also in the middle of an answer", async () => {
  const page = await open();
  page.set({ "#model": model, "#temperature": "0" });
  page.ask("Write a very long story.");
  await page.until(() => page.find(".model"), "a beginning");
  page.find("#new").click();
  await page.until(() => page.find("#stop").hidden, "an end");
  expect(page.find("#messages").childElementCount === 0, `nothing left, not "${page.find("#messages").textContent}"`);
});

await check("what a model says is text, and errors are told", async () => {
  const hostile = '<img src=x onerror="window.taken = 1"><script>window.taken = 1</script>';
  const lines = [{ message: { thinking: hostile } }, { message: { content: hostile } }, { error: "the disk is full" }];
  const page = await open((url, options) =>
    url.pathname === "/api/chat" ? new Response(lines.map((line) => JSON.stringify(line)).join("\n")) : fetch(url, options),
  );
  page.ask("x");
  await page.ended();
  expect(page.find(".model").textContent === hostile && page.find(".thinking").textContent === hostile, "the words as they are");
  expect(page.all("#messages img, #messages script").length === 0 && page.window.taken === undefined, "nothing made of them");
  expect(page.find(".error").textContent === "Error: the disk is full", "the error");
});

await check("a server with keys is asked with one", async () => {
  const refusal = JSON.stringify({ error: "this server wants an API key" });
  const page = await open(
    (url, options) =>
      options.headers.Authorization === "Bearer secret" ? fetch(url, options) : new Response(refusal, { status: 401 }),
    false,
  );
  await page.until(() => !page.find("#key-form").hidden, "a question for the key");
  page.set({ "#key": "secret" });
  page.find("#key-form").requestSubmit();
  await page.models();
  expect(page.find("#key-form").hidden && page.find("#key").value === "", "no more question");
});
finish();
