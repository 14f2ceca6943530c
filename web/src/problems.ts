// What went wrong, in words and with what to do.

/** Something that could not be done; `detail` says why and `remedy` what to do. */
export class Problem extends Error {
  constructor(
    readonly code: string,
    readonly title: string,
    readonly detail: string,
    readonly remedy = "",
    readonly status = 0,
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(detail);
  }

  /** With the remedy that fits. */
  static of(status: number, code: string, title: string, detail: string, retryAfterSeconds: number | null = null): Problem {
    const remedy = BY_CODE[code] ?? BY_STATUS[status] ?? (status > 500 ? UNREACHED : "");
    return new Problem(code, title, sentence(detail), remedy, status, retryAfterSeconds);
  }
}

const BY_CODE: Record<string, string> = {
  too_short: "Choose a longer recording.",
  too_long: "Cut it into parts, or use aasist detect on the command line, which takes any length.",
  too_large: "Cut it into parts or compress it, or use aasist detect on the command line, which takes any size.",
  unreadable: "Is it a recording, and whole? Open it in a player, and save it as WAV or FLAC if it plays there.",
  no_audio: "The file holds no sound. If it is a video, choose one with a sound track.",
  empty: "The file is empty. Was it copied whole?",
  silent: "Was the microphone muted? Choose a recording in which something is heard.",
};

const BY_STATUS: Record<number, string> = {
  400: "If it comes again, the page and the server may be of different versions: load the page anew.",
  401: "Enter a key for this server.",
  403: "The key does not allow this. Ask whoever runs the server for one that does.",
  404: "The page and the server may be of different versions: load the page anew.",
  408: "The connection was too slow. Try again, or with a smaller file.",
  413: "Choose a smaller or shorter recording.",
  415: "Choose a recording: WAV, FLAC, MP3, Ogg, m4a, WebM, or the sound of a video.",
  422: "Open it in a player; if it plays there, save it as WAV or FLAC and try that.",
  429: "Wait a little, then try again.",
  500: "The fault is the server's. Try again; whoever runs it finds more in its log.",
  503: "The server has more to do than it can. Wait a little, then try again.",
};

/** 502 and 504 come from a proxy. */
const UNREACHED = "Something between this page and the server answered in its place. Wait a little, then try again.";

/** Of an answer that is not a success. What is not problem+json (of a proxy, say) is told by its status. */
export function problemOf(status: number, body: string, retryAfter: string | null): Problem {
  let said: { code?: unknown; title?: unknown; detail?: unknown } = {};
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === "object" && parsed !== null) said = parsed;
  } catch {
    // Not ours; the status has to do.
  }
  const code = typeof said.code === "string" ? said.code : "http";
  const title = typeof said.title === "string" ? said.title : `The server answered ${status}`;
  const detail = typeof said.detail === "string" ? said.detail : "It gave no reason.";
  const seconds = retryAfter === null ? Number.NaN : Number(retryAfter);
  return Problem.of(status, code, title, detail, Number.isFinite(seconds) ? seconds : null);
}

/** No answer at all. */
export function unreachable(): Problem {
  return new Problem(
    "unreachable",
    "The server does not answer",
    "The connection could not be made, or was closed before an answer came.",
    "Is aasist serve still running, and are you on its network? Then try again.",
  );
}

/** Any error as a problem. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  console.error(error);
  return new Problem("unforeseen", "Something unforeseen went wrong", String(error), "Load the page anew and try again.");
}

/** With a full stop, and a capital where it does not begin with a name or a number. */
function sentence(text: string): string {
  const trimmed = text.trim();
  const ended = /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
  return /^[a-z]+[ ,]/.test(ended) ? ended.charAt(0).toUpperCase() + ended.slice(1) : ended;
}
