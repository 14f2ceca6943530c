"""What README and docs say is what the code does."""

import hashlib
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import soundfile
from click.testing import CliRunner

from aasist.cli import aasist
from aasist.evaluation.det import eer
from aasist.protocol.scores import read_scores

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with every file that README's commands name, made from the examples."""
    examples = ROOT / "examples"
    shutil.copy(examples / "spoof-kokoro-en.m4a", tmp_path / "call.m4a")
    samples, rate = soundfile.read(examples / "human-librivox-en.flac")
    soundfile.write(tmp_path / "suspicious.mp3", samples, rate)
    for folder in ("interviews", "more"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "one.wav", samples, rate)
    shutil.copy(ROOT / "src/aasist/models/efficient.onnx", tmp_path / "mine.onnx")
    (tmp_path / "examples").mkdir()
    shutil.copy(examples / "scores.tsv", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shell_lines() -> list[str]:
    """The lines of README's sh blocks, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


DETECT_LINES = [line for line in shell_lines() if line.startswith(("aasist detect", "aasist models", "aasist metrics"))]


def test_the_readme_names_the_two_commands_and_at_least_five_calls():
    assert {"make detect", "make test"} <= set(shell_lines())
    assert len(DETECT_LINES) >= 5


@pytest.mark.parametrize("line", DETECT_LINES)
def test_each_command_of_the_readme_runs_as_written(line, desk):
    result = CliRunner().invoke(aasist, shlex.split(line)[1:])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip()


def test_the_python_snippet_of_the_readme_gives_a_verdict(desk):
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (desk / "snippet.py").write_text(snippet)
    names = runpy.run_path(str(desk / "snippet.py"))
    assert names["verdict"].label in {"bonafide", "spoof"}
    assert 0.0 <= names["verdict"].score <= 1.0
    assert names["verdict"].segments


def test_the_snippets_on_streams_and_on_the_cascade_run_as_written(desk, capsys):
    samples, _ = soundfile.read(desk / "interviews/one.wav", dtype="float32")
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/streaming.md").read_text(), re.DOTALL)
    (desk / "stream.py").write_text(snippet)
    names = runpy.run_path(str(desk / "stream.py"), init_globals={"packets": [samples[::2]]})
    assert '"type": "provisional"' in capsys.readouterr().out
    assert names["final"].verdict.label in {"bonafide", "spoof"}
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/cascade.md").read_text(), re.DOTALL)
    (desk / "cascade.py").write_text(snippet)
    runpy.run_path(str(desk / "cascade.py"))


def test_generated_parts_of_the_docs_are_as_the_code_would_write_them(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    main = runpy.run_path(str(ROOT / "docs/generate.py"))["main"]
    assert main() == 0, capsys.readouterr().err


def test_the_model_card_figures_are_those_of_the_shipped_file():
    names = runpy.run_path(str(ROOT / "docs/generate.py"))
    for name, shipped in names["models"]().items():
        assert names["evaluated"](name) == dict.fromkeys(("dev", "test"), shipped["sha256"])
        assert (
            hashlib.sha256((ROOT / "src/aasist/models" / shipped["file"]).read_bytes()).hexdigest() == shipped["sha256"]
        )
        for split, figures in shipped["figures"].items():
            pooled = names["metrics"](split, name)[0].pooled
            assert figures["eer"] == round(pooled.eer, 4)
            assert figures["eer_95"] == [round(limit, 4) for limit in pooled.intervals["eer"]]
            assert (figures["bonafide"], figures["spoof"]) == (pooled.bonafide, pooled.spoof)


def test_the_example_scores_are_those_that_the_card_is_made_of():
    names = runpy.run_path(str(ROOT / "docs/generate.py"))
    scores = read_scores(ROOT / "examples/scores.tsv")
    pooled = names["metrics"]("dev")[0].pooled
    assert eer(scores.values[scores.bonafide], scores.values[~scores.bonafide]) == pooled.eer
    assert len(scores) == pooled.bonafide + pooled.spoof


def test_links_between_the_pages_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_example_is_described_with_its_licence():
    text = (ROOT / "examples/README.md").read_text()
    for path in (ROOT / "examples").iterdir():
        if path.suffix in {".wav", ".flac", ".m4a", ".opus", ".mp3"}:
            assert f"`{path.name}`" in text
