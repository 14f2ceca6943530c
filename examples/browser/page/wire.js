// Protobuf's wire format, as far as a model file's metadata needs it: the twin of aasist/wire.py.

import { Refusal } from "./errors.js";

const VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5;

/** `ModelProto.metadata_props` (onnx.proto): a message of key (1) and value (2). */
export const METADATA = 14;

/**
 * The fields of a message, in order: its number, its bytes with tag, and its payload where it has a length.
 * Throws a `Refusal` "model" where the bytes are no message.
 * @param {Uint8Array} message
 */
export function* fields(message) {
  let position = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      if (position >= message.length) throw damaged("a number runs past the end");
      const byte = message[position++];
      // Sizes and tags stay far below 2^53; numbers of 64 bits are only passed over.
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      if (factor > 2 ** 56) throw damaged("a number is too long");
    }
  };
  while (position < message.length) {
    const start = position;
    const tag = varint();
    const kind = tag % 8;
    let payload = position;
    if (kind === VARINT) {
      varint();
    } else if (kind === BYTES) {
      const length = varint();
      payload = position;
      position += length;
    } else if (kind === FIXED64 || kind === FIXED32) {
      position += kind === FIXED64 ? 8 : 4;
    } else {
      throw damaged("there are bytes that no field begins with");
    }
    if (position > message.length) throw damaged("a field runs past the end");
    yield {
      number: Math.floor(tag / 8),
      raw: message.subarray(start, position),
      payload: kind === BYTES ? message.subarray(payload, position) : null,
    };
  }
}

/** Key and value of a metadata entry's payload. */
export function strings(entry) {
  const found = { 1: new Uint8Array(), 2: new Uint8Array() };
  for (const { number, payload } of fields(entry)) {
    if (payload === null) throw damaged("a metadata entry is broken");
    found[number] = payload;
  }
  const text = new TextDecoder();
  return [text.decode(found[1]), text.decode(found[2])];
}

function damaged(what) {
  return new Refusal("model", `not an ONNX file, or a damaged one: ${what}`);
}
