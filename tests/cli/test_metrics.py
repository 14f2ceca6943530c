"""``aasist metrics`` in this process: the published figures, where the key comes from, and what is refused."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from aasist.cli import run
from aasist.evaluation.dcf import AsvRates, min_tdcf, min_tdcf_legacy
from aasist.evaluation.det import eer
from aasist.evaluation.metricsfile import read_metrics

from ..corpora import asv_rows, write_lines

ASV = "ASVspoof2019.LA.asv.eval.gi.trl.scores.txt.gz"
KEY = "ASVspoof2019.LA.cm.eval.trl.txt.gz"
PUBLISHED = {
    "weighted_scores.txt.gz": {"eer": "0.00734180272", "min_tdcf_legacy": "0.021627333"},
    "RawGAT_ST_mul_LA_eval.txt.gz": {
        "eer": "0.010601347518",
        "min_tdcf_legacy": "0.033538946715",
        "min_tdcf": "0.094167831244",
        "min_dcf": "0.029893113388",
        "act_dcf": "0.044395364746",
        "cllr": "0.066251950058",
    },
    "B02_LA_eval_4col.txt.gz": {
        "eer": "0.080898253282",
        "min_tdcf_legacy": "0.211052733721",
        "min_tdcf": "0.260545667290",
        "min_dcf": "0.197372380428",
        "act_dcf": "0.662158354466",
        "cllr": "0.644359724295",
    },
}
BY_ATTACK = dict(zip(
    (f"A{number:02}" for number in range(7, 20)),
    ("0.00349725683", "0.00244465860", "0", "0.00668882066", "0.00098461727", "0.00424416206", "0.00057717417",
     "0.00081488620", "0.00302183276", "0.00471958613", "0.01181584989", "0.02461631704", "0.00488931719"),
    strict=True,
))  # fmt: skip
"""EER of weighted_scores."""


class Outcome(NamedTuple):
    """What a call of the command came to; ``err`` is the lines on stderr."""

    code: int
    out: str
    err: list[str]

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout, of a call that went well."""
        return self.json_with()

    def json_with(self, *cautions: str) -> dict[str, Any]:
        """The same, of a call that said these words of caution on stderr, a line each, and nothing else."""
        assert (self.code, len(self.err)) == (0, len(cautions)), self
        for line, words in zip(self.err, cautions, strict=True):
            assert line.startswith("aasist: caution: "), self
            assert words in line, self
        (line,) = self.out.splitlines()
        values = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
        assert isinstance(values, dict)
        return values

    @property
    def complaint(self) -> str:
        """The one line of an error that a user can mend."""
        assert (self.code, self.out) == (1, ""), self
        (line,) = self.err
        assert line.startswith("aasist: ")
        return line.removeprefix("aasist: ")

    @property
    def misuse(self) -> str:
        """The line of wrong usage."""
        assert (self.code, self.out) == (2, ""), self
        assert self.err[-1].startswith("Error: ")
        return self.err[-1].removeprefix("Error: ")


def invoke(capsys: pytest.CaptureFixture[str], *words: str | os.PathLike[str] | float) -> Outcome:
    """Call the command in this process, as the program does."""
    capsys.readouterr()
    code = run([str(word) for word in words])
    said = capsys.readouterr()
    return Outcome(code, said.out, said.err.splitlines())


class Trial(NamedTuple):
    """A line of a score file."""

    name: str
    attack: str
    key: str
    score: float


def made(seed: int = 0, *, noise: float = 0.0) -> list[Trial]:
    """60 bona fide trials, 40 spoofs by A01 and 40 by A02 that are harder; ``noise`` makes the scores worse."""
    random = np.random.default_rng(seed)
    kinds = [("-", "bonafide", 2.0)] * 60 + [("A01", "spoof", -2.0)] * 40 + [("A02", "spoof", 0.5)] * 40
    scores = [centre + random.normal() for *_, centre in kinds]
    worse = np.random.default_rng(seed + 1).normal(0, 1, len(kinds)) * noise
    return [
        Trial(f"T_{row:03}", attack, key, float(score + more))
        for row, ((attack, key, _), score, more) in enumerate(zip(kinds, scores, worse, strict=True))
    ]


