// The microphone, as plain samples.

import captureUrl from "./capture.worklet.ts?worker&url";
import { Problem } from "./problems.ts";

/** Hz: what the stream takes at most, and above everything that the model hears. */
const MOST_RATE = 48_000;

export interface Microphone {
  /** Hz. */
  readonly sampleRate: number;
  close(): void;
}

/**
 * Asks for the microphone -> samples to `onSamples` until it is closed; `onEnd` where it is unplugged or withdrawn.
 * The browser's clean-up of voices is switched off: it alters what is to be judged. Throws `Problem`.
 */
export async function openMicrophone(onSamples: (samples: Float32Array) => void, onEnd: () => void): Promise<Microphone> {
  if (!navigator.mediaDevices) {
    throw new Problem(
      "insecure",
      "No microphone on this address",
      "Browsers give a page the microphone only over HTTPS, or on the machine that serves it.",
      "Open the page by https:// (a reverse proxy with a certificate in front of the server), or by http://localhost.",
    );
  }
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch (error) {
    throw refused(error);
  }
  let context: AudioContext | null = null;
  try {
    context = new AudioContext();
    if (context.sampleRate > MOST_RATE) {
      await context.close();
      context = new AudioContext({ sampleRate: MOST_RATE });
    }
    await context.audioWorklet.addModule(captureUrl);
    const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    capture.port.onmessage = ({ data }: MessageEvent<Float32Array>) => onSamples(data);
    context.createMediaStreamSource(stream).connect(capture);
    await context.resume();
  } catch (error) {
    stream.getTracks().forEach((track) => track.stop());
    void context?.close();
    throw error;
  }
  const opened = context;
  let closed = false;
  const close = () => {
    if (closed) return;
    closed = true;
    stream.getTracks().forEach((track) => track.stop());
    void opened.close();
  };
  stream.getAudioTracks()[0]?.addEventListener("ended", () => {
    if (closed) return;
    close();
    onEnd();
  });
  return { sampleRate: opened.sampleRate, close };
}

function refused(error: unknown): Problem {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError") {
    return new Problem(
      "microphone_denied",
      "The microphone was not allowed",
      "The browser, or the system, has kept the microphone from this page.",
      "Allow it by the sign beside the page's address, then press the button again. A file can be judged without it.",
    );
  }
  if (name === "NotFoundError") {
    return new Problem("no_microphone", "No microphone was found", "This device has none that the browser can see.", "Connect one, or choose a file.");
  }
  return new Problem(
    "microphone",
    "The microphone cannot be opened",
    error instanceof Error ? error.message : String(error),
    "Another program may hold it: close that, and try again.",
  );
}
