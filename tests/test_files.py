"""Files and folders are written whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.files import Draft, replacing, write, write_folder


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@given(old=st.none() | st.binary(max_size=64), new=st.binary(max_size=64), failing=st.booleans())
def test_a_file_is_what_it_was_or_what_was_written(
    old: bytes | None, new: bytes, failing: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("files")
    path = folder / "x.bin"
    if old is not None:
        path.write_bytes(old)
    try:
        with replacing(path) as file:
            file.write(new)
            assert (path.read_bytes() if path.exists() else None) == old, "nobody sees half of it"
            if failing:
                raise RuntimeError
    except RuntimeError:
        pass
    expected = old if failing else new
    assert (path.read_bytes() if path.exists() else None) == expected
    assert [entry.name for entry in folder.iterdir()] == ([] if expected is None else ["x.bin"])


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(143), OSError(errno.EIO, "error")], ids=repr)
def test_whatever_ends_the_block_the_old_file_stays_and_the_error_is_handed_on(
    stop: BaseException, tmp_path: Path
) -> None:
    write(tmp_path / "x.pt", b"old")

    def stopped() -> None:
        with replacing(tmp_path / "x.pt") as file:
            file.write(b"half")
            raise stop

    with pytest.raises(type(stop)) as caught:
        stopped()
    assert caught.value is stop
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"x.pt": b"old"}


KILLED = """
import os, signal, sys
from aasist.files import replacing
with replacing(sys.argv[1]) as file:
    file.write(bytes(1 << 20))
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, path], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    (left,) = (entry for entry in tmp_path.iterdir() if entry != path)
    assert (left.name[0], left.suffix) == (".", ".part"), "what nobody could clear away is hidden and says what it is"


FULL = """
import resource, signal, sys
from aasist.files import replacing
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with replacing(sys.argv[1]) as file:
        for _ in range(int(sys.argv[2])):
            file.write(bytes(1_000))
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.parametrize("blocks", [101, 1_000], ids=["in the last buffer", "on the way"])
def test_a_file_that_the_system_does_not_take_whole_leaves_the_old_one(tmp_path: Path, blocks: int) -> None:
    """A limit on the size of files stands for a full disk: the write itself fails, wherever it is."""
    path = tmp_path / "x.pt"
    path.write_bytes(b"old")
    command = [sys.executable, "-W", "error", "-c", FULL, str(path), str(blocks)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "File too large\n", "")
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"x.pt": b"old"}


def full(*arguments: object, **named: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("step", [(os, "fsync"), (Path, "replace")], ids=["fsync", "replace"])
def test_a_full_disk_at_the_last_moment_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: tuple[object, str]
) -> None:
    write(tmp_path / "x.pt", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(*step, full)
        with pytest.raises(OSError, match="No space left on device"):
            write(tmp_path / "x.pt", b"new")
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"x.pt": b"old"}


def test_it_is_on_the_disk_before_it_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sync, seen = tmp_path / "x.pt", os.fsync, []
    path.write_bytes(b"old")

    def watched(handle: int) -> None:
        sync(handle)
        seen.append((path.read_bytes(), os.fstat(handle).st_size))

    monkeypatch.setattr(os, "fsync", watched)
    write(path, b"newer")
    assert seen == [(b"old", 5)]
    assert path.read_bytes() == b"newer"


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "link").symlink_to("below/real")
    for content in (b"first", b"second"):  # where it leads to need not be there yet
        write(tmp_path / "link", content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "below" / "real").read_bytes() == content
    assert [entry.name for entry in (tmp_path / "below").iterdir()] == ["real"]


def test_a_new_file_has_the_permissions_of_any_other_and_one_that_is_replaced_keeps_its_own(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    write(path, b"")
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
    for mode in (0o600, 0o640, 0o444):
        path.chmod(mode)
        write(path, b"secret")
        assert path.stat().st_mode & 0o777 == mode


def test_what_has_the_old_file_open_goes_on_reading_the_old_file(tmp_path: Path) -> None:
    write(tmp_path / "x.bin", b"old")
    with open(tmp_path / "x.bin", "rb") as reading:
        write(tmp_path / "x.bin", b"new")
        assert reading.read() == b"old"


def test_a_name_as_long_as_the_file_system_allows_is_no_longer_while_it_is_written(tmp_path: Path) -> None:
    for name in ("x" * 255, "\U0001f600" * 63):
        write(tmp_path / name, b"content")
        assert (tmp_path / name).read_bytes() == b"content"


def test_what_is_no_file_is_refused_and_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, number in ((".", errno.EISDIR), ("pipe", errno.EINVAL), ("loop", errno.ELOOP), ("no/x", errno.ENOENT)):
        with pytest.raises(OSError, match=r".") as caught:
            write(tmp_path / name, b"content")
        assert caught.value.errno == number, name
    assert (tmp_path / "pipe").is_fifo()
    assert {entry.name for entry in tmp_path.iterdir()} == {"pipe", "loop"}


def test_a_block_may_close_the_file_itself(tmp_path: Path) -> None:
    with replacing(tmp_path / "x.bin") as file:
        file.write(b"content")
        file.close()
    assert (tmp_path / "x.bin").read_bytes() == b"content"


def test_a_draft_may_take_another_name_or_none(tmp_path: Path) -> None:
    with Draft(tmp_path / "x.jsonl") as draft:
        draft.file.write(b"so far")
        draft.take(tmp_path / "x.jsonl.part")
    with Draft(tmp_path / "y.jsonl") as draft:
        draft.file.write(b"nothing")
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"x.jsonl.part": b"so far"}


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


REPORT = {"a.json": b"1", "b.md": b"2", "c.html": b"3"}


def test_a_new_folder_takes_its_name_when_all_is_written_with_the_folders_above_it(tmp_path: Path) -> None:
    write_folder(tmp_path / "new" / "run", REPORT)
    assert tree(tmp_path / "new" / "run") == REPORT
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["run"]
    assert (tmp_path / "new" / "run").stat().st_mode & 0o777 == 0o777 & ~umask()


def test_a_folder_that_is_there_keeps_its_other_files_and_links_to_it_stay(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "notes.txt").write_bytes(b"mine")
    (tmp_path / "real" / "b.md").write_bytes(b"old")
    (tmp_path / "real" / "b.md").chmod(0o600)
    write_folder(tmp_path / "link", REPORT)
    assert tree(tmp_path / "real") == {**REPORT, "notes.txt": b"mine"}
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "b.md").stat().st_mode & 0o777 == 0o600


def failing_at(number: int, really: Callable[..., object]) -> Callable[..., object]:
    calls = []

    def act(*arguments: object, **named: object) -> object:
        calls.append(arguments)
        if len(calls) == number:
            full()
        return really(*arguments, **named)

    return act


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(
    ("existing", "step"),
    [
        (True, (Path, "write_bytes")),
        (True, (os, "fsync")),
        (True, (Path, "replace")),
        (False, (Path, "write_bytes")),
        (False, (os, "fsync")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "existing" if value else "new",
)
def test_a_full_disk_at_any_moment_leaves_everything_as_it_was(
    existing: bool, number: int, step: tuple[object, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a" / "b"
    if existing:
        folder.mkdir(parents=True)
        (folder / "b.md").write_bytes(b"old")
        (folder / "elsewhere").write_bytes(b"linked")
        (folder / "a.json").symlink_to("elsewhere")
    before = tree(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(*step, failing_at(number, getattr(*step)))
        with pytest.raises(OSError, match="No space left"):
            write_folder(folder, REPORT)
    assert tree(tmp_path) == before
    assert not existing or (folder / "a.json").is_symlink()
