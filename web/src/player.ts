// The recording as waveform and spectrogram, and its sound. Loaded when the first verdict comes: most of the page's bytes.

import WaveSurfer from "wavesurfer.js";
import Spectrogram from "wavesurfer.js/dist/plugins/spectrogram.esm.js";
import { h } from "./dom.ts";
import { clock } from "./numbers.ts";
import type { Player } from "./sound.ts";

/** What the model hears; the waveform is decoded at this rate, so the spectrogram ends where the model's hearing does. */
const SAMPLE_RATE = 16_000;
/** CSS pixels. The policy of the page allows the very style sheet that this height makes (vite.config.ts). */
const WAVE_HEIGHT = Number(__WAVE_HEIGHT__);
const SPECTROGRAM_HEIGHT = 112;

declare const __WAVE_HEIGHT__: string;

/** Rejects where the browser cannot decode the recording. `onTime` is called with the seconds, while it plays or is moved. */
export async function openPlayer(file: Blob, host: HTMLElement, onTime: (seconds: number) => void): Promise<Player> {
  const wave = h("div", {
    class: "wave", tabindex: 0, role: "slider", "aria-label": "Position in the recording", "aria-valuemin": 0, "aria-valuenow": 0,
  });
  const spectrogram = h("div", { class: "spectrogram", role: "img", "aria-label": "Spectrogram, 0 to 8 kHz" });
  const button = h("button", { type: "button", class: "play", disabled: true }, "Play");
  const position = h("span", { class: "quiet position" });
  const element = h(
    "div",
    { class: "player" },
    h("div", { class: "row" }, button, position),
    h("div", { class: "lane" }, h("div", { class: "gutter", "aria-hidden": "true" }, h("span", {}, "wave")), h("div", { class: "plot" }, wave)),
    h(
      "div",
      { class: "lane" },
      h("div", { class: "gutter", "aria-hidden": "true" }, h("span", {}, "8 kHz"), h("span", {}, "0")),
      h("div", { class: "plot" }, spectrogram),
    ),
  );
  host.append(element);

  const ink = (name: string) => getComputedStyle(host).getPropertyValue(`--${name}`).trim();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = () => Spectrogram.create({
    container: spectrogram, height: SPECTROGRAM_HEIGHT, fftSamples: 512, scale: "linear", labels: false,
    frequencyMax: SAMPLE_RATE / 2, colorMap: dark.matches ? "igray" : "gray", autoGain: true, rangeDB: 70,
  });
  const colours = () => ({ waveColor: ink("wave"), progressColor: ink("ink"), cursorColor: ink("ink") });
  const surfer = WaveSurfer.create({
    container: wave, height: WAVE_HEIGHT, sampleRate: SAMPLE_RATE, normalize: true, cursorWidth: 2, dragToSeek: true, ...colours(),
  });
  let plugin = drawn();
  surfer.registerPlugin(plugin);
  const repaint = () => {
    surfer.unregisterPlugin(plugin);
    plugin.destroy();
    plugin = drawn();
    surfer.setOptions(colours());
    surfer.registerPlugin(plugin);
  };
  dark.addEventListener("change", repaint);
  const destroy = () => {
    dark.removeEventListener("change", repaint);
    surfer.destroy();
    element.remove();
  };

  const tell = (seconds: number) => {
    onTime(seconds);
    position.textContent = `${clock(seconds)} of ${clock(surfer.getDuration())}`;
    wave.setAttribute("aria-valuenow", seconds.toFixed(1));
    wave.setAttribute("aria-valuetext", position.textContent);
  };
  surfer.on("timeupdate", tell);
  surfer.on("play", () => (button.textContent = "Pause"));
  surfer.on("pause", () => (button.textContent = "Play"));
  button.addEventListener("click", () => void surfer.playPause());
  wave.addEventListener("keydown", (event) => {
    const to: Record<string, number> = {
      ArrowLeft: surfer.getCurrentTime() - 0.5,
      ArrowRight: surfer.getCurrentTime() + 0.5,
      Home: 0,
      End: surfer.getDuration(),
    };
    const seconds = to[event.key];
    if (seconds === undefined) return;
    event.preventDefault();
    surfer.setTime(Math.max(0, Math.min(surfer.getDuration(), seconds)));
  });

  try {
    await surfer.loadBlob(file);
  } catch (error) {
    destroy();
    throw error;
  }
  button.disabled = false;
  wave.setAttribute("aria-valuemax", surfer.getDuration().toFixed(1));
  tell(0);
  return { play: (start, end) => void surfer.play(start, end), destroy };
}
