"""Corpora by name, on mini copies in the layout their authors publish."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aasist.errors import ProtocolError
from aasist.protocol.corpora import CORPORA, asv_scores_path, read_corpus, read_corpus_asv_scores
from aasist.protocol.manifest import write_manifest
from aasist.trial import Trials, strings

from ..corpora import Recording, asvspoof5, asvspoof2019_la, asvspoof2021, folders, listed, noise, write_lines
from .test_challenge import EXAMPLES


def labels(trials: Trials) -> dict[str, bool]:
    assert trials.bonafide is not None
    return dict(zip(trials.ids.tolist(), trials.bonafide.tolist(), strict=True))


def require_audio(root: Path, trials: Trials) -> None:
    """Every path leads to a recording."""
    assert len(trials) > 0
    for path in trials.columns["path"].tolist():
        assert (root / path).is_file(), path


def pair(letter: str) -> list[Recording]:
    return [
        Recording(f"LA_{letter}_1", noise(1)),
        Recording(f"LA_{letter}_2", noise(2), attack="A07", speaker="LA_0002"),
    ]


@pytest.mark.parametrize("home", ["", "LA"])
@pytest.mark.parametrize("subset", ["train", "dev", "eval"])
def test_asvspoof_2019_la_is_found_by_its_own_folder_and_by_the_one_above(
    tmp_path: Path, home: str, subset: str
) -> None:
    asvspoof2019_la(tmp_path / home, {"train": pair("T"), "dev": pair("D"), "eval": pair("E")})
    trials = read_corpus("asvspoof2019-la", tmp_path, subset)
    letter = {"train": "T", "dev": "D", "eval": "E"}[subset]
    assert labels(trials) == {f"LA_{letter}_1": True, f"LA_{letter}_2": False}
    assert trials.columns["attack"].tolist() == ["-", "A07"]
    assert trials.columns["speaker"].tolist() == ["LA_0001", "LA_0002"]
    assert {*trials.columns["subset"].tolist()} == {subset}
    require_audio(tmp_path, trials)
    scores = read_corpus_asv_scores("asvspoof2019-la", tmp_path, subset)
    assert (scores is None) == (subset == "train") == (asv_scores_path("asvspoof2019-la", tmp_path, subset) is None)
    if scores is not None:
        assert scores.target.mean() > scores.spoof.mean() > scores.nontarget.mean()


def test_asvspoof_2019_pa_has_environments(tmp_path: Path) -> None:
    recordings = [Recording("PA_E_1", noise()), Recording("PA_E_2", noise(), attack="AB")]
    asvspoof2019_la(tmp_path, {"eval": recordings}, track="PA")
    trials = read_corpus("asvspoof2019-pa", tmp_path)
    assert trials.columns["environment"].tolist() == ["aaa", "aaa"]
    require_audio(tmp_path, trials)


def test_asvspoof_2021_is_picked_by_subset(tmp_path: Path) -> None:
    asvspoof2021(tmp_path, "LA", EXAMPLES["asvspoof2021-la"])
    evaluation = read_corpus("asvspoof2021-la", tmp_path)
    assert labels(evaluation) == {"LA_E_9332881": False}
    assert labels(read_corpus("asvspoof2021-la", tmp_path, "progress")) == {"LA_E_9332882": True}
    assert len(read_corpus("asvspoof2021-la", tmp_path, "all")) == 2
    require_audio(tmp_path, evaluation)
    assert read_corpus_asv_scores("asvspoof2021-la", tmp_path) is None
    with pytest.raises(ProtocolError, match=r"trial_metadata.txt: no trial has subset 'hidden'"):
        read_corpus("asvspoof2021-la", tmp_path, "hidden")


def test_asv_scores_of_2021_are_those_of_the_subset(tmp_path: Path) -> None:
    asv = [
        ("s LA_E_1 alaw x bonafide target notrim eval", 4.0),
        ("t LA_E_1 alaw x bonafide nontarget notrim eval", -4.0),
        ("s LA_E_2 alaw x A07 spoof notrim eval", 1.0),
        ("s LA_E_3 alaw x A07 spoof trim hidden", 2.0),
    ]
    asvspoof2021(tmp_path, "LA", EXAMPLES["asvspoof2021-la"], asv)
    scores = read_corpus_asv_scores("asvspoof2021-la", tmp_path, "eval")
    assert scores is not None
    assert scores.spoof.tolist() == [1.0]
    everything = read_corpus_asv_scores("asvspoof2021-la", tmp_path, "all")
    assert everything is not None
    assert everything.spoof.tolist() == [1.0, 2.0]


def test_the_two_hidden_subsets_of_2021_pa_differ_in_trimming(tmp_path: Path) -> None:
    line = EXAMPLES["asvspoof2021-pa"][0]
    asvspoof2021(tmp_path, "PA", [line, line.replace("0002", "0003").replace("notrim", "trim")])
    assert labels(read_corpus("asvspoof2021-pa", tmp_path, "hidden1")) == {"PA_E_1000002": True}
    assert labels(read_corpus("asvspoof2021-pa", tmp_path, "hidden2")) == {"PA_E_1000003": True}


def test_asvspoof_2021_df_has_no_asv_scores(tmp_path: Path) -> None:
    asvspoof2021(tmp_path, "DF", EXAMPLES["asvspoof2021-df"])
    require_audio(tmp_path, read_corpus("asvspoof2021-df", tmp_path, "all"))
    assert asv_scores_path("asvspoof2021-df", tmp_path) is None


@pytest.mark.parametrize("subset", ["train", "dev", "eval"])
def test_asvspoof_5_keeps_its_codecs(tmp_path: Path, subset: str) -> None:
    asvspoof5(tmp_path, subset, EXAMPLES["asvspoof5"])
    trials = read_corpus("asvspoof5", tmp_path, subset)
    assert labels(trials) == {"D_0000000022": True, "E_0000000000": False}
    assert trials.columns["codec"].tolist() == ["-", "C01"]
    require_audio(tmp_path, trials)


@pytest.mark.parametrize(
    ("name", "subset", "protocol", "audio"),
    [
        ("asvspoof2015", "train", "CM_protocol/cm_train.trn.txt", ["wav/T1/T1_1000001.wav", "wav/D3/D3_1000002.wav"]),
        ("asvspoof2015", "eval", "CM_protocol/cm_evaluation.ndx", ["wav/T1/T1_1000001.wav", "wav/D3/D3_1000002.wav"]),
        (
            "asvspoof2017",
            "dev",
            "protocol_V2/ASVspoof2017_V2_dev.trl.txt",
            ["ASVspoof2017_V2_dev/T_1000001.wav", "ASVspoof2017_V2_dev/T_1001508.wav"],
        ),
        (
            "in-the-wild",
            "all",
            "release_in_the_wild/meta.csv",
            ["release_in_the_wild/0.wav", "release_in_the_wild/1.wav"],
        ),
        ("in-the-wild", "all", "meta.csv", ["0.wav", "1.wav"]),
        ("codecfake", "train", "label/train.txt", ["train/SSB06930002.wav", "train/F01_p226_001.wav"]),
        (
            "codecfake",
            "C3",
            "Codecfake/label/C3.txt",
            [f"Codecfake/test/C3/{name}.wav" for name in ("SSB06930002", "F01_p226_001")],
        ),
        ("decro", "ch_dev", "ch_dev.txt", ["ch_dev/37_5418_20170909200415.wav", "ch_dev/20032114.wav"]),
        (
            "partialspoof",
            "dev",
            "database/protocols/PartialSpoof_LA_cm_protocols/PartialSpoof.LA.cm.dev.trl.txt",
            ["database/dev/con_wav/LA_T_1138215.wav", "database/dev/con_wav/CON_T_0000029.wav"],
        ),
    ],
)
def test_a_corpus_of_one_protocol_finds_its_recordings(
    tmp_path: Path, name: str, subset: str, protocol: str, audio: list[str]
) -> None:
    header = ["file,speaker,label"] if name == "in-the-wild" else []
    listed(tmp_path, protocol, [*header, *EXAMPLES[name]], audio)
    trials = read_corpus(name, tmp_path, subset)
    assert sorted(trials.columns["path"].tolist()) == sorted(audio)
    assert sorted(labels(trials).values()) == [False, True]


def test_wavefake_is_a_folder_a_vocoder_beside_the_recordings(tmp_path: Path) -> None:
    folders(
        tmp_path,
        [
            "generated_audio/ljspeech_melgan/LJ001-0001_gen.wav",
            "generated_audio/ljspeech_hifiGAN/LJ001-0001_gen.wav",
            "generated_audio/jsut_parallel_wavegan/BASIC5000_0001_gen.wav",
            "generated_audio/common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech/gen_0.wav",
            "LJSpeech-1.1/wavs/LJ001-0001.wav",
            "jsut_ver1.1/basic5000/wav/BASIC5000_0001.wav",
        ],
    )
    trials = read_corpus("wavefake", tmp_path)
    assert len(trials) == 6
    assert sorted(labels(trials).values()) == [False] * 4 + [True] * 2
    assert {*trials.columns["attack"].tolist()} > {"-", "ljspeech_melgan", "jsut_parallel_wavegan"}
    require_audio(tmp_path, trials)
    japanese = read_corpus("wavefake", tmp_path, "jsut")
    assert {*japanese.columns["language"].tolist()} == {"ja"}
    assert len(japanese) == 2
    assert len(read_corpus("wavefake", tmp_path / "generated_audio", "ljspeech")) == 3


def test_fake_or_real_is_a_folder_a_class(tmp_path: Path) -> None:
    for home in ("", "for-norm/", "for-norm/for-norm/"):
        root = tmp_path / f"root{len(home)}"
        folders(root, [f"{home}testing/{kind}/file1.wav" for kind in ("real", "fake")])
        trials = read_corpus("fake-or-real", root)
        assert [path.split("/")[-2] for path in trials.columns["path"].tolist()] == ["real", "fake"]
        assert list(labels(trials).values()) == [True, False]
        require_audio(root, trials)
    folders(root, ["for-2sec/testing/real/a.wav", "for-rerec/testing/real/a.wav"])
    with pytest.raises(ProtocolError, match="found for-2sec, for-rerec: name one version as the root"):
        read_corpus("fake-or-real", root)
    with pytest.raises(ProtocolError, match="expected one folder with training/real and training/fake, found none"):
        read_corpus("fake-or-real", root, "training")


def test_mlaad_reads_the_table_of_each_model(tmp_path: Path) -> None:
    header = (
        "path|original_file|language|is_original_language|duration|training_data|model_name|architecture|transcript"
    )
    write_lines(
        tmp_path / "fake/en/vits/meta.csv",
        [header, './fake/en/vits/a.wav|x.wav|en|True|1.0|LJ|tts/vits|vits|"He said ""a|b"""'],
    )
    write_lines(tmp_path / "fake/de/bark/meta.csv", [header, "a.wav|x.wav|de|True|1.0|?|bark|Bark|ja"])
    audio = ["fake/en/vits/a.wav", "fake/de/bark/a.wav", "M-AILABS/en_US/by_book/female/judy/x/wavs/x_01.wav"]
    folders(tmp_path, audio)
    trials = read_corpus("mlaad", tmp_path)
    assert trials.columns["path"].tolist() == [audio[2], audio[1], audio[0]]
    assert trials.columns["attack"].tolist() == ["-", "bark", "tts/vits"]
    assert trials.columns["language"].tolist() == ["en", "de", "en"]
    assert list(labels(trials).values()) == [True, False, False]
    require_audio(tmp_path, trials)


