"""``aasist train``: what it refuses, what it prints, and that a run goes on. The loop itself has tests of its own."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aasist.cli import run
from aasist.keys import keys_of
from aasist.training.recipe import Recipe, read_recipe, resolved_text

from ..training import small
from ..training.same import lines, require_same

SMALL = [
    f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
    for name, value in small.CHANGES.items()
]


pytestmark = pytest.mark.usefixtures("same_threads")


def words(mini: Path, folder: Path, *more: str) -> list[str]:
    return ["train", "aasist", "--corpus", "asvspoof2019-la", "--root", str(mini), "-o", str(folder), *SMALL, *more]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 1) -> str:
    """What it says on stderr when it ends with ``code``."""
    assert run(arguments) == code
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def stopped(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after three steps; treat it as read-only."""
    folder = tmp_path_factory.mktemp("runs") / "stopped"
    assert run(words(mini, folder, "steps=3")) == 0
    return folder


def test_a_run_says_on_stdout_what_came_of_it_and_on_stderr_how_it_goes(
    mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words(mini, tmp_path / "run", "epochs=1")) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{tmp_path / 'run'}: 4 steps, best dev EER ")
    assert "train 6 bona fide, 12 spoofs; dev 4 bona fide, 8 spoofs; to take 4 steps (cpu, fp32, 1 threads)" in err
    assert "epoch 1/1, step 4: loss " in err
    assert "windows/s" in err


