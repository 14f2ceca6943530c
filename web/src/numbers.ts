// Numbers as the page writes them.

/** With its sign, and a minus that is as wide as a plus. */
export function signed(value: number, digits = 2): string {
  const text = Math.abs(value).toFixed(digits);
  const sign = Number(text) === 0 ? "" : value < 0 ? "−" : "+";
  return sign + text;
}

/** Seconds as 7.3 s or 1:05. */
export function clock(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function percent(share: number, digits = 0): string {
  return `${(100 * share).toFixed(digits)} %`;
}

/** A likelihood ratio of 1 or more, with no more digits than it deserves. */
export function times(ratio: number): string {
  if (ratio >= 1000) return "more than 1,000";
  return ratio < 10 ? ratio.toFixed(1) : String(Math.round(ratio));
}

/** Bytes as kB or MB. */
export function bytes(count: number): string {
  return count < 1e6 ? `${Math.max(1, Math.round(count / 1e3))} kB` : `${(count / 1e6).toFixed(1)} MB`;
}
