// The scale of evidence: from synthetic on the left to real on the right, with the threshold and where a recording lies.

import { h, place } from "./dom.ts";
import { signed } from "./numbers.ts";
import { sideOf } from "./verdict.ts";

/** Ends of the scale on llr: likelihood ratios of 400 to 1. What lies beyond stands at the end. */
const END = 6;

const TICKS: [number, string][] = [
  [-Math.log(100), "100 : 1"],
  [-Math.log(10), "10 : 1"],
  [0, "even"],
  [Math.log(10), "10 : 1"],
  [Math.log(100), "100 : 1"],
];

/** Where an llr lies on the scale, in [0, 1]. */
function share(llr: number): number {
  return (Math.max(-END, Math.min(END, llr)) + END) / (2 * END);
}

/** Of a recording; `llr` null has no scale. */
export function scaleOf(llr: number, threshold: number): HTMLElement {
  const real = h("div", { class: "scale-real" });
  const synthetic = h("div", { class: "scale-synthetic hatched" });
  place(synthetic, 0, share(threshold));
  place(real, share(threshold), 1);
  const limit = h("div", { class: "scale-threshold" });
  place(limit, share(threshold));
  const marker = h("div", { class: "scale-marker", "data-side": sideOf(llr, threshold) });
  place(marker, share(llr));
  const ticks = TICKS.map(([at, text]) => {
    const tick = h("span", { class: "tick" }, text);
    place(tick, share(at));
    return tick;
  });
  const label =
    `Scale of evidence from synthetic to real: llr ${signed(llr)}, where 0 is even and the threshold is ${signed(threshold)}` +
    (Math.abs(llr) > END ? "; beyond the end of the scale" : "");
  return h(
    "figure",
    { class: "scale" },
    h(
      "div",
      { role: "img", "aria-label": label },
      h("div", { class: "scale-ends" }, h("span", {}, "◀ synthetic"), h("span", {}, "real ▶")),
      h("div", { class: "scale-bar" }, synthetic, real, limit, marker),
      h("div", { class: "ticks" }, ...ticks),
    ),
    h(
      "figcaption",
      { class: "quiet" },
      `Evidence (llr) ${signed(llr)}; the line is the threshold, ${signed(threshold)}. 10 : 1 means that such a sound is ten times as common on that side.`,
    ),
  );
}
