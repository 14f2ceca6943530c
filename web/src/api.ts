// What the page asks of its server, by the addresses of docs/api.md, relative to where the page lies.

import { storedKey } from "./key.ts";
import { judgeInTurn } from "./jobs.ts";
import { Problem, problemOf, unreachable } from "./problems.ts";
import type { Verdict } from "./verdict.ts";

/** Of /v1/models: what the page shows of a model; the rest is left alone. */
export interface Model {
  name: string;
  /** Whether it is the one that judges here. */
  serving?: boolean;
  version?: string | null;
  licence?: string | null;
  points?: { name: string; threshold: number; rule: string; miss: number; false_acceptance: number }[];
  /** How it did on recordings of sources that it was not trained on. */
  test?: { eer: number; eer_95: [number, number]; bonafide: number; spoof: number; systems: number } | null;
  threshold?: number | null;
  /** What the threshold stands for, where it is the model's own. */
  operating_point?: string | null;
}

export interface Sending {
  /** Share of the upload that is out, in [0, 1]. */
  onSent: (share: number) => void;
  /** The server is busy; the page tries again in so many seconds. */
  onWait: (seconds: number) => void;
  /** The recording is too long to be answered at once, and takes its turn; so many seconds of it are judged. */
  onTurn: (seconds: number) => void;
  signal: AbortSignal;
}

/** How often a busy server is asked again, and the longest that is waited each time, in seconds. */
const ATTEMPTS = 4;
const LONGEST_WAIT = 20;

/** Judge a recording. Throws `Problem`; what `signal` aborts throws its reason. */
export async function detect(file: Blob, name: string, sending: Sending): Promise<Verdict> {
  try {
    return (await uploadPatiently("v1/detect?timeline=1", file, name, sending)) as Verdict;
  } catch (error) {
    if (!(error instanceof Problem && error.status === 413)) throw error;
    return await judgeInTurn(file, name, sending);
  }
}

/** As `upload`, asking a busy server again. */
export async function uploadPatiently(path: string, file: Blob, name: string, sending: Sending): Promise<unknown> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await upload(path, file, name, sending);
    } catch (error) {
      const busy = error instanceof Problem && error.status === 503 && error.retryAfterSeconds !== null;
      if (!busy || attempt === ATTEMPTS) throw error;
      const seconds = Math.min(LONGEST_WAIT, Math.max(1, error.retryAfterSeconds ?? 1));
      sending.onWait(seconds);
      await pause(seconds, sending.signal);
    }
  }
}

/** The models of the server, the one that judges first; none where it does not say. */
export async function models(): Promise<Model[]> {
  const { models: listed } = (await ask("GET", "v1/models")) as { models?: unknown };
  const found = Array.isArray(listed) ? (listed as Model[]) : [];
  return [...found].sort((a, b) => Number(b.serving ?? false) - Number(a.serving ?? false));
}

/** An address of the API, beside the page. */
export function address(path: string): URL {
  return new URL(path, document.baseURI);
}

/** What the server answers to a request without a body. Throws `Problem`. */
export async function ask(method: string, path: string, signal?: AbortSignal): Promise<unknown> {
  const key = storedKey();
  const headers = key ? { Authorization: `Bearer ${key}` } : undefined;
  let response: Response;
  try {
    response = await fetch(address(path), { method, ...(headers ? { headers } : {}), ...(signal ? { signal } : {}) });
  } catch {
    signal?.throwIfAborted();
    throw unreachable();
  }
  const body = await response.text();
  if (!response.ok) throw problemOf(response.status, body, response.headers.get("Retry-After"));
  return parsed(body);
}

/** By XMLHttpRequest: fetch does not tell how much of an upload is out. */
function upload(path: string, file: Blob, name: string, { onSent, signal }: Sending): Promise<unknown> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("file", file, name);
    request.open("POST", address(path));
    const key = storedKey();
    if (key) request.setRequestHeader("Authorization", `Bearer ${key}`);
    request.upload.onprogress = ({ loaded, total }) => onSent(total ? loaded / total : 0);
    request.upload.onload = () => onSent(1);
    const abort = () => request.abort();
    signal.addEventListener("abort", abort);
    request.onloadend = () => signal.removeEventListener("abort", abort);
    request.onabort = () => reject(signal.reason);
    request.onerror = () => reject(unreachable());
    request.onload = () => {
      if (request.status < 200 || request.status > 299) {
        reject(problemOf(request.status, request.responseText, request.getResponseHeader("Retry-After")));
        return;
      }
      try {
        resolve(parsed(request.responseText));
      } catch (problem) {
        reject(problem);
      }
    };
    request.send(form);
  });
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new Problem("answer", "The answer cannot be read", "It is not JSON.", "Is this the address of aasist serve?");
  }
}

export function pause(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    }, 1000 * seconds);
    signal.addEventListener("abort", abort, { once: true });
  });
}
