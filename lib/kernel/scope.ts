/**
 * @file The names that earlier cells declared, each as the text of its declaration. Only what a cell mentions,
 * directly or through other declarations, is handed to the checker: the hundredth cell is checked as fast as the tenth.
 */

/** A name can mean a value, a type or both; a new declaration replaces the old ones that mean the same. */
export const Meaning = { value: 1, type: 2, both: 3 } as const;

/** `late`, `declare let late: number;`, Meaning.value. What is added to a module or to all is named with a blank: `global Array.last`. */
export interface Declaration {
  name: string;
  text: string;
  meaning: number;
}

const WORD = /[\p{ID_Start}$_][\p{ID_Continue}$]*/gu;

/** The identifiers, and maybe more words, in this text. */
const wordsIn = (text: string): Set<string> => new Set(text.match(WORD));

/** All names known to the next cell. */
export class Scope {
  readonly #names = new Map<string, (Declaration & { mentions: ReadonlySet<string> })[]>();

  /** @param builtin What is known before the first cell: declarations by name. */
  constructor(builtin: Record<string, string> = {}) {
    const all = Object.entries(builtin).map(([name, text]) => ({ name, text, meaning: Meaning.both }));
    this.commit(all, new Set());
  }

  /** Takes in what a cell declared, but for the values in `missing`, which it did not reach. */
  commit(declared: readonly Declaration[], missing: ReadonlySet<string>): void {
    const kept = declared.filter(({ name, meaning }) => meaning === Meaning.type || !missing.has(name));
    for (const name of new Set(kept.map((one) => one.name))) {
      const news = kept.filter((one) => one.name === name);
      const meaning = news.reduce((sum, one) => sum | one.meaning, 0);
      const olds = (this.#names.get(name) ?? []).filter((old) => (old.meaning & meaning) === 0);
      this.#names.set(name, [...olds, ...news.map((one) => ({ ...one, mentions: wordsIn(one.text) }))]);
    }
  }

  /** The declarations that code needs which has this text; what is added to modules is always among them. */
  mentionedIn(source: string): Declaration[] {
    const taken = new Set<string>();
    const found: Declaration[] = [];
    const queue = [...wordsIn(source), ...[...this.#names.keys()].filter((name) => name.includes(" "))];
    for (let word = queue.pop(); word !== undefined; word = queue.pop()) {
      if (taken.has(word)) continue;
      taken.add(word);
      for (const { mentions, ...declaration } of this.#names.get(word) ?? []) {
        found.push(declaration);
        queue.push(...mentions);
      }
    }
    return found;
  }

  all(): Declaration[] {
    return [...this.#names.values()].flat().map(({ mentions: _, ...declaration }) => declaration);
  }
}
