"""``aasist prune`` in this process: what it writes and says, what takes its file, and what is refused at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.model.cost import encoder_gflop

from ..test_imports import VERB, loaded
from .test_command import run as in_a_process
from .test_metrics import Outcome, invoke


@pytest.fixture(autouse=True)
def own_threads(same_threads: None) -> None:
    """The verb sets torch's threads for the whole process."""


@pytest.fixture(scope="module")
def saved(small_model: Aasist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prune") / "small.safetensors"
    checkpoint.save(small_model, path)
    return path


Call = Callable[..., Outcome]


@pytest.fixture
def prune(saved: Path, mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*words: object, model: object = saved, hear: bool = True, output: Path | None = None) -> Outcome:
        data = ["--corpus", "asvspoof2019-la", "--root", mini, "--windows", 6] if hear else []
        out = tmp_path / "thin.safetensors" if output is None else output
        return invoke(capsys, "prune", model, "-o", out, *data, "--multiple", 1, "--threads", 1, *words)

    return call


def test_a_smaller_checkpoint_is_written_that_says_what_it_is(prune: Call, saved: Path, tmp_path: Path) -> None:
    done = prune("--remove", 0.5, "--json")
    assert done.code == 0
    assert done.err == ["aasist: 6 windows are heard, 3 bona fide and 3 spoofs, of 18 trials"]
    said = json.loads(done.out)
    thin = checkpoint.load(tmp_path / "thin.safetensors")
    before = checkpoint.load(saved)
    assert thin.architecture.name == said["name"] == "small-pruned-50"
    assert said["removed"] >= 0.5
    assert said["encoder_gflop"] == [encoder_gflop(model.architecture) for model in (before, thin)]
    assert said["gflop"][0] - said["gflop"][1] >= 0.5 * said["encoder_gflop"][0]
    assert said["parameters"][1] == sum(weight.numel() for weight in thin.parameters()) < said["parameters"][0]
    assert said["channels"]["out of block 2"] == [8, thin.architecture.channels[1]]
    with safe_open(tmp_path / "thin.safetensors", framework="pt") as file:
        facts = json.loads(file.metadata()["aasist.pruned"])
    assert facts == {name: said[name] for name in facts}
    assert facts["from"] == {"name": "small", "sha256": hashlib.sha256(saved.read_bytes()).hexdigest()}
    assert (facts["importance"], facts["windows"], facts["rounds"], facts["recalibrated"]) == ("taylor", 6, 4, False)


def test_the_table_has_a_line_for_each_layer_and_the_work_that_is_gone(prune: Call, tmp_path: Path) -> None:
    done = prune("--remove", 0.3, "--importance", "magnitude", "--name", "mine", hear=False)
    assert (done.code, done.err) == (0, [])
    table, last = done.out.rstrip("\n").split("\n\n")
    assert table.splitlines()[0].split() == ["channels", "before", "after"]
    assert [line.rsplit(maxsplit=2)[0] for line in table.splitlines()[1:]] == [
        "between the convolutions of block 1",
        "out of block 1",
        "between the convolutions of block 2",
        "out of block 2",
    ]
    assert last.startswith(f"{tmp_path / 'thin.safetensors'}: 3")
    assert "% of the encoder's work is gone, " in last
    assert checkpoint.architecture_of(tmp_path / "thin.safetensors").name == "mine"


def test_the_same_seed_gives_the_same_model(prune: Call, tmp_path: Path) -> None:
    """To the bit; but safetensors writes its metadata in any order."""

    def pruned(name: str, seed: int) -> tuple[dict[str, str], bytes]:
        path = tmp_path / f"{name}.safetensors"
        assert prune("--remove", 0.4, "--seed", seed, output=path).code == 0
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        content = path.read_bytes()
        return metadata, content[8 + int.from_bytes(content[:8], "little") :]

    one, again, other = pruned("one", 1), pruned("again", 1), pruned("other", 2)
    assert one == again
    assert one != other


def test_recalibrating_moves_statistics_of_norms_and_nothing_else(prune: Call, tmp_path: Path) -> None:
    words = ("--remove", 0.4, "--importance", "magnitude")
    assert prune(*words).code == 0
    assert prune(*words, "--recalibrate", output=tmp_path / "anew.safetensors").code == 0
    plain, anew = (checkpoint.load(tmp_path / name).state_dict() for name in ("thin.safetensors", "anew.safetensors"))
    moved = {name for name in plain if not torch.equal(plain[name], anew[name])}
    assert "encoder.blocks.1.norm.running_mean" in moved
    assert "branches.1.layer2.norm.running_var" in moved
    assert all(name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in moved)


def test_the_file_is_evaluated_and_trained_on_by_its_own_architecture(
    prune: Call, saved: Path, mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ..training import small

    assert prune("--remove", 0.5).code == 0
    thin = tmp_path / "thin.safetensors"
    data = ["--corpus", "asvspoof2019-la", "--root", mini]
    done = invoke(capsys, "evaluate", *data, "--subset", "dev", "--model", thin, "--first-window", "--rounds", 0)
    assert done.code == 0
    assert "EER" in done.out
    shape = [name for name in small.CHANGES if name.startswith("model.")]
    changes = [f"{name}={value}" for name, value in small.CHANGES.items() if name not in shape]
    run = [
        "train",
        "pruned",
        "--from",
        thin,
        "--teacher",
        saved,
        *data,
        "-o",
        tmp_path / "run",
        "sampling.mode=shuffle",
    ]
    few = ["steps=2", "loss.rank_weight=0", "teachers.pair_weight=0", "crop.lengths=", "sampling.epoch_trials=0"]
    done = invoke(capsys, *run, *changes, *few)
    assert done.code == 0, done.err
    tuned = checkpoint.load(tmp_path / "run" / "last.safetensors")
    assert tuned.architecture == checkpoint.architecture_of(thin)
    assert not torch.equal(tuned.out.weight, checkpoint.load(thin).out.weight)
    thin.unlink()
    done = invoke(capsys, "train", "-o", tmp_path / "run", "--resume")
    assert done.code == 0, done.err


def test_a_shipped_name_is_pruned_from_its_weights(prune: Call, tmp_path: Path) -> None:
    done = prune("--remove", 0.25, "--importance", "magnitude", model="small", hear=False)
    assert (done.code, done.err) == (0, [])
    assert checkpoint.load(tmp_path / "thin.safetensors").architecture.name == "small-pruned-25"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--remove", 0), "--remove must be a share above 0 and below 1, such as 0.5, got 0"),
        (("--remove", 1), "--remove must be a share above 0 and below 1"),
        (("--remove", "nan"), "--remove must be a share above 0 and below 1"),
        (("--remove", 0.5), "--importance taylor hears recordings: name some (--data, or --corpus and --root)"),
        (
            ("--remove", 0.5, "--importance", "bn", "--recalibrate"),
            "--recalibrate hears recordings: name some (--data, or --corpus and --root)",
        ),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(words: tuple[object, ...], said: str, prune: Call) -> None:
    done = prune(*words, hear=False)
    assert done.code == 2
    assert said in " ".join(" ".join(done.err).split())


def test_a_place_that_cannot_be_written_is_refused_before_the_work(prune: Call, saved: Path, tmp_path: Path) -> None:
    for output, said in (
        (saved, "is what was given: it would be replaced"),
        (tmp_path / "thin.onnx", "a checkpoint is a .safetensors file"),
        (tmp_path / "no" / "thin.safetensors", "no such folder, or no permission"),
    ):
        done = prune("--remove", 0.5, "--importance", "bn", hear=False, output=output)
        assert done.code == 2
        assert said in " ".join(done.err)
    (tmp_path / "folder.safetensors").mkdir()
    done = prune("--remove", 0.5, "--importance", "bn", hear=False, output=tmp_path / "folder.safetensors")
    assert "a file was wanted" in " ".join(done.err)


def test_what_is_no_checkpoint_and_what_leaves_a_layer_empty_are_said_by_name(
    prune: Call, saved: Path, small_onnx: Path, tmp_path: Path
) -> None:
    words = ("--remove", 0.5, "--importance", "magnitude")
    done = prune(*words, model=small_onnx, hear=False)
    assert done.code == 2
    assert "an ONNX file no longer has all that is trained" in " ".join(done.err)
    done = prune(*words, model=tmp_path / "none.safetensors", hear=False)
    assert (done.code, done.err) == (1, [f"aasist: {tmp_path / 'none.safetensors'}: no such checkpoint"])
    foreign = tmp_path / "foreign.pth"
    torch.save({"layer.weight": torch.zeros(2)}, foreign)
    done = prune(*words, model=foreign, hear=False)
    assert done.code == 1
    assert "not a published AASIST checkpoint: unknown parameter 'layer.weight'" in done.err[0]
    done = prune("--remove", 0.999, "--importance", "bn", hear=False)
    assert done.code == 1
    assert "no channel would be left between the convolutions of block" in done.err[0]
    assert not (tmp_path / "thin.safetensors").exists()


def test_without_torch_the_command_that_installs_it_is_printed(tmp_path: Path) -> None:
    words = ("prune", "small", "-o", tmp_path / "thin.safetensors", "--remove", "0.5", "--importance", "bn")
    done = in_a_process(*words, absent=["torch"])
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "aasist: pruning needs the extra 'train': pip install '.[train]' in the folder of aasist"
    ]


def test_help_loads_neither_the_runtime_nor_torch() -> None:
    packages = loaded(VERB, "prune", "--help")
    assert not packages & {"torch", "onnxruntime", "numpy"}
