"""Corpora whose labels are their folders: WaveFake, Fake-or-Real, MLAAD, and folders of anyone's own."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from aasist.errors import ProtocolError
from aasist.protocol.manifest import without_extension
from aasist.protocol.table import read_header_columns, require_columns
from aasist.trial import NO_ATTACK, Trials, strings

# fmt: off
AUDIO = frozenset((
    ".3g2", ".3gp", ".3gpp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".asf", ".au", ".avi", ".awb",
    ".caf", ".dsf", ".eac3", ".flac", ".flv", ".gsm", ".m2ts", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2",
    ".mp3", ".mp4", ".mpc", ".mpeg", ".mpg", ".mts", ".nist", ".oga", ".ogg", ".ogv", ".opus", ".qcp", ".ra", ".rf64",
    ".rm", ".snd", ".sph", ".spx", ".tak", ".ts", ".tta", ".voc", ".w64", ".wav", ".wave", ".weba", ".webm", ".wma",
    ".wmv", ".wv",
))
# fmt: on
"""What the folders hold beside texts: the extensions that ``aasist detect`` looks for in a folder."""

_Row = tuple[Path, bool, dict[str, str]]
"""A recording, whether it is bona fide, and what is known of it."""

JSUT = Path("jsut_ver1.1/basic5000/wav")
LJSPEECH = Path("LJSpeech-1.1/wavs")
MAILABS = ("M-AILABS", "m-ailabs", "mailabs", "real")


def read_wavefake(root: Path, subset: str) -> Trials:
    """WaveFake, subset ``ljspeech``, ``jsut`` or ``all``: a folder a vocoder, named ``<corpus>_<vocoder>``.

    Layout: ``generated_audio/ljspeech_melgan/*.wav`` (or the vocoders' folders right below the root), and beside it the
    recordings they were made from, ``LJSpeech-1.1/wavs/*.wav`` and ``jsut_ver1.1/basic5000/wav/*.wav``: bona fide,
    where they are there. Frank & Schönherr, NeurIPS 2021; zenodo.org/records/5642694.
    """
    generated = root / "generated_audio" if (root / "generated_audio").is_dir() else root
    corpora = ("ljspeech", "jsut") if subset == "all" else (subset,)
    vocoders = [
        folder
        for folder in _folders(generated)
        if folder.name.startswith(tuple(f"{corpus}_" for corpus in corpora))
        or ("ljspeech" in corpora and folder.name.startswith("common_voices_"))
    ]
    if not vocoders:
        raise ProtocolError(
            f"expected WaveFake's folders of vocoders ({corpora[0]}_...) here or in generated_audio, found none",
            path=root,
        )

    def rows() -> Iterator[_Row]:
        for corpus, folder in (("ljspeech", root / LJSPEECH), ("jsut", root / JSUT)):
            if corpus in corpora and folder.is_dir():
                for path in _recordings(folder):
                    yield path, True, {"corpus": corpus, "language": _language(corpus)}
        for folder in vocoders:
            corpus = "jsut" if folder.name.startswith("jsut_") else "ljspeech"
            for path in _recordings(folder):
                yield path, False, {"attack": folder.name, "corpus": corpus, "language": _language(corpus)}

    return _trials(root, rows())


def read_labelled_folders(root: Path, subset: str) -> Trials:
    """Recordings of anyone's own, below folders ``bonafide`` and ``spoof``, however deep; links are followed.

    The first folder below ``spoof`` names the attack where there is one: ``spoof/vits/0001.wav``. Names that start with
    a dot are passed over. Raises `ProtocolError` where one of the two is missing or holds no recording, a folder cannot
    be read, and a name is no UTF-8 or stands twice but for its extension.
    """
    missing = [name for name in ("bonafide", "spoof") if not (root / name).is_dir()]
    if missing:
        raise ProtocolError(f"expected folders bonafide and spoof, {' and '.join(missing)} is not there", path=root)

    def rows() -> Iterator[_Row]:
        for path in _own_recordings(root / "bonafide"):
            yield path, True, {}
        for path in _own_recordings(root / "spoof"):
            below = path.relative_to(root / "spoof").parts
            yield path, False, {"attack": below[0] if len(below) > 1 else "spoof"}

    return _trials(root, rows())


def read_fake_or_real(root: Path, subset: str) -> Trials:
    """Fake-or-Real, subset ``training``, ``validation`` or ``testing``: folders ``real`` and ``fake``.

    Layout: ``for-norm/training/real/*.wav``; the root is one of the versions (``for-original``, ``for-norm``,
    ``for-2sec``, ``for-rerec``), or a folder that holds one alone. Reimao & Tzerpos, SpeD 2019.
    """
    below = [folder for folder in root.glob("for-*") if (folder / subset).is_dir()]
    nested = [folder for folder in root.glob("for-*/for-*") if (folder / subset).is_dir()]
    homes = [root] if (root / subset).is_dir() else below or nested
    if len(homes) != 1:
        found = ", ".join(folder.name for folder in sorted(homes)) or "none"
        raise ProtocolError(
            f"expected one folder with {subset}/real and {subset}/fake, found {found}: name one version as the root",
            path=root,
        )
    folders = {True: homes[0] / subset / "real", False: homes[0] / subset / "fake"}
    for folder in folders.values():
        if not folder.is_dir():
            raise ProtocolError("no such folder: expected recordings of Fake-or-Real there", path=folder)
    # Which synthesizer made a file is not published.
    rows: Iterator[_Row] = ((path, label, {}) for label, folder in folders.items() for path in _recordings(folder))
    return _trials(root, rows)


