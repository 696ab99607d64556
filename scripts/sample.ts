/**
 * @file `npm run sample -- --checkpoint FILE --count 64 --out grid.png`: draws images from a trained checkpoint, with
 * its averaged weights: a grid of them, the walks towards them, still or animated, or interpolations, as one PNG.
 */
import "./engine";

import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { encodeApng } from "../lib/notebook/render/png.cjs";
import { engine } from "../lib/tensor";
import { openModel, writeWhole } from "../lib/training";
import { runMain, showBar } from "./progress";
import {
  drawInterpolation,
  drawSamples,
  drawWalk,
  packed,
  type Sheet,
  sideBySide,
  still,
} from "./sample/draw";
import { COLUMNS, parseRequest, type Request, USAGE } from "./sample/request";

/** Frames of an animation, and how long each and the last is shown. */
const FRAMES = 50;
const FRAME_MS = 80;
const LAST_FRAME_MS = 2000;

function animated(sheets: readonly Sheet[]): Buffer {
  const pictures = sheets.map(packed);
  const { width, height } = pictures[0];
  const frames = pictures.map(({ rgba }, i) => ({
    rgba,
    ms: i === pictures.length - 1 ? LAST_FRAME_MS : FRAME_MS,
  }));
  return encodeApng(width, height, frames);
}

/** The bytes of the PNG that was asked for. */
async function draw(request: Request): Promise<Buffer> {
  const { checkpoint, show, animate, columns = COLUMNS } = request;
  const trained = openModel(checkpoint);
  const start = performance.now();
  const onProgress = (done: number, total: number) =>
    showBar(done, total, "steps", ((performance.now() - start) / 1000 / done) * (total - done));
  console.log(`${engine.description}; ${checkpoint}: ${trained.config.data}, ${trained.step} training steps`);
  try {
    if (show === "samples") return still(await drawSamples(trained, request, onProgress));
    if (show === "interpolation") return still(await drawInterpolation(trained, request, onProgress));
    const moments = await drawWalk(trained, request, animate ? FRAMES : columns, onProgress);
    return animate ? animated(moments) : still(sideBySide(moments));
  } finally {
    trained.dispose();
  }
}

async function main(): Promise<void> {
  const request = parseRequest(process.argv.slice(2));
  if (request === "help") return console.log(USAGE);
  const start = performance.now();
  mkdirSync(dirname(request.out), { recursive: true }); // now, not after all is drawn
  const png = await draw(request);
  writeWhole(request.out, png);
  console.log(`${request.out} in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

runMain("sample", main);
