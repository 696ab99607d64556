/** @file A folder of a test's own in the place of `assets`. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

/** An empty folder that the library takes for `assets` until the file's tests have run; then it is removed. */
export function ownAssets(): string {
  const folder = mkdtempSync(join(tmpdir(), "lower-bound-assets-"));
  const kept = process.env.LOWER_BOUND_ASSETS;
  process.env.LOWER_BOUND_ASSETS = folder;
  after(() => {
    rmSync(folder, { recursive: true });
    if (kept === undefined) delete process.env.LOWER_BOUND_ASSETS;
    else process.env.LOWER_BOUND_ASSETS = kept;
  });
  return folder;
}
