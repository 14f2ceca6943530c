// Uncompressed WAV to samples, exactly: what the browser's own decoder gives is resampled and rounded.

import { Refusal } from "./errors.js";

const PCM = 1, FLOAT = 3, EXTENSIBLE = 0xfffe;

/** Same ranges as the Python side; rates in Hz. */
const MIN_RATE = 4_000, MAX_RATE = 192_000, MAX_CHANNELS = 32;

/** Sizes that programs write into a header when they do not know how much will follow. */
const UNKNOWN_SIZES = [0x7fffffff, 0x80000000, 0xffffffff];

/**
 * The shape of a WAV file, or null where the bytes are none that is read here (the browser's decoder may know it).
 * `promisedBytes` is the header's claim about the data, null where it claims nothing.
 * @param {DataView} file
 */
export function wavHeader(file) {
  if (tag(file, 0) !== "RIFF" || tag(file, 8) !== "WAVE") return null;
  let format = null;
  for (let position = 12; position + 8 <= file.byteLength; ) {
    const name = tag(file, position), size = file.getUint32(position + 4, true), body = position + 8;
    if (name === "fmt " && size >= 16 && body + size <= file.byteLength) {
      const coded = file.getUint16(body, true);
      format = {
        coding: coded === EXTENSIBLE && size >= 26 ? file.getUint16(body + 24, true) : coded,
        channels: file.getUint16(body + 2, true),
        rate: file.getUint32(body + 4, true),
        bits: file.getUint16(body + 14, true),
      };
    } else if (name === "data") {
      if (format === null || !reader(format) || format.channels === 0) return null;
      const unknown = UNKNOWN_SIZES.some((size_) => Math.abs(size - size_) < 2 ** 16);
      const dataBytes = Math.min(size, file.byteLength - body);
      return { ...format, start: body, dataBytes, promisedBytes: unknown ? null : size };
    }
    position = body + size + (size % 2);
  }
  return null;
}

/** Throws a `Refusal` where rate or channel count are outside what is judged. */
export function checkShape({ rate, channels }) {
  if (rate < MIN_RATE || rate > MAX_RATE) {
    throw new Refusal("sample_rate", `the sample rate must be 4,000 to 192,000 Hz, got ${rate.toLocaleString("en")} Hz`);
  }
  if (channels > MAX_CHANNELS) {
    throw new Refusal("channels", `a recording may have 1 to ${MAX_CHANNELS} channels, got ${channels}`);
  }
}

/** Frames of a WAV file -> one Float32Array a channel, full scale 1. */
export function wavSamples(file, header) {
  const { channels, bits, start, dataBytes } = header;
  const read = reader(header), step = bits / 8;
  const frames = Math.floor(dataBytes / (step * channels));
  const samples = Array.from({ length: channels }, () => new Float32Array(frames));
  for (let frame = 0, position = start; frame < frames; frame++) {
    for (let channel = 0; channel < channels; channel++, position += step) {
      samples[channel][frame] = read(file, position);
    }
  }
  return samples;
}

function reader({ coding, bits }) {
  return {
    [`${PCM}/8`]: (file, at) => (file.getUint8(at) - 128) / 2 ** 7,
    [`${PCM}/16`]: (file, at) => file.getInt16(at, true) / 2 ** 15,
    [`${PCM}/24`]: (file, at) => (file.getUint16(at, true) + file.getInt8(at + 2) * 2 ** 16) / 2 ** 23,
    [`${PCM}/32`]: (file, at) => file.getInt32(at, true) / 2 ** 31,
    [`${FLOAT}/32`]: (file, at) => file.getFloat32(at, true),
    [`${FLOAT}/64`]: (file, at) => file.getFloat64(at, true),
  }[`${coding}/${bits}`];
}

function tag(file, position) {
  if (position + 4 > file.byteLength) return "";
  return String.fromCharCode(...Array.from({ length: 4 }, (_, i) => file.getUint8(position + i)));
}
