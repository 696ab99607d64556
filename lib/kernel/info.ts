/** @file What the kernel says of itself: the answer to `kernel_info_request`. */
import { version } from "typescript/package.json";
import { PROTOCOL_VERSION } from "./wire";

export const KERNEL_INFO = {
  status: "ok",
  protocol_version: PROTOCOL_VERSION,
  implementation: "lower-bound",
  implementation_version: "0.1.0",
  language_info: {
    name: "typescript",
    version,
    mimetype: "application/typescript",
    file_extension: ".ts",
    codemirror_mode: "typescript",
    pygments_lexer: "typescript",
    nbconvert_exporter: "script",
  },
  banner: `TypeScript ${version}, checked with the project's tsconfig`,
  help_links: [{ text: "TypeScript", url: "https://www.typescriptlang.org/docs/" }],
};
