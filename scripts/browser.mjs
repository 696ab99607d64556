/**
 * @file Finds a Chromium for the browser tests, or says why there is none.
 *
 * Plain JavaScript without dependencies: `npm run doctor` uses it before anything is installed.
 */
import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

const FIXED_PLACES = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

const NO_BROWSER =
  "no Chromium found: install Debian's package (sudo apt-get install -y chromium) or Google Chrome, or set CHROME_PATH";

/** Arguments for a Chromium that a test drives: it must run as root in a container and call nobody. */
export const BROWSER_ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The Chromiums that Playwright has downloaded for itself, newest first. */
function playwrightPlaces() {
  const folders = [
    process.env.PLAYWRIGHT_BROWSERS_PATH,
    join(homedir(), ".cache", "ms-playwright"),
    join(homedir(), "Library", "Caches", "ms-playwright"),
  ];
  const programs = [
    "chrome-linux/chrome",
    "chrome-linux64/chrome",
    "chrome-mac/Chromium.app/Contents/MacOS/Chromium",
  ];
  return folders.flatMap((folder) =>
    folder && existsSync(folder)
      ? readdirSync(folder)
          .filter((name) => name.startsWith("chromium-"))
          .sort()
          .reverse()
          .flatMap((name) => programs.map((program) => join(folder, name, program)))
      : [],
  );
}

/**
 * The path of a Chromium, or the reason that there is none, fit to skip a test with:
 * `test("…", { skip: findBrowser().reason }, …)`. Looks at CHROME_PATH, the PATH, the usual places on macOS
 * and Playwright's own. Throws the reason when `CI` is set: there a missing browser is a failure.
 * @returns {{ path?: string, reason?: string }}
 */
export function findBrowser(environment = process.env) {
  const asked = environment.CHROME_PATH;
  const onPath = (environment.PATH ?? "")
    .split(delimiter)
    .filter(Boolean)
    .flatMap((folder) => NAMES.map((name) => join(folder, name)));
  const places = asked ? [asked] : [...onPath, ...FIXED_PLACES, ...playwrightPlaces()];
  const path = places.find(isExecutable);
  if (path) return { path };
  const reason = asked ? `CHROME_PATH is "${asked}", which is no program that can be run` : NO_BROWSER;
  if (environment.CI && environment.CI !== "false") throw new Error(reason);
  return { reason };
}
