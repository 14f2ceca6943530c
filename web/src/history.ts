// Verdicts of this browser: kept by it, shown by it, forgotten at a press.

import type { Verdict } from "./verdict.ts";

const LIST = "aasist.history";
const OFF = "aasist.history.off";
const MOST = 50;

export interface Entry {
  /** Milliseconds since 1970. */
  at: number;
  name: string;
  verdict: Verdict;
}

export function remembers(): boolean {
  return read(OFF) === null;
}

/** Off forgets as well. */
export function setRemembers(on: boolean): void {
  if (on) write(OFF, null);
  else {
    write(OFF, "1");
    forget();
  }
}

export function forget(): void {
  write(LIST, null);
}

/** Newest first. What cannot be read (another version's, or altered) is as if it was not there. */
export function entries(): Entry[] {
  try {
    const parsed: unknown = JSON.parse(read(LIST) ?? "[]");
    return Array.isArray(parsed) ? parsed.filter(isEntry) : [];
  } catch {
    return [];
  }
}

export function remember(name: string, verdict: Verdict): void {
  if (!remembers()) return;
  const { windows: _, ...kept } = verdict;
  write(LIST, JSON.stringify([{ at: Date.now(), name, verdict: kept }, ...entries()].slice(0, MOST)));
}

function isEntry(value: unknown): value is Entry {
  const entry = value as Entry | null;
  return (
    typeof entry?.at === "number" &&
    typeof entry.name === "string" &&
    typeof entry.verdict?.model?.name === "string" &&
    Array.isArray(entry.verdict.segments) &&
    Array.isArray(entry.verdict.warnings)
  );
}

function read(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function write(name: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // Switched off, or full: there is no history then.
  }
}