def test_an_interrupted_run_says_so_and_how_to_go_on(
    mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command it names, word for word, goes on; when the run is over it says why it cannot be lengthened."""
    folder = tmp_path / "a run"
    assert run(words(mini, folder, "steps=3", "epochs=1")) == 0
    out, err = capsys.readouterr()
    assert out == f"{folder}: interrupted at step 3 of 4\n"
    command = shlex.split(err.partition("go on with: ")[2])
    assert command == ["aasist", "train", "-o", str(folder), "--resume"]
    assert run(command[1:]) == 0
    assert capsys.readouterr().out.startswith(f"{folder}: 4 steps, best dev EER ")
    assert run(command[1:]) == 0
    out, err = capsys.readouterr()
    assert "this run is over (epochs): nothing is left to do, and it cannot be lengthened" in err
    assert "windows/s" not in err
    assert out.startswith(f"{folder}: 4 steps")
    assert "epochs: 1 in the run, 2 now" in refused([*command[1:], "epochs=2"], capsys)


def test_what_is_wrong_in_a_file_is_no_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.toml").write_text("epohcs = 3\n")
    assert "mine.toml: no key 'epohcs'" in refused(["train", str(tmp_path / "mine.toml")], capsys, 1)


def test_without_a_recipe_a_run_goes_on_to_its_end_as_it_was_begun(mini: Path, tmp_path: Path) -> None:
    assert run(words(mini, tmp_path / "run", "steps=3", "epochs=2")) == 0
    assert run(["train", "-o", str(tmp_path / "run"), "--resume", "run.log_steps=2"]) == 0
    assert run(words(mini, tmp_path / "whole", "epochs=2")) == 0
    require_same(tmp_path / "whole", tmp_path / "run")
    assert lines(tmp_path / "run")[-1]["step"] == 8


def test_a_recipe_without_data_goes_on_with_that_of_its_run(stopped: Path, tmp_path: Path) -> None:
    shutil.copytree(stopped, tmp_path / "run")
    assert run(["train", "aasist", "-o", str(tmp_path / "run"), "--resume", *SMALL, "steps=4"]) == 0
    assert lines(tmp_path / "run")[-1]["step"] == 4


def test_a_resume_without_a_folder_goes_on_in_that_of_its_recipe(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the data of the run, as where the folder is named."""
    shutil.copytree(stopped, tmp_path / "runs" / "aasist")
    monkeypatch.chdir(tmp_path)
    assert run(["train", "aasist", "--resume", *SMALL, "steps=4"]) == 0
    assert lines(tmp_path / "runs" / "aasist")[-1]["step"] == 4


def test_a_resume_with_another_recipe_names_the_keys(
    stopped: Path, mini: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(words(mini, stopped, "--resume", "seed=7", "averaging.kind=ema"), capsys)
    assert "was begun with another recipe: seed: 1234 in the run, 7 now; averaging.kind: " in said
    assert 'averaging.kind: "best" in the run, "ema" now' in said


def test_a_run_is_not_begun_over_another(stopped: Path, mini: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in stopped.iterdir()}
    assert "holds a run: go on with it by --resume" in refused(words(mini, stopped), capsys)
    assert {path.name: path.read_bytes() for path in stopped.iterdir()} == before


def test_a_folder_without_a_run_is_not_resumed(mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no run to resume" in refused(words(mini, tmp_path / "none", "--resume"), capsys)
    assert "holds no run to resume" in refused(["train", "-o", str(tmp_path / "none"), "--resume"], capsys)
    assert not (tmp_path / "none").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_the_corpus_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    said = refused(words(tmp_path / "no corpus", tmp_path / "file" / "run"), capsys)
    assert "cannot write into" in said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "which recipe? aasist, aasist-l,"),
        (["--resume"], 2, "which run? Give its folder (-o)"),
        (["assist"], 1, "no recipe 'assist': neither a file nor one of aasist"),
        (["aasist", "epohcs=3"], 2, "no key 'epohcs'; did you mean 'epochs'?"),
        (["aasist", "epochs"], 2, "expected KEY=VALUE, got 'epochs'"),
        (["aasist", "epochs=many"], 2, "epochs must be a whole number (epochs), got 'many'"),
        (["aasist", "epochs=0"], 2, "epochs must be at least 1, got 0"),
        (["efficient", "probability=1"], 2, "augment.noise.probability, and "),
        (["aasist"], 1, "which trials?"),
        (["aasist", "--corpus", "asvspoof2019-la"], 2, "--corpus and --root go together"),
        (["aasist", "--corpus", "asvspoof", "--root", "."], 2, "no corpus 'asvspoof'; there are asvspoof2015"),
        (["aasist", "--data", "nowhere/else"], 1, "nowhere/else: no such file or folder"),
    ],
)
def test_what_cannot_be_meant_is_said_in_a_line(
    arguments: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [] if "--resume" in arguments else ["-o", str(tmp_path / "run")]
    err = refused(["train", *arguments, *where], capsys, code)
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_the_evaluation_subset_takes_no_part(mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(words(mini, tmp_path / "run", "dev_subset=eval"), capsys)
    assert "the subset 'eval' is for evaluation, and takes no part in training or in choosing" in said


def test_every_key_is_printed_with_unit_default_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--keys"]) == 0
    out = capsys.readouterr().out
    for known in keys_of(Recipe):
        assert f"\n{known.name}: {known.kind}" in f"\n{out}"
        assert known.meaning in out
    assert "optimiser.clip_norm: a number or none; default none" in out
    assert "averaging.kind: text, one of best, swa, ema, none; default best" in out


def test_the_recipe_is_shown_with_every_key_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "aasist-l", "--show", "epochs=3", "--data", "folders:x"]) == 0
    path = tmp_path / "shown.toml"
    path.write_text(capsys.readouterr().out)
    shown = read_recipe(path)
    assert (shown.epochs, shown.data.train) == (3, ("folders:x",))
    assert resolved_text(shown) == path.read_text()


@pytest.mark.parametrize("verb", ["train", "runs"])
def test_without_torch_it_says_what_to_install(verb: str) -> None:
    code = "import sys\nsys.modules['torch'] = None\nfrom aasist.cli import main\nmain(sys.argv[1:])"
    said = subprocess.run([sys.executable, "-c", code, verb], capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert "needs the extra 'train': pip install '.[train]'" in said.stderr


@pytest.mark.parametrize("verb", ["train", "runs"])
def test_help_loads_no_torch(verb: str) -> None:
    code = (
        "import json, sys\nfrom aasist.cli import run\nrun([sys.argv[1], '--help'])\n"
        "print(json.dumps([n for n in ('torch', 'numpy', 'matplotlib') if n in sys.modules]))"
    )
    said = subprocess.run([sys.executable, "-c", code, verb], capture_output=True, check=True, text=True)
    assert json.loads(said.stdout.splitlines()[-1]) == []
