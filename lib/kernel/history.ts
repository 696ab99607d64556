/** @file What was run in this session: the answer to `history_request`. */

type Entry = [session: number, line: number, input: string];

export interface HistoryRequest {
  hist_access_type?: string;
  n?: number;
  start?: number;
  stop?: number;
  pattern?: string;
  unique?: boolean;
  output?: boolean;
}

/** Jupyter's glob: `*` is any text, `?` one character. */
function globToRegExp(glob: string): RegExp {
  const parts = [...glob].map((character) =>
    character === "*" ? ".*" : character === "?" ? "." : character.replace(/[\\^$.|+()[\]{}]/g, "\\$&"),
  );
  return new RegExp(`^${parts.join("")}$`, "s");
}

const lastOf = (entries: Entry[], n: number) => entries.slice(Math.max(0, entries.length - n));

export class History {
  readonly #entries: Entry[] = [];

  add(line: number, input: string): void {
    this.#entries.push([1, line, input]);
  }

  #select({
    hist_access_type,
    n = 10,
    start = 0,
    stop,
    pattern = "*",
    unique = false,
  }: HistoryRequest): Entry[] {
    if (hist_access_type === "range")
      return this.#entries.filter(([, line]) => line >= start && (stop == null || line < stop));
    if (hist_access_type === "tail") return lastOf(this.#entries, n);
    const glob = globToRegExp(pattern);
    const found = this.#entries.filter(([, , input]) => glob.test(input));
    const last = new Map(found.map((entry) => [unique ? entry[2] : String(entry[1]), entry]));
    return lastOf([...last.values()], n);
  }

  answer(request: HistoryRequest): { status: "ok"; history: unknown[] } {
    const entries = this.#select(request);
    const history = request.output
      ? entries.map(([session, line, input]) => [session, line, [input, null]])
      : entries;
    return { status: "ok", history };
  }
}
