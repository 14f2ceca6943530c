// One verdict as an article: the words first and large, then the evidence, then what it rests on.

import type { Model } from "./api.ts";
import { h } from "./dom.ts";
import { clock, percent, signed } from "./numbers.ts";
import { scaleOf } from "./scale.ts";
import { openSound, type Player } from "./sound.ts";
import { tableOf, timelineOf } from "./timeline.ts";
import { advice, caution, explanation, headline, sideOfLabel, type Span, type Verdict } from "./verdict.ts";

export interface Report {
  readonly element: HTMLElement;
  readonly verdict: Verdict;
  /** Puts the reader, and a screen reader, at its headline. */
  focus(): void;
  destroy(): void;
}

export interface Options {
  /** null: the verdict is from the history, the sound is not here. */
  file: Blob | null;
  name: string;
  model: Model | undefined;
  onCompare: (() => void) | null;
}

export function reportOf(verdict: Verdict, { file, name, model, onCompare }: Options): Report {
  let player: Player | null = null;
  let gone = false;
  const playSpan = ({ start, end }: Span) => player?.play(start, end);
  const timeline = timelineOf(verdict, file ? playSpan : null);
  const title = h("h2", { tabindex: -1 }, headline(verdict));
  const sound = h("div", { class: "sound" }, h("p", { class: "quiet" }, file ? "Drawing the recording…" : "The sound was not kept: choose the file again to hear it."));
  const json = JSON.stringify(verdict, null, 1);
  const element = h(
    "article",
    { class: "card report", "data-side": sideOfLabel(verdict.label), "aria-label": `Verdict on ${name}` },
    h("p", { class: "name" }, name),
    title,
    h("p", { class: "sentence" }, `${explanation(verdict)} ${caution(verdict.label)}`),
    warningsOf(verdict),
    verdict.llr === null ? null : scaleOf(verdict.llr, verdict.threshold ?? 0),
    ratesOf(verdict, model),
    sound,
    verdict.segments.length ? timeline.element : null,
    verdict.segments.length && file ? h("p", { class: "quiet hint" }, "Press a segment of the score to hear it.") : null,
    factsOf(verdict),
    verdict.segments.length ? h("details", {}, h("summary", {}, "Segments as a table"), tableOf(verdict)) : null,
    h(
      "div",
      { class: "row" },
      h("button", { type: "button", class: "download", onclick: () => save(json, name) }, "Download as JSON"),
      onCompare ? h("button", { type: "button", class: "compare", onclick: onCompare }, "Compare with another") : null,
    ),
  );

  if (file) {
    openSound(file, verdict.duration_seconds ?? 0, sound, (seconds) => timeline.moveTo(seconds))
      .then(
        (opened) => {
          if (gone) opened.destroy();
          else {
            player = opened;
            sound.firstElementChild?.remove();
          }
        },
        () => {
          if (sound.firstElementChild) sound.firstElementChild.textContent = "This browser cannot play or draw this format; the verdict is not touched by that.";
        },
      );
  }
  return {
    element,
    verdict,
    focus: () => title.focus(),
    destroy: () => {
      gone = true;
      player?.destroy();
      element.remove();
    },
  };
}

function warningsOf({ warnings }: Verdict): HTMLElement | null {
  if (!warnings.length) return null;
  const items = warnings.map(({ code, message }) => {
    const text = `${message.charAt(0).toUpperCase()}${message.slice(1)}. ${advice(code)}`;
    return h("li", { "data-code": code }, text.trim());
  });
  return h("ul", { class: "warnings", "aria-label": "About the quality of this recording" }, ...items);
}

/** How the model's notes end (`aasist calibrate` writes them so). */
const OPERATING_POINT = /([\d.]+) % of bona fide rejected, ([\d.]+) % of spoofs accepted/;

/** What the threshold stands for, and how the model did where it was tested. Measured, or not said. */
function ratesOf(verdict: Verdict, model: Model | undefined): HTMLElement | null {
  const { threshold } = verdict;
  if (threshold === null || !model || verdict.llr === null) return null;
  const point = model.points?.find((candidate) => Math.abs(candidate.threshold - threshold) < 1e-6);
  const own = model.threshold === threshold ? model.operating_point : null;
  const rates = point
    ? [percent(point.miss, 1), percent(point.false_acceptance, 1)]
    : OPERATING_POINT.exec(own ?? "")?.slice(1).map((number) => `${number} %`);
  const text = rates
    ? `At this threshold, ${rates[0]} of the real recordings that it was chosen on were called synthetic, and ${rates[1]} of the ` +
      "synthetic ones passed as real."
    : own
      ? `What this threshold stands for: ${own}.`
      : "";
  return text ? h("p", { class: "quiet rates" }, text) : null;
}

function factsOf(verdict: Verdict): HTMLElement {
  const { duration_seconds: duration, speech_seconds: speech, sample_rate: rate, channels, model } = verdict;
  const facts: [string, string][] = [];
  if (verdict.score !== null) facts.push(["score", `${verdict.score.toFixed(2)} (1 real, 0 synthetic, if both were equally common)`]);
  if (verdict.llr !== null && verdict.threshold !== null) facts.push(["llr", `${signed(verdict.llr)}, threshold ${signed(verdict.threshold)}`]);
  if (duration !== null) facts.push(["length", speech === null ? clock(duration) : `${clock(duration)}, ${clock(speech)} of it speech`]);
  if (rate !== null) facts.push(["recording", `${rate.toLocaleString("en")} Hz, ${channels === 1 ? "1 channel" : `${channels} channels`}`]);
  const parts = [model.name, model.precision, model.sha256 && `sha256 ${model.sha256.slice(0, 12)}…`];
  facts.push(["model", parts.filter(Boolean).join(", ")]);
  return h("dl", {}, ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function save(json: string, name: string): void {
  const url = URL.createObjectURL(new Blob([json], { type: "application/json" }));
  h("a", { href: url, download: `${name.replace(/[^\w.-]+/g, "_")}.verdict.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
