"""Imports point downwards between the rooms, and a light install never meets torch."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import aasist

PACKAGE = Path(aasist.__file__).parent

RANKS = {
    "errors": 1, "trial": 1, "recipe": 1, "session": 1, "parallel": 1, "files": 1,
    "keys": 1, "recipefile": 1, "wire": 1,
    "audio": 2, "protocol": 2, "evaluation": 2, "monitoring": 2,
    "model": 3, "runtime": 3,
    "training": 4, "corpus": 4, "export": 4, "trials": 4, "bench": 4, "service": 4,
    "cli": 5,
    "__init__": 6, "__main__": 6,
}  # fmt: skip
"""Room -> how high it stands. The shared nouns of rank 1 are one room; ``models`` holds files, no code."""

LAZILY_BY_NAME = {("runtime/models.py", "aasist.model.session")}
"""The one way from the runtime to torch: a session for a checkpoint, resolved by name when it is asked for."""

TORCH = {"torch", "safetensors", "onnx", "onnxscript", "transformers"}
WEB = {"fastapi", "starlette", "uvicorn", "websockets", "httpx"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """``aasist/audio/read.py`` -> ``audio``; ``aasist/errors.py`` -> ``errors``."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(tree: ast.AST, path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports anywhere in it, type checking and functions included."""
    package = ["aasist", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*above, *filter(None, [node.module])])
            # `from aasist import x` names the room in its list.
            yield from (f"{name}.{alias.name}" for alias in node.names) if name == "aasist" else (name,)


def rooms_imported(path: Path) -> set[str]:
    names = set(imported(ast.parse(path.read_text(encoding="utf-8")), path))
    inside = {name.split(".")[1] if "." in name else "__init__" for name in names if name.split(".")[0] == "aasist"}
    return {room if room in RANKS else "__init__" for room in inside}


def test_every_module_lies_in_a_room_of_the_design() -> None:
    unknown = {room_of(path) for path in modules()} - set(RANKS)
    assert not unknown, f"no place in the order of rooms for {unknown}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_from_its_own_room_and_from_lower_ones_only(path: Path) -> None:
    room = room_of(path)
    for other in rooms_imported(path):
        shared_nouns = RANKS[room] == RANKS[other] == 1
        assert other == room or RANKS[other] < RANKS[room] or shared_nouns, f"{room} must not import {other}"


def test_the_walk_finds_every_form_of_import() -> None:
    text = "import aasist.cli.rows as r\nfrom aasist import model\nfrom aasist.export.onnx import export\ndef f():\n from ..service import app\nif 0:\n from . import onnx"
    names = set(imported(ast.parse(text), PACKAGE / "runtime" / "x.py"))
    assert names == {"aasist.cli.rows", "aasist.model", "aasist.export.onnx", "aasist.service", "aasist.runtime"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_only_the_rooms_that_train_and_export_name_torch(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(ast.parse(path.read_text(encoding="utf-8")), path)}
    if room_of(path) not in {"model", "export", "training"}:
        assert not roots & TORCH
    if RANKS[room_of(path)] < 4:
        assert not roots & WEB


def test_modules_named_in_strings_are_below_or_the_one_exception() -> None:
    found = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("aasist."):
                room = node.value.split(".")[1]
                if room in RANKS and RANKS[room] >= RANKS[room_of(path)] and room != room_of(path):
                    found.add((path.relative_to(PACKAGE).as_posix(), node.value))
    assert found == LAZILY_BY_NAME


REPORT = (
    "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)"
)


def loaded(code: str, *arguments: str | os.PathLike[str]) -> set[str]:
    """Top-level packages that a fresh process holds after it has run ``code``."""
    words = [sys.executable, "-c", f"{code}\n{REPORT}", *map(os.fspath, arguments)]
    result = subprocess.run(words, capture_output=True, timeout=120, check=True)
    return set(json.loads(result.stderr.decode().splitlines()[-1]))


VERB = "import sys\nfrom aasist.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code"


@pytest.mark.parametrize(
    "code", ["import aasist", "from aasist import Detector", "from aasist import Detector, Verdict, ReadLimits"]
)
def test_an_import_of_the_package_never_loads_torch(code: str) -> None:
    packages = loaded(code)
    assert "aasist" in packages
    assert not packages & (TORCH | WEB | {"matplotlib"})


def test_an_import_of_the_package_alone_loads_neither_numpy_nor_the_runtime() -> None:
    assert not loaded("import aasist") & {"numpy", "onnxruntime", "av", "soundfile", "click", "rich"}


def test_a_whole_detect_never_loads_torch_nor_ffmpeg_where_libsndfile_reads_the_file(recording: Path) -> None:
    for options in ((), ("--json",)):
        packages = loaded(VERB, "detect", *options, recording)
        assert "onnxruntime" in packages
        assert not packages & (TORCH | WEB | {"matplotlib", "av"})


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("detect", "--help"), ("models",), ("export", "--help"), ("quantize", "--help")],
    ids=" ".join,
)
def test_help_and_the_list_of_models_load_neither_the_runtime_nor_torch(arguments: tuple[str, ...]) -> None:
    packages = loaded(VERB, *arguments)
    assert "click" in packages
    assert not packages & (TORCH | {"onnxruntime", "av", "soundfile", "soxr", "matplotlib"})


def test_help_of_the_command_loads_no_numpy_either() -> None:
    assert "numpy" not in loaded(VERB, "--help")
    assert "numpy" not in loaded(VERB, "detect", "--help")


def test_the_public_names_are_those_of_all_and_others_are_refused() -> None:
    for name in aasist.__all__:
        assert getattr(aasist, name).__module__.startswith("aasist.")
    with pytest.raises(AttributeError, match="no attribute 'Decoder'"):
        _ = aasist.Decoder
