/**
 * @file A node:test reporter for programs: one JSON line per finished test, failed hook or skipped suite.
 *
 * Suites that only group tests are left out, and so is a parent that failed because a subtest did: each
 * failure is told once.
 */
import { inspect } from "node:util";

/**
 * @typedef {object} Outcome
 * @property {string} name the test's name
 * @property {"passed" | "failed" | "skipped"} status
 * @property {number} ms how long it took
 * @property {string} [detail] why it was skipped, or the error
 */

/**
 * The error that a test threw, out of node:test's wrapping.
 * @param {any} error
 */
const describeError = (error) => inspect(error?.cause instanceof Error ? error.cause : error, { depth: 4 });

/**
 * What one event of node:test's stream says about a test, or nothing.
 * @param {{ type: string, data: any }} event
 * @returns {Outcome | undefined}
 */
export function outcome({ type, data }) {
  if (type !== "test:pass" && type !== "test:fail") return undefined;
  const found = { name: data.name, ms: data.details?.duration_ms ?? 0 };
  const off = data.skip ?? data.todo;
  if (off !== undefined && off !== false) {
    const reason = typeof off === "string" && off !== "" ? off : data.skip ? "no reason given" : "to do";
    return { ...found, status: "skipped", detail: reason };
  }
  if (type === "test:fail") {
    if (data.details?.error?.failureType === "subtestsFailed") return undefined;
    return { ...found, status: "failed", detail: describeError(data.details?.error) };
  }
  return data.details?.type === "suite" ? undefined : { ...found, status: "passed" };
}

/**
 * The reporter as node:test wants it.
 * @param {AsyncIterable<{ type: string, data: any }>} source
 */
export default async function* reporter(source) {
  for await (const event of source) {
    const found = outcome(event);
    if (found) yield `${JSON.stringify(found)}\n`;
  }
}
