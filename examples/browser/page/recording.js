// A file to mono samples at 16 kHz, with every limit and every refusal in one place.

import { Refusal } from "./errors.js";
import { SAMPLE_RATE } from "./modelfile.js";
import { checkShape, wavHeader, wavSamples } from "./wav.js";

/** The whole recording is held in memory, and a phone has little: 10 minutes; 128 MiB hold that as CD-quality PCM. */
export const MAX_SECONDS = 600, MAX_BYTES = 128 * 2 ** 20;

export const MIN_SECONDS = 0.5;

/** Floats may exceed full scale; beyond this they are not samples. */
const MAX_MAGNITUDE = 2 ** 32;

/** A WAV file is truncated when more than both is missing of what its header promised. */
const TRUNCATED_SECONDS = 0.5, TRUNCATED_FRACTION = 0.01;

/**
 * Read a file chosen by the user.
 *
 * Gives `channels` (one Float32Array of N a channel, at 16 kHz, full scale 1), `mono` (N,), `sampleRate` and
 * `channelCount` of the source, `durationSeconds`, `truncated`, and `exact`: whether these are the very samples that
 * the command hears. Only WAV at 16 kHz is; anything else is decoded and resampled by the browser.
 * `sampleRate` is null where the browser does not tell it. Throws a `Refusal` with a code of docs/verdict.md.
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
  if (header !== null) {
    checkShape(header);
    checkLength(header.dataBytes / (header.bits / 8) / header.channels / header.rate);
  }
  const recording = header?.rate === SAMPLE_RATE ? exactly(view, header) : await decoded(file, bytes, header);
  for (const channel of recording.channels) {
    // Written so that NaN fails too.
    if (!channel.every((sample) => Math.abs(sample) <= MAX_MAGNITUDE)) {
      throw new Refusal("not_finite", "the recording holds samples that are NaN, infinite or beyond any scale");
    }
  }
  const durationSeconds = recording.channels[0].length / SAMPLE_RATE;
  checkLength(durationSeconds);
  return { ...recording, mono: mixed(recording.channels), durationSeconds, channelCount: recording.channels.length };
}

function exactly(view, header) {
  const channels = wavSamples(view, header);
  if (channels[0].length === 0) throw new Refusal("no_audio", "a WAV file without a single sample");
  const bytesASecond = (header.bits / 8) * header.channels * SAMPLE_RATE;
  const missing = ((header.promisedBytes ?? 0) - header.dataBytes) / bytesASecond;
  const truncated = missing > Math.max(TRUNCATED_SECONDS, (TRUNCATED_FRACTION * header.dataBytes) / bytesASecond);
  return { channels, sampleRate: SAMPLE_RATE, truncated, exact: true };
}

/** By the browser's decoder, which also resamples to the rate of its context. */
async function decoded(file, bytes, header) {
  if (header === null) checkLength(await promisedSeconds(file), { atLeast: 0 });
  let audio;
  try {
    audio = await new OfflineAudioContext(1, 1, SAMPLE_RATE).decodeAudioData(bytes);
  } catch {
    throw new Refusal("unreadable", "not a recording that this browser can decode; " +
      "WAV, MP3, FLAC, Ogg and m4a are read by most, and the command 'aasist detect' reads more");
  }
  const channels = Array.from({ length: audio.numberOfChannels }, (_, i) => audio.getChannelData(i));
  if (channels[0].length === 0) throw new Refusal("no_audio", "no sample could be decoded from the file");
  return { channels, sampleRate: header?.rate ?? null, truncated: false, exact: false };
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
 * Mono samples (N,) -> those between the digital silence (exactly 0) at either end, and how many were left out before
 * them. As the Python side does: padding a recording moves nothing.
 */
export function withoutOuterSilence(mono) {
  const first = mono.findIndex((sample) => sample !== 0);
  if (first < 0) return { samples: mono.subarray(0, 0), lead: 0 };
  return { samples: mono.subarray(first, mono.findLastIndex((sample) => sample !== 0) + 1), lead: first };
}
