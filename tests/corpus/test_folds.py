"""Folds: what is held out is apart from what is trained on, in every way it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aasist.cli import run
from aasist.corpus.catalogue import engines
from aasist.corpus.collection import Collection, collected
from aasist.corpus.families import Families, FamiliesError, read_families
from aasist.corpus.folds import Fold, folded
from aasist.errors import ProtocolError
from aasist.protocol.manifest import read_manifest

TABLE = """system\tfamily\tnote
world\tclassical\t-
lpc\tclassical\t-
hifigan\tgan\t-
vits\tgan\t-
bark\tcodec,gan\tVocos makes the waveform
found\tunknown\tnobody knows
"""
HEAD = "path\tsplit\tsource\tlabel\tsystem\tspeaker"
COPIES = "id\tpath\tlabel\tattack\tengine\tsource\tspeaker\tpair\tsubset"


def pool() -> Iterator[str]:
    """Pages with recordings and spoofs of their own, one without recordings, and recordings of two corpora."""
    yield HEAD
    for page, systems in {"vits": ("vits", "hifigan"), "bark": ("bark", "found"), "old": ("world",)}.items():
        for n in range(6):
            yield f"{page}/{n}.flac\ttrain\tpage/{page}\tbonafide\t-\t{page}-{n % 2}"
        for system in systems:
            for n in range(8):
                yield f"{page}/{system}-{n}.flac\ttrain\tpage/{page}\tspoof\t{system}\t{page}-{n % 2}"
    for n in range(4):
        yield f"alone/{n}.flac\ttrain\tpage/alone\tspoof\tvits\t-"
    for corpus in ("a", "b", "c"):
        for n in range(12):
            # Speakers of c stand on the page of VITS as well.
            speaker = f"vits-{n % 2}" if corpus == "c" else f"{corpus}{n % 4}"
            yield f"{corpus}/{n}.flac\ttrain\tcorpus/{corpus}\tbonafide\t-\t{speaker}"
    yield "eval/1.flac\ttest\tpage/eval\tspoof\tworld\t-"


def copies() -> Iterator[str]:
    """A partner of each recording of the three corpora, a narrow one too, and copies by three engines."""
    yield COPIES
    for corpus in ("a", "b", "c"):
        for n in range(12):
            pair, row = f"{corpus}/{n}", f"corpus/{corpus}\t-"
            for rate in ("", "@8000"):
                yield f"B{corpus}{n}{rate}\tflac/B{corpus}{n}{rate}.flac\tbonafide\t-\t-\t{row}\t{pair}{rate}\ttrain"
            for number, engine in enumerate(("world", "lpc", "hifigan")):
                name = f"S{corpus}{n}{engine}"
                yield f"{name}\tflac/{name}.flac\tspoof\tA0{number}\t{engine}\t{row}\t{pair}\ttrain"


def written(folder: Path, lines: Iterator[str]) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.tsv").write_text("".join(f"{line}\n" for line in lines))
    return folder / "manifest.tsv"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two manifests and the table; treat it as read-only."""
    place = tmp_path_factory.mktemp("corpora")
    written(place / "pool", pool())
    written(place / "copies", copies())
    (place / "families.tsv").write_text(TABLE)
    return place


@pytest.fixture(scope="module")
def collection(place: Path) -> Collection:
    return collected([place / "pool" / "manifest.tsv", place / "copies"])


@pytest.fixture(scope="module")
def families(place: Path) -> Families:
    return read_families(place / "families.tsv")


@pytest.fixture(scope="module")
def folds(collection: Collection, families: Families) -> list[Fold]:
    return folded(collection, families)[0]


def column(collection: Collection, name: str, rows: np.ndarray) -> list[str]:
    return [str(value) for value in collection.trials.columns[name][rows].tolist()]


def test_a_family_is_in_its_held_out_part_alone(collection: Collection, folds: list[Fold]) -> None:
    assert [fold.families for fold in folds] == [("classical",), ("gan",), ("codec",)]
    held = [{*collection.systems[fold.held_out].tolist()} - {""} for fold in folds]
    assert [*map(sorted, held)] == [["lpc", "world"], ["hifigan", "vits"], ["bark"]]
    for fold, systems in zip(folds, held, strict=True):
        assert not systems & {*collection.systems[fold.train].tolist()}


