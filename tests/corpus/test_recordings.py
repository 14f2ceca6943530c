"""Recordings: from manifests, corpora and folders, each chosen in its turn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from aasist.corpus.language import language_of
from aasist.corpus.recipe import Choice, Data
from aasist.corpus.recordings import Recording, RecordingsError, chosen, fingerprint, read_recordings

from ..corpora import BONAFIDE, asvspoof2019_la, noise, write_audio
from ..corpora import Recording as Trial


def data(*places: object, **more: str) -> Data:
    return Data(bonafide=tuple(map(str, places)), **more)


def test_a_manifest_gives_its_bona_fide_rows_to_train_on_with_what_it_knows(tmp_path: Path) -> None:
    header = "path\tsplit\tlabel\tsystem\tsource\tspeaker\tlanguage\ttext\tseconds\tlicence"
    lines = (
        header,
        "a.wav\ttrain\tbonafide\t-\tpage\tanna\teng\tgood  morning\t2.5\tCC0",
        "b.wav\ttrain\tspoof\tvits\tpage\t-\ten\t-\t2.5\t-",
        "c.wav\ttest\tbonafide\t-\tpage\t-\tmul\t-\t-\t-",
    )
    (tmp_path / "manifest.tsv").write_text("".join(f"{line}\n" for line in lines))
    (one,) = read_recordings(data(tmp_path))
    assert one == Recording("a", str(tmp_path / "a.wav"), "page", "anna", "en", "CC0", "good morning", 2.5)
    (other,) = read_recordings(data(tmp_path / "manifest.tsv", subset="test"))
    assert (other.id, other.language, other.seconds, other.text) == ("c", "", None, "")


def test_a_corpus_gives_what_it_has_to_train_on(tmp_path: Path) -> None:
    trials = [Trial("LA_T_1", noise(), BONAFIDE), Trial("LA_T_2", noise(), "A01")]
    asvspoof2019_la(tmp_path, {"train": trials, "dev": [Trial("LA_D_1", noise())], "eval": [Trial("LA_E_1", noise())]})
    (one,) = read_recordings(data(f"asvspoof2019-la:{tmp_path}"))
    assert (one.id, one.source, one.speaker) == ("LA_T_1", "asvspoof2019-la", "LA_0001")


def test_a_manifest_without_a_subset_to_train_on_is_refused_until_one_is_named(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.tsv"

    def written(*subsets: str) -> Data:
        lines = [f"{n}.wav\t{subset}\tbonafide\n" for n, subset in enumerate(subsets)]
        manifest.write_text("".join(("path\tsubset\tlabel\n", *lines)))
        return data(manifest)

    for subsets in (("test", "dev"), ("dev", "-"), ("all", "dev")):
        with pytest.raises(RecordingsError, match=r"which subset\? It has .*dev.*, and none to train on.*data\.subset"):
            read_recordings(written(*subsets))
    assert [one.id for one in read_recordings(data(manifest, subset="dev"))] == ["1"]
    for subsets in (("-", "-"), ("all", "all"), ("train", "train")):
        assert len(read_recordings(written(*subsets))) == 2
    written("train", "test", "dev")
    with pytest.raises(RecordingsError, match=r"test of it is for evaluation.*data\.subset names it"):
        read_recordings(data(manifest, subset="all"))
    assert [one.id for one in read_recordings(data(manifest, subset="test"))] == ["1"]


def test_a_corpus_that_is_for_evaluation_is_refused_until_its_subset_is_named(tmp_path: Path) -> None:
    keys = tmp_path / "keys" / "LA" / "CM"
    keys.mkdir(parents=True)
    (keys / "trial_metadata.txt").write_text(
        "".join(
            f"LA_0001 LA_E_{n} alaw ita_tx bonafide bonafide notrim {s}\n" for n, s in enumerate(("eval", "hidden"))
        )
    )
    with pytest.raises(RecordingsError, match=r"eval, hidden of it are for evaluation"):
        read_recordings(data(f"asvspoof2021-la:{tmp_path}"))
    (one,) = read_recordings(data(f"asvspoof2021-la:{tmp_path}", subset="eval"))
    assert one.id == "LA_E_0"


def test_a_plain_folder_is_searched_and_is_the_source(tmp_path: Path) -> None:
    write_audio(tmp_path / "calls" / "b" / "two.flac", noise())
    write_audio(tmp_path / "calls" / "one.wav", noise())
    found = read_recordings(data(tmp_path / "calls", language="de"))
    assert [(one.id, one.source, one.language) for one in found] == [("b/two", "calls", "de"), ("one", "calls", "de")]
    assert read_recordings(data(tmp_path / "calls" / "one.wav"))[0].id == "one"


def test_what_is_not_there_or_twice_is_said(tmp_path: Path) -> None:
    write_audio(tmp_path / "one" / "a.wav", noise())
    write_audio(tmp_path / "two" / "a.wav", noise())
    with pytest.raises(RecordingsError, match=r"two recordings have the id 'a': .*one/a\.wav, .*two/a\.wav"):
        read_recordings(data(tmp_path / "one", tmp_path / "two"))
    with pytest.raises(RecordingsError, match="which recordings"):
        read_recordings(data())
    (tmp_path / "fakes.tsv").write_text("path\tlabel\nx.wav\tspoof\n")
    with pytest.raises(RecordingsError, match="no bona fide recording is there"):
        read_recordings(data(tmp_path / "fakes.tsv"))


def pool() -> list[Recording]:
    """One large source of one speaker and some unknown ones, and three small ones."""
    large = [Recording(f"l{n}", "", "large", "busy" if n < 80 else "", seconds=2.0) for n in range(100)]
    return large + [Recording(f"s{n}", "", f"small-{n % 3}", f"p{n}", seconds=2.0) for n in range(12)]


def test_sources_and_speakers_take_turns() -> None:
    taken = chosen(pool(), Choice(most=16), 1.0, 0)
    assert set(Counter(one.source for one in taken).values()) == {4}
    assert Counter(one.speaker for one in taken)["busy"] <= 1
    taken = chosen(pool(), Choice(most_per_source=30, most_per_speaker=5), 1.0, 0)
    assert Counter(one.source for one in taken)["large"] == 25
    assert Counter(one.speaker for one in taken)["busy"] == 5


def test_the_choice_hangs_on_the_seed_and_not_on_the_order() -> None:
    one = chosen(pool(), Choice(most=20), 1.0, 0)
    assert one == chosen(pool()[::-1], Choice(most=20), 1.0, 0)
    assert one != chosen(pool(), Choice(most=20), 1.0, 1)
    assert fingerprint(one) == fingerprint(one[::-1]) != fingerprint(one[1:])
    assert not chosen(pool(), Choice(), 3.0, 0)


@pytest.mark.parametrize(
    ("written", "code"),
    [("en-US", "en"), ("ENG", "en"), ("English", "en"), ("cmn", "zh"), ("mul", ""), ("-", ""), ("nb_NO", "no")],
)
def test_a_language_is_two_letters_however_it_is_written(written: str, code: str) -> None:
    assert language_of(written) == code


def test_a_manifest_without_paths_is_told_its_columns_as_it_names_them(tmp_path: Path) -> None:
    file = tmp_path / "keys.tsv"
    file.write_text("id\tkey\tsystem\nr1\tbonafide\t-\n")
    with pytest.raises(RecordingsError) as error:
        read_recordings(data(file))
    assert error.value.message.endswith(
        "keys.tsv: no column 'path': where the recordings lie is not known; it has id, key, system"
    )
