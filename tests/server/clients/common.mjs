// What the suites of the JavaScript clients share: where the server is, what they ask, how a check is told.
export const base = process.env.MULLAMA_URL;
export const model = process.env.MULLAMA_MODEL;
export const question = "Name the capital of France in one sentence. Answer in one short sentence.";
export const schema = {
  type: "object",
  properties: { name: { type: "string", maxLength: 20 }, age: { type: "integer", minimum: 0, maximum: 150 } },
  required: ["name", "age"],
  additionalProperties: false,
};
export const weather = {
  type: "object",
  properties: { city: { type: "string", maxLength: 20 }, days: { type: "integer", minimum: 1, maximum: 7 } },
  required: ["city", "days"],
};

let failed = 0;
export async function check(name, run) {
  try {
    await run();
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}: ${error?.stack ?? error}`);
  }
}
export function expect(condition, what) {
  if (!condition) throw new Error(`expected ${what}`);
}
export function isPerson(value) {
  expect(typeof value.name === "string" && Number.isInteger(value.age), `a person, not ${JSON.stringify(value)}`);
}
export function isWeatherCall(value) {
  expect(typeof value.city === "string" && Number.isInteger(value.days), `arguments, not ${JSON.stringify(value)}`);
}
/** The error that `run` must end with. */
export async function errorOf(run) {
  try {
    await run();
  } catch (error) {
    return error;
  }
  throw new Error("expected an error");
}
// A promise that never ends makes node end without a word; that must not pass for success.
process.exitCode = 1;
export function finish() {
  process.exit(failed === 0 ? 0 : 1);
}
