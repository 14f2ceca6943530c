"""Our own manifest, as TSV and as Parquet."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aasist.errors import MissingExtra, ProtocolError
from aasist.protocol.challenge import recognise
from aasist.protocol.manifest import read_manifest, without_extension, write_manifest
from aasist.trial import Trials, strings

from ..corpora import write_lines
from .test_challenge import same

text = st.text(st.characters(codec="utf-8", exclude_characters="\0\t\r\n"), max_size=8).filter(lambda text: text != "-")


@st.composite
def tables(draw: st.DrawFn) -> Trials:
    """Trials with any columns."""
    ids = draw(st.lists(text.filter(str.strip), min_size=1, max_size=5, unique=True))
    bonafide = draw(st.none() | st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
    columns = {}
    for name in draw(st.sets(st.sampled_from(["path", "speaker", "subset", "kind", "attack"]))):
        columns[name] = [draw(text) for _ in ids]
    if bonafide is not None and "attack" in columns:
        columns["attack"] = [
            "-" if label else attack for label, attack in zip(bonafide, columns["attack"], strict=True)
        ]
    key = None if bonafide is None else np.array(bonafide)
    return Trials(strings(ids), key, {name: strings(values) for name, values in columns.items()})


@pytest.mark.parametrize("name", ["m.tsv", "m.tsv.gz", "m.parquet"])
@given(trials=tables())
@settings(max_examples=40)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, name: str, trials: Trials) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="Parquet needs the extra 'parquet'")
    path = tmp_path_factory.mktemp("manifest") / name
    write_manifest(path, trials)
    assert same(read_manifest(path), trials)
    assert recognise(path) == "manifest"


def test_an_id_is_the_path_without_its_extension_unless_there_is_one(tmp_path: Path) -> None:
    write_lines(tmp_path / "m", ["path\tlabel", "dev/a.1.flac\tspoof", "b\tbonafide", ".c/d\tspoof"])
    assert read_manifest(tmp_path / "m").ids.tolist() == ["dev/a.1", "b", ".c/d"]
    write_lines(tmp_path / "m", ["id\tpath", "x\tdev/a.flac"])
    assert read_manifest(tmp_path / "m").ids.tolist() == ["x"]
    assert without_extension("a/.hidden") == "a/.hidden"


def test_split_and_system_are_subset_and_attack_and_a_dash_is_unknown(tmp_path: Path) -> None:
    write_lines(
        tmp_path / "m",
        ["path\tsplit\tlabel\tsystem\tspeaker", "a.wav\tdev\tbonafide\t-\t-", "b.wav\ttest\tspoof\tx\tLJ"],
    )
    trials = read_manifest(tmp_path / "m")
    assert {name: column.tolist() for name, column in trials.columns.items()} == {
        "path": ["a.wav", "b.wav"],
        "subset": ["dev", "test"],
        "attack": ["-", "x"],
        "speaker": ["", "LJ"],
    }


def test_a_key_of_the_evaluation_package_is_a_manifest(tmp_path: Path) -> None:
    write_lines(tmp_path / "k", ["filename\tcm-label", "E_000001\tbonafide", "E_000002\tspoof"])
    assert recognise(tmp_path / "k") == "manifest"
    trials = read_manifest(tmp_path / "k")
    assert trials.bonafide is not None
    assert (trials.ids.tolist(), trials.bonafide.tolist()) == (["E_000001", "E_000002"], [True, False])


def test_without_labels_the_trials_have_no_key(tmp_path: Path) -> None:
    write_lines(tmp_path / "m", ["path", "a.wav"])
    assert read_manifest(tmp_path / "m").bonafide is None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file\tkey\tsplit", "a.wav\tspoof\tdev"], "m:1: the header lacks the column 'path'; it has file, key, split"),
        (["label\tkind", "spoof\ttts"], "m:1: the header lacks the column 'path'; it has label, kind"),
        (["path\tlabel", "a.wav\treal"], "m:2: the label must be 'bonafide' or 'spoof', got 'real'"),
        (["path\tlabel", "a.wav\tspoof", "\tspoof"], "m:3: the column 'path' is empty"),
        (["path\tlabel", "a.wav\tspoof", "", "a.flac\tspoof"], "m:4: trial 'a' stands on line 2 already"),
        (["path\tlabel", "a.wav\tspoof\ttts"], "m:2: expected 2 columns as in the header (path, label), got 3"),
        (["path\tlabel\tattack", "a.wav\tbonafide\ttts"], "m:2: a bona fide trial names the attack 'tts'"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, lines: list[str], message: str) -> None:
    write_lines(tmp_path / "m", lines)
    with pytest.raises(ProtocolError) as caught:
        read_manifest(tmp_path / "m")
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"kind": ["a\tb"]}, r"the kind 'a\tb' holds a tab or a line break"),
        ({"split": ["dev"]}, "the column 'split' would be read back as another"),
        ({"label": ["spoof"]}, "the column 'label' would be read back as another"),
    ],
)
def test_what_would_not_be_read_back_is_not_written(
    tmp_path: Path, columns: dict[str, list[str]], message: str
) -> None:
    trials = Trials(strings(["a"]), None, {name: strings(values) for name, values in columns.items()})
    with pytest.raises(ProtocolError) as caught:
        write_manifest(tmp_path / "m.tsv", trials)
    assert message in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "m.parquet").write_bytes(b"PAR1....PAR1")
    with pytest.raises(MissingExtra, match=r"pip install '\.\[parquet\]'"):
        read_manifest(tmp_path / "m.parquet")
    with pytest.raises(MissingExtra):
        write_manifest(tmp_path / "new.parquet", Trials(strings(["a"]), None))
    assert not (tmp_path / "new.parquet").exists()


def test_a_damaged_parquet_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs the extra 'parquet'")
    (tmp_path / "m.parquet").write_bytes(b"PAR1....PAR1")
    with pytest.raises(ProtocolError, match="cannot be read as Parquet"):
        read_manifest(tmp_path / "m.parquet")


def test_numbers_in_parquet_become_text_and_nothing_the_unknown_value(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="Parquet needs the extra 'parquet'")
    from pyarrow import parquet

    table = arrow.table({"path": ["a.wav", "b.wav"], "seconds": [1.5, None], "label": ["spoof", "bonafide"]})
    parquet.write_table(table, tmp_path / "m")
    trials = read_manifest(tmp_path / "m")
    assert trials.columns["seconds"].tolist() == ["1.5", ""]


def test_the_manifest_of_the_demo_page_corpus_is_read(corpus: Path) -> None:
    trials = read_manifest(corpus / "manifest.tsv")
    assert trials.bonafide is not None
    assert (len(trials), int(trials.bonafide.sum())) == (2_940, 1_420)
    assert len(trials.where("subset", "dev")) == 560
    assert (corpus / str(trials.columns["path"][0])).is_file()
    assert "-" not in trials.columns["speaker"].tolist()
