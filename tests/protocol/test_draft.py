"""Files are written whole or not at all."""

from __future__ import annotations

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


def test_a_new_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with replacing_text(tmp_path / "x.txt") as file:
        file.write("x")
    assert (tmp_path / "x.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode
