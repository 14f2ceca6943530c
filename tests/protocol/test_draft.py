"""Files of trials and scores are written whole or not at all, and what went wrong is in the words of the room."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from aasist.errors import ProtocolError
from aasist.protocol.draft import replacing_text


@pytest.mark.parametrize("name", ["x.txt", "x.txt.gz"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("old")

    def write() -> None:
        with replacing_text(path) as file:
            file.write("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_text_gives_the_same_gzip_bytes(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        with replacing_text(tmp_path / name) as file:
            file.write("the same")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(ProtocolError, match=r"the folder .*absent cannot be written to"),
        replacing_text(tmp_path / "absent" / "x.txt"),
    ):
        pass


@pytest.mark.parametrize("name", ["x.txt", "x.txt.gz"])
def test_a_full_disk_is_an_error_with_the_path_and_leaves_the_old_file(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / name).write_text("old")
    monkeypatch.setattr(os, "fsync", full)

    def write() -> None:
        with replacing_text(tmp_path / name) as file:
            file.write("new")

    with pytest.raises(ProtocolError, match=rf"{name}: the file cannot be written to: No space left on device"):
        write()
    assert (tmp_path / name).read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_a_folder_or_a_pipe_is_no_place_for_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, message in ((tmp_path, "it is a folder"), (tmp_path / "pipe", "it is a device or a pipe")):
        with pytest.raises(ProtocolError, match=message), replacing_text(path):
            pass
    assert (tmp_path / "pipe").is_fifo()
