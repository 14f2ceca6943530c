// What a model file says of itself: the twin of aasist/runtime/modelfile.py. onnxruntime-web does not show metadata.

import { Refusal } from "./errors.js";
import { METADATA, fields, strings } from "./wire.js";

const NOTES_KEY = "aasist", DIGEST_KEY = "aasist.digest", FORMAT = 1;

export const SAMPLE_RATE = 16_000;

/** Same limit as the Python side: 17 minutes. */
const MOST_WINDOW_SAMPLES = 2 ** 24;

/**
 * Notes of a model file's bytes. Throws a `Refusal`: "foreign_model", "altered_model" or "model".
 * The digest can only be checked where the browser offers SHA-256: over https, and on this very machine.
 * @param {Uint8Array} content
 */
export async function notesOf(content) {
  const metadata = new Map();
  const covered = [];
  for (const { number, raw, payload } of fields(content)) {
    const [key, value] = number === METADATA && payload !== null ? strings(payload) : [null, ""];
    if (key === NOTES_KEY || key === DIGEST_KEY) metadata.set(key, value);
    if (key !== DIGEST_KEY) covered.push(raw);
  }
  if (metadata.size !== 2) {
    throw new Refusal("foreign_model", "not a model of ours: make one with 'aasist export'");
  }
  const digest = await sha256(new Uint8Array(await new Blob(covered).arrayBuffer()));
  if (digest !== null && digest !== metadata.get(DIGEST_KEY)) {
    throw new Refusal("altered_model", "the model was altered after it was made: its digest does not match");
  }
  let notes;
  try {
    notes = JSON.parse(metadata.get(NOTES_KEY));
  } catch (error) {
    throw new Refusal("model", `the model's metadata cannot be read: ${error.message}`);
  }
  return checked(notes);
}

/** SHA-256 in hexadecimal, or null where the page has no right to compute one. */
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) return null;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function checked(notes) {
  if (!(notes.format <= FORMAT)) {
    throw new Refusal("model", `the model file has format ${notes.format}, newer than ${FORMAT}: build the page anew`);
  }
  const wanted = [["sample_rate", SAMPLE_RATE], ["pooling", "mean"]];
  for (const [key, value] of wanted) {
    if (notes[key] !== value) {
      throw new Refusal("model", `this page cannot run a model with ${key} ${JSON.stringify(notes[key])}`);
    }
  }
  const { hop_samples: hop, window_samples: window, threshold, calibration } = notes;
  const whole = Number.isInteger(hop) && Number.isInteger(window) && Number.isFinite(threshold);
  if (!whole || !(0 < hop && hop <= window && window <= MOST_WINDOW_SAMPLES)) {
    throw new Refusal("model", `the model's hop, window and threshold are ${hop}, ${window} and ${threshold}`);
  }
  if (calibration !== null && !(Number.isFinite(calibration?.offset) && calibration?.slope > 0)) {
    throw new Refusal("model", `the model's calibration is ${JSON.stringify(calibration)}`);
  }
  return notes;
}
