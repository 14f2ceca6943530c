"""Protocols of the challenges: lines as their authors publish them, there and back, and what is wrong with them."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aasist.errors import ProtocolError
from aasist.protocol import lines as lines_module
from aasist.protocol.challenge import LAYOUTS, read_protocol, recognise, write_protocol
from aasist.trial import Trials, strings

from ..corpora import write_lines

EXAMPLES = {
    "asvspoof2015": ("T1 T1_1000001 human human", "D3 D3_1000002 S4 spoof"),
    "asvspoof2017": (
        "T_1000001.wav genuine M0002 S05 - - -",
        "T_1001508.wav spoof M0001 S01 E02 P02 R04",
    ),
    "asvspoof2019-la": ("LA_0079 LA_T_1138215 - - bonafide", "LA_0039 LA_E_2834763 - A11 spoof"),
    "asvspoof2019-pa": ("PA_0079 PA_T_0000001 aaa - bonafide", "PA_0086 PA_T_0005401 acb BC spoof"),
    "asvspoof2021-la": (
        "LA_0009 LA_E_9332882 opus mad_tx bonafide bonafide notrim progress",
        "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval",
    ),
    "asvspoof2021-df": (
        "LA_0048 DF_E_2000058 mp3m4a asvspoof - bonafide notrim progress bonafide - - - -",
        "TEF2 DF_E_2000013 low_m4a vcc2020 Task1-team20 spoof notrim eval neural_vocoder_nonautoregressive "
        "Task1 team20 FF E",
    ),
    "asvspoof2021-pa": (
        "PA_0010 PA_E_1000002 R1 M1 D3 - - - - bonafide notrim hidden",
        "PA_0010 PA_E_1000001 R3 M3 d4 r1 m1 s4 c4 spoof notrim eval",
    ),
    "asvspoof5": (
        "D_0755 D_0000000022 F - - - - bonafide bonafide -",
        "E_0001 E_0000000000 F C01 1 E_0000000009 AC1 A17 spoof -",
    ),
    "in-the-wild": ("1.wav,Alec Guinness,bona-fide", "0.wav,Alec Guinness,spoof"),
    "codecfake": ("SSB06930002.wav real 0", "F01_p226_001.wav fake 1"),
    "decro": ("37_5418 37_5418_20170909200415 - magicdata bonafide", "unknown 20032114 - baidu spoof"),
    "partialspoof": ("LA_0079 LA_T_1138215 - - bonafide", "LA_0079 CON_T_0000029 - CON spoof"),
}
"""A bona fide trial and a spoof of each, as in its README or its organisers' scripts."""


def write_example(path: Path, layout: str) -> Path:
    header = ["file,speaker,label"] if layout == "in-the-wild" else []
    write_lines(path, [*header, *EXAMPLES[layout]])
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_first_trial_of_each_example_is_bona_fide_and_the_second_a_spoof(tmp_path: Path, layout: str) -> None:
    trials = read_protocol(write_example(tmp_path / "p", layout), layout)
    assert trials.bonafide is not None
    assert trials.bonafide.tolist() == [True, False]
    assert not any(trial.endswith(".wav") for trial in trials.ids)
    if "attack" in trials.columns:
        assert trials.columns["attack"][0] == "-"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_example_is_written_back_as_it_was(tmp_path: Path, layout: str) -> None:
    source = write_example(tmp_path / "p", layout)
    write_protocol(tmp_path / "q", read_protocol(source, layout), layout)
    # A speaker who is not known is written in one way.
    assert (tmp_path / "q").read_text() == source.read_text().replace("unknown ", "- ")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_example_is_recognised_by_its_first_line(tmp_path: Path, layout: str) -> None:
    recognised = recognise(write_example(tmp_path / "p", layout))
    alike = {"decro": "asvspoof2019-la", "partialspoof": "asvspoof2019-la"}
    if layout == "decro":  # its first line names the corpus of a bona fide trial
        assert recognised in ("decro", "asvspoof2019-la")
    else:
        assert recognised == alike.get(layout, layout)


def test_columns_stand_under_their_names(tmp_path: Path) -> None:
    trials = read_protocol(write_example(tmp_path / "p", "asvspoof2021-df"), "asvspoof2021-df")
    spoof = {name: column[1] for name, column in trials.columns.items()}
    assert spoof == {
        "speaker": "TEF2",
        "codec": "low_m4a",
        "source": "vcc2020",
        "attack": "Task1-team20",
        "trim": "notrim",
        "subset": "eval",
        "vocoder": "neural_vocoder_nonautoregressive",
        "task": "Task1",
        "team": "team20",
        "gender_pair": "FF",
        "language": "E",
    }


