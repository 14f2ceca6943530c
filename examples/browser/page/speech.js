// Speech activity: which 32 ms chunks hold speech, by Silero VAD. The twin of aasist/audio/speech.py.

import { SAMPLE_RATE } from "./modelfile.js";
import { CHUNK_SAMPLES } from "./windows.js";

// Why each of these is what it is stands in aasist/audio/speech.py; tests hold the two together.
const STRIPE_CHUNKS = 320, WARM_UP_CHUNKS = 32, BATCH_STRIPES = 16, SPAN_STRIPES = 32;
const GATE_POWER = 1e-8, LOUD_RMS = 0.1, LOUD_PERCENTILE = 95, MAX_GAIN = 100;
const SPEECH_ON = 0.5, SPEECH_OFF = 0.35, MAX_GAP_CHUNKS = 6, MIN_BURST_CHUNKS = 3;
const CONTEXT_SAMPLES = 64, STATE_SIZE = 128;
const LEAD_SAMPLES = WARM_UP_CHUNKS * CHUNK_SAMPLES + CONTEXT_SAMPLES;
const STRIPE_SAMPLES = STRIPE_CHUNKS * CHUNK_SAMPLES, SPAN_SAMPLES = SPAN_STRIPES * STRIPE_SAMPLES;

/**
 * Mono samples (N,) at 16 kHz -> mask (ceil(N / 512),): 1 where a chunk holds speech.
 * @param {(input: Float32Array, state: Float32Array) => Promise<{output: Float32Array, state: Float32Array}>} model
 *   Silero: chunks (B, 64 + 512) with the 64 samples before them and state (2, B, 128) -> probabilities (B,) and state
 * @param {(share: number) => Promise<void>} progress called now and then with the share that is done
 */
export async function speechMask(samples, model, progress = async () => {}) {
  const powers = chunkPowers(samples);
  const whole = Math.floor(samples.length / CHUNK_SAMPLES);
  const loud = powers.subarray(0, whole).findIndex((power) => power >= GATE_POWER);
  // The grid of stripes starts at the first chunk above the gate, so that silence before a recording moves no decision.
  const first = loud < 0 ? whole : loud;
  const probabilities = new Float32Array(powers.length - first);
  for (let start = first * CHUNK_SAMPLES; start < samples.length; start += SPAN_SAMPLES) {
    const done = (share) => progress(Math.min(1, (start + share * SPAN_SAMPLES) / samples.length));
    const found = await spanProbabilities(samples, start, start === first * CHUNK_SAMPLES, model, done);
    probabilities.set(found, start / CHUNK_SAMPLES - first);
  }
  const mask = new Uint8Array(powers.length);
  mask.set(smoothed(probabilities), first);
  return mask;
}

/** Samples (N,) -> mean square of each chunk (ceil(N / 512),); what misses in the last chunk counts as silence. */
export function chunkPowers(samples) {
  const powers = new Float32Array(Math.ceil(samples.length / CHUNK_SAMPLES));
  for (let chunk = 0; chunk < powers.length; chunk++) {
    let sum = 0;
    for (const sample of samples.subarray(chunk * CHUNK_SAMPLES, (chunk + 1) * CHUNK_SAMPLES)) sum += sample * sample;
    powers[chunk] = sum / CHUNK_SAMPLES;
  }
  return powers;
}

/** Probabilities of the chunks in the span that begins at `start`, run as stripes side by side. */
async function spanProbabilities(samples, start, isFirst, model, progress) {
  const span = samples.subarray(start, start + SPAN_SAMPLES);
  const chunks = Math.ceil(span.length / CHUNK_SAMPLES), stripes = Math.ceil(chunks / STRIPE_CHUNKS);
  const powers = chunkPowers(span), gain = gainOf(powers);
  const padded = new Float32Array(LEAD_SAMPLES + stripes * STRIPE_SAMPLES);
  // Before the recording there is silence; before a later span, the end of the one before.
  if (!isFirst) padded.set(samples.subarray(start - LEAD_SAMPLES, start));
  padded.set(span, LEAD_SAMPLES);
  for (let i = 0; i < padded.length; i++) padded[i] *= gain;

  const audible = [];
  for (let stripe = 0; stripe < stripes; stripe++) {
    const own = powers.subarray(stripe * STRIPE_CHUNKS, (stripe + 1) * STRIPE_CHUNKS);
    if (own.some((power) => power >= GATE_POWER)) audible.push(stripe);
  }
  const probabilities = new Float32Array(stripes * STRIPE_CHUNKS);
  for (let at = 0; at < audible.length; at += BATCH_STRIPES) {
    const batch = audible.slice(at, at + BATCH_STRIPES);
    const share = (part) => progress((at + part * batch.length) / stripes);
    await runStripes(padded, batch, isFirst ? batch.indexOf(0) : -1, chunks, probabilities, model, share);
  }
  // The model answers digital silence with whatever it heard last; nothing this quiet is speech.
  powers.forEach((power, chunk) => {
    if (power < GATE_POWER) probabilities[chunk] = 0;
  });
  return probabilities.subarray(0, chunks);
}

