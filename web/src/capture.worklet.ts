// Runs in the audio thread: hands on what the microphone gives, mixed to mono, in parts of about 40 ms.

declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: typeof AudioWorkletProcessor): void;

const PART = 2048;

class Capture extends AudioWorkletProcessor {
  private part = new Float32Array(PART);
  private filled = 0;

  process([channels]: Float32Array[][]): boolean {
    const first = channels?.[0];
    if (!channels || !first) return true; // the microphone is not connected yet
    for (let i = 0; i < first.length; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i] ?? 0;
      this.part[this.filled++] = sum / channels.length;
      if (this.filled === PART) {
        this.port.postMessage(this.part, [this.part.buffer]);
        this.part = new Float32Array(PART);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
