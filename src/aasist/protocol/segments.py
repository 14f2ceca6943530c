"""Segment labels of PartialSpoof: which spans of an utterance are bona fide."""

from __future__ import annotations

import os
import pickle
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from aasist.errors import ProtocolError
from aasist.protocol.lines import StrPath, opened, shown
from aasist.trial import Booleans

RESOLUTIONS_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
"""Lengths of a segment that labels were published at."""


def segments_file(root: StrPath, subset: str, resolution_seconds: float) -> str:
    """Where the labels of ``subset`` (train, dev, eval) lie below the database's folder."""
    if resolution_seconds not in RESOLUTIONS_SECONDS:
        known = ", ".join(map(str, RESOLUTIONS_SECONDS))
        raise ProtocolError(f"segments are labelled every {known} s, got {resolution_seconds}", path=root, code="usage")
    return os.path.join(root, "segment_labels", f"{subset}_seglab_{resolution_seconds}.npy")  # noqa: PTH118


def read_segments(path: StrPath) -> dict[str, Booleans]:
    """Utterance -> whether each of its segments is bona fide (S,), in the order of time.

    A segment that holds any spoofed sample is a spoof. The file is a pickled dictionary in ``.npy`` with ``1`` for bona
    fide and ``0`` for spoof (Zhang et al., 2023, doi:10.1109/TASLP.2022.3233236; zenodo.org/records/5766198). Only
    arrays, text and numbers are unpickled, so that a file cannot run code. Raises `ProtocolError` for anything else.
    """
    with opened(path) as file:
        labels = _unpickled(file, path)
    if not isinstance(labels, dict):
        raise ProtocolError(f"expected segment labels by utterance, got {type(labels).__name__}", path=path)
    return {str(name): _bonafide(values, str(name), path) for name, values in labels.items()}


def _bonafide(values: object, name: str, path: StrPath) -> Booleans:
    texts = np.asarray(values).ravel().astype(str)
    bonafide: Booleans = texts == "1"
    unknown = texts[~bonafide & (texts != "0")]
    if unknown.size:
        raise ProtocolError(
            f"segment labels must be '1' (bona fide) or '0' (spoof), got {shown(str(unknown[0]))} in {shown(name)}",
            path=path,
        )
    return bonafide


def _unpickled(file: IO[bytes] | Any, path: StrPath) -> object:
    try:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, _, dtype = read_header(file)
        if dtype != np.dtype(object):
            raise ProtocolError(f"expected a dictionary of segment labels, got an array of {dtype}", path=path)
        array = _Arrays(file).load()
    except (ValueError, pickle.UnpicklingError, EOFError, TypeError, AttributeError, IndexError, KeyError) as error:
        raise ProtocolError(f"expected segment labels in NumPy's .npy format: {error}", path=path) from error
    return array.item() if isinstance(array, np.ndarray) and array.size == 1 else array


class _Arrays(pickle.Unpickler):
    """Unpickles arrays and plain values, nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        allowed: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): _latin,
        }
        for core in ("numpy.core", "numpy._core"):
            allowed[core + ".multiarray", "_reconstruct"] = _empty
            allowed[core + ".multiarray", "scalar"] = _scalar
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which labels have no need of")
        return allowed[module, name]


def _empty(kind: type[NDArray[Any]], shape: tuple[int, ...], typecode: bytes) -> NDArray[Any]:
    """What NumPy's pickles begin an array with; its state follows."""
    if kind is not np.ndarray or shape != (0,):
        raise pickle.UnpicklingError("an array begins in an unknown way")
    return np.ndarray(shape, np.int8)


def _scalar(dtype: np.dtype[Any], data: bytes) -> Any:
    if dtype.hasobject:
        raise pickle.UnpicklingError("a number that is an object")
    return np.frombuffer(data, dtype)[0]


def _latin(text: str, encoding: str) -> bytes:
    """How protocols below 3 write bytes."""
    return text.encode("latin-1" if encoding != "latin1" else encoding)
