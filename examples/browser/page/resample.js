// Any rate to 16 kHz: a band-limited filter bank, as sharp as the one that the command uses.

/** Of the lower Nyquist frequency: where soxr's "HQ" begins to fall, and where it has fallen; and by how many dB. */
const PASS = 0.913, STOP = 1, REJECTION_DB = 120;

/**
 * Mono samples (N,) at `from` Hz -> (round(N * to / from),) at `to` Hz. Outside of the samples there is silence.
 * The filter is a sinc under Kaiser's window (Oppenheim and Schafer, Discrete-Time Signal Processing, 7.6), one set of
 * weights for each place that an output sample can have between two of the input.
 */
export function resampled(samples, from, to) {
  if (from === to) return samples;
  const common = divisor(from, to), phases = to / common, step = from / common;
  // In cycles an input sample, as all that follows.
  const nyquist = 0.5 * Math.min(1, to / from);
  const cutoff = (nyquist * (PASS + STOP)) / 2, transition = nyquist * (STOP - PASS);
  const half = Math.ceil((REJECTION_DB - 7.95) / (2.285 * 2 * Math.PI * transition) / 2);
  const taps = 2 * half, bank = filterBank(phases, half, cutoff);

  const padded = new Float32Array(samples.length + 2 * taps);
  padded.set(samples, taps);
  const output = new Float32Array(Math.round((samples.length * to) / from));
  for (let i = 0; i < output.length; i++) {
    const position = i * step, phase = position % phases;
    const first = (position - phase) / phases - half + 1 + taps, row = phase * taps;
    let sum = 0;
    for (let tap = 0; tap < taps; tap++) sum += padded[first + tap] * bank[row + tap];
    output[i] = sum;
  }
  return output;
}

/** Weights (phases, 2 * half), flat: those of the samples around a place `phase / phases` after one of the input. */
function filterBank(phases, half, cutoff) {
  const bank = new Float32Array(phases * 2 * half), beta = 0.1102 * (REJECTION_DB - 8.7), whole = bessel(beta);
  for (let phase = 0; phase < phases; phase++) {
    for (let tap = 0; tap < 2 * half; tap++) {
      const distance = tap - half + 1 - phase / phases;
      const taper = bessel(beta * Math.sqrt(Math.max(0, 1 - (distance / half) ** 2))) / whole;
      const angle = 2 * Math.PI * cutoff * distance;
      bank[phase * 2 * half + tap] = 2 * cutoff * (angle === 0 ? 1 : Math.sin(angle) / angle) * taper;
    }
  }
  return bank;
}

/** Modified Bessel function of the first kind and order zero, by its series. */
function bessel(x) {
  let sum = 1, term = 1;
  for (let k = 1; term > sum * 1e-12; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}

function divisor(a, b) {
  return b === 0 ? a : divisor(b, a % b);
}
