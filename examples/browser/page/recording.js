// A file to samples, and to what the models hear of them at 16 kHz, with every limit and every refusal in one place.

import { Refusal } from "./errors.js";
import { SAMPLE_RATE } from "./modelfile.js";
import { resampled } from "./resample.js";
import { checkShape, wavHeader, wavSamples } from "./wav.js";

/** The whole recording is held in memory, and a phone has little: 10 minutes; 128 MiB hold that as CD-quality PCM. */
export const MAX_SECONDS = 600, MAX_BYTES = 128 * 2 ** 20;

export const MIN_SECONDS = 0.5;

/** Floats may exceed full scale; beyond this they are not samples. */
const MAX_MAGNITUDE = 2 ** 32;

/** A WAV file is truncated when more than both is missing of what its header promised. */
const TRUNCATED_SECONDS = 0.5, TRUNCATED_FRACTION = 0.01;

/** What the browser decodes to where the file does not tell its rate in a place that is read here; in Hz. */
const USUAL_RATE = 48_000;

/**
 * Read a file chosen by the user.
 *
 * Gives `channels` (one Float32Array of N a channel, full scale 1) at `rate` Hz, their mean `mono` (N,), `sampleRate` of
 * the source (null where the browser does not tell it), `durationSeconds`, `truncated`, and `decoding`: "exact" where
 * these are the very samples that the command hears (WAV at 16 kHz), "resampled" for WAV at another rate, "decoded" for
 * what went through the browser's decoder. Throws a `Refusal` with a code of docs/verdict.md.
 * @param {File} file
 */
export async function readRecording(file) {
  if (file.size === 0) throw new Refusal("empty", "the file is empty (0 bytes)");
  if (file.size > MAX_BYTES) {
    const size = `${Math.ceil(file.size / 2 ** 20)} MiB`;
    throw new Refusal("too_large", `this page takes files of up to ${MAX_BYTES / 2 ** 20} MiB, this one has ${size}; ` +
      "cut or compress it, or use the command 'aasist detect'");
  }
  let bytes;
  try {
    bytes = await file.arrayBuffer();
  } catch (error) {
    throw new Refusal("unreadable", `the file cannot be read: ${error.message}`);
  }
  const view = new DataView(bytes), header = wavHeader(view);
  const recording = header === null ? await decoded(file, bytes) : ofWav(view, header);
  for (const channel of recording.channels) {
    // Written so that NaN fails too.
    if (!channel.every((sample) => Math.abs(sample) <= MAX_MAGNITUDE)) {
      throw new Refusal("not_finite", "the recording holds samples that are NaN, infinite or beyond any scale");
    }
  }
  const durationSeconds = recording.channels[0].length / recording.rate;
  checkLength(durationSeconds);
  return { ...recording, mono: mixed(recording.channels), durationSeconds };
}

function ofWav(view, header) {
  checkShape(header);
  const { rate } = header, bytesASecond = (header.bits / 8) * header.channels * rate;
  const seconds = header.dataBytes / bytesASecond;
  checkLength(seconds);
  const missing = (header.promisedBytes ?? 0) / bytesASecond - seconds;
  const truncated = missing > Math.max(TRUNCATED_SECONDS, TRUNCATED_FRACTION * seconds);
  const decoding = rate === SAMPLE_RATE ? "exact" : "resampled";
  return { channels: wavSamples(view, header), rate, sampleRate: rate, truncated, decoding };
}

/** By the browser's decoder, at the file's own rate where that is known: its resampler is a quick one. */
async function decoded(file, bytes) {
  checkLength(await promisedSeconds(file), { atLeast: 0 });
  const sampleRate = flacRate(new DataView(bytes)), rate = sampleRate ?? USUAL_RATE;
  if (sampleRate !== null) checkShape({ rate, channels: 1 });
  let audio;
  try {
    audio = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  } catch {
    throw new Refusal("unreadable", "not a recording that this browser can decode; " +
      "WAV, MP3, FLAC, Ogg and m4a are read by most, and the command 'aasist detect' reads more");
  }
  const channels = Array.from({ length: audio.numberOfChannels }, (_, i) => audio.getChannelData(i));
  if (channels[0].length === 0) throw new Refusal("no_audio", "no sample could be decoded from the file");
  return { channels, rate, sampleRate, truncated: false, decoding: "decoded" };
}

/** The rate of a FLAC file, in its first block (RFC 9639, 8.2), in Hz; null of any other file. */
function flacRate(view) {
  const isFlac = view.byteLength > 42 && view.getUint32(0) === 0x664c6143;
  return (isFlac && view.getUint32(18) >>> 12) || null;
}

/** What the file says of its length, in seconds, before memory is spent on decoding it; NaN where it says nothing. */
function promisedSeconds(file) {
  return new Promise((resolve) => {
    const player = new Audio(), address = URL.createObjectURL(file);
    const finish = () => {
      clearTimeout(patience);
      resolve(player.duration);
      player.removeAttribute("src");
      URL.revokeObjectURL(address);
    };
    const patience = setTimeout(finish, 3000);
    player.preload = "metadata";
    player.onloadedmetadata = player.onerror = finish;
    player.src = address;
  });
}

function checkLength(seconds, { atLeast = MIN_SECONDS } = {}) {
  if (seconds < atLeast) {
    throw new Refusal("too_short", `${seconds.toFixed(2)} s of audio is too short to judge; ${MIN_SECONDS} s is needed`);
  }
  // A stream recorded without an end claims infinity: what comes out of the decoder is measured instead.
  if (seconds > MAX_SECONDS && seconds !== Infinity) {
    throw new Refusal("too_long", `this page takes up to ${MAX_SECONDS / 60} minutes, the recording has ` +
      `${(seconds / 60).toFixed(1)}; cut it, or use the command 'aasist detect'`);
  }
}

function mixed(channels) {
  if (channels.length === 1) return channels[0];
  const mono = new Float32Array(channels[0].length);
  for (let i = 0; i < mono.length; i++) {
    let sum = 0;
    for (const channel of channels) sum += channel[i];
    mono[i] = sum / channels.length;
  }
  return mono;
}

/**
 * A recording as the models hear it: `samples` at 16 kHz between the digital silence (exactly 0) at either end, and how
 * many seconds of it were left out before them. As the command does: padding a recording moves nothing.
 */
export function heard({ mono, rate }) {
  const first = mono.findIndex((sample) => sample !== 0);
  if (first < 0) return { samples: mono.subarray(0, 0), leadSeconds: 0 };
  const sounding = mono.subarray(first, mono.findLastIndex((sample) => sample !== 0) + 1);
  return { samples: resampled(sounding, rate, SAMPLE_RATE), leadSeconds: first / rate };
}
