// The two models on onnxruntime-web: WebAssembly, one thread, from this folder alone.

import * as ort from "./ort.wasm.bundle.min.mjs";
import { Refusal } from "./errors.js";
import { SAMPLE_RATE, notesOf, sha256 } from "./modelfile.js";

const BONAFIDE = 1, SPOOF = 0;

// One thread: more need a server that sends isolation headers, which a plain static one does not.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href };

/**
 * The countermeasure and the detector of speech, ready to run: `notes` and `sha256` of the model file, `facts` of
 * build.py about it, `llrOf(window)` and `speech(input, state)`. Throws a `Refusal` "model" and its kin, or
 * "unreachable" where a file of the page is missing.
 */
export async function openModels() {
  const [facts, content, silero] = await Promise.all([
    fetched("model.json").then((bytes) => JSON.parse(new TextDecoder().decode(bytes))),
    fetched("model.onnx"),
    fetched("silero_vad.onnx"),
  ]);
  const notes = await notesOf(content);
  const [model, vad] = [await session(content, "model"), await session(silero, "detector of speech")];
  if (String(model.inputNames) !== "waveform" || String(model.outputNames) !== "logits") {
    throw new Refusal("model", `expected input 'waveform' and output 'logits', got ${model.inputNames} and ` +
      `${model.outputNames}`);
  }
  return {
    facts,
    notes,
    sha256: await sha256(content),
    llrOf: (window) => llrOf(model, notes.calibration, window),
    speech: (input, state) => speech(vad, input, state),
  };
}

/** Window (T,) -> calibrated llr, natural logarithm, positive = bona fide. */
async function llrOf(model, calibration, window) {
  const waveform = new ort.Tensor("float32", window, [1, window.length]);
  const { logits } = await model.run({ waveform });
  const margin = logits.data[BONAFIDE] - logits.data[SPOOF];
  logits.dispose();
  const llr = calibration === null ? margin : calibration.slope * margin + calibration.offset;
  if (!Number.isFinite(llr)) throw new Refusal("model", "the model gave a score that is not a finite number");
  return llr;
}

const rate = new ort.Tensor("int64", BigInt64Array.of(BigInt(SAMPLE_RATE)), []);

async function speech(vad, input, state) {
  const batch = state.length / 256;
  const result = await vad.run({
    input: new ort.Tensor("float32", input, [batch, input.length / batch]),
    state: new ort.Tensor("float32", state, [2, batch, 128]),
    sr: rate,
  });
  return { output: result.output.data, state: result.stateN.data };
}

async function session(content, what) {
  try {
    return await ort.InferenceSession.create(content, { executionProviders: ["wasm"], logSeverityLevel: 3 });
  } catch (error) {
    throw new Refusal("model", `the ${what} cannot be loaded: ${String(error.message ?? error).slice(0, 200)}`);
  }
}

async function fetched(name) {
  let answer;
  try {
    answer = await fetch(new URL(name, import.meta.url));
  } catch {
    throw new Refusal("unreachable", `${name} cannot be loaded: does the server still run?`);
  }
  if (!answer.ok) {
    throw new Refusal("unreachable", `${name} is missing (${answer.status}): build the page with build.py, and serve dist`);
  }
  return new Uint8Array(await answer.arrayBuffer());
}
