// Samples as 16-bit PCM and WAV: uncompressed, since a codec would leave its own traces in what is judged.

/** Mono 16-bit PCM, in parts -> a WAV file. */
export function wavOf(parts: ArrayBuffer[], sampleRate: number): Blob {
  const size = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const header = new DataView(new ArrayBuffer(44));
  const text = (at: number, value: string) => [...value].forEach((c, i) => header.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + size, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, sampleRate, true);
  header.setUint32(28, 2 * sampleRate, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  text(36, "data");
  header.setUint32(40, size, true);
  return new Blob([header, ...parts], { type: "audio/wav" });
}

/** Samples (N,) in [-1, 1] -> 16-bit little-endian; beyond full scale is clipped. */
export function pcm16(samples: Float32Array): ArrayBuffer {
  const view = new DataView(new ArrayBuffer(2 * samples.length));
  samples.forEach((sample, i) => view.setInt16(2 * i, Math.max(-32768, Math.min(32767, Math.round(sample * 32767))), true));
  return view.buffer;
}

/** Greatest level of samples, as dB below full scale set onto [0, 1]: 0 is -60 dB. */
export function levelOf(samples: Float32Array): number {
  let peak = 0;
  for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
  return peak === 0 ? 0 : Math.max(0, 1 + (20 * Math.log10(peak)) / 60);
}
