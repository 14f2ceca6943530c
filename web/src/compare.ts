// Two verdicts in one sentence.

import { times } from "./numbers.ts";
import { headline, type Verdict } from "./verdict.ts";

/** A gap below a likelihood ratio of 2 is none. */
const EVEN = Math.log(2);

export function comparisonOf(first: { name: string; verdict: Verdict }, second: { name: string; verdict: Verdict }): string {
  const said = [first, second].map(({ name, verdict }) => `${name}: ${headline(verdict).toLowerCase()}.`).join(" ");
  const [a, b] = [first.verdict.llr, second.verdict.llr];
  if (a === null || b === null) return said;
  const gap = Math.abs(a - b);
  if (gap < EVEN) return `${said} The evidence is about the same for both.`;
  const nearer = a > b ? first.name : second.name;
  return `${said} The evidence for recorded speech is ${times(Math.exp(gap))} times as strong in ${nearer}. That one sounds more real does not make it real.`;
}
