"""Notes in a model file: written, read back, and never believed when a byte has changed."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.errors import ModelError
from aasist.runtime import modelfile
from aasist.runtime.modelfile import Calibration, ModelNotes
from aasist.runtime.points import NamedPoint
from aasist.session import SAMPLE_RATE

finite = st.floats(allow_nan=False, allow_infinity=False)
notes_of_any_kind = st.builds(
    ModelNotes,
    name=st.text(),
    version=st.text(),
    variant=st.text(),
    precision=st.sampled_from(["fp32", "bf16", "fp16", "int8"]),
    window_samples=st.integers(64_600, 1 << 20),
    hop_samples=st.integers(1, 64_600),
    calibration=st.none() | st.builds(Calibration, slope=st.floats(1e-300, 1e300), offset=finite),
    threshold=finite,
    operating_point=st.text(),
    training=st.text(),
    licence=st.text(),
)


@pytest.fixture(scope="module")
def bare(loudness_onnx: Path) -> bytes:
    """ONNX bytes without any metadata."""
    proto = onnx.load(str(loudness_onnx))
    del proto.metadata_props[:]
    return proto.SerializeToString()


@given(notes=notes_of_any_kind)
def test_notes_come_back_as_they_were_and_onnx_reads_the_same_graph(bare: bytes, notes: ModelNotes) -> None:
    content = modelfile.with_notes(bare, notes)
    assert modelfile.notes_of(content) == notes
    proto = onnx.load_from_string(content)
    assert {entry.key for entry in proto.metadata_props} == {modelfile.NOTES_KEY, modelfile.DIGEST_KEY}
    del proto.metadata_props[:]
    assert proto.SerializeToString() == bare


@given(first=notes_of_any_kind, second=notes_of_any_kind)
def test_new_notes_replace_the_old_ones(bare: bytes, first: ModelNotes, second: ModelNotes) -> None:
    twice = modelfile.with_notes(modelfile.with_notes(bare, first), second)
    assert twice == modelfile.with_notes(bare, second)


def test_a_written_file_is_read_back_and_its_hash_is_what_write_returned(bare: bytes, tmp_path: Path) -> None:
    path, notes = tmp_path / "ours.onnx", ModelNotes(name="ours", calibration=Calibration(2.0, 1.0))
    sha256 = modelfile.write(path, bare, notes)
    content, found = modelfile.read(path)
    assert found == notes
    assert content == path.read_bytes()
    assert sha256 == hashlib.sha256(content).hexdigest()


def test_the_rule_that_chose_the_threshold_comes_back_from_the_file(bare: bytes, tmp_path: Path) -> None:
    rule = "5 % of bona fide rejected on dev: 12.3 % of spoofs accepted"
    modelfile.write(tmp_path / "ours.onnx", bare, ModelNotes(name="ours", threshold=0.75, operating_point=rule))
    assert modelfile.read(tmp_path / "ours.onnx")[1].operating_point == rule
    with pytest.raises(ModelError, match="operating_point must be str"):
        ModelNotes(name="ours", operating_point=0.75)  # type: ignore[arg-type]


def test_writing_replaces_what_was_there_whole_and_leaves_nothing_beside_it(bare: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ours.onnx"
    path.write_bytes(b"x" * 10_000_000)
    link = tmp_path / "current.onnx"
    link.symlink_to("ours.onnx")
    with path.open("rb") as reading:  # whoever has the old file open goes on reading the old file
        modelfile.write(link, bare, ModelNotes(name="new"))
        assert len(reading.read()) == 10_000_000
    assert modelfile.read(path)[1].name == "new"
    assert link.is_symlink()
    assert {entry.name for entry in tmp_path.iterdir()} == {"ours.onnx", "current.onnx"}


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_part(
    failing: str, bare: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ours.onnx"
    modelfile.write(path, bare, ModelNotes(name="old"))

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*(os, "fsync") if failing == "fsync" else (Path, "replace"), full)
    with pytest.raises(ModelError, match=r"ours\.onnx: cannot be written: No space left"):
        modelfile.write(path, bare, ModelNotes(name="new"))
    monkeypatch.undo()
    assert modelfile.read(path)[1].name == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["ours.onnx"]


def test_a_missing_folder_is_an_error_with_the_path(bare: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none/ours\.onnx: cannot be written: No such file"):
        modelfile.write(tmp_path / "none" / "ours.onnx", bare, ModelNotes(name="new"))


def test_bytes_that_are_no_onnx_replace_nothing(bare: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ours.onnx"
    modelfile.write(path, bare, ModelNotes(name="old"))
    with pytest.raises(ModelError, match="damaged"):
        modelfile.write(path, b"\xff\xff", ModelNotes(name="new"))
    assert modelfile.read(path)[1].name == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["ours.onnx"]


def test_other_metadata_is_kept_and_is_under_the_digest(bare: bytes) -> None:
    proto = onnx.load_from_string(bare)
    proto.metadata_props.add(key="author", value="somebody")
    content = modelfile.with_notes(proto.SerializeToString(), ModelNotes(name="ours"))
    assert modelfile.notes_of(content).name == "ours"
    with pytest.raises(ModelError) as caught:
        modelfile.notes_of(content.replace(b"somebody", b"somebodY"))
    assert caught.value.code == "altered_model"


REFUSALS = {"model", "foreign_model", "altered_model"}


def test_no_flipped_byte_anywhere_in_a_small_file_is_accepted(loudness_onnx: Path) -> None:
    content = loudness_onnx.read_bytes()
    assert len(content) < 2_000
    for position in range(len(content)):
        for flip in (0x01, 0x80, 0xFF):
            altered = bytearray(content)
            altered[position] ^= flip
            with pytest.raises(ModelError) as caught:
                modelfile.notes_of(bytes(altered))
            assert caught.value.code in REFUSALS, f"byte {position} with {flip:#x}"


def test_no_cut_or_added_byte_is_accepted(loudness_onnx: Path) -> None:
    content = loudness_onnx.read_bytes()
    for position in range(len(content)):
        with pytest.raises(ModelError):
            modelfile.notes_of(content[:position])
        with pytest.raises(ModelError):
            modelfile.notes_of(content[:position] + b"\x00" + content[position:])
    with pytest.raises(ModelError):
        modelfile.notes_of(content + b"\x72\x00")


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_as_a_model_and_as_a_graph_to_note(data: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        modelfile.notes_of(data)
    assert caught.value.code in REFUSALS
    try:
        noted = modelfile.with_notes(data, ModelNotes(name="x"))
    except ModelError as error:
        assert error.code == "model"
    else:
        assert modelfile.notes_of(noted) == ModelNotes(name="x")


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 7), st.binary(max_size=20)), max_size=10))
def test_fields_in_any_order_and_of_any_wire_type_are_walked_or_refused(fields: list[tuple[int, int, bytes]]) -> None:
    data = b"".join(bytes([(number << 3 | kind) & 0x7F, len(body)]) + body for number, kind, body in fields)
    with pytest.raises(ModelError) as caught:
        modelfile.notes_of(data)
    assert caught.value.code in REFUSALS


def test_a_length_that_claims_more_than_any_file_is_refused_without_reading_it() -> None:
    for length in (1 << 20, 1 << 40, (1 << 63) - 1):
        encoded = bytes([length >> shift & 0x7F | 0x80 for shift in range(0, 63, 7)]) + b"\0"
        for tag in (0x72, 0x3A):
            with pytest.raises(ModelError, match="damaged"):
                modelfile.notes_of(bytes([tag]) + encoded + b"short")
    with pytest.raises(ModelError, match="damaged"):
        modelfile.notes_of(b"\x72" + b"\xff" * 1_000_000)


def test_errors_name_the_file_and_are_one_line(bare: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    contents = {
        "model": b"\xff\xff",
        "foreign_model": bare,
        "altered_model": modelfile.with_notes(bare, ModelNotes(name="x"))[:-1] + b"?",
    }
    for code, content in contents.items():
        path.write_bytes(content)
        with pytest.raises(ModelError) as caught:
            modelfile.read(path)
        assert caught.value.code == code
        assert str(path) in caught.value.message
        assert "\n" not in caught.value.message


def test_a_missing_file_is_an_unknown_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        modelfile.read(tmp_path / "none.onnx")
    assert caught.value.code == "unknown_model"


def test_a_file_larger_than_any_model_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sparse.onnx"
    with path.open("wb") as file:
        file.truncate(modelfile.MOST_BYTES + 1)
    with pytest.raises(ModelError, match="over 1024 MiB"):
        modelfile.read(path)


GOOD: dict[str, Any] = asdict(ModelNotes(name="x"))


@pytest.mark.parametrize(
    "change",
    [
        {"sample_rate": 8_000},
        {"pooling": "median"},
        {"precision": "fp4"},
        {"format": 2},
        {"hop_samples": 0},
        {"hop_samples": 64_601},
        {"window_samples": 10**12},
        {"window_samples": 16_000.5},
        {"window_samples": "64600"},
        {"threshold": None},
        {"threshold": "0"},
        {"threshold": True},
        {"threshold": 10**400},
        {"name": 3},
        {"name": None},
        {"calibration": {"slope": 0.0, "offset": 0.0}},
        {"calibration": {"slope": -1.0, "offset": 0.0}},
        {"calibration": {"slope": 10**400, "offset": 0.0}},
        {"calibration": {"slope": "1", "offset": 0.0}},
        {"calibration": {"gain": 1.0}},
        {"calibration": [1.0, 0.0]},
        {"colour": "blue"},
    ],
    ids=lambda change: str(change)[:40],
)
def test_notes_that_cannot_be_kept_to_are_refused(change: dict[str, Any]) -> None:
    assert ModelNotes.from_json(json.dumps(GOOD)) == ModelNotes(name="x")
    with pytest.raises(ModelError) as caught:
        ModelNotes.from_json(json.dumps(GOOD | change))
    assert caught.value.code == "model"


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", '{"name": NaN}', "{}", "[" * 100_000, '{"threshold": Infinity, "name": "x"}']
)
def test_text_that_is_no_notes_is_refused(text: str) -> None:
    with pytest.raises(ModelError) as caught:
        ModelNotes.from_json(text)
    assert caught.value.code == "model"


def test_a_calibration_is_finite_and_rises() -> None:
    assert Calibration(0.5, -3.0).slope == 0.5
    for slope, offset in ((0.0, 0.0), (-1.0, 0.0), (np.inf, 0.0), (np.nan, 0.0), (1.0, np.nan), (1.0, np.inf)):
        with pytest.raises(ModelError, match="positive slope"):
            Calibration(slope, offset)


def test_a_newer_format_asks_for_an_update() -> None:
    with pytest.raises(ModelError, match="update aasist"):
        replace(ModelNotes(name="x"), format=modelfile.FORMAT + 1)
    assert ModelNotes(name="x").sample_rate == SAMPLE_RATE


POINT = NamedPoint("miss-1", 1.5, "at most 1 % of bona fide rejected", 0.01, (0.0, 0.02), 0.4, (0.3, 0.5))


def test_operating_points_go_into_the_file_and_come_back(bare: bytes, tmp_path: Path) -> None:
    modelfile.write(tmp_path / "ours.onnx", bare, ModelNotes(name="ours", points=(POINT,)))
    notes = modelfile.read(tmp_path / "ours.onnx")[1]
    assert notes.points == (POINT,) and notes.threshold_of("miss-1") == 1.5
    with pytest.raises(ModelError, match="ours has no operating point 'eer'; it has miss-1") as caught:
        notes.threshold_of("eer")
    assert caught.value.code == "unknown_point"


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"threshold": math.inf},
        {"threshold": True},
        {"miss": 1.5},
        {"miss": "low"},
        {"miss_interval": [0.1]},
        {"false_acceptance_interval": [0.1, 2]},
        {"rule": 3},
        {"colour": "red"},
    ],
)
def test_a_point_that_is_none_is_refused(change: dict) -> None:
    text = json.dumps({"name": "ours", "points": [{**asdict(POINT), **change}]})
    with pytest.raises(ModelError):
        ModelNotes.from_json(text)


@pytest.mark.parametrize("points", [3, "eer", [3], [{}], [asdict(POINT), asdict(POINT)]])
def test_points_that_are_no_list_of_points_are_refused(points: object) -> None:
    with pytest.raises(ModelError):
        ModelNotes.from_json(json.dumps({"name": "ours", "points": points}))


def test_a_file_that_is_none_at_all_is_said_to_be_so(tmp_path: Path) -> None:
    for number, text in enumerate(("# aasist\n", "all of it is text, a line or two\n", "RIFF")):
        path = tmp_path / f"{number}.md"
        path.write_text(text)
        with pytest.raises(ModelError) as error:
            modelfile.read(path)
        assert error.value.message == f"{path}: not an ONNX file: make one with 'aasist export'"
