"""Model files in OpenVINO's own format: ``NAME.xml``, the graph, and ``NAME.bin``, its weights.

What a verdict needs stands in the graph file's ``rt_info``, as ``aasist.notes``, with a digest over both files. None of it
needs OpenVINO to be read.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from aasist import files
from aasist.errors import ModelError
from aasist.runtime.modelfile import MOST_BYTES, ModelNotes

SUFFIX = ".xml"
WEIGHTS_SUFFIX = ".bin"
NOTES_PATH, PARITY_PATH, DIGEST_PATH = (["aasist", key] for key in ("notes", "parity", "digest"))
"""Where in ``rt_info`` they stand."""
NO_DIGEST = "0" * 64
"""What stands in the digest's place while it is computed."""

_DIGEST = re.compile(rb'<digest value="([0-9a-f]{64})" />')
_NOTES = re.compile(rb'<notes value="([^"]*)" />')
_PARITY = re.compile(rb'<parity value="([^"]*)" />')
_ENTITIES = {"&quot;": '"', "&apos;": "'", "&lt;": "<", "&gt;": ">", "&amp;": "&"}
"""What XML escapes in an attribute; the last one last. (JSON holds no line break, and `xml.sax` would load half of `urllib`.)"""


def is_ir(content: bytes) -> bool:
    """Whether a file's first bytes are those of OpenVINO's graph."""
    return content[:5] == b"<?xml" or content[:4] == b"<net"


def write(path: Path, graph: bytes, weights: bytes) -> str:
    """Write a graph, which holds notes and `NO_DIGEST`, and its weights beside it -> the graph file's sha256.

    Both are there or neither. ``ModelError`` where they cannot be written.
    """
    assert len(_DIGEST.findall(graph)) == 1 and NO_DIGEST.encode() in graph
    sealed = graph.replace(NO_DIGEST.encode(), digest(graph, weights).encode())
    weights_path = path.with_suffix(WEIGHTS_SUFFIX)
    try:
        files.write_folder(path.parent, {path.name: sealed, weights_path.name: weights})
    except OSError as error:
        raise ModelError("output", f"{path}: cannot be written: {error.strerror or error}") from error
    return hashlib.sha256(sealed).hexdigest()


def digest(graph: bytes, weights: bytes) -> str:
    """SHA-256 over both files, but the digest's own value."""
    bare = _DIGEST.sub(f'<digest value="{NO_DIGEST}" />'.encode(), graph)
    sha = hashlib.sha256(f"{len(bare)}:".encode())
    sha.update(bare)
    sha.update(weights)
    return sha.hexdigest()


def read(path: Path) -> tuple[bytes, bytes, ModelNotes]:
    """A model's graph, weights and notes; ``ModelError`` if it is not ours, was altered, or cannot be read."""
    weights_path = path.with_suffix(WEIGHTS_SUFFIX)
    contents = []
    for one in (path, weights_path):
        if one is weights_path and not os.path.isfile(one):  # noqa: PTH113 (as in models)
            raise ModelError("unknown_model", f"{path}: its weights, {one.name}, must lie beside it and do not")
        try:
            if one.stat().st_size > MOST_BYTES:
                raise ModelError("model", f"{one}: over {MOST_BYTES >> 20} MiB: not a model of ours")
            contents.append(one.read_bytes())
        except OSError as error:
            raise ModelError("unknown_model", f"{one}: cannot be read: {error.strerror}") from error
    graph, weights = contents
    try:
        return graph, weights, notes_of(graph, weights)
    except ModelError as error:
        raise ModelError(error.code, f"{path}: {error.message}") from error


def notes_of(graph: bytes, weights: bytes) -> ModelNotes:
    """The notes in a graph's bytes; ``ModelError`` if it is not ours or was altered."""
    if not is_ir(graph):
        raise ModelError("model", "not a graph of OpenVINO: make one with 'aasist export --openvino'")
    if b"<!DOCTYPE" in graph:  # it could name other files, or entities without end
        raise ModelError(
            "foreign_model", "a graph with a DOCTYPE is not a model of ours: make one with 'aasist export --openvino'"
        )
    if b"<net" in graph and not graph.rstrip().endswith(b"</net>"):
        raise ModelError("model", "the file is cut off: copy it anew, or make it with 'aasist export --openvino'")
    digests, notes = _DIGEST.findall(graph), _NOTES.findall(graph)
    if len(digests) != 1 or len(notes) != 1:
        raise ModelError("foreign_model", "not a model of ours: make one with 'aasist export --openvino'")
    if digests[0].decode() != digest(graph, weights):
        raise ModelError(
            "altered_model",
            "the file, or the weights beside it, was altered after it was made: its digest does not match; make it again "
            "with 'aasist export --openvino'",
        )
    return ModelNotes.from_json(_text(notes[0]))


def parity_text(graph: bytes) -> str | None:
    """The proof of parity in a graph whose digest was checked, as JSON; None where there is none."""
    found = _PARITY.search(graph)
    return None if found is None else _text(found[1])


def _text(value: bytes) -> str:
    """An attribute's value without XML's escapes."""
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise ModelError("model", "the model's metadata is no text") from error
    for entity, character in _ENTITIES.items():
        text = text.replace(entity, character)
    return text
