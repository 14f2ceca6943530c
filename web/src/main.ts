// The page: a recording in, a verdict in words out.

import { detect, models, type Model } from "./api.ts";
import { comparisonOf } from "./compare.ts";
import { byId, h } from "./dom.ts";
import { entries, forget, remember, remembers, setRemembers, type Entry } from "./history.ts";
import { storedKey, storeKey } from "./key.ts";
import { listen } from "./live.ts";
import { bytes, clock, percent } from "./numbers.ts";
import { asProblem, Problem } from "./problems.ts";
import { record } from "./recorder.ts";
import { reportOf, type Report } from "./report.ts";
import { headline, sideOfLabel, type Verdict } from "./verdict.ts";

const chooser = byId("chooser");
const input = byId<HTMLInputElement>("file");
const progress = byId<HTMLProgressElement>("progress");
const ways = [byId<HTMLButtonElement>("record"), byId<HTMLButtonElement>("listen")] as const;

/** What goes on; a newer one, or the button, aborts it. */
let current = new AbortController();
/** The verdicts that are shown, at most two, with their names. */
let shown: { name: string; report: Report }[] = [];
/** The next recording stands beside the one that is shown. */
let comparing = false;
let known: Model[] = [];
/** To be done again once there is a key. */
let afterKey: (() => void) | null = null;

function say(text: string): void {
  if (byId("status").textContent !== text) byId("status").textContent = text;
}

function sayProblem(error: unknown, name = ""): void {
  const { code, title, detail, remedy } = asProblem(error);
  const box = byId("problem");
  box.replaceChildren(
    h("p", {}, h("strong", {}, name ? `${name}: ${title.charAt(0).toLowerCase()}${title.slice(1)}.` : `${title}.`)),
    h("p", {}, detail),
    ...(remedy ? [h("p", {}, remedy)] : []),
    // Or what is still shown reads as the verdict on the one that failed.
    ...(shown.length ? [h("p", {}, `Below is still the verdict on ${shown.map((one) => one.name).join(" and ")}.`)] : []),
  );
  box.dataset.code = code;
  box.hidden = false;
}

function working(on: boolean): void {
  progress.hidden = byId("stop").hidden = !on;
  byId("results").setAttribute("aria-busy", String(on));
}

/** Runs one thing at a time, with its problems said; a missing key is asked for and the thing done again. */
async function run(what: (signal: AbortSignal) => Promise<void>, name = ""): Promise<void> {
  current.abort();
  const own = (current = new AbortController());
  byId("problem").hidden = byId("key-form").hidden = true;
  try {
    await what(own.signal);
  } catch (error) {
    if (own.signal.aborted) return;
    say("");
    if (error instanceof Problem && error.status === 401) askForKey(error, () => void run(what, name));
    else sayProblem(error, name);
  } finally {
    if (current === own) working(false);
  }
}

async function judge(file: File, beside: boolean, signal: AbortSignal): Promise<void> {
  working(true);
  progress.value = 0;
  say(`Sending ${file.name} (${bytes(file.size)})…`);
  const verdict = await detect(file, file.name, {
    signal,
    onSent: (share) => {
      progress.value = share;
      if (share < 1) return;
      progress.removeAttribute("value"); // how long listening takes, nobody knows
      say(`Listening to ${file.name}…`);
    },
    onTurn: (seconds) => {
      progress.removeAttribute("value");
      say(seconds ? `${file.name} is long and takes its turn: ${clock(seconds)} of it heard…` : `${file.name} is long and takes its turn…`);
    },
    onWait: (seconds) => say(`The server is busy; trying again in ${seconds} s…`),
  });
  signal.throwIfAborted();
  show(file.name, verdict, file, beside);
}

function show(name: string, verdict: Verdict, file: File | null, beside: boolean): void {
  byId("problem").hidden = true; // it spoke of what was shown before
  const stays = beside ? shown.slice(0, 1) : [];
  shown.filter((one) => !stays.includes(one)).forEach(({ report }) => report.destroy());
  const model = known.find((one) => one.name === verdict.model.name);
  const report = reportOf(verdict, { file, name, model, onCompare: stays.length ? null : compareNext });
  shown = [...stays, { name, report }];
  byId("results").append(report.element);
  byId("results").classList.toggle("two", shown.length === 2);
  const [first, second] = shown;
  const comparison = byId("comparison");
  comparison.hidden = !second;
  comparison.textContent =
    first && second ? comparisonOf({ name: first.name, verdict: first.report.verdict }, { name: second.name, verdict: second.report.verdict }) : "";
  comparing = false;
  say("");
  report.focus(); // which has a screen reader say it
  if (file) {
    remember(name, verdict);
    showHistory();
  }
}

