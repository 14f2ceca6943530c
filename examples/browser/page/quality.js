// How fit a recording is to be judged, and the findings drawn from that: the twin of aasist/audio/quality.py.

import { decibels } from "./levels.js";
import { SAMPLE_RATE } from "./modelfile.js";
import { chunkPowers, percentile } from "./speech.js";
import { CHUNK_SAMPLES } from "./windows.js";

// Why each of these is what it is stands in aasist/audio/quality.py; tests hold the two together.
const MIN_SPEECH_SECONDS = 1, SILENCE_DBFS = -60, OVER_SCALE_DBFS = 6;
const CLIPPED_UNDECIDED = 0.1, CLIPPED_WARNING = 0.01, NOISY_UNDECIDED_DB = 0, NOISY_WARNING_DB = 10;
const NARROW_BAND_HZ = 4_500, DIGITAL_SILENCE_POWER = 1e-9, MIN_NOISE_CHUNKS = 10, QUIET_SPEECH_PERCENTILE = 10;
const MAX_SNR_DB = 80, BAND_HZ = 250, BAND_DEPTH_DB = 60, SPECTRUM_STRIDE = 4;

/**
 * What was measured on mono samples (N,) at 16 kHz with their speech mask; the same names as in Python.
 * @param {{peakDbfs: number, clipped: number, samples: number}} source of the channels before mixing
 */
export function measured(samples, mask, source, { durationSeconds, truncated }) {
  const powers = chunkPowers(samples);
  const spoken = powers.filter((_, chunk) => mask[chunk]);
  const speechPower = spoken.length ? spoken.reduce((sum, power) => sum + power, 0) / spoken.length : null;
  const noisePower = noiseOf(powers, spoken, mask);
  const share = (spoken.length * CHUNK_SAMPLES) / SAMPLE_RATE / durationSeconds;
  // Clipped samples are loud ones: they lie in the speech, however much silence surrounds it.
  const spokenSamples = source.samples * (Math.min(1, share) || 1);
  return {
    peakDbfs: source.peakDbfs,
    clippedFraction: Math.min(1, source.clipped / spokenSamples),
    snrDb: speechPower === null || noisePower === null ? null : snr(speechPower, noisePower),
    bandwidthHz: bandwidth(samples, mask),
    truncated,
  };
}

/** `warnings` and `undecided`, the reasons why the recording cannot be decided on: each a `code` and a `message`. */
export function judged(quality, speechSeconds) {
  const warnings = [], undecided = [];
  const note = (list, code, message) => list.push({ code, message });
  if (quality.truncated) {
    note(warnings, "truncated", "the file is cut off or damaged; what could be decoded was judged");
  }
  if (quality.peakDbfs < SILENCE_DBFS) {
    note(undecided, "silence", `nothing above ${SILENCE_DBFS} dBFS was recorded`);
    return { warnings, undecided };
  }
  if (speechSeconds === 0) {
    note(undecided, "no_speech", "no speech was found");
    return { warnings, undecided };
  }
  if (speechSeconds < MIN_SPEECH_SECONDS) {
    note(undecided, "little_speech", `${speechSeconds.toFixed(1)} s of speech; ${MIN_SPEECH_SECONDS} s is needed`);
  }
  const { clippedFraction: clipped, snrDb, bandwidthHz, peakDbfs } = quality;
  if (clipped > CLIPPED_WARNING) {
    const list = clipped > CLIPPED_UNDECIDED ? undecided : warnings;
    note(list, "clipped", `${Math.round(100 * clipped)}% of the speech is clipped`);
  }
  if (snrDb !== null && snrDb < NOISY_WARNING_DB) {
    const list = snrDb < NOISY_UNDECIDED_DB ? undecided : warnings;
    note(list, "noisy", `the speech is only ${Math.round(snrDb)} dB above the noise`);
  }
  if (bandwidthHz !== null && bandwidthHz <= NARROW_BAND_HZ) {
    note(warnings, "narrow_band", `nothing above ${bandwidthHz.toLocaleString("en")} Hz: a telephone band`);
  }
  if (peakDbfs > OVER_SCALE_DBFS) {
    note(warnings, "over_scale", `samples reach ${Math.round(peakDbfs)} dB above full scale`);
  }
  return { warnings, undecided };
}

