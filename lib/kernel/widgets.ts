/**
 * @file A slider that JupyterLab's widget manager draws: ipywidgets' model messages, version 2, over comms.
 * https://github.com/jupyter-widgets/ipywidgets/blob/main/packages/schema/messages.md
 */
import { AsyncResource } from "node:async_hooks";
import type { Comm, CommEvent, Comms } from "./comms";
import type { Bundle } from "./messages";

type State = Record<string, unknown>;

const PROTOCOL = { version: "2.1.0" };
const CONTROLS = { module: "@jupyter-widgets/controls", version: "2.0.0" };
const BASE = { module: "@jupyter-widgets/base", version: "2.0.0" };
export const WIDGET_VIEW = "application/vnd.jupyter.widget-view+json";

/** A model: state that is kept equal here and in the page. */
interface Model {
  readonly id: string;
  readonly state: State;
  set(change: State): void;
  onChange(listener: (change: State) => void): void;
}

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

export interface Widgets {
  slider(options?: SliderOptions): Slider;
}

const modelState = (
  from: { module: string; version: string },
  model: string,
  view: string | null,
  state: State,
) => ({
  _model_module: from.module,
  _model_module_version: from.version,
  _model_name: model,
  _view_module: from.module,
  _view_module_version: from.version,
  _view_name: view,
  _view_count: null,
  ...state,
});

export function createWidgets(comms: Comms): Widgets {
  const models = new Map<string, Model>();

  // A page that was loaded anew asks for all models there are.
  comms.register("jupyter.widget.control", (control) => {
    control.onMessage = ({ data }) => {
      if (data.method !== "request_states") return;
      const states = Object.fromEntries(
        [...models].map(([id, { state }]) => [
          id,
          {
            model_name: state._model_name,
            model_module: state._model_module,
            model_module_version: state._model_module_version,
            state,
          },
        ]),
      );
      control.send({ method: "update_states", states, buffer_paths: [] });
    };
  });

  const receive = (comm: Comm, state: State, listeners: ((change: State) => void)[], { data }: CommEvent) => {
    if (data.method === "request_state") comm.send({ method: "update", state, buffer_paths: [] });
    if (data.method !== "update") return;
    const change = data.state as State;
    Object.assign(state, change);
    comm.send({ method: "echo_update", state: change, buffer_paths: [] });
    for (const listener of listeners) listener(change);
  };

  const createModel = (state: State): Model => {
    const comm = comms.open("jupyter.widget", { state, buffer_paths: [] }, { metadata: PROTOCOL });
    const listeners: ((change: State) => void)[] = [];
    const model: Model = {
      id: comm.id,
      state,
      set: (change) => {
        Object.assign(state, change);
        comm.send({ method: "update", state: change, buffer_paths: [] });
      },
      onChange: (listener) => void listeners.push(AsyncResource.bind(listener)),
    };
    comm.onMessage = (event) => receive(comm, state, listeners, event);
    comm.onClose = () => models.delete(comm.id);
    models.set(comm.id, model);
    return model;
  };

  const slider = ({
    min = 0,
    max = 100,
    value = min,
    step = (max - min) / 100,
    label = "",
  }: SliderOptions = {}) => {
    if (!(min < max) || value < min || value > max)
      throw new Error(
        `slider: value ${value} in [${min}, ${max}], expected min ≤ value ≤ max and min < max.`,
      );
    const layout = createModel(modelState(BASE, "LayoutModel", "LayoutView", {}));
    const style = createModel(modelState(CONTROLS, "SliderStyleModel", "StyleView", {}));
    const shape = {
      min,
      max,
      value,
      step,
      description: label,
      continuous_update: true,
      readout: true,
      disabled: false,
    };
    const links = {
      layout: `IPY_MODEL_${layout.id}`,
      style: `IPY_MODEL_${style.id}`,
      orientation: "horizontal",
    };
    const model = createModel(
      modelState(CONTROLS, "FloatSliderModel", "FloatSliderView", {
        ...shape,
        ...links,
        readout_format: ".4~g",
      }),
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
      toMimeBundle: () => ({
        [WIDGET_VIEW]: { version_major: 2, version_minor: 0, model_id: model.id },
        "text/plain": `slider ${label} ${widget.value} in [${min}, ${max}]`.replace(/ +/g, " "),
      }),
    };
    return widget;
  };
  return { slider };
}
