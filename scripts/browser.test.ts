/** @file Where a browser is looked for, and what is said when there is none. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { findBrowser } from "./browser.mjs";

const folder = mkdtempSync(join(tmpdir(), "browser test "));
after(() => rmSync(folder, { recursive: true }));
const program = join(folder, "google-chrome");
writeFileSync(program, "#!/bin/sh\n");
chmodSync(program, 0o755);

test("a browser on the PATH is found, and CHROME_PATH goes before it", () => {
  assert.deepEqual(findBrowser({ PATH: folder }), { path: program });
  assert.deepEqual(findBrowser({ PATH: "", CHROME_PATH: program }), { path: program });
});

test("a CHROME_PATH that cannot be run is told, not passed over", () => {
  assert.match(
    findBrowser({ PATH: folder, CHROME_PATH: "/no/such" }).reason ?? "",
    /CHROME_PATH is "\/no\/such"/,
  );
});

test("under CI a missing browser is an error", () => {
  assert.throws(() => findBrowser({ PATH: "", CHROME_PATH: "/no/such", CI: "true" }), /CHROME_PATH/);
  assert.ok(findBrowser({ PATH: "", CHROME_PATH: "/no/such", CI: "false" }).reason);
});
