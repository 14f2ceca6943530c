// A recording to a verdict: the object that `aasist detect --json --timeline` prints, by the same steps.

import { levels } from "./levels.js";
import { SAMPLE_RATE } from "./modelfile.js";
import { judged, measured } from "./quality.js";
import { heard, readRecording } from "./recording.js";
import { speechMask, speechSeconds } from "./speech.js";
import { meanOf, merged, scoreOf, seconds } from "./verdict.js";
import { cut, placed } from "./windows.js";

/** The share of the work that finding speech takes, for the progress bar. */
const SPEECH_SHARE = 0.3;

const DECODING = { resampled: "resampled to 16 kHz in this page", decoded: "decoded by the browser" };

/**
 * Judge a file. `verdict` is as in docs/verdict.md; `recording` is what was heard, and `judgingSeconds` what it took.
 * Throws a `Refusal` where the file cannot be judged at all, and what `signal` was aborted with.
 * @param {File} file  @param models of `openModels`
 * @param {(share: number, what: string) => void} onProgress
 */
export async function detect(file, models, { onProgress = () => {}, signal } = {}) {
  const { notes } = models;
  const step = async (share, what) => {
    onProgress(share, what);
    // Between two runs of a model the page gets to paint, and to hear that this is no longer wanted.
    await new Promise((resolve) => setTimeout(resolve));
    signal?.throwIfAborted();
  };
  await step(0, "Reading");
  const begun = performance.now();
  const recording = await readRecording(file);
  const { samples, leadSeconds } = heard(recording);
  const mask = await speechMask(samples, models.speech, (share) => step(share * SPEECH_SHARE, "Finding speech"));
  const spoken = speechSeconds(samples, mask);
  const findings = judged(measured(samples, mask, levels(recording.channels), recording), spoken);

  const places = placed(samples.length, mask, notes.window_samples, notes.hop_samples);
  const windows = [];
  for (const place of places) {
    await step(SPEECH_SHARE + ((1 - SPEECH_SHARE) * windows.length) / places.length, "Judging");
    const llr = await models.llrOf(cut(samples, place, notes.window_samples));
    const start = Math.round(leadSeconds * SAMPLE_RATE) + place.start, end = start + place.length;
    windows.push({ start: seconds(start, SAMPLE_RATE), end: seconds(end, SAMPLE_RATE), score: scoreOf(llr), llr });
  }
  signal?.throwIfAborted();
  const judgingSeconds = (performance.now() - begun) / 1000;

  const llr = meanOf(windows.map((window) => window.llr));
  const warnings = [...findings.undecided, ...findings.warnings];
  if (notes.calibration === null) {
    warnings.push({ code: "uncalibrated", message: "the model has no calibration: its llr is a raw difference of logits" });
  }
  if (recording.decoding !== "exact") {
    warnings.push({ code: recording.decoding, message: `${DECODING[recording.decoding]}: the command may give another score` });
  }
  const decided = llr !== null && findings.undecided.length === 0;
  const verdict = {
    path: file.name,
    label: !decided ? "undecided" : llr >= notes.threshold ? "bonafide" : "spoof",
    score: llr === null ? null : scoreOf(llr),
    llr,
    threshold: notes.threshold,
    duration_seconds: seconds(recording.durationSeconds, 1),
    speech_seconds: seconds(spoken, 1),
    sample_rate: recording.sampleRate,
    channels: recording.channels.length,
    segments: merged(windows, notes.threshold),
    warnings,
    model: { name: notes.name, sha256: models.sha256, precision: notes.precision },
    error: null,
    windows,
  };
  return { verdict, recording, judgingSeconds };
}
