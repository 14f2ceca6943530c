// The score along time: every segment a button that plays it, the windows behind it as lines.

import { h, place, s } from "./dom.ts";
import { clock, signed } from "./numbers.ts";
import { headline, sideOf, type Span, type Verdict } from "./verdict.ts";

const STEPS = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600];

export interface Timeline {
  readonly element: HTMLElement;
  /** Seconds, where the playing is. */
  moveTo(seconds: number): void;
}

/** `play` is called with the segment that was pressed; null: there is no sound to play. */
export function timelineOf(verdict: Verdict, play: ((span: Span) => void) | null): Timeline {
  const duration = verdict.duration_seconds || 1;
  const threshold = verdict.threshold ?? 0;
  const segments = verdict.segments.map((segment) => {
    const side = sideOf(segment.llr, threshold);
    const box = h(play ? "button" : "div", {
      class: side === "synthetic" ? "segment hatched" : "segment",
      "data-side": side,
      type: play ? "button" : undefined,
      "aria-label": play ? `Play ${said(segment, threshold)}` : undefined,
      title: said(segment, threshold),
      onclick: () => play?.(segment),
    });
    place(box, segment.start / duration, segment.end / duration);
    return box;
  });
  const cursor = h("div", { class: "cursor" });
  const plot = h("div", { class: "plot" }, ...segments, lines(verdict, duration, threshold), cursor);
  const element = h(
    "div",
    { class: "lane lane-score", role: "group", "aria-label": "Score along time" },
    h("div", { class: "gutter", "aria-hidden": "true" }, h("span", {}, "real"), h("span", {}, "synth.")),
    plot,
    h("div", { class: "times", "aria-hidden": "true" }, ...times(duration)),
  );
  return { element, moveTo: (seconds) => place(cursor, Math.min(1, seconds / duration)) };
}

/** The segments for those who would rather read. */
export function tableOf(verdict: Verdict): HTMLElement {
  const threshold = verdict.threshold ?? 0;
  const row = (span: Span) =>
    h(
      "tr",
      {},
      h("td", {}, clock(span.start)),
      h("td", {}, clock(span.end)),
      h("td", {}, wording(span, threshold)),
      h("td", {}, span.score === null ? "–" : span.score.toFixed(2)),
      h("td", {}, span.llr === null ? "–" : signed(span.llr)),
    );
  const heads = ["from", "to", "", "score", "llr"].map((text) => (text ? h("th", { scope: "col" }, text) : h("td", {})));
  return h(
    "div",
    { class: "wide", tabindex: 0, role: "region", "aria-label": "Segments" },
    h("table", {}, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...verdict.segments.map(row))),
  );
}

function wording(span: Span, threshold: number): string {
  if (span.llr === null) return "not said";
  return headline({ label: span.llr < threshold ? "spoof" : "bonafide", llr: span.llr }).toLowerCase();
}

function said(span: Span, threshold: number): string {
  const score = span.llr === null ? "" : `, llr ${signed(span.llr)}`;
  return `${clock(span.start)} to ${clock(span.end)}: ${wording(span, threshold)}${score}`;
}

/** Score 1 at the top. The drawing is stretched to its box; the strokes are not. */
function lines({ windows }: Verdict, duration: number, threshold: number): SVGElement {
  const y = (score: number) => 4 + 92 * (1 - score);
  const line = (from: number, to: number, score: number, name: string) =>
    s("line", { x1: from, x2: to, y1: y(score), y2: y(score), class: name, "vector-effect": "non-scaling-stroke" });
  const scored = (windows ?? []).filter((window) => window.score !== null);
  return s(
    "svg",
    { viewBox: `0 0 ${duration} 100`, preserveAspectRatio: "none", "aria-hidden": "true" },
    line(0, duration, 1 / (1 + Math.exp(-threshold)), "threshold"),
    ...scored.map(({ start, end, score }) => line(start, end, score ?? 0, "window")),
  );
}

function times(duration: number): HTMLElement[] {
  const step = STEPS.find((seconds) => duration / seconds <= 6) ?? 1800;
  const marks: HTMLElement[] = [];
  for (let at = 0; at <= duration; at += step) {
    const mark = h("span", { class: "tick" }, at < 60 ? `${at} s` : clock(at));
    place(mark, at / duration);
    marks.push(mark);
  }
  return marks;
}
