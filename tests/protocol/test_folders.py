"""Folders bonafide and spoof of anyone's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aasist.audio.files import AUDIO_EXTENSIONS
from aasist.errors import ProtocolError
from aasist.protocol.folders import AUDIO, read_labelled_folders
from aasist.trial import Trials


def touch(root: Path, *names: str) -> Path:
    """Empty files of these names: labels are the folders, nothing is listened to."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def rows(trials: Trials) -> list[tuple[str, str, bool, str]]:
    assert trials.bonafide is not None
    columns = (trials.ids, trials.columns["path"], trials.bonafide, trials.columns["attack"])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_labels_are_the_folders_and_the_first_one_below_spoof_is_the_attack(tmp_path: Path) -> None:
    touch(tmp_path, "bonafide/b.wav", "bonafide/ann/a.FLAC", "spoof/x.mp3", "spoof/vits/en/y.m4a", "spoof/vits/z.opus")
    assert rows(read_labelled_folders(tmp_path, "all")) == [
        ("bonafide/ann/a", "bonafide/ann/a.FLAC", True, "-"),
        ("bonafide/b", "bonafide/b.wav", True, "-"),
        ("spoof/vits/en/y", "spoof/vits/en/y.m4a", False, "vits"),
        ("spoof/vits/z", "spoof/vits/z.opus", False, "vits"),
        ("spoof/x", "spoof/x.mp3", False, "spoof"),
    ]


def test_texts_hidden_files_hidden_folders_and_folders_named_like_recordings_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "bonafide/a.wav", "bonafide/readme.txt", "bonafide/.b.wav", "bonafide/.trash/c.wav")
    touch(tmp_path, "spoof/a.wav", "spoof/d.wav/inner.wav")
    paths = [path for _, path, _, _ in rows(read_labelled_folders(tmp_path, "all"))]
    assert paths == ["bonafide/a.wav", "spoof/a.wav", "spoof/d.wav/inner.wav"]


def test_links_are_followed_and_a_circle_ends(tmp_path: Path) -> None:
    elsewhere = touch(tmp_path / "elsewhere", "a.wav", "deep/b.wav")
    root = touch(tmp_path / "root", "bonafide/a.wav")
    (root / "spoof").mkdir()
    (root / "spoof" / "vits").symlink_to(elsewhere)
    (elsewhere / "deep" / "up").symlink_to(elsewhere)
    found = rows(read_labelled_folders(root, "all"))
    assert [(path, attack) for _, path, label, attack in found if not label] == [
        ("spoof/vits/a.wav", "vits"),
        ("spoof/vits/deep/b.wav", "vits"),
    ]


def test_every_extension_that_detect_looks_for_counts() -> None:
    assert AUDIO == AUDIO_EXTENSIONS


@pytest.mark.parametrize(
    ("names", "place", "said"),
    [
        (["bonafide/a.wav"], "", "expected folders bonafide and spoof, spoof is not there"),
        (["a.wav"], "", "bonafide and spoof is not there"),
        (["bonafide/a.wav", "spoof/readme.txt"], "/spoof", "expected recordings here or below, found none"),
        (["bonafide/.a.wav", "spoof/b.wav"], "/bonafide", "expected recordings here or below, found none"),
        (["bonafide/a.wav", "bonafide/a.mp3", "spoof/b.wav"], "", "two recordings are named 'bonafide/a'"),
    ],
)
def test_folders_that_are_no_corpus_are_an_error_that_names_the_folder(
    names: list[str], place: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_labelled_folders(touch(tmp_path, *names), "all")
    assert caught.value.message.startswith(f"{tmp_path}{place}: ")
    assert said in caught.value.message


def test_a_name_that_is_no_utf_8_is_an_error_that_shows_it(tmp_path: Path) -> None:
    touch(tmp_path, "bonafide/a.wav", "spoof/b.wav")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/spoof/caf\xe9.wav")).touch()
    with pytest.raises(ProtocolError, match=r"caf\\udce9\.wav: the name is no UTF-8 text"):
        read_labelled_folders(tmp_path, "all")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    touch(tmp_path, "bonafide/a.wav", "spoof/a.wav", "spoof/shut/b.wav")
    (tmp_path / "spoof" / "shut").chmod(0)
    try:
        with pytest.raises(ProtocolError, match=r"spoof/shut: cannot be read: Permission denied"):
            read_labelled_folders(tmp_path, "all")
    finally:
        (tmp_path / "spoof" / "shut").chmod(0o700)
