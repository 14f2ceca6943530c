// The page: a file in, a verdict in words out.

import { detect } from "./detector.js";
import { Refusal } from "./errors.js";
import { openModels } from "./runtime.js";
import { showFigures, showVerdict } from "./show.js";

const element = (id) => document.getElementById(id);
const [chooser, input, progress, cancel] = ["chooser", "file", "progress", "cancel"].map(element);

/** The judging that goes on; a newer one, or the button, aborts it. */
let current = new AbortController();

function say(text) {
  if (element("status").textContent !== text) element("status").textContent = text;
}

function sayError(what, error) {
  const known = error instanceof Refusal;
  element("error").textContent = known ? `${what}: ${error.message}.` : `${what}: something unforeseen went wrong (${error}).`;
  element("error").dataset.code = known ? error.code : "unforeseen";
  element("error").hidden = false;
  if (!known) console.error(error);
}

function working(on) {
  progress.hidden = cancel.hidden = !on;
  element("verdict").setAttribute("aria-busy", String(on));
}

async function judge(file) {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  element("error").hidden = element("verdict").hidden = true;
  progress.value = 0;
  working(true);
  try {
    say("Loading the model…");
    const models = await opening;
    signal.throwIfAborted();
    const onProgress = (share, what) => {
      progress.value = share;
      say(`${what}…`);
    };
    const result = await detect(file, models, { onProgress, signal });
    showVerdict(result);
    say(`${file.name}: judged.`);
  } catch (error) {
    if (signal.aborted) return;
    say("");
    sayError(file.name, error);
  }
  working(false);
}

function chosen(files) {
  if (files.length !== 1) {
    sayError("Not judged", new Refusal("one_file", `drop or choose one recording at a time, got ${files.length || "no file"}`));
  } else {
    judge(files[0]);
  }
}

input.addEventListener("change", () => {
  if (input.files.length) chosen(input.files);
});
// So that choosing the same file again is a change too.
input.addEventListener("click", () => {
  input.value = "";
});
cancel.addEventListener("click", () => {
  current.abort();
  working(false);
  say("Stopped.");
  input.focus();
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
  if (input.disabled) return;
  const { files } = event.dataTransfer;
  if (files.length === 1) input.files = files;
  chosen(files);
});

element("not-started").hidden = true;
element("work").hidden = false;
say("Loading the model…");
const opening = openModels();
opening.then(
  (models) => {
    showFigures(models);
    if (progress.hidden) say("Ready.");
  },
  (error) => {
    input.disabled = true;
    say("");
    sayError("The page cannot judge anything", error);
  },
);
