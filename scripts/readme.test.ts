/** @file What the README shows is what it says: its example prints those lines, its links and commands exist. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { modelsSection, shippedModels, withSection } from "./readme/section";

const project = dirname(__dirname);
const readme = readFileSync(join(project, "README.md"), "utf8");

/** The first fenced block of this language. */
function block(language: string): string {
  const found = readme.match(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``));
  assert.ok(found, `no ${language} block in the README`);
  return found[1];
}

test("the README's example prints what the README says", () => {
  const folder = join(project, ".cache", "test");
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "readme-example.ts");
  writeFileSync(file, block("ts").replaceAll('"./lib"', '"../../lib"'));
  const printed = execFileSync(process.execPath, ["--import", "tsx", file], {
    cwd: project,
    encoding: "utf8",
  });
  assert.equal(printed.trim(), block("text").trim());
});

test("the README's links lead to files", () => {
  const targets = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map(([, target]) => target);
  assert.ok(targets.length > 0);
  for (const target of targets) assert.ok(existsSync(join(project, target)), `${target} is not there`);
});

test("the README's npm commands exist", () => {
  const { scripts } = JSON.parse(readFileSync(join(project, "package.json"), "utf8"));
  const names = [...readme.matchAll(/npm (?:run (?:-s )?([a-z]+)|(start|test))/g)].map(
    ([, ran, own]) => ran ?? own,
  );
  assert.ok(names.length > 10, "the pattern finds them");
  for (const name of names) assert.ok(name in scripts, `npm run ${name} is not in package.json`);
});

test("the README's section about the models is what is shipped: npm run readme -- models", () => {
  assert.equal(readme, withSection(readme, modelsSection(shippedModels())));
});