def test_a_system_of_two_families_is_in_no_training_without_the_second(
    collection: Collection, folds: list[Fold]
) -> None:
    trained = [{*collection.systems[fold.train].tolist()} for fold in folds]
    assert ["bark" in systems for systems in trained] == [True, False, False]


@pytest.mark.parametrize("seed", range(5))
def test_no_source_speaker_recording_or_trial_is_on_both_sides(
    collection: Collection, families: Families, seed: int
) -> None:
    for fold in folded(collection, families, seed=seed)[0]:
        for name in ("source", "speaker", "pair", "path"):
            both = {*column(collection, name, fold.train)} & {*column(collection, name, fold.held_out)}
            assert both <= {""}, name
        assert not {*collection.recordings[fold.train]} & {*collection.recordings[fold.held_out]}
        assert collection.bonafide[fold.train].any()
        assert collection.bonafide[fold.held_out].any()


def test_each_source_is_held_out_once_and_every_trial_is_accounted_for(
    collection: Collection, families: Families
) -> None:
    folds, where = folded(collection, families)
    assert set(where.tolist()) == {0, 1, 2}
    for number, fold in enumerate(folds):
        assert {*collection.groups[fold.held_out].tolist()} <= {*np.flatnonzero(where == number).tolist()}
        assert len(fold.train) + len(fold.held_out) + sum(fold.left_out.values()) == len(collection.groups)


def test_a_page_is_held_out_with_the_family_that_it_shows(collection: Collection, folds: list[Fold]) -> None:
    where = [{*column(collection, "source", fold.held_out)} for fold in folds]
    assert "page/vits" in where[1]
    assert "page/alone" in where[1]
    assert where[2] == {"page/bark"}


def test_bona_fide_held_out_are_as_many_as_the_spoofs_of_their_source_and_partners_first(
    collection: Collection, folds: list[Fold]
) -> None:
    for fold in folds:
        labels, sources = collection.bonafide[fold.held_out], np.array(column(collection, "source", fold.held_out))
        pairs = column(collection, "pair", fold.held_out)
        copied = {pair for pair, real in zip(pairs, labels, strict=True) if pair and not real}
        assert copied == {pair for pair, real in zip(pairs, labels, strict=True) if pair and real}
        assert not any(pair.endswith("@8000") for pair in pairs)  # nothing of that band was made
        for source in {*sources.tolist()} - {"page/alone"}:
            here = labels[sources == source]
            assert 0 < here.sum() <= (~here).sum()
        recordings = collection.recordings[fold.held_out][labels]
        assert len({*recordings.tolist()}) == len(recordings)


def test_unknown_systems_are_never_held_out(collection: Collection, folds: list[Fold]) -> None:
    assert not any("found" in collection.systems[fold.held_out].tolist() for fold in folds)
    assert "found" in collection.systems[folds[0].train].tolist()


def test_trials_of_other_subsets_take_no_part(collection: Collection, tmp_path: Path) -> None:
    assert "page/eval" not in collection.trials.columns["source"].tolist()
    only = written(tmp_path / "dev", iter([HEAD, "a.flac\tdev\ts\tbonafide\t-\t-"]))
    with pytest.raises(ProtocolError, match="no subset to train on: expected 'train', there are dev"):
        collected([only])


def test_the_same_comes_of_the_same_and_another_of_another_seed(tmp_path: Path, families: Families) -> None:
    alone = collected([written(tmp_path / "pool", pool())])
    one, again, other = (folded(alone, families, seed=seed)[0] for seed in (1, 1, 2))
    for first, second in zip(one, again, strict=True):
        np.testing.assert_array_equal(first.train, second.train)
        np.testing.assert_array_equal(first.held_out, second.held_out)
    assert any(not np.array_equal(first.held_out, third.held_out) for first, third in zip(one, other, strict=True))


def test_families_may_share_folds(collection: Collection, families: Families) -> None:
    folds, _ = folded(collection, families, count=2)
    assert [fold.families for fold in folds] == [("classical",), ("gan", "codec")]
    with pytest.raises(FamiliesError, match="from 2 to 3, that of the families; got 4"):
        folded(collection, families, count=4)


def test_the_campaigns_table_names_every_engine() -> None:
    campaign = read_families(Path(__file__).parents[2] / "recipes" / "campaign" / "families.tsv")
    campaign.require(engines())
    with pytest.raises(FamiliesError, match="an-engine-of-mine"):
        campaign.require([*engines(), "an-engine-of-mine"])