/** Mean square of the noise under the speech: the median of the pauses, or less where even quiet speech is quieter. */
function noiseOf(powers, spoken, mask) {
  const candidates = [];
  const pauses = powers.filter((power, chunk) => !mask[chunk] && power > DIGITAL_SILENCE_POWER);
  if (pauses.length >= MIN_NOISE_CHUNKS) candidates.push(percentile(pauses, 50));
  if (spoken.length) candidates.push(percentile(spoken, QUIET_SPEECH_PERCENTILE));
  return candidates.length ? Math.min(...candidates) : null;
}

function snr(spoken, noise) {
  const ratio = Math.max(spoken - noise, 0) / Math.max(noise, 1e-30);
  return Math.max(-MAX_SNR_DB, Math.min(MAX_SNR_DB, 10 * Math.log10(Math.max(ratio, 1e-30))));
}

/** Upper edge in Hz of the highest band within `BAND_DEPTH_DB` of the strongest, over every fourth speech chunk. */
function bandwidth(samples, mask) {
  const spectrum = new Float64Array(CHUNK_SAMPLES / 2 + 1);
  const taper = Float64Array.from(spectrumIndices, (i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (CHUNK_SAMPLES - 1)));
  let seen = 0;
  for (let chunk = 0; (chunk + 1) * CHUNK_SAMPLES <= samples.length; chunk++) {
    if (!mask[chunk] || seen++ % SPECTRUM_STRIDE !== 0) continue;
    addPowers(samples.subarray(chunk * CHUNK_SAMPLES, (chunk + 1) * CHUNK_SAMPLES), taper, spectrum);
  }
  const bins = Math.round(BAND_HZ / (SAMPLE_RATE / CHUNK_SAMPLES));
  const bands = Array.from({ length: (spectrum.length - 1) / bins }, (_, band) =>
    spectrum.subarray(1 + band * bins, 1 + (band + 1) * bins).reduce((sum, power) => sum + power, 0));
  const strongest = Math.max(...bands);
  if (strongest === 0) return null;
  return (bands.findLastIndex((power) => power >= strongest * 10 ** (-BAND_DEPTH_DB / 10)) + 1) * BAND_HZ;
}

const spectrumIndices = Array.from({ length: CHUNK_SAMPLES }, (_, i) => i);
const halfTurns = spectrumIndices.slice(0, CHUNK_SAMPLES / 2).map((i) => (-2 * Math.PI * i) / CHUNK_SAMPLES);
const cosines = halfTurns.map(Math.cos), sines = halfTurns.map(Math.sin);

/** Add the power spectrum of one tapered chunk (512,) to `spectrum` (257,): the radix-2 transform of Cooley and Tukey. */
function addPowers(chunk, taper, spectrum) {
  const real = new Float64Array(CHUNK_SAMPLES), imaginary = new Float64Array(CHUNK_SAMPLES);
  for (let i = 0, reversed = 0; i < CHUNK_SAMPLES; i++) {
    real[reversed] = chunk[i] * taper[i];
    let bit = CHUNK_SAMPLES >> 1;
    for (; reversed & bit; bit >>= 1) reversed ^= bit;
    reversed |= bit;
  }
  for (let half = 1; half < CHUNK_SAMPLES; half *= 2) {
    const stride = CHUNK_SAMPLES / (2 * half);
    for (let start = 0; start < CHUNK_SAMPLES; start += 2 * half) {
      for (let k = 0; k < half; k++) {
        const even = start + k, odd = even + half, c = cosines[k * stride], s = sines[k * stride];
        const re = real[odd] * c - imaginary[odd] * s, im = real[odd] * s + imaginary[odd] * c;
        real[odd] = real[even] - re;
        imaginary[odd] = imaginary[even] - im;
        real[even] += re;
        imaginary[even] += im;
      }
    }
  }
  for (let i = 0; i < spectrum.length; i++) spectrum[i] += real[i] ** 2 + imaginary[i] ** 2;
}