/** Run a batch of stripes; the one at `fresh` starts from the zero state, the others are warmed up on their lead. */
async function runStripes(padded, batch, fresh, chunks, probabilities, model, progress) {
  const needed = Math.min(STRIPE_CHUNKS, chunks - batch[0] * STRIPE_CHUNKS);
  const width = CONTEXT_SAMPLES + CHUNK_SAMPLES;
  let state = new Float32Array(2 * batch.length * STATE_SIZE);
  for (let step = fresh >= 0 && batch.length === 1 ? WARM_UP_CHUNKS : 0; step < WARM_UP_CHUNKS + needed; step++) {
    if (step === WARM_UP_CHUNKS && fresh >= 0) {
      for (const layer of [0, 1]) {
        const row = (layer * batch.length + fresh) * STATE_SIZE;
        state.fill(0, row, row + STATE_SIZE);
      }
    }
    const input = new Float32Array(batch.length * width);
    batch.forEach((stripe, row) => {
      const from = stripe * STRIPE_SAMPLES + step * CHUNK_SAMPLES;
      input.set(padded.subarray(from, from + width), row * width);
    });
    const result = await model(input, state);
    state = result.state;
    if (step >= WARM_UP_CHUNKS) {
      batch.forEach((stripe, row) => {
        probabilities[stripe * STRIPE_CHUNKS + step - WARM_UP_CHUNKS] = result.output[row];
      });
    }
    if (step % 32 === 0) await progress(step / (WARM_UP_CHUNKS + needed));
  }
}

/** Chunk powers of a span -> the factor that brings its loud chunks to `LOUD_RMS`; silence does not count. */
function gainOf(powers) {
  const audible = powers.filter((power) => power >= GATE_POWER);
  if (audible.length === 0) return 1;
  return Math.fround(Math.min(LOUD_RMS / Math.sqrt(percentile(audible, LOUD_PERCENTILE)), MAX_GAIN));
}

/** With linear interpolation between neighbours, as NumPy does. */
export function percentile(values, percent) {
  const sorted = Float64Array.from(values).sort();
  const position = ((sorted.length - 1) * percent) / 100, below = Math.floor(position);
  const above = sorted[Math.min(below + 1, sorted.length - 1)];
  return sorted[below] + (above - sorted[below]) * (position - below);
}

/** Probabilities -> mask: two thresholds, short gaps filled, then short bursts dropped. */
export function smoothed(probabilities) {
  const mask = new Uint8Array(probabilities.length);
  let active = false, start = -1, last = -1;
  const close = () => {
    if (start >= 0 && last - start + 1 >= MIN_BURST_CHUNKS) mask.fill(1, start, last + 1);
    start = -1;
  };
  probabilities.forEach((probability, chunk) => {
    active = probability >= (active ? SPEECH_OFF : SPEECH_ON);
    if (active) {
      if (start < 0) start = chunk;
      last = chunk;
    } else if (start >= 0 && chunk - last > MAX_GAP_CHUNKS) {
      close();
    }
  });
  close();
  return mask;
}

/** Seconds of speech: whole chunks, but for a last one that the recording ends in. */
export function speechSeconds(samples, mask) {
  let speech = mask.reduce((sum, one) => sum + one, 0) * CHUNK_SAMPLES;
  if (mask.at(-1)) speech -= mask.length * CHUNK_SAMPLES - samples.length;
  return speech / SAMPLE_RATE;
}
