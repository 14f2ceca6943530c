// Recording one from the microphone.

import { h } from "./dom.ts";
import { openMicrophone, type Microphone } from "./microphone.ts";
import { clock } from "./numbers.ts";
import { levelOf, pcm16, wavOf } from "./wav.ts";

/** Seconds. As long as the server judges at once. */
const LONGEST = 600;

/** Shows itself in `host` until it is done -> the recording; null: it was given up. Throws `Problem`. */
export async function record(host: HTMLElement): Promise<File | null> {
  const parts: ArrayBuffer[] = [];
  let samples = 0;
  let microphone: Microphone | null = null;
  let settle!: (keep: boolean) => void;
  const settled = new Promise<boolean>((resolve) => (settle = resolve));

  const time = h("p", { class: "elapsed", "aria-hidden": "true" }, "0.0 s");
  const level = h("meter", { min: 0, max: 1, high: 0.97, value: 0, "aria-label": "Level of the microphone" });
  const done = h("button", { type: "button", class: "first", id: "record-done", disabled: true, onclick: () => settle(true) }, "Stop and check");
  const title = h("h2", { tabindex: -1 }, "Waiting for the microphone");
  host.replaceChildren(
    title,
    h("p", { class: "quiet" }, "Your browser asks whether this page may use the microphone; only then, and only until you stop, it is heard. " +
      "The recording stays in this tab until you press “Stop and check”, which sends it to this server. Record others only if they agree."),
    time,
    level,
    h("div", { class: "row" }, done, h("button", { type: "button", id: "record-cancel", onclick: () => settle(false) }, "Discard")),
  );
  host.hidden = false;
  title.focus();

  const onSamples = (heard: Float32Array) => {
    if (!microphone) return;
    parts.push(pcm16(heard));
    samples += heard.length;
    time.textContent = clock(samples / microphone.sampleRate);
    level.value = levelOf(heard);
    if (samples >= LONGEST * microphone.sampleRate) settle(true);
  };
  let given = false;
  void settled.then((keep) => (given = !keep));
  try {
    const opening = openMicrophone(onSamples, () => settle(true));
    microphone = await Promise.race([opening, settled.then(() => null)]);
    if (microphone === null) {
      // Given up while the browser was still asking: close what it may yet open.
      void opening.then((late) => late.close(), () => undefined);
      return null;
    }
    title.textContent = "Recording";
    done.disabled = false;
    done.focus();
    await settled;
    if (given || samples === 0) return null;
    return new File([wavOf(parts, microphone.sampleRate)], `recording ${stamp(new Date())}.wav`, { type: "audio/wav" });
  } finally {
    microphone?.close();
    host.hidden = true;
    host.replaceChildren();
  }
}

/** 2026-11-30 18.05.09, without what file systems refuse. */
function stamp(date: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(".")}`;
}
