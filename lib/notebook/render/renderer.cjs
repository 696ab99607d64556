/**
 * @file The renderer's process: takes figures one at a time, answers with PNG bytes or with the reason why not.
 *
 * Plain JavaScript, so that it starts without any loader.
 */
const { Resvg } = require("@resvg/resvg-js");
const { FONT_FILES, openPage } = require("./page.cjs");

const page = openPage();

/**
 * @param {any} figure
 * @param {number} width
 * @param {number} height
 */
async function svgOf(figure, width, height) {
  const still = { ...figure.layout, width, height, autosize: false };
  await page.Plotly.newPlot(page.element, figure.data, still, { staticPlot: true });
  const svg = await page.Plotly.toImage(page.element, { format: "svg", width, height, imageDataOnly: true });
  page.Plotly.purge(page.element);
  return svg;
}

/**
 * Points with the opacity of their fill in place of one of their own: resvg paints the latter on a layer as large as the
 * point, and for a point far outside the picture it breaks down.
 * @param {string} svg
 */
const withoutLayers = (svg) =>
  svg.replace(
    /(<path class="point"[^>]*?style=")opacity: ([\d.]+);([^"]*?)fill-opacity: 1;/g,
    "$1$3fill-opacity: $2;",
  );

/**
 * Groups that are clipped or see-through with a spot that nobody sees in their corner: resvg paints such a group on a layer
 * as large as what it holds, and where all of that is far outside the picture it breaks down.
 * @param {string} svg
 */
const anchored = (svg) =>
  svg.replace(/<g [^>]*(?:clip-path|opacity)[^>]*[^/]>/g, '$&<path d="M0,0H1V1H0Z" fill-opacity="0"/>');

/**
 * @param {string} svg
 * @param {number} scale
 */
function pngOf(svg, scale) {
  const font = { loadSystemFonts: false, fontFiles: FONT_FILES, defaultFontFamily: "DejaVu Sans" };
  const safe = anchored(withoutLayers(svg));
  return new Resvg(safe, { font, imageRendering: 1, fitTo: { mode: "zoom", value: scale } }).render().asPng();
}

/** @param {{ id: number, figure: any, width: number, height: number, scale: number }} job */
async function answer({ id, figure, width, height, scale }) {
  try {
    const png = pngOf(await svgOf(figure, width, height), scale);
    process.send?.({ id, png });
  } catch (error) {
    process.send?.({ id, failure: error instanceof Error ? error.message : String(error) });
  }
}

let queue = Promise.resolve();
process.on("message", (/** @type {Parameters<typeof answer>[0]} */ job) => {
  queue = queue.then(() => answer(job));
});
process.on("disconnect", () => process.exit()); // whoever asked is gone
process.on("SIGINT", () => {}); // a terminal's Ctrl-C is for whoever asked
