"""Nobody is told of what is judged, by any package that we use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import ROOT

EXAMPLE = next((ROOT / "examples").glob("*.flac"))
JUDGED = f"from aasist import Detector; Detector('small').detect({str(EXAMPLE)!r})"


def left_by(code: str, home: Path) -> set[str]:
    """Names of the files that a program leaves in an empty home; what keeps reports from being made in tests is taken away."""
    home.mkdir()
    silencing = (
        "CI",
        "ORT_DISABLE_TELEMETRY",
        "ORT_RUNNING_UNIT_TESTS",
        "XDG_CACHE_HOME",
        "TF_BUILD",
        "GITHUB_ACTIONS",
    )
    environment = {name: value for name, value in os.environ.items() if name not in silencing}
    # Where a report would go: a proxy that nobody is behind.
    environment |= {"HOME": str(home), "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {path.name for path in home.rglob("*") if path.is_file()}


def test_onnx_runtime_does_not_report_what_is_judged(tmp_path: Path) -> None:
    if not left_by("import onnxruntime; onnxruntime.SessionOptions()", tmp_path / "alone"):
        pytest.skip("this build of ONNX Runtime reports nothing")
    assert left_by(JUDGED, tmp_path / "ours") == set()


def test_nor_do_processes_that_a_program_with_it_starts(tmp_path: Path) -> None:
    child = "import onnxruntime; onnxruntime.SessionOptions()"
    code = f"import aasist, subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    assert left_by(code, tmp_path / "ours") == set()


def test_one_that_was_imported_before_is_told_to_stop() -> None:
    code = (
        "import onnxruntime\n"
        "told = []\n"
        "onnxruntime.disable_telemetry_events = lambda: told.append('stop')\n"
        "import aasist\n"
        "assert told == ['stop']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, capture_output=True)
