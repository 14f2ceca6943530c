"""The catalogue: engines of ours, of other packages and of files."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from aasist.corpus.catalogue import GROUP, Places, engines, runnable
from aasist.corpus.engine import Copier, EngineError, Speaker
from aasist.corpus.engines import ENGINES as OURS

from . import spoken
from .spoken import ENGINES

ROOT = Path(__file__).parents[2]


def test_every_engine_of_ours_says_what_it_is_and_what_it_lacks() -> None:
    known = engines()
    assert set(OURS) <= set(known)
    for name in OURS:
        engine = known[name]
        assert engine.name == name
        assert engine.technology
        assert engine.licence
        assert not engine.missing() or re.match(r"(pip|apt-get|npm) install", engine.missing())


def test_a_file_gives_its_engines_and_names_what_is_wrong_with_it(tmp_path: Path) -> None:
    known = engines(Places((str(ENGINES),)))
    assert isinstance(known["beeper"], Speaker)
    assert isinstance(known["rough"], Copier)
    for text, said in (
        ("x = 1\n", "no class in it"),
        ("import nothing_like_it\n", "ModuleNotFoundError"),
        ("from aasist.corpus.engine import Copier\nclass A(Copier):\n    name = 'x'\n", "abstract method .?copy"),
        (
            "from aasist.corpus.engine import Copier\nclass A(Copier):\n    copy = print\n    name = 'Two Words'\n",
            "lower-case",
        ),
        (
            "from aasist.corpus.engine import Copier\nclass A(Copier):\n    copy = print\n    name = 'lpc'\n",
            "two engines are called 'lpc'",
        ),
        (
            "from aasist.corpus.engine import Copier\nclass A(Copier):\n    copy = print\n    name, kind = 'x', 'tts'\n",
            "another class",
        ),
        (
            "from aasist.corpus.engine import Copier\nclass A(Copier):\n    copy = print\n    name, kind = 'x', 'mp3'\n",
            "must be of a kind",
        ),
    ):
        file = tmp_path / "mine.py"
        file.write_text(text)
        with pytest.raises(EngineError, match=said):
            engines(Places((str(file),)))
    with pytest.raises(EngineError, match="expected a file in Python"):
        engines(Places((str(tmp_path / "none.py"),)))


def test_an_entry_point_gives_an_engine_and_a_broken_one_is_listed_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "tests.corpus.mini"
    points = [
        metadata.EntryPoint("absent", f"{module}:Absent", GROUP),
        metadata.EntryPoint("gone", "nothing_like_it:Engine", GROUP),
    ]
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(metadata, "entry_points", lambda group: points if group == GROUP else [])
    known = engines()
    assert known["absent"].missing() == "pip install absent"
    assert "ModuleNotFoundError" in known["gone"].missing()
    assert "gone" not in runnable(known, Copier, (), "copies.engines")


def test_where_nothing_runs_every_line_that_would_help_is_said() -> None:
    known = {"absent": engines(Places((str(ENGINES),)))["absent"]}
    with pytest.raises(EngineError, match=r"no engine can run here; install one \(absent: pip install absent\)"):
        runnable(known, Copier, (), "copies.engines")


def own_engine() -> str:
    """The engine that docs/corpus.md shows."""
    text = (ROOT / "docs" / "corpus.md").read_text(encoding="utf-8")
    found = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Copier" in block]
    assert len(found) == 1
    return found[0]


def test_the_engine_of_the_documentation_is_whole_in_30_lines(tmp_path: Path, manifest: Path) -> None:
    text = own_engine()
    assert len(text.splitlines()) <= 30
    file = tmp_path / "mine.py"
    file.write_text(text)
    known = engines(Places((str(file),)))
    (name,) = {*known} - {*engines()}
    summary = spoken.built(manifest, tmp_path / "corpus", data__engines=(str(file),), copies__engines=(name,))
    assert summary.made[name] == 12
    assert not summary.failed
    samples = spoken.voice(0)
    engine = known[name]
    assert isinstance(engine, Copier)
    copies = [engine.copy(samples, np.random.default_rng(0))[0] for _ in range(2)]
    assert np.array_equal(*copies)