def four_columns(path: Path, trials: Sequence[Trial]) -> Path:
    write_lines(path, (f"{t.name} {t.attack} {t.key} {t.score!r}" for t in trials))
    return path


def two_columns(path: Path, trials: Sequence[Trial]) -> Path:
    write_lines(path, (f"{t.name} {t.score!r}" for t in trials))
    return path


def protocol_2019(path: Path, trials: Sequence[Trial], speakers: int = 5) -> Path:
    write_lines(path, (f"S_{row % speakers} {t.name} - {t.attack} {t.key}" for row, t in enumerate(trials)))
    return path


def protocol_2021(path: Path, trials: Sequence[Trial]) -> Path:
    """ASVspoof 2021 LA: every second pair of trials is of the subset progress."""
    subsets = ("eval", "eval", "progress", "progress")
    codecs = ("alaw", "opus")
    write_lines(
        path,
        (
            f"LA_{row % 7} {t.name} {codecs[row % 2]} ita_tx {'bonafide' if t.attack == '-' else t.attack} {t.key} "
            f"notrim {subsets[row % 4]}"
            for row, t in enumerate(trials)
        ),
    )
    return path


def of(trials: Sequence[Trial], *attacks: str) -> tuple[list[float], list[float]]:
    """Scores of the bona fide trials, and of the spoofs (by these attacks)."""
    spoofs = [t.score for t in trials if t.key == "spoof" and (not attacks or t.attack in attacks)]
    return [t.score for t in trials if t.key == "bonafide"], spoofs


def require_printed(value: float, printed: str) -> None:
    """``value`` is ``printed`` to all its digits."""
    digits = len(printed.partition(".")[2])
    assert abs(value - float(printed)) <= 0.5000001 * 10.0**-digits, (value, printed)


