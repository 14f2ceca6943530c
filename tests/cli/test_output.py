"""Places that results cannot go to are refused, in the same words whatever the verb."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from aasist.cli.output import require_files


def test_places_that_can_be_written_pass_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    require_files(
        (tmp_path / "new", "-o"), (tmp_path / "old", "--out"), (None, "--plot"), inputs=(None, tmp_path / "in")
    )
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("new", "./new", "-o and --out both name"),
        ("folder", None, "folder: it is a folder, a file was wanted"),
        ("/dev/null", None, "cannot write /dev/null: it is a device, a file was wanted"),
        ("none/new", None, "no such folder, or no permission"),
        ("given", None, "given is what was given: it would be replaced; name another file"),
        ("link", None, "link is what was given"),
        ("new", "given", "given is what was given"),
    ],
)
def test_places_that_cannot_be_are_named_with_the_reason(
    first: str, second: str | None, said: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "given").write_text("x")
    (tmp_path / "link").symlink_to("given")
    places = ((tmp_path / first, "-o"), (None if second is None else tmp_path / second, "--out"))
    with pytest.raises(click.UsageError) as caught:
        require_files(*places, inputs=(tmp_path / "given",))
    assert said in caught.value.message
