/** @file `show`: one output per figure, interactive where Plotly draws it, a PNG everywhere else, never blank. */
import { type Bundle, detached, display, inKernel, type Output, output } from "./display";
import { describe, type Figure, isFigure, plain } from "./figure";
import { render } from "./render";

export const PLOTLY = "application/vnd.plotly.v1+json";

/** What `show` takes: a figure, an output by MIME type (`math`, `table`), or a list of them. */
export type Showable = Figure | Bundle | readonly (Figure | Bundle)[];

/**
 * Shows figures in the order of the calls. A figure appears at once; its PNG follows into the same output, and
 * the promise resolves when it is there, so `await show(…)`. A PNG that cannot be drawn leaves the interactive
 * figure with a line that says why. Throws on what is neither a figure nor an output.
 */
export async function show(...items: Showable[]): Promise<void> {
  await Promise.all(items.flat().map(showOne)); // each takes its place in the page before the first await
}

async function showOne(item: unknown): Promise<void> {
  if (isFigure(item)) return showFigure(item);
  if (!isBundle(item))
    throw new Error(
      `show: got ${item === null ? "null" : typeof item}, expected a figure (scatter, lines, …) or an output (table, math).`,
    );
  display(item);
}

function isBundle(item: unknown): item is Bundle {
  if (typeof item !== "object" || item === null) return false;
  const keys = Object.keys(item);
  return keys.length > 0 && keys.every((key) => key.includes("/"));
}

async function showFigure(figure: Figure): Promise<void> {
  const place = output();
  place.send(interactive(figure));
  if (inKernel()) await complete(place, figure);
}

/** The figure without its PNG: for the first moment, and for figures that are still changing. */
export function interactive(figure: Figure): Bundle {
  return { [PLOTLY]: plain(figure), "text/plain": describe(figure) };
}

/** Sends the figure with its PNG, or with the reason why it has none, even if its cell is stopped meanwhile. Never rejects. */
export function complete(place: Output, figure: Figure): Promise<void> {
  return detached(() => withPicture(place, figure));
}

async function withPicture(place: Output, figure: Figure): Promise<void> {
  const bundle = interactive(figure);
  try {
    const png = await render(figure);
    place.send({ ...bundle, "image/png": Buffer.from(png).toString("base64") });
  } catch (error) {
    place.send({ ...bundle, "text/plain": `${bundle["text/plain"]}\n${whyNoPicture(error)}` });
  }
}

function whyNoPicture(error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error);
  return `(No still picture of this figure: ${reason} \`npm run doctor\` checks the renderer.)`;
}
