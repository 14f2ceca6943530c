// The running score of the last minute, as a line, with the points where it turned.

import { h, place, s } from "./dom.ts";
import { clock } from "./numbers.ts";
import type { Change } from "./stream.ts";

/** Seconds that are shown. */
const SHOWN = 60;

interface Point {
  time: number;
  score: number;
  provisional: boolean;
}

export class LiveChart {
  readonly element: HTMLElement;
  private points: Point[] = [];
  private changes: Change[] = [];
  private readonly line = s("polyline", { class: "running", "vector-effect": "non-scaling-stroke", fill: "none" });
  private readonly early = s("polyline", { class: "running early", "vector-effect": "non-scaling-stroke", fill: "none" });
  private readonly marks = h("div", { class: "marks" });
  private readonly from = h("span", { class: "tick" });
  private readonly to = h("span", { class: "tick" });

  constructor() {
    const svg = s(
      "svg",
      { viewBox: `0 0 ${SHOWN} 100`, preserveAspectRatio: "none", "aria-hidden": "true" },
      s("line", { x1: 0, x2: SHOWN, y1: 50, y2: 50, class: "threshold", "vector-effect": "non-scaling-stroke" }),
      this.early,
      this.line,
    );
    place(this.from, 0);
    place(this.to, 1);
    this.element = h(
      "div",
      { class: "lane lane-live", role: "img", "aria-label": "Running score of the last minute" },
      h("div", { class: "gutter", "aria-hidden": "true" }, h("span", {}, "real"), h("span", {}, "synth.")),
      h("div", { class: "plot" }, svg, this.marks),
      h("div", { class: "times", "aria-hidden": "true" }, this.from, this.to),
    );
    this.draw();
  }

  score(time: number, score: number, provisional: boolean): void {
    this.points.push({ time, score, provisional });
    while (this.points[0] && this.points[0].time < time - SHOWN) this.points.shift();
    this.draw();
  }

  change(change: Change): void {
    this.changes = [...this.changes.slice(-20), change];
    this.draw();
  }

  private draw(): void {
    const now = Math.max(SHOWN, this.points.at(-1)?.time ?? 0);
    const start = now - SHOWN;
    const drawn = (points: Point[]) => points.map(({ time, score }) => `${(time - start).toFixed(2)},${(4 + 92 * (1 - score)).toFixed(1)}`).join(" ");
    const settled = this.points.findIndex((point) => !point.provisional);
    this.early.setAttribute("points", drawn(settled < 0 ? this.points : this.points.slice(0, settled + 1)));
    this.line.setAttribute("points", settled < 0 ? "" : drawn(this.points.slice(settled)));
    this.marks.replaceChildren(
      ...this.changes
        .filter(({ since }) => since >= start)
        .map(({ since, toward }) => {
          const mark = h("div", { class: "mark", "data-side": toward === "spoof" ? "synthetic" : "real" });
          place(mark, (since - start) / SHOWN);
          return mark;
        }),
    );
    this.from.textContent = clock(start);
    this.to.textContent = clock(now);
  }
}
