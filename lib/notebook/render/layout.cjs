/**
 * @file Where texts lie in an SVG, as far as Plotly asks: boxes of `<text>` and of groups of them.
 *
 * Translations and rotations are followed up the tree; shapes count as empty, for no margin depends on them.
 */
const { textMeasure } = require("./fontWidths.cjs");

const LINE_HEIGHT = 1.3; // Plotly's own
const ASCENT = 0.93; // DejaVu Sans
const TEXT_HEIGHT = 1.16; // DejaVu Sans: ascent and descent

/** @typedef {{ x: number, y: number, left: number, top: number, width: number, height: number, right: number, bottom: number }} Box */

/**
 * @param {number} left
 * @param {number} top
 * @param {number} width
 * @param {number} height
 * @returns {Box}
 */
function box(left, top, width, height) {
  return { x: left, y: top, left, top, width, height, right: left + width, bottom: top + height };
}

/**
 * The smallest box round these points.
 * @param {number[]} xs
 * @param {number[]} ys
 */
function around(xs, ys) {
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  return box(left, top, Math.max(...xs) - left, Math.max(...ys) - top);
}

/** @typedef {(x: number, y: number) => [number, number]} Move */

/**
 * One `translate(x,y)` or `rotate(degrees,x,y)`; anything else moves nothing.
 * @param {string} name
 * @param {number[]} numbers
 * @returns {Move}
 */
function move(name, numbers) {
  if (name === "translate") return (x, y) => [x + numbers[0], y + (numbers[1] ?? 0)];
  if (name !== "rotate") return (x, y) => [x, y];
  const [degrees, centreX = 0, centreY = 0] = numbers;
  const [cos, sin] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  return (x, y) => [
    centreX + cos * (x - centreX) - sin * (y - centreY),
    centreY + sin * (x - centreX) + cos * (y - centreY),
  ];
}

/**
 * The moves of an element's `transform`, in the order in which they apply: the last written first.
 * @param {Element} element
 */
function movesOf(element) {
  const written = (element.getAttribute("transform") ?? "").matchAll(/(\w+)\(([^)]*)\)/g);
  return Array.from(written, ([, name, list]) => move(name, list.split(/[\s,]+/).map(Number))).reverse();
}

/**
 * The box in the coordinates of `outer`, or of the page.
 * @param {Box} own
 * @param {Element} element
 * @param {Element | null} outer
 */
function seenFrom(own, element, outer) {
  /** @type {[number, number][]} */
  let corners = [
    [own.left, own.top],
    [own.right, own.top],
    [own.left, own.bottom],
    [own.right, own.bottom],
  ];
  for (let node = /** @type {Element | null} */ (element); node && node !== outer; node = node.parentElement)
    for (const step of movesOf(node)) corners = corners.map(([x, y]) => step(x, y));
  return around(
    corners.map(([x]) => x),
    corners.map(([, y]) => y),
  );
}

/**
 * @param {Element | null} element
 * @returns {number}
 */
function fontSize(element) {
  for (let node = element; node; node = node.parentElement) {
    const style = /font-size:\s*([\d.]+)/.exec(node.getAttribute("style") ?? "");
    const size = Number.parseFloat(style?.[1] ?? node.getAttribute("font-size") ?? "");
    if (size > 0) return size;
  }
  return 12;
}

/**
 * @param {Element} element
 * @returns {string[]}
 */
function textLines(element) {
  const lines = Array.from(element.querySelectorAll("tspan.line"), (line) => line.textContent ?? "");
  return (lines.length > 0 ? lines : [element.textContent ?? ""]).map((line) => line.replace(/\u200b/g, ""));
}

/** @param {Element} element */
function anchorShift(element) {
  const style = /text-anchor:\s*(\w+)/.exec(element.getAttribute("style") ?? "");
  const anchor = element.getAttribute("text-anchor") ?? style?.[1];
  return anchor === "middle" ? 0.5 : anchor === "end" ? 1 : 0;
}

/**
 * The three boxes that the DOM asks for, with texts set in this font.
 * @param {string} fontFile
 */
function textBoxes(fontFile) {
  const measure = textMeasure(fontFile);

  /**
   * A text's box before its own transform.
   * @param {Element} element
   */
  function textBox(element) {
    const size = fontSize(element);
    const lines = textLines(element);
    const width = Math.max(...lines.map(measure)) * size;
    const left = Number(element.getAttribute("x") ?? 0) - anchorShift(element) * width;
    const top = Number(element.getAttribute("y") ?? 0) - ASCENT * size;
    return box(left, top, width, ((lines.length - 1) * LINE_HEIGHT + TEXT_HEIGHT) * size);
  }

  /**
   * @param {Element} element
   * @param {Element | null} outer
   */
  function unionOfTexts(element, outer) {
    const texts = element.tagName === "text" ? [element] : Array.from(element.querySelectorAll("text"));
    if (texts.length === 0) return seenFrom(box(0, 0, 0, 0), element, outer);
    const boxes = texts.map((text) => seenFrom(textBox(text), text, outer));
    return around(
      boxes.flatMap(({ left, right }) => [left, right]),
      boxes.flatMap(({ top, bottom }) => [top, bottom]),
    );
  }

  return {
    textBox,
    /** `getBBox`: in the element's own coordinates. */
    ownBox: (/** @type {Element} */ element) => unionOfTexts(element, element),
    /** `getBoundingClientRect`: in the page. */
    pageBox: (/** @type {Element} */ element) => unionOfTexts(element, null),
  };
}

module.exports = { textBoxes };