def test_recordings_without_spoofs_fill_up_where_bona_fide_are_few(tmp_path: Path, families: Families) -> None:
    """Without copies the corpora have no spoofs; they are held out all the same, no more than there are spoofs."""
    alone = collected([written(tmp_path / "pool", pool())])
    folds, _ = folded(alone, families)
    held = [source for fold in folds for source in {*column(alone, "source", fold.held_out)}]
    assert len(held) == len({*held})
    assert any(source.startswith("corpus/") for source in held)
    for fold in folds:
        labels = alone.bonafide[fold.held_out]
        assert labels.sum() <= (~labels).sum()


def test_a_recording_without_a_source_is_tied_to_its_copies(tmp_path: Path, families: Families) -> None:
    lines = ["path\tlabel\tattack\tspeaker", *(f"r{n}.flac\tbonafide\t-\t-" for n in range(3))]
    plain = written(tmp_path / "plain", iter(lines))
    copied = [COPIES, *(f"S{n}\tS{n}.flac\tspoof\tA01\tlpc\tplain\t-\tr{n}@8000\ttrain" for n in range(2))]
    found = collected([plain, written(tmp_path / "copies", iter(copied))])
    assert found.sources == ("plain", "plain/r2")
    assert found.groups.tolist() == [0, 0, 1, 0, 0]
    assert found.trials.columns["attack"].tolist()[3:] == ["lpc/A01", "lpc/A01"]


def test_one_recording_given_twice_is_refused(place: Path) -> None:
    with pytest.raises(ProtocolError, match=r"the recording '.*pool/.*' stands twice"):
        collected([place / "pool", place / "pool" / "manifest.tsv"])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (TABLE.replace("lpc\t", "lcp\t"), "lacks 1 systems of the spoofs: lpc; add a line for each"),
        (TABLE.replace("codec,gan", "codec,gn"), "'gn', second family of bark, comes first nowhere"),
        (TABLE.replace("codec,gan", "codec,unknown"), "families.tsv:6: the family must be a name, several with commas"),
        (TABLE.replace("lpc\t", "world\t"), "families.tsv:3: system 'world' stands on line 2 already"),
        ("system\tfamily\nlpc\tone\n", "at least two families are needed"),
        ("name\tfamily\nlpc\tone\n", "lacks the column 'system'"),
        (TABLE + "silent\tmute\t-\n", "the fold of mute has no"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_and_says_what_to_do(
    table: str, said: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "families.tsv").write_text(table)
    manifests = [str(place / name) for name in ("pool", "copies")]
    words = ["corpus", "folds", *manifests, "--families", str(tmp_path / "families.tsv"), "-o", str(tmp_path / "out")]
    assert run(words) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_writes_manifests_that_lead_to_the_recordings(
    place: Path, collection: Collection, folds: list[Fold], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "folds"
    words = ["corpus", "folds", *(str(place / name) for name in ("pool", "copies"))]
    words += ["--families", str(place / "families.tsv"), "-o", str(out)]
    assert run(words) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: 3 folds of {len(collection.groups)} trials\nfold-1: classical\n  train: ")
    assert "train has 8 spoofs of no known family" in said
    for number, fold in enumerate(folds, 1):
        for name, rows, subset in (("train.tsv", fold.train, "train"), ("held-out.tsv", fold.held_out, "dev")):
            trials = read_manifest(out / f"fold-{number}" / name)
            assert trials.ids.tolist() == collection.trials.ids[rows].tolist()
            assert {*trials.columns["subset"].tolist()} == {subset}
            paths = [str((out / f"fold-{number}" / path).resolve()) for path in trials.columns["path"].tolist()]
            assert paths == column(collection, "path", rows)
    assert (out / "sources.tsv").read_text().splitlines()[0].split("\t")[:3] == ["source", "fold", "bonafide"]
    before = {path: path.read_bytes() for path in out.rglob("*.tsv")}
    assert run(words) == 0
    assert {path: path.read_bytes() for path in out.rglob("*.tsv")} == before
    assert run([*words, "--folds", "2"]) == 1
    assert "holds fold-3 of more folds: remove it, or name another folder" in capsys.readouterr().err
