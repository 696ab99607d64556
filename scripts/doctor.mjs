/** @file `npm run doctor`: how each part of the project is, and the line that repairs it. Changes nothing. */
import { describeFindings, examine } from "./setup/checks.mjs";
import { layout, PROJECT } from "./setup/layout.mjs";

const findings = await examine(layout(PROJECT));
console.log(describeFindings(findings));
const wrong = findings.filter(({ ok, needed }) => needed && !ok);
console.log(wrong.length === 0 ? "\nThe course can run." : "\nThe course cannot run yet.");
process.exitCode = wrong.length === 0 ? 0 : 1;