def read_mlaad(root: Path, subset: str) -> Trials:
    """MLAAD, subset ``all``: a folder a language and a model, each with its ``meta.csv``, columns separated by ``|``.

    Layout: ``fake/<language>/<model>/meta.csv`` whose ``path`` is ``./fake/<language>/<model>/<name>.wav``. All are
    spoofs; bona fide are the recordings of M-AILABS, if they lie in a folder ``M-AILABS`` or ``real`` (languages named
    as in ``en_US/by_book/...``). Müller et al., IJCNN 2024, arXiv:2401.09512; its README.
    """
    metas = sorted((root / "fake").glob("*/*/meta.csv"))
    if not metas:
        raise ProtocolError("expected MLAAD's fake/<language>/<model>/meta.csv, found none", path=root)

    def rows() -> Iterator[_Row]:
        for folder in (root / name for name in MAILABS):
            if folder.is_dir():
                for path in _recordings(folder, deep=True):
                    language = path.relative_to(folder).parts[0].partition("_")[0]
                    yield path, True, {"language": language}
                break
        for meta in metas:
            table = read_header_columns(meta, "|", quoted=True)
            require_columns(table, ["path", "language", "model_name"])
            texts = [table.columns[name].tolist() for name in ("path", "language", "model_name")]
            architecture = table.columns["architecture"].tolist() if "architecture" in table.columns else None
            for row, (text, language, model) in enumerate(zip(*texts, strict=True)):
                if not text:
                    raise table.error("the column 'path' is empty", row)
                known = {"attack": model, "language": language}
                if architecture is not None:
                    known["architecture"] = architecture[row]
                # Some versions name the file alone.
                yield (root / text if text.startswith(("./", "fake/")) else meta.parent / text), False, known

    return _trials(root, rows())


def _trials(root: Path, rows: Iterable[_Row]) -> Trials:
    paths, labels, known = [], [], []
    for path, label, values in rows:
        paths.append(path.relative_to(root).as_posix())
        labels.append(label)
        known.append(values)
    ids = [without_extension(path) for path in paths]
    if len({*ids}) != len(ids):
        twice = next(trial for trial, count in Counter(ids).items() if count > 1)
        raise ProtocolError(
            f"two recordings are named {twice!r}, but for their extensions: rename or remove one", path=root
        )
    bonafide = np.array(labels, dtype=bool)
    columns = {"path": strings(paths)}
    for name in sorted({name for values in known for name in values} | {"attack"}):
        columns[name] = strings(values.get(name, "") for values in known)
    columns["attack"][bonafide] = NO_ATTACK
    return Trials(strings(ids), bonafide, columns, str(root))


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _recordings(folder: Path, *, deep: bool = False) -> list[Path]:
    found = folder.rglob("*") if deep else folder.iterdir()
    return sorted(path for path in found if path.suffix.lower() in AUDIO and not path.name.startswith("."))


def _own_recordings(folder: Path) -> list[Path]:
    """Recordings below ``folder``, sorted; a folder that several links lead to is visited once."""
    found: list[Path] = []
    visited: set[tuple[int, int]] = set()
    for here, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        status = Path(here).stat()
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        # A link that leads nowhere is among them: it is named among the trials without a score.
        found += [Path(here, name) for name in names if not name.startswith(".") and Path(name).suffix.lower() in AUDIO]
    if not found:
        raise ProtocolError("expected recordings here or below, found none", path=folder)
    for path in found:
        try:
            str(path).encode()
        except UnicodeEncodeError as error:
            shown = str(path).encode(errors="backslashreplace").decode()
            raise ProtocolError("the name is no UTF-8 text: rename the file", path=shown) from error
    return sorted(found)


def _refuse(error: OSError) -> None:
    raise ProtocolError(f"cannot be read: {error.strerror or error}", path=error.filename) from error


def _language(corpus: str) -> str:
    return "ja" if corpus == "jsut" else "en"
