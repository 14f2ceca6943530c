"""``aasist fuse`` in this process: score files of several models to one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from aasist.evaluation.calibration import cllr
from aasist.evaluation.det import eer
from aasist.protocol.scores import read_scores

from .test_metrics import four_columns, invoke, made, of, protocol_2019, two_columns


def test_the_mean_is_written_in_the_order_of_the_first_and_metrics_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other, output = made(), made(noise=2.0), tmp_path / "fused.tsv"
    words = [four_columns(tmp_path / "a.txt", one), two_columns(tmp_path / "b.txt", other[::-1]), "-o", output]
    found = invoke(capsys, "fuse", *words, "--json").json
    fused = [a._replace(score=(a.score + b.score) / 2) for a, b in zip(one, other, strict=True)]
    written = read_scores(output)
    assert written.ids.tolist() == [trial.name for trial in one]
    assert written.values == pytest.approx([trial.score for trial in fused])
    assert [system["weight"] for system in found["systems"]] == [0.5, 0.5]
    assert [system["eer"] for system in found["systems"]] == [eer(*of(one)), eer(*of(other))]
    assert found["fused"]["cllr"] == pytest.approx(cllr(*of(fused)))
    metrics = invoke(capsys, "metrics", output, "--json", "--rounds", 0).json
    assert metrics["eer"] == found["fused"]["eer"]
    assert list(metrics["by_attack"]) == ["A01", "A02"]
    weighed = invoke(capsys, "fuse", *words, "--json", "--weights", "3,1").json
    assert [system["weight"] for system in weighed["systems"]] == [0.75, 0.25]


def test_without_a_key_scores_are_fused_and_nothing_is_said_of_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [two_columns(tmp_path / f"{name}.txt", made(noise=name)) for name in (0, 1)]
    said = invoke(capsys, "fuse", *files, "-o", tmp_path / "fused.tsv")
    assert (said.code, "EER" in said.out) == (0, False)
    assert len(read_scores(tmp_path / "fused.tsv")) == 140


def test_a_fit_on_dev_is_saved_and_fuses_other_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dev = [made(), [trial._replace(score=50 * trial.score) for trial in made(seed=0, noise=1.0)]]
    key = protocol_2019(tmp_path / "key.txt", dev[0])
    files = [two_columns(tmp_path / f"{number}.txt", trials) for number, trials in enumerate(dev)]
    saved, output = tmp_path / "fusion.json", tmp_path / "fused.tsv"
    found = invoke(capsys, "fuse", "--fit", *files, "--protocol", key, "--save", saved, "--json").json
    assert found["fused"]["cllr"] < min(system["cllr"] for system in found["systems"])
    assert found["fused"]["cllr"] < 0.9
    test = [made(seed=9), [trial._replace(score=50 * trial.score) for trial in made(seed=9, noise=1.0)]]
    files = [four_columns(tmp_path / f"test{number}.txt", trials) for number, trials in enumerate(test)]
    text = invoke(capsys, "fuse", *files, "--fusion", saved, "-o", output)
    assert text.code == 0
    assert "min Cllr" in text.out
    first, second = json.loads(saved.read_text())["weights"]
    offset = json.loads(saved.read_text())["offset"]
    expected = [first * a.score + second * b.score + offset for a, b in zip(*test, strict=True)]
    assert read_scores(output).values == pytest.approx(expected)


def test_a_system_with_negated_scores_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    negated = [trial._replace(score=-trial.score) for trial in made(seed=3)]
    files = [four_columns(tmp_path / "a.txt", made()), four_columns(tmp_path / "b.txt", negated)]
    found = invoke(capsys, "fuse", "--fit", *files, "--json")
    assert f"the weight of {files[1]} is negative" in found.err[0]
    assert found.code == 0


def test_what_cannot_be_fused_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = four_columns(tmp_path / "a.txt", made()), two_columns(tmp_path / "b.txt", made(noise=1.0))
    short, output = two_columns(tmp_path / "short.txt", made()[:-1]), tmp_path / "out.tsv"
    text = tmp_path / "text.json"
    text.write_text("{}")
    three = tmp_path / "three.json"
    three.write_text('{"weights": [1, 2, 3], "offset": 0}')
    assert "two score files or more" in invoke(capsys, "fuse", a, "-o", output).misuse
    assert invoke(capsys, "fuse", a, b).misuse == "where to? Give -o"
    assert "exclude each other" in invoke(capsys, "fuse", a, b, "--fit", "--weights", "1,1").misuse
    assert "2 score files, but 3 weights" in invoke(capsys, "fuse", a, b, "-o", output, "--weights", "1,1,1").misuse
    assert "--weights: " in invoke(capsys, "fuse", a, b, "-o", output, "--weights", "1,x").misuse
    assert "it would be replaced" in invoke(capsys, "fuse", a, b, "-o", b).misuse
    both = invoke(capsys, "fuse", a, b, "--fit", "-o", output, "--save", output).misuse
    assert both == f"-o and --save both name {output}"
    assert "no score for 1 of 140 trials" in invoke(capsys, "fuse", a, short, "-o", output).complaint
    assert "of trials that" in invoke(capsys, "fuse", short, a, "-o", output).complaint
    assert "the score file holds no key" in invoke(capsys, "fuse", "--fit", b, a).complaint
    assert "not weights that --save wrote" in invoke(capsys, "fuse", a, b, "-o", output, "--fusion", text).complaint
    assert "is of 3 systems, got scores of 2" in invoke(capsys, "fuse", a, b, "-o", output, "--fusion", three).complaint
    missing = invoke(capsys, "fuse", a, b, "-o", output, "--fusion", tmp_path / "none.json").complaint
    assert "none.json: cannot be read" in missing
    assert not output.exists()
    assert np.isfinite(read_scores(b).values).all()
