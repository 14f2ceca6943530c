"""Lines of text files: their numbers, and what is no text."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.errors import ProtocolError
from aasist.protocol import lines as module
from aasist.protocol.lines import first_line, read_blocks


def all_lines(path: Path) -> list[tuple[int, str]]:
    return [(number, line) for first, lines in read_blocks(path) for number, line in enumerate(lines, first)]


@pytest.mark.parametrize("block", [3, 7, 1 << 22])
@given(lines=st.lists(st.text(st.characters(blacklist_characters="\r\n\0", codec="utf-8"), max_size=6), min_size=1))
def test_lines_and_numbers_are_those_of_a_whole_read_whatever_the_block(
    tmp_path_factory: pytest.TempPathFactory, block: int, lines: list[str]
) -> None:
    path = tmp_path_factory.mktemp("lines") / "x.txt"
    path.write_bytes(("\n".join(lines) + "\n").encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK_BYTES", block)
        # A byte order mark at the start is not part of the first line.
        assert all_lines(path) == list(enumerate([lines[0].removeprefix("\ufeff"), *lines[1:]], 1))


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "end"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_crlf_a_byte_order_mark_and_gzip_make_no_difference(
    tmp_path: Path, ending: str, last: str, mark: bytes, pack: object
) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(pack(mark + f"a b{ending}{ending}é c{ending}{last}".encode()))  # type: ignore[operator]
    assert all_lines(path) == [(1, "a b"), (2, ""), (3, "é c"), *([(4, "end")] if last else [])]


def test_the_first_line_is_the_first_that_is_not_blank(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("\n  \nhere\nthere\n")
    assert first_line(tmp_path / "x") == (3, "here")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x.txt: the file is empty"),
        (b"\xef\xbb\xbf", "x.txt: the file is empty"),
        (b"a\nb\n\xe9 c\n", "x.txt:3: expected UTF-8 text, got the byte 0xe9"),
        ("a\nb\n".encode("utf-16"), "x.txt:1: expected UTF-8 text, got binary data or UTF-16"),
        (b"a\n\0\n", "x.txt:2: expected UTF-8 text, got binary data"),
        (gzip.compress(b"a b\n" * 1000, mtime=0)[:-20], "x.txt: the gzip stream is damaged or cut short"),
        (b"\x1f\x8b\x08\x00junk", "x.txt: the gzip stream"),
        (b"a\n" + b"x" * 5_000_000, "x.txt:2: the line is longer than 4 MiB"),
        (b"a\nb\n" + b"x" * 5_000_000 + b"\nc\n", "x.txt:3: the line is longer than 4 MiB"),
    ],
)
def test_what_is_no_text_is_refused_with_its_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(data)
    with pytest.raises(ProtocolError) as caught:
        all_lines(path)
    assert message in caught.value.message


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="no such file") as caught:
        all_lines(tmp_path / "absent.txt")
    assert caught.value.code == "not_found"
    with pytest.raises(ProtocolError, match="expected a file, got a folder"):
        all_lines(tmp_path)


def test_blank_lines_alone_hold_no_first_line(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("\n\n")
    with pytest.raises(ProtocolError, match="blank lines only"):
        first_line(tmp_path / "x")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """It has no writer: to open it would be to wait for one."""
    os.mkfifo(tmp_path / "scores")
    with pytest.raises(ProtocolError, match="save it to a file first"):
        first_line(tmp_path / "scores")
