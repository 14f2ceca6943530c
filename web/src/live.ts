// Listening live: the microphone to the server as it speaks, the running score back.

import { h } from "./dom.ts";
import { LiveChart } from "./livechart.ts";
import { openMicrophone, type Microphone } from "./microphone.ts";
import { clock } from "./numbers.ts";
import { Stream, type Change, type Event } from "./stream.ts";
import { headline, sideOfLabel, type Verdict } from "./verdict.ts";
import { levelOf, pcm16, wavOf } from "./wav.ts";

/** Seconds of sound that are kept in this tab, to be heard again with the verdict. */
const MOST_KEPT = 600;

export interface Heard {
  verdict: Verdict;
  /** null: it was too long to be kept. */
  file: File | null;
}

/** Shows itself in `host` until it is stopped -> the verdict on all of it; null: stopped before there was one. Throws `Problem`. */
export async function listen(host: HTMLElement): Promise<Heard | null> {
  const parts: ArrayBuffer[] = [];
  let kept = true;
  let samples = 0;
  let final: Verdict | null = null;
  let toward: Change["toward"] | null = null;
  let stream: Stream | null = null;
  let sent = 0;
  let microphone: Microphone | null = null;

  const chart = new LiveChart();
  const title = h("h2", { tabindex: -1 }, "Waiting for the microphone");
  const note = h("p", { class: "sentence" }, "");
  const spoken = h("p", { class: "unseen", role: "status" });
  const turns = h("ol", { class: "turns" });
  const level = h("meter", { min: 0, max: 1, high: 0.97, value: 0, "aria-label": "Level of the microphone" });
  let stop!: () => void;
  const stopped = new Promise<void>((resolve) => (stop = resolve));
  const button = h("button", { type: "button", class: "first", id: "listen-stop", onclick: () => stop() }, "Stop");
  host.replaceChildren(
    title,
    note,
    spoken,
    chart.element,
    h("div", { role: "log", "aria-label": "Changes" }, turns),
    level,
    h("div", { class: "row" }, button),
    h("p", { class: "quiet" }, "Your browser asks whether this page may use the microphone. While this runs, what it hears is sent to this server, " +
      "and nowhere else. Let others know that you listen."),
  );
  host.hidden = false;
  title.focus();

  const flush = () => {
    if (!stream?.ready) return;
    for (; sent < parts.length; sent++) stream.send(parts[sent]!);
  };
  const onSamples = (heard: Float32Array) => {
    if (!microphone) return;
    samples += heard.length;
    level.value = levelOf(heard);
    parts.push(pcm16(heard));
    flush();
    if (samples > MOST_KEPT * microphone.sampleRate) kept = false;
    if (!kept) {
      parts.splice(0, sent);
      sent = 0;
    }
  };
  const onEvent = (event: Event) => {
    if (event.type === "provisional" || event.type === "score") {
      const text = headline(event);
      host.dataset.side = sideOfLabel(event.label);
      if (title.textContent !== text) title.textContent = spoken.textContent = text;
      note.textContent =
        event.type === "provisional"
          ? "A first impression, on little speech: worth less than what follows."
          : `Running score after ${clock(event.time)}, ${clock(event.speech_seconds)} of it speech; the last seconds weigh most.`;
      if (event.score !== null) chart.score(event.time, event.score, event.type === "provisional");
    } else if (event.type === "change") {
      chart.change(event);
      turns.append(h("li", {}, turn(event, toward)));
      toward = event.toward;
    } else if (event.type === "final") {
      const { type: _, changes: __, ...verdict } = event;
      final = verdict;
    }
  };

  try {
    const opening = openMicrophone(onSamples, stop);
    microphone = await Promise.race([opening, stopped.then(() => null)]);
    if (microphone === null) {
      void opening.then((late) => late.close(), () => undefined);
      return null;
    }
    title.textContent = "Listening for speech";
    note.textContent = "The first impression comes after a second of speech.";
    stream = new Stream(microphone.sampleRate, onEvent);
    await Promise.race([stream.over, stopped]);
    microphone.close();
    if (!stream.ready) return null;
    button.disabled = true;
    title.textContent = "Summing up";
    flush();
    stream.finish();
    await stream.over;
    if (final === null) return null;
    const name = "live from the microphone";
    return { verdict: final, file: kept ? new File([wavOf(parts, microphone.sampleRate)], name, { type: "audio/wav" }) : null };
  } finally {
    microphone?.close();
    stream?.close();
    host.hidden = true;
    delete host.dataset.side;
    host.replaceChildren();
  }
}

function turn({ since, time, toward }: Change, before: Change["toward"] | null): string {
  const side = toward === "spoof" ? "synthetic" : "real";
  return `From about ${clock(since)}, the sound turned ${toward === before ? "further " : ""}towards ${side} (sure at ${clock(time)}).`;
}