def test_mlaad_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match=r"expected MLAAD's fake/<language>/<model>/meta.csv, found none"):
        read_corpus("mlaad", tmp_path)


@pytest.mark.parametrize("named", ["folder", "file"])
def test_a_manifest_names_its_own_subsets(tmp_path: Path, named: str) -> None:
    table = Trials(strings(["a", "b"]), None, {"path": strings(["a.wav", "b.wav"]), "subset": strings(["dev", "test"])})
    write_manifest(tmp_path / "manifest.tsv", table)
    root = tmp_path if named == "folder" else tmp_path / "manifest.tsv"
    assert len(read_corpus("manifest", root)) == 2
    assert read_corpus("manifest", root, "test").ids.tolist() == ["b"]
    with pytest.raises(ProtocolError, match="no trial is of the subset 'eval'; there are all, dev, test"):
        read_corpus("manifest", root, "eval")


def test_the_demo_page_corpus_is_a_manifest(corpus: Path) -> None:
    trials = read_corpus("manifest", corpus, "dev")
    assert len(trials) == 560
    require_audio(corpus, trials.take(np.array([0, 1, 559])))


def test_a_gzipped_protocol_will_do(tmp_path: Path, reference: Path) -> None:
    folder = tmp_path / "ASVspoof2019_LA_cm_protocols"
    folder.mkdir()
    name = "ASVspoof2019.LA.cm.eval.trl.txt.gz"
    (folder / name).symlink_to(reference / name)
    trials = read_corpus("asvspoof2019-la", tmp_path)
    assert len(trials) == 71_237
    assert trials.columns["path"][0] == "ASVspoof2019_LA_eval/flac/LA_E_2834763.flac"


