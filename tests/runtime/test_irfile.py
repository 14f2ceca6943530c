"""OpenVINO's two files with notes and a digest over both: read without OpenVINO, and never believed when altered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.errors import ModelError
from aasist.runtime import irfile
from aasist.runtime.modelfile import Calibration, ModelNotes

NOTES = ModelNotes(name="ours", calibration=Calibration(2.0, -0.5), training="<a> & \"b\" 'c' é\n--")
WEIGHTS = bytes(range(256))


def graph_of(notes: ModelNotes) -> bytes:
    """A graph file with nothing in it but what is ours."""
    value = f'"{escape(notes.to_json(), {chr(34): "&quot;"})}"'
    return (
        f'<?xml version="1.0"?>\n<net name="x">\n<rt_info>\n<aasist>\n<notes value={value} />\n'
        f'<digest value="{irfile.NO_DIGEST}" />\n</aasist>\n</rt_info>\n</net>\n'
    ).encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model's graph file, its weights beside it."""
    path = tmp_path / "ours.xml"
    irfile.write(path, graph_of(NOTES), WEIGHTS)
    return path


def test_a_written_model_is_read_back_with_its_notes(path: Path) -> None:
    graph, weights, notes = irfile.read(path)
    assert (weights, notes) == (WEIGHTS, NOTES)
    assert irfile.NO_DIGEST.encode() not in graph
    assert {one.name for one in path.parent.iterdir()} == {"ours.xml", "ours.bin"}
    assert irfile.parity_text(graph) is None


@given(text=st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs",))))
def test_notes_of_any_text_come_back(text: str) -> None:
    notes = replace(NOTES, training=text)
    graph = graph_of(notes)
    sealed = graph.replace(irfile.NO_DIGEST.encode(), irfile.digest(graph, b"").encode())
    assert irfile.notes_of(sealed, b"") == notes


def test_an_altered_graph_or_altered_weights_are_refused(path: Path) -> None:
    graph, weights = path.read_bytes(), path.with_suffix(".bin").read_bytes()
    for position in range(0, len(graph), 7):
        changed = bytearray(graph)
        changed[position] ^= 1
        with pytest.raises(ModelError) as caught:
            irfile.notes_of(bytes(changed), weights)
        assert caught.value.code in {"altered_model", "foreign_model", "model"}
    for other in (weights[:-1], weights + b"\0", b"\xff" + weights[1:], b""):
        with pytest.raises(ModelError, match="altered") as caught:
            irfile.notes_of(graph, other)
        assert caught.value.code == "altered_model"
    with pytest.raises(ModelError):
        irfile.notes_of(graph[:-5], graph[-5:] + weights)


def test_a_graph_without_our_notes_is_foreign_and_one_without_weights_says_which_are_missing(
    path: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.xml"
    foreign.write_text('<?xml version="1.0"?><net></net>')
    with pytest.raises(ModelError, match=r"foreign\.xml: its weights, foreign\.bin, must lie beside it"):
        irfile.read(foreign)
    foreign.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(ModelError, match="make one with 'aasist export --openvino'") as caught:
        irfile.read(foreign)
    assert caught.value.code == "foreign_model"
    foreign.write_text('<?xml version="1.0"?><net><layers>')
    with pytest.raises(ModelError, match="the file is cut off: copy it anew") as caught:
        irfile.read(foreign)
    assert caught.value.code == "model"
    foreign.write_bytes(b"\x08\x0a")
    with pytest.raises(ModelError, match="not a graph of OpenVINO"):
        irfile.read(foreign)


def test_two_notes_or_two_digests_are_not_ours() -> None:
    graph = graph_of(NOTES)
    for twice in (graph.replace(b"</aasist>", b'<notes value="{}" />\n</aasist>'), graph + graph):
        with pytest.raises(ModelError) as caught:
            irfile.notes_of(twice, WEIGHTS)
        assert caught.value.code == "foreign_model"


def test_a_missing_graph_and_a_folder_that_is_not_there_are_errors_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.xml"):
        irfile.read(tmp_path / "none.xml")
    folder = tmp_path / "file"
    folder.write_text("")
    with pytest.raises(ModelError, match="cannot be written") as caught:
        irfile.write(folder / "ours.xml", graph_of(NOTES), WEIGHTS)
    assert caught.value.code == "output"


def test_a_graph_with_a_doctype_is_foreign_whatever_its_digest() -> None:
    for start in ("", "<!DOCTYPE net [<!ENTITY a 'b'>]>"):
        bare = graph_of(NOTES).replace(b"?>", f"?>{start}".encode(), 1)
        sealed = bare.replace(irfile.NO_DIGEST.encode(), irfile.digest(bare, WEIGHTS).encode())
        if not start:
            assert irfile.notes_of(sealed, WEIGHTS) == NOTES
            continue
        with pytest.raises(ModelError, match="DOCTYPE") as caught:
            irfile.notes_of(sealed, WEIGHTS)
        assert caught.value.code == "foreign_model"
