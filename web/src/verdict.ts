// The verdict as the server gives it (docs/api.md), and what it says in words.

import { signed, times } from "./numbers.ts";

export type Label = "bonafide" | "spoof" | "undecided";

/** A stretch of the recording, in seconds. A key may see less than all of it: numbers can be null. */
export interface Span {
  start: number;
  end: number;
  score: number | null;
  llr: number | null;
}

export interface Note {
  code: string;
  message: string;
}

export interface Verdict {
  path: string | null;
  label: Label | null;
  score: number | null;
  llr: number | null;
  threshold: number | null;
  duration_seconds: number | null;
  speech_seconds: number | null;
  sample_rate: number | null;
  channels: number | null;
  segments: Span[];
  warnings: Note[];
  model: { name: string; sha256: string | null; precision: string | null };
  error: Note | null;
  windows?: Span[];
}

export type Side = "real" | "synthetic" | "none";

/** Natural logarithms of the likelihood ratios 2 and 10: below the first there is hardly evidence, from the second on
 * some (the verbal scale of the ENFSI guideline for evaluative reporting, 2015, calls 2 to 10 weak support). */
const EVEN = Math.log(2);
const PLAIN = Math.log(10);

/** Which side of the threshold a stretch lies on. */
export function sideOf(llr: number | null, threshold: number | null): Side {
  if (llr === null) return "none";
  return llr < (threshold ?? 0) ? "synthetic" : "real";
}

export function sideOfLabel(label: Label | null): Side {
  return label === "bonafide" ? "real" : label === "spoof" ? "synthetic" : "none";
}

/** Two or three words: "Leans real". */
export function headline({ label, llr }: Pick<Verdict, "label" | "llr">): string {
  const side = sideOfLabel(label);
  if (side === "none") return "No verdict";
  if (llr === null) return side === "real" ? "Taken for real" : "Taken for synthetic";
  const support = side === "real" ? llr : -llr;
  if (support < EVEN) return `Nearly even, ${support < 0 ? "taken for" : "leaning"} ${side}`;
  return support < PLAIN ? `Leans ${side}` : `Sounds ${side}`;
}

/** What the number says, as a sentence. */
export function explanation(verdict: Verdict): string {
  const side = sideOfLabel(verdict.label);
  if (side === "none") return "The recording does not allow a verdict. Why, and what would help:";
  const { llr } = verdict;
  if (llr === null) {
    return `The model puts it with ${side === "real" ? "recorded" : "synthetic"} speech. How strongly, this server does not say.`;
  }
  const ratio = times(Math.exp(Math.abs(llr)));
  const [more, less] = llr >= 0 ? ["recorded", "synthetic, converted or cloned"] : ["synthetic, converted or cloned", "recorded"];
  const found =
    Math.abs(llr) < EVEN
      ? "To the model, such a sound is about as common in recorded as in synthetic speech."
      : `To the model, such a sound is about ${ratio} times as common in ${more} speech as in ${less} speech.`;
  if ((llr >= 0) === (side === "real")) return found;
  return `${found} It is taken for ${side} all the same, as this server's threshold is ${signed(verdict.threshold ?? 0)}.`;
}

/** What must not be concluded. */
export function caution(label: Label | null): string {
  if (label === "bonafide") return "That does not prove that a human spoke: many current synthesizers pass.";
  if (label === "spoof") return "That does not prove that it is fake: some real voices are rejected.";
  return "";
}

/** A warning's advice, by its code; nothing where there is none to give. */
export function advice(code: string): string {
  const known: Record<string, string> = {
    silence: "Was the microphone muted? Try a louder copy.",
    no_speech: "The model judges speech; choose a part in which someone talks.",
    little_speech: "Choose a longer part of the recording.",
    clipped: "A copy recorded at a lower level would be judged more surely.",
    noisy: "A part with less noise would be judged more surely.",
    narrow_band: "A telephone hides what lies above its band; the verdict is less sure.",
    over_scale: "It was scaled down to be judged.",
    truncated: "If you have the whole file, judge that.",
    music: "Choose a part in which someone talks without music.",
  };
  return known[code] ?? "";
}
