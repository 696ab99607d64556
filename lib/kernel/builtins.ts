/** @file What a cell can use without importing it, as declarations for the checker. The runner provides the values. */

export const BUILTIN_DECLARATIONS: Record<string, string> = {
  display: `/**
 * Shows an output: what has \`toMimeBundle()\`, such as a widget, or a bundle, which is one output in several formats by
 * MIME type; the front end picks the best.
 */
declare const display: {
  (shown: Record<string, unknown> | { toMimeBundle(): Record<string, unknown> }, options?: { displayId?: string; update?: boolean; metadata?: object }): void;
  /** Replaces the output that was shown with this id, in whichever cell it is. */
  update(displayId: string, shown: Record<string, unknown> | { toMimeBundle(): Record<string, unknown> }): void;
};`,
  clearOutput: `/** Clears the cell's output; with \`wait\`, when the next output comes. */
declare function clearOutput(wait?: boolean): void;`,
  slider: `/** A slider that the reader moves; as a cell's last expression it is shown. */
declare function slider(options?: {
  min?: number;
  max?: number;
  value?: number;
  step?: number;
  label?: string;
}): {
  value: number;
  /** Calls \`listener\` with each value that the reader chooses. */
  onChange(listener: (value: number) => void): ReturnType<typeof slider>;
  toMimeBundle(): Record<string, unknown>;
};`,
  anywidget: `/**
 * A widget whose page side the cell brings with it; as a cell's last expression it is shown, where the front end has
 * anywidget installed.
 * @param options.esm text of an ES module: \`export default { render({ model, el }) { … } }\`
 * @param options.state what \`model.get\` and \`model.set\` reach there
 */
declare function anywidget<State extends Record<string, unknown> = Record<string, unknown>>(options: {
  esm: string;
  css?: string;
  state?: State;
}): {
  get<Name extends keyof State & string>(name: Name): State[Name];
  /** Changes the state here and in the page. */
  set(change: Partial<State>): void;
  /** Calls \`listener\` with what the page changed. */
  onChange(listener: (change: Partial<State>) => void): ReturnType<typeof anywidget<State>>;
  /** Sends what is no state: \`model.on("msg:custom", …)\` there gets it. */
  send(content: unknown, buffers?: Uint8Array[]): void;
  /** Calls \`listener\` with what \`model.send\` sends there. */
  onMessage(listener: (content: unknown, buffers: Uint8Array[]) => void): ReturnType<typeof anywidget<State>>;
  close(): void;
  toMimeBundle(): Record<string, unknown>;
};`,
  prompt: `/** Asks the reader for a line of text. */
declare function prompt(question?: string, options?: { password?: boolean }): Promise<string>;`,
};
