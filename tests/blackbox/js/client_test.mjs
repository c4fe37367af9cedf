// The official OpenAI client for JavaScript finds what it expects. Servers come from outside:
//   VALET_URL   one with room
//   BUSY_URL    one whose only row is taken for as long as the tests last, with one place to wait
//   KEYS_URL    one with keys, of which KEY is one
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

const require = createRequire(`${process.env.MODULES}/package.json`);
const { default: OpenAI } = await import(require.resolve("openai"));

const connect = (url, options = {}) =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0, ...options });
const client = connect(process.env.VALET_URL);
const busy = connect(process.env.BUSY_URL);
const model = (await client.models.list()).data[0].id;

const CAPITAL = [{ role: "user", content: "What is the capital of Germany?" }];
const greedy = { model, messages: CAPITAL, temperature: 0, max_tokens: 16 };

// The error that a call ends with, which must be of this class.
async function refusal(promise, kind) {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
    return error;
  }
  assert.fail(`no ${kind.name}`);
}

test("a chat is answered", async () => {
  const answer = await client.chat.completions.create(greedy);
  assert.equal(answer.object, "chat.completion");
  assert.match(answer.choices[0].message.content, /Berlin/);
  assert.equal(answer.choices[0].message.role, "assistant");
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.equal(
    answer.usage.total_tokens,
    answer.usage.prompt_tokens + answer.usage.completion_tokens,
  );
});

test("a stream joins to the same text", async () => {
  const whole = await client.chat.completions.create(greedy);
  const stream = await client.chat.completions.create({
    ...greedy,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let role = 0;
  let finish = null;
  let usage = null;
  for await (const chunk of stream) {
    assert.equal(chunk.object, "chat.completion.chunk");
    const choice = chunk.choices[0];
    text += choice?.delta.content ?? "";
    role += choice?.delta.role === "assistant" ? 1 : 0;
    finish = choice?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(role, 1);
  assert.equal(finish, "stop");
  assert.deepEqual(usage.total_tokens, whole.usage.total_tokens);
});

test("the client's stream helper collects the same text", async () => {
  const whole = await client.chat.completions.create(greedy);
  const stream = client.chat.completions.stream(greedy);
  assert.equal(await stream.finalContent(), whole.choices[0].message.content);
});

test("a completion is answered", async () => {
  const answer = await client.completions.create({
    model,
    prompt: "The capital of Germany is",
    temperature: 0,
    max_tokens: 4,
  });
  assert.match(answer.choices[0].text, /Berlin/);
});

test("a stream that is left ends its work", async () => {
  const stream = await client.chat.completions.create({
    model,
    messages: [{ role: "user", content: "Tell me a long story." }],
    stream: true,
  });
  for await (const chunk of stream) if (chunk.choices[0].delta.content) break;
  for (;;) {
    const { pools } = await (await fetch(`${process.env.VALET_URL}/pools`)).json();
    if (pools[0].running === 0 && pools[0].queued === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
});

test("models are listed and found", async () => {
  const ids = [];
  for await (const entry of client.models.list()) ids.push(entry.id);
  assert.deepEqual(ids, [model]);
  const found = await client.models.retrieve(model);
  assert.equal(found.object, "model");
  assert.equal(found.owned_by, "valet");
});

test("400 is a BadRequestError that names its field", async () => {
  const error = await refusal(
    client.chat.completions.create({ ...greedy, temperature: 3 }),
    OpenAI.BadRequestError,
  );
  assert.equal(error.status, 400);
  assert.equal(error.code, "invalid_value");
  assert.equal(error.param, "temperature");
  assert.equal(error.type, "invalid_request_error");
  assert.match(error.requestID ?? error.headers.get("x-request-id"), /^req_/);
});

test("400 comes before a stream begins", async () => {
  const error = await refusal(
    client.chat.completions.create({ ...greedy, stream: true, top_p: 2 }),
    OpenAI.BadRequestError,
  );
  assert.equal(error.param, "top_p");
});

test("400 for a wrong header", async () => {
  const error = await refusal(
    client.chat.completions.create(greedy, { headers: { "X-Valet-Priority": "urgent" } }),
    OpenAI.BadRequestError,
  );
  assert.equal(error.param, "X-Valet-Priority");
});

test("404 is a NotFoundError", async () => {
  const chat = await refusal(
    client.chat.completions.create({ ...greedy, model: "gpt-none" }),
    OpenAI.NotFoundError,
  );
  assert.equal(chat.code, "model_not_found");
  const found = await refusal(client.models.retrieve("none/such"), OpenAI.NotFoundError);
  assert.equal(found.code, "model_not_found");
  const route = await refusal(client.fineTuning.jobs.retrieve("x"), OpenAI.NotFoundError);
  assert.equal(route.code, "not_found");
});

test("429 is a RateLimitError with a time to come back", async () => {
  const waiting = new AbortController();
  const parked = busy.chat.completions.create(greedy, { signal: waiting.signal });
  parked.catch(() => {});
  for (;;) {
    const { pools } = await (await fetch(`${process.env.BUSY_URL}/pools`)).json();
    if (pools[0].queued === 1) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const error = await refusal(busy.chat.completions.create(greedy), OpenAI.RateLimitError);
  assert.equal(error.status, 429);
  assert.equal(error.code, "queue_full");
  assert.equal(error.error.queue_depth, 1);
  assert.ok(Number(error.headers.get("retry-after")) >= 1);
  assert.ok(Number(error.headers.get("retry-after-ms")) >= 1000);
  waiting.abort();
  await refusal(parked, OpenAI.APIUserAbortError);
  for (;;) {
    const { pools } = await (await fetch(`${process.env.BUSY_URL}/pools`)).json();
    if (pools[0].queued === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
});

test("503 is an InternalServerError with a time to come back", async () => {
  const error = await refusal(
    busy.chat.completions.create(greedy, { headers: { "X-Valet-Deadline-Ms": "50" } }),
    OpenAI.InternalServerError,
  );
  assert.equal(error.status, 503);
  assert.equal(error.code, "deadline_expired");
  assert.ok(Number(error.headers.get("retry-after")) >= 1);
});

test("401 is an AuthenticationError", async () => {
  const wrong = connect(process.env.KEYS_URL, { apiKey: "sk-wrong" });
  const error = await refusal(wrong.models.list(), OpenAI.AuthenticationError);
  assert.equal(error.code, "invalid_api_key");
  const right = connect(process.env.KEYS_URL, { apiKey: process.env.KEY });
  assert.equal((await right.models.list()).data.length, 1);
});