function compareNext(): void {
  comparing = true;
  say("Choose or record the one to compare it with.");
  input.focus();
  chooser.scrollIntoView({ block: "nearest" });
}

function chosen(files: File[]): void {
  const [first, second] = files;
  if (!first || files.length > 2) {
    const came = files.length ? `${files.length} came` : "no file came";
    sayProblem(new Problem("too_many", "Not checked", `One recording is checked at a time, or two are compared; ${came}.`, "For more, use aasist detect on the command line."));
    return;
  }
  const beside = comparing;
  void run(async (signal) => {
    await judge(first, beside && !second, signal);
    if (second) await judge(second, true, signal);
  }, files.map((file) => file.name).join(", "));
}

function askForKey(problem: Problem, again: () => void): void {
  afterKey = again;
  byId("key-why").textContent = storedKey() === null ? "" : `The one that was given is not taken: ${problem.detail}`;
  byId("key-form").hidden = false;
  byId("key").focus();
}

function showHistory(): void {
  const item = ({ at, name, verdict }: Entry) => {
    const when = new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    const open = () => {
      current.abort();
      working(false);
      show(name, verdict, null, false);
    };
    return h(
      "li",
      {},
      h("button", { type: "button", class: "past", "data-side": sideOfLabel(verdict.label), onclick: open }, h("strong", {}, headline(verdict)), h("span", {}, name), h("span", { class: "quiet" }, when)),
    );
  };
  const all = entries();
  byId("history").replaceChildren(...all.map(item));
  byId<HTMLButtonElement>("history-clear").hidden = all.length === 0;
  byId<HTMLInputElement>("history-on").checked = remembers();
}

async function showModel(): Promise<void> {
  known = await models();
  const [model] = known;
  const test = model?.test;
  if (!model) return;
  byId("model").textContent = `Model: ${[model.name, model.version && `version ${model.version}`, model.licence && `licence ${model.licence}`].filter(Boolean).join(", ")}.`;
  if (!test) return;
  const [low, high] = test.eer_95;
  byId("figures").textContent =
    `On ${test.bonafide} real and ${test.spoof} synthetic clips from sources that it was not trained on, of ${test.systems} systems, ` +
    `it is wrong about ${percent(test.eer, 1)} of either where the threshold makes both errors equally frequent (95 % interval ${percent(low, 1)} to ${percent(high, 1)}).`;
}

input.addEventListener("change", () => {
  const files = [...(input.files ?? [])];
  input.value = ""; // so that choosing the same file again is a change too
  if (files.length) chosen(files);
});
byId("stop").addEventListener("click", () => {
  current.abort();
  working(false);
  say("Stopped.");
  input.focus();
});

/** While the microphone is open, the other ways wait. */
async function atMicrophone<Result>(what: (host: HTMLElement) => Promise<Result>): Promise<Result> {
  ways.forEach((way) => (way.disabled = input.disabled = true));
  chooser.classList.add("waiting");
  say("");
  try {
    return await what(byId("microphone"));
  } finally {
    ways.forEach((way) => (way.disabled = input.disabled = false));
    chooser.classList.remove("waiting");
  }
}

byId("record").addEventListener("click", () => {
  const beside = comparing;
  void run(async (signal) => {
    const file = await atMicrophone(record);
    if (file) await run((inner) => judge(file, beside, inner), file.name);
    else if (!signal.aborted) byId("record").focus();
  });
});
byId("listen").addEventListener("click", () => {
  const beside = comparing;
  void run(async () => {
    const heard = await atMicrophone(listen);
    if (heard) show("live from the microphone", heard.verdict, heard.file, beside);
    else byId("listen").focus();
  });
});

// The whole page takes a drop: a file that misses the box would else be opened in place of the page.
addEventListener("dragover", (event) => {
  event.preventDefault();
  chooser.classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) chooser.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  chooser.classList.remove("over");
  if (!input.disabled) chosen([...(event.dataTransfer?.files ?? [])]);
});

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = byId<HTMLInputElement>("key");
  storeKey(field.value.trim());
  field.value = "";
  byId("key-form").hidden = true;
  const again = afterKey;
  afterKey = null;
  void showModel().catch(() => undefined); // what is done again says what is wrong
  again?.();
});

byId("history-on").addEventListener("change", ({ target }) => {
  setRemembers((target as HTMLInputElement).checked);
  showHistory();
});
byId("history-clear").addEventListener("click", () => {
  forget();
  showHistory();
  byId("history-on").focus();
});

byId("host").textContent = location.host;
byId("work").hidden = false;
showHistory();
showModel().catch((error: unknown) => {
  if (error instanceof Problem && error.status === 401) askForKey(error, () => void showModel().catch(sayProblem));
  else sayProblem(error);
});
