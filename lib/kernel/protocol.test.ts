/** @file The protocol: answers while busy, floods, stdin, comms, refused messages, ends of the process. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import {
  makeFolder,
  makeGate,
  noJupyter,
  python,
  type Result,
  TestKernel,
  until,
  writeKernelspec,
} from "./testing/kernel";
import { type KernelSpec, RawClient } from "./testing/raw";

const options = { skip: noJupyter(), timeout: 900_000 };

describe("protocol", options, () => {
  let kernel: TestKernel;
  before(async () => {
    kernel = await TestKernel.start();
  });
  after(() => kernel?.close());

  const blocked = { "a synchronous loop": "inLoop", "one native call": "inNativeCall" } as const;
  for (const [name, kind] of Object.entries(blocked))
    test(`while a cell is in ${name} the kernel answers: kernel_info, completion, inspection, heartbeat, comm_info, Stop`, async (t) => {
      await kernel.execute("const numbers = [1, 2];");
      const gate = makeGate();
      t.after(gate.open); // also after a failure, for the tests to come
      const id = kernel.submit(`console.log("in it"); ${gate[kind]} while (true);`);
      await kernel.printed(id, "in it");
      assert.equal((await kernel.request("kernel_info_request", {})).reply.status, "ok");
      const code = "numbers.len";
      const completion = await kernel.request("complete_request", { code, cursor_pos: code.length });
      assert.ok(completion.reply.matches.includes("length"));
      const inspection = await kernel.request("inspect_request", {
        code: "numbers",
        cursor_pos: 3,
        detail_level: 0,
      });
      assert.match(inspection.reply.data["text/plain"], /numbers: number\[\]/);
      assert.equal((await kernel.request("comm_info_request", {})).reply.status, "ok");
      const seen = kernel.messages.length;
      await until(() => {
        kernel.command({ op: "alive" });
        return kernel.messages.slice(seen).some(({ content }) => content.alive && content.beating);
      }, "the heartbeat");
      const lastStatus = () =>
        kernel.messages.findLast(({ channel, type }) => channel === "iopub" && type === "status");
      await until(
        () => lastStatus()?.parent === id && lastStatus()?.content.execution_state === "busy",
        "the front end sees it busy again",
      );
      assert.ok(kernel.isBusyWith(id), "answered only when the cell had ended");
      if (kind === "inNativeCall") {
        assert.equal((await kernel.request("interrupt_request", {}, "control")).reply.status, "ok");
        assert.ok(kernel.isBusyWith(id), "a native call ends by itself");
        gate.open();
      } else kernel.stop();
      assert.equal((await kernel.result(id)).error?.ename, "KeyboardInterrupt");
      gate.open();
      assert.equal(await kernel.text("numbers.length"), "2");
    });

  test("100,000 lines arrive in order, in few messages, and a string of 50 MB whole", async () => {
    const lines = await kernel.execute(`for (let i = 0; i < 100_000; i++) console.log(i);`);
    assert.equal(lines.stdout, Array.from({ length: 100_000 }, (_, i) => `${i}\n`).join(""));
    assert.ok(lines.messages.length < 1000, `${lines.messages.length} messages`);
    const long = await kernel.execute(
      `process.stdout.write("é😀".repeat(10_000_000)); console.error("end");`,
    );
    assert.equal(long.stdout.length, 30_000_000);
    assert.equal(long.stdout.replaceAll("é😀", ""), "");
    assert.equal(long.stderr, "end\n");
  });

  const floods = { text: "process.stdout.write(chunk)", displays: 'display({ "text/plain": chunk })' };
  for (const [name, code] of Object.entries(floods))
    test(`a flood of ${name} from a synchronous loop does not fill the memory, and Stop ends it`, async () => {
      const before = kernel.memory();
      const id = kernel.submit(`const chunk = "x".repeat(1 << 16) + "\\n"; while (true) ${code};`);
      await kernel.wait(({ parent, type }) => parent === id && /^(stream|display_data)$/.test(type));
      await sleep(1000);
      kernel.stop();
      const { error } = await kernel.result(id);
      assert.equal(error?.ename, "KeyboardInterrupt");
      assert.ok(kernel.memory() < before + 300, `${kernel.memory()} MB, before ${before} MB`);
    });

  test("a terminal's ways: carriage returns, tables, both streams in order", async () => {
    const { stdout, messages } = await kernel.execute(
      `process.stdout.write("10%\\r"); process.stdout.write("100%\\n"); console.error("e"); console.table([{ a: 1 }]);`,
    );
    assert.ok(stdout.startsWith("10%\r100%\n┌"));
    const names = messages.filter(({ type }) => type === "stream").map(({ content }) => content.name);
    assert.deepEqual(names, ["stdout", "stderr", "stdout"]);
  });

  test("console.dir and console.time as in a terminal", async () => {
    const { stdout } = await kernel.execute(`console.dir({ a: { b: { c: { d: 1 } } } }, { depth: 0 });
console.dir([1, "two"]);
console.time("work"); console.timeLog("work", "half"); console.timeEnd("work");
console.group("group"); console.log("%s is %d", "x", 3); console.groupEnd();`);
    const [dir, list, log, end, ...rest] = stdout.split("\n");
    assert.equal(dir, "{ a: [Object] }");
    assert.equal(list, "[ 1, 'two' ]");
    assert.match(log, /^work: [\d.:]+ ?m?s? half$/);
    assert.match(end, /^work: [\d.:]+ ?m?s?/);
    assert.deepEqual(rest, ["group", "  x is 3", ""]);
  });

  test("a rejection that nobody waits for and a late timer show under the cell that began them", async () => {
    const rejecting = kernel.submit(`void Promise.reject(new Error("nobody waits"));`);
    const late = kernel.submit(
      `setTimeout(() => { console.log("late text"); throw new Error("late timer"); }, 300);`,
    );
    await kernel.execute("await new Promise((done) => setTimeout(done, 600));");
    const under = (id: string) =>
      kernel.messages
        .filter(({ parent, type }) => parent === id && type === "stream")
        .map(({ content }) => content.text);
    assert.match(under(rejecting).join(""), /Error: nobody waits\n\s+at Cell \[\d+\]:1:21/);
    assert.match(under(late).join(""), /late text\n[\s\S]*Error: late timer\n\s+at .*Cell \[\d+\]/);
    assert.equal(await kernel.text("1 + 1"), "2");
  });

  test("Node's warnings show under the cell that they come from, each once there", async () => {
    const code = `for (let i = 0; i < 3; i++) process.emitWarning("old way", { type: "DeprecationWarning", code: "OWN1" });
for (let i = 0; i < 2; i++) process.emitWarning("look out", { detail: "more of it" });
await null;`;
    const later = kernel.submit(`setTimeout(() => process.emitWarning("late"), 300);`);
    const { stderr, stdout } = await kernel.execute(code);
    assert.equal(stderr, "DeprecationWarning [OWN1]: old way\nWarning: look out\nmore of it\n");
    assert.equal(stdout, "");
    await kernel.wait(({ parent, content }) => parent === later && content.text === "Warning: late\n");
    assert.equal((await kernel.execute(code)).stderr, stderr, "another cell has its own");
  });

  test("after an error the cells that wait are aborted; a later one runs", async () => {
    const gate = makeGate();
    const failing = kernel.submit(`${gate.inLoop} throw new Error("first");`);
    const next = kernel.submit("1");
    await kernel.request("kernel_info_request", {}); // now the other has arrived, too
    gate.open();
    assert.equal((await kernel.result(failing)).reply.status, "error");
    assert.equal((await kernel.result(next)).reply.status, "aborted");
    assert.equal(await kernel.text("2"), "2");
  });

  test("a cell that Stop came too late to end is the last of those that wait", async (t) => {
    const gate = makeGate();
    t.after(gate.open);
    const native = kernel.submit(`console.log("in it"); ${gate.inNativeCall} 1;`);
    const next = kernel.submit("2");
    await kernel.printed(native, "in it");
    await kernel.request("interrupt_request", {}, "control");
    gate.open();
    assert.equal((await kernel.result(native)).reply.status, "ok");
    assert.equal((await kernel.result(next)).reply.status, "aborted");
    assert.equal(await kernel.text("3"), "3");
  });

  test("Stop ends a cell that is compiled and waits only for what an ended one does", async (t) => {
    const gate = makeGate();
    t.after(gate.open);
    const ended = kernel.submit(`setTimeout(() => { console.log("in it"); ${gate.inNativeCall} }, 500);`);
    await kernel.result(ended);
    await kernel.printed(ended, "in it");
    const id = kernel.submit("while (true);");
    await kernel.request("complete_request", { code: "Mat", cursor_pos: 3 }); // compiled before this is answered
    await kernel.request("interrupt_request", {}, "control");
    gate.open();
    assert.equal((await kernel.result(id)).error?.ename, "KeyboardInterrupt");
  });

  test("after an error of a silent request, which no reader sees, the cells that wait run", async () => {
    const gate = makeGate();
    const failing = kernel.submit(`${gate.inLoop} throw new Error("unseen");`, { silent: true });
    const next = kernel.submit("1");
    await kernel.request("kernel_info_request", {}); // now the other has arrived, too
    gate.open();
    assert.equal((await kernel.result(failing)).reply.status, "error");
    assert.equal((await kernel.result(next)).reply.status, "ok");
  });

  test("prompt asks through stdin, one question at a time, and fails where there is none", async () => {
    const id = kernel.submit(`const name = await prompt("your name? "); name.length`);
    const { content } = await kernel.wait(({ type }) => type === "input_request");
    assert.equal(content.prompt, "your name? ");
    kernel.command({ op: "input", value: "Ada" });
    assert.equal((await kernel.result(id)).data["text/plain"], "3");
    const two = kernel.submit(
      `const first = prompt("first? "); const refused = await prompt("second? ").catch(String); [await first, refused]`,
    );
    await kernel.wait(({ parent, type }) => parent === two && type === "input_request");
    kernel.command({ op: "input", value: "Bob" });
    assert.match((await kernel.result(two)).data["text/plain"], /'Bob', 'Error: prompt: an earlier question/);
    const { error } = await kernel.execute(`await prompt("?")`, { allow_stdin: false });
    assert.match(error!.evalue, /takes no input/);
  });

  test("prompt outside its cell fails, and the answer to the cell that runs stays that cell's", async () => {
    const late = kernel.submit(
      `setTimeout(() => prompt("late? ").catch((error) => console.log(error.message)), 300);`,
    );
    await kernel.printed(late, "prompt: its cell has ended; ask while it runs");
    const later =
      kernel.submit(`let asks = () => {}; const asking = new Promise<void>((done) => { asks = done; });
void asking.then(() => prompt("late? ").catch((error) => console.log(error.message)));`);
    await kernel.result(later);
    const id = kernel.submit(`const own = prompt("own? "); asks(); await own`);
    await kernel.printed(later, "prompt: its cell has ended; ask while it runs");
    kernel.command({ op: "input", value: "Ada" });
    assert.equal((await kernel.result(id)).data["text/plain"], "'Ada'");
  });

  test("silent cells and user_expressions", async () => {
    const silent = await kernel.execute(`"unseen"`, { silent: true, store_history: false });
    assert.deepEqual(
      silent.messages.map(({ type }) => type),
      ["status", "status"],
    );
    const { reply } = await kernel.execute("const six = 6;", {
      user_expressions: { good: "six * 7 // and more", bad: "nowhere" },
    });
    assert.equal(reply.user_expressions.good.data["text/plain"], "42");
    assert.equal(reply.user_expressions.bad.status, "error");
  });

  test("a slider: its model is opened, moves call the listener, a reloaded page finds it", async () => {
    const made = await kernel.execute(
      `const chosen = slider({ min: 0, max: 10, value: 3, label: "t" });
chosen.onChange((value) => display.update("figure", { "text/plain": \`at \${value}\` }));
display({ "text/plain": "at 3" }, { displayId: "figure" });
chosen`,
    );
    const { model_id } = made.data["application/vnd.jupyter.widget-view+json"];
    const opened = made.messages.filter(({ type }) => type === "comm_open");
    assert.deepEqual(
      opened.map(({ content }) => content.data.state._model_name),
      ["LayoutModel", "SliderStyleModel", "FloatSliderModel"],
    );
    assert.equal(opened[2].content.data.state.value, 3);
    const { comms } = (await kernel.request("comm_info_request", { target_name: "jupyter.widget" })).reply;
    assert.deepEqual(comms[model_id], { target_name: "jupyter.widget" });

    kernel.send("shell", "comm_msg", {
      comm_id: model_id,
      data: { method: "update", state: { value: 8 }, buffer_paths: [] },
    });
    const update = await kernel.wait(
      ({ type, content }) => type === "update_display_data" && content.data["text/plain"] === "at 8",
    );
    assert.equal(update.content.transient.display_id, "figure");
    assert.equal(await kernel.text("chosen.value"), "8");
    await kernel.execute("chosen.value = 5;");
    await kernel.wait(
      ({ type, content }) =>
        type === "comm_msg" && content.data.method === "update" && content.data.state.value === 5,
    );

    kernel.send("shell", "comm_open", { comm_id: "page", target_name: "jupyter.widget.control", data: {} });
    kernel.send("shell", "comm_msg", { comm_id: "page", data: { method: "request_states" } });
    const states = await kernel.wait(
      ({ type, content }) => type === "comm_msg" && content.data.method === "update_states",
    );
    assert.equal(states.content.data.states[model_id].state.value, 5);

    const still = await kernel.execute("slider({ max: 10, step: 0 })");
    assert.equal(still.error?.evalue, "slider: step 0, expected a number above 0, such as 0.1.");
    const empty = await kernel.execute("slider({ min: 1, max: 1 })");
    assert.match(empty.error!.evalue, /^slider: value 1 in \[1, 1\], expected min ≤ value/);
  });

  test("an anywidget: state and bytes both ways, messages, and what a page that was loaded anew is told", async () => {
    const made = await kernel.execute(
      `const own = anywidget({ esm: "export default {}", css: "b {}", state: { count: 1, deep: [{ bytes: new Uint8Array([1, 2]) }] } });
own.onChange((change) => console.log("changed", change));
own.onMessage((content, buffers) => own.send({ echo: content }, buffers));
own`,
    );
    const { model_id } = made.data["application/vnd.jupyter.widget-view+json"];
    const opened = made.messages.find(({ type }) => type === "comm_open")!;
    const { state, buffer_paths } = opened.content.data;
    assert.equal(opened.content.target_name, "jupyter.widget");
    assert.equal(opened.metadata.version, "2.1.0");
    assert.deepEqual(
      [state._model_module, state._model_name, state._view_name],
      ["anywidget", "AnyModel", "AnyView"],
    );
    assert.deepEqual([state._esm, state._css, state.count], ["export default {}", "b {}", 1]);
    assert.deepEqual(buffer_paths, [["deep", 0, "bytes"]]);
    assert.deepEqual(opened.buffers, [Buffer.from([1, 2]).toString("base64")]);

    const tell = (data: object, buffers: string[] = []) =>
      kernel.send("shell", "comm_msg", { comm_id: model_id, data }, buffers);
    const bytes = Buffer.from([3, 4, 5]).toString("base64");
    tell({ method: "update", state: { count: 2, deep: [{}] }, buffer_paths: [["deep", 0, "bytes"]] }, [
      bytes,
    ]);
    await kernel.wait(({ type, content }) => type === "stream" && /changed.*count: 2/.test(content.text));
    assert.equal(
      await kernel.text(`[own.get("count"), [...own.get("deep")[0].bytes]]`),
      "[ 2, [ 3, 4, 5 ] ]",
    );
    tell({ method: "custom", content: { ask: "?" } }, [bytes]);
    const answer = await kernel.wait(
      ({ type, content }) => type === "comm_msg" && content.data.method === "custom",
    );
    assert.deepEqual(answer.content.data.content, { echo: { ask: "?" } });
    assert.deepEqual(answer.buffers, [bytes]);

    kernel.send("shell", "comm_open", { comm_id: "anew", target_name: "jupyter.widget.control", data: {} });
    kernel.send("shell", "comm_msg", { comm_id: "anew", data: { method: "request_states" } });
    const told = await kernel.wait(
      ({ type, content }) =>
        type === "comm_msg" && content.comm_id === "anew" && content.data.method === "update_states",
    );
    assert.equal(told.content.data.states[model_id].state.count, 2);
    assert.deepEqual(told.content.data.buffer_paths, [[model_id, "state", "deep", 0, "bytes"]]);
    assert.deepEqual(told.buffers, [bytes]);

    const closed = await kernel.execute("own.close();");
    assert.ok(
      closed.messages.some(({ type, content }) => type === "comm_close" && content.comm_id === model_id),
    );
    const wrong = await kernel.execute(`anywidget({ esm: " " });`);
    assert.match(wrong.error!.evalue, /^anywidget: esm is empty, expected the text of an ES module/);
    const mistyped = await kernel.execute(
      `anywidget({ esm: "x", state: { count: 1 } }).set({ count: "two" });`,
    );
    assert.match(mistyped.error!.evalue, /Type 'string' is not assignable to type 'number'/);
  });

  test("what a widget's listener throws shows under the cell that made it, and the next listener is called", async () => {
    const made = kernel.submit(`const broken = slider();
broken.onChange(() => { throw new Error("in the listener"); });
broken.onChange((value) => console.log("after it", value));
broken`);
    const { data } = await kernel.result(made);
    kernel.send("shell", "comm_msg", {
      comm_id: data["application/vnd.jupyter.widget-view+json"].model_id,
      data: { method: "update", state: { value: 8 }, buffer_paths: [] },
    });
    await kernel.printed(made, "after it 8");
    await kernel.printed(made, "Error: in the listener");
  });

  test("a comm to an unknown target is closed", async () => {
    kernel.send("shell", "comm_open", { comm_id: "lost", target_name: "nowhere", data: {} });
    await kernel.wait(({ type, content }) => type === "comm_close" && content.comm_id === "lost");
  });

  describe("refused messages", () => {
    const delimiter = Buffer.from("<IDS|MSG>");
    const parts = (code: string) => {
      const header = {
        msg_id: randomBytes(8).toString("hex"),
        msg_type: "execute_request",
        session: "s",
        username: "u",
        date: "",
        version: "5.4",
      };
      return [header, {}, {}, { code, silent: false }].map((part) => Buffer.from(JSON.stringify(part)));
    };
    const sign = (frames: Buffer[]) => {
      const hmac = createHmac("sha256", kernel.key);
      for (const frame of frames) hmac.update(frame);
      return Buffer.from(hmac.digest("hex"));
    };
    const send = (frames: Buffer[], channel = "shell") =>
      kernel.command({ op: "raw", channel, frames: frames.map((frame) => frame.toString("base64")) });

    test("unsigned, wrongly signed and replayed ones run nothing", async () => {
      await kernel.execute("let runs = 0;");
      const frames = parts("runs++;");
      send([delimiter, Buffer.from(""), ...frames]);
      send([delimiter, Buffer.from("0".repeat(64)), ...frames]);
      send([delimiter, sign(parts("other")), ...frames]);
      assert.equal(await kernel.text("runs"), "0");
      for (let times = 0; times < 3; times++) send([delimiter, sign(frames), ...frames]);
      await sleep(200);
      assert.equal(await kernel.text("runs"), "1");
    });

    test("malformed ones leave it alive", async () => {
      const good = parts("runs += 100;");
      const broken: Buffer[][] = [
        [],
        [delimiter],
        [delimiter, sign(good)],
        [delimiter, sign(good.slice(0, 3)), ...good.slice(0, 3)],
        good,
        [delimiter, delimiter, delimiter],
      ];
      for (const body of [
        "",
        "null",
        "[]",
        "3",
        "{",
        '{"msg_type":3}',
        "\u0000",
        '{"msg_type":"execute_request"}',
      ]) {
        const frames = [Buffer.from(body), ...good.slice(1)];
        broken.push([delimiter, sign(frames), ...frames]);
        const content = [...good.slice(0, 3), Buffer.from(body)];
        if (!body.startsWith("{") || body === "{") broken.push([delimiter, sign(content), ...content]);
      }
      const unknown = parts("").map((part, index) =>
        index === 0 ? Buffer.from(part.toString().replace("execute_request", "__proto__")) : part,
      );
      broken.push([delimiter, sign(unknown), ...unknown]);
      for (let i = 0; i < 200; i++)
        broken.push(Array.from({ length: i % 7 }, () => randomBytes((i * 37) % 500)));
      for (const frames of broken)
        for (const channel of ["shell", "control", "stdin"])
          send(frames.length ? frames : [Buffer.alloc(0)], channel);
      send([delimiter, Buffer.from("bad"), ...parts("x".repeat(20 << 20))]);
      assert.equal(await kernel.text("runs"), "1");
      const info = await kernel.request("kernel_info_request", {}, "control");
      assert.equal(info.reply.status, "ok");
    });

    test("requests with contents of the wrong kind are answered or ignored", async () => {
      for (const [type, content] of [
        ["complete_request", {}],
        ["inspect_request", { code: 5, cursor_pos: "x" }],
        ["is_complete_request", {}],
        ["history_request", { hist_access_type: "search", pattern: "[" }],
        ["comm_msg", { comm_id: 3 }],
        ["comm_open", {}],
      ] as const)
        kernel.send("shell", type, content);
      assert.equal(await kernel.text("runs"), "1");
    });
  });
});

const isLong = process.env.LOWER_BOUND_LONG
  ? options.skip
  : "takes two minutes; LOWER_BOUND_LONG=1 runs it, and prints how long answers took";
test("a minute in one matrix product: all is answered meanwhile, and Stop ends the cell after it", {
  ...options,
  skip: isLong,
}, async (t) => {
  const kernel = await TestKernel.start();
  t.after(() => kernel.close());
  const size = await kernel.text(`import { tf } from "../../lib/tensor";
const seconds = (n: number) => {
  const began = performance.now();
  const x = tf.ones([n, n]);
  x.matMul(x).dataSync();
  return (performance.now() - began) / 1000;
};
seconds(1024); // the first one is slow
Math.min(16384, Math.round(2048 * Math.cbrt(90 / seconds(2048))))`);
  const id = kernel.submit(`const big = tf.ones([${size}, ${size}]);
console.log("in it");
big.matMul(big).dataSync();
while (true);`);
  await kernel.printed(id, "in it");
  const began = performance.now();
  const code = "big.matM";
  const asked: Record<string, () => Promise<Result>> = {
    kernel_info: () => kernel.request("kernel_info_request", {}),
    completion: () => kernel.request("complete_request", { code, cursor_pos: code.length }),
    inspection: () => kernel.request("inspect_request", { code: "big", cursor_pos: 1, detail_level: 0 }),
    stop: () => kernel.request("interrupt_request", {}, "control"),
  };
  const took: Record<string, number[]> = { kernel_info: [], completion: [], inspection: [], stop: [] };
  while (kernel.isBusyWith(id)) {
    for (const [name, ask] of Object.entries(asked)) {
      if (name === "stop" && performance.now() - began < 30_000) continue;
      const { reply, ms } = await ask();
      assert.equal(reply.status, "ok", name);
      if (kernel.isBusyWith(id)) took[name].push(Math.round(ms));
    }
    kernel.command({ op: "alive" });
    await sleep(3000);
  }
  const { error, messages } = await kernel.result(id);
  const seconds = (messages.at(-1)!.at - began) / 1000;
  t.diagnostic(`${size} × ${size}: ${seconds.toFixed(0)} s; ms: ${JSON.stringify(took)}`);
  assert.equal(error?.ename, "KeyboardInterrupt");
  assert.ok(seconds >= 60, `the product took ${seconds} s, expected a minute`);
  const beats = kernel.messages.filter(({ type }) => type === "alive");
  assert.ok(beats.length >= 5 && beats.every(({ content }) => content.alive && content.beating));
  for (const [name, all] of Object.entries(took)) assert.ok(all.length > 0, name);
});

test("what the kernel says has its own session, whoever asked", options, async () => {
  const spec: KernelSpec = JSON.parse(readFileSync(writeKernelspec(makeFolder()), "utf8"));
  const client = await RawClient.start(spec, makeFolder());
  try {
    const code = { code: "1 + 1", allow_stdin: false, user_expressions: null };
    const { content, parent } = await client.replyTo(client.send("shell", "execute_request", code));
    assert.equal(content.status, "ok");
    const sessions = new Set(client.messages.map(({ header }) => header.session));
    assert.equal(sessions.size, 1, "JupyterLab drops what comes when it changes");
    assert.ok(!sessions.has(parent.session));
  } finally {
    client.close();
  }
});

test("who begins to listen is told whether the kernel is busy, and with what", options, async () => {
  const spec: KernelSpec = JSON.parse(readFileSync(writeKernelspec(makeFolder()), "utf8"));
  const client = await RawClient.start(spec, makeFolder());
  try {
    const told = (state: string) => client.wait(({ content }) => content.execution_state === state);
    assert.deepEqual((await told("idle")).parent, {}); // asked by nobody
    const loop = { code: `console.log("begun"); while (true);`, allow_stdin: false };
    const id = client.send("shell", "execute_request", loop);
    await client.wait(({ header }) => header.msg_type === "stream");
    client.listenAnew();
    assert.equal((await told("busy")).parent.msg_id, id);
    client.send("control", "interrupt_request", {});
    assert.equal((await client.replyTo(id)).content.ename, "KeyboardInterrupt");
    client.listenAnew();
    assert.deepEqual((await told("idle")).parent, {});
  } finally {
    client.close();
  }
});

test(
  "Jupyter's own conformance suite passes; the pager alone, which is IPython's, is skipped",
  options,
  async () => {
    const spec = writeKernelspec(makeFolder());
    const { stderr } = await promisify(execFile)(python, [join(__dirname, "testing/conformance.py"), spec]);
    assert.match(stderr, /\nOK/);
    const skipped = [...stderr.matchAll(/(test_\w+) .*\.\.\. skipped/g)].map(([, name]) => name);
    assert.deepEqual(skipped, ["test_pager"]);
  },
);
