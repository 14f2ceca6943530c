// The sound of a recording: drawn, or where it is too long for that, in the browser's own player.

import { h } from "./dom.ts";

export interface Player {
  /** From and to, in seconds. */
  play(start: number, end: number): void;
  destroy(): void;
}

/** Seconds. A waveform is drawn of all samples in memory: half an hour of stereo at 16 kHz is 230 MB. */
const LONGEST_DRAWN = 1800;

/** Rejects where the browser cannot decode the recording. `onTime` is called with the seconds, while it plays or is moved. */
export async function openSound(file: Blob, seconds: number, host: HTMLElement, onTime: (seconds: number) => void): Promise<Player> {
  if (seconds > LONGEST_DRAWN) return plainPlayer(file, host, onTime);
  // Most of the page's bytes: only loaded when there is something to draw.
  const { openPlayer } = await import("./player.ts");
  return openPlayer(file, host, onTime);
}

function plainPlayer(file: Blob, host: HTMLElement, onTime: (seconds: number) => void): Promise<Player> {
  const url = URL.createObjectURL(file);
  const audio = h("audio", { controls: true, src: url, preload: "metadata" });
  let end = Infinity;
  audio.addEventListener("timeupdate", () => {
    onTime(audio.currentTime);
    if (audio.currentTime < end) return;
    end = Infinity;
    audio.pause();
  });
  const destroy = () => {
    audio.pause();
    audio.remove();
    URL.revokeObjectURL(url);
  };
  return new Promise((resolve, reject) => {
    audio.addEventListener("error", () => {
      destroy();
      reject(new Error("this browser cannot play the recording"));
    });
    audio.addEventListener("loadedmetadata", () => {
      const play = (start: number, until: number) => {
        audio.currentTime = start;
        end = until;
        void audio.play();
      };
      resolve({ play, destroy });
    });
    host.append(audio);
  });
}
