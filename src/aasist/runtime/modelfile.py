"""Model files: ONNX with what a verdict needs in their own metadata, and a digest over all of it.

The light install has no ``onnx`` package: `aasist.wire` walks the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from aasist import files, wire
from aasist.errors import ModelError
from aasist.runtime.notes import FORMAT, Calibration, ModelNotes, StatedFor

# A model file is a graph and its notes: whoever wants the one mostly wants the other.
__all__ = ["FORMAT", "Calibration", "ModelNotes", "StatedFor"]

NOTES_KEY = "aasist"
DIGEST_KEY = "aasist.digest"
OPSET = 20
"""Version of ONNX's operators in the files that `aasist export` writes."""
MOST_BYTES = 1 << 30
_FIRST_BYTE = b"\x08"
"""Of every ONNX file in use: its first field is the version of the format."""


def write(path: Path | str, onnx: bytes, notes: ModelNotes) -> str:
    """Put ``notes`` and a digest into ONNX bytes, replacing what was there, and write them -> the file's sha256.

    The file is there whole or not at all. A link stays one: what it leads to is replaced. ``ModelError`` where the bytes
    are not ONNX or the file cannot be written.
    """
    content = with_notes(onnx, notes)
    try:
        files.write(path, content)
    except OSError as error:
        raise ModelError("output", f"{path}: cannot be written: {error.strerror or error}") from error
    return hashlib.sha256(content).hexdigest()


def with_notes(onnx: bytes, notes: ModelNotes) -> bytes:
    """ONNX bytes with ``notes`` and the digest as their metadata entries; ``ModelError`` if they are not ONNX."""
    bare = b"".join(raw for key, raw in entries(onnx) if key not in (NOTES_KEY, DIGEST_KEY))
    noted = bare + metadata_entry(NOTES_KEY, notes.to_json())
    return noted + metadata_entry(DIGEST_KEY, digest(noted))


def digest(onnx: bytes) -> str:
    """SHA-256 over every field of the file, but the digest's own entry."""
    sha = hashlib.sha256()
    for key, raw in entries(onnx):
        if key != DIGEST_KEY:
            sha.update(raw)
    return sha.hexdigest()


def read(path: Path) -> tuple[bytes, ModelNotes]:
    """A model file's bytes and notes; ``ModelError`` if it is not ours, was altered, or cannot be read."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelError("model", f"{path}: over {MOST_BYTES >> 20} MiB: not a model of ours")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError("unknown_model", f"{path}: cannot be read: {error.strerror}") from error
    try:
        return content, notes_of(content)
    except ModelError as error:
        if error.code == "model" and content[:1] != _FIRST_BYTE:
            raise ModelError("model", f"{path}: not an ONNX file: make one with 'aasist export'") from error
        raise ModelError(error.code, f"{path}: {error.message}") from error


def notes_of(content: bytes) -> ModelNotes:
    """The notes in a model file's bytes; ``ModelError`` if it is not ours or was altered."""
    if not content:
        raise ModelError("foreign_model", "the file is empty: copy it anew, or make one with 'aasist export'")
    metadata = {key: value(raw) for key, raw in entries(content) if key in (NOTES_KEY, DIGEST_KEY)}
    if wire.has_external_data(content):
        raise ModelError("model", "its weights lie in another file, which no digest covers: export it again")
    if set(metadata) != {NOTES_KEY, DIGEST_KEY}:
        raise ModelError("foreign_model", "not a model of ours: make one with 'aasist export'")
    if metadata[DIGEST_KEY] != digest(content):
        raise ModelError(
            "altered_model",
            "the file was altered after it was made: its digest does not match; take the original, or export it again",
        )
    return ModelNotes.from_json(metadata[NOTES_KEY])


def remedy(model: bytes) -> str:
    """What to do about an ONNX file that does not load, where its version of the operators may be the reason."""
    try:
        opset = wire.opset(model)
    except ModelError:
        return ""
    if opset is None or opset <= OPSET:
        return ""
    return (
        f"; it is written in opset {opset}, and 'aasist export' writes {OPSET}: export it anew, or update the runtime"
    )


def entries(onnx: bytes) -> Iterator[tuple[str | None, bytes]]:
    """Each top-level field with its raw bytes, and its key where it is a metadata entry."""
    for field in wire.fields(onnx):
        is_metadata = field.number == wire.METADATA and field.payload is not None
        yield (wire.strings(field.payload)[0] if is_metadata and field.payload is not None else None), field.raw


def value(raw: bytes) -> str:
    """The text of a metadata entry's raw bytes."""
    (entry,) = wire.fields(raw)
    assert entry.payload is not None
    return wire.strings(entry.payload)[1]


def metadata_entry(key: str, text: str) -> bytes:
    """A metadata entry's raw bytes."""
    return wire.message(wire.METADATA, wire.message(1, key.encode()) + wire.message(2, text.encode()))