def test_what_a_bona_fide_trial_of_decro_names_is_its_corpus(tmp_path: Path) -> None:
    trials = read_protocol(write_example(tmp_path / "p", "decro"), "decro")
    assert trials.columns["corpus"].tolist() == ["magicdata", ""]
    assert trials.columns["attack"].tolist() == ["-", "baidu"]
    assert trials.columns["speaker"].tolist() == ["37_5418", ""]


@pytest.mark.parametrize(("layout", "line"), [("asvspoof2017", "E_1000001.wav S05"), ("asvspoof2021-la", "LA_E_1")])
def test_lists_that_were_published_without_a_key_give_trials_without_one(
    tmp_path: Path, layout: str, line: str
) -> None:
    write_lines(tmp_path / "p", [line])
    trials = read_protocol(tmp_path / "p", layout)
    assert trials.bonafide is None
    assert trials.ids.tolist() == [line.split(maxsplit=1)[0].removesuffix(".wav")]


def words(separator: str | None) -> st.SearchStrategy[str]:
    """Texts that a protocol can hold as a value."""
    blocked = "\0\r\n\x1c\x1d\x1e\x1f\x85\u2028\u2029\ufeff" + (separator + '"' if separator else " ")
    categories = ("L", "N", "P", "S") if separator is None else ("L", "N", "P", "S", "Zs")
    return st.text(
        st.characters(codec="utf-8", categories=categories, exclude_characters=blocked), min_size=1, max_size=8
    ).filter(lambda text: text.strip() not in ("", "-", "unknown", "human", "bonafide") and not text.endswith(".wav"))


@st.composite
def trials_of(draw: st.DrawFn, layout: str) -> Trials:
    """Trials with every column of the layout."""
    form = LAYOUTS[layout]
    word = words(form.separator)
    names = draw(st.lists(word, min_size=1, max_size=5, unique=True))
    bonafide = draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names)))
    columns = {}
    for name in form.columns:
        if name not in ("", "id", "key", "attack"):
            values = st.sampled_from(form.choices[name]) if name in form.choices else word
            columns[name] = [draw(values) for _ in names]
    if "attack" in form.columns:
        columns["attack"] = ["-" if label else draw(word | st.just("")) for label in bonafide]
    if form.bonafide_source:
        columns[form.bonafide_source] = [draw(word | st.just("")) if label else "" for label in bonafide]
    table = {name: strings(values) for name, values in columns.items()}
    return Trials(strings(names), np.array(bonafide), table)


def same(one: Trials, other: Trials) -> bool:
    """Whether two tables hold the same trials, keys and columns."""
    return (
        one.ids.tolist() == other.ids.tolist()
        and np.array_equal(one.bonafide, other.bonafide)
        and {name: column.tolist() for name, column in one.columns.items()}
        == {name: column.tolist() for name, column in other.columns.items()}
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@given(data=st.data())
@settings(max_examples=25)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, layout: str, data: st.DataObject
) -> None:
    trials = data.draw(trials_of(layout))
    path = tmp_path_factory.mktemp("protocol") / "p.txt"
    write_protocol(path, trials, layout)
    assert same(read_protocol(path, layout), trials)


