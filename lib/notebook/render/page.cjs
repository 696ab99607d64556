/**
 * @file A page without a browser: jsdom with the little of layout and canvas that Plotly's SVG traces ask for.
 *
 * Text is measured with the font that the PNG is drawn with, so margins and legends fit. The canvas knows
 * filled rectangles and image data, which is all that heatmaps use.
 */
const { readFileSync } = require("node:fs");
const { dirname, join } = require("node:path");
const { JSDOM, VirtualConsole } = require("jsdom");
const { textBoxes } = require("./layout.cjs");
const { encodePng } = require("./png.cjs");

const FONT_FOLDER = join(dirname(require.resolve("dejavu-fonts-ttf/package.json")), "ttf");
const FONT_FILES = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSans-Oblique.ttf"].map((name) =>
  join(FONT_FOLDER, name),
);

/** @param {string} style `rgba(r,g,b,a)` or a transparent nothing */
function colour(style) {
  const parts = /rgba?\(([^)]+)\)/.exec(style)?.[1].split(",").map(Number) ?? [0, 0, 0, 0];
  return [parts[0], parts[1], parts[2], Math.round(255 * (parts[3] ?? 1))];
}

/**
 * The part of `CanvasRenderingContext2D` that Plotly's heatmaps call.
 * @param {{ width: number, height: number }} canvas
 */
function canvasContext(canvas) {
  const { width, height } = canvas;
  const pixels = new Uint8ClampedArray(width * height * 4);
  const context = {
    canvas,
    pixels,
    fillStyle: "rgba(0,0,0,1)",
    /** @param {number} x @param {number} y @param {number} w @param {number} h */
    fillRect(x, y, w, h) {
      const [left, right] = [Math.min(x, x + w), Math.max(x, x + w)].map(Math.round);
      const [top, bottom] = [Math.min(y, y + h), Math.max(y, y + h)].map(Math.round);
      const rgba = colour(context.fillStyle);
      for (let row = Math.max(0, top); row < Math.min(height, bottom); row++)
        for (let column = Math.max(0, left); column < Math.min(width, right); column++)
          pixels.set(rgba, 4 * (row * width + column));
    },
    /** @param {number} w @param {number} h */
    createImageData: (w, h) => ({ width: w, height: h, data: new Uint8ClampedArray(w * h * 4) }),
    /** @param {{ data: Uint8ClampedArray }} image */
    putImageData: (image) => pixels.set(image.data),
  };
  return context;
}

/**
 * Gives the window what Plotly asks of layout, canvas and encoding.
 * @param {any} window
 */
function furnish(window) {
  const { ownBox, pageBox, textBox } = textBoxes(FONT_FILES[0]);
  Object.assign(window, { TextDecoder, TextEncoder });
  window.URL.createObjectURL = () => "";
  const svg = window.SVGElement.prototype;
  svg.getBBox = /** @this {Element} */ function () {
    return ownBox(this);
  };
  svg.getBoundingClientRect = /** @this {Element} */ function () {
    return pageBox(this);
  };
  svg.getComputedTextLength = /** @this {Element} */ function () {
    return textBox(this).width;
  };
  const canvas = window.HTMLCanvasElement.prototype;
  canvas.getContext = /** @this {any} */ function (/** @type {string} */ kind) {
    if (kind !== "2d") return null;
    this.drawing ??= canvasContext(this);
    return this.drawing;
  };
  canvas.toDataURL = /** @this {any} */ function () {
    const png = encodePng(this.width, this.height, this.getContext("2d").pixels);
    return `data:image/png;base64,${png.toString("base64")}`;
  };
}

/**
 * A page with Plotly loaded; takes about half a second.
 * @returns {{ Plotly: any, element: any }}
 */
function openPage() {
  const { window } = new JSDOM("<!doctype html><body><div></div></body>", {
    runScripts: "outside-only",
    pretendToBeVisual: true,
    url: "http://localhost/",
    virtualConsole: new VirtualConsole(), // silent: jsdom reports every layout call that it lacks
  });
  furnish(window);
  window.eval(readFileSync(require.resolve("plotly.js-dist-min"), "utf8"));
  return { Plotly: /** @type {any} */ (window).Plotly, element: window.document.querySelector("div") };
}

module.exports = { FONT_FILES, openPage };