@pytest.mark.parametrize("name", [name for name in CORPORA if CORPORA[name].protocols])
def test_a_missing_protocol_is_named_with_where_it_was_looked_for(tmp_path: Path, name: str) -> None:
    corpus = CORPORA[name]
    with pytest.raises(ProtocolError) as caught:
        read_corpus(name, tmp_path)
    assert caught.value.code == "not_found"
    assert str(tmp_path) in caught.value.message
    for file in corpus.protocols[corpus.default]:
        assert file in caught.value.message


@pytest.mark.parametrize("name", CORPORA)
def test_every_corpus_says_what_it_has(name: str) -> None:
    corpus = CORPORA[name]
    assert corpus.title
    assert corpus.default in (corpus.subsets or ("all",))
    if corpus.protocols:
        assert set(corpus.subsets) == set(corpus.protocols) == set(corpus.audio)
        assert set(corpus.asv_scores) <= set(corpus.subsets)
    else:
        assert (corpus.read is None) == (name == "manifest")


def test_unknown_names_subsets_and_roots_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match=r"no corpus 'asvspoof2020'; there are asvspoof2015, .*, manifest"):
        read_corpus("asvspoof2020", tmp_path)
    with pytest.raises(ProtocolError, match="ASVspoof 2019 LA has no subset 'test'; it has train, dev, eval"):
        read_corpus("asvspoof2019-la", tmp_path, "test")
    with pytest.raises(ProtocolError, match=r"absent: no such folder: expected the root of In-the-Wild"):
        read_corpus("in-the-wild", tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(ProtocolError, match="expected the folder that In-the-Wild was unpacked to, got a file"):
        read_corpus("in-the-wild", tmp_path / "file")
    with pytest.raises(ProtocolError, match=r"expected manifest.tsv or .*; none is there"):
        read_corpus("manifest", tmp_path)
