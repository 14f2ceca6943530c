// Peak and clipping of the channels, before they are mixed: the twin of aasist/audio/levels.py.

export const FLOOR_DBFS = -120;

// Why each of these is what it is stands in aasist/audio/levels.py.
const FLAT_RUN = 3, EXTREME_FRACTION = 0.999, EQUAL_STEP = 2 ** -15, MIN_EXTREME = 0.05;

/**
 * `peakDbfs`, and of all samples (all channels counted) how many are clipped: lie in runs of equal ones at their
 * channel's own extreme, above or below zero.
 * @param {Float32Array[]} channels
 */
export function levels(channels) {
  let peak = 0, clipped = 0, samples = 0;
  for (const channel of channels) {
    samples += channel.length;
    for (const sign of [1, -1]) {
      let extreme = 0;
      for (const sample of channel) extreme = Math.max(extreme, sign * sample);
      peak = Math.max(peak, extreme);
      if (extreme >= MIN_EXTREME) clipped += flatSamples(channel, sign, extreme);
    }
  }
  return { peakDbfs: decibels(peak ** 2), clipped, samples };
}

/** Mean square or squared peak -> dB against full scale, `FLOOR_DBFS` or more. */
export function decibels(power) {
  return Math.max(FLOOR_DBFS, 10 * Math.log10(Math.max(power, 1e-30)));
}

function flatSamples(channel, sign, extreme) {
  let flat = 0, run = 0, before = NaN;
  const close = () => {
    if (run >= FLAT_RUN) flat += run;
    run = 0;
  };
  for (const sample of channel) {
    const value = sign * sample;
    if (value < extreme * EXTREME_FRACTION) {
      close();
    } else {
      if (run > 0 && Math.abs(value - before) > EQUAL_STEP * extreme) close();
      run += 1;
    }
    before = value;
  }
  close();
  return flat;
}
