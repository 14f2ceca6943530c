// Windows to a verdict: the twin of aasist/runtime/verdict.py. 1 = real, 0 = fake; a positive llr speaks for bona fide.

/** llr -> probability of bona fide at a prior of 0.5, in [0, 1]. */
export function scoreOf(llr) {
  return llr >= 0 ? 1 / (1 + Math.exp(-llr)) : Math.exp(llr) / (1 + Math.exp(llr));
}

/** Mean, or null of nothing. */
export function meanOf(values) {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}

/**
 * Overlapping windows (`start`, `end` in seconds, `llr`) in order -> segments that do not overlap. The windows' edges cut
 * the recording into cells; a cell's llr is the mean over the windows that cover it, and neighbouring cells on one side
 * of the threshold become one segment, whose llr is their mean weighted by length.
 */
export function merged(windows, threshold) {
  const edges = [...new Set(windows.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
  const segments = [];
  for (let i = 0; i + 1 < edges.length; i++) {
    const [start, end] = [edges[i], edges[i + 1]];
    const llr = meanOf(windows.filter((w) => w.start <= start && w.end >= end).map((w) => w.llr));
    if (llr === null) continue;
    const last = segments.at(-1);
    if (last?.end === start && last.llr >= threshold === llr >= threshold) {
      const mean = (last.llr * (start - last.start) + llr * (end - start)) / (end - last.start);
      // Rounding must not carry a mean out of its values, and so across a threshold that all of them reach.
      last.llr = Math.max(Math.min(last.llr, llr), Math.min(Math.max(last.llr, llr), mean));
      last.end = end;
    } else {
      segments.push({ start, end, llr });
    }
  }
  return segments.map(({ start, end, llr }) => ({ start, end, score: scoreOf(llr), llr }));
}

/** Seconds, to the millisecond, as the JSON of the command gives them. */
export function seconds(samples, rate) {
  return Math.round((samples / rate) * 1000) / 1000;
}
