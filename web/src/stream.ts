// The live stream: 16-bit samples out, events in (docs/streaming.md), over one WebSocket.

import { address } from "./api.ts";
import { storedKey } from "./key.ts";
import { Problem, problemOf } from "./problems.ts";
import type { Label, Verdict } from "./verdict.ts";

export interface Change {
  /** Seconds: when it was sure, and when it began. */
  time: number;
  since: number;
  toward: "bonafide" | "spoof";
}

export type Event =
  | { type: "provisional" | "score"; time: number; score: number | null; llr: number | null; label: Label; speech_seconds: number }
  | ({ type: "change" } & Change)
  | ({ type: "final"; changes: Change[] } & Verdict)
  | { type: "window" };

/** Bytes that may wait to be sent: about 20 s. A connection that falls behind further is no live one. */
const MOST_WAITING = 2_000_000;

export class Stream {
  private readonly socket: WebSocket;
  private ended = false;
  /** Settles when the stream is over: after its final event, or with the `Problem` that ended it. */
  readonly over: Promise<void>;
  private fail!: (problem: Problem) => void;

  constructor(sampleRate: number, onEvent: (event: Event) => void) {
    const url = address("v1/stream");
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(url);
    this.socket.binaryType = "arraybuffer";
    this.over = new Promise((resolve, reject) => {
      this.fail = (problem) => {
        this.ended = true;
        this.socket.close();
        reject(problem);
      };
      this.socket.onopen = () => {
        const key = storedKey();
        // A page cannot set headers on a WebSocket, so the key goes in the first message.
        this.socket.send(JSON.stringify({ encoding: "pcm16", sample_rate: sampleRate, ...(key ? { key } : {}) }));
      };
      this.socket.onmessage = ({ data }) => {
        const event = JSON.parse(String(data)) as Event | { type: "error"; status?: number };
        if (event.type === "error") {
          this.fail(problemOf(event.status ?? 0, String(data), null));
          return;
        }
        onEvent(event);
        if (event.type === "final") {
          this.ended = true;
          this.socket.close(1000);
          resolve();
        }
      };
      this.socket.onclose = () => {
        if (this.ended) return;
        this.fail(
          new Problem(
            "stream_closed",
            "The live connection ended",
            "The server closed it, cannot be reached, or does not offer live listening.",
            "Try again; a recording can be judged without it.",
          ),
        );
      };
    });
    this.over.catch(() => undefined); // whoever waits for it is told; nobody may be waiting yet
  }

  /** 16-bit samples; those that come before the connection stands wait in the caller's queue. */
  get ready(): boolean {
    return this.socket.readyState === WebSocket.OPEN;
  }

  send(samples: ArrayBuffer): void {
    if (this.ended || !this.ready) return;
    if (this.socket.bufferedAmount > MOST_WAITING) {
      this.fail(new Problem("stream_slow", "The connection is too slow", "Sound comes faster than it can be sent.", "Record first, then check the recording."));
      return;
    }
    this.socket.send(samples);
  }

  /** Ask for the final verdict. */
  finish(): void {
    if (!this.ended && this.ready) this.socket.send(JSON.stringify({ type: "finish" }));
    else this.close();
  }

  close(): void {
    if (!this.ended) this.fail(new Problem("stopped", "Stopped", "Stopped before the connection stood."));
  }
}
