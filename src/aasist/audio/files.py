"""Which recordings a folder holds."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from aasist.errors import AudioError

# fmt: off
AUDIO_EXTENSIONS = frozenset((
    ".3g2", ".3gp", ".3gpp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".asf", ".au", ".avi", ".awb",
    ".caf", ".dsf", ".eac3", ".flac", ".flv", ".gsm", ".m2ts", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2",
    ".mp3", ".mp4", ".mpc", ".mpeg", ".mpg", ".mts", ".nist", ".oga", ".ogg", ".ogv", ".opus", ".qcp", ".ra", ".rf64",
    ".rm", ".snd", ".sph", ".spx", ".tak", ".ts", ".tta", ".voc", ".w64", ".wav", ".wave", ".weba", ".webm", ".wma",
    ".wmv", ".wv",
))
# fmt: on
"""Extensions, in lower case, by which a file in a folder is taken for a recording. A file named by hand needs none."""


def find_audio(
    folder: str | os.PathLike[str], *, on_error: Callable[[Path, AudioError], None] | None = None
) -> Iterator[Path]:
    """Recordings in ``folder`` and below it, sorted by name within each folder, as ``folder`` joined with their names.

    Links are followed, each folder is visited once however many links lead to it; names that start with a dot are
    skipped. A subfolder that cannot be read goes to ``on_error`` with its `AudioError`, or is raised without one, after
    everything else was given. Raises `AudioError` ``not_found``, ``permission`` or ``not_a_folder`` for ``folder``
    itself and ``no_audio_files`` when it holds none.
    """
    failed: list[AudioError] = []

    def report(path: Path, error: AudioError) -> None:
        if on_error is None:
            failed.append(error)
        else:
            on_error(path, error)

    found = False
    for path in _walk(Path(folder), report):
        found = True
        yield path
    if failed:
        raise failed[0]
    if not found:
        raise AudioError("no_audio_files", "the folder holds no audio or video file; give files by name to force one")


def _walk(root: Path, report: Callable[[Path, AudioError], None]) -> Iterator[Path]:
    """Depth first, in order of name; without recursion, since folders may be nested deeper than Python's stack."""
    visited: set[tuple[int, int]] = set()
    waiting = [iter([(root, True)])]
    while waiting:
        path, is_folder = next(waiting[-1], (None, False))
        if path is None:
            waiting.pop()
        elif is_folder:
            try:
                status = path.stat()
                if (status.st_dev, status.st_ino) not in visited:
                    visited.add((status.st_dev, status.st_ino))
                    waiting.append(iter(_entries(path, report)))
            except OSError as error:
                if path is root:
                    raise _folder_error(path, error) from None
                report(path, _folder_error(path, error))
        else:
            yield path


def _entries(folder: Path, report: Callable[[Path, AudioError], None]) -> list[tuple[Path, bool]]:
    """Recordings and folders right in ``folder``, sorted, and whether each is a folder."""
    entries = []
    with os.scandir(folder) as listing:
        for entry in sorted(listing, key=lambda entry: entry.name):
            named_as_recording = Path(entry.name).suffix.lower() in AUDIO_EXTENSIONS
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # a link to itself
                is_folder = is_file = False
            if entry.name.startswith("."):
                continue
            if is_folder or (is_file and named_as_recording):
                entries.append((folder / entry.name, is_folder))
            elif named_as_recording and not is_file and entry.is_symlink():
                report(folder / entry.name, AudioError("not_found", "a link that leads nowhere"))
    return entries


def _folder_error(folder: Path, error: OSError) -> AudioError:
    if isinstance(error, PermissionError):
        return AudioError("permission", f"no permission to list the folder {folder.name!r}; check its owner and mode")
    if isinstance(error, FileNotFoundError):
        return AudioError("not_found", "no such folder")
    if isinstance(error, NotADirectoryError):
        return AudioError("not_a_folder", "expected a folder, got a file")
    return AudioError("unreadable", f"the folder {folder.name!r} cannot be listed: {error.strerror or error}")
