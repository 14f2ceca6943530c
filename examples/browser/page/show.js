// A verdict in words and on the timeline, and what is said of the model.

import { drawTimeline } from "./timeline.js";

const element = (id) => document.getElementById(id);

const WORDS = {
  bonafide: ["Bona fide: it sounds like recorded human speech",
    "To this model it is nearer to the recorded human speech than to the synthetic, converted or cloned speech it has " +
    "learnt from. That does not prove that a human spoke: many current synthesizers pass."],
  spoof: ["Spoof: it sounds synthetic, converted or cloned",
    "To this model it is nearer to the synthetic, converted or cloned speech than to the recorded human speech it has " +
    "learnt from. That does not prove that it is fake: some real voices are rejected."],
  undecided: ["Undecided", "The recording does not allow a verdict; why is said below."],
};

let drawn = null;

/** Fill the section of the verdict and bring it to the reader. */
export function showVerdict({ verdict, recording, judgingSeconds }) {
  const { label, score, llr, threshold, warnings, windows } = verdict;
  element("words").textContent = WORDS[label][0];
  element("sentence").textContent = WORDS[label][1];
  const speed = verdict.duration_seconds / judgingSeconds;
  const facts = [
    ["recording", verdict.path],
    ["score", score === null ? "none: there was nothing to score" : `${score.toFixed(2)} (1 = real, 0 = fake)`],
    ["llr", llr === null ? "none" : `${signed(llr)} (spoof below the threshold of ${signed(threshold)})`],
    ["length", `${verdict.duration_seconds.toFixed(1)} s, ${verdict.speech_seconds.toFixed(1)} s of it speech`],
    ["judged in", `${judgingSeconds.toFixed(2)} s, ${speed >= 10 ? speed.toFixed(0) : speed.toFixed(1)} times real time`],
  ];
  element("facts").replaceChildren(...facts.flatMap(([name, value]) => [made("dt", name), made("dd", value)]));
  element("warnings").replaceChildren(...warnings.map(({ message }) => made("li", `${message}.`)));
  element("windows").replaceChildren(...windows.map((window) => {
    const row = document.createElement("tr");
    const cells = [window.start.toFixed(2), window.end.toFixed(2), window.score.toFixed(3), signed(window.llr)];
    row.append(...cells.map((cell) => made("td", cell)));
    return row;
  }));
  element("json").textContent = JSON.stringify({ ...verdict, judging_seconds: judgingSeconds }, null, 1);
  element("timeline").setAttribute("aria-label", spoken(verdict));

  const section = element("verdict");
  section.dataset.label = label;
  section.hidden = false;
  drawn = () => drawTimeline(element("timeline"), recording.mono, verdict);
  drawn();
  element("words").focus({ preventScroll: true });
  section.scrollIntoView({ block: "nearest" });
}

/** What is known of the model: its measured error rates, and which file it is. */
export function showFigures({ notes, facts, sha256 }) {
  if (facts.test) {
    const [low, high] = facts.test.eer_95.map(percent);
    element("figures").textContent = `On ${facts.test.bonafide} real and ${facts.test.spoof} fake clips from pages it was ` +
      `not trained on, fakes of ${facts.test.systems} systems, its equal error rate is ${percent(facts.test.eer)} ` +
      `(95 % interval ${low} to ${high}).`;
  }
  const hash = sha256 === null ? "" : `, sha256 ${sha256.slice(0, 12)}…`;
  element("model").textContent = `Model: ${notes.name}, version ${notes.version}${hash}, licence ${notes.licence || "not stated"}.`;
}

new ResizeObserver(() => drawn?.()).observe(element("timeline"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn?.());

/** The timeline for those who do not see it. */
function spoken({ segments, threshold }) {
  const parts = segments.map(({ start, end, llr, score }) =>
    `${start.toFixed(1)} to ${end.toFixed(1)} s ${llr < threshold ? "spoof" : "bona fide"}, score ${score.toFixed(2)}`);
  return `Along time: ${parts.length ? parts.join("; ") : "no window was scored"}`;
}

function made(name, text) {
  const node = document.createElement(name);
  node.textContent = text;
  return node;
}

function signed(value) {
  const sign = value < 0 ? "−" : value > 0 ? "+" : "";
  return `${sign}${Math.abs(value).toFixed(2)}`;
}

function percent(fraction) {
  return `${(100 * fraction).toFixed(1)} %`;
}