@pytest.mark.parametrize(
    ("layout", "lines", "message"),
    [
        ("asvspoof2019-la", ["a b - A1 spoof", "a c - A1"], "p:2: expected an ASVspoof 2019 LA protocol, its columns"),
        ("asvspoof2019-la", ["a b - A1 spoof", "", "a c - A1 spoof", "a d - A1 spoof x"], "p:4: expected an ASVspoof"),
        ("asvspoof2019-la", ["a b - A1 fake"], "p:1: the label must be 'bonafide' or 'spoof', got 'fake'"),
        ("asvspoof2015", ["a b S1 bonafide"], "p:1: the label must be 'human' or 'spoof', got 'bonafide'"),
        ("asvspoof2019-la", ["a b - - bonafide", "", "a b - A1 spoof"], "p:3: trial 'b' stands on line 1 already"),
        ("asvspoof2019-la", ["a b - A1 bonafide"], "p:1: a bona fide trial names the attack 'A1'"),
        (
            "asvspoof2021-la",
            ["a b c d A1 spoof notrim test"],
            "p:1: the subset must be 'progress' or 'eval' or 'hidden'",
        ),
        ("asvspoof2017", ["b.wav genuine M S", "x"], "p:1: expected an ASVspoof 2017 protocol"),
        (
            "in-the-wild",
            ["file,label", "0.wav,spoof"],
            "p:1: the header lacks the column 'speaker'; it has file, label",
        ),
        ("in-the-wild", ["file,speaker,label", "0.wav,A"], "p:2: expected 3 columns as in the header"),
        ("in-the-wild", ["file,speaker,label", '0.wav,"A,spoof'], "cannot be read as quoted text"),
        ("in-the-wild", ["file,speaker,label"], "p: the file has a header but no rows"),
        ("in-the-wild", ["file,speaker,,label", "0.wav,A,,spoof"], "p:1: the header has a column without a name"),
        ("in-the-wild", ["file,file,speaker,label", "0,0,A,spoof"], "p:1: the header names the column 'file' twice"),
        ("asvspoof2019-la", ["", "  "], "p: the file holds blank lines only"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, layout: str, lines: list[str], message: str) -> None:
    write_lines(tmp_path / "p", lines)
    with pytest.raises(ProtocolError) as caught:
        read_protocol(tmp_path / "p", layout)
    assert message in caught.value.message


def test_a_file_of_another_layout_is_not_recognised(tmp_path: Path) -> None:
    write_lines(tmp_path / "p", ["once upon a time"])
    with pytest.raises(ProtocolError, match="p:1: the first line looks like no protocol"):
        read_protocol(tmp_path / "p")


def test_an_unknown_layout_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="no protocol layout 'asvspoof2020'; there are asvspoof2015, "):
        read_protocol(write_example(tmp_path / "p", "asvspoof2015"), "asvspoof2020")


@pytest.mark.parametrize(
    ("trials", "layout", "message"),
    [
        (Trials(strings(["a b"]), np.array([True])), "asvspoof2019-la", "the id 'a b' of the trial 'a b' cannot be"),
        (Trials(strings(["a"]), None), "asvspoof2019-la", "needs the key of each trial"),
        (Trials(strings(["a"]), np.array([True])), "asvspoof2021-la", "the subset must be 'progress' or"),
        (
            Trials(strings(["a"]), np.array([True]), {"speaker": strings(["Guinness, Alec"])}),
            "in-the-wild",
            "the speaker 'Guinness, Alec' of the trial 'a' cannot be written",
        ),
    ],
)
def test_what_would_not_be_read_back_is_not_written(tmp_path: Path, trials: Trials, layout: str, message: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        write_protocol(tmp_path / "p", trials, layout)
    assert message in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_the_published_protocol_of_2019_has_its_71_237_trials(reference: Path) -> None:
    trials = read_protocol(reference / "ASVspoof2019.LA.cm.eval.trl.txt.gz")
    assert trials.bonafide is not None
    assert (len(trials), int(trials.bonafide.sum())) == (71_237, 7_355)
    attacks, counts = np.unique(trials.columns["attack"], return_counts=True)
    assert attacks.tolist() == ["-", *(f"A{number:02d}" for number in range(7, 20))]
    assert set(counts[1:].tolist()) == {4_914}
    assert len({*trials.columns["speaker"].tolist()}) == 67


def test_the_published_protocol_is_written_back_to_the_byte(reference: Path, tmp_path: Path) -> None:
    source = reference / "ASVspoof2019.LA.cm.eval.trl.txt.gz"
    write_protocol(tmp_path / "p.txt", read_protocol(source), "asvspoof2019-la")
    assert (tmp_path / "p.txt").read_bytes() == gzip.decompress(source.read_bytes())


def test_a_hundred_thousand_trials_are_read_in_a_second_or_two(tmp_path: Path) -> None:
    with open(tmp_path / "p", "w") as file:
        file.writelines(f"LA_{i % 50:04d} LA_E_{i:07d} - A07 spoof\n" for i in range(100_000))
    start = time.process_time()
    assert len(read_protocol(tmp_path / "p")) == 100_000
    assert time.process_time() - start < 3.0  # 0.2 s; processor time, since a busy machine is no failure


def test_lines_of_other_widths_that_add_up_are_still_told_apart(tmp_path: Path) -> None:
    """Five columns a line on average, in a block after the one that settled the layout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "_BLOCK_BYTES", 20)
        write_lines(tmp_path / "p", ["a b - A1 spoof", "a c - A1 spoof", "d - A1 spoof", "x a e - A1 spoof"])
        with pytest.raises(ProtocolError, match=r"p:3: expected an ASVspoof 2019 LA protocol"):
            read_protocol(tmp_path / "p", "asvspoof2019-la")
        write_lines(tmp_path / "p", ["a b - A1 spoof", "", "a c - A1 spoof", "  ", "", "a b - A1 spoof"])
        with pytest.raises(ProtocolError, match=r"p:6: trial 'b' stands on line 1 already"):
            read_protocol(tmp_path / "p", "asvspoof2019-la")
