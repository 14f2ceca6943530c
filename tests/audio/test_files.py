"""A folder is walked in order, each part of it once, and what cannot be read is reported."""

import inspect
import os
import sys
from pathlib import Path

import pytest

from aasist.audio.files import find_audio
from aasist.errors import AudioError


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_recordings_are_found_recursively_in_order_and_by_extension(tmp_path: Path) -> None:
    for name in ("b.wav", "a.FLAC", "c/z.m4a", "c/a.mp3", "d.txt", "README", ".hidden.wav", ".git/x.wav", "b/x.webm"):
        touch(tmp_path / name)
    found = [str(path.relative_to(tmp_path)) for path in find_audio(tmp_path)]
    assert found == ["a.FLAC", "b/x.webm", "b.wav", "c/a.mp3", "c/z.m4a"]


def test_paths_are_the_folder_as_given_joined_with_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "in" / "a.wav")
    monkeypatch.chdir(tmp_path)
    assert [str(path) for path in find_audio("in")] == [str(Path("in", "a.wav"))]


def test_links_to_files_are_followed_and_links_to_folders_never_loop(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "a.wav")
    touch(tmp_path / "elsewhere" / "b.wav")
    (tmp_path / "in" / "linked.wav").symlink_to(tmp_path / "elsewhere" / "b.wav")
    (tmp_path / "in" / "self").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    (tmp_path / "in" / "dangling.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "in" / "itself.wav").symlink_to(tmp_path / "in" / "itself.wav")
    broken: list[str] = []
    found = find_audio(tmp_path / "in", on_error=lambda path, error: broken.append(f"{path.name} {error.code}"))
    assert [str(path.relative_to(tmp_path / "in")) for path in found] == ["a.wav", "linked.wav", "up/elsewhere/b.wav"]
    assert broken == ["dangling.wav not_found", "itself.wav not_found"]


def test_folders_nested_deeper_than_the_stack_are_walked(tmp_path: Path) -> None:
    deepest = tmp_path.joinpath(*["d"] * 150)
    touch(deepest / "a.wav")
    limit, depth = sys.getrecursionlimit(), len(inspect.stack(0))
    sys.setrecursionlimit(depth + 100)
    try:
        assert list(find_audio(tmp_path)) == [deepest / "a.wav"]
    finally:
        sys.setrecursionlimit(limit)


def test_a_folder_without_recordings_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt")
    with pytest.raises(AudioError) as caught:
        list(find_audio(tmp_path))
    assert caught.value.code == "no_audio_files"


def test_a_missing_folder_and_a_file_are_errors(tmp_path: Path) -> None:
    for path, code in ((tmp_path / "none", "not_found"), (touch(tmp_path / "a.wav"), "not_a_folder")):
        with pytest.raises(AudioError) as caught:
            list(find_audio(path))
        assert caught.value.code == code


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with recordings around a subfolder that cannot be listed, for root neither."""
    for name in ("a.wav", "secret/b.wav", "z.wav"):
        touch(tmp_path / name)
    really_scandir = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied")
        return really_scandir(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return tmp_path


def test_an_unreadable_subfolder_is_reported_and_the_rest_is_found(locked: Path) -> None:
    reported: list[tuple[str, str]] = []
    found = [path.name for path in find_audio(locked, on_error=lambda p, e: reported.append((p.name, e.code)))]
    assert found == ["a.wav", "z.wav"]
    assert reported == [("secret", "permission")]


def test_an_unreadable_subfolder_is_raised_at_the_end_when_nobody_listens(locked: Path) -> None:
    walk = find_audio(locked)
    assert [next(walk).name, next(walk).name] == ["a.wav", "z.wav"]
    with pytest.raises(AudioError) as caught:
        next(walk)
    assert caught.value.code == "permission"