@pytest.mark.parametrize("protocol", [True, False], ids=["protocol", "own key"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_figures_are_met_to_all_printed_digits(
    name: str, protocol: bool, reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--protocol", reference / KEY] if protocol else []
    found = invoke(
        capsys, "metrics", reference / name, "--json", "--rounds", 0, "--asv-scores", reference / ASV, *words
    ).json
    assert (found["bonafide"], found["spoof"]) == (7_355, 63_882)
    for figure, printed in PUBLISHED[name].items():
        require_printed(found[figure], printed)
    assert {"eer", "min_tdcf_legacy", "min_tdcf", "min_dcf", "act_dcf", "cllr", "by_attack"} <= found.keys()
    assert all(isinstance(found[key], float) for key in ("min_tdcf", "min_dcf", "act_dcf", "cllr"))
    assert list(found["by_attack"]) == list(BY_ATTACK)
    if name.startswith("weighted"):
        for attack, printed in BY_ATTACK.items():
            require_printed(found["by_attack"][attack]["eer"], printed)
    require_printed(1 - found["asv"]["spoof_false_acceptance"], "0.239347547040")
    assert found["speakers"] is None  # nothing was resampled
    assert found["intervals"] == {}


@pytest.mark.parametrize("with_key", [True, False])
def test_the_key_is_in_the_score_file_or_in_the_protocol(
    with_key: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = made()
    if with_key:
        words = [four_columns(tmp_path / "scores.txt", trials)]
    else:
        # In another order: scores are matched by their ids.
        words = [two_columns(tmp_path / "scores.txt", trials[::-1])]
        words += ["--protocol", protocol_2019(tmp_path / "key.txt", trials)]
    found = invoke(capsys, "metrics", "--json", "--rounds", 5, *words).json
    assert found["eer"] == eer(*of(trials))
    assert {name: figures["eer"] for name, figures in found["by_attack"].items()} == {
        "A01": eer(*of(trials, "A01")),
        "A02": eer(*of(trials, "A02")),
    }
    assert found["intervals"]["eer"][0] <= found["intervals"]["eer"][1]
    assert (found["min_tdcf"], found["min_tdcf_legacy"], found["asv"]) == (None, None, None)
    assert found["speakers"] == (None if with_key else 5)


def test_rates_of_a_verification_system_do_instead_of_its_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = made()
    words = ["metrics", four_columns(tmp_path / "scores.txt", trials), "--json", "--rounds", 0]
    found = invoke(capsys, *words, "--asv-rates", 0.02, 0.03, 0.4).json
    rates = AsvRates(0.02, 0.03, 0.4)
    assert found["min_tdcf"] == min_tdcf(*of(trials), rates)
    assert found["min_tdcf_legacy"] == min_tdcf_legacy(*of(trials), rates)
    assert found["asv"] == {"miss": 0.02, "false_acceptance": 0.03, "spoof_false_acceptance": 0.4}

    asv = tmp_path / "asv.txt"
    write_lines(asv, (f"{attack} {key} {score}" for attack, key, score in asv_rows(["A01", "A02"])))
    scored = invoke(capsys, *words, "--asv-scores", asv).json
    assert 0 < scored["min_tdcf"] <= 1
    assert scored["by_attack"]["A01"]["min_tdcf"] < scored["by_attack"]["A02"]["min_tdcf"]


def test_trials_of_a_protocol_of_2021_are_picked_and_broken_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = made()
    # The score file holds all subsets, as the challenge asked for.
    scores, key = two_columns(tmp_path / "scores.txt", trials), protocol_2021(tmp_path / "trial_metadata.txt", trials)
    words = ["metrics", scores, "--protocol", key, "--json", "--rounds", 0]
    picked = [t for row, t in enumerate(trials) if row % 4 < 2]
    found = invoke(capsys, *words, "--where", "subset=eval", "--by", "codec").json
    assert (found["bonafide"], found["eer"]) == (30, eer(*of(picked)))
    assert {name: figures["eer"] for name, figures in found["by"]["codec"].items()} == {
        "alaw": eer(*of(picked[::2])),
        "opus": eer(*of(picked[1::2])),
    }
    assert found["choices"]["by"] == ["codec"]
    twice = invoke(capsys, *words, "--where", "subset=eval", "--where", "codec=opus").json
    assert twice["eer"] == eer(*of(picked[1::2]))


def test_tables_for_people_go_to_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trials = made()
    scores = four_columns(tmp_path / "scores.txt", trials)
    shown = invoke(capsys, "metrics", scores, "--rounds", 0, "--threshold", 0.5)
    assert (shown.code, shown.err) == (0, [])
    lines = shown.out.splitlines()
    assert any(line.split()[:2] == ["EER", f"{100 * eer(*of(trials)):.1f}"] for line in lines), shown.out
    assert any(line.startswith("accuracy, threshold 0.5") for line in lines)
    assert any(line.split()[:3] == ["A02", "60", "40"] for line in lines)


def test_a_report_holds_what_json_says_and_its_place_is_said_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, out = four_columns(tmp_path / "scores.txt", made()), tmp_path / "new" / "report"
    words = ["metrics", scores, "--json", "--rounds", 5, "--asv-rates", 0.02, 0.03, 0.4]
    written = invoke(capsys, *words, "--out", out)
    assert (written.code, written.err) == (0, [f"aasist: report in {out / 'report.html'}"])
    assert {path.name for path in out.iterdir()} == {"report.html", "report.md", "metrics.json", "scores.tsv"}
    values = json.loads((out / "metrics.json").read_text())
    said = json.loads(written.out)
    assert {key: values[key] for key in said} == said
    assert (values["report"]["title"], values["stress"], values["unscored"]) == ("scores.txt", [], [])
    assert read_metrics(out / "metrics.json")[0].pooled.eer == said["eer"]
    assert "A02" in (out / "report.md").read_text()
    assert "<html" in (out / "report.html").read_text()
    # Without --out the same figures.
    assert invoke(capsys, *words).json == said


@pytest.mark.parametrize("ending", ["crlf", "bom", "gzip"])
def test_windows_line_ends_a_byte_order_mark_and_gzip_change_nothing(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = made()
    words = [two_columns(tmp_path / "scores.txt", trials), protocol_2019(tmp_path / "key.txt", trials)]
    plain = invoke(capsys, "metrics", "--json", "--rounds", 0, words[0], "--protocol", words[1]).json
    for path in words:
        content = path.read_bytes()
        if ending == "crlf":
            path.write_bytes(content.replace(b"\n", b"\r\n"))
        elif ending == "bom":
            path.write_bytes(b"\xef\xbb\xbf" + content)
        else:
            path.write_bytes(gzip.compress(content))
    assert invoke(capsys, "metrics", "--json", "--rounds", 0, words[0], "--protocol", words[1]).json == plain


def _missing(trials: list[Trial]) -> list[Trial]:
    return trials[:10] + trials[12:]


def _unknown(trials: list[Trial]) -> list[Trial]:
    return [*trials, Trial("X_1", "-", "bonafide", 0.0)]


def _twice(trials: list[Trial]) -> list[Trial]:
    return [*trials[:5], trials[2], *trials[5:]]


def _nan(trials: list[Trial]) -> list[Trial]:
    return [*trials[:4], trials[4]._replace(score=float("nan")), *trials[5:]]


def _other_subset(trials: list[Trial]) -> list[Trial]:
    return [trial._replace(name=f"D_{trial.name}") for trial in trials]


@pytest.mark.parametrize(
    ("spoil", "where", "said"),
    [
        (_missing, "", "no score for 2 of 140 trials"),
        (_unknown, ":141", "1 of 141 scores are of trials that"),
        (_twice, ":6", "trial 'T_002' stands on line 3 already"),
        (_nan, ":5", "the score must be a finite number, got 'nan'"),
        (_other_subset, "", "the file seems to be of another subset"),
    ],
)
def test_scores_that_do_not_fit_the_protocol_are_one_line_that_names_file_and_line(
    spoil, where: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials, out = made(), tmp_path / "out"
    scores = two_columns(tmp_path / "scores.txt", spoil(trials))
    key = protocol_2019(tmp_path / "key.txt", trials)
    complaint = invoke(capsys, "metrics", scores, "--protocol", key, "--out", out).complaint
    assert complaint.startswith(f"{scores}{where}: ")
    assert said in complaint
    assert not out.exists()


def spoilt(lines: list[str], number: int, old: str, new: str) -> list[str]:
    changed = list(lines)
    changed[number - 1] = changed[number - 1].replace(old, new)
    return changed


@pytest.mark.parametrize(
    ("change", "where", "said"),
    [
        (lambda lines: spoilt(lines, 7, "bonafide", "genuine"), ":7", "must be 'bonafide' or 'spoof', got 'genuine'"),
        (lambda lines: spoilt(lines, 61, "A01 spoof", "- bonafide"), ":61", "'T_060' is called bonafide, but spoof in"),
        (lambda lines: spoilt(lines, 9, " - bonafide", ""), ":9", "got 2 columns"),
        (lambda lines: lines[:60], "", "no score for 80 of 140 trials"),
        (lambda lines: ["id\tlabel", "a\tspoof"], ":1", "the score must be a number, got 'label'"),
        (lambda lines: [], "", "the file is empty"),
    ],
    ids=["label", "contradiction", "columns", "class", "no score", "empty"],
)
def test_a_score_file_that_cannot_be_used_is_one_line_that_names_file_and_line(
    change, where: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials, out = made(), tmp_path / "out"
    scores, key = four_columns(tmp_path / "scores.txt", trials), protocol_2019(tmp_path / "key.txt", trials)
    write_lines(scores, change(scores.read_text().splitlines()))
    complaint = invoke(capsys, "metrics", scores, "--protocol", key, "--out", out).complaint
    assert complaint.startswith(f"{scores}{where}: "), complaint
    assert said in complaint
    assert not out.exists()


@pytest.mark.parametrize("kept", ["bonafide", "spoof"])
def test_an_empty_class_is_an_error_that_names_it(
    kept: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = four_columns(tmp_path / "scores.txt", [trial for trial in made() if trial.key == kept])
    complaint = invoke(capsys, "metrics", scores, "--out", tmp_path / "out").complaint
    count, absent = (60, "spoofed") if kept == "bonafide" else (80, "bona fide")
    assert complaint == f"{scores}: none of {count} trials is {absent}: an error rate needs trials of both classes"
    assert not (tmp_path / "out").exists()


def test_without_a_key_the_option_that_gives_it_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = two_columns(tmp_path / "scores.txt", made())
    assert "(--protocol)" in invoke(capsys, "metrics", scores).complaint
    manifest = tmp_path / "manifest.tsv"
    write_lines(manifest, ["id", *(trial.name for trial in made())])
    complaint = invoke(capsys, "metrics", scores, "--protocol", manifest).complaint
    assert complaint.startswith(f"{scores}: {manifest} holds no key")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--by", "codec"], "no column 'codec' for --by; there are: speaker, attack"),
        (["--where", "codec=alaw"], "no column 'codec' for --where; there are: "),
        (["--where", "attack=A99"], "no trial is left with attack=A99"),
        (["--where", "attack=A01"], "none of 40 trials with attack=A01 is bona fide: an error rate needs"),
        (
            ["--where", "attack=-", "--where", "speaker=S_1"],
            "none of 12 trials with attack=- and speaker=S_1 is spoofed",
        ),
        (["--layout", "asvspoof1999"], "no protocol layout 'asvspoof1999'; there are "),
        (["--layout", "asvspoof2021-la"], "expected an ASVspoof 2021 LA protocol"),
    ],
)
def test_a_column_a_value_and_a_layout_that_are_not_there_are_named(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials, out = made(), tmp_path / "out"
    scores, key = two_columns(tmp_path / "scores.txt", trials), protocol_2019(tmp_path / "key.txt", trials)
    complaint = invoke(capsys, "metrics", scores, "--protocol", key, "--rounds", 0, "--out", out, *words).complaint
    assert said in complaint
    assert complaint.startswith((f"{scores}: ", f"{key}: ", f"{key}:1: "))
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--where", "subset"], "--where must be COLUMN=VALUE, got 'subset'"),
        (["--threshold", "nan"], "--threshold must be a finite number"),
        (["--asv-scores", "a", "--asv-rates", "0", "0", "0"], "exclude each other"),
        (["--asv-key", "a"], "--asv-key is the key of --asv-scores"),
        (["--asv-rates", "2", "0", "0"], "--asv-rates: "),
        (["--asv-rates", "nan", "0", "0"], "--asv-rates: "),
        (["--rounds", "-1"], "--rounds"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, key = two_columns(tmp_path / "scores.txt", made()), protocol_2019(tmp_path / "key.txt", made())
    assert said in invoke(capsys, "metrics", scores, "--protocol", key, *words).misuse


def test_a_layout_needs_a_protocol_to_be_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = four_columns(tmp_path / "scores.txt", made())
    assert "--protocol, which is missing" in invoke(capsys, "metrics", scores, "--layout", "manifest").misuse


def test_a_score_file_with_columns_of_its_own_is_broken_down_picked_and_resampled_by_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials, scores = made(), tmp_path / "scores.tsv"
    rows = [
        f"{t.name}\t{t.key}\t{t.attack}\tS_{n % 10}\t{('alaw', 'opus')[n // 10 % 2]}\t{n / 7}\t{t.score!r}"
        for n, t in enumerate(trials)
    ]
    write_lines(scores, ["id\tlabel\tattack\tspeaker\tcodec\tseconds\tscore", *rows])
    alaw = [t for n, t in enumerate(trials) if n // 10 % 2 == 0]
    found = invoke(capsys, "metrics", scores, "--json", "--rounds", 3, "--by", "codec").json
    assert (found["speakers"], found["eer"]) == (10, eer(*of(trials)))
    assert found["by"]["codec"]["alaw"]["eer"] == eer(*of(alaw))
    out = tmp_path / "out"
    words = ["metrics", scores, "--json", "--rounds", 3, "--where", "codec=alaw", "--out", out]
    assert json.loads(invoke(capsys, *words).out)["eer"] == eer(*of(alaw))
    # The file beside the report is of the trials that the report is of, with all their columns.
    kept = (out / "scores.tsv").read_text().splitlines()
    assert kept[0] == "id\tlabel\tattack\tspeaker\tcodec\tseconds\tscore"
    assert kept[1:] == [row for row in rows if "\talaw\t" in row]
    assert invoke(capsys, "metrics", out / "scores.tsv", "--json", "--rounds", 3).json == json.loads(
        invoke(capsys, *words[:-2]).out
    )


def test_the_report_that_scores_came_with_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    scores = four_columns(tmp_path / "scores.txt", made())
    assert invoke(capsys, "metrics", scores, "--rounds", 0, "--out", out).code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    words = ["metrics", out / "scores.tsv", "--rounds", 0, "--where", "attack=-", "--out", out]
    assert f"{out / 'scores.tsv'} is what was given: --out would replace it" in invoke(capsys, *words).misuse
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_figures_of_scores_that_know_no_bound_keep_the_table_narrow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = [trial._replace(score=1e30 * (trial.score - 1)) for trial in made()]
    a, b = four_columns(tmp_path / "a.txt", trials), four_columns(tmp_path / "b.txt", made())
    for words in (["metrics", a], ["compare", a, b]):
        shown = invoke(capsys, *words, "--rounds", 3)
        assert (shown.code, shown.err) == (0, [])
        lines = shown.out.split("\n\n")[0].splitlines()
        (line,) = [line for line in lines if line.startswith("Cllr")]
        assert "e+" in line
        # Numbers still stand at the right.
        assert len({len(line) for line in lines}) == 1
        assert len(lines[0]) < 100


def test_files_that_are_missing_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores, none = four_columns(tmp_path / "scores.txt", made()), tmp_path / "none.txt"
    for words in ([none], [scores, "--protocol", none], [scores, "--asv-scores", none]):
        assert invoke(capsys, "metrics", *words).complaint == f"{none}: no such file"


def test_verification_scores_without_a_kind_of_trial_are_an_error_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, asv = four_columns(tmp_path / "scores.txt", made()), tmp_path / "asv.txt"
    write_lines(asv, ["bonafide target 1.0", "bonafide nontarget -1.0"])
    complaint = invoke(capsys, "metrics", scores, "--asv-scores", asv).complaint
    assert complaint.startswith(f"{asv}: holds no spoof trial")


def test_a_report_has_no_place_in_a_file_and_none_of_it_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, out = four_columns(tmp_path / "scores.txt", made()), tmp_path / "out"
    out.write_text("mine")
    for place in (out, out / "below"):
        complaint = invoke(capsys, "metrics", scores, "--out", place).complaint
        assert str(place) in complaint
        assert "is a file, a folder was wanted" in complaint
    assert out.read_text() == "mine"


def test_a_report_that_fails_leaves_the_one_before_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, out = four_columns(tmp_path / "scores.txt", made()), tmp_path / "out"
    assert invoke(capsys, "metrics", scores, "--rounds", 0, "--out", out).code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    write_lines(scores, ["T_000 - bonafide nan"])
    assert invoke(capsys, "metrics", scores, "--rounds", 0, "--out", out).complaint.startswith(f"{scores}:1: ")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
