/**
 * @file The names that compiled code finds defined: a cell as its function's parameters, a module by its prelude. They are
 * such as nobody writes: a cell that declared one would be compiled to nonsense.
 */

/** The object that holds all cells' top-level names. */
export const CELLS = "$_cells";
/** Stands for dynamic `import()`, which must resolve from the notebook. */
export const IMPORT = "$_import";
/** Stands for `import.meta`, which a script has not. */
export const META = "$_meta";
/** `$_reached("late", value)` notes that the cell has come to its declaration of `late`, and returns the value. */
export const REACHED = "$_reached";

/** The interrupt check reads `load(flag, 0)` and calls `stop()`; what was awaited comes back through `resumed(…)`, which does the same. */
export const CHECK_NAMES = { load: "$_load", flag: "$_flag", stop: "$_stop", resumed: "$_resumed" } as const;

/** Where the runner keeps the values of CHECK_NAMES for modules. */
export const CHECK_SYMBOL = "jupyter.kernel.interrupt";

/** One line, without a line break, that defines them in a module. */
export const CHECK_PRELUDE = `const { ${Object.values(CHECK_NAMES).join(", ")} } = globalThis[Symbol.for("${CHECK_SYMBOL}")];`;
