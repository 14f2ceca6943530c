// Recordings that are too long to be answered at once: a job of the server, asked after until it has ended.

import { ask, pause, uploadPatiently, type Sending } from "./api.ts";
import { Problem } from "./problems.ts";
import type { Note, Verdict } from "./verdict.ts";

interface Job {
  id: string;
  status: "queued" | "running" | "done" | "failed" | "cancelled";
  progress_seconds: number;
  verdict: Verdict | null;
  error: Note | null;
}

/** Seconds between two questions: a job is minutes long, and requests are counted. */
const EVERY = 2;

/** Throws `Problem`. Where the page gives up, so does the server. */
export async function judgeInTurn(file: Blob, name: string, sending: Sending): Promise<Verdict> {
  sending.onTurn(0);
  let job = (await uploadPatiently("v1/jobs?timeline=1", file, name, sending)) as Job;
  const where = `v1/jobs/${encodeURIComponent(job.id)}`;
  try {
    while (job.status === "queued" || job.status === "running") {
      sending.onTurn(job.progress_seconds);
      await pause(EVERY, sending.signal);
      job = (await ask("GET", where, sending.signal)) as Job;
    }
  } catch (error) {
    // It would be judged for nobody; if the server cannot be told, so be it.
    if (sending.signal.aborted) ask("DELETE", where).catch(() => undefined);
    throw error;
  }
  if (job.verdict) return job.verdict;
  const reason = job.error ?? { code: "job", message: job.status === "cancelled" ? "it was cancelled" : "the server gave no reason" };
  throw Problem.of(422, reason.code, "The recording cannot be judged", reason.message);
}
