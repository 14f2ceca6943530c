"""Segment labels of PartialSpoof, and files that would run code."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from aasist.errors import ProtocolError
from aasist.protocol.segments import read_segments, segments_file


@pytest.mark.parametrize("kind", [list, np.array], ids=["lists", "arrays"])
def test_labels_are_read_by_utterance(tmp_path: Path, kind: type) -> None:
    labels = {"LA_T_1": kind(["1", "1"]), "CON_T_2": kind(["1", "0", "0", "1"])}
    path = tmp_path / "dev_seglab_0.16.npy"
    np.save(path, np.array(labels, dtype=object), allow_pickle=True)
    read = {name: values.tolist() for name, values in read_segments(path).items()}
    assert read == {"LA_T_1": [True, True], "CON_T_2": [True, False, False, True]}


def test_a_file_that_would_run_code_is_refused_before_it_does(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    np.save(tmp_path / "x.npy", np.array({"a": Evil()}, dtype=object), allow_pickle=True)
    with pytest.raises(ProtocolError, match=r"it holds (posix|nt)\.mkdir, which labels have no need of"):
        read_segments(tmp_path / "x.npy")
    assert not (tmp_path / "ran").exists()


def test_other_files_and_other_labels_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "floats.npy", np.zeros(3))
    with pytest.raises(ProtocolError, match="expected a dictionary of segment labels, got an array of float64"):
        read_segments(tmp_path / "floats.npy")
    np.save(tmp_path / "two.npy", np.array({"a": ["1", "2"]}, dtype=object), allow_pickle=True)
    with pytest.raises(ProtocolError, match=r"must be '1' \(bona fide\) or '0' \(spoof\), got '2' in 'a'"):
        read_segments(tmp_path / "two.npy")
    np.save(tmp_path / "list.npy", np.array(["1", "0"], dtype=object), allow_pickle=True)
    with pytest.raises(ProtocolError, match="expected segment labels by utterance, got ndarray"):
        read_segments(tmp_path / "list.npy")
    (tmp_path / "text.npy").write_text("not an array")
    with pytest.raises(ProtocolError, match=r"expected segment labels in NumPy's \.npy format"):
        read_segments(tmp_path / "text.npy")


def test_a_resolution_that_was_not_published_is_refused(tmp_path: Path) -> None:
    assert segments_file(tmp_path, "dev", 0.16) == str(tmp_path / "segment_labels" / "dev_seglab_0.16.npy")
    with pytest.raises(ProtocolError, match=r"segments are labelled every 0.01, .* s, got 0.05"):
        segments_file(tmp_path, "dev", 0.05)
