/**
 * @file Widgets that a cell makes: a slider of ipywidgets' controls, which JupyterLab's widget manager draws by itself,
 * and an anywidget, whose page side the cell brings with it. https://anywidget.dev/en/afm/
 */
import { createHash } from "node:crypto";
import type { Bundle } from "./messages";
import type { Model, Models, State } from "./models";

const CONTROLS = { module: "@jupyter-widgets/controls", version: "2.0.0" };
const BASE = { module: "@jupyter-widgets/base", version: "2.0.0" };
/** Any version: what is used of it has been there since the first. */
const ANYWIDGET = { module: "anywidget", version: "*" };
const WIDGET_VIEW = "application/vnd.jupyter.widget-view+json";

export interface SliderOptions {
  min?: number;
  max?: number;
  value?: number;
  step?: number;
  label?: string;
}

export interface Slider {
  value: number;
  /** Calls `listener` with each value that the reader chooses; the cell that called this gets its outputs. */
  onChange(listener: (value: number) => void): Slider;
  toMimeBundle(): Bundle;
}

export interface AnywidgetOptions {
  esm: string;
  css?: string;
  state?: State;
}

export interface Anywidget {
  get(name: string): unknown;
  set(change: State): void;
  onChange(listener: (change: State) => void): Anywidget;
  send(content: unknown, buffers?: Uint8Array[]): void;
  onMessage(listener: (content: unknown, buffers: Uint8Array[]) => void): Anywidget;
  close(): void;
  toMimeBundle(): Bundle;
}

export interface Widgets {
  slider(options?: SliderOptions): Slider;
  anywidget(options: AnywidgetOptions): Anywidget;
}

const viewOf = ({ id }: Model, text: string): Bundle => ({
  [WIDGET_VIEW]: { version_major: 2, version_minor: 0, model_id: id },
  "text/plain": text.replace(/ +/g, " "),
});

const reference = ({ id }: Model) => `IPY_MODEL_${id}`;

function createSlider(
  models: Models,
  { min = 0, max = 100, value = min, step = (max - min) / 100, label = "" }: SliderOptions,
): Slider {
  if (!(min < max) || value < min || value > max)
    throw new Error(`slider: value ${value} in [${min}, ${max}], expected min ≤ value ≤ max and min < max.`);
  if (!(step > 0))
    throw new Error(`slider: step ${step}, expected a number above 0, such as ${(max - min) / 100}.`);
  const layout = models.create({ ...BASE, model: "LayoutModel", view: "LayoutView" }, {});
  const style = models.create({ ...CONTROLS, model: "SliderStyleModel", view: "StyleView" }, {});
  const model = models.create(
    { ...CONTROLS, model: "FloatSliderModel", view: "FloatSliderView" },
    {
      min,
      max,
      value,
      step,
      description: label,
      continuous_update: true,
      readout: true,
      readout_format: ".4~g",
      disabled: false,
      orientation: "horizontal",
      layout: reference(layout),
      style: reference(style),
    },
  );
  const widget: Slider = {
    get value() {
      return model.state.value as number;
    },
    set value(to) {
      model.set({ value: to });
    },
    onChange(listener) {
      model.onChange(({ value: chosen }) => {
        if (typeof chosen === "number") listener(chosen);
      });
      return widget;
    },
    toMimeBundle: () => viewOf(model, `slider ${label} ${widget.value} in [${min}, ${max}]`),
  };
  return widget;
}

function createAnywidget(models: Models, { esm, css = "", state = {} }: AnywidgetOptions): Anywidget {
  if (typeof esm !== "string" || esm.trim() === "")
    throw new Error(
      `anywidget: esm is ${typeof esm === "string" ? "empty" : typeof esm}, expected the text of an ES module such as "export default { render({ model, el }) { … } }".`,
    );
  const own = Object.keys(state).find((name) => name.startsWith("_"));
  if (own !== undefined)
    throw new Error(
      `anywidget: the state has "${own}", expected names that do not begin with an underscore.`,
    );
  const id = createHash("sha256").update(css).digest("hex").slice(0, 16); // by it the page loads a style sheet once
  const model = models.create(
    { ...ANYWIDGET, model: "AnyModel", view: "AnyView" },
    { ...state, _esm: esm, _css: css, _anywidget_id: `typescript.${id}` },
  );
  const widget: Anywidget = {
    get: (name) => model.state[name],
    set: model.set,
    onChange: (listener) => {
      model.onChange(listener);
      return widget;
    },
    send: model.send,
    onMessage: (listener) => {
      model.onMessage(listener);
      return widget;
    },
    close: model.close,
    toMimeBundle: () => viewOf(model, `anywidget { ${Object.keys(state).join(", ")} }`),
  };
  return widget;
}

export const createWidgets = (models: Models): Widgets => ({
  slider: (options = {}) => createSlider(models, options),
  anywidget: (options) => createAnywidget(models, options),
});
