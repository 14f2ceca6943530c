// The recording along time: its waveform, the segments behind it, the score of every window over it.

import { scoreOf } from "./verdict.js";

const TICKS = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300];

/** Room for the scale of scores on the left and for seconds below, in CSS pixels. */
const LEFT = 28, BOTTOM = 20, TOP = 6;

/** Room within the plot, so that a score of 0 or 1 does not lie on its edge. */
const INSET = 7;

/**
 * Draw onto a canvas at the size that its style gives it.
 * @param {HTMLCanvasElement} canvas
 * @param mono samples (N,) of the whole recording  @param verdict as `detect` gives it
 */
export function drawTimeline(canvas, mono, verdict) {
  const { width, height } = canvas.getBoundingClientRect(), scale = devicePixelRatio;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d"), style = getComputedStyle(canvas);
  pen.scale(scale, scale);
  pen.font = `12px ${style.fontFamily}`;
  const ink = (name) => style.getPropertyValue(`--${name}`);
  const plot = { left: LEFT, right: width - 1, top: TOP, bottom: height - BOTTOM };
  const x = (seconds) => plot.left + ((plot.right - plot.left) * seconds) / verdict.duration_seconds;
  const y = (score) => plot.bottom - INSET - (plot.bottom - plot.top - 2 * INSET) * score;

  for (const segment of verdict.segments) {
    const fake = segment.llr < verdict.threshold;
    const box = [x(segment.start), plot.top, x(segment.end) - x(segment.start), plot.bottom - plot.top];
    pen.fillStyle = ink(fake ? "fake-ground" : "real-ground");
    pen.fillRect(...box);
    if (fake) hatch(pen, box, ink("fake"));
  }
  drawWave(pen, mono, plot, ink("wave"));
  drawScales(pen, plot, x, y, verdict.duration_seconds, ink);

  pen.lineWidth = 3;
  pen.strokeStyle = ink("ink");
  for (const window of verdict.windows) {
    stroke(pen, [x(window.start) + 1, y(window.score)], [x(window.end) - 1, y(window.score)]);
  }
  pen.lineWidth = 1.5;
  pen.strokeStyle = ink("quiet");
  pen.setLineDash([5, 4]);
  const threshold = y(scoreOf(verdict.threshold));
  stroke(pen, [plot.left, threshold], [plot.right, threshold]);
}

/** Peaks of each column of pixels. */
function drawWave(pen, mono, { left, right, top, bottom }, colour) {
  const columns = Math.floor(right - left), middle = (top + bottom) / 2;
  let peak = 0;
  for (const sample of mono) peak = Math.max(peak, Math.abs(sample));
  if (peak === 0) return;
  pen.fillStyle = colour;
  pen.globalAlpha = 0.55;
  for (let column = 0; column < columns; column++) {
    const from = Math.floor((mono.length * column) / columns), to = Math.ceil((mono.length * (column + 1)) / columns);
    let [low, high] = [0, 0];
    for (const sample of mono.subarray(from, to)) [low, high] = [Math.min(low, sample), Math.max(high, sample)];
    const half = ((bottom - top) / 2) * 0.9;
    pen.fillRect(left + column, middle - (half * high) / peak, 1, Math.max(1, (half * (high - low)) / peak));
  }
  pen.globalAlpha = 1;
}

function drawScales(pen, plot, x, y, duration, ink) {
  pen.strokeStyle = ink("rule");
  pen.fillStyle = ink("quiet");
  pen.lineWidth = 1;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const score of [0, 0.5, 1]) {
    pen.fillText(String(score), plot.left - 6, y(score));
  }
  stroke(pen, [plot.left, plot.top], [plot.left, plot.bottom], [plot.right, plot.bottom]);
  pen.textBaseline = "top";
  const most = Math.max(2, (plot.right - plot.left) / 70);
  const tick = TICKS.find((seconds) => duration / seconds <= most) ?? TICKS.at(-1);
  for (let seconds = 0; seconds <= duration; seconds += tick) {
    const at = x(seconds);
    stroke(pen, [at, plot.bottom], [at, plot.bottom + 4]);
    pen.textAlign = seconds === 0 ? "left" : at > plot.right - 14 ? "right" : "center";
    pen.fillText(clock(seconds), at, plot.bottom + 6);
  }
}

function clock(seconds) {
  if (seconds < 60) return `${seconds} s`;
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

/** Slanting lines within a box: what is fake must not be told by its colour alone. */
function hatch(pen, [left, top, width, height], colour) {
  pen.save();
  pen.beginPath();
  pen.rect(left, top, width, height);
  pen.clip();
  pen.strokeStyle = colour;
  pen.lineWidth = 1;
  pen.globalAlpha = 0.3;
  for (let at = left - height; at < left + width; at += 9) stroke(pen, [at, top + height], [at + height, top]);
  pen.restore();
}

function stroke(pen, ...points) {
  pen.beginPath();
  points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.stroke();
}
