// Where the model looks: windows placed over the speech. The twin of aasist/audio/windows.py, for a whole recording.

import { SAMPLE_RATE } from "./modelfile.js";

/** What speech activity judges at once: 32 ms. */
export const CHUNK_SAMPLES = 512;

/** A window starts this much (0.1 s) before speech does: the detector of speech is late on soft onsets. */
const LEAD_SAMPLES = SAMPLE_RATE / 10;

/** A window must bring this much speech (0.25 s) that no earlier one held, or it scores the old again or a breath. */
const MIN_NEW_SPEECH_SAMPLES = SAMPLE_RATE / 4;

/**
 * Windows of a recording: `start` and `length` in samples; a `length` below a window's only where the whole recording is
 * shorter than one. The first starts at the first speech, each next one at the first speech that lies a hop or more
 * after the start of the one before; one that would run past the end is moved back. One that brings too little new
 * speech is passed over, unless none else is left.
 * @param {number} count samples of the recording  @param {Uint8Array} mask whether each chunk (ceil(count / 512)) is speech
 */
export function placed(count, mask, windowSamples, hopSamples) {
  const windows = [];
  let earliest = 0, covered = 0, spare = null;
  for (;;) {
    const chunk = mask.indexOf(1, Math.floor(earliest / CHUNK_SAMPLES));
    if (chunk < 0) break;
    const wanted = Math.max(earliest, chunk * CHUNK_SAMPLES - LEAD_SAMPLES);
    earliest = wanted + hopSamples;
    const start = Math.max(0, Math.min(wanted, count - windowSamples));
    const window = { start, length: Math.min(windowSamples, count - start) };
    const newSpeech = speechBetween(mask, Math.max(start, covered), Math.min(start + windowSamples, count));
    if (newSpeech >= MIN_NEW_SPEECH_SAMPLES) {
      covered = start + windowSamples;
      windows.push(window);
    } else if (windows.length === 0) {
      const speech = speechBetween(mask, start, start + window.length);
      if (spare === null || newSpeech > spare.speech) spare = { window, speech };
    }
  }
  return windows.length === 0 && spare !== null ? [spare.window] : windows;
}

/** Samples of one window; those of a recording shorter than it are repeated to fill it, as the published code does. */
export function cut(samples, { start, length }, windowSamples) {
  const window = new Float32Array(windowSamples);
  for (let at = 0; at < windowSamples; at += length) {
    window.set(samples.subarray(start, start + Math.min(length, windowSamples - at)), at);
  }
  return window;
}

/** Samples in speech chunks within [first, last). */
function speechBetween(mask, first, last) {
  let speech = 0;
  for (let chunk = Math.floor(first / CHUNK_SAMPLES); chunk * CHUNK_SAMPLES < last; chunk++) {
    const from = Math.max(first, chunk * CHUNK_SAMPLES), to = Math.min(last, (chunk + 1) * CHUNK_SAMPLES);
    if (mask[chunk]) speech += to - from;
  }
  return speech;
}
